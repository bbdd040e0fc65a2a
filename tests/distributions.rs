//! Distributions: densities that integrate to one, samplers that follow them, known values.

use std::sync::LazyLock;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, FloatDType, Gradients, Tensor, TensorData};
use burn_flows::burn;
use burn_flows::conditioner::{ActivationConfig, MlpConfig};
use burn_flows::distribution::{
    Checkerboard, ConditionalNormal, ConditionalNormalConfig, DiagNormalConfig, Distribution,
    EightGaussians, GaussianMixture, GaussianMixtureConfig, Pinwheel, Rings, StandardNormal,
    StudentT, StudentTConfig, TwoMoons, Uniform,
};
use burn_flows::{Error, Noise};

/// The CPU in f64, decided before the first tensor of the process.
fn device() -> Device {
    static DEVICE: LazyLock<Device> = LazyLock::new(|| {
        let mut device = Device::flex();
        device.configure(FloatDType::F64).expect("before the first tensor");
        device
    });
    DEVICE.clone()
}

fn tensor<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &device())
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().try_to_vec_as().unwrap()
}

fn log_probs<const D: usize>(distribution: &impl Distribution<D>, x: Tensor<D>) -> Vec<f64> {
    host(distribution.log_prob(x, None))
}

/// `log_prob` at points of the plane against values from outside.
fn assert_values(distribution: &impl Distribution<2>, table: &[([f64; 2], f64)]) {
    for &(point, expected) in table {
        let found = log_probs(distribution, tensor(&point, [1, 2]))[0];
        let error = (found - expected).abs() / expected.abs();
        assert!(error < 1e-12, "at {point:?}: {found}, expected {expected}");
    }
}

/// Moves every parameter from its start to seeded noise. The start does not remain in it, because
/// that of a network is not seeded.
fn moved<M: Module>(module: M, seed: u64) -> M {
    struct Move(Noise);
    impl ModuleMapper for Move {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| {
                let (tracked, trained) = (value.is_autodiff(), value.is_require_grad());
                let value = self.0.normal(value.dims(), &value.device()) * 0.5;
                (if tracked { value.autodiff() } else { value }).set_require_grad(trained)
            })
        }
    }
    module.map(&mut Move(Noise::seeded(seed)))
}

/// For every float parameter: whether it is trained, and the largest entry of its gradient.
fn gradients<M: Module>(module: &M, gradients: &Gradients) -> Vec<(bool, Option<f64>)> {
    struct Visit<'a>(&'a Gradients, Vec<(bool, Option<f64>)>);
    impl ModuleVisitor for Visit<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let gradient = value.grad(self.0).map(|g| g.abs().max().into_scalar::<f64>());
            self.1.push((value.is_require_grad(), gradient));
        }
    }
    let mut visit = Visit(gradients, vec![]);
    module.visit(&mut visit);
    visit.1
}

/// Asserts that `count` parameters get a gradient that is finite and not zero.
fn assert_all_learn<M: Module>(module: &M, loss: Tensor<1>, count: usize) {
    let found = gradients(module, &loss.backward());
    assert_eq!(found.len(), count);
    for (trained, gradient) in found {
        let gradient = gradient.expect("a gradient");
        assert!(trained && gradient > 1e-12 && gradient.is_finite(), "{gradient}");
    }
}

/// Asserts that none of `count` parameters is trained.
fn assert_none_learn<M: Module>(module: &M, count: usize) {
    let none = tensor::<1>(&[1.0], [1]).autodiff().require_grad().backward();
    assert_eq!(gradients(module, &none), vec![(false, None); count]);
}

/// Rows of a box around the origin in the plane, and the area of one: midpoints of `n * n` cells.
fn grid(half: f64, n: usize) -> (Tensor<2>, f64) {
    let side = 2.0 * half / n as f64;
    let at = |k: usize| -half + side * (k as f64 + 0.5);
    let values: Vec<f64> = (0..n * n).flat_map(|i| [at(i / n), at(i % n)]).collect();
    (tensor(&values, [n * n, 2]), side * side)
}

/// The integral of the density and the entropy, by midpoints of the box, which for densities that
/// vanish at its ends converge faster than any power of the step.
fn quadrature(distribution: &impl Distribution<2>, half: f64, n: usize) -> (f64, f64) {
    let (points, area) = grid(half, n);
    let log_prob = log_probs(distribution, points);
    let sum = |f: &dyn Fn(f64) -> f64| log_prob.iter().map(|&l| f(l)).sum::<f64>() * area;
    let surprise = |l: f64| if l == f64::NEG_INFINITY { 0.0 } else { -l * l.exp() };
    (sum(&f64::exp), sum(&surprise))
}

const DRAWS: usize = 20_000;

