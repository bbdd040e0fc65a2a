//! What each preprocessing step adds to the bits per dimension, compared with values computed by
//! hand.

use std::sync::LazyLock;

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use burn_flows::bijector::{Bijector, Logit};
use burn_flows::burn;
use burn_flows::distribution::Uniform;
use burn_flows::prelude::*;
use burn_flows::train::{Dequantize, ReduceBits, bits_per_dim, nll};

/// The device. Its precision is set to f64 before the first tensor.
static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let mut device = Device::flex();
    device.configure(FloatDType::F64).unwrap();
    device
});

fn rows(values: &[f64], width: usize) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len() / width, width]), &*DEVICE)
}

/// Uniform random integers below `levels`.
fn integers(levels: usize, shape: [usize; 2]) -> Tensor<2> {
    let mut noise = Noise::seeded(3);
    let values: Vec<f64> =
        (0..shape[0] * shape[1]).map(|_| noise.next_below(levels) as f64).collect();
    rows(&values, shape[1])
}

/// The bits per dimension of integers under a density on [0, 1)^width.
fn bits(density: &impl Distribution<2>, x: Tensor<2>, levels: usize) -> f64 {
    let width = x.dims()[1];
    let v = Dequantize::new(levels).unwrap().apply(x, &mut Noise::seeded(8));
    bits_per_dim(nll(density, v, 100), width, levels)
}

fn uniform(width: usize) -> Uniform<2> {
    let zeros = Tensor::zeros([1, width], &*DEVICE);
    Uniform::new(zeros.clone(), zeros + 1.0).unwrap()
}

#[track_caller]
fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
}

#[test]
fn a_uniform_density_needs_the_bits_of_the_integers() {
    assert_near(bits(&uniform(7), integers(256, [300, 7]), 256), 8.0);
    assert_near(bits(&uniform(3), integers(17, [300, 3]), 17), 17f64.log2());
}

#[test]
fn a_uniform_density_needs_the_bits_that_a_reduction_leaves() {
    for kept in 1..=8 {
        let reduce = ReduceBits::new(kept).unwrap();
        let y = reduce.apply(integers(256, [2000, 5])).unwrap();
        assert_eq!(y.clone().max().into_scalar::<f64>() as usize, reduce.levels() - 1);
        assert_near(bits(&uniform(5), y, reduce.levels()), kept as f64);
    }
}

#[test]
fn a_reduction_keeps_the_highest_bits_of_every_integer() {
    let all: Vec<f64> = (0..256).map(f64::from).collect();
    for kept in 1..=8 {
        let reduced = ReduceBits::new(kept).unwrap().apply(rows(&all, 1)).unwrap();
        for (x, y) in reduced.into_data().iter::<f64>().enumerate() {
            assert_eq!(y as usize, x >> (8 - kept));
        }
    }
}

/// A density on [0, 1) that is constant on each level and has these `shares` of the mass.
#[derive(Module, Debug)]
struct Steps {
    shares: Vec<f64>,
}

impl Distribution<2> for Steps {
    fn log_prob(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<1> {
        let [batch, width] = x.dims();
        let levels = self.shares.len() as f64;
        let density = |v: f64| (self.shares[(v * levels) as usize] * levels).ln();
        let values: Vec<f64> = x.into_data().iter::<f64>().map(density).collect();
        rows(&values, width).sum_dim(1).reshape([batch])
    }

    fn sample(
        &self,
        n: usize,
        _context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        noise.uniform([n, 1], device)
    }
}

/// The shares 1/2, 1/4, 1/8, 1/8 have an entropy of 1.75 bits. Data with exactly these frequencies
/// need 1.75 bits under the density with these shares.
#[test]
fn the_density_of_dequantized_integers_needs_their_entropy() {
    let truth = Steps { shares: vec![0.5, 0.25, 0.125, 0.125] };
    let x = rows(&[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0], 1);
    assert_near(bits(&truth, x.clone(), 4), 1.75);
    // A different density needs more bits, by the divergence: the uniform density needs 2 bits.
    assert_near(bits(&Steps { shares: vec![0.25; 4] }, x.clone(), 4), 2.0);
    // The same integers in two columns need the same number of bits per column.
    let twice = Tensor::cat(vec![x.clone(), x], 1);
    assert_near(bits(&truth, twice, 4), 1.75);
}

/// A reduction to one bit adds the shares of the joined levels: (1/2, 1/4, 1/8, 1/8) becomes (3/4,
/// 1/4), with an entropy of 2 - 3/4 log2(3) bits.
#[test]
fn a_reduction_adds_up_the_shares_of_the_levels_it_joins() {
    // Levels 0, 64, 128, 192 of 256 are reduced to one bit.
    let x = rows(&[0.0, 0.0, 0.0, 0.0, 64.0, 64.0, 128.0, 192.0], 1);
    let y = ReduceBits::new(1).unwrap().apply(x).unwrap();
    let truth = Steps { shares: vec![0.75, 0.25] };
    assert_near(bits(&truth, y, 2), 2.0 - 0.75 * 3f64.log2());
}

/// The logit of one pixel under a standard normal, compared with values computed by hand.
#[test]
fn the_logit_adds_its_log_determinant() {
    // The middle: s = 0.05 + 0.9 / 2 = 1/2, z = 0, log-det = ln 0.9 - 2 ln (1/2) = ln 3.6.
    // An end:     s = 0.05, z = ln(0.05 / 0.95) = -ln 19, log-det = ln 0.9 - ln(0.05 * 0.95).
    let half_ln_2pi = 0.5 * std::f64::consts::TAU.ln();
    let ln_19 = 19f64.ln();
    let cases = [
        (0.5, 0.0, 3.6f64.ln(), half_ln_2pi),
        (0.0, -ln_19, (0.9f64 / 0.0475).ln(), half_ln_2pi + ln_19 * ln_19 / 2.0),
        (1.0, ln_19, (0.9f64 / 0.0475).ln(), half_ln_2pi + ln_19 * ln_19 / 2.0),
    ];
    for (pixel, z, log_det, base_nll) in cases {
        let logit = Logit::new(0.05).unwrap();
        let (found_z, found_log_det) = logit.forward(rows(&[pixel], 1), None);
        assert_near(found_z.into_scalar::<f64>(), z);
        assert_near(found_log_det.into_scalar::<f64>(), log_det);
        let flow = Flow::new(logit, StandardNormal::<2>::new([1], &DEVICE));
        let nll = nll(&flow, rows(&[pixel], 1), 1);
        let by_hand = (base_nll - log_det) / std::f64::consts::LN_2 + 8.0;
        assert_near(bits_per_dim(nll, 1, 256), by_hand);
    }
    // The first case as numbers: (0.918938533 - 1.280933845 + 5.545177444) / 0.693147181.
    let middle = bits_per_dim(half_ln_2pi - 3.6f64.ln(), 1, 256);
    assert!((middle - 7.477_751_0).abs() < 1e-6, "{middle}");
}
