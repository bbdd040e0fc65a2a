//! The interval on which a spline acts, and the map outside.

use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, length};
use crate::kernel::{Ends, SLACK};

/// The largest end of an interval.
const LARGEST_END: f64 = 1e6;

/// The least width of an interval as a share of its ends. f32 resolves at least a thousand positions in
/// such an interval.
const LEAST_SHARE: f64 = 1e-4;

/// The interval that a spline maps onto itself, and the map outside.
///
/// ```
/// use burn_flows::univariate::{RationalQuadraticConfig, SplineDomain};
///
/// let angle = SplineDomain::Circular { bound: std::f64::consts::PI };
/// assert!(RationalQuadraticConfig::new().with_domain(angle).validate().is_ok());
///
/// let nothing = SplineDomain::Interval { low: 1.0, high: 1.0 };
/// let error = RationalQuadraticConfig::new().with_domain(nothing).validate().unwrap_err();
/// assert_eq!(error.to_string(), "SplineDomain.high: must be finite and above low 1, found 1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub enum SplineDomain {
    /// `[-bound, bound]`, and the identity outside. The slope is continuous at the ends if the spline
    /// allows it.
    LinearTails {
        /// Half the length of the interval.
        bound: f64,
    },
    /// `[low, high]` with free slopes at the ends, for data in that interval. The map is the identity
    /// outside too, so that rounding errors at an end do no harm. The slope jumps at the ends.
    Interval {
        /// The lower end.
        low: f64,
        /// The upper end.
        high: f64,
    },
    /// `[-bound, bound]` with its ends glued together, for angles: `f(x + 2 bound) = f(x) + 2 bound`.
    Circular {
        /// Half the length of the circle.
        bound: f64,
    },
}

impl Default for SplineDomain {
    fn default() -> Self {
        Self::LinearTails { bound: 5.0 }
    }
}

/// Values in the unit interval, and the data that map them back to the domain.
pub(super) struct Placed {
    /// Positions in `[0, 1]` for any input, so that the spline is safe before the branch.
    pub unit: Tensor<2>,
    rest: Rest,
}

#[allow(clippy::large_enum_variant, reason = "one per call, on the stack")]
enum Rest {
    /// The input, and a mask of the values that stay unchanged.
    Tails(Tensor<2>, Tensor<2, Bool>),
    /// The shift by whole circles.
    Turns(Tensor<2>),
}

/// A position clamped to `[0, 1]`. If only rounding has moved the position out, it keeps its gradient;
/// a plain clamp would set the gradient to zero. A position far outside loses its gradient.
pub(super) fn held(position: Tensor<2>) -> Tensor<2> {
    let position = position.clamp(-SLACK, 1.0 + SLACK);
    let plain = position.clone().without_autodiff();
    let back = plain.clone().clamp(0.0, 1.0) - plain;
    position + back
}

impl SplineDomain {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::LinearTails { bound } | Self::Circular { bound } => {
                length("SplineDomain", "bound", bound)
            }
            Self::Interval { low, .. } if !low.is_finite() => {
                let reason = format!("must be finite, found {low}");
                Err(Error::config("SplineDomain", "low", reason))
            }
            Self::Interval { low, high } => {
                if high > low && (high - low).is_finite() {
                    let (width, reach) = (high - low, low.abs().max(high.abs()));
                    if reach <= LARGEST_END && width >= LEAST_SHARE * reach && width >= 1e-6 {
                        return Ok(());
                    }
                    let reason = format!(
                        "must be above low {low} by a width that f32 resolves, both ends at most \
                         {LARGEST_END:e} in magnitude, found {high}"
                    );
                    return Err(Error::config("SplineDomain", "high", reason));
                }
                let reason = format!("must be finite and above low {low}, found {high}");
                Err(Error::config("SplineDomain", "high", reason))
            }
        }
    }

    /// The lower end, the upper end, and the kind of the ends.
    pub(crate) fn ends(&self) -> (f64, f64, Ends) {
        match *self {
            Self::LinearTails { bound } => (-bound, bound, Ends::Tails),
            Self::Interval { low, high } => (low, high, Ends::Interval),
            Self::Circular { bound } => (-bound, bound, Ends::Circle),
        }
    }

    /// Places every value in the interval, which includes both ends.
    pub(super) fn place(&self, x: Tensor<2>) -> Placed {
        self.placed(x, true)
    }

    /// [`place`](Self::place) with the lower end in the tail. The values equal those of `place`. At the
    /// lower end, the log-slope has the gradient of the tail.
    pub(super) fn place_above_low(&self, x: Tensor<2>) -> Placed {
        self.placed(x, false)
    }

    fn placed(&self, x: Tensor<2>, with_low: bool) -> Placed {
        let (low, high, _) = self.ends();
        let span = high - low;
        // Not `/ span`: burn 0.22 rounds the gradient of a division by a number to f32.
        let unit = |inside: Tensor<2>| held((inside - low) * span.recip());
        match self {
            Self::LinearTails { .. } | Self::Interval { .. } => {
                let plain = x.clone().without_autodiff();
                let below = if with_low {
                    plain.clone().lower_elem(low)
                } else {
                    plain.clone().lower_equal_elem(low)
                };
                let outside = below.bool_or(plain.greater_elem(high));
                Placed { unit: unit(x.clone().clamp(low, high)), rest: Rest::Tails(x, outside) }
            }
            Self::Circular { .. } => {
                let plain = x.clone().without_autodiff();
                let turns = ((plain - low) * span.recip()).floor() * span;
                let inside = (x - turns.clone()).clamp(low, high);
                Placed { unit: unit(inside), rest: Rest::Turns(turns) }
            }
        }
    }

    /// The values of the map, from values in the unit interval.
    pub(super) fn value(&self, placed: &Placed, unit: Tensor<2>) -> Tensor<2> {
        let (low, high, _) = self.ends();
        // `held` maps an end to itself. A rounding error beyond the end would be outside for the next
        // spline or a uniform base.
        let inside = held(unit) * (high - low) + low;
        match &placed.rest {
            Rest::Tails(x, outside) => inside.mask_where(outside.clone(), x.clone()),
            Rest::Turns(turns) => inside + turns.clone(),
        }
    }

    /// The log-slopes of the map, from log-slopes in the unit interval.
    pub(super) fn log_slope(&self, placed: &Placed, log_slope: Tensor<2>) -> Tensor<2> {
        match &placed.rest {
            Rest::Tails(_, outside) => log_slope.mask_fill(outside.clone(), 0.0),
            Rest::Turns(_) => log_slope,
        }
    }
}
