//! Cubic spline: between two knots a cubic, with slopes at the knots that keep it monotone.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::bins::{Axis, Bins, Side, check_bins, check_floor, check_scale};
use super::domain::{SplineDomain, held};
use super::unit::{self, UnitSpline};
use crate::config::{config, construct};
use crate::error::{Error, Result};
use crate::math::sigmoid;
use crate::univariate::{Univariate, param};

/// Least slope, as a share of the slope of the bin, in a logarithm or as the divisor of a step of the
/// inverse. It applies if `min_slope` is 0 and a raw end slope is far below 0.
const LEAST_SLOPE: f64 = 1e-9;

/// Steps of the inverse after its start. The error of the start is at most 0.1 of a bin's height. For
/// slopes of at least [`LEAST_SLOPE`] at the ends, the last step changes nothing in f64.
const STEPS: usize = 8;

config! {
/// Configuration of a [`CubicSpline`].
///
/// ```
/// use burn_flows::univariate::{CubicSplineConfig, Univariate};
///
/// let map = CubicSplineConfig::new().with_bins(16).init();
/// assert_eq!(map.params_per_element(), 16 + 16 + 2);
/// let error = CubicSplineConfig::new().with_min_slope(0.5).validate().unwrap_err();
/// assert_eq!(error.to_string(), "CubicSplineConfig.min_slope: must be in [0, 1/3), found 0.5");
/// ```
#[derive(Copy, PartialEq)]
pub struct CubicSplineConfig {
    /// Number of bins, at least 2. Raise it for densities with more detail; each bin adds 2 parameters.
    #[config(default = 8)]
    pub bins: usize,
    /// The interval on which the spline acts, and the map outside. With linear tails the slopes at the
    /// ends are free too, so the slope jumps there.
    #[config(default = SplineDomain::default())]
    pub domain: SplineDomain,
    /// Least width of a bin, as a share of the interval. Without a least width, a bin of width zero
    /// divides by 0.
    #[config(default = 1e-3)]
    pub min_width: f64,
    /// Least height of a bin, as a share of the interval.
    #[config(default = 1e-3)]
    pub min_height: f64,
    /// Least slope at a free end, as a share of the largest slope that keeps the map monotone. nflows
    /// has 0.
    #[config(default = 1e-3)]
    pub min_slope: f64,
    /// Factor of the raw widths and heights. nflows divides by the square root of the width of a
    /// coupling's network.
    #[config(default = 1.0)]
    pub logit_scale: f64,
    /// Added to a raw end slope before the sigmoid. `None` gives a raw zero the slope of its bin;
    /// nflows has 0.
    pub end_offset: Option<f64>,
}
}

crate::store::checked! {
/// A cubic spline, made by [`CubicSplineConfig::init`].
///
/// In the bin of width `w` and height `h` that starts at `(x_k, y_k)`, with `s = h / w`, the slopes `d0`
/// and `d1` at its ends as multiples of `s`, `p = (x - x_k) / w` and `q = 1 - p`:
///
/// ```text
/// forward   z = y_k + h g(p),   g = d0 p q^2 + (3 - d1) p^2 q + p^3
/// log-det   sum of ln( s (d0 q^2 + 2 (3 - d0 - d1) p q + d1 p^2) )
/// inverse   the root of g(p) = (z - y_k) / h in [0, 1]
/// ```
///
/// The slope at an inner knot, between bins of slopes `s_l` and `s_r`, is the least of `2 s_l`, `2 s_r`
/// and `(w_r s_l + w_l s_r) / (w_l + w_r)`. The slope at a free end is a share of `3 s`, the largest
/// slope that keeps the map monotone.
///
/// Papers: Durkan, Bekasov, Murray, Papamakarios (2019), Cubic-Spline Flows, section 3,
/// arXiv:1906.02145; the inner slopes are those of Steffen (1990), A simple method for monotonic
/// interpolation in one dimension. Same numbers as nflows 0.14 `cubic_spline`, with a `min_slope` of 0
/// and an `end_offset` of 0.
///
/// Parameters in this order: `bins` raw widths, `bins` raw heights, then, unless the domain is a
/// circle, the raw slopes at the left and at the right end. On a circle the point where it closes is an
/// inner knot.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// Results are finite for every finite value and parameter, also in f32. The inverse starts from the
/// root of the [rational-quadratic](super::RationalQuadratic) map with the same ends, which has a
/// formula. It then takes Newton steps inside a shrinking bracket. Its gradient is the gradient of the
/// implicit function.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{CubicSplineConfig, Univariate};
///
/// let device = Device::flex();
/// let map = CubicSplineConfig::new().with_bins(2).init();
/// let x = Tensor::<2>::from_data([[-7.0, 0.0, 1.0]], &device);
/// let raw = [[1.0; 3], [0.0; 3], [0.0; 3], [0.5; 3], [0.2; 3], [-0.2; 3]];
/// let params = Tensor::<3>::from_data([raw], &device);
/// let (z, log_det) = map.forward(x.clone(), params.clone());
/// assert_eq!(z.clone().into_data().try_to_vec_as::<f32>().unwrap()[0], -7.0); // a tail
/// let (back, minus) = map.inverse_with_log_det(z, params);
/// back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// minus.neg().into_data().assert_approx_eq::<f32>(&log_det.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct CubicSpline {
    #[module(skip)]
    config: CubicSplineConfig,
}
}

