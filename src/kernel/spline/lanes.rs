//! The arithmetic of the spline for a few elements at once; the formulas are those of
//! `univariate::RationalQuadratic`.
//!
//! Every lane computes what it would compute alone, so no result depends on its neighbours. Loops
//! over lanes have no branches: they become vector instructions.

use super::{Ends, Knots, LARGEST_RAW, LEAST_DISCRIMINANT, SLACK, Spline};
use crate::kernel::elementary::{Elementary, fast_ln_1p};

/// Elements at once.
pub(super) const LANES: usize = 16;

/// One number of each of them.
pub(super) type Lanes<T> = [T; LANES];

/// `f` of every lane.
#[inline(always)]
fn each<T: Elementary>(mut f: impl FnMut(usize) -> T) -> Lanes<T> {
    let mut out = [T::zero(); LANES];
    for (lane, out) in out.iter_mut().enumerate() {
        *out = f(lane);
    }
    out
}

/// Parameters of the elements, parameter `p` of lane `l` at `p * stride + l`.
#[derive(Clone, Copy)]
pub(super) struct Params<'a, T> {
    pub values: &'a [T],
    pub stride: usize,
}

impl<T: Elementary> Params<'_, T> {
    #[inline(always)]
    fn get(&self, p: usize) -> &Lanes<T> {
        self.values[p * self.stride..][..LANES].try_into().expect("so many lanes")
    }
}

/// The numbers of a spline as `T`, and where it puts exponentials.
pub(super) struct Work<T> {
    bins: usize,
    ends: Ends,
    low: T,
    high: T,
    span: T,
    knots: Map<T>,
    /// Least shares, widths and heights.
    floors: [T; 2],
    /// Exponentials of the logits, `[2 bins]`.
    exps: Vec<Lanes<T>>,
}

#[derive(Clone, Copy)]
enum Map<T> {
    Softmax { logit_scale: T, slope_offset: T, min_slope: T },
    SoftBound { bound: T },
}

/// Where a value lies.
struct Placed<T> {
    /// In the unit interval.
    unit: Lanes<T>,
    /// Whole circles.
    turns: Lanes<T>,
    outside: [bool; LANES],
}

/// The bin of every lane.
struct Piece<T> {
    index: Lanes<T>,
    x: Lanes<T>,
    width: Lanes<T>,
    y: Lanes<T>,
    height: Lanes<T>,
    /// Raw slopes at the ends.
    raw: [Lanes<T>; 2],
    /// Slopes, and their derivatives by the raw ones.
    slopes: [Lanes<T>; 2],
    derivatives: [Lanes<T>; 2],
    /// Sums of exponentials on both axes.
    sums: [Lanes<T>; 2],
}

/// Gradients by what makes up a piece.
struct PieceGradient<T> {
    x: Lanes<T>,
    width: Lanes<T>,
    y: Lanes<T>,
    height: Lanes<T>,
    slopes: [Lanes<T>; 2],
    unit: Lanes<T>,
}

#[inline(always)]
fn clamp<T: Elementary>(value: T, low: T, high: T) -> T {
    let value = if value < low { low } else { value };
    if value > high { high } else { value }
}

/// `a / (1 + |a| / bound)` and its derivative.
#[inline(always)]
fn soft_bound<T: Elementary>(raw: T, bound: T) -> (T, T) {
    let largest = number::<T>(LARGEST_RAW);
    let a = clamp(raw, -largest, largest);
    let scale = (a.abs() / bound + T::one()).recip();
    let kept = if raw.abs() > largest { T::zero() } else { T::one() };
    (a * scale, scale * scale * kept)
}

pub(super) fn number<T: Elementary>(value: f64) -> T {
    T::from(value).expect("a float holds it")
}

impl<T: Elementary> Work<T> {
    pub(super) fn new(spline: Spline) -> Self {
        let (knots, floors) = match spline.knots {
            Knots::Softmax { logit_scale, floors, slope_offset, min_slope } => {
                let [logit_scale, slope_offset, min_slope] =
                    [logit_scale, slope_offset, min_slope].map(number);
                (Map::Softmax { logit_scale, slope_offset, min_slope }, floors)
            }
            Knots::SoftBound { bound } => (Map::SoftBound { bound: number(bound) }, [0.0; 2]),
        };
        Self {
            bins: spline.bins,
            ends: spline.ends,
            low: number(spline.low),
            high: number(spline.high),
            span: number(spline.high - spline.low),
            knots,
            floors: floors.map(number),
            exps: vec![[T::zero(); LANES]; 2 * spline.bins],
        }
    }