/// Draws against the density: the mean of `-log_prob` against the entropy, and counts in
/// `cells * cells` cells against their probability by `fine * fine` midpoints each.
fn assert_sampler_follows(distribution: &impl Distribution<2>, entropy: f64, half: f64) {
    let x = distribution.sample(DRAWS, None, &mut Noise::seeded(11), &device());
    assert_eq!(x.dims(), [DRAWS, 2]);

    let surprise: Vec<f64> = log_probs(distribution, x.clone()).iter().map(|l| -l).collect();
    let mean = surprise.iter().sum::<f64>() / DRAWS as f64;
    let variance = surprise.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / DRAWS as f64;
    let error = (variance / DRAWS as f64).sqrt();
    assert!((mean - entropy).abs() < 4.0 * error + 1e-9, "{mean} against {entropy} +- {error}");

    let (cells, fine) = (16, 12);
    let n = cells * fine;
    let (points, area) = grid(half, n);
    let mut expected = vec![0.0; cells * cells];
    for (i, log_prob) in log_probs(distribution, points).into_iter().enumerate() {
        expected[(i / n / fine) * cells + (i % n) / fine] += log_prob.exp() * area * DRAWS as f64;
    }
    let mut counts = vec![0.0; cells * cells];
    let cell = |v: f64| (((v + half) / (2.0 * half) * cells as f64) as usize).min(cells - 1);
    for point in host(x).chunks(2) {
        counts[cell(point[0]) * cells + cell(point[1])] += 1.0;
    }
    // Pearson's statistic over the cells that expect enough, the others pooled into one.
    let (mut statistic, mut freedom, mut rest) = (0.0, 0.0_f64, (0.0, 0.0_f64));
    for (count, expected) in counts.iter().zip(&expected) {
        if *expected >= 5.0 {
            statistic += (count - expected).powi(2) / expected;
            freedom += 1.0;
        } else {
            rest = (rest.0 + count, rest.1 + expected);
        }
    }
    assert!(freedom > 20.0, "{freedom} cells are too few to say anything");
    assert!((rest.0 - rest.1).abs() < 5.0 * rest.1.sqrt() + 5.0, "{rest:?} in the other cells");
    let limit = freedom + 4.0 * (2.0 * freedom).sqrt();
    assert!(statistic < limit, "chi-squared {statistic} of {freedom} cells");
}

