//! Neural spline flow: couplings whose scalar map is a rational-quadratic spline.

use burn::tensor::Device;

use super::{Couplings, Masks};
use crate::bijector::{Coupling, Elementwise, LuLinear, LuLinearConfig};
use crate::conditioner::{Mlp, MlpConfig};
use crate::config::{construct, seeded_config};
use crate::distribution::StandardNormal;
use crate::error::{Result, fits};
use crate::flow::Flow;
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

crate::layers! {
    /// A step of an [`Nsf`].
    pub struct NsfStep {
        /// A linear map in front.
        pub linear: Option<LuLinear>,
        /// The coupling.
        pub coupling: Coupling<RationalQuadratic, Mlp>,
    }
}

crate::layers! {
    /// The layers of a neural spline flow: a spline of every feature with free parameters, then the steps.
    pub struct NsfLayers<S> {
        /// The free splines.
        pub elementwise: Option<Elementwise<RationalQuadratic>>,
        /// The steps.
        pub steps: Vec<S>,
    }
}

impl<S> NsfLayers<S> {
    /// The free splines of `features` features in front of the steps.
    pub(super) fn new(
        spline: Option<&RationalQuadraticConfig>,
        features: usize,
        steps: Vec<S>,
        device: &Device,
    ) -> Self {
        let free = |spline: &RationalQuadraticConfig| {
            Elementwise::new(spline.init(), features, device).expect("validated")
        };
        Self { elementwise: spline.map(free), steps }
    }
}

/// `Err` unless there can be free splines of so many features.
pub(super) fn check_free(
    config: &'static str,
    spline: Option<&RationalQuadraticConfig>,
    features: usize,
) -> Result<()> {
    let Some(spline) = spline else { return Ok(()) };
    spline.validate()?;
    fits(config, "elementwise", &[spline.init().params_per_element(), features])
}

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
/// # When to take it
///
/// - Take it for the best density of a table whose samples have to be fast, and for densities with edges.
/// - Prefer [`RealNvp`](super::RealNvp) where time matters more: a spline takes about three times as long.
/// - Measured: within 0.05 nats of the entropy of two moons (`cargo test --release --test learn moons`); 9.3 ms for the
///   densities of 1024 rows of 64 features (`benches/README.md`).
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
pub type Nsf = Flow<NsfLayers<NsfStep>, StandardNormal<2>>;

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
        check_free("NsfConfig", self.elementwise.as_ref(), self.features)
    }

    construct! {
        /// The flow, an identity until it is trained.
        seeded(device: &Device) -> Nsf
    }

    fn build(&self, device: &Device) -> Nsf {
        let linear = || self.linear.then(|| LuLinearConfig::new(self.features).init(device));
        let couplings = self.couplings().init(self.spline.init(), device);
        let steps = couplings.into_iter().map(|coupling| NsfStep { linear: linear(), coupling });
        let free = self.elementwise.as_ref();
        let layers = NsfLayers::new(free, self.features, steps.collect(), device);
        Flow::new(layers, StandardNormal::new([self.features], device))
    }
}
