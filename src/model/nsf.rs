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
/// Standardise the data first: the default spline is the identity outside `[-5, 5]`.
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
    /// Number of features of an event, at least 2.
    pub features: usize,
    /// Number of couplings. More couplings fit more complex densities and cost proportionally more time.
    #[config(default = 6)]
    pub layers: usize,
    /// How the masks change from layer to layer.
    #[config(default = Masks::Random(0))]
    pub masks: Masks,
    /// The conditioner of every coupling. Wider hidden layers fit more complex densities; dropout helps on few rows.
    #[config(default = MlpConfig::new(vec![128, 128]))]
    pub mlp: MlpConfig,
    /// Number of context features; 0 for an unconditional model.
    #[config(default = 0)]
    pub context: usize,
    /// The spline of every coupling. More bins resolve sharper densities; a larger bound covers a larger interval.
    #[config(default = RationalQuadraticConfig::new())]
    pub spline: RationalQuadraticConfig,
    /// The spline with free parameters that is applied to each feature before the first coupling; `None` for no such
    /// spline.
    pub elementwise: Option<RationalQuadraticConfig>,
    /// Whether a learned linear layer stands before every coupling.
    #[config(default = false)]
    pub linear: bool,
}
}

crate::layers! {
    /// One step of an [`Nsf`].
    pub struct NsfStep {
        /// The linear map in front of the coupling.
        pub linear: Option<LuLinear>,
        /// The coupling.
        pub coupling: Coupling<RationalQuadratic, Mlp>,
    }
}

crate::layers! {
    /// The layers of a neural spline flow: a spline with free parameters for each feature, then the steps.
    pub struct NsfLayers<S> {
        /// The splines with free parameters.
        pub elementwise: Option<Elementwise<RationalQuadratic>>,
        /// The steps.
        pub steps: Vec<S>,
    }
}

impl<S> NsfLayers<S> {
    /// Puts splines with free parameters for `features` features in front of the steps.
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

/// Returns an error if splines with free parameters cannot be built for `features` features.
pub(super) fn check_free(
    config: &'static str,
    spline: Option<&RationalQuadraticConfig>,
    features: usize,
) -> Result<()> {
    let Some(spline) = spline else { return Ok(()) };
    spline.validate()?;
    fits(config, "elementwise", &[spline.init().params_per_element(), features])
}

/// Spline couplings on a standard normal, optionally preceded by a free spline for each feature.
/// [`AutoregressiveNsf`](super::AutoregressiveNsf) is the variant with masked layers.
///
/// ```text
/// forward   z = spline_1 .. couplings(linear?(spline_0?(x)))     spline_0 free, one per feature
/// ```
///
/// Paper: Durkan, Bekasov, Murray, Papamakarios (2019), Neural Spline Flows, sections 3 and 4 (RQ-NSF with coupling
/// layers), arXiv:1906.04032. Section 3.1 of the paper describes the linear layers between couplings. Random masks work
/// without linear layers. They work better than linear layers where each feature has its own sharp edge, for example on
/// pixels.
///
/// # When to take it
///
/// - Take it for the best density of a table if sampling must be fast, and for densities with sharp edges.
/// - Prefer [`RealNvp`](super::RealNvp) where time matters more: a spline coupling takes about three times as long.
/// - Measured: within 0.05 nats of the entropy of two moons (`cargo test --release --test learn moons`); 8.7 ms for the
///   densities of 1024 rows of 64 features (`benches/README.md`).
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row that applies to the whole batch
///
/// # Example
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
        if self.linear {
            LuLinearConfig::new(self.features).validate().map_err(|error| error.of("NsfConfig"))?;
        }
        check_free("NsfConfig", self.elementwise.as_ref(), self.features)
    }

    construct! {
        /// Builds the flow, which is the identity until it is trained.
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