/// Same noise, same draws; other noise, others.
fn assert_seeded<const D: usize>(distribution: &impl Distribution<D>, context: Option<&Tensor<2>>) {
    let draw = |seed| host(distribution.sample(6, context, &mut Noise::seeded(seed), &device()));
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

/// One test per toy target: normalised, its stated entropy, its sampler, its seeds, its widths.
macro_rules! toys {
    ($($test:ident: $toy:ident, box $half:expr, $n:expr, within $tolerance:expr;)*) => {$(
        #[test]
        fn $test() {
            let toy = $toy::default();
            let (mass, entropy) = quadrature(&toy, $half, $n);
            assert!((mass - 1.0).abs() < $tolerance, "the density integrates to {mass}");
            assert!((entropy - $toy::ENTROPY).abs() < $tolerance, "{entropy}");
            assert_sampler_follows(&toy, $toy::ENTROPY, $half);
            assert_seeded(&toy, None);
            let panic = std::panic::catch_unwind(|| toy.log_prob(tensor(&[0.0; 3], [1, 3]), None));
            let text = *panic.unwrap_err().downcast::<String>().unwrap();
            let name = stringify!($toy);
            let expected = format!("{name}: expected an event of shape [2] after the batch axis");
            assert!(text.contains(&expected), "{text}");
        }
    )*};
}

toys! {
    two_moons: TwoMoons, box 3.0, 192, within 1e-9;
    eight_gaussians: EightGaussians, box 4.0, 128, within 1e-9;
    checkerboard: Checkerboard, box 4.0, 64, within 1e-12;
    rings: Rings, box 4.0, 288, within 1e-7;
    pinwheel: Pinwheel, box 5.5, 288, within 1e-7;
}

// The numbers of the four tables below: the formulas of the docs with mpmath at 30 digits, the
// integral over the angle of the moons and the mass of the rings by its adaptive quadrature.

#[test]
fn two_moons_has_the_values_of_the_integral() {
    assert_values(
        &TwoMoons::default(),
        &[
            ([0.0, 1.0], -0.452_973_904_098_979_3),
            ([0.5, 0.25], -9.191_644_195_953_056),
            ([1.0, 0.0], -1.146_110_817_140_582_5),
            ([-1.2, -0.3], -9.076_040_951_694_31),
            ([2.5, 2.0], -129.087_736_053_218_72),
        ],
    );
}

#[test]
fn eight_gaussians_has_known_values() {
    assert_values(
        &EightGaussians::default(),
        &[
            ([2.0, 0.0], -0.698_442_783_220_599_7),
            ([0.0, 0.0], -48.619_001_241_541_14),
            ([1.5, 1.2], -1.364_027_321_735_131),
        ],
    );
}

#[test]
fn rings_has_known_values() {
    assert_values(
        &Rings::default(),
        &[
            ([0.0, 0.0], -29.677_842_795_288_083),
            ([0.0, -1.5], -2.245_989_975_846_400_4),
            ([1.9, 0.0], -8.569_414_532_588_66),
            ([-3.5, 0.0], -15.439_137_156_407_973),
        ],
    );
}

#[test]
fn pinwheel_has_known_values() {
    assert_values(
        &Pinwheel::default(),
        &[
            ([2.0, 0.0], -13.187_561_796_813_19),
            ([0.0, 0.0], -5.273_169_085_764_81),
            ([1.2, -1.7], -12.893_703_158_102_906),
        ],
    );
}

#[test]
fn checkerboard_knows_its_squares_and_their_edges() {
    let dark = [[0.0, 0.0], [3.9, -2.0], [-4.0, -4.0], [-0.1, 2.1], [1.999_999, 1.0]];
    let light = [[2.0, 0.0], [-0.1, 0.1], [4.0, 3.0], [0.5, -4.1], [1e30, 0.0]];
    let at = |points: [[f64; 2]; 5]| {
        log_probs(&Checkerboard::default(), tensor(points.as_flattened(), [5, 2]))
    };
    assert!(at(dark).iter().all(|l| (l + 32f64.ln()).abs() < 1e-14));
    assert_eq!(at(light), [f64::NEG_INFINITY; 5]);
}

/// The gradient of the sum of the log-densities of the rows.
fn gradient_at<const D: usize>(distribution: &impl Distribution<D>, x: Tensor<D>) -> Vec<f64> {
    let x = x.autodiff().require_grad();
    let gradients = distribution.log_prob(x.clone(), None).sum().backward();
    host(x.grad(&gradients).expect("x takes part"))
}

#[test]
fn gradients_are_finite_at_the_origin_and_outside_the_support() {
    let points = || tensor(&[0.0, 0.0, 1.5, 0.3, 4.7, -2.0], [3, 2]);
    let low = tensor(&[0.0, 0.0], [1, 2]);
    let uniform = Uniform::new(low.clone(), low + 2.0).unwrap();
    assert_eq!(gradient_at(&uniform, points()), [0.0; 6]);
    assert_eq!(gradient_at(&Checkerboard::default(), points()), [0.0; 6]);
    for gradient in [
        gradient_at(&TwoMoons::default(), points()),
        gradient_at(&EightGaussians::default(), points()),
        gradient_at(&Rings::default(), points()),
        gradient_at(&Pinwheel::default(), points()),
    ] {
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        assert!(gradient[4..].iter().any(|g| g.abs() > 1.0), "pulled back: {gradient:?}");
    }
}

#[test]
fn points_so_far_that_their_square_overflows_have_density_zero_and_a_finite_gradient() {
    fn check(toy: &impl Distribution<2>) {
        let x = || tensor(&[1e200, 0.0, -1e200, 1e200], [2, 2]);
        assert_eq!(log_probs(toy, x()), [f64::NEG_INFINITY; 2]);
        let gradient = gradient_at(toy, x());
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }
    check(&TwoMoons::default());
    check(&EightGaussians::default());
    check(&Checkerboard::default());
    check(&Rings::default());
    check(&Pinwheel::default());
    check(&two_normals());
}

#[test]
fn gradients_agree_with_differences() {
    fn check(distribution: &impl Distribution<2>) {
        let points = [0.3, 0.7, -1.1, 0.4, 1.6, -0.9];
        let gradient = gradient_at(distribution, tensor(&points, [3, 2]));
        for (i, expected) in gradient.iter().enumerate() {
            let at = |step: f64| {
                let mut moved = points;
                moved[i] += step;
                log_probs(distribution, tensor(&moved, [3, 2])).iter().sum::<f64>()
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((slope - expected).abs() < 1e-5 * slope.abs().max(1.0), "{slope} {expected}");
        }
    }
    check(&TwoMoons::default());
    check(&EightGaussians::default());
    check(&Rings::default());
    check(&Pinwheel::default());
    check(&moved(StudentTConfig::new(vec![2], 2.5).init::<2>(&device()), 1));
    check(&moved(GaussianMixtureConfig::new(2, 3).init(&device()), 1));
}

#[test]
fn everything_works_in_f32_beside_f64() {
    fn check(toy: &impl Distribution<2>) {
        let x = toy.sample(2000, None, &mut Noise::seeded(3), &device());
        let double = log_probs(toy, x.clone());
        let x = x.cast(FloatDType::F32);
        let single = toy.log_prob(x, None).into_data().try_to_vec::<f32>().expect("stays f32");
        for (a, b) in single.iter().zip(&double) {
            // A rounding of x by 1e-7 times a slope of up to 100.
            assert!((f64::from(*a) - b).abs() < 1e-4 * b.abs().max(1.0), "{a} {b}");
        }
    }
    check(&TwoMoons::default());
    check(&EightGaussians::default());
    check(&Checkerboard::default());
    check(&Rings::default());
    check(&Pinwheel::default());
}

#[test]
fn uniform_is_its_box() {
    let uniform = Uniform::new(tensor(&[-1.0, 2.0], [1, 2]), tensor(&[1.0, 2.5], [1, 2])).unwrap();
    let x = tensor(&[-1.0, 2.0, 1.0, 2.5, 0.0, 1.9, 1.1, 2.2, f64::INFINITY, 2.2], [5, 2]);
    let outside = f64::NEG_INFINITY;
    assert_eq!(log_probs(&uniform, x), [0.0, 0.0, outside, outside, outside]);
    assert_eq!(uniform.entropy(), 0.0);
    assert!(log_probs(&uniform, tensor(&[f64::NAN, 2.2], [1, 2]))[0].is_nan());
    assert_none_learn(&uniform, 2);
    assert_seeded(&uniform, None);

    let draws = host(uniform.sample(DRAWS, None, &mut Noise::seeded(4), &device()));
    for (column, (low, width)) in [(-1.0, 2.0), (2.0, 0.5)].into_iter().enumerate() {
        let mut tenths = [0.0; 10];
        for row in draws.chunks(2) {
            tenths[((row[column] - low) / width * 10.0) as usize] += 1.0;
        }
        let each = DRAWS as f64 / 10.0;
        let statistic: f64 = tenths.iter().map(|c: &f64| (c - each).powi(2) / each).sum();
        assert!(statistic < 9.0 + 4.0 * 18f64.sqrt(), "chi-squared {statistic} of 9");
    }
}

#[test]
fn uniform_draws_that_are_rounded_stay_inside() {
    // In f16 one unit draw of 4,000 rounds to 1, and the width here rounds up.
    let end = |v: f64| tensor(&[v], [1, 1]).cast(FloatDType::F16);
    let uniform = Uniform::new(end(-1.0), end(5.4e-4)).unwrap();
    let x = uniform.sample(4 * DRAWS, None, &mut Noise::seeded(1), &device());
    let log_prob = uniform.log_prob(x, None).cast(FloatDType::F64);
    assert!(host(log_prob).iter().all(|l| l.is_finite()));
}

#[test]
fn uniform_refuses_empty_boxes() {
    for (low, high) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (-f64::MAX, f64::MAX)] {
        let error = Uniform::new(tensor(&[low], [1, 1]), tensor(&[high], [1, 1])).unwrap_err();
        assert!(matches!(error, Error::Config { config: "Uniform", field: "high", .. }), "{error}");
    }
    let error = Uniform::new(tensor(&[0.0, 2.0], [1, 2]), tensor(&[1.0, 1.0], [1, 2])).unwrap_err();
    let expected = "Uniform.high: must be above low, found low 2 and high 1 at element 1";
    assert_eq!(error.to_string(), expected);
}

#[test]
#[should_panic(expected = "Uniform: expected high of shape [1, 2], found [1, 3]")]
fn uniform_panics_on_ends_of_two_shapes() {
    let _ = Uniform::new(tensor(&[0.0; 2], [1, 2]), tensor(&[1.0; 3], [1, 3]));
}

#[test]
#[should_panic(expected = "Uniform: expected an event of shape [2] after the batch axis")]
fn uniform_panics_on_another_width() {
    let uniform = Uniform::new(tensor(&[0.0; 2], [1, 2]), tensor(&[1.0; 2], [1, 2])).unwrap();
    uniform.log_prob(tensor(&[0.5; 3], [1, 3]), None);
}

fn student_t(degrees: f64, location: f64, scale: f64) -> StudentT<2> {
    StudentT::fixed(degrees, tensor(&[location], [1, 1]), tensor(&[scale], [1, 1])).unwrap()
}

#[test]
fn student_t_has_known_values() {
    // mpmath at 30 digits: degrees of freedom, location, scale, x, log-density.
    for (degrees, location, scale, x, expected) in [
        (0.5, 0.0, 1.0, 3.0, -3.518_862_160_286_34),
        (2.5, 1.0, 2.0, -4.0, -3.902_121_968_887_289),
        (5.0, -1.0, 0.5, 0.25, -2.708_263_057_143_765),
        (30.0, 0.0, 1.0, 1.5, -2.048_240_579_863_050_5),
        (1000.0, 0.0, 1.0, -2.0, -2.917_195_178_566_501_5),
        (1e6, 0.0, 1.0, 1.0, -1.418_939_033_204_589_4),
    ] {
        let found = log_probs(&student_t(degrees, location, scale), tensor(&[x], [1, 1]))[0];
        assert!((found - expected).abs() < 1e-13, "{degrees}: {found}, expected {expected}");
    }
}

#[test]
fn student_t_knows_tails_beyond_the_root_of_the_largest_number() {
    // The Cauchy density is 1 / (pi x^2) out there; x^2 itself is no f64.
    let t = student_t(1.0, 0.0, 1.0);
    let x = || tensor(&[1e200, -1e300, 1.0], [3, 1]);
    let pi = std::f64::consts::PI;
    let expected = [1e200, 1e300].map(|x: f64| -pi.ln() - 2.0 * x.ln());
    for (found, expected) in log_probs(&t, x()).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12 * expected.abs(), "{found} {expected}");
    }
    // d/dx = -2 x / (1 + x^2), also where the two forms of the logarithm meet.
    for (found, expected) in gradient_at(&t, x()).iter().zip([-2e-200, 2e-300, -1.0]) {
        assert!((found / expected - 1.0).abs() < 1e-12, "{found:e} {expected:e}");
    }

    // In f32 a draw has a density as long as y / sqrt(v), here 3.2 y, is finite.
    let heavy = student_t(0.1, 0.0, 1.0).sample(DRAWS, None, &mut Noise::seeded(1), &device());
    let draws: Vec<f64> =
        host(heavy).into_iter().filter(|x| x.abs() < f64::from(f32::MAX) / 3.2).collect();
    let far = draws.iter().filter(|x| x.abs() > 1e20).count();
    assert!(far > 100, "{far} draws whose square f32 cannot hold");
    let one = || tensor(&[1.0], [1, 1]).cast(FloatDType::F32);
    let single = StudentT::fixed(0.1, one() - 1.0, one()).unwrap();
    let x = tensor(&draws, [draws.len(), 1]).cast(FloatDType::F32);
    let found = single.log_prob(x, None).into_data().try_to_vec::<f32>().expect("stays f32");
    assert!(found.iter().all(|l| l.is_finite()));
}

