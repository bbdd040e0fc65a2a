//! Radial flow: each row moves toward a point or away from it.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::rows_bijector;
use crate::bijector::check_weights;
use crate::conditioner::{MlpConfig, Parts, RowParams};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count};
use crate::initial;
use crate::math::softplus;

/// The smallest `a` and `s`. Without it the slope at the centre is 0/0, or its logarithm is infinite.
const LEAST: f64 = 1e-6;

/// The smallest square of a distance. Without it the square root has an infinite slope at the centre. In f32 it is
/// still a normal number.
const LEAST_SQUARE: f64 = 1e-30;

/// The distance at which the log-determinant is zero to the last digit. The square of a much larger distance overflows
/// f32, and makes the logarithm infinite.
const FAR: f64 = 1e15;

seeded_config! {
/// Configuration of a [`Radial`].
///
/// ```
/// use burn_flows::bijector::RadialConfig;
///
/// assert!(RadialConfig::new(4).with_context(2).validate().is_ok());
/// assert!(RadialConfig::new(0).validate().is_err());
/// ```
pub struct RadialConfig {
    /// Number of values of an event.
    pub features: usize,
    /// Width of the context; 0 for none. Set it for a conditional flow.
    #[config(default = 0)]
    pub context: usize,
    /// The network of the context. Its outputs are added to the parameters. It has no effect without a context.
    #[config(default = MlpConfig::new(vec![64]))]
    pub mlp: MlpConfig,
}
}

crate::store::checked! {
/// A radial layer. The initial layer is the identity, with a random centre.
///
/// ```text
/// forward   z = x + b (x - x0) / (a + r),   r = |x - x0|
/// log-det   (D - 1) ln((r + s) / (r + a)) + ln((r (r + 2 a) + s a) / (r + a)^2)
/// inverse   x = x0 + (z - x0) (r + a) / (r + s),   r^2 + (s - |z - x0|) r = a |z - x0|
/// ```
///
/// `a = |alpha|`, `s = softplus(beta)` and `b = s - a`, which is above `-a`.
///
/// Paper: Rezende, Mohamed (2015), Variational Inference with Normalizing Flows, equations 14 and 15
/// and appendix A.2, arXiv:1505.05770. It runs the formula latent to data: [`Inverse`](crate::bijector::Inverse)
/// of this layer does.
/// Same numbers as normflows 1.7 `Radial` (its [`Inverse`](crate::bijector::Inverse)).
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, event..]` with as many values per event
/// - context: `[batch, context]`, if the layer was built for a context
///
/// # Numerics
///
/// Both directions are formulas. The radius is the positive root of a quadratic equation, in a form without
/// cancellation. `a` and `s` are at least 1e-6.
///
/// # Panics
///
/// If the size of the event or of the context differs from the size that the layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Radial};
///
/// let device = Device::flex();
/// let number = |value: f64| Tensor::<1>::from_data([value], &device);
/// let layer = Radial::from_weights(Tensor::zeros([2], &device), number(1.0), number(2.0));
/// let x = Tensor::<2>::from_data([[0.6, -0.8]], &device);
/// let (z, _) = layer.forward(x.clone(), None);
/// assert!(z.clone().square().sum().into_scalar::<f32>() > 1.0); // away from the centre
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Radial {
    params: RowParams,
}
}

impl Radial {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let count = self.params.count();
        crate::store::require("Radial", "params", count > 2, || {
            format!("must hold features + 2 values, found {count}")
        })
    }
}

impl RadialConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("RadialConfig", "features", 1, self.features)?;
        self.mlp.validate_between(self.context, self.features + 2, 0)
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> Radial
    }

    fn build(&self, device: &Device) -> Radial {
        let mut noise = initial::noise(device);
        let centre = (0..self.features).map(|_| noise.next_normal());
        // `softplus(beta) = alpha = 1`, so the initial map is the identity.
        let free = centre.chain([1.0, 1f64.exp_m1().ln()]).collect();
        Radial { params: RowParams::new(free, &self.mlp, self.context, device) }
    }
}

/// The parameters of the map: one set per row, or one set for all rows, `[1 or batch, ..]`.
struct Ball {
    centre: Tensor<2>,
    a: Tensor<2>,
    s: Tensor<2>,
}

impl Ball {
    /// The log-determinant at distance `r`, `[batch, 1]`, for events of `features` values.
    fn log_det(&self, r: Tensor<2>, features: usize) -> Tensor<1> {
        let (batch, r) = (r.dims()[0], r.clamp_max(FAR));
        let across = (r.clone() + self.s.clone()).log();
        let outer = (r.clone() + self.a.clone()).log();
        let along = r.clone() * (r + self.a.clone() * 2.0) + self.s.clone() * self.a.clone();
        let across = (across - outer.clone()) * (features - 1) as f64;
        (across + along.log() - outer * 2.0).reshape([batch])
    }
}

/// The lengths of rows, `[batch, 1]`.
fn length(rows: Tensor<2>) -> Tensor<2> {
    rows.square().sum_dim(1).clamp_min(LEAST_SQUARE).sqrt()
}

impl Radial {
    /// Builds the layer from a centre, `[features]`, and `alpha` and `beta`, `[1]` each.
    ///
    /// # Panics
    ///
    /// If `alpha` or `beta` does not have shape `[1]`.
    pub fn from_weights(centre: Tensor<1>, alpha: Tensor<1>, beta: Tensor<1>) -> Self {
        check_weights("Radial", "alpha", [1], &alpha);
        check_weights("Radial", "beta", [1], &beta);
        Self { params: RowParams::free(Tensor::cat(vec![centre, alpha, beta], 0)) }
    }

    fn width(&self) -> usize {
        self.params.count() - 2
    }

    fn ball(&self, context: Option<&Tensor<2>>) -> Ball {
        let mut parts = Parts::of(self.params.rows("Radial", context));
        let (centre, alpha, beta) = (parts.next(self.width()), parts.next(1), parts.next(1));
        let (a, s) = (alpha.abs().clamp_min(LEAST), softplus(beta).clamp_min(LEAST));
        Ball { centre, a, s }
    }

    fn apply(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let ball = self.ball(context);
        let from_centre = x.clone() - ball.centre.clone();
        let r = length(from_centre.clone());
        let step = (ball.s.clone() - ball.a.clone()) / (r.clone() + ball.a.clone());
        (x + from_centre * step, ball.log_det(r, self.width()))
    }

    fn unapply(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let ball = self.ball(context);
        let from_centre = z.clone() - ball.centre.clone();
        let image = length(from_centre.clone());
        // Both forms of the root divide or multiply by a sum of positive numbers, which avoids cancellation.
        let excess = image.clone() - ball.s.clone();
        let product = image * ball.a.clone();
        let root = (excess.clone().square() + product.clone() * 4.0).sqrt();
        let sum = excess.clone().abs() + root;
        let outside = excess.greater_elem(0.0);
        let r = (product * 2.0 / sum.clone()).mask_where(outside, sum * 0.5);
        let step = (ball.a.clone() - ball.s.clone()) / (r.clone() + ball.s.clone());
        (z + from_centre * step, ball.log_det(r, self.width()).neg())
    }
}

rows_bijector!(Radial, "Radial");
