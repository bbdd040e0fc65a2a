//! Where a spline acts, and what it does elsewhere.

use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, length};
use crate::kernel::{Ends, SLACK};

/// The largest end of an interval.
const LARGEST_END: f64 = 1e6;

/// The least width of an interval as a share of its ends: f32 tells a thousand places in it apart.
const LEAST_SHARE: f64 = 1e-4;

/// The interval that a spline maps onto itself, and what happens outside.
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
pub enum SplineDomain {
    /// `[-bound, bound]`, and the identity outside; smooth at the ends where the spline can be.
    LinearTails {
        /// Half the length of the interval.
        bound: f64,
    },
    /// `[low, high]` with slopes of their own at the ends, for data that live there. Outside it is the
    /// identity too, so that rounding errors at an end do no harm; the slope jumps there.
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

/// Values in the unit interval, and what brings the others back.
pub(super) struct Placed {
    /// In `[0, 1]`, whatever came in, so that a spline is safe before the branch.
    pub unit: Tensor<2>,
    rest: Rest,
}

#[allow(clippy::large_enum_variant, reason = "one per call, on the stack")]
enum Rest {
    /// What came in, and where it stays.
    Tails(Tensor<2>, Tensor<2, Bool>),
    /// Whole circles.
    Turns(Tensor<2>),
}

/// A position clamped to `[0, 1]`. Where only rounding has moved it out it keeps its gradient, which
/// a clamp would end; what is far out has lost its digits, and its gradient with them.
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
                        "must be so far above low {low} that f32 tells them apart, within \
                         {LARGEST_END:e}, found {high}"
                    );
                    return Err(Error::config("SplineDomain", "high", reason));
                }
                let reason = format!("must be finite and above low {low}, found {high}");
                Err(Error::config("SplineDomain", "high", reason))
            }
        }
    }

    /// The lower and the upper end, and what is there.
    pub(crate) fn ends(&self) -> (f64, f64, Ends) {
        match *self {
            Self::LinearTails { bound } => (-bound, bound, Ends::Tails),
            Self::Interval { low, high } => (low, high, Ends::Interval),
            Self::Circular { bound } => (-bound, bound, Ends::Circle),
        }
    }

    /// The place of every value in the interval, to which both ends belong.
    pub(super) fn place(&self, x: Tensor<2>) -> Placed {
        self.placed(x, true)
    }

    /// The same where the lower end belongs to the tail: the values are the same, the gradient of the
    /// log-slope is that of the other side.
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

    /// The values of the map, from those in the unit interval.
    pub(super) fn value(&self, placed: &Placed, unit: Tensor<2>) -> Tensor<2> {
        let (low, high, _) = self.ends();
        // Held: an end goes to itself, not a rounding error beyond, where the next spline or a uniform
        // base would see a value outside.
        let inside = held(unit) * (high - low) + low;
        match &placed.rest {
            Rest::Tails(x, outside) => inside.mask_where(outside.clone(), x.clone()),
            Rest::Turns(turns) => inside + turns.clone(),
        }
    }

    /// The log-slopes of the map, from those in the unit interval.
    pub(super) fn log_slope(&self, placed: &Placed, log_slope: Tensor<2>) -> Tensor<2> {
        match &placed.rest {
            Rest::Tails(_, outside) => log_slope.mask_fill(outside.clone(), 0.0),
            Rest::Turns(_) => log_slope,
        }
    }
}
