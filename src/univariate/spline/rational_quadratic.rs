//! Rational-quadratic spline: between two knots a ratio of two quadratics.
//!
//! In the bin of width `w` and height `h` that starts at `(x_k, y_k)`, with `s = h / w`, the slopes
//! `d0` and `d1` at its ends, and `p = (x - x_k) / w`:
//!
//! forward   z = y_k + h (s p^2 + d0 p (1 - p)) / D,   D = s + (d0 + d1 - 2 s) p (1 - p)
//! log-det   sum of ln( s^2 (d1 p^2 + 2 s p (1 - p) + d0 (1 - p)^2) / D^2 )
//! inverse   the root p of a p^2 + b p + c = 0 in [0, 1]; with u = z - y_k and v = d0 + d1 - 2 s,
//!           a = h (s - d0) + u v,  b = h d0 - u v,  c = -s u
//!
//! Paper: Durkan, Bekasov, Murray, Papamakarios (2019), Neural Spline Flows, equations 4 to 8,
//! arXiv:1906.04032, after Gregory and Delbourgo (1982). On circles: Rezende et al. (2020),
//! Normalizing Flows on Tori and Spheres, arXiv:2002.02428.
//! Same numbers as nflows 0.14 `rational_quadratic_spline`, zuko 1.6 `MonotonicRQSTransform`, FlowJAX 19
//! `RationalQuadraticSpline`, with the [`KnotMap`] of each.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::bins::{Axis, Bins, Found, Side, check_bins, check_floor, check_share, pick};
use super::domain::{Placed, SplineDomain, held};
use crate::error::{Error, Result, expect_valid};
use crate::kernel::{Knots, LARGEST_RAW, LEAST_DISCRIMINANT, Spline};
use crate::math::{softplus, sum_event};
use crate::univariate::Univariate;

/// How raw parameters become sizes of bins and slopes.
///
/// The default serves training. The others are the maps of other libraries, so that their weights
/// give the same numbers here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum KnotMap {
    /// Sizes by the softmax of `logit_scale` times the raw values, with the least size of the
    /// configuration; slope `softplus(raw + slope_offset) + min_slope`.
    Softmax {
        /// nflows divides by the root of the width of a coupling's network.
        logit_scale: f64,
        /// `None` makes the slope of a raw zero 1; nflows has 0.
        slope_offset: Option<f64>,
    },
    /// Sizes by the softmax of `a / (1 + 2 |a| / bound)`, slope `exp(a / (1 + |a| / bound))`: no size
    /// and no slope can vanish, so there is no least one (zuko, with a bound of `-ln slope`).
    SoftBound {
        /// The bound of a log-slope, and twice that of a logit.
        bound: f64,
    },
}

impl Default for KnotMap {
    fn default() -> Self {
        Self::Softmax { logit_scale: 1.0, slope_offset: None }
    }
}

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
#[derive(Config, Debug, Copy, PartialEq)]
pub struct RationalQuadraticConfig {
    /// Number of bins, at least 2.
    #[config(default = 8)]
    pub bins: usize,
    /// Where the spline acts.
    #[config(default = "SplineDomain::default()")]
    pub domain: SplineDomain,
    /// Least width of a bin, as a share of the interval. Without it a bin of no width divides by 0.
    #[config(default = 1e-3)]
    pub min_width: f64,
    /// Least height of a bin, as a share of the interval.
    #[config(default = 1e-3)]
    pub min_height: f64,
    /// Least slope at a knot. Without it the logarithm of the slope is minus infinity.
    #[config(default = 1e-3)]
    pub min_slope: f64,
    /// How raw parameters become knots.
    #[config(default = "KnotMap::default()")]
    pub knot_map: KnotMap,
}

