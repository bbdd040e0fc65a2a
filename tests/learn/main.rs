//! Every model learns: it reaches a value that is known from theory or from runs of another
//! library.

#[path = "../common/built.rs"]
mod built;
mod digits;
mod entropies;
mod moons;
mod residual;
mod tables;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use burn_flows::conditioner::MadeConfig;
use burn_flows::distribution::TwoMoons;
use burn_flows::prelude::*;
use burn_flows::train::{FitConfig, fit, nll};

use built::built;

fn silu(width: usize) -> MlpConfig {
    MlpConfig::new(vec![width; 2]).with_activation(ActivationConfig::Silu)
}

fn masked(width: usize) -> MadeConfig {
    MadeConfig::new(vec![width; 2]).with_activation(ActivationConfig::Silu)
}

fn fitting(epochs: usize, batch: usize, rate: f64) -> FitConfig {
    FitConfig::new()
        .with_epochs(epochs)
        .with_batch_size(batch)
        .with_learning_rate(rate)
        .with_average(Some(0.99))
        .with_progress(false)
}

fn table(name: &str) -> Tensor<2> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let width = text.lines().next().unwrap().split(',').count();
    let values: Vec<f64> =
        text.lines().flat_map(|line| line.split(',')).map(|v| v.trim().parse().unwrap()).collect();
    Tensor::from_data(
        TensorData::new(values.clone(), [values.len() / width, width]),
        &Device::flex(),
    )
}

fn moons(rows: usize, seed: u64) -> Tensor<2> {
    TwoMoons {}.sample(rows, None, &mut Noise::seeded(seed), &Device::flex())
}

/// The mean NLL of a flow on two moons minus that of the true density.
fn above_moons<F: Distribution<2>>(flow: &F) -> f64 {
    let test = moons(5000, 2);
    nll(flow, test.clone(), 1000) - nll(&TwoMoons {}, test, 1000)
}

/// The mean NLL after training on two moons, minus that of the true density.
fn gap_on_moons<F: Distribution<2>>(flow: F, epochs: usize, rate: f64) -> f64 {
    above_moons(&fit(flow, moons(8000, 1), &fitting(epochs, 128, rate)).unwrap().0)
}

/// Samples of `y ~ N(0, 4)`, `x ~ N(y^2 / 4, 1)`.
fn bent(rows: usize, seed: u64) -> Tensor<2> {
    let normal = Noise::seeded(seed).normal::<2>([rows, 2], &Device::flex());
    let y = normal.clone().narrow(1, 1, 1) * 2.0;
    let x = normal.narrow(1, 0, 1) + y.clone().square() * 0.25;
    Tensor::cat(vec![x, y], 1)
}