    /// Values and log-slopes.
    #[inline(always)]
    pub(super) fn forward(&mut self, x: &Lanes<T>, params: Params<T>) -> [Lanes<T>; 2] {
        let placed = self.place(x);
        let piece = self.piece(&placed.unit, 0, params);
        let mut value = [T::zero(); LANES];
        let mut log_slope = [T::zero(); LANES];
        let [left, right] = &piece.slopes;
        for l in 0..LANES {
            let (w, h) = (piece.width[l], piece.height[l]);
            let s = h / w;
            let p = clamp((placed.unit[l] - piece.x[l]) / w, T::zero(), T::one());
            let both = p * (T::one() - p);
            let rise = s * p * p + left[l] * both;
            value[l] = h * rise / below(s, left[l] + right[l], both) + piece.y[l];
            log_slope[l] = log_slope_at(s, left[l], right[l], p);
        }
        self.back(x, &placed, value, log_slope)
    }

    /// Values of the inverse and their log-slopes.
    #[inline(always)]
    pub(super) fn inverse(&mut self, z: &Lanes<T>, params: Params<T>) -> [Lanes<T>; 2] {
        let placed = self.place(z);
        let piece = self.piece(&placed.unit, 1, params);
        let mut value = [T::zero(); LANES];
        let mut log_slope = [T::zero(); LANES];
        let [left, right] = &piece.slopes;
        let (least, two) = (number::<T>(LEAST_DISCRIMINANT), number::<T>(2.0));
        for l in 0..LANES {
            let (w, h) = (piece.width[l], piece.height[l]);
            let s = h / w;
            let up = clamp(placed.unit[l] - piece.y[l], T::zero(), T::one());
            let bend = up * (left[l] + right[l] - s * two);
            let a = h * (s - left[l]) + bend;
            let b = h * left[l] - bend;
            let minus_c = s * up;
            let square = b * b + a * minus_c * number(4.0);
            let root = (if square < least { least } else { square }).sqrt();
            // Two forms of one root; each is a difference of equal numbers where the other is a sum.
            let negative = b < T::zero();
            let above = if negative { root - b } else { minus_c * two };
            let below = if negative { a * two } else { root + b };
            let below = if below < least { least } else { below };
            let p = clamp(above / below, T::zero(), T::one());
            value[l] = p * w + piece.x[l];
            log_slope[l] = -log_slope_at(s, left[l], right[l], p);
        }
        self.back(z, &placed, value, log_slope)
    }

    /// Gradients by the values, returned, and by the parameters, written to `out` in the layout of
    /// `params`, from those by values and log-slopes.
    #[inline(always)]
    pub(super) fn backward(
        &mut self,
        x: &Lanes<T>,
        params: Params<T>,
        [by_value, by_slope]: [&Lanes<T>; 2],
        out: &mut [T],
    ) -> Lanes<T> {
        let placed = self.place(x);
        let piece = self.piece(&placed.unit, 0, params);
        let inside = |l: usize, gradient: T| if placed.outside[l] { T::zero() } else { gradient };
        let value = each(|l| inside(l, by_value[l] * self.span));
        let slope = each(|l| inside(l, by_slope[l]));
        let gradient = piece_gradient(&placed.unit, &piece, &value, &slope);
        self.shares_gradient(
            0,
            &piece,
            [&piece.x, &piece.width],
            [&gradient.x, &gradient.width],
            params,
            out,
        );
        self.shares_gradient(
            1,
            &piece,
            [&piece.y, &piece.height],
            [&gradient.y, &gradient.height],
            params,
            out,
        );
        self.slopes_gradient(&piece, &gradient, params.stride, out);
        each(|l| if placed.outside[l] { by_value[l] } else { gradient.unit[l] / self.span })
    }

