//! Splines at any finite value and with any finite raw parameters: nothing panics, no result is
//! NaN, and every spline is monotone and invertible.

use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_flows::Noise;
use burn_flows::univariate::{
    CubicSplineConfig, HalfTurn, KnotMap, LinearSplineConfig, QuadraticSplineConfig,
    RationalQuadraticConfig, SplineDomain, TailSlope, Univariate,
};

/// The shape of a draw, and the number of draws: together a million elements per map.
const SHAPE: [usize; 2] = [64, 256];
const DRAWS: u64 = 62;

/// Critical values: knots of equal bins, the ends and their neighbours, underflow, far outside.
fn special(bound: f32) -> Vec<f32> {
    let ends = [bound, bound.next_up(), bound.next_down(), 0.5 * bound, 0.25 * bound];
    let far = [0.0, 1e-30, 1e-38, 1.0, 1e4, 1e10, 1e30];
    ends.into_iter().chain(far).flat_map(|v| [v, -v]).collect()
}

/// Random numbers: a quarter from `special`, the others normal with one of the `sizes` as scale.
fn numbers(count: usize, sizes: &[f64], special: &[f32], noise: &mut Noise) -> Vec<f32> {
    let one = |_| match noise.next_below(4) {
        0 => special[noise.next_below(special.len())],
        _ => (sizes[noise.next_below(sizes.len())] * noise.next_normal()) as f32,
    };
    (0..count).map(one).collect()
}

fn all_finite<const D: usize>(what: &str, x: Tensor<D>) {
    let bad = x.into_data().iter::<f32>().filter(|v| !v.is_finite()).count();
    assert!(bad == 0, "{bad} values of {what} are not finite");
}

/// Raw parameters that overflow, underflow or saturate derived values.
const HUGE: [f32; 10] = [1e30, -1e30, 1e5, -1e5, 80.0, -80.0, 0.0, f32::MAX, f32::MIN, 1e-40];

/// Checks values, log-dets and gradients in both directions, in f32.
fn survives(map: &impl Univariate, bound: f32) {
    let device = Device::flex();
    let count = SHAPE[0] * SHAPE[1];
    let per_element = map.params_per_element();
    for draw in 0..DRAWS {
        let noise = &mut Noise::stream(7, draw);
        let x = numbers(count, &[0.3 * f64::from(bound), f64::from(bound)], &special(bound), noise);
        let raw = numbers(count * per_element, &[0.1, 1.0, 10.0], &HUGE, noise);
        let x = Tensor::<2>::from_data(TensorData::new(x, SHAPE), &device);
        let shape = [SHAPE[0], per_element, SHAPE[1]];
        let raw = Tensor::<3>::from_data(TensorData::new(raw, shape), &device);
        let tracked =
            || (x.clone().autodiff().require_grad(), raw.clone().autodiff().require_grad());
        for inverse in [false, true] {
            let way = if inverse { "inverse" } else { "forward" };
            let (x, raw) = tracked();
            let (z, log_det) = if inverse {
                map.inverse_with_log_det(x.clone(), raw.clone())
            } else {
                map.forward(x.clone(), raw.clone())
            };
            let gradients = (z.clone().mean() + log_det.clone().mean()).backward();
            all_finite(&format!("z of {way}"), z);
            all_finite(&format!("log-det of {way}"), log_det);
            all_finite(&format!("the gradient of x of {way}"), x.grad(&gradients).unwrap());
            all_finite(
                &format!("the gradient of the parameters of {way}"),
                raw.grad(&gradients).unwrap(),
            );
        }
    }
}

