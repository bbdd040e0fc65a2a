//! zuko 1.6: `flow.transform` is data to latent there too.
//!
//! | here | tensors |
//! | --- | --- |
//! | [`coupling`] | `mask`, `hyper.0`, `hyper.2`, .. (`GeneralCouplingTransform`) |
//! | [`autoregressive`] | `order`, `hyper.0`, .. with masks (`MaskedAutoregressiveTransform`) |
//! | [`real_nvp`] | `transform.transforms.0`, .. of couplings, and `base` |
//! | [`maf`] | `transform.transforms.0`, .. of autoregressive layers, and `base` |
//! | [`cnf`] | `transform.ode.0`, `transform.ode.2`, .., `transform.freqs`, `transform.times`, and `base` |
//! | [`elementwise_affine`] | `shift`, `scale` (`MonotonicAffineTransform`) |
//!
//! Prefixes are written without their last dot; an empty one means the whole dictionary.

mod cnf;

pub use cnf::{CnfOptions, cnf};

use burn::config::Config;
use burn::tensor::Device;

use super::dense::{Plain, interleaved};
use super::masked::{Block, Masked, MaskedNet};
use super::scope::{Scope, whole};
use super::{StateDict, same_width, standard_base};
use crate::bijector::{AnyBijector, Coupling, Elementwise, Mask, MaskedAutoregressive};
use crate::conditioner::{ActivationConfig, Mlp, Style};
use crate::distribution::DiagNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::math::from_f64;
use crate::univariate::{Affine, AnyUnivariate, ScaleMap};

/// What zuko does not save, with its own defaults.
///
/// ```
/// use burn_flows::{interop::zuko, univariate::ScaleMap};
///
/// // MonotonicAffineTransform(slope=1e-2)
/// let bound = 1e2_f64.ln();
/// let options = zuko::Options::new().with_scale_map(ScaleMap::SoftBound { bound });
/// assert_ne!(options.scale_map, zuko::Options::new().scale_map);
/// ```
#[derive(Config, Debug)]
pub struct Options {
    /// `slope` of the affine maps, as the bound `-ln slope`.
    #[config(default = "ScaleMap::default()")]
    pub scale_map: ScaleMap,
    /// `activation` of the hyper networks.
    #[config(default = "ActivationConfig::Relu")]
    pub activation: ActivationConfig,
}