#[test]
fn student_t_integrates_to_one_and_has_its_entropy() {
    // Entropies of the standard t by the digamma formula, mpmath at 30 digits.
    for (degrees, standard) in [(3.0, 1.773_477_571_863_291), (5.0, 1.627_502_672_414_396)] {
        let t = student_t(degrees, 0.7, 2.0);
        // x = tan(u) brings the tails into (-pi/2, pi/2).
        let n = 4000;
        let step = std::f64::consts::PI / f64::from(n);
        let at = |k: i32| (-std::f64::consts::FRAC_PI_2 + step * (f64::from(k) + 0.5)).tan();
        let x: Vec<f64> = (0..n).map(at).collect();
        let log_prob = log_probs(&t, tensor(&x, [n as usize, 1]));
        let weighted = |f: &dyn Fn(f64) -> f64| {
            let terms = x.iter().zip(&log_prob).map(|(x, l)| f(*l) * (1.0 + x * x) * step);
            terms.sum::<f64>()
        };
        assert!((weighted(&f64::exp) - 1.0).abs() < 1e-8);
        let entropy = standard + 2f64.ln();
        assert!((weighted(&|l| -l * l.exp()) - entropy).abs() < 1e-4);

        let draws = t.sample(DRAWS, None, &mut Noise::seeded(8), &device());
        let surprise = -log_probs(&t, draws).iter().sum::<f64>() / DRAWS as f64;
        // The standard deviation of -log_prob is below 1.2 here; four standard errors.
        assert!((surprise - entropy).abs() < 4.0 * 1.2 / (DRAWS as f64).sqrt());
    }
}