/// A rational-quadratic spline, made by [`RationalQuadraticConfig::init`].
///
/// Parameters in this order: `bins` raw widths, `bins` raw heights, then the raw slopes at the
/// knots from left to right: `bins - 1` with linear tails, whose ends have slope 1; `bins + 1` on an
/// interval; `bins` on a circle, where the first serves both ends.
///
/// # Numerics
///
/// Finite for every finite value and parameter, in f32 too: a position is clamped into the interval
/// before the spline sees it, a bin and a slope have a least size, and no slope exceeds a million.
/// The root of the inverse is taken without cancellation.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{RationalQuadraticConfig, Univariate};
///
/// let device = Device::flex();
/// let map = RationalQuadraticConfig::new().with_bins(2).init();
/// let x = Tensor::<2>::from_data([[-7.0, 0.0, 1.0]], &device);
/// let raw = [[1.0; 3], [0.0; 3], [0.0; 3], [0.5; 3], [0.2; 3]]; // widths, heights, one slope
/// let params = Tensor::<3>::from_data([raw], &device);
/// let (z, log_det) = map.forward(x.clone(), params.clone());
/// assert_eq!(z.clone().into_data().try_to_vec_as::<f32>().unwrap()[0], -7.0); // a tail
/// let (back, minus) = map.inverse_with_log_det(z, params);
/// back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// minus.neg().into_data().assert_approx_eq::<f32>(&log_det.into_data(), Default::default());
/// ```
#[derive(Module, Debug)]
pub struct RationalQuadratic {
    #[module(skip)]
    config: RationalQuadraticConfig,
}

impl RationalQuadraticConfig {
    /// Says which field cannot be, and why.
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
                match numbers.into_iter().find(|(_, value)| !value.is_finite()) {
                    Some((field, value)) => Err(Error::config(
                        "KnotMap",
                        field,
                        format!("must be finite, found {value}"),
                    )),
                    None => Ok(()),
                }
            }
            KnotMap::SoftBound { bound } if bound > 0.0 && bound <= 20.0 => Ok(()),
            KnotMap::SoftBound { bound } => {
                Err(Error::config("KnotMap", "bound", format!("must be in (0, 20], found {bound}")))
            }
        }
    }

    /// The map.
    ///
    /// # Panics
    ///
    /// With the text of [`validate`](Self::validate).
    pub fn init(&self) -> RationalQuadratic {
        expect_valid(self.validate());
        RationalQuadratic { config: *self }
    }

    /// The place of every value in the domain. zuko leaves its lower end to the tail.
    fn place(&self, x: Tensor<2>) -> Placed {
        match self.knot_map {
            KnotMap::SoftBound { .. } => self.domain.place_above_low(x),
            KnotMap::Softmax { .. } => self.domain.place(x),
        }
    }

    /// Sizes of the bins from their raw values `[batch, 2 bins, n]`.
    fn sizes(&self, raw: Tensor<3>) -> Bins {
        match self.knot_map {
            KnotMap::Softmax { logit_scale, .. } => {
                let raw = if logit_scale == 1.0 { raw } else { raw * logit_scale };
                Bins::new(raw, [self.min_width, self.min_height])
            }
            KnotMap::SoftBound { bound } => Bins::new(soft_bound(raw, 0.5 * bound), [0.0; 2]),
        }
    }

    /// Slopes from raw ones.
    fn slope(&self, raw: Tensor<2>) -> Tensor<2> {
        match self.knot_map {
            KnotMap::Softmax { slope_offset, .. } => {
                let raw = raw + self.slope_offset(slope_offset);
                softplus(raw.clamp(-LARGEST_RAW, LARGEST_RAW)) + self.min_slope
            }
            KnotMap::SoftBound { bound } => soft_bound(raw, bound).exp(),
        }
    }
}

impl RationalQuadraticConfig {
    /// The offset of a slope, without one that for which `softplus(offset) = 1 - min_slope`.
    fn slope_offset(&self, offset: Option<f64>) -> f64 {
        offset.unwrap_or_else(|| (1.0 - self.min_slope).exp_m1().ln())
    }

    /// What the kernel has to know.
    fn kernel(&self) -> Spline {
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
        Spline { bins: self.bins, low, high, ends, knots }
    }
}

/// `a / (1 + |a| / bound)`.
fn soft_bound<const D: usize>(raw: Tensor<D>, bound: f64) -> Tensor<D> {
    let raw = raw.clamp(-LARGEST_RAW, LARGEST_RAW);
    raw.clone() / (raw.abs() * bound.recip() + 1.0)
}

/// The bin of every value, all `[batch, n]`: its sides, and the slopes at its ends.
struct Piece {
    x: Side,
    y: Side,
    left: Tensor<2>,
    right: Tensor<2>,
}

impl RationalQuadratic {
    /// The bins of values in the unit interval of an axis.
    fn piece(&self, unit: &Tensor<2>, axis: Axis, params: Tensor<3>) -> Piece {
        let bins = self.config.bins;
        let raw_slopes = params.dims()[1] - 2 * bins;
        let sizes = self.config.sizes(params.clone().narrow(1, 0, 2 * bins));
        let raw = params.narrow(1, 2 * bins, raw_slopes);
        let found = sizes.find(unit, axis);
        let [x, y] = sizes.sides(&found);
        let (left, right) = self.slopes(&raw, &found);
        Piece { x, y, left, right }
    }

