//! The spline inside one bin: value, inverse, log-slope, and their gradients.

use super::lanes::{LANES, Lanes, clamp, number};
use super::{LEAST_DISCRIMINANT, SLACK};
use crate::kernel::elementary::Elementary;

/// `f` of every lane.
#[inline(always)]
pub(super) fn each<T: Elementary>(f: impl Fn(usize) -> T) -> Lanes<T> {
    let mut out = [T::zero(); LANES];
    for (lane, out) in out.iter_mut().enumerate() {
        *out = f(lane);
    }
    out
}

/// The bin of each lane. A pair holds the two axes, or the left and the right end.
pub(super) struct Piece<T> {
    pub index: Lanes<T>,
    pub starts: [Lanes<T>; 2],
    pub sizes: [Lanes<T>; 2],
    /// The slopes at the ends.
    pub slopes: [Lanes<T>; 2],
    /// The derivatives of the slopes with respect to the raw slopes.
    pub derivatives: [Lanes<T>; 2],
    /// The sums of exponentials.
    pub sums: [Lanes<T>; 2],
}

/// The gradients with respect to the parts of a piece, and to the position in the unit interval.
pub(super) struct PieceGradient<T> {
    pub starts: [Lanes<T>; 2],
    pub sizes: [Lanes<T>; 2],
    pub slopes: [Lanes<T>; 2],
    pub unit: Lanes<T>,
}

/// The denominator `D`, computed without a cancelling difference.
#[inline(always)]
fn below<T: Elementary>(s: T, ends: T, both: T) -> T {
    s * (T::one() - both * number(2.0)) + ends * both
}

/// Returns the position in a bin. At the end of the unit interval, it returns the end of the last bin. Start and size
/// of that bin are rounded separately and would give a smaller position; in a narrow bin the error would exceed
/// rounding.
#[inline(always)]
fn at_end<T: Elementary>(unit: T, position: T) -> T {
    if unit == T::one() { unit } else { position }
}

impl<T: Elementary> Piece<T> {
    /// The ratio of height to width.
    #[inline(always)]
    fn steepness(&self) -> Lanes<T> {
        each(|l| self.sizes[1][l] / self.sizes[0][l])
    }

    /// The values in the unit interval, and the positions in the bins.
    #[inline(always)]
    pub(super) fn value(&self, unit: &Lanes<T>) -> (Lanes<T>, Lanes<T>) {
        let ([left, right], s) = (&self.slopes, self.steepness());
        let p = each(|l| clamp(self.position(unit, l), T::zero(), T::one()));
        let value = each(|l| {
            let both = p[l] * (T::one() - p[l]);
            let rise = s[l] * p[l] * p[l] + left[l] * both;
            let ratio = rise / below(s[l], left[l] + right[l], both);
            self.sizes[1][l] * ratio + self.starts[1][l]
        });
        (value, p)
    }

    #[inline(always)]
    fn position(&self, unit: &Lanes<T>, l: usize) -> T {
        at_end(unit[l], (unit[l] - self.starts[0][l]) / self.sizes[0][l])
    }

    /// The values of the inverse in the unit interval, and the positions in the bins.
    #[inline(always)]
    pub(super) fn solve(&self, unit: &Lanes<T>) -> (Lanes<T>, Lanes<T>) {
        let ([left, right], s) = (&self.slopes, self.steepness());
        let (least, two) = (number::<T>(LEAST_DISCRIMINANT), number::<T>(2.0));
        let p = each(|l| {
            let h = self.sizes[1][l];
            let up = clamp(unit[l] - self.starts[1][l], T::zero(), T::one());
            let bend = up * (left[l] + right[l] - s[l] * two);
            let a = h * (s[l] - left[l]) + bend;
            let b = h * left[l] - bend;
            let minus_c = s[l] * up;
            let square = b * b + a * minus_c * number(4.0);
            let root = (if square < least { least } else { square }).sqrt();
            // The root has two forms. The code selects the form without cancellation, depending on the sign of `b`.
            let negative = b < T::zero();
            let above = if negative { root - b } else { minus_c * two };
            let below = if negative { a * two } else { root + b };
            let p = at_end(unit[l], above / (if below < least { least } else { below }));
            clamp(p, T::zero(), T::one())
        });
        (each(|l| p[l] * self.sizes[0][l] + self.starts[0][l]), p)
    }