    #[inline(always)]
    fn place(&self, x: &Lanes<T>) -> Placed<T> {
        let mut placed =
            Placed { unit: [T::zero(); LANES], turns: [T::zero(); LANES], outside: [false; LANES] };
        if self.ends == Ends::Circle {
            for l in 0..LANES {
                placed.turns[l] = ((x[l] - self.low) / self.span).floor() * self.span;
            }
        }
        for l in 0..LANES {
            let inside = x[l] - placed.turns[l];
            placed.outside[l] =
                self.ends != Ends::Circle && (inside < self.low || inside > self.high);
            let inside = clamp(inside, self.low, self.high);
            placed.unit[l] = clamp((inside - self.low) / self.span, T::zero(), T::one());
        }
        placed
    }

    /// Values and log-slopes outside the unit interval, from those inside.
    #[inline(always)]
    fn back(
        &self,
        x: &Lanes<T>,
        placed: &Placed<T>,
        value: Lanes<T>,
        log_slope: Lanes<T>,
    ) -> [Lanes<T>; 2] {
        let outside = &placed.outside;
        let value = each(|l| {
            let inside = value[l] * self.span + self.low + placed.turns[l];
            if outside[l] { x[l] } else { inside }
        });
        [value, each(|l| if outside[l] { T::zero() } else { log_slope[l] })]
    }

    /// The bins in which values of the unit interval of an axis lie.
    #[inline(always)]
    fn piece(&mut self, unit: &Lanes<T>, axis: usize, params: Params<T>) -> Piece<T> {
        let bins = self.bins;
        let sums = [0, 1].map(|axis| self.exponentials(axis, params));
        // A share is floor + (1 - bins floor) exp / sum; sizes are that times sum / (1 - bins floor).
        let rest = self.floors.map(|floor| T::one() - number::<T>(bins as f64) * floor);
        let floors: [Lanes<T>; 2] =
            [0, 1].map(|axis| each(|l| sums[axis][l] * (self.floors[axis] / rest[axis])));
        let totals: [Lanes<T>; 2] = [0, 1].map(|axis| each(|l| sums[axis][l] / rest[axis]));
        let at = each(|l| unit[l] * totals[axis][l]);
        let mut edges = [[T::zero(); LANES]; 2];
        let mut starts = edges;
        let mut sizes = edges;
        let mut index = [T::zero(); LANES];
        for bin in 0..bins {
            let own = [&self.exps[bin], &self.exps[bins + bin]];
            let number = number::<T>(bin as f64);
            for l in 0..LANES {
                let reached = bin == 0 || at[l] >= edges[axis][l];
                index[l] = if reached { number } else { index[l] };
                for side in 0..2 {
                    let size = own[side][l] + floors[side][l];
                    starts[side][l] = if reached { edges[side][l] } else { starts[side][l] };
                    sizes[side][l] = if reached { size } else { sizes[side][l] };
                    edges[side][l] = edges[side][l] + size;
                }
            }
        }
        let raw = self.raw_slopes(&index, params);
        let [x, y] = [0, 1].map(|side| each(|l| starts[side][l] / totals[side][l]));
        let [width, height] = [0, 1].map(|side| each(|l| sizes[side][l] / totals[side][l]));
        let zero = [[T::zero(); LANES]; 2];
        let mut piece =
            Piece { index, x, width, y, height, raw, slopes: zero, derivatives: zero, sums };
        self.slopes(&mut piece);
        piece
    }

    /// The logit of a raw size, and its derivative.
    #[inline(always)]
    fn logit(&self, raw: T) -> (T, T) {
        match self.knots {
            Map::Softmax { logit_scale, .. } => (raw * logit_scale, logit_scale),
            Map::SoftBound { bound } => soft_bound(raw, bound * number(0.5)),
        }
    }

    /// Exponentials of the logits of one axis, less their maximum, and their sums.
    #[inline(always)]
    fn exponentials(&mut self, axis: usize, params: Params<T>) -> Lanes<T> {
        let bins = axis * self.bins..(axis + 1) * self.bins;
        let mut most = [T::neg_infinity(); LANES];
        for bin in bins.clone() {
            let raw = params.get(bin);
            for l in 0..LANES {
                let logit = self.logit(raw[l]).0;
                self.exps[bin][l] = logit;
                most[l] = if logit > most[l] { logit } else { most[l] };
            }
        }
        let mut sums = [T::zero(); LANES];
        for exps in &mut self.exps[bins] {
            for l in 0..LANES {
                exps[l] = (exps[l] - most[l]).fast_exp();
                sums[l] = sums[l] + exps[l];
            }
        }
        sums
    }