    /// The slopes at both ends of the bins found.
    fn slopes(&self, raw: &Tensor<3>, found: &Found) -> (Tensor<2>, Tensor<2>) {
        let own = &found.own;
        let [_, bins, _] = own.dims();
        let part = |from, count| own.clone().narrow(1, from, count);
        let slope = |mask| self.config.slope(pick(raw, mask));
        if let SplineDomain::LinearTails { .. } = self.config.domain {
            let [batch, _, n] = raw.dims();
            let is = |k| part(k, 1).reshape([batch, n]).greater_elem(0.5);
            let left = slope(part(1, bins - 1)).mask_fill(is(0), 1.0);
            let right = slope(part(0, bins - 1)).mask_fill(is(bins - 1), 1.0);
            return (left, right);
        }
        let rest = match self.config.domain {
            SplineDomain::Circular { .. } => {
                let next = Tensor::cat(vec![part(bins - 1, 1), part(0, bins - 1)], 1);
                return (slope(own.clone()), slope(next));
            }
            _ => part(0, 1).zeros_like(),
        };
        let left = slope(Tensor::cat(vec![own.clone(), rest.clone()], 1));
        (left, slope(Tensor::cat(vec![rest, own.clone()], 1)))
    }

    /// Where in its bin a value of the unit interval of `y` comes from, in `[0, 1]`.
    fn solve(piece: &Piece, unit: Tensor<2>) -> Tensor<2> {
        let (h, d0) = (&piece.y.size, &piece.left);
        let s = h.clone() / piece.x.size.clone();
        let up = held(unit.clone() - piece.y.start.clone());
        let bend = up.clone() * (d0.clone() + piece.right.clone() - s.clone() * 2.0);
        let a = h.clone() * (s.clone() - d0.clone()) + bend.clone();
        let b = h.clone() * d0.clone() - bend;
        let minus_c = s * up;
        let discriminant = b.clone() * b.clone() + a.clone() * minus_c.clone() * 4.0;
        let root = discriminant.clamp_min(LEAST_DISCRIMINANT).sqrt();
        // Two forms of one root; each is a difference of equal numbers where the other is a sum.
        let negative = b.clone().without_autodiff().lower_elem(0.0);
        let above = (minus_c * 2.0).mask_where(negative.clone(), root.clone() - b.clone());
        let below = (root + b).mask_where(negative, a * 2.0);
        at_end(&unit, held(above / below.clamp_min(LEAST_DISCRIMINANT)))
    }

    /// The log-slope at `p`, the place in its bin.
    fn log_slope(piece: &Piece, p: &Tensor<2>) -> Tensor<2> {
        let s = piece.y.size.clone() / piece.x.size.clone();
        let q = p.clone().neg() + 1.0;
        let both = p.clone() * q.clone();
        let ends = piece.right.clone() * p.clone() * p.clone() + piece.left.clone() * q.clone() * q;
        let above = ends + both.clone() * s.clone() * 2.0;
        let below = denominator(piece, &s, both);
        above.log() + (s.log() - below.log()) * 2.0
    }

    /// The value and log-slope in the unit interval: the formula of the module.
    fn unit_forward(piece: &Piece, unit: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (h, s) = (&piece.y.size, piece.y.size.clone() / piece.x.size.clone());
        let p = held((unit.clone() - piece.x.start.clone()) / piece.x.size.clone());
        let p = at_end(&unit, p);
        let both = p.clone() * (p.clone().neg() + 1.0);
        let rise = s.clone() * p.clone() * p.clone() + piece.left.clone() * both.clone();
        let value = h.clone() * rise / denominator(piece, &s, both) + piece.y.start.clone();
        (value, Self::log_slope(piece, &p))
    }
}

/// A position in a bin, with its gradient: at the end of the unit interval that of the last bin, where a
/// start and a size that are rounded apart would leave it short.
fn at_end(unit: &Tensor<2>, position: Tensor<2>) -> Tensor<2> {
    let plain = position.clone().without_autodiff();
    let short = plain.clone().neg() + 1.0;
    let ended = unit.clone().without_autodiff().equal_elem(1.0);
    position + plain.zeros_like().mask_where(ended, short)
}

