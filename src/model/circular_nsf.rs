//! Circular neural spline flow: autoregressive splines of angles, on a uniform base.

use std::f64::consts::PI;

use burn::tensor::{Device, Tensor};

use super::Orders;
use super::autoregressive::AutoregressiveStep;
use super::autoregressive::Stack;
use crate::bijector::InverseMethod;
use crate::conditioner::MadeConfig;
use crate::config::{construct, seeded_config};
use crate::distribution::Uniform;
use crate::error::{Error, Result};
use crate::flow::Flow;
use crate::univariate::{
    AnyUnivariate, AnyUnivariateConfig, RationalQuadraticConfig, SplineDomain, Univariate,
};

const NAME: &str = "CircularNsfConfig";

seeded_config! {
/// Configuration of a [`CircularNsf`].
///
/// ```
/// use burn_flows::{model::CircularNsfConfig, univariate::{RationalQuadraticConfig, SplineDomain}};
///
/// // Angles in degrees.
/// let spline = RationalQuadraticConfig::new().with_domain(SplineDomain::Circular { bound: 180.0 });
/// let config = CircularNsfConfig::new(2).with_spline(spline);
/// assert!(config.validate().is_ok());
///
/// let error = config.with_spline(RationalQuadraticConfig::new()).validate().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "CircularNsfConfig.spline: must have a Circular domain, found LinearTails { bound: 5.0 }"
/// );
/// ```
pub struct CircularNsfConfig {
    /// Number of angles of an event.
    pub features: usize,
    /// Number of masked layers. More layers fit more complex densities and cost proportionally more time.
    #[config(default = 3)]
    pub layers: usize,
    /// How the order of the angles changes from layer to layer.
    #[config(default = Orders::Alternating)]
    pub orders: Orders,
    /// The masked network of each layer. Its `dependencies` must stay at `Forward`, because `orders` sets them.
    #[config(default = MadeConfig::new(vec![128, 128]))]
    pub made: MadeConfig,
    /// Number of context features; 0 for an unconditional model.
    #[config(default = 0)]
    pub context: usize,
    /// The spline of every layer. Its domain must be `Circular`; the bound of the domain sets the unit of the angles.
    #[config(default = RationalQuadraticConfig::new().with_domain(SplineDomain::Circular { bound: PI }))]
    pub spline: RationalQuadraticConfig,
    /// How the masked layers are inverted to sample.
    #[config(default = InverseMethod::Incremental)]
    pub inverse: InverseMethod,
}
}

/// Masked circular splines on a uniform base: a density of angles that is smooth at the ends of each interval.
///
/// ```text
/// layer     z_i = spline(x_i; h_i) on a circle,   h_i a masked network of the angles before i, and c
/// stack     layer, layer with another order ..
/// base      uniform on [-bound, bound] for every angle
/// ```
///
/// Paper: Rezende, Papamakarios, Racaniere, Albergo, Kanwar, Shanahan, Cranmer (2020), Normalizing
/// Flows on Tori and Spheres, section 2.1.2 (circular splines) and 2.2 (tori), arXiv:2002.02428.
/// The model that zuko 1.6 calls `NCSF`, with two differences. zuko fixes the slope at the ends of the circle to 1, and
/// this model learns the slope. zuko rotates each layer by half a circle, and this model does not.
///
/// Angles lie in `[-bound, bound]`; the density is 0 outside. The networks receive each angle as a plain number. The
/// conditional density of one angle may therefore jump at the ends of the interval of another angle. Choose the
/// interval so that data are rare at its ends.
///
/// # When to take it
///
/// - Take it for angles: the density has equal values at both ends of the interval.
/// - Prefer [`AutoregressiveNsf`](super::AutoregressiveNsf) for features on the real line.
/// - Measured: within 0.05 nats of the entropy of wrapped normals (`cargo test --release --test learn circular`).
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row that applies to the whole batch
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::model::{CircularNsf, CircularNsfConfig};
///
/// let flow: CircularNsf = CircularNsfConfig::new(2).with_layers(2).init(&Device::flex());
/// let x = flow.sample_seeded(5, 1);
/// assert!(x.clone().abs().max().into_scalar::<f32>() <= std::f32::consts::PI);
/// let uniform = -2.0 * (2.0 * std::f32::consts::PI).ln(); // until it is trained
/// assert!((flow.log_prob(x).mean().into_scalar::<f32>() - uniform).abs() < 1e-5);
/// ```
pub type CircularNsf = Flow<Vec<AutoregressiveStep<AnyUnivariate>>, Uniform<2>>;

impl CircularNsfConfig {
    fn stack(&self) -> Stack<'_> {
        Stack {
            config: NAME,
            features: self.features,
            layers: self.layers,
            orders: self.orders,
            made: &self.made,
            context: self.context,
            linear: false,
            inverse: self.inverse,
        }
    }

    /// Returns half the length of the circle, or an error if the domain is not circular.
    fn bound(&self) -> Result<f64> {
        match self.spline.domain {
            SplineDomain::Circular { bound } => Ok(bound),
            domain => {
                let reason = format!("must have a Circular domain, found {domain:?}");
                Err(Error::config(NAME, "spline", reason))
            }
        }
    }

    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        self.spline.validate()?;
        self.stack().validate(self.spline.init().params_per_element())?;
        self.bound().map(drop)
    }

    construct! {
        /// Builds the flow, whose density is uniform until it is trained.
        seeded(device: &Device) -> CircularNsf
    }

    fn build(&self, device: &Device) -> CircularNsf {
        let bound = self.bound().expect("validated");
        let spline = |_| AnyUnivariateConfig::RationalQuadratic(self.spline).init();
        let steps = self.stack().init(spline, device);
        let high = Tensor::full([1, self.features], bound, device);
        let base = Uniform::new(high.clone().neg(), high).expect("a bound above 0");
        Flow::new(steps, base)
    }
}
