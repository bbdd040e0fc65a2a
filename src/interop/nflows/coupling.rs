//! Couplings with a `ResidualNet`.

use burn::tensor::Device;

use super::Options;
use super::spline::{elementwise_spline_in, spline_of};
use crate::bijector::{AnyBijector, Coupling, Mask, Partial, Permutation};
use crate::conditioner::{Mlp, ResidualBlock};
use crate::error::Result;
use crate::interop::StateDict;
use crate::interop::dense::{Dense, NO_ACTIVATION, ascending, blockwise};
use crate::interop::scope::{Scope, whole};
use crate::univariate::{Additive, Affine, AnyUnivariate, Univariate};

/// Loads an `AffineCouplingTransform`, `AdditiveCouplingTransform` or `Piecewise..CouplingTransform` with a
/// `ResidualNet`. The width of the last layer of the network determines the transform, and
/// [`Options::spline`](super::Options::spline) the spline.
///
/// A coupling with `apply_unconditional_transform=True` consists of two layers; load it by
/// [`transform`](super::transform).
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, nflows}};
///
/// let mut dict = StateDict::new();
/// dict.insert("identity_features", HostTensor::ints([1], [1]));
/// dict.insert("transform_features", HostTensor::ints([0], [1]));
/// for layer in ["initial_layer", "blocks.0.linear_layers.0", "blocks.0.linear_layers.1", "final_layer"] {
///     dict.insert(format!("transform_net.{layer}.weight"), HostTensor::floats([1.0], [1, 1]));
///     dict.insert(format!("transform_net.{layer}.bias"), HostTensor::floats([0.0], [1]));
/// }
/// let device = Device::flex();
/// let layer = nflows::coupling(&dict, "", &nflows::Options::new(), &device)?;
/// // One output for one moved feature: additive. The network doubles what it sees.
/// let (z, _) = layer.forward(Tensor::<2>::from_data([[1.0, 3.0]], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [7.0, 3.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn coupling(
    dict: &StateDict,
    prefix: &str,
    options: &Options,
    device: &Device,
) -> Result<Coupling<AnyUnivariate, Mlp>> {
    whole(dict, prefix, |scope| Ok(coupling_in(scope, options, device)?.0))
}

pub(super) fn coupling_in(
    scope: &Scope<'_>,
    options: &Options,
    device: &Device,
) -> Result<(Coupling<AnyUnivariate, Mlp>, usize)> {
    let (kept, moved) = split_in(scope, device)?;
    let features = kept.len() + moved.len();
    let net = scope.within("transform_net");
    let input = Dense::read(&net, "initial_layer")?;
    let output = Dense::read(&net, "final_layer")?;
    let width = input.outputs();
    let context = input.context_behind(kept.len())?;
    let logit_scale = (width as f64).sqrt().recip();
    let (univariate, rows) = univariate_of(output.outputs(), &moved, logit_scale, options)?;
    output.expect(rows.len(), width)?;
    // In this crate, the indices of the parts are ascending; nflows keeps the order of its buffers.
    let columns: Vec<usize> =
        ascending(&kept).into_iter().chain(kept.len()..input.inputs()).collect();
    let blocks = residual_blocks(&net, width, context, device)?;
    // A `ResidualNet` has activations only inside its blocks.
    let activation = if blocks.is_empty() { &NO_ACTIVATION } else { &options.activation };
    let mlp = Mlp::from_layers(
        input.pick_inputs(&columns).linear(device),
        vec![],
        blocks,
        output.pick_outputs(&rows).linear(device),
        activation.init(device),
        context,
    );
    let layer = Coupling::new(&Mask::Kept(kept), &[features], univariate, |_, _| mlp, device);
    Ok((scope.named("identity_features", layer)?, features))
}

/// The coupling, followed by the spline of the kept features if there is one. The network of the coupling reads the
/// kept features before the spline.
pub(super) fn any_coupling_in(
    scope: &Scope<'_>,
    options: &Options,
    device: &Device,
) -> Result<(AnyBijector, usize)> {
    let (layer, features) = coupling_in(scope, options, device)?;
    let coupling = AnyBijector::Coupling(layer);
    if !scope.has_part(UNCONDITIONAL) {
        return Ok((coupling, features));
    }
    let (kept, moved) = split_in(scope, device)?;
    let order = ascending(&kept);
    let part = scope.within(UNCONDITIONAL);
    let (spline, _) = elementwise_spline_in(&part, Some(&order), options, device)?;
    let spline = vec![AnyBijector::Elementwise(spline)];
    let spline = Partial::new(&Mask::Kept(moved), &[features], spline, device)?;
    Ok((AnyBijector::Stack(vec![coupling, AnyBijector::Partial(spline)]), features))
}

