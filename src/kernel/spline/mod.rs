//! The rational-quadratic spline in one pass over memory, and its backward pass.
//!
//! The reference makes some forty tensors of the size of the values and half a dozen of that of the
//! parameters; the kernel reads both once and writes the result.

#[cfg(feature = "flex")]
mod lanes;
#[cfg(feature = "flex")]
mod ops;
#[cfg(feature = "flex")]
mod piece;

use burn::tensor::Tensor;

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

impl Spline {
    /// Values `[batch, n]` and the log-det `[batch]` for parameters `[batch, P, n]`, by the kernel
    /// where there is one.
    #[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
    pub(crate) fn forward(
        self,
        x: &Tensor<2>,
        params: &Tensor<3>,
    ) -> Option<(Tensor<2>, Tensor<1>)> {
        #[cfg(feature = "flex")]
        if crate::parallel::is_flex(&x.device()) && self.fits(x, params) {
            let packed = ops::forward(self, x.clone(), params.clone());
            return Some(super::unpacked(packed));
        }
        None
    }

    /// Values of the inverse, and its log-det; nothing where there is a graph.
    #[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
    pub(crate) fn inverse(
        self,
        z: &Tensor<2>,
        params: &Tensor<3>,
    ) -> Option<(Tensor<2>, Tensor<1>)> {
        #[cfg(feature = "flex")]
        if [z.device(), params.device()].iter().all(crate::parallel::is_plain)
            && self.fits(z, params)
        {
            let packed = ops::inverse(self, z.clone(), params.clone());
            return Some(super::unpacked(packed));
        }
        None
    }

    /// Whether the kernel is written for these.
    #[cfg(feature = "flex")]
    fn fits(self, x: &Tensor<2>, params: &Tensor<3>) -> bool {
        let [batch, n] = x.dims();
        super::knows(x.dtype())
            && x.dtype() == params.dtype()
            && params.dims() == [batch, self.params(), n]
            && batch * n > 0
    }

    /// Parameters of one element.
    #[cfg(feature = "flex")]
    fn params(self) -> usize {
        match self.ends {
            Ends::Tails => 3 * self.bins - 1,
            Ends::Interval => 3 * self.bins + 1,
            Ends::Circle => 3 * self.bins,
        }
    }
}
