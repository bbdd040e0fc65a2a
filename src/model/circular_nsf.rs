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
///     "CircularNsfConfig.spline: needs a domain that is circular, found LinearTails { bound: 5.0 }"
/// );
/// ```
pub struct CircularNsfConfig {
    /// Angles of an event.
    pub features: usize,
    /// Number of masked layers.
    #[config(default = 3)]
    pub layers: usize,
    /// How the order of the angles changes from layer to layer.
    #[config(default = Orders::Alternating)]
    pub orders: Orders,
    /// The network of every layer; its dependencies stay at `Forward`, as `orders` decides them.
    #[config(default = MadeConfig::new(vec![128, 128]))]
    pub made: MadeConfig,
    /// Width of the context; 0 for none.
    #[config(default = 0)]
    pub context: usize,
    /// The spline of every layer, on a circle.
    #[config(default = RationalQuadraticConfig::new().with_domain(SplineDomain::Circular { bound: PI }))]
    pub spline: RationalQuadraticConfig,
    /// How the layers are inverted to sample.
    #[config(default = InverseMethod::Incremental)]
    pub inverse: InverseMethod,
}
}

/// Masked circular splines on a uniform base: a density of angles, smooth where each circle closes.
///
/// ```text
/// layer     z_i = spline(x_i; h_i) on a circle,   h_i a masked network of the angles before i, and c
/// stack     layer, layer with another order ..
/// base      uniform on [-bound, bound] for every angle
/// ```
///
/// Paper: Rezende, Papamakarios, Racaniere, Albergo, Kanwar, Shanahan, Cranmer (2020), Normalizing
/// Flows on Tori and Spheres, section 2.1.2 (circular splines) and 2.2 (tori), arXiv:2002.02428.
/// The model that zuko 1.6 calls `NCSF`; there the slope where a circle closes is 1 and every layer
/// turns by half a circle, here that slope is learned and the point stays.
///
/// Angles lie in `[-bound, bound]`; outside, the density is 0. The networks see an angle as a number,
/// so how one angle depends on another may jump where the circle of the other closes: cut it where
/// data are rare.
///
/// # When to take it
///
/// - Take it for angles: the density is the same at both ends of the circle.
/// - Prefer [`AutoregressiveNsf`](super::AutoregressiveNsf) for features on the line.
/// - Measured: within 0.05 nats of the entropy of wrapped normals (`cargo test --release --test learn circular`).
///
/// # Shapes
///
/// - data and latent `[batch, features]`; context `[batch, context]`, or one row for all
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

    /// Half the length of a circle.
    fn bound(&self) -> Result<f64> {
        match self.spline.domain {
            SplineDomain::Circular { bound } => Ok(bound),
            domain => {
                let reason = format!("needs a domain that is circular, found {domain:?}");
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
        /// The flow, uniform until it is trained.
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