/// `RealNVP`, which zuko also calls `NICE`: its couplings are affine in both.
///
/// The base is fixed, as there.
///
/// # Errors
///
/// As the [module](super#errors) says, or if a layer saved nothing or does not fit its neighbours.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// // One coupling of two features: the first decides shift and scale of the second.
/// let mut dict = StateDict::new();
/// let prefix = "transform.transforms.0";
/// dict.insert(format!("{prefix}.mask"), HostTensor::bools([true, false], [2]));
/// dict.insert(format!("{prefix}.hyper.0.weight"), HostTensor::floats([1.0], [1, 1]));
/// dict.insert(format!("{prefix}.hyper.0.bias"), HostTensor::floats([0.0], [1]));
/// dict.insert(format!("{prefix}.hyper.2.weight"), HostTensor::floats([0.5, 0.0], [2, 1]));
/// dict.insert(format!("{prefix}.hyper.2.bias"), HostTensor::floats([0.0, 0.0], [2]));
/// let device = Device::flex();
/// let flow = zuko::real_nvp(&dict, &zuko::Options::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[2.0, 3.0]], &device));
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [2.0, 4.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn real_nvp(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    stack(dict, device, |part| {
        let (layer, features) = coupling_in(part, options, device)?;
        Ok((AnyBijector::Coupling(layer), features))
    })
}

/// `MAF` with its affine transforms, also with random orders, residual networks, or a context.
///
/// The base is fixed, as there.
///
/// # Errors
///
/// As the [module](super#errors) says, or if a layer saved nothing or does not fit its neighbours.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// // One layer of two features: the second one is shifted by half the first.
/// let mut dict = StateDict::new();
/// let prefix = "transform.transforms.0";
/// dict.insert(format!("{prefix}.order"), HostTensor::ints([0, 1], [2]));
/// dict.insert(format!("{prefix}.hyper.0.weight"), HostTensor::floats([1.0, 9.0], [1, 2]));
/// dict.insert(format!("{prefix}.hyper.0.bias"), HostTensor::floats([0.0], [1]));
/// dict.insert(format!("{prefix}.hyper.0.mask"), HostTensor::bools([true, false], [1, 2]));
/// dict.insert(format!("{prefix}.hyper.2.weight"), HostTensor::floats([9.0, 9.0, 0.5, 0.0], [4, 1]));
/// dict.insert(format!("{prefix}.hyper.2.bias"), HostTensor::floats([0.0; 4], [4]));
/// dict.insert(format!("{prefix}.hyper.2.mask"), HostTensor::bools([false, false, true, true], [4, 1]));
/// let device = Device::flex();
/// let flow = zuko::maf(&dict, &zuko::Options::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[2.0, 3.0]], &device));
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [2.0, 4.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn maf(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    stack(dict, device, |part| {
        let (layer, features) = autoregressive_in(part, options, device)?;
        Ok((AnyBijector::MaskedAutoregressive(layer), features))
    })
}

/// The layers `transform.transforms.k`, and the base.
fn stack(
    dict: &StateDict,
    device: &Device,
    read: impl Fn(&Scope<'_>) -> Result<(AnyBijector, usize)>,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    whole(dict, "", |scope| {
        let mut features = None;
        let mut layers = vec![];
        let numbers = scope.numbered("transform.transforms").len().max(1);
        for index in 0..numbers {
            let part = scope.within(&format!("transform.transforms.{index}"));
            let (layer, width) = read(&part)?;
            same_width(&part.full(""), features, width)?;
            features = Some(width);
            layers.push(layer);
        }
        let features = features.unwrap_or_default();
        let base = base(scope, features, device)?;
        Ok(Flow::new(AnyBijector::Stack(layers), base))
    })
}

/// An affine `MaskedAutoregressiveTransform`, with whatever dependencies its masks have.
///
/// # Errors
///
/// As the [module](super#errors) says, or if features depend on each other.
///
/// ```
/// use burn_flows::{Error, interop::{HostTensor, StateDict, zuko}};
///
/// let mut dict = StateDict::new();
/// dict.insert("order", HostTensor::ints([2, 1], [2]));
/// let device = burn::tensor::Device::flex();
/// let error = zuko::autoregressive(&dict, "", &zuko::Options::new(), &device).unwrap_err();
/// assert!(matches!(error, Error::Tensor { name, .. } if name == "order")); // nothing comes first
/// ```
pub fn autoregressive(
    dict: &StateDict,
    prefix: &str,
    options: &Options,
    device: &Device,
) -> Result<MaskedAutoregressive<AnyUnivariate>> {
    whole(dict, prefix, |scope| Ok(autoregressive_in(scope, options, device)?.0))
}

/// An affine `GeneralCouplingTransform`.
///
/// # Errors
///
/// As the [module](super#errors) says.
///
/// ```
/// use burn_flows::{Error, interop::{HostTensor, StateDict, zuko}};
///
/// let mut dict = StateDict::new();
/// dict.insert("mask", HostTensor::bools([true, true], [2]));
/// let device = burn::tensor::Device::flex();
/// let error = zuko::coupling(&dict, "", &zuko::Options::new(), &device).unwrap_err();
/// assert!(matches!(error, Error::Tensor { name, .. } if name == "mask")); // moves nothing
/// ```
pub fn coupling(
    dict: &StateDict,
    prefix: &str,
    options: &Options,
    device: &Device,
) -> Result<Coupling<AnyUnivariate, Mlp>> {
    whole(dict, prefix, |scope| Ok(coupling_in(scope, options, device)?.0))
}

/// `MonotonicAffineTransform` with a free shift and scale per element.
///
/// # Errors
///
/// As the [module](super#errors) says.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, zuko}};
///
/// let mut dict = StateDict::new();
/// dict.insert("shift", HostTensor::floats([1.0, 2.0], [2]));
/// dict.insert("scale", HostTensor::floats([0.0, 0.0], [2]));
/// let device = Device::flex();
/// let layer = zuko::elementwise_affine(&dict, "", &zuko::Options::new(), &device)?;
/// let (z, _) = layer.forward(Tensor::<2>::zeros([1, 2], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [1.0, 2.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn elementwise_affine(
    dict: &StateDict,
    prefix: &str,
    options: &Options,
    device: &Device,
) -> Result<Elementwise<Affine>> {
    whole(dict, prefix, |scope| {
        let shift = scope.tensor("shift", None)?;
        let shape = shift.shape().to_vec();
        let params = [scope.floats("shift", &shape)?, scope.floats("scale", &shape)?].concat();
        let elements = params.len() / 2;
        if elements == 0 {
            return Err(scope.wrong("shift", "is empty".into()));
        }
        let params = from_f64(params, [2, elements], device);
        Ok(Elementwise::from_weights(Affine::new(options.scale_map), params))
    })
}

