//! Couplings of images with a `ConvResidualNet`.

use burn::tensor::Device;

use super::coupling::{split_in, univariate_of};
use super::{Options, Spline};
use crate::bijector::{Coupling, Mask};
use crate::conditioner::{ResidualConvBlock, ResidualConvNet};
use crate::error::{Error, Result};
use crate::interop::StateDict;
use crate::interop::conv::Conv;
use crate::interop::dense::ascending;
use crate::interop::scope::{Scope, whole};
use crate::univariate::AnyUnivariate;

/// Loads an `AffineCouplingTransform` or `AdditiveCouplingTransform` of images with a `ConvResidualNet` without context
/// or batch normalization. The width of the last layer of the network determines the transform.
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
/// for layer in ["initial_layer", "blocks.0.conv_layers.0", "blocks.0.conv_layers.1", "final_layer"] {
///     dict.insert(format!("transform_net.{layer}.weight"), HostTensor::floats([1.0], [1, 1, 1, 1]));
///     dict.insert(format!("transform_net.{layer}.bias"), HostTensor::floats([0.0], [1]));
/// }
/// let device = Device::flex();
/// let layer = nflows::image_coupling(&dict, "", &nflows::Options::new(), &device)?;
/// // One output for one moved channel: additive. The network doubles what it sees.
/// let x = Tensor::<1>::from_floats([1.0, 3.0], &device).reshape([1, 2, 1, 1]);
/// let (z, _) = layer.forward(x, None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [7.0, 3.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn image_coupling(
    dict: &StateDict,
    prefix: &str,
    options: &Options,
    device: &Device,
) -> Result<Coupling<AnyUnivariate, ResidualConvNet>> {
    whole(dict, prefix, |scope| Ok(image_coupling_in(scope, options, device)?.0))
}

pub(super) fn image_coupling_in(
    scope: &Scope<'_>,
    options: &Options,
    device: &Device,
) -> Result<(Coupling<AnyUnivariate, ResidualConvNet>, usize)> {
    let (kept, moved) = split_in(scope, device)?;
    let features = kept.len() + moved.len();
    let net = scope.within("transform_net");
    let input = Conv::read(&net, "initial_layer", true)?;
    let output = Conv::read(&net, "final_layer", true)?;
    let width = input.outputs();
    let logit_scale = match options.spline {
        Spline::RationalQuadratic => (width as f64).sqrt().recip(),
        // For other splines, nflows ignores the width of a convolutional network.
        _ => 1.0,
    };
    let (univariate, rows) = univariate_of(output.outputs(), &moved, logit_scale, options)?;
    input.expect(width, kept.len())?;
    output.expect(rows.len(), width)?;
    let block = |index| {
        let layer = |name: &str| {
            let layer = Conv::read(&net, &format!("blocks.{index}.conv_layers.{name}"), true)?;
            layer.expect(width, width)?;
            Ok::<_, Error>(layer.layer(None, device))
        };
        Ok(ResidualConvBlock::from_layers(layer("0")?, layer("1")?))
    };
    let blocks = (0..net.numbered("blocks").len().max(1)).map(block).collect::<Result<_>>()?;
    // In this crate, the indices of the parts are ascending; nflows keeps the order of its buffers.
    let network = ResidualConvNet::from_layers(
        input.pick_inputs(&ascending(&kept)).layer(None, device),
        blocks,
        output.pick_outputs(&rows).layer(None, device),
        options.activation.init(device),
    );
    let layer = Coupling::new(&Mask::Kept(kept), &[features], univariate, |_, _| network, device);
    Ok((scope.named("identity_features", layer)?, features))
}