    /// Where the raw slope at the left (0) or right (1) end of a bin stands among the slopes; none
    /// where it is 1.
    #[inline(always)]
    fn slope_at(&self, bin: usize, side: usize) -> Option<usize> {
        match self.ends {
            Ends::Tails => (bin + side).checked_sub(1).filter(|&knot| knot + 1 < self.bins),
            Ends::Interval => Some(bin + side),
            Ends::Circle => Some((bin + side) % self.bins),
        }
    }

    /// Raw slopes at the ends of the bins; at an end of slope 1, any.
    #[inline(always)]
    fn raw_slopes(&self, index: &Lanes<T>, params: Params<T>) -> [Lanes<T>; 2] {
        let mut raw = [[T::zero(); LANES]; 2];
        for bin in 0..self.bins {
            let number = number::<T>(bin as f64);
            for side in 0..2 {
                let Some(knot) = self.slope_at(bin, side) else { continue };
                let values = params.get(2 * self.bins + knot);
                for l in 0..LANES {
                    raw[side][l] = if index[l] == number { values[l] } else { raw[side][l] };
                }
            }
        }
        raw
    }

    /// Slopes of the raw ones, and the derivatives.
    #[inline(always)]
    fn slopes(&self, piece: &mut Piece<T>) {
        let last = number::<T>((self.bins - 1) as f64);
        for side in 0..2 {
            let end = if side == 0 { T::zero() } else { last };
            for l in 0..LANES {
                let (slope, derivative) = self.slope(piece.raw[side][l]);
                let one = self.ends == Ends::Tails && piece.index[l] == end;
                piece.slopes[side][l] = if one { T::one() } else { slope };
                piece.derivatives[side][l] = if one { T::zero() } else { derivative };
            }
        }
    }

    #[inline(always)]
    fn slope(&self, raw: T) -> (T, T) {
        match self.knots {
            Map::Softmax { slope_offset, min_slope, .. } => {
                let largest = number::<T>(LARGEST_RAW);
                let shifted = raw + slope_offset;
                let a = clamp(shifted, -largest, largest);
                let kept = if shifted.abs() > largest { T::zero() } else { T::one() };
                let small = (-a.abs()).fast_exp();
                let positive = if a > T::zero() { a } else { T::zero() };
                let share = (small + T::one()).recip();
                let sigmoid = if a > T::zero() { share } else { small * share };
                // A NaN stays one: a comparison with it is false.
                let slope = positive + fast_ln_1p(small) + min_slope;
                (slope, sigmoid * kept)
            }
            Map::SoftBound { bound } => {
                let (log_slope, derivative) = soft_bound(raw, bound);
                let slope = log_slope.fast_exp();
                (slope, slope * derivative)
            }
        }
    }

    /// Gradients by the raw sizes of an axis, from those by start and size of the bins.
    #[inline(always)]
    fn shares_gradient(
        &self,
        axis: usize,
        piece: &Piece<T>,
        [start, size]: [&Lanes<T>; 2],
        [by_start, by_size]: [&Lanes<T>; 2],
        params: Params<T>,
        out: &mut [T],
    ) {
        let floor = self.floors[axis];
        let rest = T::one() - number::<T>(self.bins as f64) * floor;
        // The mean of the gradients by the shares of the softmax.
        let mean = each(|l| {
            by_start[l] * (start[l] - piece.index[l] * floor) + by_size[l] * (size[l] - floor)
        });
        let per_sum = each(|l| piece.sums[axis][l].recip());
        for bin in 0..self.bins {
            let (row, number) = (axis * self.bins + bin, number::<T>(bin as f64));
            let (raw, exps) = (params.get(row), &self.exps[row]);
            let out: &mut Lanes<T> =
                (&mut out[row * params.stride..][..LANES]).try_into().expect("so many lanes");
            for l in 0..LANES {
                let own = if number == piece.index[l] { by_size[l] } else { T::zero() };
                let by_share = if number < piece.index[l] { by_start[l] } else { own };
                let softmax = exps[l] * per_sum[l];
                out[l] = softmax * (by_share * rest - mean[l]) * self.logit(raw[l]).1;
            }
        }
    }

