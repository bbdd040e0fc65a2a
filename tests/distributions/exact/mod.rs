//! Results that are known exactly: densities by hand, draws from their noise, assignments of rows.

mod densities;
mod flows;
mod given;
mod mixtures;
mod multi_scale;
mod noise;
mod precision;
#[path = "../../common/visited.rs"]
mod visited;

use burn_flows::Flow;
use burn_flows::burn::tensor::DType;

use super::*;

const LN_2PI: f64 = 1.837_877_066_409_345_5;

fn normal<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    Noise::seeded(seed).normal(shape, &device())
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], error: f64) {
    assert_eq!(found.len(), expected.len());
    for (k, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= error * b.abs().max(1.0), "{k}: {a}, expected {b}");
    }
}

/// The float parameters of a module, each as a list of its numbers.
fn parameters<M: Module>(module: &M) -> Vec<Vec<f64>> {
    struct All(Vec<Vec<f64>>);
    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.val().into_data().iter::<f64>().collect());
        }
    }
    let mut all = All(vec![]);
    module.visit(&mut all);
    all.0
}

/// Checks that draws are means plus scales times the noise. The scales follow from two draws. Then
/// checks that the density is that of normals with these scales.
#[track_caller]
fn assert_scales_its_noise<const D: usize>(
    noise: [Tensor<D>; 2],
    draw: impl Fn(usize) -> Tensor<D>,
    log_prob: impl Fn(Tensor<D>) -> Tensor<1>,
) {
    let apart = draw(0) - draw(1);
    let log_scale = (apart / (noise[0].clone() - noise[1].clone())).log();
    let rows = noise[0].dims()[0];
    for (k, noise) in noise.into_iter().enumerate() {
        let terms = noise.square() * -0.5 - log_scale.clone() - 0.5 * LN_2PI;
        let expected = terms.reshape([rows as i64, -1]).sum_dim(1).reshape([rows]);
        assert_near(&host(log_prob(draw(k))), &host(expected), 1e-9);
    }
    let spread = host(log_scale);
    assert!(spread.iter().any(|s| (s - spread[0]).abs() > 1e-3), "equal scales: {spread:?}");
}