/// The path of the spline of the kept features.
const UNCONDITIONAL: &str = "unconditional_transform";

/// The kept and the moved features, in the order of nflows. Together they must be all features.
pub(in crate::interop) fn split_in(
    scope: &Scope<'_>,
    device: &Device,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let kept = scope.indices("identity_features")?;
    let moved = scope.indices("transform_features")?;
    let both: Vec<usize> = kept.iter().chain(&moved).copied().collect();
    scope.named("identity_features", Permutation::given(&both, device))?;
    Ok((kept, moved))
}

/// The scalar map for a network with `outputs` outputs, and the output indices of its parameters.
pub(super) fn univariate_of(
    outputs: usize,
    moved: &[usize],
    logit_scale: f64,
    options: &Options,
) -> Result<(AnyUnivariate, Vec<usize>)> {
    let (count, order) = (moved.len(), ascending(moved));
    let per_element = outputs / count.max(1);
    if per_element == 1 {
        let map = AnyUnivariate::Additive(Additive::default());
        return Ok((map, blockwise(1, count, &order)));
    }
    // Two parameters mean an affine map, unless the option `spline` selects linear splines.
    if let Some(map) = spline_of(per_element, logit_scale, options) {
        let needed = map.params_per_element();
        // The parameters of a spline are stored element by element, and the parameters of other maps parameter by
        // parameter.
        let rows = (0..needed).flat_map(|p| order.iter().map(move |i| i * needed + p)).collect();
        return Ok((map, rows));
    }
    Ok((AnyUnivariate::Affine(Affine::new(options.scale_map)?), blockwise(2, count, &order)))
}

/// The blocks of a `ResidualNet`.
pub(in crate::interop) fn residual_blocks(
    net: &Scope<'_>,
    width: usize,
    context: usize,
    device: &Device,
) -> Result<Vec<ResidualBlock>> {
    let block = |index| {
        let part = net.within(&format!("blocks.{index}"));
        let layer = |name, inputs| {
            let layer = Dense::read(&part, name)?;
            layer.expect(width, inputs)?;
            Ok(layer.linear(device))
        };
        let gate = (context > 0).then(|| layer("context_layer", context)).transpose()?;
        let [first, second] = ["linear_layers.0", "linear_layers.1"].map(|name| layer(name, width));
        Ok(ResidualBlock::from_layers(first?, second?, gate))
    };
    (0..net.numbered("blocks").len()).map(block).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use crate::bijector::Bijector;
    use crate::interop::HostTensor;

    #[test]
    fn an_unsorted_split_moves_the_right_columns() -> Result<()> {
        // Kept features 2 and 0 in this order: column 0 of the network belongs to feature 2.
        let mut dict = StateDict::new();
        dict.insert("identity_features", HostTensor::ints([2, 0], [2]));
        dict.insert("transform_features", HostTensor::ints([3, 1], [2]));
        let net = |name: &str| format!("transform_net.{name}");
        let mut layer = |name: &str, weight: &[f64], shape: [usize; 2]| {
            dict.insert(net(&format!("{name}.weight")), HostTensor::floats(weight, shape));
            let bias = HostTensor::floats(vec![0.0; shape[0]], [shape[0]]);
            dict.insert(net(&format!("{name}.bias")), bias);
        };
        layer("initial_layer", &[1.0, 10.0], [1, 2]);
        layer("blocks.0.linear_layers.0", &[0.0], [1, 1]);
        layer("blocks.0.linear_layers.1", &[0.0], [1, 1]);
        layer("final_layer", &[1.0, 100.0], [2, 1]);
        let device = Device::flex();
        let coupling = coupling(&dict, "", &Options::new(), &device)?;
        let x = Tensor::<2>::from_data([[1.0, 0.0, 2.0, 0.0]], &device);
        let (z, _) = coupling.forward(x, None);
        // h = 2 + 10 * 1; feature 3 moves by h, feature 1 by 100 h.
        assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [1.0, 1200.0, 2.0, 12.0]);
        Ok(())
    }
}