    /// Gradients by the raw slopes.
    #[inline(always)]
    fn slopes_gradient(
        &self,
        piece: &Piece<T>,
        gradient: &PieceGradient<T>,
        stride: usize,
        out: &mut [T],
    ) {
        let out = &mut out[2 * self.bins * stride..];
        let knots = match self.ends {
            Ends::Tails => self.bins - 1,
            Ends::Interval => self.bins + 1,
            Ends::Circle => self.bins,
        };
        for knot in 0..knots {
            out[knot * stride..][..LANES].fill(T::zero());
        }
        for bin in 0..self.bins {
            let number = number::<T>(bin as f64);
            for side in 0..2 {
                let Some(knot) = self.slope_at(bin, side) else { continue };
                let out: &mut Lanes<T> =
                    (&mut out[knot * stride..][..LANES]).try_into().expect("so many lanes");
                let (by_slope, derivative) = (&gradient.slopes[side], &piece.derivatives[side]);
                for l in 0..LANES {
                    let here = by_slope[l] * derivative[l];
                    out[l] = out[l] + if piece.index[l] == number { here } else { T::zero() };
                }
            }
        }
    }
}

/// The denominator, without a difference.
#[inline(always)]
fn below<T: Elementary>(s: T, ends: T, both: T) -> T {
    s * (T::one() - both * number(2.0)) + ends * both
}

/// The log-slope at the position `p` in a bin.
#[inline(always)]
fn log_slope_at<T: Elementary>(s: T, left: T, right: T, p: T) -> T {
    let q = T::one() - p;
    let both = p * q;
    let above = right * p * p + left * q * q + both * s * number(2.0);
    above.fast_ln() + (s / below(s, left + right, both)).fast_ln() * number(2.0)
}

/// The chain rule through the formulas of `forward`.
#[inline(always)]
fn piece_gradient<T: Elementary>(
    unit: &Lanes<T>,
    piece: &Piece<T>,
    value: &Lanes<T>,
    slope: &Lanes<T>,
) -> PieceGradient<T> {
    let zero = [T::zero(); LANES];
    let mut out = PieceGradient {
        x: zero,
        width: zero,
        y: *value,
        height: zero,
        slopes: [zero; 2],
        unit: zero,
    };
    let two = number::<T>(2.0);
    let slack = number::<T>(SLACK);
    let [left, right] = &piece.slopes;
    for l in 0..LANES {
        let (w, h, d0, d1) = (piece.width[l], piece.height[l], left[l], right[l]);
        let (by_value, by_slope) = (value[l], slope[l]);
        let s = h / w;
        let free = (unit[l] - piece.x[l]) / w;
        let p = clamp(free, T::zero(), T::one());
        let kept = if free < -slack || free > slack + T::one() { T::zero() } else { T::one() };
        let (q, lean) = (T::one() - p, T::one() - two * p);
        let both = p * q;
        let rise = s * p * p + d0 * both;
        let per_below = below(s, d0 + d1, both).recip();
        let ratio = rise * per_below;
        let above = d1 * p * p + d0 * q * q + both * s * two;
        let by_rise = by_value * h * per_below;
        let by_below = -(by_rise * ratio + two * by_slope * per_below);
        let by_above = by_slope / above;
        let by_s = two * by_slope / s
            + by_rise * p * p
            + by_below * (T::one() - two * both)
            + by_above * two * both;
        let by_p = by_rise * (two * s * p + d0 * lean)
            + by_below * (d0 + d1 - two * s) * lean
            + by_above * two * (d1 * p - d0 * q + s * lean);
        let by_unit = by_p / w * kept;
        out.unit[l] = by_unit;
        out.x[l] = -by_unit;
        out.width[l] = -(by_s * s / w) - by_unit * free;
        out.height[l] = by_value * ratio + by_s / w;
        out.slopes[0][l] = (by_rise + by_below) * both + by_above * q * q;
        out.slopes[1][l] = by_below * both + by_above * p * p;
    }
    out
}
