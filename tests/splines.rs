//! Splines of any finite value and any finite raw parameter, in f32: nothing panics, nothing is NaN.

use burn::tensor::{Device, Tensor, TensorData};
use burn_flows::Noise;
use burn_flows::univariate::{
    HalfTurn, KnotMap, RationalQuadraticConfig, SplineDomain, Univariate,
};

/// The shape of a draw, and draws: a million elements a map together.
const SHAPE: [usize; 2] = [64, 256];
const DRAWS: u64 = 62;

/// Values where maps break: knots of equal bins, ends and their neighbours, underflow, far out.
fn special(bound: f32) -> Vec<f32> {
    let ends = [bound, bound.next_up(), bound.next_down(), 0.5 * bound, 0.25 * bound];
    let far = [0.0, 1e-30, 1e-38, 1.0, 1e4, 1e10, 1e30];
    ends.into_iter().chain(far).flat_map(|v| [v, -v]).collect()
}

/// A quarter of the numbers from a list, the others normal of one of these sizes.
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

/// Values, log-dets and their gradients of both directions.
fn survives(map: &impl Univariate, bound: f32) {
    let device = Device::flex();
    let count = SHAPE[0] * SHAPE[1];
    let per_element = map.params_per_element();
    for draw in 0..DRAWS {
        let noise = &mut Noise::stream(7, draw);
        let x = numbers(count, &[0.3 * f64::from(bound), f64::from(bound)], &special(bound), noise);
        let huge = [1e30, -1e30, 1e5, -1e5, 80.0, -80.0, 0.0, f32::MAX, f32::MIN, 1e-40];
        let raw = numbers(count * per_element, &[0.1, 1.0, 10.0], &huge, noise);
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

/// The least and the most of a tensor.
fn extent<const D: usize>(x: Tensor<D>) -> [f32; 2] {
    [x.clone().min().into_scalar(), x.max().into_scalar()]
}

/// The ends of the domain go to themselves, and nothing inside goes out, not by a rounding error: a
/// stack of splines on a uniform base would find a density of 0 there.
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

fn rqs(domain: SplineDomain) -> RationalQuadraticConfig {
    RationalQuadraticConfig::new().with_domain(domain)
}

const TAILS: SplineDomain = SplineDomain::LinearTails { bound: 5.0 };
const INTERVAL: SplineDomain = SplineDomain::Interval { low: -1.0, high: 1.0 };
const CIRCLE: SplineDomain = SplineDomain::Circular { bound: 3.0 };

#[test]
fn rational_quadratic_with_tails() {
    survives(&rqs(TAILS).init(), 5.0);
}

#[test]
fn rational_quadratic_on_an_interval() {
    survives(&rqs(INTERVAL).with_bins(4).init(), 1.0);
}

#[test]
fn rational_quadratic_on_a_circle() {
    survives(&rqs(CIRCLE).with_bins(4).init(), 3.0);
}

#[test]
fn rational_quadratic_of_soft_bounds() {
    survives(&rqs(TAILS).with_bins(5).with_knot_map(KnotMap::SoftBound { bound: 6.9 }).init(), 5.0);
}

#[test]
fn rational_quadratic_behind_half_a_turn() {
    survives(&HalfTurn::new(rqs(TAILS).with_bins(4).init(), 5.0), 5.0);
}
