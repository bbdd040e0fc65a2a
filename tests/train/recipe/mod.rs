//! Compares training with a second training loop, written by hand: normals of one feature, in f64
//! on the host.

mod config;
mod draws;
mod reverse;
mod rows;
mod steps;

use std::sync::Mutex;

use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, TensorData};
use burn_flows::distribution::DiagNormal;

use super::*;

const LN_2PI: f64 = 1.837_877_066_409_345_5;

fn column(values: &[f64]) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [values.len(), 1]);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

/// Normal numbers with mean `mean` and standard deviation 1.
fn normals(mean: f64, rows: usize, seed: u64) -> Vec<f64> {
    let mut noise = Noise::seeded(seed);
    (0..rows).map(|_| mean + noise.next_normal()).collect()
}

/// The mean and the log-scale.
type Weights = [f64; 2];

fn normal([mean, log_scale]: Weights) -> DiagNormal<2> {
    DiagNormal::from_weights(column(&[mean]), column(&[log_scale]))
}

/// The float parameters of a module as one list.
fn weights<M: Module>(module: &M) -> Vec<f64> {
    struct All(Vec<f64>);
    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f64>());
        }
    }
    let mut all = All(vec![]);
    module.visit(&mut all);
    all.0
}

/// The gradients of these parameters in the same order.
fn gathered<M: Module>(module: &M, gradients: GradientsParams) -> Vec<f64> {
    struct All(GradientsParams, Vec<f64>);
    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.0.get::<D>(param.id).expect("a gradient for every parameter");
            self.1.extend(gradient.into_data().iter::<f64>());
        }
    }
    let mut all = All(gradients, vec![]);
    module.visit(&mut all);
    all.1
}

fn average(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// The mean negative log-likelihood.
fn mean_nll([mean, log_scale]: Weights, x: &[f64]) -> f64 {
    let square = |x: &f64| ((x - mean) * (-log_scale).exp()).powi(2);
    0.5 * (average(x.iter().map(square)) + LN_2PI) + log_scale
}

/// The gradient of [`mean_nll`].
fn gradient([mean, log_scale]: Weights, x: &[f64]) -> Weights {
    let shrink = (-log_scale).exp();
    let z = |x: &f64| (x - mean) * shrink;
    [average(x.iter().map(|x| -z(x) * shrink)), average(x.iter().map(|x| 1.0 - z(x).powi(2)))]
}

/// Adam with decoupled weight decay. Both decay rates and epsilon are those in the crate's docs, as
/// f32.
#[derive(Default)]
struct Adam {
    first: Weights,
    second: Weights,
    steps: i32,
}

impl Adam {
    fn step(&mut self, weights: &mut Weights, gradient: Weights, rate: f64, decay: f64) {
        let [b1, b2] = [0.9f32, 0.999].map(f64::from);
        self.steps += 1;
        for k in 0..2 {
            self.first[k] = b1 * self.first[k] + (1.0 - b1) * gradient[k];
            self.second[k] = b2 * self.second[k] + (1.0 - b2) * gradient[k].powi(2);
            let m = self.first[k] / (1.0 - b1.powi(self.steps));
            let v = self.second[k] / (1.0 - b2.powi(self.steps));
            weights[k] -= rate * (decay * weights[k] + m / (v.sqrt() + f64::from(1e-8f32)));
        }
    }
}

/// The gradient, scaled down to the length `limit` if it is longer.
fn clipped(gradient: Weights, limit: Option<f64>) -> Weights {
    let norm = gradient[0].hypot(gradient[1]);
    let factor = limit.map_or(1.0, |limit| (limit / norm).min(1.0));
    gradient.map(|g| g * factor)
}

/// The moving average after a step. Steps are counted from 0.
fn moved_average(average: Weights, weights: Weights, decay: f64, step: usize) -> Weights {
    let decay = decay.min((1 + step) as f64 / (10 + step) as f64);
    std::array::from_fn(|k| decay * average[k] + (1.0 - decay) * weights[k])
}

#[track_caller]
fn assert_near(found: f64, expected: f64) {
    let fits = (found - expected).abs() <= 1e-9 * expected.abs().max(1.0);
    assert!(fits, "{found}, expected {expected}");
}

#[track_caller]
fn assert_all_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).for_each(|(found, expected)| assert_near(*found, *expected));
}

/// One call of a density.
#[derive(Debug, Clone)]
struct Call {
    training: bool,
    x: Vec<f64>,
    context: Vec<f64>,
}

/// A density that records its calls. A row above 100 makes the density infinite, a row above 200
/// also its gradient, and a row above 300 only its gradient.
#[derive(Module, Debug)]
struct Spy {
    inner: DiagNormal<2>,
    #[module(skip)]
    calls: Arc<Mutex<Vec<Call>>>,
    /// The number of rows in the batch for data-dependent initialisation.
    #[module(skip)]
    started: Arc<AtomicUsize>,
}

impl Spy {
    fn new(weights: Weights) -> Self {
        let (calls, started) = Default::default();
        Self { inner: normal(weights), calls, started }
    }

    /// The calls of the training steps or of the evaluations, without the rows that `fit` tries
    /// first: two rows, and the first of three rows beside each of the others.
    fn calls(&self, training: bool) -> Vec<Call> {
        let calls = self.calls.lock().unwrap().clone();
        let beside = |calls: &[Call]| {
            calls[0].x.len() == 2 && calls[1].x.len() == 2 && calls[0].x[0] == calls[1].x[0]
        };
        let tried = if calls.len() > 3 && beside(&calls[1..]) { 3 } else { 1 };
        calls.into_iter().skip(tried).filter(|call| call.training == training).collect()
    }
}

impl Distribution<2> for Spy {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let host = |x: &Tensor<2>| x.to_data().iter::<f64>().collect::<Vec<_>>();
        let call = Call {
            training: self.devices().iter().any(Device::is_autodiff),
            x: host(&x),
            context: context.map_or(vec![], host),
        };
        let largest = call.x.iter().copied().fold(0.0, f64::max);
        self.calls.lock().unwrap().push(call);
        let log_prob = self.inner.log_prob(x, None);
        match largest as usize / 100 {
            0 => log_prob,
            1 => log_prob.clone().mask_fill(log_prob.is_finite(), f64::INFINITY),
            2 => log_prob * f64::INFINITY,
            // The square root has an infinite slope at 0.
            _ => log_prob.clone() + (log_prob.clone() - log_prob.detach()).sqrt(),
        }
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        self.inner.sample(n, context, noise, device)
    }

    fn init_from_data(self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> Self {
        self.started.store(x.dims()[0], Ordering::Relaxed);
        self
    }
}
