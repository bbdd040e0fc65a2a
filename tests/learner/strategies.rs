//! burn's strategies for several devices, on CPU devices.

#[path = "../../examples/common/strategy.rs"]
mod strategy;

use std::sync::Arc;

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::AdamWConfig;
use burn::tensor::{Device, Tensor};
use burn::train::{Learner, SupervisedTraining, TrainingStrategy};
use burn_flows::Result;
use burn_flows::burn;
use burn_flows::prelude::*;
use burn_flows::train::{Batch, NllMetric, Trainee};

use crate::walk;
use strategy::Strategy;

/// A data loader that yields batches in a given order.
#[derive(Clone)]
struct InTurn(Vec<Batch<2>>);

impl DataLoader<Batch<2>> for InTurn {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch<2>> + 'a> {
        Box::new(Turn { batches: &self.0, next: 0 })
    }

    fn num_items(&self) -> usize {
        self.0.len()
    }

    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<Batch<2>>> {
        Arc::new(self.clone()) // all devices are the same CPU
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Batch<2>>> {
        Arc::new(Self(self.0[start..end].to_vec()))
    }
}

struct Turn<'a> {
    batches: &'a [Batch<2>],
    next: usize,
}

impl Iterator for Turn<'_> {
    type Item = Result<Batch<2>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next += 1;
        self.batches.get(self.next - 1).cloned().map(Ok)
    }
}

impl DataLoaderIterator<Batch<2>> for Turn<'_> {
    fn progress(&self) -> Progress {
        Progress::new(self.next, self.batches.len(), None)
    }
}

/// Different batches of a bent normal.
fn batches() -> Vec<Batch<2>> {
    let draw = |seed| {
        let normal = Noise::seeded(seed).normal::<2>([32, 2], &Device::flex());
        let y = normal.clone().narrow(1, 1, 1) * 2.0;
        let x = normal.narrow(1, 0, 1) + y.clone().square() * 0.25;
        Batch::new(Tensor::cat(vec![x, y], 1))
    };
    (0..24).map(draw).collect()
}

/// Trains the same flow with a strategy. Returns the loss of every batch and the final weights.
fn train(
    strategy: Strategy,
    devices: usize,
    accumulated: usize,
    order: Vec<Batch<2>>,
) -> (Vec<f64>, Vec<f64>) {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let flow = RealNvpConfig::new(2).with_layers(3).init(&device);
    // Weights that do not depend on other draws in this process.
    let flow = burn_flows::testing::moved(zeroed(flow), 1);
    let execution = strategy.on("flex", devices).unwrap();
    let training = SupervisedTraining::new(
        folder.path(),
        Arc::new(InTurn(order)),
        Arc::new(InTurn(batches()[..2].to_vec())),
    )
    .metrics((NllMetric::nats(),))
    .with_training_strategy(TrainingStrategy::Default(execution))
    .grads_accumulation(accumulated)
    .num_epochs(3);
    let optimizer = AdamWConfig::new().with_epsilon(1e-8).init();
    let result = training.launch(Learner::new(Trainee::new(flow.train()), optimizer, 5e-3));
    assert!(result.error.is_none(), "{:?}", result.error);
    (losses(folder.path()), weights(&result.model.into_inner()))
}

/// The module with all weights set to zero.
fn zeroed<M: Module>(module: M) -> M {
    struct Zero;
    impl burn::module::ModuleMapper for Zero {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|old| old.without_autodiff().zeros_like())
        }
    }
    module.valid().map(&mut Zero)
}

fn weights<M: Module>(module: &M) -> Vec<f64> {
    struct Collect(Vec<f64>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f64>());
        }
    }
    let mut collect = Collect(vec![]);
    module.visit(&mut collect);
    collect.0
}

/// The loss of every training batch, from burn's log.
fn losses(folder: &std::path::Path) -> Vec<f64> {
    let mut files = walk(folder);
    files.retain(|file| file.contains("train") && file.contains("NLL"));
    files.sort();
    let lines: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            text.lines().map(str::to_string).collect::<Vec<_>>()
        })
        .collect();
    let number = |line: &String| line.split(',').next().unwrap().parse().unwrap();
    lines.iter().filter(|line| !line.ends_with("final")).map(number).collect()
}

/// Two devices take one batch each and add their gradients. One device takes both batches in turn
/// and accumulates their gradients. The losses of every batch and the weights are the same, bit for
/// bit.
#[test]
fn two_devices_train_as_one_does_that_takes_their_batches_in_turn() {
    let halves = batches();
    let (first, second) = halves.split_at(halves.len() / 2);
    let in_turn = first.iter().zip(second).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let (one, of_one) = train(Strategy::Single, 1, 2, in_turn);
    let (two, of_two) = train(Strategy::Multi, 2, 1, halves.clone());
    assert_eq!((one.len(), two.len()), (3 * 24, 3 * 24));
    // The faster of two devices logs its loss first.
    for (one, two) in one.chunks(2).zip(two.chunks(2)) {
        let sorted = |pair: &[f64]| [pair[0].min(pair[1]), pair[0].max(pair[1])];
        assert_eq!(sorted(one), sorted(two));
    }
    assert!(one[70] + one[71] < one[0] + one[1] - 1.0, "the loss does not decrease: {one:?}");
    assert_eq!(of_one, of_two);
    // Without the share of the second device, the losses differ.
    let (half, _) = train(Strategy::Single, 1, 1, halves);
    assert_ne!(one, half);
}

#[test]
fn what_burn_cannot_run_is_said_before_it_starts() {
    let error = |strategy: Strategy, backend, devices| match strategy.on(backend, devices) {
        Err(error) => error,
        Ok(_) => panic!("{strategy:?} started"),
    };
    let ddp = error(Strategy::Ddp, "flex", 2);
    assert!(ddp.contains("needs CUDA devices") && ddp.contains("no all-reduce on `flex`"), "{ddp}");
    assert!(ddp.contains("--features cuda"), "{ddp}");
    let single = error(Strategy::Single, "flex", 2);
    assert!(single.contains("one device, not on 2"), "{single}");
    assert!(error(Strategy::Multi, "flex", 0).contains("--devices 0"));
    assert!(error(Strategy::Single, "abacus", 1).contains("`abacus` was not compiled in"));
    assert!(Strategy::Multi.on("flex", 3).is_ok() && Strategy::Single.on("flex", 1).is_ok());
}
