//! Quadratic spline: a continuous, piecewise linear density.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::bins::{Bins, Found, check_bins, check_floor, check_scale, check_share, pick};
use super::domain::{SplineDomain, held};
use super::unit::{self, UnitSpline};
use crate::config::{config, construct};
use crate::error::Result;
use crate::math::softplus;
use crate::univariate::Univariate;

/// Least slope before slopes are divided by their mean. Without it, all slopes can underflow together,
/// and the mean is 0. Value from nflows.
const LEAST_RAW_SLOPE: f64 = 1e-3;

/// The largest raw slope. Without a bound, the mean of a spline's slopes overflows f32.
const LARGEST_RAW: f64 = 1e6;

/// The slope at the ends of a spline with linear tails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub enum TailSlope {
    /// Slope 1, as outside: the density does not jump at the ends.
    #[default]
    One,
    /// Slope near 1: nflows 0.14 solves the equation for slope 1 with half the widths of the outer
    /// bins.
    Nflows,
}

impl TailSlope {
    /// The share of an outer bin's width that counts to its inner end.
    fn share(self) -> f64 {
        match self {
            Self::One => 0.5,
            Self::Nflows => 0.25,
        }
    }
}

config! {
/// Configuration of a [`QuadraticSpline`].
///
/// ```
/// use burn_flows::univariate::{QuadraticSplineConfig, Univariate};
///
/// let map = QuadraticSplineConfig::new().with_bins(16).init();
/// assert_eq!(map.params_per_element(), 16 + 15);
/// let error = QuadraticSplineConfig::new().with_min_slope(1.0).validate().unwrap_err();
/// assert_eq!(error.to_string(), "QuadraticSplineConfig.min_slope: must be in (0, 1), found 1");
/// ```
#[derive(Copy, PartialEq)]
pub struct QuadraticSplineConfig {
    /// Number of bins, at least 2. Raise it for densities with more detail; each bin adds 2 parameters.
    #[config(default = 8)]
    pub bins: usize,
    /// The interval on which the spline acts, and the map outside. Choose it so that the data lie
    /// inside.
    #[config(default = SplineDomain::default())]
    pub domain: SplineDomain,
    /// Least width of a bin, as a share of the interval. Without a least width, a bin of width zero
    /// divides by 0.
    #[config(default = 1e-3)]
    pub min_width: f64,
    /// Least slope. Without a least slope, the logarithm of the slope can be minus infinity.
    #[config(default = 1e-3)]
    pub min_slope: f64,
    /// Factor of the raw parameters. nflows divides by the square root of the width of a coupling's
    /// network.
    #[config(default = 1.0)]
    pub logit_scale: f64,
    /// The slope at the ends, for linear tails. Change it only to reproduce nflows' numbers.
    #[config(default = TailSlope::One)]
    pub tail_slope: TailSlope,
}
}

crate::store::checked! {
/// A quadratic spline, made by [`QuadraticSplineConfig::init`].
///
/// In the bin of width `w` that starts at `(x_k, y_k)`, with the slopes `v0` and `v1` at its ends and
/// `p = (x - x_k) / w`:
///
/// ```text
/// forward   z = y_k + w (v0 p + (v1 - v0) p^2 / 2),   y_(k+1) = y_k + w (v0 + v1) / 2
/// log-det   sum of ln(v0 (1 - p) + v1 p)
/// inverse   p = 2 u / (v0 + sqrt(v0^2 + 2 (v1 - v0) u)),   u = (z - y_k) / w
/// ```
///
/// Paper: Mueller, McWilliams, Rousselle, Gross, Novak (2019), Neural Importance Sampling, section 4.2,
/// arXiv:1808.03856. Same numbers as nflows 0.14 `quadratic_spline`, with the [`TailSlope`] of nflows
/// where tails are linear.
///
/// Parameters in this order: `bins` raw widths, then the raw slopes at the knots from left to right:
/// `bins - 1` with linear tails, whose ends follow from the others; `bins + 1` on an interval; `bins` on
/// a circle, where the first slope serves both ends. Slopes are divided by their mean over the
/// interval.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// Results are finite for every finite value and parameter, also in f32. Bins and slopes have a least
/// size, and the root of the inverse is computed without cancellation.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{QuadraticSplineConfig, Univariate};
///
/// let device = Device::flex();
/// let map = QuadraticSplineConfig::new().with_bins(2).init();
/// let x = Tensor::<2>::from_data([[-7.0, 0.0, 1.0]], &device);
/// let params = Tensor::<3>::from_data([[[1.0; 3], [0.0; 3], [2.0; 3]]], &device); // widths, a slope
/// let (z, log_det) = map.forward(x.clone(), params.clone());
/// assert_eq!(z.clone().into_data().try_to_vec_as::<f32>().unwrap()[0], -7.0); // a tail
/// let (back, minus) = map.inverse_with_log_det(z, params);
/// back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// minus.neg().into_data().assert_approx_eq::<f32>(&log_det.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct QuadraticSpline {
    #[module(skip)]
    config: QuadraticSplineConfig,
}
}

impl QuadraticSpline {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        self.config.validate()
    }
}

impl QuadraticSplineConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "QuadraticSplineConfig";
        check_bins(NAME, self.bins)?;
        self.domain.validate()?;
        check_floor(NAME, "min_width", self.min_width, self.bins)?;
        check_share(NAME, "min_slope", self.min_slope)?;
        check_scale(NAME, self.logit_scale)
    }

    construct! {
        /// Builds the map.
        unseeded() -> QuadraticSpline
    }

    fn build(&self) -> QuadraticSpline {
        QuadraticSpline { config: *self }
    }
}

