//! The rational-quadratic spline in one pass over memory, and its backward pass.
//!
//! The reference creates about forty tensors of the size of the values and half a dozen tensors of the size of the
//! parameters. The kernel reads values and parameters once and writes the result once.

#[cfg(feature = "flex")]
mod blocks;
#[cfg(feature = "flex")]
mod lanes;
#[cfg(feature = "flex")]
mod piece;

#[cfg(feature = "flex")]
pub(super) use blocks::{apply, gradients};

/// The settings of a spline that the kernel needs.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "no kernel reads them"))]
pub(crate) struct Spline {
    pub bins: usize,
    pub low: f64,
    pub high: f64,
    pub ends: Ends,
    pub knots: Knots,
}

/// The behaviour at the ends of the interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ends {
    /// Slope 1 at the ends, and the identity outside.
    Tails,
    /// Free slopes at the ends, and the identity outside.
    Interval,
    /// The ends are one point, so their slopes are equal.
    Circle,
}

/// The map from raw parameters to knots.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "no kernel reads them"))]
pub(crate) enum Knots {
    /// Shares `floor + (1 - bins floor) softmax(logit_scale raw)`, slopes
    /// `softplus(raw + slope_offset) + min_slope`.
    Softmax { logit_scale: f64, floors: [f64; 2], slope_offset: f64, min_slope: f64 },
    /// Shares `softmax(a / (1 + 2 |a| / bound))`, slopes `exp(a / (1 + |a| / bound))`. The lower end belongs to the
    /// tail.
    SoftBound { bound: f64 },
}

/// The largest raw parameter. With larger parameters, the terms of a bin overflow f32 and their ratio is NaN. A slope
/// of a million already moves data by less than the resolution of f32.
pub(crate) const LARGEST_RAW: f64 = 1e6;

/// The tolerated rounding error of a position: a position up to this far outside the unit interval keeps its gradient.
pub(crate) const SLACK: f64 = 1e-3;

/// Lower bound of the discriminant in the inverse: at 0, the gradient of a square root is infinite. The bound is far
/// below the square of the product of the smallest bin and the smallest slope.
pub(crate) const LEAST_DISCRIMINANT: f64 = 1e-30;

#[cfg(feature = "flex")]
impl Spline {
    /// The number of parameters of one element.
    pub(super) fn params(self) -> usize {
        match self.ends {
            Ends::Tails => 3 * self.bins - 1,
            Ends::Interval => 3 * self.bins + 1,
            Ends::Circle => 3 * self.bins,
        }
    }
}
