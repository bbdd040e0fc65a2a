//! `MaskedAffineFlow` and `AffineCouplingBlock`.

use burn::tensor::Device;

use super::SplitMode;
use crate::bijector::{Coupling, Inverse, Mask};
use crate::conditioner::{ActivationConfig, Mlp};
use crate::error::Result;
use crate::interop::StateDict;
use crate::interop::dense::{Plain, interleaved};
use crate::interop::scope::{Scope, whole};
use crate::univariate::{Additive, Affine, AnyUnivariate, ScaleMap};

/// Loads a `MaskedAffineFlow`. Without a network `s` it only shifts, and without a network `t` it only scales.
///
/// The networks of normflows read the whole event, with zeros for the moved features, and have an output for each
/// feature. The loaded networks have only the inputs and outputs that are used; weights that multiply only zeros are
/// dropped.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if `b` keeps every feature or none.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, conditioner::ActivationConfig};
/// use burn_flows::interop::{HostTensor, StateDict, normflows};
///
/// let mut dict = StateDict::new();
/// dict.insert("b", HostTensor::floats([1.0, 0.0], [1, 2])); // keeps the first
/// dict.insert("t.net.0.weight", HostTensor::floats([1.0, 9.0], [1, 2]));
/// dict.insert("t.net.0.bias", HostTensor::floats([0.0], [1]));
/// dict.insert("t.net.2.weight", HostTensor::floats([9.0, 1.0], [2, 1]));
/// dict.insert("t.net.2.bias", HostTensor::floats([9.0, 0.0], [2]));
/// let (relu, device) = (ActivationConfig::Relu, Device::flex());
/// let layer = normflows::masked_affine(&dict, "", &relu, &device)?;
/// let (z, _) = layer.forward(Tensor::<2>::from_data([[2.0, 5.0]], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [2.0, 3.0]); // 5 - t(2)
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn masked_affine(
    dict: &StateDict,
    prefix: &str,
    activation: &ActivationConfig,
    device: &Device,
) -> Result<Inverse<Coupling<AnyUnivariate, Vec<Mlp>>>> {
    whole(dict, prefix, |scope| Ok(Inverse::new(masked_affine_in(scope, activation, device)?.0)))
}

/// Loads an `AffineCouplingBlock` of vectors; [`Layer`](super::Layer::AffineCouplingBlock) explains the arguments.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, conditioner::ActivationConfig, univariate::ScaleMap};
/// use burn_flows::interop::{HostTensor, StateDict, normflows::{self, SplitMode}};
///
/// let mut dict = StateDict::new();
/// let net = "flows.1.param_map.net";
/// dict.insert(format!("{net}.0.weight"), HostTensor::floats([1.0], [1, 1]));
/// dict.insert(format!("{net}.0.bias"), HostTensor::floats([0.0], [1]));
/// dict.insert(format!("{net}.2.weight"), HostTensor::floats([1.0, 0.0], [2, 1])); // shift, scale
/// dict.insert(format!("{net}.2.bias"), HostTensor::floats([0.0, 0.0], [2]));
/// let (relu, device) = (ActivationConfig::Relu, Device::flex());
/// let exp = Some(ScaleMap::Exp);
/// let split = SplitMode::Channel;
/// let layer = normflows::affine_coupling_block(&dict, "", exp, split, &relu, &device)?;
/// let (z, _) = layer.forward(Tensor::<2>::from_data([[2.0, 5.0]], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [2.0, 3.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn affine_coupling_block(
    dict: &StateDict,
    prefix: &str,
    scale_map: Option<ScaleMap>,
    split_mode: SplitMode,
    activation: &ActivationConfig,
    device: &Device,
) -> Result<Inverse<Coupling<AnyUnivariate, Mlp>>> {
    whole(dict, prefix, |scope| {
        Ok(Inverse::new(block_in(scope, scale_map, split_mode, activation, device)?.0))
    })
}

