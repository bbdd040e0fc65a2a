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
/// Standardise the data first: a fresh network is like the identity only near 0.
///
/// ```
/// use burn_flows::{model::NeuralAutoregressiveFlowConfig, univariate::NeuralConfig};
///
/// let config = NeuralAutoregressiveFlowConfig::new(6).with_network(NeuralConfig::new().with_hidden(vec![32]));
/// assert!(config.validate().is_ok());
/// assert!(config.with_layers(0).validate().is_err());
/// ```
pub struct NeuralAutoregressiveFlowConfig, 3 layers {
    /// The monotone networks of every layer; `elements` stays at 0, as `shared` decides it.
    #[config(default = NeuralConfig::new())]
    pub network: NeuralConfig,
    /// One monotone network that all features share, instead of one for each.
    #[config(default = false)]
    pub shared: bool,
}
}

/// Masked layers of monotone networks on a standard normal. A sample is a search for every feature.
///
/// ```text
/// layer     z_i = net_i(x_i; s_i),   net_i of positive weights, the signal s_i from a masked network
/// stack     layer, (linear map), layer with another order ..
/// ```
///
/// Paper: Huang, Krueger, Lacoste, Courville (2018), Neural Autoregressive Flows, arXiv:1804.00779. Its
/// sigmoids, with every weight from the masked network, are [`Maf`](super::Maf) with the scalar map
/// [`DeepSigmoidal`](crate::univariate::DeepSigmoidal).
/// The model that zuko 1.6 calls `NAF`, without the softclip between its layers, which its search for
/// inverses needs.
///
/// # When to take it
///
/// - Take it where a monotone network of each feature fits better than a spline with a fixed number of bins.
/// - Prefer [`AutoregressiveNsf`](super::AutoregressiveNsf) otherwise: its inverse is a formula, and here it is a search.
/// - Measured: within 0.08 nats of the entropy of two moons (`cargo test --release --test learn naf`).
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row for all
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
    /// The flow, bent a little by its random networks until it is trained.
    NeuralAutoregressiveFlowConfig => NeuralAutoregressiveFlow
}
