//! Gaussianization: a mixture of normal distribution functions, through the normal quantile.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::Univariate;
use super::curve::{
    self, Curve, Curved, FAR, between, check_spread, offsets, tamed, tamed_log_scale,
};
use super::normal::{Tail, quantile, tails};
use crate::config::{config, construct};
use crate::error::{Error, Result, count};
use crate::math::log_sum_exp;
use crate::solve::Bracket;

config! {
/// Configuration of a [`Gaussianization`].
///
/// ```
/// use burn_flows::univariate::{GaussianizationConfig, Univariate};
///
/// let map = GaussianizationConfig::new().with_components(6).init();
/// assert_eq!(map.params_per_element(), 12);
/// let error = GaussianizationConfig::new().with_components(0).validate().unwrap_err();
/// assert_eq!(error.to_string(), "GaussianizationConfig.components: must be at least 1, found 0");
/// ```
#[derive(Copy, PartialEq)]
pub struct GaussianizationConfig {
    /// Number of kernels of an element. Raise it for marginals with more modes; each kernel adds 2
    /// parameters.
    #[config(default = 8)]
    pub components: usize,
    /// The shifts start evenly spaced between `-spread` and `spread`. With 0 (zuko) all kernels start
    /// alike, and stay alike if their parameters start at zero.
    #[config(default = 1.0)]
    pub spread: f64,
    /// Weight `e` with which the constant 1/2 is mixed into the distribution function. With 0 the map
    /// reaches the whole line. zuko has 1e-6, so that `z` stays within 4.9 unless `x` is a million; set
    /// 1e-6 to reproduce zuko's numbers.
    #[config(default = 0.0)]
    pub floor: f64,
}
}

crate::store::checked! {
/// A Gaussianization, made by [`GaussianizationConfig::init`].
///
/// ```text
/// forward   z = Phi^-1( (1 - e) mean_k Phi(u_k) + e / 2 ),   u_k = s_k x + b_k,  s_k = exp(a_k)
/// log-det   sum of ln( (1 - e) mean_k s_k phi(u_k) / phi(z) )
/// inverse   by search between the least and the largest (z - b_k) / s_k
/// ```
///
/// Data that follow the mixture become standard normal, so one layer fits any marginal. `e` is 0 by
/// default; zuko uses a positive `e`.
///
/// Papers: Chen, Gopinath (2000), Gaussianization; Meng, Song, Song, Ermon (2020), Gaussianization
/// Flows, section 3, arXiv:2003.01941 (with kernels of its own choice).
/// Same numbers as zuko 1.6 `GaussianizationTransform`, with [`GaussianizationConfig::floor`] of 1e-6
/// and no spread.
///
/// Parameters in this order: `components` shifts `b_k`, `components` raw log-scales `a_k`. At raw zeros
/// the map is close to the identity: with a spread of 1 it is 15% flatter at the origin, with a spread
/// of 0 it is the identity.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// Tails are computed in logarithms, so that `z` and its slope keep their digits for large `|x|`. `a`
/// is clamped to `[-15, 15]` and `b` to `[-1e6, 1e6]`. For `|x|` above a million the map is a straight
/// line with a slope from 1/1000 to 1000. Results are finite for every finite value and parameter, also
/// in f32.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{GaussianizationConfig, Univariate};
///
/// let device = Device::flex();
/// let map = GaussianizationConfig::new().with_components(2).with_spread(0.0).init();
/// // Two narrow kernels, at -2 and 2: an x of 2 is the third quartile, or nearly so.
/// let ln_4 = 4f64.ln();
/// let params = Tensor::<3>::from_data([[[8.0], [-8.0], [ln_4], [ln_4]]], &device);
/// let x = Tensor::<2>::from_data([[2.0]], &device);
/// let (z, _) = map.forward(x, params.clone());
/// assert!((z.clone().into_scalar::<f32>() - 0.67449).abs() < 1e-4);
/// assert!((map.inverse(z, params).into_scalar::<f32>() - 2.0).abs() < 1e-4);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Gaussianization {
    #[module(skip)]
    config: GaussianizationConfig,
}
}

impl Gaussianization {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        self.config.validate()
    }
}

impl GaussianizationConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "GaussianizationConfig";
        count(NAME, "components", 1, self.components)?;
        check_spread(NAME, self.spread)?;
        if (0.0..1.0).contains(&self.floor) {
            return Ok(());
        }
        Err(Error::config(NAME, "floor", format!("must be in [0, 1), found {}", self.floor)))
    }

    construct! {
        /// Builds the map.
        unseeded() -> Gaussianization
    }

    fn build(&self) -> Gaussianization {
        Gaussianization { config: *self }
    }
}

