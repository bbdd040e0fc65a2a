//! Masked autoregressive layers, affine or of splines.

use burn::tensor::Device;

use super::Options;
use super::spline::spline_of;
use crate::bijector::MaskedAutoregressive;
use crate::conditioner::Style;
use crate::error::Result;
use crate::interop::StateDict;
use crate::interop::dense::Dense;
use crate::interop::masked::{MadeParts, MaskedNet};
use crate::interop::scope::{Scope, whole};
use crate::univariate::{Affine, AnyUnivariate, ScaleMap, Univariate};

/// The scale of `MaskedAffineAutoregressiveTransform`, which it has no option for:
/// `softplus(u) + 1e-3`.
const SCALE: ScaleMap = ScaleMap::Softplus { offset: 0.0, floor: 1e-3 };

/// `MaskedAffineAutoregressiveTransform` or `MaskedPiecewise..AutoregressiveTransform`, with residual or
/// feed-forward blocks and any masks; the width of the network's last layer says which, and
/// [`Options::spline`](super::Options::spline) which spline.
///
/// Its inverse here costs about as much as its forward; in nflows, as many times that as there are
/// features.
///
/// # Errors
///
/// As the [module](crate::interop#errors) says, or if degrees and masks contradict each other.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, nflows}};
///
/// // MaskedAffineAutoregressiveTransform(features=2, hidden_features=1, num_blocks=0)
/// let mut dict = StateDict::new();
/// let mut layer = |name: &str, weight: &[f64], bias: &[f64], mask: &[f64], degrees: &[i64]| {
///     let (name, rows) = (format!("autoregressive_net.{name}"), bias.len());
///     let shape = [rows, weight.len() / rows];
///     dict.insert(format!("{name}.weight"), HostTensor::floats(weight, shape));
///     dict.insert(format!("{name}.bias"), HostTensor::floats(bias, [rows]));
///     dict.insert(format!("{name}.mask"), HostTensor::floats(mask, shape));
///     dict.insert(format!("{name}.degrees"), HostTensor::ints(degrees, [rows]));
/// };
/// layer("initial_layer", &[1.0, 9.0], &[0.0], &[1.0, 0.0], &[1]);
/// // Scale and shift of feature 0, then of feature 1, which is shifted by ten times feature 0.
/// let last = [9.0, 9.0, 0.0, 10.0];
/// layer("final_layer", &last, &[0.0; 4], &[0.0, 0.0, 1.0, 1.0], &[1, 1, 2, 2]);
///
/// let device = Device::flex();
/// let layer = nflows::autoregressive(&dict, "", &nflows::Options::new(), &device)?;
/// let (z, _) = layer.forward(Tensor::<2>::from_data([[3.0, 0.0]], &device), None);
/// let scale = 2f64.ln() + 1e-3;
/// let expected = Tensor::<2>::from_data([[3.0 * scale, 30.0]], &device);
/// z.into_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn autoregressive(
    dict: &StateDict,
    prefix: &str,
    options: &Options,
    device: &Device,
) -> Result<MaskedAutoregressive<AnyUnivariate>> {
    whole(dict, prefix, |scope| Ok(autoregressive_in(scope, options, device)?.0))
}

pub(super) fn autoregressive_in(
    scope: &Scope<'_>,
    options: &Options,
    device: &Device,
) -> Result<(MaskedAutoregressive<AnyUnivariate>, usize)> {
    let net = scope.within("autoregressive_net");
    let MadeParts { input, hidden, mut blocks, output } = MadeParts::read(&net)?;
    let context = if net.has_part("context_layer") {
        let context = Dense::read(&net, "context_layer")?;
        for (index, block) in blocks.iter_mut().enumerate() {
            let layer = Dense::read(&net, &format!("blocks.{index}.context_layer"))?;
            layer.expect(layer.outputs(), context.inputs())?;
            block.context = Some(layer);
        }
        Some(context)
    } else {
        None
    };
    let features = input.inputs();
    let style = Style { activated_context: true, bare_blocks: false };
    let network = MaskedNet { input, context, hidden, blocks, output, style };
    // nflows leaves the logits of this network as they are.
    let spline = spline_of(network.output.outputs() / features, 1.0, options);
    let layer = match spline {
        Some(map) => {
            let places = 0..map.params_per_element();
            network.layer(features, map, places, &options.activation, device)?
        }
        None => {
            let map = AnyUnivariate::Affine(Affine::new(SCALE));
            network.layer(features, map, [1, 0], &options.activation, device)?
        }
    };
    Ok((layer, features))
}