impl CubicSpline {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        self.config.validate()
    }
}

impl CubicSplineConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "CubicSplineConfig";
        check_bins(NAME, self.bins)?;
        self.domain.validate()?;
        check_floor(NAME, "min_width", self.min_width, self.bins)?;
        check_floor(NAME, "min_height", self.min_height, self.bins)?;
        check_scale(NAME, self.logit_scale)?;
        if !(self.min_slope >= 0.0 && self.min_slope < 1.0 / 3.0) {
            let reason = format!("must be in [0, 1/3), found {}", self.min_slope);
            return Err(Error::config(NAME, "min_slope", reason));
        }
        match self.end_offset.filter(|offset| !offset.is_finite()) {
            Some(found) => {
                Err(Error::config(NAME, "end_offset", format!("must be finite, found {found}")))
            }
            None => Ok(()),
        }
    }

    construct! {
        /// Builds the map.
        unseeded() -> CubicSpline
    }

    fn build(&self) -> CubicSpline {
        CubicSpline { config: *self }
    }

    /// The slope at a free end, as a multiple of the slope of its bin.
    fn end(&self, raw: Tensor<2>) -> Tensor<2> {
        // 3 (min + (1 - min) sigmoid(offset)) = 1
        let neutral = || ((1.0 / 3.0 - self.min_slope) * 1.5).ln();
        let share = sigmoid(raw + self.end_offset.unwrap_or_else(neutral));
        (share * (1.0 - self.min_slope) + self.min_slope) * 3.0
    }

    fn is_circle(&self) -> bool {
        matches!(self.domain, SplineDomain::Circular { .. })
    }
}

/// The bin of every value, all `[batch, n]`.
pub(super) struct Piece {
    x: Side,
    y: Side,
    /// Slopes at the ends of the bin, as multiples of the slope of the bin.
    left: Tensor<2>,
    right: Tensor<2>,
}

/// The slope at the knot between a bin and a neighbour, as a multiple of the slope of the bin.
fn inner_slope(own: &[Tensor<2>; 2], other: [Tensor<2>; 2]) -> Tensor<2> {
    let ([width, height], [other_width, other_height]) = (own.clone(), other);
    // The slope of the neighbour divided by the slope of the bin.
    let ratio = other_height * width.clone() / (other_width.clone() * height);
    let mean = (width.clone() * ratio.clone() + other_width.clone()) / (width + other_width);
    (ratio * 2.0).min_pair(mean).clamp_max(2.0)
}

/// The function `g` of the formulas above.
fn rise(left: &Tensor<2>, right: &Tensor<2>, p: &Tensor<2>) -> Tensor<2> {
    let q = p.clone().neg() + 1.0;
    let inner = left.clone() * q.clone() + (right.clone().neg() + 3.0) * p.clone();
    p.clone() * (q * inner + p.clone() * p.clone())
}

/// The derivative of `g`, clamped to the least slope.
fn slope(left: &Tensor<2>, right: &Tensor<2>, p: &Tensor<2>) -> Tensor<2> {
    let q = p.clone().neg() + 1.0;
    let middle = (left.clone() + right.clone()).neg() + 3.0;
    let ends = left.clone() * q.clone() * q.clone() + right.clone() * p.clone() * p.clone();
    (ends + middle * p.clone() * q * 2.0).clamp_min(LEAST_SLOPE)
}