/// Every column is one spline at increasing values. Its outputs must increase in both directions,
/// in f64, and the inverse must return the input.
fn rises(map: &impl Univariate, bound: f32) {
    let per_element = map.params_per_element();
    let tensor = |values: Vec<f32>, shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(values, shape), &Device::flex()).cast(DType::F64)
    };
    for draw in 0..4 {
        let noise = &mut Noise::stream(9, draw);
        let mut x = numbers(SHAPE[0], &[0.5 * f64::from(bound)], &special(bound)[..10], noise);
        x.sort_by(f32::total_cmp);
        let x = tensor(x, [SHAPE[0], 1]).expand(SHAPE);
        let raw = numbers(per_element * SHAPE[1], &[0.1, 1.0, 10.0], &HUGE, noise);
        let raw = tensor(raw, [per_element, SHAPE[1]]).unsqueeze::<3>();
        let raw = raw.expand([SHAPE[0], per_element, SHAPE[1]]);
        let z = map.forward(x.clone(), raw.clone()).0;
        let back = map.inverse(x.clone(), raw.clone());
        let rows = SHAPE[0] - 1;
        for (way, values) in [("forward", &z), ("inverse", &back)] {
            let rise = values.clone().narrow(0, 1, rows) - values.clone().narrow(0, 0, rows);
            let least: f64 = rise.min().into_scalar();
            assert!(least > -1e-9, "{way} decreases by {}", -least);
        }
        let off = (map.forward(back, raw).0 - x).abs().max().into_scalar::<f64>();
        assert!(off < 1e-8, "error of forward after inverse: {off}");
    }
}

/// The minimum and the maximum of a tensor.
fn extent<const D: usize>(x: Tensor<D>) -> [f32; 2] {
    [x.clone().min().into_scalar(), x.max().into_scalar()]
}

/// The ends of the domain map to themselves, and no inner value leaves the domain, not even by a
/// rounding error. In a stack of splines on a uniform base, such a value would have density 0.
#[test]
fn no_value_leaves_the_interval() {
    for (domain, low, high) in [(TAILS, -5.0, 5.0), (INTERVAL, -1.0, 1.0), (CIRCLE, -3.0, 3.0)] {
        let map = rqs(domain).init();
        let shape = [SHAPE[0], map.params_per_element(), SHAPE[1]];
        let raw = Noise::seeded(3).normal::<3>(shape, &Device::flex()) * 3.0;
        let ends = Tensor::<2>::full(SHAPE, high, &Device::flex());
        let near = Noise::seeded(4).uniform::<2>(SHAPE, &Device::flex()) * -1e-6 + ends.clone();
        for x in [ends.clone(), -ends, near.clone(), -near] {
            let z = [map.forward(x.clone(), raw.clone()).0, map.inverse(x, raw.clone())];
            for [least, most] in z.map(extent) {
                assert!(least >= low && most <= high, "[{least}, {most}] leaves [{low}, {high}]");
            }
        }
    }
}

/// For every row, a test that all results are finite, and a test that the spline is monotone.
macro_rules! splines {
    ($($name:ident: $config:expr, $bound:expr;)+) => {
        mod finite {
            use super::*;
            $(#[test]
            fn $name() {
                survives(&$config.init(), $bound);
            })+
        }
        mod monotone {
            use super::*;
            $(#[test]
            fn $name() {
                rises(&$config.init(), $bound);
            })+
        }
    };
}

fn rqs(domain: SplineDomain) -> RationalQuadraticConfig {
    RationalQuadraticConfig::new().with_domain(domain)
}

fn linear(domain: SplineDomain) -> LinearSplineConfig {
    LinearSplineConfig::new().with_domain(domain)
}

fn quadratic(domain: SplineDomain) -> QuadraticSplineConfig {
    QuadraticSplineConfig::new().with_domain(domain)
}

fn cubic(domain: SplineDomain) -> CubicSplineConfig {
    CubicSplineConfig::new().with_domain(domain)
}

const TAILS: SplineDomain = SplineDomain::LinearTails { bound: 5.0 };
const INTERVAL: SplineDomain = SplineDomain::Interval { low: -1.0, high: 1.0 };
const CIRCLE: SplineDomain = SplineDomain::Circular { bound: 3.0 };

