//! Training: results, resuming, errors, integer data, learned noise.

mod atomic;
#[path = "../common/built.rs"]
mod built;
mod callbacks;
mod checkpoints;
mod clones;
mod failures;
mod learning;
mod recipe;
mod refusals;
mod scales;
mod sources;
mod sums;
mod untrained;
mod variational;
mod weights;
mod wrappers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_flows::burn;
use burn_flows::model::RealNvp;
use burn_flows::prelude::*;
use burn_flows::train::FitConfig;

use built::built;

/// A banana: `x2` follows `x1^2`. Its entropy is `ln(2 pi e) + ln(2 * 0.3)` nats.
fn banana(rows: usize, seed: u64) -> Tensor<2> {
    let normal = Noise::seeded(seed).normal::<2>([rows, 2], &Device::flex());
    let x1 = normal.clone().narrow(1, 0, 1) * 2.0;
    let x2 = normal.narrow(1, 1, 1) * 0.3 + x1.clone() * x1.clone() * 0.5;
    Tensor::cat(vec![x1, x2], 1)
}

const BANANA_ENTROPY: f64 = 2.837_877_066_409_345 - 0.510_825_623_765_990_7;

fn small() -> RealNvpConfig {
    RealNvpConfig::new(2)
        .with_layers(4)
        .with_mlp(MlpConfig::new(vec![32, 32]).with_activation(ActivationConfig::Silu))
}

fn quick() -> FitConfig {
    FitConfig::new().with_epochs(6).with_batch_size(64).with_progress(false)
}

fn numbers<M: Distribution<2>>(module: &M, x: Tensor<2>) -> Vec<f32> {
    module.log_prob(x, None).into_data().try_to_vec_as::<f32>().unwrap()
}

/// A density that panics after a number of calls: a crash in the middle of an epoch.
#[derive(Module, Debug)]
struct Bomb<F> {
    inner: F,
    #[module(skip)]
    fuse: Arc<AtomicUsize>,
}

impl<F> Bomb<F> {
    fn new(inner: F, fuse: usize) -> Self {
        Self { inner, fuse: Arc::new(AtomicUsize::new(fuse)) }
    }
}

impl<F: Distribution<2>> Distribution<2> for Bomb<F> {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let left = self.fuse.fetch_sub(1, Ordering::Relaxed);
        assert!(left > 0, "no calls are left");
        self.inner.log_prob(x, context)
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
}

/// Asserts that `run` panics.
fn crashes<T>(run: impl FnOnce() -> T) {
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
}

/// The loss of one batch per epoch is infinite. The other batches train.
#[derive(Module, Debug)]
struct Hiccup<F> {
    inner: F,
}

impl<F: Distribution<2>> Distribution<2> for Hiccup<F> {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let marked = x.clone().max().into_scalar::<f32>() > 100.0;
        let log_prob = self.inner.log_prob(x, context);
        if marked { log_prob * f32::INFINITY } else { log_prob }
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
}
