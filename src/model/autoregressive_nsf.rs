//! Autoregressive neural spline flow: masked layers whose scalar map is a rational-quadratic spline.

use burn::tensor::Device;

use super::Orders;
use super::autoregressive::{Stack, stack};
use crate::bijector::{Elementwise, InverseMethod, LuLinear, MaskedAutoregressive};
use crate::conditioner::MadeConfig;
use crate::config::seeded_config;
use crate::distribution::StandardNormal;
use crate::error::{Result, expect_valid, fits};
use crate::flow::Flow;
use crate::initial;
use crate::univariate::{
    AnyUnivariate, AnyUnivariateConfig, RationalQuadratic, RationalQuadraticConfig, Univariate,
};

seeded_config! {
/// Configuration of an [`AutoregressiveNsf`].
///
/// Standardise the data first: outside the spline's domain, 5 to either side of 0, nothing changes.
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
pub struct AutoregressiveNsfConfig {
    /// Features of an event.
    pub features: usize,
    /// Number of masked layers.
    #[config(default = 3)]
    pub layers: usize,
    /// How the order of the features changes from layer to layer.
    #[config(default = Orders::Alternating)]
    pub orders: Orders,
    /// The network of every layer; its dependencies stay at `Forward`, as `orders` decides them.
    #[config(default = MadeConfig::new(vec![128, 128]))]
    pub made: MadeConfig,
    /// Width of the context; 0 for none.
    #[config(default = 0)]
    pub context: usize,
    /// The spline of every layer.
    #[config(default = RationalQuadraticConfig::new())]
    pub spline: RationalQuadraticConfig,
    /// A spline of every feature with free parameters, in front.
    pub elementwise: Option<RationalQuadraticConfig>,
    /// A learned linear map between layers, started as the identity.
    #[config(default = false)]
    pub linear: bool,
    /// How the layers are inverted to sample.
    #[config(default = InverseMethod::Incremental)]
    pub inverse: InverseMethod,
}
}

/// A step of an [`AutoregressiveNsf`].
pub type AutoregressiveNsfStep = (Option<LuLinear>, MaskedAutoregressive<AnyUnivariate>);

/// Masked spline layers on a standard normal, behind a free spline per feature if wanted. A density
/// is one pass through every network; a sample costs about as much
/// ([`InverseMethod::Incremental`](crate::bijector::InverseMethod)).
///
/// ```text
/// layer     z_i = spline(x_i; h_i),   h_i a masked network of the features before i, and c
/// stack     spline_0?, layer, (linear map), layer with another order ..      spline_0 free, one per feature
/// ```
///
/// Paper: Durkan, Bekasov, Murray, Papamakarios (2019), Neural Spline Flows, sections 3 and 4 (RQ-NSF
/// with autoregressive layers), arXiv:1906.04032; the linear maps are its section 3.1.
/// The model that zuko 1.6 calls `NSF`.
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row for all
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
pub type AutoregressiveNsf =
    Flow<(Option<Elementwise<RationalQuadratic>>, Vec<AutoregressiveNsfStep>), StandardNormal<2>>;

impl AutoregressiveNsfConfig {
    fn stack(&self) -> Stack<'_> {
        stack!(self, "AutoregressiveNsfConfig")
    }

    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        self.spline.validate()?;
        self.stack().validate(self.spline.init().params_per_element())?;
        let Some(elementwise) = &self.elementwise else { return Ok(()) };
        elementwise.validate()?;
        let params = elementwise.init().params_per_element();
        fits("AutoregressiveNsfConfig", "elementwise", &[params, self.features])
    }

    /// The flow, an identity until it is trained.
    ///
    /// # Panics
    ///
    /// If [`validate`](Self::validate) fails, with its message.
    pub fn init(&self, device: &Device) -> AutoregressiveNsf {
        expect_valid(self.validate());
        initial::scope(self.seed, || self.flow(device))
    }

    fn flow(&self, device: &Device) -> AutoregressiveNsf {
        let front = |spline: &RationalQuadraticConfig| {
            Elementwise::new(spline.init(), self.features, device)
        };
        let layers = (
            self.elementwise.as_ref().map(front),
            self.stack()
                .init(|_| AnyUnivariateConfig::RationalQuadratic(self.spline).init(), device),
        );
        Flow::new(layers, StandardNormal::new([self.features], device))
    }
}
