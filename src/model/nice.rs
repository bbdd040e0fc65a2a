//! NICE: additive couplings, then one scaling per element.

use burn::tensor::Device;

use super::{Couplings, Masks};
use crate::bijector::{Coupling, Elementwise};
use crate::conditioner::{Mlp, MlpConfig};
use crate::config::{construct, seeded_config};
use crate::distribution::StandardNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::univariate::{Additive, Affine};

seeded_config! {
/// Configuration of a [`Nice`].
///
/// ```
/// use burn_flows::model::NiceConfig;
///
/// assert!(NiceConfig::new(6).with_layers(4).validate().is_ok());
/// assert!(NiceConfig::new(6).with_layers(0).validate().is_err());
/// ```
pub struct NiceConfig {
    /// Number of features of an event, at least 2.
    pub features: usize,
    /// Number of couplings. More couplings fit more complex densities and cost proportionally more time.
    #[config(default = 4)]
    pub layers: usize,
    /// How the masks change from layer to layer.
    #[config(default = Masks::Alternating)]
    pub masks: Masks,
    /// The conditioner of every coupling. Wider hidden layers fit more complex densities; dropout helps on few rows.
    #[config(default = MlpConfig::new(vec![128, 128]))]
    pub mlp: MlpConfig,
    /// Number of context features; 0 for an unconditional model.
    #[config(default = 0)]
    pub context: usize,
}
}

/// Volume-preserving couplings and a learned diagonal, on a standard normal.
///
/// ```text
/// forward   z = exp(s) coupling_K(.. coupling_1(x)),   z_b = x_b + mlp(x_a)
/// ```
///
/// Paper: Dinh, Krueger, Bengio (2015), NICE: Non-linear Independent Components Estimation,
/// sections 3.2 and 3.3, arXiv:1410.8516.
/// Same numbers as nflows 0.14 `AdditiveCouplingTransform` stacks. (The `NICE` of zuko is an affine stack, which is
/// [`RealNvp`](super::RealNvp) in this crate.)
///
/// # When to take it
///
/// - Take it where the couplings must preserve volume.
/// - Prefer [`RealNvp`](super::RealNvp) otherwise: a scale that depends on the data fits more densities.
/// - Measured: within 0.05 nats of the entropy of a sheared normal (`cargo test --release --test learn entropies`).
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row that applies to the whole batch
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::model::{Nice, NiceConfig};
///
/// let device = Device::flex();
/// let flow: Nice = NiceConfig::new(4).init(&device);
/// assert_eq!(flow.log_prob(Tensor::zeros([3, 4], &device)).dims(), [3]);
/// ```
pub type Nice = Flow<NiceLayers, StandardNormal<2>>;

crate::layers! {
    /// The layers of a [`Nice`].
    pub struct NiceLayers {
        /// The couplings.
        pub couplings: Vec<Coupling<Additive, Mlp>>,
        /// The learned scale of every element.
        pub scale: Elementwise<Affine>,
    }
}

impl NiceConfig {
    fn couplings(&self) -> Couplings<'_> {
        Couplings {
            config: "NiceConfig",
            features: self.features,
            layers: self.layers,
            masks: self.masks,
            mlp: &self.mlp,
            context: self.context,
        }
    }

    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        self.couplings().validate(1)
    }

    construct! {
        /// Builds the flow, which is the identity until it is trained.
        seeded(device: &Device) -> Nice
    }

    fn build(&self, device: &Device) -> Nice {
        let couplings = self.couplings().init(Additive::default(), device);
        let scale = Elementwise::new(Affine::default(), self.features, device).expect("validated");
        Flow::new(NiceLayers { couplings, scale }, StandardNormal::new([self.features], device))
    }
}
