//! The rational-quadratic spline in one pass over memory, and its backward pass.
//!
//! The reference makes some forty tensors of the size of the values and half a dozen of that of the
//! parameters; the kernel reads both once and writes the result.

#[cfg(feature = "flex")]
mod blocks;
#[cfg(feature = "flex")]
mod lanes;
#[cfg(feature = "flex")]
mod piece;

#[cfg(feature = "flex")]
pub(super) use blocks::{apply, gradients};

/// What the kernel has to know of a spline.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "no kernel reads them"))]
pub(crate) struct Spline {
    pub bins: usize,
    pub low: f64,
    pub high: f64,
    pub ends: Ends,
    pub knots: Knots,
}

/// What is at the ends of the interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ends {
    /// Slope 1, and the identity outside.
    Tails,
    /// Slopes of their own, and the identity outside.
    Interval,
    /// Each other.
    Circle,
}

/// How raw parameters become knots.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "no kernel reads them"))]
pub(crate) enum Knots {
    /// Shares `floor + (1 - bins floor) softmax(logit_scale raw)`, slopes
    /// `softplus(raw + slope_offset) + min_slope`.
    Softmax { logit_scale: f64, floors: [f64; 2], slope_offset: f64, min_slope: f64 },
    /// Shares `softmax(a / (1 + 2 |a| / bound))`, slopes `exp(a / (1 + |a| / bound))`; the lower end
    /// belongs to the tail.
    SoftBound { bound: f64 },
}

/// The largest raw parameter. Without it the terms of a bin overflow f32 and their ratio is NaN; a
/// slope of a million already moves data by less than f32 resolves.
pub(crate) const LARGEST_RAW: f64 = 1e6;

/// How far rounding moves a position: a position in the unit interval keeps its gradient so far out.
pub(crate) const SLACK: f64 = 1e-3;

/// Least discriminant of the inverse: the gradient of a root at 0 is infinite. Far below the
/// square of the smallest bin times the smallest slope.
pub(crate) const LEAST_DISCRIMINANT: f64 = 1e-30;

#[cfg(feature = "flex")]
impl Spline {
    /// Parameters of one element.
    pub(super) fn params(self) -> usize {
        match self.ends {
            Ends::Tails => 3 * self.bins - 1,
            Ends::Interval => 3 * self.bins + 1,
            Ends::Circle => 3 * self.bins,
        }
    }
}