#[test]
fn student_t_draws_follow_its_distribution_function() {
    // Closed forms: 1/2 + atan(y) / pi with one degree of freedom, 1/2 + y / (2 sqrt(2 + y^2))
    // with two.
    let cauchy = |y: f64| 0.5 + y.atan() / std::f64::consts::PI;
    let two = |y: f64| 0.5 + y / (2.0 * (2.0 + y * y).sqrt());
    for (degrees, function) in [(1.0, &cauchy as &dyn Fn(f64) -> f64), (2.0, &two)] {
        let t = student_t(degrees, 1.0, 3.0);
        let draws = host(t.sample(DRAWS, None, &mut Noise::seeded(5), &device()));
        for y in [-20.0, -3.0, -1.0, -0.2, 0.0, 0.5, 2.0, 10.0] {
            let below = draws.iter().filter(|x| **x <= 1.0 + 3.0 * y).count() as f64 / DRAWS as f64;
            let expected = function(y);
            let error = (expected * (1.0 - expected) / DRAWS as f64).sqrt();
            assert!((below - expected).abs() < 4.0 * error, "at {y}: {below}, expected {expected}");
        }
    }
}

#[test]
fn student_t_of_any_rank_sums_over_its_event_and_learns() {
    let config = StudentTConfig::new(vec![2, 1, 3], 4.0);
    let t = moved(config.init::<4>(&device().autodiff()), 2);
    let x = Noise::seeded(1).normal::<4>([5, 2, 1, 3], &device());
    assert_all_learn(&t, t.log_prob(x.clone(), None).mean(), 2);
    let draws = t.sample(5, None, &mut Noise::seeded(2), &device());
    assert_all_learn(&t, draws.square().sum(), 2);
    assert_seeded(&t.valid(), None);

    let single = StudentTConfig::new(vec![1], 4.0).init::<2>(&device());
    let standard = StudentTConfig::new(vec![2, 1, 3], 4.0).init::<4>(&device());
    let parts = log_probs(&single, x.clone().reshape([30, 1]));
    for (row, sum) in log_probs(&standard, x).iter().zip(parts.chunks(6)) {
        assert!((row - sum.iter().sum::<f64>()).abs() < 1e-12);
    }
    let frozen = config.with_learned(false).init::<4>(&device().autodiff());
    assert_none_learn(&frozen, 2);
}

