//! Autoregressive neural spline flow: masked layers whose scalar map is a rational-quadratic spline.

use burn::tensor::Device;

use super::Orders;
use super::autoregressive::AutoregressiveStep;
use super::autoregressive::stack_config;
use super::nsf::{NsfLayers, check_free};
use crate::bijector::InverseMethod;
use crate::conditioner::MadeConfig;
use crate::config::construct;
use crate::distribution::StandardNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::univariate::{AnyUnivariate, AnyUnivariateConfig, RationalQuadraticConfig, Univariate};

stack_config! {
/// Configuration of an [`AutoregressiveNsf`].
///
/// Standardise the data first: the default spline is the identity outside `[-5, 5]`.
///
/// ```
/// use burn_flows::{model::{AutoregressiveNsfConfig, Orders}, univariate::RationalQuadraticConfig};
///
/// let config = AutoregressiveNsfConfig::new(16)
///     .with_orders(Orders::Random(0))
///     .with_elementwise(Some(RationalQuadraticConfig::new().with_bins(32)))
///     .with_linear(true);
/// assert!(config.validate().is_ok());
/// assert!(config.with_layers(0).validate().is_err());
/// ```
pub struct AutoregressiveNsfConfig, 3 layers {
    /// The spline of every layer. More bins resolve sharper densities; a larger bound covers a larger interval.
    #[config(default = RationalQuadraticConfig::new())]
    pub spline: RationalQuadraticConfig,
    /// The spline with free parameters that is applied to each feature before the first layer; `None` for no such
    /// spline.
    pub elementwise: Option<RationalQuadraticConfig>,
}
}

/// Masked spline layers on a standard normal, optionally preceded by a free spline for each feature. A density takes
/// one pass through each network. A sample costs about as much as a density with
/// [`InverseMethod::Incremental`](crate::bijector::InverseMethod).
///
/// ```text
/// layer     z_i = spline(x_i; h_i),   h_i a masked network of the features before i, and c
/// stack     spline_0?, layer, (linear map), layer with another order ..
/// spline_0  optional, one free spline for each feature
/// ```
///
/// Paper: Durkan, Bekasov, Murray, Papamakarios (2019), Neural Spline Flows, sections 3 and 4 (RQ-NSF
/// with autoregressive layers), arXiv:1906.04032; the linear maps are its section 3.1.
/// The model that zuko 1.6 calls `NSF`.
///
/// # When to take it
///
/// - Take it for the best density of a table with few features, including tables with one feature.
/// - Prefer [`Nsf`](super::Nsf) for many features: sampling takes one step for each feature here, which is slow on a
///   GPU.
/// - Measured: within 0.05 nats of the entropy of two moons (`cargo test --release --test learn moons`); 5.7 ms for the
///   densities of 1024 rows of 16 features, 10.9 ms for as many samples (`benches/README.md`).
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row that applies to the whole batch
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::model::{AutoregressiveNsf, AutoregressiveNsfConfig};
///
/// let device = Device::flex();
/// let flow: AutoregressiveNsf = AutoregressiveNsfConfig::new(4).with_layers(2).init(&device);
/// let x = flow.sample_seeded(5, 1);
/// assert_eq!(x.dims(), [5, 4]);
/// assert_eq!(flow.log_prob(x).dims(), [5]);
/// ```
pub type AutoregressiveNsf = Flow<NsfLayers<AutoregressiveStep<AnyUnivariate>>, StandardNormal<2>>;

impl AutoregressiveNsfConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        self.spline.validate()?;
        self.stack().validate(self.spline.init().params_per_element())?;
        check_free("AutoregressiveNsfConfig", self.elementwise.as_ref(), self.features)
    }

    construct! {
        /// Builds the flow, which is the identity until it is trained.
        seeded(device: &Device) -> AutoregressiveNsf
    }

    fn build(&self, device: &Device) -> AutoregressiveNsf {
        let spline = |_| AnyUnivariateConfig::RationalQuadratic(self.spline).init();
        let steps = self.stack().init(spline, device);
        let layers = NsfLayers::new(self.elementwise.as_ref(), self.features, steps, device);
        Flow::new(layers, StandardNormal::new([self.features], device))
    }
}