/// `D` of the module, without a difference: `s (1 - 2 p (1 - p)) + (d0 + d1) p (1 - p)`.
fn denominator(piece: &Piece, s: &Tensor<2>, both: Tensor<2>) -> Tensor<2> {
    let ends = piece.left.clone() + piece.right.clone();
    s.clone() * (both.clone() * -2.0 + 1.0) + ends * both
}

impl RationalQuadratic {
    /// The map made of tensor operations.
    fn forward_reference(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let domain = self.config.domain;
        let placed = self.config.place(x);
        let piece = self.piece(&placed.unit, Axis::X, params);
        let (value, log_slope) = Self::unit_forward(&piece, placed.unit.clone());
        let z = domain.value(&placed, value);
        (z, sum_event(domain.log_slope(&placed, log_slope)))
    }

    /// Its inverse made of tensor operations.
    fn inverse_reference(&self, z: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let domain = self.config.domain;
        let placed = self.config.place(z);
        let piece = self.piece(&placed.unit, Axis::Y, params);
        let p = Self::solve(&piece, placed.unit.clone());
        let value = p.clone() * piece.x.size.clone() + piece.x.start.clone();
        let log_slope = Self::log_slope(&piece, &p).neg();
        let x = domain.value(&placed, value);
        (x, sum_event(domain.log_slope(&placed, log_slope)))
    }
}

impl Univariate for RationalQuadratic {
    fn params_per_element(&self) -> usize {
        let bins = self.config.bins;
        match self.config.domain {
            SplineDomain::LinearTails { .. } => 3 * bins - 1,
            SplineDomain::Circular { .. } => 3 * bins,
            SplineDomain::Interval { .. } => 3 * bins + 1,
        }
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let done = self.config.kernel().forward(&x, &params);
        done.unwrap_or_else(|| self.forward_reference(x, params))
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        self.inverse_with_log_det(z, params).0
    }