/// Reads a `nets.MLP`. The only tensor that an `output_fn` saves is its scale.
fn plain(scope: &Scope<'_>, part: &str) -> Result<Plain> {
    let scale = |k: &usize| scope.has(&format!("{part}.{k}.scale"));
    if let Some(k) = scope.numbered(part).into_iter().find(scale) {
        let reason = "belongs to an `output_fn`, which is not supported";
        return Err(scope.wrong(&format!("{part}.{k}.scale"), reason.into()));
    }
    Plain::read(scope, part)
}

/// Reads the layer in the direction latent to data.
pub(super) fn masked_affine_in(
    scope: &Scope<'_>,
    activation: &ActivationConfig,
    device: &Device,
) -> Result<(Coupling<AnyUnivariate, Vec<Mlp>>, usize)> {
    let (mask, [_, features]) = scope.floats_of_rank("b")?;
    scope.floats("b", &[1, features])?;
    if let Some(at) = mask.iter().position(|v| *v != 0.0 && *v != 1.0) {
        return Err(scope.wrong("b", format!("element {at} is {}, not 0 or 1", mask[at])));
    }
    let (kept, moved): (Vec<usize>, Vec<usize>) = (0..features).partition(|&i| mask[i] == 1.0);
    let mask = Mask::Kept(kept.clone());
    scope.named("b", mask.kept(&[features]))?;

    let network = |name: &str| {
        if !scope.has_part(name) {
            return Ok(Plain::zero(kept.len(), moved.len()).mlp(activation, 0, device));
        }
        let network = plain(scope, &format!("{name}.net"))?;
        network.input.expect(network.input.outputs(), features)?;
        network.output.expect(features, network.output.inputs())?;
        Ok(network.pick_inputs(&kept).pick_outputs(&moved).mlp(activation, 0, device))
    };
    let shift = network("t")?;
    let (univariate, networks) = if scope.has_part("s") {
        (AnyUnivariate::Affine(Affine::new(ScaleMap::Exp)?), vec![shift, network("s")?])
    } else {
        (AnyUnivariate::Additive(Additive::default()), vec![shift])
    };
    let layer = Coupling::new(&mask, &[features], univariate, |_, _| networks, device);
    Ok((scope.named("b", layer)?, features))
}

/// Reads the layer in the direction latent to data.
pub(super) fn block_in(
    scope: &Scope<'_>,
    scale_map: Option<ScaleMap>,
    split_mode: SplitMode,
    activation: &ActivationConfig,
    device: &Device,
) -> Result<(Coupling<AnyUnivariate, Mlp>, usize)> {
    let network = plain(scope, "flows.1.param_map.net")?;
    let (univariate, per_element) = match scale_map {
        Some(scale_map) => (AnyUnivariate::Affine(Affine::new(scale_map)?), 2),
        None => (AnyUnivariate::Additive(Additive::default()), 1),
    };
    let kept = network.input.inputs();
    let moved = network.output.outputs() / per_element;
    let features = kept + moved;
    let (fits, decide): (_, Vec<usize>) = match split_mode {
        // `torch.chunk` gives the longer half of an odd number to the first part.
        SplitMode::Channel => (kept == features.div_ceil(2), (0..kept).collect()),
        SplitMode::ChannelInv => (moved == features.div_ceil(2), (moved..features).collect()),
        SplitMode::Checkerboard => (kept == moved, (1..features).step_by(2).collect()),
        SplitMode::CheckerboardInv => (kept == moved, (0..features).step_by(2).collect()),
    };
    if !fits || network.output.outputs() != per_element * moved {
        network.output.expect(per_element * kept, network.output.inputs())?;
    }
    let mask = Mask::Kept(decide);
    let mlp = network.pick_outputs(&interleaved(per_element, moved)).mlp(activation, 0, device);
    Ok((Coupling::new(&mask, &[features], univariate, |_, _| mlp, device)?, features))
}
