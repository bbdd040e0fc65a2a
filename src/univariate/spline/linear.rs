//! Linear spline: a piecewise constant density on bins of equal width.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::bins::{Bins, Found, check_bins, pick};
use super::domain::{SplineDomain, held};
use super::unit::{self, UnitSpline};
use crate::config::{config, construct};
use crate::error::{Error, Result};
use crate::univariate::Univariate;

/// Least height of a bin in a position and in a logarithm. If `min_height` is 0, a height can underflow
/// to 0. The square of this number, in a gradient, is still a number in f32.
const LEAST_HEIGHT: f64 = 1e-18;

config! {
/// Configuration of a [`LinearSpline`].
///
/// ```
/// use burn_flows::univariate::{LinearSplineConfig, Univariate};
///
/// assert_eq!(LinearSplineConfig::new().with_bins(16).init().params_per_element(), 16);
/// let error = LinearSplineConfig::new().with_min_height(0.5).validate().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "LinearSplineConfig.min_height: must be at least 0 and below 1 / bins = 1 / 8, found 0.5"
/// );
/// ```
#[derive(Copy, PartialEq)]
pub struct LinearSplineConfig {
    /// Number of bins, at least 2. Raise it for densities with more detail; each bin adds a parameter.
    #[config(default = 8)]
    pub bins: usize,
    /// The interval on which the spline acts, and the map outside. Choose it so that the data lie
    /// inside.
    #[config(default = SplineDomain::default())]
    pub domain: SplineDomain,
    /// Least height of a bin, as a share of the interval; it bounds the slope from below. nflows has 0:
    /// then nothing bounds the slope.
    #[config(default = 1e-3)]
    pub min_height: f64,
}
}

crate::store::checked! {
/// A linear spline, made by [`LinearSplineConfig::init`].
///
/// With K bins, heights `h_k` that sum to the height of the interval, bin `k = floor(K x)` and
/// `p = K x - k`, in the unit interval:
///
/// ```text
/// forward   z = sum of h_j before k + p h_k
/// log-det   sum of ln(K h_k)
/// inverse   x = (k + (z - sum of h_j before k) / h_k) / K,   k the bin of z
/// ```
///
/// Paper: Mueller, McWilliams, Rousselle, Gross, Novak (2019), Neural Importance Sampling, section 4.1,
/// arXiv:1808.03856. Same numbers as nflows 0.14 `linear_spline`, with a `min_height` of 0.
///
/// Parameters: `bins` raw heights; the heights are their softmax. The density and its gradient jump at
/// every knot. The map is cheap and coarse, for data in intervals with many bins.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// Results are finite for every finite value and parameter, also in f32.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{LinearSplineConfig, SplineDomain, Univariate};
///
/// let device = Device::flex();
/// let unit = SplineDomain::Interval { low: 0.0, high: 1.0 };
/// let map = LinearSplineConfig::new().with_bins(2).with_domain(unit).with_min_height(0.0).init();
/// let x = Tensor::<2>::from_data([[0.25, 0.5, 1.0]], &device);
/// let raw = [[3f32.ln(); 3], [0.0; 3]]; // three quarters and one
/// let (z, _) = map.forward(x.clone(), Tensor::from_data([raw], &device));
/// let expected = Tensor::<2>::from_data([[0.375, 0.75, 1.0]], &device);
/// z.clone().into_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
/// let back = map.inverse(z, Tensor::from_data([raw], &device));
/// back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct LinearSpline {
    #[module(skip)]
    config: LinearSplineConfig,
}
}

impl LinearSpline {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        self.config.validate()
    }
}

impl LinearSplineConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "LinearSplineConfig";
        check_bins(NAME, self.bins)?;
        self.domain.validate()?;
        let (floor, bins) = (self.min_height, self.bins);
        if floor >= 0.0 && floor * (bins as f64) < 1.0 {
            return Ok(());
        }
        let reason = format!("must be at least 0 and below 1 / bins = 1 / {bins}, found {floor}");
        Err(Error::config(NAME, "min_height", reason))
    }

    construct! {
        /// Builds the map.
        unseeded() -> LinearSpline
    }

    fn build(&self) -> LinearSpline {
        LinearSpline { config: *self }
    }
}

/// The bin of every value, all `[batch, n]`.
pub(super) struct Piece {
    /// Index of the bin, outside any autodiff graph.
    index: Tensor<2>,
    /// Start of the bin on the axis of `z`.
    start: Tensor<2>,
    height: Tensor<2>,
}

impl LinearSpline {
    fn heights(&self, params: Tensor<3>) -> Tensor<3> {
        Bins::new(params, [self.config.min_height]).shares(0)
    }

    fn piece(heights: &Tensor<3>, found: Found) -> Piece {
        let index = found.index();
        let start = pick(heights, found.before);
        Piece { index, start, height: pick(heights, found.own).clamp_min(LEAST_HEIGHT) }
    }
}

impl UnitSpline for LinearSpline {
    type Found = Piece;

    fn domain(&self) -> SplineDomain {
        self.config.domain
    }

    fn rise(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Piece) {
        let heights = self.heights(params);
        let at = unit.clone() * self.config.bins as f64;
        let equal = heights.clone().without_autodiff().ones_like();
        let piece = Self::piece(&heights, Found::among(equal, &at));
        let p = held(at - piece.index.clone());
        (p * piece.height.clone() + piece.start.clone(), piece)
    }

    fn solve(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Piece) {
        let heights = self.heights(params);
        let found = Found::among(heights.clone().without_autodiff(), unit);
        let piece = Self::piece(&heights, found);
        let p = held((unit.clone() - piece.start.clone()) / piece.height.clone());
        ((p + piece.index.clone()) * (self.config.bins as f64).recip(), piece)
    }

    fn log_slope(&self, piece: &Piece) -> Tensor<2> {
        piece.height.clone().log() + (self.config.bins as f64).ln()
    }
}

impl Univariate for LinearSpline {
    fn params_per_element(&self) -> usize {
        self.config.bins
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