#[test]
fn student_t_refuses_impossible_configurations() {
    let text = |config: StudentTConfig| config.validate().unwrap_err().to_string();
    let empty = text(StudentTConfig::new(vec![], 1.0));
    assert_eq!(empty, "StudentTConfig.event: must be at least 1, found 0");
    for degrees in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let found = text(StudentTConfig::new(vec![1], degrees));
        let expected = "StudentTConfig.degrees_of_freedom: must be positive and finite, found";
        assert!(found.starts_with(expected), "{found}");
        let one = || tensor(&[1.0], [1, 1]);
        assert!(StudentT::fixed(degrees, one(), one()).is_err());
    }
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let part = |v| tensor(&[v], [1, 1]);
        let error = StudentT::fixed(2.0, part(0.0), part(scale)).unwrap_err().to_string();
        let expected = "StudentT.scale: must be positive and finite, found";
        assert!(error.starts_with(expected), "{error}");
        if !scale.is_finite() {
            let error = StudentT::fixed(2.0, part(scale), part(1.0)).unwrap_err().to_string();
            assert!(error.starts_with("StudentT.location: must be finite, found"), "{error}");
        }
    }
}

#[test]
#[should_panic(expected = "StudentT: expected a location of shape [1, event..], found [2, 1]")]
fn student_t_panics_on_a_location_per_row() {
    let _ = StudentT::fixed(2.0, tensor(&[0.0; 2], [2, 1]), tensor(&[1.0; 2], [2, 1]));
}

#[test]
#[should_panic(expected = "StudentT: expected an event of shape [2] after the batch axis")]
fn student_t_panics_on_another_width() {
    let t = StudentTConfig::new(vec![2], 3.0).init::<2>(&device());
    t.log_prob(tensor(&[0.5; 3], [1, 3]), None);
}

#[test]
#[should_panic(expected = "StudentTConfig.event: needs 1 axes")]
fn student_t_panics_on_another_rank() {
    StudentTConfig::new(vec![2, 2], 3.0).init::<2>(&device());
}

fn two_normals() -> GaussianMixture {
    let means = tensor(&[0.0, 0.0, 3.0, -1.0], [2, 2]);
    let scales = tensor(&[1.0, 0.5, 2.0, 0.125], [2, 2]);
    GaussianMixture::fixed(means, scales, tensor(&[1.0, 3.0], [2])).unwrap()
}

#[test]
fn gaussian_mixture_has_known_values() {
    // mpmath at 30 digits.
    assert_values(
        &two_normals(),
        &[
            ([0.5, -0.25], -2.781_024_193_249_833),
            ([2.0, -1.0], -0.860_811_690_203_979_3),
            ([40.0, 40.0], -4_002.531_024_246_969), // every term underflows
        ],
    );
}

#[test]
fn gaussian_mixture_of_one_is_a_normal() {
    let one = GaussianMixtureConfig::new(3, 1).init(&device());
    let mean = Noise::seeded(0).normal::<2>([1, 3], &device()); // where the config starts it
    let x = Noise::seeded(1).normal::<2>([20, 3], &device());
    let normal = StandardNormal::<2>::new([3], &device());
    let expected = log_probs(&normal, x.clone() - mean);
    for (a, b) in log_probs(&one, x).iter().zip(expected) {
        assert!((a - b).abs() < 1e-12);
    }
}

#[test]
fn gaussian_mixture_integrates_to_one_and_its_draws_follow() {
    let mixture = moved(GaussianMixtureConfig::new(2, 4).with_seed(3).init(&device()), 7);
    let (mass, entropy) = quadrature(&mixture, 16.0, 320);
    assert!((mass - 1.0).abs() < 1e-9, "{mass}");
    assert_sampler_follows(&mixture, entropy, 16.0);
    assert_seeded(&mixture, None);
}

#[test]
fn gaussian_mixture_draws_components_by_weight() {
    let means = tensor(&[-10.0, 0.0, 10.0], [3, 1]);
    let weights = tensor(&[0.1, 0.6, 0.3], [3]);
    let mixture = GaussianMixture::fixed(means.clone(), means.ones_like(), weights).unwrap();
    let draws = host(mixture.sample(DRAWS, None, &mut Noise::seeded(2), &device()));
    let share = |low: f64, high: f64| {
        draws.iter().filter(|x| (low..high).contains(*x)).count() as f64 / DRAWS as f64
    };
    for (found, weight) in [(share(-20.0, -5.0), 0.1), (share(-5.0, 5.0), 0.6)] {
        let error = (weight * (1.0 - weight) / DRAWS as f64).sqrt();
        assert!((found - weight).abs() < 4.0 * error, "{found} against {weight}");
    }
}

#[test]
fn gaussian_mixture_learns_every_parameter() {
    let mixture = moved(GaussianMixtureConfig::new(2, 3).init(&device().autodiff()), 3);
    let x = Noise::seeded(1).normal::<2>([50, 2], &device()) * 2.0;
    assert_all_learn(&mixture, mixture.log_prob(x, None).mean(), 3);
    let draws = mixture.sample(20, None, &mut Noise::seeded(1), &device());
    let found = gradients(&mixture, &draws.square().sum().backward());
    assert!(found[0].1 > Some(0.0) && found[1].1 > Some(0.0), "means and scales: {found:?}");
    assert_eq!(found[2].1, None, "a draw is not differentiable in the weights");
}