    fn inverse_with_log_det(&self, z: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let done = self.config.kernel().inverse(&z, &params);
        done.unwrap_or_else(|| self.inverse_reference(z, params))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;
    use crate::noise::Noise;

    type Forward = fn(&RationalQuadratic, Tensor<2>, Tensor<3>) -> (Tensor<2>, Tensor<1>);

    /// Splines of every kind.
    fn splines() -> Vec<RationalQuadraticConfig> {
        let domains = [
            SplineDomain::LinearTails { bound: 3.0 },
            SplineDomain::Interval { low: -1.0, high: 2.5 },
            SplineDomain::Circular { bound: 2.0 },
        ];
        let maps = [
            KnotMap::default(),
            KnotMap::Softmax { logit_scale: 0.25, slope_offset: Some(0.0) },
            KnotMap::SoftBound { bound: 1e3_f64.ln() },
        ];
        let config =
            |domain, map| RationalQuadraticConfig::new().with_domain(domain).with_knot_map(map);
        let kinds = domains.map(|domain| maps.map(|map| config(domain, map)));
        let mut all: Vec<_> = kinds.into_iter().flatten().collect();
        let odd = RationalQuadraticConfig::new().with_bins(3).with_min_width(0.1);
        all.push(odd.with_min_height(0.02).with_min_slope(0.2));
        all
    }

    /// Values and parameters, half of them moderate, and some out of all bounds.
    fn inputs(
        config: &RationalQuadraticConfig,
        [batch, n]: [usize; 2],
        spread: f64,
        dtype: DType,
    ) -> (Tensor<2>, Tensor<3>) {
        let mut noise = Noise::seeded(7);
        let count = config.init().params_per_element();
        let x: Tensor<2> = noise.normal([batch, n], &Device::flex()) * 2.0;
        let (low, high, _) = config.domain.ends();
        let low = Tensor::full([1, n], low, &Device::flex());
        let ends = Tensor::cat(vec![low.clone(), low.full_like(high)], 0);
        let x = x.slice_assign([0..2, 0..n], ends);
        let params: Tensor<3> = noise.normal([batch, count, n], &Device::flex()) * spread;
        (x.cast(dtype), params.cast(dtype))
    }

    /// Values, log-det and the gradients of a functional with random weights.
    fn all(
        forward: Forward,
        map: &RationalQuadratic,
        x: Tensor<2>,
        params: Tensor<3>,
    ) -> [TensorData; 4] {
        let dtype = x.dtype();
        let (x, params) = (x.autodiff().require_grad(), params.autodiff().require_grad());
        let mut noise = Noise::seeded(8);
        let device = Device::flex();
        let weights: Tensor<2> = noise.normal(x.dims(), &device);
        let row: Tensor<1> = noise.normal([x.dims()[0]], &device);
        let (weights, row) = (weights.cast(dtype).autodiff(), row.cast(dtype).autodiff());
        let (z, log_det) = forward(map, x.clone(), params.clone());
        let loss = (z.clone() * weights).sum() + (log_det.clone() * row).sum();
        let gradients = loss.backward();
        let by_x = x.grad(&gradients).expect("tracked").into_data();
        let by_params = params.grad(&gradients).expect("tracked").into_data();
        [z.into_data(), log_det.into_data(), by_x, by_params]
    }

    /// The largest difference, as a share of the largest number of the row that it is in.
    fn difference(found: &TensorData, wanted: &TensorData) -> f64 {
        assert_eq!((found.shape(), found.dtype()), (wanted.shape(), wanted.dtype()));
        let row = wanted.shape()[1..].iter().product::<usize>().max(1);
        let [found, wanted] = [found, wanted].map(|data| data.iter::<f64>().collect::<Vec<_>>());
        assert!(found.iter().all(|value| value.is_finite()));
        let rows = found.chunks(row).zip(wanted.chunks(row));
        let of_row = |(found, wanted): (&[f64], &[f64])| {
            let largest = wanted.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
            let pairs = found.iter().zip(wanted);
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
        };
        rows.map(of_row).fold(0.0, f64::max)
    }

    #[test]
    fn the_kernel_equals_the_reference_in_values_and_gradients() {
        for config in splines() {
            let map = config.init();
            for shape in [[40, 1], [9, 7], [5, 16], [6, 37]] {
                for (dtype, bound) in [(DType::F64, 1e-10), (DType::F32, 2e-3)] {
                    let (x, params) = inputs(&config, shape, 1.0, dtype);
                    let found = all(RationalQuadratic::forward, &map, x.clone(), params.clone());
                    let reference = RationalQuadratic::forward_reference;
                    let wanted = all(reference, &map, x.clone(), params.clone());
                    let errors = [0, 1, 2, 3].map(|k| difference(&found[k], &wanted[k]));
                    let most = errors.into_iter().fold(0.0, f64::max);
                    assert!(most < bound, "{config:?} {shape:?} {dtype:?}: {errors:?}");
                    let found = map.inverse_with_log_det(x.clone(), params.clone());
                    let wanted = map.inverse_reference(x, params);
                    let error = difference(&found.0.into_data(), &wanted.0.into_data())
                        .max(difference(&found.1.into_data(), &wanted.1.into_data()));
                    assert!(error < bound, "{config:?} {shape:?} {dtype:?} inverse: {error:e}");
                }
            }
        }
    }

    #[test]
    fn extremes_stay_finite_and_agree_in_f64() {
        for config in splines() {
            let map = config.init();
            for spread in [30.0, 1e4, 1e20] {
                let (x, params) = inputs(&config, [64, 5], spread, DType::F64);
                let found = all(RationalQuadratic::forward, &map, x.clone(), params.clone());
                let wanted = all(RationalQuadratic::forward_reference, &map, x, params);
                for (found, wanted) in found.iter().zip(&wanted).take(2) {
                    let error = difference(found, wanted);
                    assert!(error < 1e-8, "{config:?} {spread}: {error:e}");
                }
                let (x, params) = inputs(&config, [64, 5], spread, DType::F32);
                let found = all(RationalQuadratic::forward, &map, x, params);
                assert!(found.iter().all(|data| data.iter::<f32>().all(f32::is_finite)));
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours_and_nan_stays() {
        for n in [3, 21] {
            let config = RationalQuadraticConfig::new();
            let map = config.init();
            let (x, params) = inputs(&config, [13, n], 1.0, DType::F32);
            let (whole, log_det) = map.forward(x.clone(), params.clone());
            let alone = map.forward(x.clone().narrow(0, 12, 1), params.clone().narrow(0, 12, 1));
            assert_eq!(alone.0.into_data(), whole.narrow(0, 12, 1).into_data());
            assert_eq!(alone.1.into_data(), log_det.narrow(0, 12, 1).into_data());
            let (z, log_det) = map.forward(x * f32::NAN, params);
            assert!(z.into_data().iter::<f32>().all(f32::is_nan));
            assert!(log_det.into_data().iter::<f32>().all(f32::is_nan));
        }
    }
}