fn base(scope: &Scope<'_>, features: usize, device: &Device) -> Result<DiagNormal<2>> {
    if !scope.has_part("base") {
        return standard_base(features, device);
    }
    let loc = scope.floats("base.loc", &[features])?;
    let scale = scope.floats("base.scale", &[features])?;
    if let Some(at) = scale.iter().position(|v| *v <= 0.0) {
        return Err(scope.wrong("base.scale", format!("element {at} is {}", scale[at])));
    }
    let row = |values: &[f64]| from_f64(values.to_vec(), [1, features], device);
    DiagNormal::fixed(row(loc), row(scale))
}

fn coupling_in(
    scope: &Scope<'_>,
    options: &Options,
    device: &Device,
) -> Result<(Coupling<AnyUnivariate, Mlp>, usize)> {
    let mask = scope.tensor("mask", None)?;
    let Some(flags) = mask.as_bools() else {
        return Err(scope.wrong("mask", "does not hold booleans".into()));
    };
    let features = flags.len();
    let (kept, moved): (Vec<usize>, Vec<usize>) = (0..features).partition(|&i| flags[i]);
    let mask = Mask::Kept(kept.clone());
    scope.named("mask", mask.kept(&[features]))?;

    let network = Plain::read(scope, "hyper")?;
    let context = network.input.context_behind(kept.len())?;
    network.output.expect(2 * moved.len(), network.output.inputs())?;
    let rows = interleaved(2, moved.len());
    let mlp = network.pick_outputs(&rows).mlp(&options.activation, context, device);
    let univariate = AnyUnivariate::Affine(Affine::new(options.scale_map));
    let layer = Coupling::new(&mask, &[features], univariate, |_, _| mlp, device);
    Ok((scope.named("mask", layer)?, features))
}

fn autoregressive_in(
    scope: &Scope<'_>,
    options: &Options,
    device: &Device,
) -> Result<(MaskedAutoregressive<AnyUnivariate>, usize)> {
    // The masks say what depends on what; the order is there to be checked.
    let order = scope.indices("order")?;
    let features = order.len();
    let steps = order.iter().max().map_or(0, |last| last + 1);
    if steps > features || features == 0 || !(0..steps).all(|step| order.contains(&step)) {
        return Err(scope.wrong("order", format!("{order:?} is no order of steps from 0")));
    }
    let net = scope.within("hyper");
    let mut numbers = scope.numbered("hyper").into_iter();
    let input = Masked::read(&net, &numbers.next().unwrap_or_default().to_string())?;
    let (mut plain, mut blocks) = (vec![], vec![]);
    for number in numbers {
        if net.has(&format!("{number}.weight")) {
            plain.push(Masked::read(&net, &number.to_string())?);
        } else {
            let layer = |at| Masked::read(&net, &format!("{number}.{at}"));
            blocks.push(Block { first: layer(0)?, second: layer(2)?, context: None });
        }
    }
    let Some(output) = plain.pop().filter(|_| blocks.is_empty() || plain.is_empty()) else {
        return Err(scope.wrong("hyper", "is no masked network that this crate can read".into()));
    };
    let style = Style { activated_context: false, bare_blocks: true };
    let network = MaskedNet { input, context: None, hidden: plain, blocks, output, style };
    let layer = network.affine(features, [0, 1], options.scale_map, &options.activation, device)?;
    Ok((layer, features))
}