#[test]
fn gaussian_mixture_starts_from_data_once() {
    let eight = EightGaussians::default();
    let x = eight.sample(400, None, &mut Noise::seeded(1), &device());
    let config = GaussianMixtureConfig::new(2, 8);
    let start = config.init(&device().autodiff());
    let nll = |m: &GaussianMixture| -host(m.valid().log_prob(x.clone(), None).mean())[0];
    let before = nll(&start);
    let started = start.init_from_data(x.clone(), None);
    assert!(started.is_initialized());
    assert!(nll(&started) < before.min(3.5), "{} after {before}", nll(&started));
    assert_all_learn(&started, started.log_prob(x.clone(), None).mean(), 3);

    // Trained on, and started again with other data: it stays.
    let trained = moved(started, 5);
    let kept = log_probs(&trained.valid(), x.clone());
    let again = trained.init_from_data(x.clone() * 3.0 + 1.0, None);
    assert_eq!(log_probs(&again.valid(), x.clone()), kept);

    // So does one that comes from a record.
    let record = again.valid().into_record();
    let loaded = config.with_seed(9).init(&device()).try_load_record(record).unwrap();
    assert!(loaded.is_initialized());
    let loaded = loaded.init_from_data(x.clone() * 3.0 + 1.0, None);
    assert_eq!(log_probs(&loaded, x), kept);
}

#[test]
fn gaussian_mixture_starts_from_hostile_data() {
    // Fewer rows than components, one row, a constant column.
    for rows in [1, 2] {
        let x = tensor(&[1.0, 5.0, 2.0, 5.0][..2 * rows], [rows, 2]);
        let start = GaussianMixtureConfig::new(2, 4).init(&device().autodiff());
        let mixture = start.init_from_data(x.clone(), None);
        assert!(log_probs(&mixture.valid(), x.clone()).iter().all(|l| l.is_finite()));
        // Components that began on the same row differ, so their gradients do.
        let gradients = mixture.log_prob(x, None).sum().backward();
        struct Means(Gradients, Vec<f64>);
        impl ModuleVisitor for Means {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if self.1.is_empty() {
                    self.1 = host(param.val().grad(&self.0).unwrap());
                }
            }
        }
        let mut means = Means(gradients, vec![]);
        mixture.visit(&mut means);
        let row = |k: usize| means.1[2 * k..2 * k + 2].to_vec();
        assert_ne!(row(0), row(rows), "two components on the same row");
    }
}

#[test]
fn gaussian_mixture_refuses_impossible_parts() {
    let text = |config: GaussianMixtureConfig| config.validate().unwrap_err().to_string();
    let features = text(GaussianMixtureConfig::new(0, 2));
    assert_eq!(features, "GaussianMixtureConfig.features: must be at least 1, found 0");
    let one = |v: f64| tensor(&[v], [1, 1]);
    let fixed = |mean, scale, weight| {
        let mixture = GaussianMixture::fixed(one(mean), one(scale), tensor(&[weight], [1]));
        mixture.unwrap_err().to_string()
    };
    assert_eq!(fixed(f64::NAN, 1.0, 1.0), "GaussianMixture.means: must be finite, found NaN");
    let scale = fixed(0.0, 0.0, 1.0);
    assert_eq!(scale, "GaussianMixture.scales: must be positive and finite, found 0");
    let weight = fixed(0.0, 1.0, -2.0);
    assert_eq!(weight, "GaussianMixture.weights: must be positive and finite, found -2");
}

#[test]
#[should_panic(expected = "GaussianMixture: expected scales [2, 2] and weights [2]")]
fn gaussian_mixture_panics_on_parts_that_do_not_fit() {
    let two = tensor(&[1.0; 4], [2, 2]);
    let _ = GaussianMixture::fixed(two.clone(), two, tensor(&[1.0; 3], [3]));
}

#[test]
#[should_panic(expected = "GaussianMixture: expected an event of shape [2] after the batch axis")]
fn gaussian_mixture_panics_on_another_width() {
    two_normals().log_prob(tensor(&[0.5; 3], [1, 3]), None);
}

fn conditional(device: &Device) -> ConditionalNormal<2> {
    let mlp = MlpConfig::new(vec![8]).with_activation(ActivationConfig::Silu);
    moved(ConditionalNormalConfig::new(vec![2], 3, mlp).init(device), 4)
}

#[test]
fn conditional_normal_starts_as_the_standard_normal() {
    let config = ConditionalNormalConfig::new(vec![2, 2], 3, MlpConfig::new(vec![8]));
    let normal = config.init::<3>(&device());
    let x = Noise::seeded(1).normal::<3>([5, 2, 2], &device());
    let context = Noise::seeded(2).normal::<2>([5, 3], &device());
    let expected = log_probs(&StandardNormal::<3>::new([2, 2], &device()), x.clone());
    let found = host(normal.log_prob(x, Some(&context)));
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-13);
    }
}

