//! The arithmetic of the rational-quadratic spline for 16 elements at once. The formulas are those on the page of
//! `univariate::RationalQuadratic`; `univariate/spline/rational_quadratic` has them as tensor operations, and the tests
//! of this folder compare the two.
//!
//! `Lanes<T>` is an array of 16 numbers, one for each element. A function here does one formula for all lanes in a
//! short loop without branches, which the compiler turns into vector instructions. A choice between two formulas
//! computes both and selects per lane. A lane reads no other lane, so the result of an element is the same in every
//! place of a batch.
//!
//! Precision: exponentials, slopes at the knots and results are `T`; positions and widths in between are f64. The
//! position in a bin is a small difference of positions in the interval. In f32, a bin of a thousandth of the interval
//! would lose three digits. Gradients are computed in `T`.

use super::piece::{Piece, PieceGradient, each};
use super::{Ends, Knots, LARGEST_RAW, Spline};
use crate::kernel::elementary::{Elementary, fast_ln_1p};

/// The number of elements processed at once.
pub(super) const LANES: usize = 16;

/// One number for each lane.
pub(super) type Lanes<T> = [T; LANES];

/// The parameters of the elements; parameter `p` of lane `l` is at `p * stride + l`.
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

/// The lanes of parameter `p` in the layout of [`Params`].
#[inline(always)]
fn lanes_of<T>(values: &mut [T], p: usize, stride: usize) -> &mut Lanes<T> {
    (&mut values[p * stride..][..LANES]).try_into().expect("so many lanes")
}

/// The constants of a spline as `T`, and a buffer for exponentials.
pub(super) struct Work<T> {
    bins: usize,
    ends: Ends,
    low: f64,
    high: f64,
    knots: Map<T>,
    /// 1 if the lower end belongs to the tail, and 0 otherwise.
    low_is_outside: f64,
    /// The smallest share of a bin in the widths and in the heights.
    floors: [f64; 2],
    /// Exponentials of the logits, `[2 bins]`.
    exps: Vec<Lanes<T>>,
}

#[derive(Clone, Copy)]
enum Map<T> {
    Softmax { logit_scale: T, slope_offset: T, min_slope: T },
    SoftBound { bound: T },
}

/// The position of a value relative to the interval.
struct Placed<N> {
    /// The position in the unit interval.
    unit: Lanes<N>,
    /// The shift by whole circles.
    turns: Lanes<N>,
    /// 1 outside the interval, and 0 inside.
    outside: Lanes<N>,
}

#[inline(always)]
pub(super) fn clamp<T: Elementary>(value: T, low: T, high: T) -> T {
    let value = if value < low { low } else { value };
    if value > high { high } else { value }
}

#[inline(always)]
pub(super) fn number<T: Elementary>(value: f64) -> T {
    T::nearest(value)
}

/// Converts the numbers to another precision.
#[inline(always)]
pub(super) fn in_precision<T: Elementary, N: Elementary>(values: &Lanes<T>) -> Lanes<N> {
    each(|l| N::nearest(values[l].widened()))
}