    /// The log-slopes at positions in the bins.
    #[inline(always)]
    pub(super) fn log_slope(&self, p: &Lanes<T>) -> Lanes<T> {
        let ([left, right], s) = (&self.slopes, self.steepness());
        let above = each(|l| {
            let q = T::one() - p[l];
            right[l] * p[l] * p[l] + left[l] * q * q + p[l] * q * s[l] * number(2.0)
        });
        let ratio = each(|l| s[l] / below(s[l], left[l] + right[l], p[l] * (T::one() - p[l])));
        each(|l| (above[l] * ratio[l] * ratio[l]).fast_ln())
    }

    /// The gradients, from the gradients with respect to value and log-slope in the unit interval.
    #[inline(always)]
    pub(super) fn gradient(
        &self,
        unit: &Lanes<T>,
        by_value: &Lanes<T>,
        by_slope: &Lanes<T>,
    ) -> PieceGradient<T> {
        let ([left, right], [width, height]) = (&self.slopes, &self.sizes);
        let (two, slack, one) = (number::<T>(2.0), number::<T>(SLACK), T::one());
        let s = self.steepness();
        let free = each(|l| self.position(unit, l));
        let p = each(|l| clamp(free[l], T::zero(), one));
        let both = each(|l| p[l] * (one - p[l]));
        let rise = each(|l| s[l] * p[l] * p[l] + left[l] * both[l]);
        let per_below = each(|l| below(s[l], left[l] + right[l], both[l]).recip());
        let ratio = each(|l| rise[l] * per_below[l]);
        let above = each(|l| {
            let q = one - p[l];
            right[l] * p[l] * p[l] + left[l] * q * q + both[l] * s[l] * two
        });
        let by_rise = each(|l| by_value[l] * height[l] * per_below[l]);
        let by_below = each(|l| -(by_rise[l] * ratio[l] + two * by_slope[l] * per_below[l]));
        let by_above = each(|l| by_slope[l] / above[l]);
        let by_s = each(|l| {
            two * by_slope[l] / s[l]
                + by_rise[l] * p[l] * p[l]
                + by_below[l] * (one - two * both[l])
                + by_above[l] * two * both[l]
        });
        let by_p = each(|l| {
            let lean = one - two * p[l];
            by_rise[l] * (two * s[l] * p[l] + left[l] * lean)
                + by_below[l] * (left[l] + right[l] - two * s[l]) * lean
                + by_above[l] * two * (right[l] * p[l] - left[l] * (one - p[l]) + s[l] * lean)
        });
        // A position keeps its gradient if only rounding moved it out of its bin.
        let kept = each(|l| if (free[l] - p[l]).abs() > slack { T::zero() } else { one });
        let by_unit = each(|l| by_p[l] / width[l] * kept[l]);
        let by_left = each(|l| {
            (by_rise[l] + by_below[l]) * both[l] + by_above[l] * (one - p[l]) * (one - p[l])
        });
        let by_right = each(|l| by_below[l] * both[l] + by_above[l] * p[l] * p[l]);
        let by_width = each(|l| -(by_s[l] * s[l] / width[l]) - by_unit[l] * free[l]);
        let by_height = each(|l| by_value[l] * ratio[l] + by_s[l] / width[l]);
        PieceGradient {
            starts: [each(|l| -by_unit[l]), *by_value],
            sizes: [by_width, by_height],
            slopes: [by_left, by_right],
            unit: by_unit,
        }
    }
}