splines! {
    rational_quadratic_with_tails: rqs(TAILS), 5.0;
    rational_quadratic_on_an_interval: rqs(INTERVAL).with_bins(4), 1.0;
    rational_quadratic_on_a_circle: rqs(CIRCLE).with_bins(4), 3.0;
    rational_quadratic_of_soft_bounds: rqs(TAILS).with_bins(5).with_knot_map(KnotMap::SoftBound { bound: 6.9 }), 5.0;
    linear_with_tails: linear(TAILS), 5.0;
    linear_on_an_interval: linear(INTERVAL).with_bins(4), 1.0;
    linear_on_a_circle: linear(CIRCLE).with_bins(4), 3.0;
    linear_as_nflows: linear(TAILS).with_min_height(0.0), 5.0;
    quadratic_with_tails: quadratic(TAILS), 5.0;
    quadratic_on_an_interval: quadratic(INTERVAL).with_bins(4), 1.0;
    quadratic_on_a_circle: quadratic(CIRCLE).with_bins(4), 3.0;
    quadratic_as_nflows: quadratic(TAILS).with_bins(2).with_tail_slope(TailSlope::Nflows), 5.0;
    cubic_with_tails: cubic(TAILS), 5.0;
    cubic_on_an_interval: cubic(INTERVAL).with_bins(4), 1.0;
    cubic_on_a_circle: cubic(CIRCLE).with_bins(4), 3.0;
    cubic_as_nflows: cubic(TAILS).with_min_slope(0.0).with_end_offset(Some(0.0)), 5.0;
}

/// Where a circle closes, the slope is equal on both sides. Quadratic splines and
/// rational-quadratic splines with tails have slope 1 at the ends.
#[test]
fn ends_are_smooth() {
    fn log_slopes(map: &impl Univariate, at: f64) -> Vec<f64> {
        let shape = [1, map.params_per_element(), 50];
        let raw = Noise::seeded(5).normal::<3>(shape, &Device::flex()).cast(DType::F64) * 2.0;
        let one = |column| {
            let x = Tensor::<2>::full([1, 1], at, (&Device::flex(), DType::F64));
            map.forward(x, raw.clone().narrow(2, column, 1)).1.into_scalar::<f64>()
        };
        (0..50).map(one).collect()
    }
    fn closes(map: impl Univariate) {
        // Just inside, because the end itself belongs to the next turn.
        let (left, right) = (log_slopes(&map, 1e-11 - 3.0), log_slopes(&map, 3.0 - 1e-11));
        for (left, right) in left.into_iter().zip(right) {
            assert!((left - right).abs() < 1e-6, "{left} and {right}");
        }
    }
    fn joins(map: impl Univariate) {
        for slope in [-5.0, 5.0].into_iter().flat_map(|at| log_slopes(&map, at)) {
            assert!(slope.abs() < 1e-9, "{slope}");
        }
    }
    closes(rqs(CIRCLE).init());
    closes(quadratic(CIRCLE).init());
    closes(cubic(CIRCLE).init());
    joins(rqs(TAILS).init());
    joins(quadratic(TAILS).init());
}

/// Raw parameters of zero give the identity, as for every map of this crate.
#[test]
fn raw_zeros_are_the_identity() {
    fn stays(map: impl Univariate) {
        let x = Noise::seeded(1).normal::<2>(SHAPE, &Device::flex()).cast(DType::F64) * 2.0;
        let raw =
            Tensor::<3>::zeros([SHAPE[0], map.params_per_element(), SHAPE[1]], &Device::flex());
        let (z, log_det) = map.forward(x.clone(), raw.clone().cast(DType::F64));
        let back = map.inverse(x.clone(), raw.cast(DType::F64));
        let size = |t: Tensor<2>| t.abs().max().into_scalar::<f64>();
        let off = [size(z - x.clone()), size(back - x), size(log_det.unsqueeze())];
        assert!(off.iter().all(|off| *off < 1e-12), "{off:?}");
    }
    for domain in [TAILS, INTERVAL, CIRCLE] {
        stays(rqs(domain).init());
        stays(linear(domain).init());
        stays(quadratic(domain).init());
        stays(cubic(domain).init());
    }
}

#[test]
fn rational_quadratic_behind_half_a_turn() {
    survives(&HalfTurn::new(rqs(TAILS).with_bins(4).init(), 5.0).unwrap(), 5.0);
}
