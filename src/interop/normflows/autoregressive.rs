//! Masked affine autoregressive layers.

use burn::tensor::Device;

use crate::bijector::{Inverse, MaskedAutoregressive};
use crate::conditioner::{ActivationConfig, Style};
use crate::error::Result;
use crate::interop::StateDict;
use crate::interop::masked::{MadeParts, MaskedNet};
use crate::interop::scope::{Scope, whole};
use crate::univariate::{Affine, AnyUnivariate, ScaleMap};

/// The scale of `MaskedAffineAutoregressive`, in the direction latent to data: `sigmoid(u + 2) + 1e-3`.
const SCALE: ScaleMap = ScaleMap::Sigmoid { offset: 2.0, floor: 1e-3 };

/// Loads a `MaskedAffineAutoregressive`, with residual or feed-forward blocks (`use_residual_blocks=False`).
///
/// Its parallel pass runs from latent to data, so it is the inverse of the loaded layer. The layer samples in one pass,
/// like an inverse autoregressive flow.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if degrees and masks contradict each other.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::Bijector;
/// use burn_flows::conditioner::ActivationConfig;
/// use burn_flows::interop::{HostTensor, StateDict, normflows};
///
/// // MaskedAffineAutoregressive(features=2, hidden_features=1, num_blocks=1)
/// let mut dict = StateDict::new();
/// let mut layer = |name: &str, weight: &[f64], mask: &[f64], degrees: &[i64]| {
///     let (name, rows) = (format!("autoregressive_net.{name}"), degrees.len());
///     let shape = [rows, weight.len() / rows];
///     dict.insert(format!("{name}.weight"), HostTensor::floats(weight, shape));
///     dict.insert(format!("{name}.bias"), HostTensor::floats(vec![0.0; rows], [rows]));
///     dict.insert(format!("{name}.mask"), HostTensor::floats(mask, shape));
///     dict.insert(format!("{name}.degrees"), HostTensor::ints(degrees, [rows]));
/// };
/// layer("initial_layer", &[1.0, 9.0], &[1.0, 0.0], &[1]);
/// layer("blocks.0.linear_layers.0", &[0.0], &[1.0], &[1]);
/// layer("blocks.0.linear_layers.1", &[0.0], &[1.0], &[1]);
/// layer("final_layer", &[9.0, 9.0, 0.0, 10.0], &[0.0, 0.0, 1.0, 1.0], &[1, 1, 2, 2]);
///
/// let device = Device::flex();
/// let layer = normflows::autoregressive(&dict, "", &ActivationConfig::Relu, &device)?;
/// let x = layer.inverse(Tensor::<2>::from_data([[3.0, 0.0]], &device), None);
/// let scale = 1.0 / (1.0 + (-2f64).exp()) + 1e-3;
/// let expected = Tensor::<2>::from_data([[3.0 * scale, 30.0]], &device);
/// x.into_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn autoregressive(
    dict: &StateDict,
    prefix: &str,
    activation: &ActivationConfig,
    device: &Device,
) -> Result<Inverse<MaskedAutoregressive<AnyUnivariate>>> {
    whole(dict, prefix, |scope| Ok(Inverse::new(autoregressive_in(scope, activation, device)?.0)))
}

/// The layer in the direction latent to data, and its number of features.
pub(super) fn autoregressive_in(
    scope: &Scope<'_>,
    activation: &ActivationConfig,
    device: &Device,
) -> Result<(MaskedAutoregressive<AnyUnivariate>, usize)> {
    let network = network_in(&scope.within("autoregressive_net"))?;
    let features = network.input.inputs();
    let univariate = AnyUnivariate::Affine(Affine::new(SCALE)?);
    Ok((network.layer(features, univariate, [1, 0], activation, device)?, features))
}

/// Reads a `MADE`. Its context is added after the first layer and gates each residual block. It has activations only
/// inside its blocks, so it is linear without blocks.
pub(super) fn network_in(scope: &Scope<'_>) -> Result<MaskedNet> {
    let MadeParts { input, context, hidden, blocks, output } = MadeParts::read(scope)?;
    let style = Style { gated_context: true, linear_input: true, ..Style::default() };
    Ok(MaskedNet { input, context, hidden, blocks, output, style })
}
