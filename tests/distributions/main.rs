//! Distributions: densities integrate to one, samples follow the densities, and values agree with
//! known ones.

mod exact;
mod fixed;
mod learned;
mod marginal;
mod toy;

use std::sync::LazyLock;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, FloatDType, Gradients, Tensor, TensorData};
use burn_flows::burn;
use burn_flows::conditioner::{ActivationConfig, MlpConfig};
use burn_flows::distribution::{
    Checkerboard, ConditionalNormal, ConditionalNormalConfig, DiagNormal, DiagNormalConfig,
    Distribution, EightGaussians, GaussianMixture, GaussianMixtureConfig, Mixture, Pinwheel, Rings,
    StandardNormal, StudentT, StudentTConfig, TwoMoons, Uniform,
};
use burn_flows::model::{PlanarFlow, PlanarFlowConfig};
use burn_flows::{Error, Noise};

/// The CPU in f64. The precision is set before the first tensor of the process.
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

/// Compares `log_prob` at points of the plane with independently computed values.
fn assert_values(distribution: &impl Distribution<2>, table: &[([f64; 2], f64)]) {
    for &(point, expected) in table {
        let found = log_probs(distribution, tensor(&point, [1, 2]))[0];
        let error = (found - expected).abs() / expected.abs();
        assert!(error < 1e-12, "at {point:?}: {found}, expected {expected}");
    }
}

/// Replaces every parameter by seeded noise. The initial values do not remain, because those of a
/// network are not seeded.
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

/// For every float parameter: whether it is trained, and the largest absolute value of its
/// gradient.
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

/// Asserts that `count` parameters have a gradient that is finite and not zero.
fn assert_all_learn<M: Module>(module: &M, loss: Tensor<1>, count: usize) {
    let found = gradients(module, &loss.backward());
    assert_eq!(found.len(), count);
    for (trained, gradient) in found {
        let gradient = gradient.expect("a gradient");
        assert!(trained && gradient > 1e-12 && gradient.is_finite(), "{gradient}");
    }
}

/// Asserts that the module has `count` parameters and that none is trained.
fn assert_none_learn<M: Module>(module: &M, count: usize) {
    let none = tensor::<1>(&[1.0], [1]).autodiff().require_grad().backward();
    assert_eq!(gradients(module, &none), vec![(false, None); count]);
}

/// The midpoints of `n * n` cells of a square around the origin, and the area of a cell.
fn grid(half: f64, n: usize) -> (Tensor<2>, f64) {
    let side = 2.0 * half / n as f64;
    let at = |k: usize| -half + side * (k as f64 + 0.5);
    let values: Vec<f64> = (0..n * n).flat_map(|i| [at(i / n), at(i % n)]).collect();
    (tensor(&values, [n * n, 2]), side * side)
}

/// The integral of the density and the entropy by the midpoint rule on a square. For densities that
/// vanish at its edges, the rule converges faster than any power of the step.
fn quadrature(distribution: &impl Distribution<2>, half: f64, n: usize) -> (f64, f64) {
    let (points, area) = grid(half, n);
    let log_prob = log_probs(distribution, points);
    let sum = |f: &dyn Fn(f64) -> f64| log_prob.iter().map(|&l| f(l)).sum::<f64>() * area;
    let surprise = |l: f64| if l == f64::NEG_INFINITY { 0.0 } else { -l * l.exp() };
    (sum(&f64::exp), sum(&surprise))
}

const DRAWS: usize = 20_000;

/// Compares draws with the density: the mean of `-log_prob` with the entropy, and the counts in
/// `cells * cells` cells with their probability by `fine * fine` midpoints each.
fn assert_sampler_follows(distribution: &impl Distribution<2>, entropy: f64, half: f64) {
    let x = distribution.sample(DRAWS, None, &mut Noise::seeded(11), &device());
    assert_eq!(x.dims(), [DRAWS, 2]);

    let surprise: Vec<f64> = log_probs(distribution, x.clone()).iter().map(|l| -l).collect();
    let mean = surprise.iter().sum::<f64>() / DRAWS as f64;
    let variance = surprise.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / DRAWS as f64;
    let error = (variance / DRAWS as f64).sqrt();
    assert!((mean - entropy).abs() < 4.0 * error + 1e-9, "{mean} +- {error}, entropy {entropy}");

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
    // Pearson's statistic over all cells with an expected count of at least 5. The other cells are
    // pooled.
    let (mut statistic, mut freedom, mut rest) = (0.0, 0.0_f64, (0.0, 0.0_f64));
    for (count, expected) in counts.iter().zip(&expected) {
        if *expected >= 5.0 {
            statistic += (count - expected).powi(2) / expected;
            freedom += 1.0;
        } else {
            rest = (rest.0 + count, rest.1 + expected);
        }
    }
    assert!(freedom > 20.0, "{freedom} cells are too few for the test");
    assert!((rest.0 - rest.1).abs() < 5.0 * rest.1.sqrt() + 5.0, "{rest:?} in the other cells");
    let limit = freedom + 4.0 * (2.0 * freedom).sqrt();
    assert!(statistic < limit, "chi-squared {statistic} of {freedom} cells");
}

/// Equal seeds give equal draws, and different seeds give different draws.
fn assert_seeded<const D: usize>(distribution: &impl Distribution<D>, context: Option<&Tensor<2>>) {
    let draw = |seed| host(distribution.sample(6, context, &mut Noise::seeded(seed), &device()));
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

/// The gradient of the sum of the log-densities with respect to the rows.
fn gradient_at<const D: usize>(distribution: &impl Distribution<D>, x: Tensor<D>) -> Vec<f64> {
    let x = x.autodiff().require_grad();
    let gradients = distribution.log_prob(x.clone(), None).sum().backward();
    host(x.grad(&gradients).expect("a gradient of x"))
}

fn two_normals() -> GaussianMixture {
    let means = tensor(&[0.0, 0.0, 3.0, -1.0], [2, 2]);
    let scales = tensor(&[1.0, 0.5, 2.0, 0.125], [2, 2]);
    GaussianMixture::fixed(means, scales, tensor(&[1.0, 3.0], [2])).unwrap()
}