/// The knots of every element.
struct Knots {
    /// Widths of the bins, `[batch, bins, n]`.
    widths: Tensor<3>,
    /// Slopes at both ends of every bin, `[batch, bins, n]`.
    left: Tensor<3>,
    right: Tensor<3>,
}

/// The bin of every value, all `[batch, n]`.
pub(super) struct Piece {
    x: Tensor<2>,
    y: Tensor<2>,
    width: Tensor<2>,
    left: Tensor<2>,
    right: Tensor<2>,
}

impl QuadraticSpline {
    fn knots(&self, params: Tensor<3>) -> Knots {
        let QuadraticSplineConfig { bins, min_width, min_slope, logit_scale, .. } = self.config;
        let params = if logit_scale == 1.0 { params } else { params * logit_scale };
        let count = params.dims()[1] - bins;
        let widths = Bins::new(params.clone().narrow(1, 0, bins), [min_width]).shares(0);
        let raw = params.narrow(1, bins, count).clamp(-LARGEST_RAW, LARGEST_RAW);
        let slopes = self.closed(softplus(raw) + LEAST_RAW_SLOPE, &widths);
        let [left, right] = [0, 1].map(|from| slopes.clone().narrow(1, from, bins));
        let mean = ((left.clone() + right.clone()) * 0.5 * widths.clone()).sum_dim(1);
        let slope = |raw: Tensor<3>| raw / mean.clone() * (1.0 - min_slope) + min_slope;
        Knots { widths, left: slope(left), right: slope(right) }
    }

    /// The slopes at all `bins + 1` knots, before they are divided by their mean.
    fn closed(&self, inner: Tensor<3>, widths: &Tensor<3>) -> Tensor<3> {
        match self.config.domain {
            SplineDomain::Interval { .. } => inner,
            SplineDomain::Circular { .. } => {
                let first = inner.clone().narrow(1, 0, 1);
                Tensor::cat(vec![inner, first], 1)
            }
            SplineDomain::LinearTails { .. } => {
                // The end slope c equals the mean of all slopes: c = c (outer) + (sum over the inner
                // knots).
                let (count, share) = (inner.dims()[1], self.config.tail_slope.share());
                let at = |knot| inner.clone().narrow(1, knot, 1);
                let outer = [0, count].map(|bin| widths.clone().narrow(1, bin, 1) * share);
                let ends = at(0) * outer[0].clone() + at(count - 1) * outer[1].clone();
                let given = if count > 1 {
                    let part = |from| inner.clone().narrow(1, from, count - 1);
                    let between = widths.clone().narrow(1, 1, count - 1);
                    ends + ((part(0) + part(1)) * 0.5 * between).sum_dim(1)
                } else {
                    ends
                };
                let [first, last] = outer;
                let end = given / (first + last).neg().add_scalar(1.0);
                Tensor::cat(vec![end.clone(), inner, end], 1)
            }
        }
    }

    fn piece(knots: &Knots, found: &Found, areas: &Tensor<3>) -> Piece {
        let own = |values: &Tensor<3>| pick(values, found.own.clone());
        Piece {
            x: pick(&knots.widths, found.before.clone()),
            y: pick(areas, found.before.clone()),
            width: own(&knots.widths),
            left: own(&knots.left),
            right: own(&knots.right),
        }
    }
}

impl Knots {
    /// The height of every bin on the axis of `z`.
    fn areas(&self) -> Tensor<3> {
        (self.left.clone() + self.right.clone()) * 0.5 * self.widths.clone()
    }
}

impl UnitSpline for QuadraticSpline {
    type Found = (Piece, Tensor<2>);

    fn domain(&self) -> SplineDomain {
        self.config.domain
    }

    fn rise(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Self::Found) {
        let knots = self.knots(params);
        let found = Found::among(knots.widths.clone().without_autodiff(), unit);
        let piece = Self::piece(&knots, &found, &knots.areas());
        let p = held((unit.clone() - piece.x.clone()) / piece.width.clone());
        let bend = (piece.right.clone() - piece.left.clone()) * 0.5 * p.clone();
        let rise = p.clone() * (piece.left.clone() + bend) * piece.width.clone();
        (rise + piece.y.clone(), (piece, p))
    }

    fn solve(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Self::Found) {
        let knots = self.knots(params);
        let areas = knots.areas();
        let found = Found::among(areas.clone().without_autodiff(), unit);
        let piece = Self::piece(&knots, &found, &areas);
        let up = held(unit.clone() - piece.y.clone()) / piece.width.clone();
        let bend = (piece.right.clone() - piece.left.clone()) * 2.0;
        let square = piece.left.clone() * piece.left.clone() + bend * up.clone();
        // The root is the slope at the result. It is at least the least slope.
        let root = square.clamp_min(self.config.min_slope.powi(2)).sqrt();
        let p = held(up * 2.0 / (piece.left.clone() + root));
        (p.clone() * piece.width.clone() + piece.x.clone(), (piece, p))
    }

    fn log_slope(&self, (piece, p): &Self::Found) -> Tensor<2> {
        let q = p.clone().neg() + 1.0;
        (piece.left.clone() * q + piece.right.clone() * p.clone()).log()
    }
}

impl Univariate for QuadraticSpline {
    fn params_per_element(&self) -> usize {
        let bins = self.config.bins;
        match self.config.domain {
            SplineDomain::LinearTails { .. } => 2 * bins - 1,
            SplineDomain::Circular { .. } => 2 * bins,
            SplineDomain::Interval { .. } => 2 * bins + 1,
        }
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
