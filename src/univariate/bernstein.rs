//! Bernstein polynomial: an increasing polynomial on an interval, the identity outside.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use serde::Serialize;

use super::Univariate;
use super::curve::{self, Curve, Curved, tamed};
use crate::config::{config, construct};
use crate::error::{Error, Result, count, length};
use crate::solve::Bracket;

/// The least distance of a position to an end of the unit interval, and the least slope. It keeps the
/// logarithms of both above minus infinity. 1e-30 is far below the resolution of f32 next to 1.
const LEAST: f64 = 1e-30;

/// Number of fixed rises at each end.
const FIXED: usize = 2;

config! {
/// Configuration of a [`Bernstein`].
///
/// ```
/// use burn_flows::univariate::{BernsteinConfig, Univariate};
///
/// let map = BernsteinConfig::new().with_degree(12).init();
/// assert_eq!(map.params_per_element(), 8);
/// let error = BernsteinConfig::new().with_degree(5).validate().unwrap_err();
/// assert_eq!(error.to_string(), "BernsteinConfig.degree: must be at least 6, found 5");
/// ```
#[derive(Copy, PartialEq)]
pub struct BernsteinConfig {
    /// Degree `M` of the polynomial, at least 6. An element has `M - 4` parameters, the free rises.
    /// Raise it for densities with more detail.
    #[config(default = 20)]
    pub degree: usize,
    /// `B`: the polynomial acts on `[-B, B]`, the map is the identity outside. Choose it so that the
    /// data lie inside.
    #[config(default = 5.0)]
    pub bound: f64,
    /// The least free rise, as a share of the sum of all free rises. Without a least rise (zuko) the
    /// logarithm of the slope can underflow.
    #[config(default = 1e-4)]
    pub min_rise: f64,
    /// Share of the interval by which the identity outside is shifted away from it, on both sides. With
    /// 0 the map is continuous. zuko has 1e-6, and its identity starts that much inside the interval;
    /// set 1e-6 to reproduce zuko's numbers.
    #[config(default = 0.0)]
    pub gap: f64,
}
}

crate::store::checked! {
/// A Bernstein polynomial, made by [`BernsteinConfig::init`].
///
/// With `t = (x + B) / 2B`, the basis `b_i(t) = C(M - 1, i) t^i (1 - t)^(M - 1 - i)` and coefficients
/// `-B = c_0 <= .. <= c_M = B` that rise by `d_i = c_(i+1) - c_i`:
///
/// ```text
/// forward   z = sum_i b_i(t) (c_i + t d_i)              for |x| < B, x elsewhere
/// log-det   sum of ln( M / 2B sum_i b_i(t) d_i )
/// inverse   by search in [-B, B]
/// ```
///
/// The first two and the last two rises are `2B / M`: the map has slope 1 and no curvature at the ends.
///
/// Papers: Sick, Hothorn, Duerr (2020), Deep transformation models, section 2.3, arXiv:2004.00464;
/// Ramasinghe, Fernando, Khan, Barnes (2021), Robust normalizing flows using Bernstein-type
/// polynomials, arXiv:2102.03509.
/// Same numbers as zuko 1.6 `BoundedBernsteinTransform`, with [`BernsteinConfig::gap`] of 1e-6 and no
/// least rise.
///
/// Parameters: `degree - 4` raw rises, which pass through a softmax. Raw zeros are the identity.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// The slope is a mean of rises with positive weights, so nothing cancels. Raw rises are clamped to
/// `[-1e6, 1e6]`. Results are finite for every finite value and parameter, also in f32.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{BernsteinConfig, Univariate};
///
/// let device = Device::flex();
/// let map = BernsteinConfig::new().with_degree(6).init();
/// let x = Tensor::<2>::from_data([[-7.0, 0.5, 3.0]], &device);
/// let zeros = Tensor::<3>::zeros([1, 2, 3], &device);
/// let (z, _) = map.forward(x.clone(), zeros.clone());
/// z.into_data().assert_approx_eq::<f32>(&x.to_data(), Default::default());
/// let params = zeros + Tensor::<3>::from_data([[[1.0], [-1.0]]], &device);
/// let (z, _) = map.forward(x.clone(), params.clone());
/// assert!(z.clone().into_data().iter::<f32>().nth(1) > Some(0.8)); // was 0.5
/// map.inverse(z, params).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Bernstein {
    #[module(skip)]
    config: BernsteinConfig,
}
}

impl Bernstein {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        self.config.validate()
    }
}

impl BernsteinConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "BernsteinConfig";
        count(NAME, "degree", 2 * FIXED + 2, self.degree)?;
        let free = self.degree - 2 * FIXED;
        let (rise, gap) = (self.min_rise, self.gap);
        length(NAME, "bound", self.bound)?;
        let (field, reason) = if !(rise >= 0.0 && rise * (free as f64) < 1.0) {
            ("min_rise", format!("must be at least 0 and below 1 / {free}, found {rise}"))
        } else if !(0.0..0.1).contains(&gap) {
            ("gap", format!("must be in [0, 0.1), found {gap}"))
        } else {
            return Ok(());
        };
        Err(Error::config(NAME, field, reason))
    }

    construct! {
        /// Builds the map.
        unseeded() -> Bernstein
    }

    fn build(&self) -> Bernstein {
        Bernstein { config: *self }
    }
}

