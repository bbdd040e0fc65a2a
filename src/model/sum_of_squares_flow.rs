//! Sum-of-squares polynomial flow: masked layers whose scalar map is the integral of squared polynomials.

use burn::tensor::Device;

use super::Orders;
use super::autoregressive::AutoregressiveStep;
use super::autoregressive::stack_config;
use crate::bijector::InverseMethod;
use crate::conditioner::MadeConfig;
use crate::config::construct;
use crate::distribution::StandardNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::univariate::{SumOfSquares, SumOfSquaresConfig, Univariate};

stack_config! {
/// Configuration of a [`SumOfSquaresFlow`].
///
/// Standardise the data first. Polynomials of polynomials grow fast. Set the unit of the polynomials, 10 by default, to
/// several times the scale of the data. Otherwise one outlier of a later layer can dominate the loss of a batch.
///
/// ```
/// use burn_flows::{model::SumOfSquaresFlowConfig, univariate::SumOfSquaresConfig};
///
/// let polynomial = SumOfSquaresConfig::new().with_degree(3).with_polynomials(5);
/// let config = SumOfSquaresFlowConfig::new(6).with_polynomial(polynomial);
/// assert!(config.validate().is_ok());
/// assert!(config.with_layers(0).validate().is_err());
/// ```
pub struct SumOfSquaresFlowConfig, 3 layers {
    /// The polynomials of every layer. A higher degree or more polynomials fit more complex densities.
    #[config(default = SumOfSquaresConfig::new())]
    pub polynomial: SumOfSquaresConfig,
}
}

/// Masked layers of sum-of-squares polynomials on a standard normal. Sampling solves a scalar equation for each feature
/// by a numerical search.
///
/// ```text
/// layer     z_i = c_i + integral of g(u; h_i) from 0 to x_i
///           g a sum of squares, h_i a masked network
/// stack     layer, (linear map), layer with another order ..
/// ```
///
/// Paper: Jaini, Selby, Yu (2019), Sum-of-Squares Polynomial Flow, arXiv:1905.02325.
/// The model that zuko 1.6 calls `SOSPF`. zuko puts a softclip between the layers for its inverse search; this model
/// has no softclip.
///
/// # When to take it
///
/// - Take it to compare with the paper; polynomials extrapolate steeply outside the range of the data.
/// - Prefer [`AutoregressiveNsf`](super::AutoregressiveNsf) otherwise.
/// - Measured: within 0.06 nats of the entropy of two moons (`cargo test --release --test learn sospf`).
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row that applies to the whole batch
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::model::{SumOfSquaresFlow, SumOfSquaresFlowConfig};
///
/// let device = Device::flex();
/// let flow: SumOfSquaresFlow = SumOfSquaresFlowConfig::new(4).with_layers(2).init(&device);
/// let x = flow.sample_seeded(5, 1);
/// assert_eq!(x.dims(), [5, 4]);
/// assert_eq!(flow.log_prob(x).dims(), [5]);
/// ```
#[doc(alias = "SOSPF")]
pub type SumOfSquaresFlow = Flow<Vec<AutoregressiveStep<SumOfSquares>>, StandardNormal<2>>;

impl SumOfSquaresFlowConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        self.polynomial.validate()?;
        self.stack().validate(self.polynomial.init().params_per_element())
    }

    construct! {
        /// Builds the flow, which is close to the identity until it is trained.
        seeded(device: &Device) -> SumOfSquaresFlow
    }

    fn build(&self, device: &Device) -> SumOfSquaresFlow {
        self.stack().flow(|_| self.polynomial.init(), device)
    }
}
