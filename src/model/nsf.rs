//! Neural spline flow: couplings whose scalar map is a rational-quadratic spline.

use burn::tensor::Device;

use super::{Couplings, Masks};
use crate::bijector::{Coupling, Elementwise, LuLinear, LuLinearConfig};
use crate::conditioner::{Mlp, MlpConfig};
use crate::config::seeded_config;
use crate::distribution::StandardNormal;
use crate::error::{Result, expect_valid, fits};
use crate::flow::Flow;
use crate::initial;
use crate::univariate::{RationalQuadratic, RationalQuadraticConfig, Univariate};

seeded_config! {
/// Configuration of an [`Nsf`].
///
/// Standardise the data first: outside the spline's domain, 5 to either side of 0, nothing changes.
///
/// ```
/// use burn_flows::{model::{Masks, NsfConfig}, univariate::RationalQuadraticConfig};
///
/// let config = NsfConfig::new(64)
///     .with_masks(Masks::Random(0))
///     .with_elementwise(Some(RationalQuadraticConfig::new().with_bins(32)));
/// assert!(config.validate().is_ok());
/// assert!(NsfConfig::new(1).validate().is_err()); // nothing to split
/// ```
pub struct NsfConfig {
    /// Features of an event, at least 2.
    pub features: usize,
    /// Number of couplings.
    #[config(default = 6)]
    pub layers: usize,
    /// How the masks change from layer to layer.
    #[config(default = Masks::Random(0))]
    pub masks: Masks,
    /// The conditioner of every coupling.
    #[config(default = MlpConfig::new(vec![128, 128]))]
    pub mlp: MlpConfig,
    /// Width of the context; 0 for none.
    #[config(default = 0)]
    pub context: usize,
    /// The spline of every coupling.
    #[config(default = RationalQuadraticConfig::new())]
    pub spline: RationalQuadraticConfig,
    /// A spline of every feature with free parameters, in front.
    pub elementwise: Option<RationalQuadraticConfig>,
    /// A linear layer before every coupling.
    #[config(default = false)]
    pub linear: bool,
}
}

/// One step of an [`Nsf`]: a linear layer, if there is one, and a spline coupling.
pub type NsfStep = (Option<LuLinear>, Coupling<RationalQuadratic, Mlp>);

/// Spline couplings on a standard normal, behind a free spline per feature if wanted. The sibling of
/// masked layers is [`AutoregressiveNsf`](super::AutoregressiveNsf).
///
/// ```text
/// forward   z = spline_1 .. couplings(linear?(spline_0?(x)))     spline_0 free, one per feature
/// ```
///
/// Paper: Durkan, Bekasov, Murray, Papamakarios (2019), Neural Spline Flows, sections 3 and 4 (RQ-NSF
/// with coupling layers), arXiv:1906.04032. The linear layers between couplings are its section 3.1;
/// random masks do without, and serve better where every feature has an edge of its own, as pixels do.
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row for all
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::model::{Nsf, NsfConfig};
///
/// let device = Device::flex();
/// let flow: Nsf = NsfConfig::new(4).with_layers(2).with_linear(true).init(&device);
/// let x = flow.sample_seeded(5, 1);
/// assert_eq!(x.dims(), [5, 4]);
/// assert_eq!(flow.log_prob(x).dims(), [5]);
/// ```
pub type Nsf = Flow<(Option<Elementwise<RationalQuadratic>>, Vec<NsfStep>), StandardNormal<2>>;

impl NsfConfig {
    fn couplings(&self) -> Couplings<'_> {
        Couplings {
            config: "NsfConfig",
            features: self.features,
            layers: self.layers,
            masks: self.masks,
            mlp: &self.mlp,
            context: self.context,
        }
    }

    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        self.spline.validate()?;
        self.couplings().validate(self.spline.init().params_per_element())?;
        let Some(elementwise) = &self.elementwise else { return Ok(()) };
        elementwise.validate()?;
        let params = elementwise.init().params_per_element();
        fits("NsfConfig", "elementwise", &[params, self.features])
    }

    /// The flow, an identity until it is trained.
    ///
    /// # Panics
    ///
    /// If [`validate`](Self::validate) fails, with its message.
    pub fn init(&self, device: &Device) -> Nsf {
        expect_valid(self.validate());
        initial::scope(self.seed, || self.flow(device))
    }

    fn flow(&self, device: &Device) -> Nsf {
        let front = |spline: &RationalQuadraticConfig| {
            Elementwise::new(spline.init(), self.features, device)
        };
        let linear = || self.linear.then(|| LuLinearConfig::new(self.features).init(device));
        let couplings = self.couplings().init(self.spline.init(), device);
        let steps = couplings.into_iter().map(|coupling| (linear(), coupling)).collect();
        let layers = (self.elementwise.as_ref().map(front), steps);
        Flow::new(layers, StandardNormal::new([self.features], device))
    }
}