/// The polynomials of a batch: coefficients and rises, `[batch, M, n]`.
pub(super) struct Polynomial {
    from: Tensor<3>,
    rise: Tensor<3>,
    config: BernsteinConfig,
}

/// A tensor `[1, count, 1]` that holds `values` along axis 1.
fn along(values: Vec<f64>, like: &Tensor<2>) -> Tensor<3> {
    let data = TensorData::new(values.clone(), [1, values.len(), 1]);
    Tensor::from_data(data, (&like.device().without_autodiff(), like.dtype()))
}

/// Logarithms of the binomial coefficients of `n`.
fn log_binomials(n: usize) -> Vec<f64> {
    let next = |value: &mut f64, i: usize| {
        let now = *value;
        *value += ((n - i) as f64).ln() - ((i + 1) as f64).ln();
        Some(now)
    };
    (0..=n).scan(0.0, next).collect()
}

impl Polynomial {
    /// The value and the log-slope inside the interval.
    fn inside(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let BernsteinConfig { degree, bound, .. } = self.config;
        let [batch, n] = x.dims();
        // Not `/ bound`: burn 0.22 rounds the gradient of a division by a number to f32.
        let scale = 0.5 / bound;
        let unit = |distance: Tensor<2>| (distance * scale).clamp_min(LEAST);
        let (t, rest) = (unit(x.clone() + bound), unit(x.neg() + bound));
        let top = degree - 1;
        let powers: Vec<f64> = (0..=top).map(|i| i as f64).collect();
        let row = |t: &Tensor<2>| t.clone().log().reshape([batch, 1, n]);
        let log_basis = row(&t) * along(powers.clone(), &t)
            + row(&rest) * along(powers.into_iter().rev().collect(), &t)
            + along(log_binomials(top), &t);
        let basis = log_basis.exp();
        let partly = self.rise.clone() * t.reshape([batch, 1, n]) + self.from.clone();
        let value = (basis.clone() * partly).sum_dim(1).reshape([batch, n]);
        let slope = (basis * self.rise.clone()).sum_dim(1).reshape([batch, n]);
        (value, (slope * (degree as f64 * scale)).clamp_min(LEAST).log())
    }
}

impl Curve for Polynomial {
    /// No limit: [`at`](Curve::at) also computes the identity outside the interval.
    fn limit(&self) -> f64 {
        f64::INFINITY
    }

    fn at(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let BernsteinConfig { bound, gap, .. } = self.config;
        let shift = 2.0 * bound * gap;
        let plain = x.clone().without_autodiff();
        let below = plain.clone().lower_equal_elem(shift - bound);
        let above = plain.greater_equal_elem(bound - shift);
        let outside = below.clone().bool_or(above.clone());
        let (value, log_slope) = self.inside(x.clone().mask_fill(outside.clone(), 0.0));
        let value = value.mask_where(below, x.clone() - shift).mask_where(above, x + shift);
        (value, log_slope.mask_fill(outside, 0.0))
    }

    /// Outside the interval, the bracket has zero width and its ends are the inverse value.
    fn bracket(&self, z: &Tensor<2>) -> Bracket {
        let BernsteinConfig { bound, gap, .. } = self.config;
        let shift = 2.0 * bound * gap;
        let below = z.clone().lower_equal_elem(-bound);
        let above = z.clone().greater_equal_elem(bound);
        let end = |end: f64| {
            let inside = z.zeros_like() + end;
            let placed = inside.mask_where(below.clone(), z.clone() + shift);
            placed.mask_where(above.clone(), z.clone() - shift)
        };
        Bracket::Known { low: end(-bound), high: end(bound) }
    }
}

impl Curved for Bernstein {
    type Curve = Polynomial;

    fn curve(&self, params: Tensor<3>) -> Polynomial {
        let BernsteinConfig { degree, bound, min_rise, .. } = self.config;
        let [batch, free, n] = params.dims();
        let share = burn::tensor::activation::softmax(tamed(params), 1);
        let share = share * (1.0 - min_rise * free as f64) + min_rise;
        let fixed = 2.0 * bound / degree as f64;
        let end = share.clone().narrow(1, 0, 1).zeros_like().detach() + fixed;
        let end = end.expand([batch, FIXED, n]);
        let total = 2.0 * bound - (2 * FIXED) as f64 * fixed;
        let rise = Tensor::cat(vec![end.clone(), share * total, end], 1);
        let from = rise.clone().cumsum(1) - rise.clone() - bound;
        Polynomial { from, rise, config: self.config }
    }
}

impl Univariate for Bernstein {
    fn params_per_element(&self) -> usize {
        self.config.degree - 2 * FIXED
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        curve::forward(self, x, params)
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        curve::inverse(self, z, params)
    }
}
