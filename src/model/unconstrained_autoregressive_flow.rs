//! Unconstrained neural autoregressive flow: masked layers whose scalar map integrates a positive network.

use burn::tensor::Device;

use super::Orders;
use super::autoregressive::AutoregressiveStep;
use super::autoregressive::{networks, stack_config};
use crate::bijector::InverseMethod;
use crate::conditioner::MadeConfig;
use crate::distribution::StandardNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::univariate::{UnconstrainedMonotonic, UnconstrainedMonotonicConfig};

stack_config! {
/// Configuration of an [`UnconstrainedAutoregressiveFlow`].
///
/// Standardise the data first: the networks are integrated over `[-20, 20]`.
///
/// ```
/// use burn_flows::{model::UnconstrainedAutoregressiveFlowConfig, univariate::UnconstrainedMonotonicConfig};
///
/// let network = UnconstrainedMonotonicConfig::new().with_hidden(vec![32, 32]).with_nodes(20);
/// let config = UnconstrainedAutoregressiveFlowConfig::new(6).with_network(network);
/// assert!(config.validate().is_ok());
/// assert!(config.with_layers(0).validate().is_err());
/// ```
pub struct UnconstrainedAutoregressiveFlowConfig, 3 layers {
    /// The integrated network of every layer. Its `elements` must stay at 0, because `shared` sets them.
    #[config(default = UnconstrainedMonotonicConfig::new())]
    pub network: UnconstrainedMonotonicConfig,
    /// Whether all features share one integrated network. By default, each feature has a network.
    #[config(default = false)]
    pub shared: bool,
}
}

/// Masked layers of integrated networks on a standard normal. Sampling solves a scalar equation for each feature by a
/// numerical search.
///
/// ```text
/// layer     z_i = c_i + integral of g_i(u; s_i) from 0 to x_i
///           g_i positive, c_i and s_i from a masked network
/// stack     layer, (linear map), layer with another order ..
/// ```
///
/// Paper: Wehenkel, Louppe (2019), Unconstrained Monotonic Neural Networks, section 4 (UMNN-MAF),
/// arXiv:1908.05164.
/// The model that zuko 1.6 calls `UNAF`. zuko puts a softclip between the layers for its inverse search; this model has
/// no softclip.
///
/// # When to take it
///
/// - Take it where a scalar map has to be smooth and unbounded.
/// - Prefer [`AutoregressiveNsf`](super::AutoregressiveNsf) otherwise: a density takes a numerical integral and a
///   sample takes a search here.
/// - Measured: within 0.1 nats of the entropy of two moons (`cargo test --release --test learn unaf`).
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row that applies to the whole batch
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::model::{UnconstrainedAutoregressiveFlow, UnconstrainedAutoregressiveFlowConfig};
///
/// let device = Device::flex();
/// let flow: UnconstrainedAutoregressiveFlow = UnconstrainedAutoregressiveFlowConfig::new(4).with_layers(2).init(&device);
/// let x = flow.sample_seeded(5, 1);
/// assert_eq!(x.dims(), [5, 4]);
/// assert_eq!(flow.log_prob(x).dims(), [5]);
/// ```
#[doc(alias = "UNAF")]
pub type UnconstrainedAutoregressiveFlow =
    Flow<Vec<AutoregressiveStep<UnconstrainedMonotonic>>, StandardNormal<2>>;

networks! {
    /// Builds the flow, which is the identity until it is trained.
    UnconstrainedAutoregressiveFlowConfig => UnconstrainedAutoregressiveFlow
}
