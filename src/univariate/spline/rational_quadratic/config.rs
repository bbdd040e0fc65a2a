//! Configuration of the rational-quadratic spline: bins, domain, knots.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::super::bins::{Bins, check_bins, check_factor, check_floor, check_share};
use super::super::domain::{Placed, SplineDomain};
use super::RationalQuadratic;
use crate::config::{config, construct};
use crate::error::{Error, Result, least};
use crate::kernel::{Knots, LARGEST_RAW, Map, Spline};
use crate::math::softplus;

/// How raw parameters become bin sizes and slopes.
///
/// The default suits training. The others are the maps of other libraries, so that weights of those
/// libraries give the same numbers here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub enum KnotMap {
    /// Sizes by the softmax of `logit_scale` times the raw values, with the least size of the
    /// configuration. Slopes by `softplus(raw + slope_offset) + min_slope`.
    Softmax {
        /// Factor of the raw sizes. nflows divides by the square root of the width of a coupling's
        /// network.
        logit_scale: f64,
        /// Offset of the raw slopes. `None` gives a raw zero the slope 1; nflows has 0.
        slope_offset: Option<f64>,
    },
    /// Sizes by the softmax of `a / (1 + 2 |a| / bound)`, slopes by `exp(a / (1 + |a| / bound))`. No
    /// size and no slope can vanish, so the least sizes and slopes of the configuration do not apply
    /// (zuko, with a bound of `-ln slope`).
    SoftBound {
        /// The bound of a log-slope, and twice the bound of a logit.
        bound: f64,
    },
}

impl Default for KnotMap {
    fn default() -> Self {
        Self::Softmax { logit_scale: 1.0, slope_offset: None }
    }
}

config! {
/// Configuration of a [`RationalQuadratic`].
///
/// ```
/// use burn_flows::univariate::{RationalQuadraticConfig, Univariate};
///
/// let map = RationalQuadraticConfig::new().with_bins(16).init();
/// assert_eq!(map.params_per_element(), 16 + 16 + 15);
/// let error = RationalQuadraticConfig::new().with_min_width(0.2).validate().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "RationalQuadraticConfig.min_width: must be above 0 and below 1 / bins = 1 / 8, found 0.2"
/// );
/// ```
#[derive(Copy, PartialEq)]
pub struct RationalQuadraticConfig {
    /// Number of bins, at least 2. Raise it for densities with more detail; each bin adds 3 parameters.
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
    /// Least height of a bin, as a share of the interval.
    #[config(default = 1e-3)]
    pub min_height: f64,
    /// Least slope at a knot. Without a least slope, the logarithm of the slope can be minus infinity.
    #[config(default = 1e-3)]
    pub min_slope: f64,
    /// How raw parameters become knots. Change it only to reproduce another library's numbers.
    #[config(default = KnotMap::default())]
    pub knot_map: KnotMap,
}
}

impl RationalQuadraticConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "RationalQuadraticConfig";
        check_bins(NAME, self.bins)?;
        self.domain.validate()?;
        match self.knot_map {
            KnotMap::Softmax { logit_scale, slope_offset } => {
                check_floor(NAME, "min_width", self.min_width, self.bins)?;
                check_floor(NAME, "min_height", self.min_height, self.bins)?;
                check_share(NAME, "min_slope", self.min_slope)?;
                let numbers =
                    [("logit_scale", logit_scale), ("slope_offset", slope_offset.unwrap_or(0.0))];
                numbers
                    .into_iter()
                    .try_for_each(|(field, value)| check_factor("KnotMap", field, value))
            }
            KnotMap::SoftBound { bound } if bound > 0.0 && bound <= 20.0 => {
                least("KnotMap", "bound", bound)
            }
            KnotMap::SoftBound { bound } => {
                Err(Error::config("KnotMap", "bound", format!("must be in (0, 20], found {bound}")))
            }
        }
    }

    construct! {
        /// Builds the map.
        unseeded() -> RationalQuadratic
    }

    fn build(&self) -> RationalQuadratic {
        RationalQuadratic { config: *self }
    }

    /// Places every value in the domain. zuko counts the lower end as part of the tail.
    pub(super) fn place(&self, x: Tensor<2>) -> Placed {
        match self.knot_map {
            KnotMap::SoftBound { .. } => self.domain.place_above_low(x),
            KnotMap::Softmax { .. } => self.domain.place(x),
        }
    }

    /// Sizes of the bins from their raw values `[batch, 2 bins, n]`.
    pub(super) fn sizes(&self, raw: Tensor<3>) -> Bins {
        match self.knot_map {
            KnotMap::Softmax { logit_scale, .. } => {
                let raw = if logit_scale == 1.0 { raw } else { raw * logit_scale };
                Bins::new(raw, [self.min_width, self.min_height])
            }
            KnotMap::SoftBound { bound } => Bins::new(soft_bound(raw, 0.5 * bound), [0.0; 2]),
        }
    }

    /// Slopes from raw slopes.
    pub(super) fn slope(&self, raw: Tensor<2>) -> Tensor<2> {
        match self.knot_map {
            KnotMap::Softmax { slope_offset, .. } => {
                let raw = raw + self.slope_offset(slope_offset);
                softplus(raw.clamp(-LARGEST_RAW, LARGEST_RAW)) + self.min_slope
            }
            KnotMap::SoftBound { bound } => soft_bound(raw, bound).exp(),
        }
    }

    /// The offset of a slope. `None` stands for the offset with `softplus(offset) = 1 - min_slope`.
    fn slope_offset(&self, offset: Option<f64>) -> f64 {
        offset.unwrap_or_else(|| (1.0 - self.min_slope).exp_m1().ln())
    }

    /// The map as the kernel takes it.
    pub(super) fn kernel(&self) -> Map {
        let (low, high, ends) = self.domain.ends();
        let knots = match self.knot_map {
            KnotMap::Softmax { logit_scale, slope_offset } => Knots::Softmax {
                logit_scale,
                floors: [self.min_width, self.min_height],
                slope_offset: self.slope_offset(slope_offset),
                min_slope: self.min_slope,
            },
            KnotMap::SoftBound { bound } => Knots::SoftBound { bound },
        };
        Map::Spline(Spline { bins: self.bins, low, high, ends, knots })
    }
}

/// `a / (1 + |a| / bound)`.
fn soft_bound<const D: usize>(raw: Tensor<D>, bound: f64) -> Tensor<D> {
    let raw = raw.clamp(-LARGEST_RAW, LARGEST_RAW);
    raw.clone() / (raw.abs() * bound.recip() + 1.0)
}