/// `a / (1 + |a| / bound)` and its derivative.
#[inline(always)]
fn soft_bound<T: Elementary>(raw: &Lanes<T>, bound: T) -> (Lanes<T>, Lanes<T>) {
    let largest = number::<T>(LARGEST_RAW);
    let a = each(|l| clamp(raw[l], -largest, largest));
    let scale = each(|l| (a[l].abs() / bound + T::one()).recip());
    let derivative = each(|l| if a[l].abs() < largest { scale[l] * scale[l] } else { T::zero() });
    (each(|l| a[l] * scale[l]), derivative)
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
            // The ends rounded to `T`, as values can reach them.
            low: number::<T>(spline.low).widened(),
            high: number::<T>(spline.high).widened(),
            low_is_outside: match knots {
                Map::SoftBound { .. } => 1.0,
                Map::Softmax { .. } => 0.0,
            },
            knots,
            floors,
            exps: vec![[T::zero(); LANES]; 2 * spline.bins],
        }
    }

    /// The values and log-slopes of the map.
    #[inline(always)]
    pub(super) fn forward(&mut self, x: &Lanes<T>, params: Params<T>) -> (Lanes<T>, Lanes<f64>) {
        let placed = self.place::<f64>(x);
        let piece = self.piece::<f64, 0>(&placed.unit, params);
        let (value, position) = piece.value(&placed.unit);
        let log_slope = piece.log_slope(&position);
        self.back(x, &placed, &value, &log_slope)
    }

    /// The values of the inverse and their log-slopes.
    #[inline(always)]
    pub(super) fn inverse(&mut self, z: &Lanes<T>, params: Params<T>) -> (Lanes<T>, Lanes<f64>) {
        let placed = self.place::<f64>(z);
        let piece = self.piece::<f64, 1>(&placed.unit, params);
        let (value, position) = piece.solve(&placed.unit);
        let log_slope = piece.log_slope(&position);
        self.back(z, &placed, &value, &each(|l| -log_slope[l]))
    }

    /// Computes gradients from the gradients with respect to values and log-slopes. The gradients with respect to the
    /// inputs are returned. The gradients with respect to the parameters are written to `out` in the layout of
    /// `params`.
    #[inline(always)]
    pub(super) fn backward(
        &mut self,
        x: &Lanes<T>,
        params: Params<T>,
        [by_value, by_slope]: [&Lanes<T>; 2],
        out: &mut [T],
    ) -> Lanes<T> {
        let placed = self.place::<T>(x);
        let piece = self.piece::<T, 0>(&placed.unit, params);
        let span = number::<T>(self.high - self.low);
        let inside = each(|l| T::one() - placed.outside[l]);
        let value = each(|l| by_value[l] * span * inside[l]);
        let slope = each(|l| by_slope[l] * inside[l]);
        let gradient = piece.gradient(&placed.unit, &value, &slope);
        self.shares_gradient::<0>(&piece, &gradient, params, out);
        self.shares_gradient::<1>(&piece, &gradient, params, out);
        self.slopes_gradient(&piece, &gradient, params.stride, out);
        each(|l| by_value[l] * placed.outside[l] + gradient.unit[l] / span)
    }

    #[inline(always)]
    fn place<N: Elementary>(&self, x: &Lanes<T>) -> Placed<N> {
        let x = in_precision::<T, N>(x);
        let [low, high, span] = [self.low, self.high, self.high - self.low].map(number::<N>);
        let none = [N::zero(); LANES];
        let (mut turns, mut outside) = (none, none);
        if self.ends == Ends::Circle {
            turns = each(|l| ((x[l] - low) / span).floor() * span);
        } else {
            let low_is_outside = number::<N>(self.low_is_outside);
            // If the lower end belongs to the tail, a value at the lower end counts as below the interval.
            let end = each(|l| if x[l] == low { low_is_outside } else { N::zero() });
            let below = each(|l| if x[l] < low { N::one() } else { end[l] });
            outside = each(|l| if x[l] > high { N::one() } else { below[l] });
        }
        let unit = each(|l| {
            let inside = clamp(x[l] - turns[l], low, high);
            clamp((inside - low) / span, N::zero(), N::one())
        });
        Placed { unit, turns, outside }
    }

    /// Converts values and log-slopes from the unit interval to the interval of the spline.
    #[inline(always)]
    fn back(
        &self,
        x: &Lanes<T>,
        placed: &Placed<f64>,
        value: &Lanes<f64>,
        log_slope: &Lanes<f64>,
    ) -> (Lanes<T>, Lanes<f64>) {
        let (x, span) = (in_precision::<T, f64>(x), self.high - self.low);
        // An end maps exactly to itself, without a rounding error beyond it.
        let held = each(|l| clamp(value[l], 0.0, 1.0));
        let inside = each(|l| held[l] * span + self.low + placed.turns[l]);
        let is_inside = |l: usize| placed.outside[l] == 0.0;
        let value = each(|l| if is_inside(l) { inside[l] } else { x[l] });
        (in_precision(&value), each(|l| if is_inside(l) { log_slope[l] } else { 0.0 }))
    }

    /// The bins that contain the given values of the unit interval of an axis.
    #[inline(always)]
    fn piece<N: Elementary, const AXIS: usize>(
        &mut self,
        unit: &Lanes<N>,
        params: Params<T>,
    ) -> Piece<N> {
        let sums = [self.exponentials::<N>(0, params), self.exponentials::<N>(1, params)];
        // A share is floor + (1 - bins floor) exp / sum; a size is that share times sum / (1 - bins floor).
        let none = [N::zero(); LANES];
        let (mut floors, mut totals) = ([none; 2], [none; 2]);
        for side in 0..2 {
            let floor = number::<N>(self.floors[side]);
            let rest = N::one() - number::<N>(self.bins as f64) * floor;
            totals[side] = each(|l| sums[side][l] / rest);
            floors[side] = each(|l| totals[side][l] * floor);
        }
        let index = self.find::<N, AXIS>(&each(|l| unit[l] * totals[AXIS][l]), &floors[AXIS]);
        let (mut starts, mut sizes) = ([none; 2], [none; 2]);
        for side in 0..2 {
            let (mut start, mut own) = (none, none);
            for bin in 0..self.bins {
                let exps = in_precision::<T, N>(&self.exps[side * self.bins + bin]);
                let (number, size) = (number::<N>(bin as f64), each(|l| exps[l] + floors[side][l]));
                start = each(|l| start[l] + if number < index[l] { size[l] } else { N::zero() });
                own = each(|l| if number == index[l] { size[l] } else { own[l] });
            }
            starts[side] = each(|l| start[l] / totals[side][l]);
            sizes[side] = each(|l| own[l] / totals[side][l]);
        }
        let bin = in_precision::<N, T>(&index);
        let raw = self.raw_slopes(&bin, params);
        let last = number::<T>((self.bins - 1) as f64);
        let (left, left_derivatives) = self.slopes(&raw[0], &bin, T::zero());
        let (right, right_derivatives) = self.slopes(&raw[1], &bin, last);
        Piece {
            index,
            starts,
            sizes,
            slopes: [in_precision(&left), in_precision(&right)],
            derivatives: [in_precision(&left_derivatives), in_precision(&right_derivatives)],
            sums,
        }
    }

    /// The last bin of an axis whose left edge is at most `at`.
    #[inline(always)]
    fn find<N: Elementary, const AXIS: usize>(&self, at: &Lanes<N>, floors: &Lanes<N>) -> Lanes<N> {
        let (mut edge, mut index) = ([N::zero(); LANES], [N::zero(); LANES]);
        for bin in 1..self.bins {
            let before = in_precision::<T, N>(&self.exps[AXIS * self.bins + bin - 1]);
            let number = number::<N>(bin as f64);
            edge = each(|l| edge[l] + (before[l] + floors[l]));
            index = each(|l| if at[l] >= edge[l] { number } else { index[l] });
        }
        index
    }

    /// The logits of the raw sizes, and their derivatives.
    #[inline(always)]
    fn logits(&self, raw: &Lanes<T>) -> (Lanes<T>, Lanes<T>) {
        match self.knots {
            Map::Softmax { logit_scale, .. } => {
                (each(|l| raw[l] * logit_scale), [logit_scale; LANES])
            }
            Map::SoftBound { bound } => soft_bound(raw, bound * number(0.5)),
        }
    }

    /// The exponentials of the logits of one axis, after subtraction of their maximum, and their sums.
    #[inline(always)]
    fn exponentials<N: Elementary>(&mut self, axis: usize, params: Params<T>) -> Lanes<N> {
        let bins = axis * self.bins..(axis + 1) * self.bins;
        let mut most = [T::neg_infinity(); LANES];
        for bin in bins.clone() {
            let (logits, _) = self.logits(params.get(bin));
            most = each(|l| if logits[l] > most[l] { logits[l] } else { most[l] });
            self.exps[bin] = logits;
        }
        let mut sums = [N::zero(); LANES];
        for exps in &mut self.exps[bins] {
            let logits = *exps;
            let powers = each(|l| (logits[l] - most[l]).fast_exp());
            let wide = in_precision::<T, N>(&powers);
            sums = each(|l| sums[l] + wide[l]);
            *exps = powers;
        }
        sums
    }

    /// The index of the raw slope at the left (0) or right (1) end of a bin, or `None` if that slope is fixed to 1.
    #[inline(always)]
    fn slope_at(&self, bin: usize, side: usize) -> Option<usize> {
        match self.ends {
            Ends::Tails => (bin + side).checked_sub(1).filter(|&knot| knot + 1 < self.bins),
            Ends::Interval => Some(bin + side),
            Ends::Circle => Some((bin + side) % self.bins),
        }
    }

    /// The raw slopes at the ends of the bins; arbitrary at an end whose slope is fixed to 1.
    #[inline(always)]
    fn raw_slopes(&self, index: &Lanes<T>, params: Params<T>) -> [Lanes<T>; 2] {
        let mut raw = [[T::zero(); LANES]; 2];
        for (side, raw) in raw.iter_mut().enumerate() {
            for bin in 0..self.bins {
                let Some(knot) = self.slope_at(bin, side) else { continue };
                let number = number::<T>(bin as f64);
                let (values, own) = (*params.get(2 * self.bins + knot), *raw);
                *raw = each(|l| if index[l] == number { values[l] } else { own[l] });
            }
        }
        raw
    }

    /// The slopes of the raw slopes, and their derivatives; 1 at the end of a tail, which is in bin `end`.
    #[inline(always)]
    fn slopes(&self, raw: &Lanes<T>, index: &Lanes<T>, end: T) -> (Lanes<T>, Lanes<T>) {
        let (slopes, derivatives) = match self.knots {
            Map::Softmax { slope_offset, min_slope, .. } => {
                let largest = number::<T>(LARGEST_RAW);
                let a = each(|l| clamp(raw[l] + slope_offset, -largest, largest));
                let small = each(|l| (-a[l].abs()).fast_exp());
                let log = each(|l| fast_ln_1p(small[l]));
                let positive = each(|l| if a[l] < T::zero() { T::zero() } else { a[l] });
                let share = each(|l| (small[l] + T::one()).recip());
                let sigmoid =
                    each(|l| if a[l] < T::zero() { small[l] * share[l] } else { share[l] });
                let derivative =
                    each(|l| if a[l].abs() < largest { sigmoid[l] } else { T::zero() });
                (each(|l| positive[l] + log[l] + min_slope), derivative)
            }
            Map::SoftBound { bound } => {
                let (logs, derivatives) = soft_bound(raw, bound);
                let slopes = each(|l| logs[l].fast_exp());
                (slopes, each(|l| slopes[l] * derivatives[l]))
            }
        };
        if self.ends != Ends::Tails {
            return (slopes, derivatives);
        }
        let slopes = each(|l| if index[l] == end { T::one() } else { slopes[l] });
        (slopes, each(|l| if index[l] == end { T::zero() } else { derivatives[l] }))
    }

    /// The gradients with respect to the raw sizes of an axis, from the gradients with respect to start and size of the
    /// bins.
    #[inline(always)]
    fn shares_gradient<const AXIS: usize>(
        &self,
        piece: &Piece<T>,
        gradient: &PieceGradient<T>,
        params: Params<T>,
        out: &mut [T],
    ) {
        let (start, size) = (&piece.starts[AXIS], &piece.sizes[AXIS]);
        let (by_start, by_size) = (&gradient.starts[AXIS], &gradient.sizes[AXIS]);
        let (index, floor) = (&piece.index, number::<T>(self.floors[AXIS]));
        let rest = T::one() - number::<T>(self.bins as f64) * floor;
        // The mean of the gradients, weighted by the shares of the softmax.
        let mean =
            each(|l| by_start[l] * (start[l] - index[l] * floor) + by_size[l] * (size[l] - floor));
        let per_sum = each(|l| piece.sums[AXIS][l].recip());
        for bin in 0..self.bins {
            let (row, number) = (AXIS * self.bins + bin, number::<T>(bin as f64));
            let (exps, (_, derivatives)) = (&self.exps[row], self.logits(params.get(row)));
            let own = each(|l| if number == index[l] { by_size[l] } else { T::zero() });
            let by_share = each(|l| if number < index[l] { by_start[l] } else { own[l] });
            let softmax = each(|l| exps[l] * per_sum[l]);
            *lanes_of(out, row, params.stride) =
                each(|l| softmax[l] * (by_share[l] * rest - mean[l]) * derivatives[l]);
        }
    }

    /// The gradients with respect to the raw slopes.
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
            *lanes_of(out, knot, stride) = [T::zero(); LANES];
        }
        for side in 0..2 {
            let (by_slope, derivative) = (&gradient.slopes[side], &piece.derivatives[side]);
            let by_raw = each(|l| by_slope[l] * derivative[l]);
            for bin in 0..self.bins {
                let Some(knot) = self.slope_at(bin, side) else { continue };
                let number = number::<T>(bin as f64);
                let here = each(|l| if piece.index[l] == number { by_raw[l] } else { T::zero() });
                let sum = lanes_of(out, knot, stride);
                *sum = each(|l| sum[l] + here[l]);
            }
        }
    }
}
