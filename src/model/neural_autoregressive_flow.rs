//! Neural autoregressive flow: masked layers whose scalar map is a monotone network.

use burn::tensor::Device;

use super::Orders;
use super::autoregressive::AutoregressiveStep;
use super::autoregressive::{networks, stack_config};
use crate::bijector::InverseMethod;
use crate::conditioner::MadeConfig;
use crate::distribution::StandardNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::univariate::{Neural, NeuralConfig};

stack_config! {
/// Configuration of a [`NeuralAutoregressiveFlow`].
///
/// Standardise the data first: a new network is close to the identity only near 0.
///
/// ```
/// use burn_flows::{model::NeuralAutoregressiveFlowConfig, univariate::NeuralConfig};
///
/// let config = NeuralAutoregressiveFlowConfig::new(6).with_network(NeuralConfig::new().with_hidden(vec![32]));
/// assert!(config.validate().is_ok());
/// assert!(config.with_layers(0).validate().is_err());
/// ```
pub struct NeuralAutoregressiveFlowConfig, 3 layers {
    /// The monotone network of every layer. Its `elements` must stay at 0, because `shared` sets them.
    #[config(default = NeuralConfig::new())]
    pub network: NeuralConfig,
    /// Whether all features share one monotone network. By default, each feature has a network.
    #[config(default = false)]
    pub shared: bool,
}
}

/// Masked layers of monotone networks on a standard normal. Sampling solves a scalar equation for each feature by a
/// numerical search.
///
/// ```text
/// layer     z_i = net_i(x_i; s_i),   net_i of positive weights, the signal s_i from a masked network
/// stack     layer, (linear map), layer with another order ..
/// ```
///
/// Paper: Huang, Krueger, Lacoste, Courville (2018), Neural Autoregressive Flows, arXiv:1804.00779. In the sigmoidal
/// flows of the paper, the masked network outputs all weights; build them as [`Maf`](super::Maf) with the scalar map
/// [`DeepSigmoidal`](crate::univariate::DeepSigmoidal).
/// The model that zuko 1.6 calls `NAF`. zuko puts a softclip between the layers for its inverse search; this model has
/// no softclip.
///
/// # When to take it
///
/// - Take it where a monotone network of each feature fits better than a spline with a fixed number of bins.
/// - Prefer [`AutoregressiveNsf`](super::AutoregressiveNsf) otherwise: a spline has an inverse in closed form, and a
///   monotone network is inverted by a search.
/// - Measured: within 0.08 nats of the entropy of two moons (`cargo test --release --test learn naf`).
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row that applies to the whole batch
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::model::{NeuralAutoregressiveFlow, NeuralAutoregressiveFlowConfig};
///
/// let device = Device::flex();
/// let flow: NeuralAutoregressiveFlow = NeuralAutoregressiveFlowConfig::new(4).with_layers(2).init(&device);
/// let x = flow.sample_seeded(5, 1);
/// assert_eq!(x.dims(), [5, 4]);
/// assert_eq!(flow.log_prob(x).dims(), [5]);
/// ```
#[doc(alias = "NAF")]
pub type NeuralAutoregressiveFlow = Flow<Vec<AutoregressiveStep<Neural>>, StandardNormal<2>>;

networks! {
    /// Builds the flow, which its random networks make slightly nonlinear until it is trained.
    NeuralAutoregressiveFlowConfig => NeuralAutoregressiveFlow
}
