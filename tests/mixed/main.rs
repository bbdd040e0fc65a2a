//! Columns of different kinds: bounds, units, groups of columns, categories, dequantized columns.

mod bounded;
mod categorical;
mod chained;
mod data;
mod learning;
mod product;
mod units;

use std::sync::LazyLock;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, FloatDType, Gradients, Tensor, TensorData};
use burn_flows::prelude::*;
use burn_flows::testing::moved;
use burn_flows::{Result, burn};
use serde::{Serialize, de::DeserializeOwned};

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

fn of<const D: usize>(values: &[f64], shape: [usize; D], dtype: DType) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (&device(), dtype))
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

fn log_probs(density: &impl Distribution<2>, x: &Tensor<2>, c: Option<&Tensor<2>>) -> Vec<f64> {
    host(density.log_prob(x.clone(), c))
}

fn draws(density: &impl Distribution<2>, n: usize, c: Option<&Tensor<2>>) -> Tensor<2> {
    density.sample(n, c, &mut Noise::seeded(7), &device())
}

fn text<T>(result: Result<T>) -> String {
    result.err().expect("an error").to_string()
}

/// The model, from its file alone.
fn reopened<M: Module + Serialize + DeserializeOwned>(model: &M) -> M {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    store::save(model, &path).unwrap();
    store::open(&path, &device()).unwrap()
}

/// A small smooth network whose last layer does not start at zero.
fn mlp() -> MlpConfig {
    MlpConfig::new(vec![12]).with_activation(ActivationConfig::Silu).with_zero_last(false)
}

/// The largest gradient of every trained parameter.
fn gradients<M: Module>(module: &M, gradients: &Gradients) -> Vec<f64> {
    struct Visit<'a>(&'a Gradients, Vec<f64>);
    impl ModuleVisitor for Visit<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            if value.is_require_grad() {
                let gradient = value.grad(self.0);
                self.1.push(gradient.map_or(0.0, |g| g.abs().max().into_scalar::<f64>()));
            }
        }
    }
    let mut visit = Visit(gradients, vec![]);
    module.visit(&mut visit);
    visit.1
}

/// The largest gradients of all trained parameters, which must be finite.
fn learned(model: &impl Distribution<2>, x: &Tensor<2>, c: Option<&Tensor<2>>) -> Vec<f64> {
    let model = model.clone().train();
    let found = gradients(&model, &model.log_prob(x.clone(), c).sum().backward());
    assert!(found.iter().all(|gradient| gradient.is_finite()), "{found:?}");
    found
}

/// Asserts that every trained parameter has a gradient other than zero, and returns their number.
fn assert_all_learn(model: &impl Distribution<2>, x: &Tensor<2>, c: Option<&Tensor<2>>) -> usize {
    let found = learned(model, x, c);
    assert!(found.iter().all(|gradient| *gradient > 1e-9), "{found:?}");
    found.len()
}

/// The midpoints of `n` cells of an interval, and the width of a cell.
fn midpoints(low: f64, high: f64, n: usize) -> (Vec<f64>, f64) {
    let width = (high - low) / n as f64;
    ((0..n).map(|k| low + width * (k as f64 + 0.5)).collect(), width)
}

fn sum_exp(log_probs: &[f64]) -> f64 {
    log_probs.iter().map(|l| l.exp()).sum()
}