#[test]
fn conditional_normal_follows_its_context() {
    let normal = conditional(&device());
    let rows = Noise::seeded(2).normal::<2>([2, 3], &device());
    let (first, second) = (rows.clone().narrow(0, 0, 1), rows.narrow(0, 1, 1));
    let draw = |c: &Tensor<2>| {
        let draws = normal.sample(DRAWS, Some(c), &mut Noise::seeded(3), &device());
        let mean = draws.clone().mean_dim(0);
        let std = (draws.clone() - mean.clone()).square().mean_dim(0).sqrt();
        (draws, mean, std)
    };
    let (draws, mean, std) = draw(&first);
    let (_, other, _) = draw(&second);
    assert!((mean.clone() - other).abs().max().into_scalar::<f64>() > 0.05);

    // The density under one context is the normal that the draws show.
    let shown = StandardNormal::<2>::new([2], &device());
    let standard = (draws.clone() - mean) / std.clone();
    let expected = shown.log_prob(standard, None) - std.log().sum();
    let found = normal.log_prob(draws.clone(), Some(&first));
    let error = (found.clone() - expected).mean().abs().into_scalar::<f64>();
    assert!(error < 2e-3, "{error}");

    // One row serves all, and gives the numbers of a row for each.
    let all = first.clone().expand([DRAWS, 3]);
    assert_eq!(host(normal.log_prob(draws.clone(), Some(&all))), host(found));
    assert_ne!(
        host(normal.log_prob(draws.clone(), Some(&second))),
        host(normal.log_prob(draws, Some(&first)))
    );
    assert_seeded(&normal, Some(&first));
}

#[test]
fn conditional_normal_integrates_to_one() {
    let normal = conditional(&device());
    let context = Noise::seeded(2).normal::<2>([1, 3], &device());
    let (points, area) = grid(12.0, 300);
    let density = normal.log_prob(points, Some(&context)).exp().sum() * area;
    assert!((density.into_scalar::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn conditional_normal_learns_every_parameter() {
    let normal = conditional(&device().autodiff());
    let x = Noise::seeded(1).normal::<2>([9, 2], &device());
    let context = Noise::seeded(2).normal::<2>([9, 3], &device());
    assert_all_learn(&normal, normal.log_prob(x, Some(&context)).mean(), 4);
    let draws = normal.sample(9, Some(&context), &mut Noise::seeded(1), &device());
    assert_all_learn(&normal, draws.square().sum(), 4);
}

#[test]
fn conditional_normal_keeps_its_scale_bounded() {
    let normal = conditional(&device());
    let context = tensor(&[1e6, -1e6, 1e6], [1, 3]);
    let draws = normal.sample(100, Some(&context), &mut Noise::seeded(1), &device());
    let mean = draws.clone().mean_dim(0);
    let spread = host((draws - mean).square().mean_dim(0).sqrt());
    assert!(spread.iter().all(|s| (5e-4..2e3).contains(s)), "{spread:?}");
}

#[test]
fn conditional_normal_refuses_impossible_configurations() {
    let text = |event: Vec<usize>, context, hidden| {
        let config = ConditionalNormalConfig::new(event, context, MlpConfig::new(hidden));
        config.validate().unwrap_err().to_string()
    };
    let event = text(vec![2, 0], 3, vec![8]);
    assert_eq!(event, "ConditionalNormalConfig.event: must be at least 1, found 0");
    let context = text(vec![2], 0, vec![8]);
    assert_eq!(context, "ConditionalNormalConfig.context: must be at least 1, found 0");
    assert!(text(vec![2], 3, vec![]).starts_with("MlpConfig.hidden:"));
}

#[test]
#[should_panic(expected = "ConditionalNormal: expected a context of width 3, found none")]
fn conditional_normal_panics_without_a_context() {
    conditional(&device()).log_prob(tensor(&[0.5; 2], [1, 2]), None);
}

#[test]
#[should_panic(expected = "ConditionalNormal: expected a context of width 3, found 2")]
fn conditional_normal_panics_on_another_context() {
    let context = tensor(&[0.5; 2], [1, 2]);
    conditional(&device()).log_prob(context.clone(), Some(&context));
}

#[test]
#[should_panic(expected = "ConditionalNormal: expected a context of 1 or 4 rows, found 2")]
fn conditional_normal_panics_on_another_number_of_rows() {
    let context = tensor(&[0.5; 6], [2, 3]);
    conditional(&device()).log_prob(tensor(&[0.5; 8], [4, 2]), Some(&context));
}

#[test]
#[should_panic(expected = "ConditionalNormal: expected an event of shape [2] after the batch axis")]
fn conditional_normal_panics_on_another_width() {
    let context = tensor(&[0.5; 3], [1, 3]);
    conditional(&device()).log_prob(tensor(&[0.5; 3], [1, 3]), Some(&context));
}

#[test]
fn diag_normal_integrates_to_one_and_its_draws_follow() {
    let normal = moved(DiagNormalConfig::new(vec![2]).init::<2>(&device()), 6);
    let (mass, entropy) = quadrature(&normal, 12.0, 240);
    assert!((mass - 1.0).abs() < 1e-9, "{mass}");
    assert_sampler_follows(&normal, entropy, 12.0);
}
