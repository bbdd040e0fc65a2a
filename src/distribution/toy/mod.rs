//! Toy targets in the plane whose density and sampler are both exact.
//!
//! The mean of `-log_prob` over fresh samples tends to the entropy. No model of the data has a lower
//! expected value, so each target states its entropy.

mod checkerboard;
mod eight_gaussians;
mod pinwheel;
mod rings;
mod two_moons;

pub use checkerboard::Checkerboard;
pub use eight_gaussians::EightGaussians;
pub use pinwheel::Pinwheel;
pub use rings::Rings;
pub use two_moons::TwoMoons;

use burn::tensor::{Device, Tensor, TensorData};

use crate::math::{LN_2PI, log_sum_exp, wide};
use crate::noise::Noise;

/// A tensor of host numbers with the dtype and the device of `x`, outside any autodiff graph.
fn constants<const D: usize>(values: Vec<f64>, shape: [usize; D], x: &Tensor<2>) -> Tensor<D> {
    let data = TensorData::new(values, shape);
    Tensor::from_data(data, (&x.device().without_autodiff(), x.dtype()))
}

/// `n` points, each drawn by `next`.
fn points(
    n: usize,
    noise: &mut Noise,
    device: &Device,
    mut next: impl FnMut(&mut Noise) -> [f64; 2],
) -> Tensor<2> {
    let values: Vec<f64> = (0..n).flat_map(|_| next(noise)).collect();
    Tensor::from_data(TensorData::new(values, [n, 2]), &device.clone().without_autodiff())
}

/// The two coordinates, each `[batch, 1]`.
fn columns(x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    (x.clone().narrow(1, 0, 1), x.narrow(1, 1, 1))
}

/// The distance from the origin, `[batch, 1]`, with a gradient of zero at the origin, where the
/// gradient of the square root alone is infinite. It is computed in units of the larger coordinate, so
/// that the square of a distant point does not overflow.
fn radius(x: Tensor<2>) -> Tensor<2> {
    let unit = x.clone().detach().abs().max_dim(1);
    let at_origin = unit.clone().equal_elem(0.0);
    // An infinite coordinate cannot be the unit.
    let unit = unit.clone().mask_fill(at_origin.clone().bool_or(unit.is_inf()), 1.0);
    let square = (x / unit.clone()).square().sum_dim(1);
    let root = square.mask_fill(at_origin.clone(), 1.0).sqrt();
    (root * unit).mask_fill(at_origin, 0.0)
}

/// A round normal of a mixture.
struct Part {
    centre: [f64; 2],
    weight: f64,
}

/// The log-density of a mixture of round normals with one standard deviation.
fn round_normals(x: Tensor<2>, parts: &[Part], std: f64) -> Tensor<1> {
    let (batch, x) = (x.dims()[0], wide(x));
    let row = |value: &dyn Fn(&Part) -> f64| {
        constants(parts.iter().map(value).collect(), [1, parts.len()], &x)
    };
    let (centre_1, centre_2) = (row(&|part| part.centre[0]), row(&|part| part.centre[1]));
    let log_weight = row(&|part| part.weight.ln());
    let (x1, x2) = columns(x);
    let square = (x1 - centre_1).square() + (x2 - centre_2).square();
    let terms = square * (-0.5 / (std * std)) + log_weight;
    log_sum_exp(terms, 1).reshape([batch]) - (LN_2PI + 2.0 * std.ln())
}