impl CubicSpline {
    /// Finds the bins of values in the unit interval of an axis.
    fn piece(&self, unit: &Tensor<2>, axis: Axis, params: &Tensor<3>) -> Piece {
        let CubicSplineConfig { bins, min_width, min_height, logit_scale, .. } = self.config;
        let raw = params.clone().narrow(1, 0, 2 * bins);
        let raw = if logit_scale == 1.0 { raw } else { raw * logit_scale };
        let sizes = Bins::new(raw, [min_width, min_height]);
        let found = sizes.find(unit, axis);
        let [x, y] = sizes.sides(&found);
        let own = [x.size.clone(), y.size.clone()];
        let before = inner_slope(&own, sizes.sum(&found.turned(1)));
        let behind = inner_slope(&own, sizes.sum(&found.turned(bins - 1)));
        if self.config.is_circle() {
            return Piece { x, y, left: before, right: behind };
        }
        let end = |index| self.config.end(param(params, 2 * bins + index));
        let left = before.mask_where(found.is(0), end(0));
        let right = behind.mask_where(found.is(bins - 1), end(1));
        Piece { x, y, left, right }
    }

    /// The `p` with `g(p) = t`, outside any autodiff graph.
    fn root(left: &Tensor<2>, right: &Tensor<2>, t: &Tensor<2>) -> Tensor<2> {
        // The start is the root of the rational-quadratic map with the same end slopes: a p^2 + b p =
        // t.
        let bend = (left.clone() + right.clone() - 2.0) * t.clone();
        let a = left.clone().neg() + 1.0 + bend.clone();
        let b = left.clone() - bend;
        let square = b.clone() * b.clone() + a * t.clone() * 4.0;
        let below = b + square.clamp_min(0.0).sqrt();
        let mut p = (t.clone() * 2.0 / below.clamp_min(LEAST_SLOPE)).clamp(0.0, 1.0);
        let (mut low, mut high) = (p.zeros_like(), p.ones_like());
        for _ in 0..STEPS {
            let miss = rise(left, right, &p) - t.clone();
            let above = miss.clone().greater_elem(0.0);
            high = high.mask_where(above.clone(), p.clone());
            low = p.clone().mask_where(above, low);
            let next = p.clone() - miss / slope(left, right, &p);
            let out = next.clone().lower(low.clone()).bool_or(next.clone().greater(high.clone()));
            p = next.mask_where(out, (low.clone() + high.clone()) * 0.5);
        }
        p
    }
}

impl UnitSpline for CubicSpline {
    type Found = (Piece, Tensor<2>);

    fn domain(&self) -> SplineDomain {
        self.config.domain
    }

    fn rise(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Self::Found) {
        let piece = self.piece(unit, Axis::X, &params);
        let p = held((unit.clone() - piece.x.start.clone()) / piece.x.size.clone());
        let up = rise(&piece.left, &piece.right, &p) * piece.y.size.clone();
        (up + piece.y.start.clone(), (piece, p))
    }

    fn solve(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Self::Found) {
        let piece = self.piece(unit, Axis::Y, &params);
        let t = held((unit.clone() - piece.y.start.clone()) / piece.y.size.clone());
        let plain = |x: &Tensor<2>| x.clone().without_autodiff();
        let (left, right) = (plain(&piece.left), plain(&piece.right));
        let found = Self::root(&left, &right, &plain(&t));
        // The gradient of the implicit function: how much the root moves with a change of `g - t` at
        // the root.
        let per_slope = slope(&left, &right, &found).recip();
        let miss = rise(&piece.left, &piece.right, &found) - t;
        let change = miss.clone() - plain(&miss);
        let p = found - change * per_slope;
        (p.clone() * piece.x.size.clone() + piece.x.start.clone(), (piece, p))
    }

    fn log_slope(&self, (piece, p): &Self::Found) -> Tensor<2> {
        let own = piece.y.size.clone().log() - piece.x.size.clone().log();
        slope(&piece.left, &piece.right, p).log() + own
    }
}

impl Univariate for CubicSpline {
    fn params_per_element(&self) -> usize {
        2 * self.config.bins + if self.config.is_circle() { 0 } else { 2 }
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        unit::forward(self, x, params)
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        unit::inverse(self, z, params)
    }

    fn inverse_with_log_det(&self, z: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        unit::inverse_with_log_det(self, z, params)
    }

    fn has_inverse_formula(&self) -> bool {
        true
    }
}