/// The kernels of a batch, `[batch, K, n]`.
pub(super) struct Kernels {
    shift: Tensor<3>,
    log_scale: Tensor<3>,
    floor: f64,
}

/// Returns `value`, which is outside any autodiff graph, with the gradient `slope` with respect to
/// `of`.
fn with_gradient<const D: usize>(value: Tensor<D>, of: &Tensor<D>, slope: Tensor<D>) -> Tensor<D> {
    let change = of.clone() - of.clone().without_autodiff();
    change * slope + value
}

impl Curve for Kernels {
    fn limit(&self) -> f64 {
        FAR
    }

    fn at(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let ([batch, n], [_, count, _]) = (x.dims(), self.shift.dims());
        let scale = self.log_scale.clone().exp();
        let u = x.reshape([batch, 1, n]) * scale + self.shift.clone();
        let plain = u.clone().without_autodiff();
        let log_weight = (1.0 - self.floor).ln() - (count as f64).ln();

        // The smaller tail is used. Signs are mirrored where the lower tail is the smaller one.
        let [above, below] = tails(plain);
        let mixed = |tail: &Tail<3>| log_sum_exp(tail.log.clone() + log_weight, 1);
        let total_above = mixed(&above);
        let mirrored = mixed(&below).lower(total_above.clone());
        let sign = (total_above.zeros_like() + 1.0).mask_fill(mirrored.clone(), -1.0);
        let mirrored = mirrored.expand(u.dims());
        let tail = above.log.mask_where(mirrored.clone(), below.log);
        let log_hazard = above.log_hazard.mask_where(mirrored, below.log_hazard);
        let hazard = log_hazard.clone().exp();
        let towards = u.clone() * sign.clone();
        let tail = with_gradient(tail, &towards, hazard.clone().neg());
        let mut log_total = log_sum_exp(tail.clone() + log_weight, 1);
        if self.floor > 0.0 {
            let floor = log_total.zeros_like().detach() + (0.5 * self.floor).ln();
            log_total = log_sum_exp(Tensor::cat(vec![log_total, floor], 1), 1);
        }
        let distance = quantile(log_total.clone().without_autodiff());
        let [Tail { log_hazard: log_hazard_z, .. }, _] = tails(distance.clone());

        // dz / du_k = w_k phi(u_k) / phi(z), as the share of the tail times a ratio of hazards.
        let share = tail + log_weight - log_total;
        let ratio = log_hazard.clone() - log_hazard_z.clone();
        let slopes = (share.clone().without_autodiff() + ratio).exp();
        let change = towards.clone() - towards.clone().without_autodiff();
        let distance = (change * slopes).sum_dim(1) + distance;
        let steepness = |log_hazard: &Tensor<3>, at: &Tensor<3>| {
            log_hazard.clone().exp() - at.clone().without_autodiff()
        };
        let of_z = steepness(&log_hazard_z, &distance);
        let of_u = hazard - towards.clone().without_autodiff();
        let log_hazard_z = with_gradient(log_hazard_z, &distance, of_z);
        let log_hazard = with_gradient(log_hazard, &towards, of_u);
        let log_slope = log_sum_exp(share + log_hazard + self.log_scale.clone(), 1) - log_hazard_z;
        ((distance * sign).reshape([batch, n]), log_slope.reshape([batch, n]))
    }

    fn bracket(&self, z: &Tensor<2>) -> Bracket {
        if self.floor > 0.0 {
            return Bracket::near(z);
        }
        let [batch, n] = z.dims();
        let from = z.clone().reshape([batch, 1, n]) - self.shift.clone();
        between(from * self.log_scale.clone().neg().exp())
    }
}

impl Curved for Gaussianization {
    type Curve = Kernels;

    fn curve(&self, params: Tensor<3>) -> Kernels {
        let GaussianizationConfig { components, spread, floor } = self.config;
        let shift = tamed(params.clone().narrow(1, 0, components));
        let shift = shift.clone() + offsets(components, spread, &shift);
        let log_scale = tamed_log_scale(params.narrow(1, components, components));
        Kernels { shift, log_scale, floor }
    }
}

impl Univariate for Gaussianization {
    fn params_per_element(&self) -> usize {
        2 * self.config.components
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        curve::forward(self, x, params)
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        curve::inverse(self, z, params)
    }
}
