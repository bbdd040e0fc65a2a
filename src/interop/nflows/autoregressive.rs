//! Masked autoregressive layers, affine or with splines.

use burn::tensor::Device;

use super::Options;
use super::spline::spline_of;
use crate::bijector::MaskedAutoregressive;
use crate::conditioner::Style;
use crate::error::Result;
use crate::interop::StateDict;
use crate::interop::masked::{MadeParts, MaskedNet};
use crate::interop::scope::{Scope, whole};
use crate::univariate::{Affine, AnyUnivariate, ScaleMap, Univariate};

/// The scale of `MaskedAffineAutoregressiveTransform`, which is not an option of nflows: `softplus(u) + 1e-3`.
const SCALE: ScaleMap = ScaleMap::Softplus { offset: 0.0, floor: 1e-3 };

/// Loads a `MaskedAffineAutoregressiveTransform` or `MaskedPiecewise..AutoregressiveTransform`, with residual or
/// feed-forward blocks and any masks. The width of the last layer of the network determines the transform, and
/// [`Options::spline`](super::Options::spline) the spline.
///
/// In this crate, the inverse costs about as much as the forward pass. In nflows, the inverse costs one forward pass
/// for each feature.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if degrees and masks contradict each other.
///
/// # Example
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
    let MadeParts { input, context, hidden, blocks, output } = MadeParts::read(&net)?;
    let features = input.inputs();
    let style = Style { activated_context: true, ..Style::default() };
    let network = MaskedNet { input, context, hidden, blocks, output, style };
    // nflows does not rescale the logits of this network.
    let spline = spline_of(network.output.outputs() / features, 1.0, options);
    let layer = match spline {
        Some(map) => {
            let places = 0..map.params_per_element();
            network.layer(features, map, places, &options.activation, device)?
        }
        None => {
            let map = AnyUnivariate::Affine(Affine::new(SCALE)?);
            network.layer(features, map, [1, 0], &options.activation, device)?
        }
    };
    Ok((layer, features))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData};

    use super::*;
    use crate::bijector::Bijector;
    use crate::interop::HostTensor;
    use crate::interop::nflows::Spline;
    use crate::noise::Noise;

    /// The biases of the last layer are the parameters of the map, feature by feature.
    #[test]
    fn every_spline_gets_the_parameters_of_its_feature() -> Result<()> {
        let device = Device::flex();
        let x = Tensor::<2>::from_data([[0.3, 0.8]], &device);
        for (spline, per_feature) in [
            (Spline::Linear, 2),
            (Spline::Quadratic, 7),
            (Spline::Cubic, 8),
            (Spline::RationalQuadratic, 10),
        ] {
            let rows = 2 * per_feature;
            let mut noise = Noise::seeded(1);
            let raw: Vec<f64> = (0..rows).map(|_| noise.next_normal()).collect();
            let mut dict = StateDict::new();
            let mut layer = |name: &str, bias: &[f64], mask: Vec<f64>, degrees: Vec<i64>| {
                let (name, rows) = (format!("autoregressive_net.{name}"), bias.len());
                let shape = [rows, mask.len() / rows];
                let zeros = HostTensor::floats(vec![0.0; mask.len()], shape);
                dict.insert(format!("{name}.weight"), zeros);
                dict.insert(format!("{name}.bias"), HostTensor::floats(bias, [rows]));
                dict.insert(format!("{name}.mask"), HostTensor::floats(mask, shape));
                dict.insert(format!("{name}.degrees"), HostTensor::ints(degrees, [rows]));
            };
            layer("initial_layer", &[0.0], vec![1.0, 0.0], vec![1]);
            let of_first = |first: bool| vec![first; per_feature];
            let firsts = [of_first(true), of_first(false)].concat();
            let mask = firsts.iter().map(|first| f64::from(u8::from(!first))).collect();
            let degrees = firsts.iter().map(|first| if *first { 1 } else { 2 }).collect();
            layer("final_layer", &raw, mask, degrees);

            let options = Options::new().with_spline(spline);
            let layer = autoregressive(&dict, "", &options, &device)?;
            let map = spline_of(per_feature, 1.0, &options).expect("a spline");
            let raw = Tensor::<3>::from_data(TensorData::new(raw, [1, 2, per_feature]), &device);
            let (z, log_det) = map.forward(x.clone(), raw.swap_dims(1, 2));
            let (found, found_log_det) = layer.forward(x.clone(), None);
            assert_eq!(found.into_data(), z.into_data(), "{spline:?}");
            assert_eq!(found_log_det.into_data(), log_det.into_data(), "{spline:?}");
        }
        Ok(())
    }
}
