//! A flow trained by burn-train's learner.

#[path = "../common/built.rs"]
mod built;
mod metrics;
mod strategies;

use burn::module::Module;
use burn::optim::AdamWConfig;
use burn::tensor::Device;
use burn::train::metric::LossMetric;
use burn::train::{Learner, SupervisedTraining};
use burn_flows::burn;
use burn_flows::prelude::*;
use burn_flows::train::{FitData, NllMetric, Trainee, nll};

use built::built;

#[test]
fn a_flow_learns_under_the_learner_and_comes_back() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let x = Noise::seeded(1).normal::<2>([512, 2], &device) * 0.2 + 1.0;
    let test = Noise::seeded(2).normal::<2>([512, 2], &device) * 0.2 + 1.0;
    let flow = built(&device, |device| RealNvpConfig::new(2).with_layers(2).init(device));
    let before = nll(&flow, test.clone(), 512);
    let data = FitData::new(x);
    let loader = |seed| data.batches(64, seed, &device);
    let training = SupervisedTraining::new(folder.path(), loader(1), loader(2))
        .metrics((LossMetric::new(), NllMetric::nats(), NllMetric::bits_per_dim(4)))
        .with_default_checkpointers()
        .num_epochs(40);
    let optimizer = AdamWConfig::new().with_epsilon(1e-8).init();
    let result = training.launch(Learner::new(Trainee::new(flow.train()), optimizer, 5e-3));
    assert!(result.error.is_none());
    let after = nll(&result.model.into_inner(), test, 512);
    let entropy = 1.0 + (2.0 * std::f64::consts::PI * 0.04).ln();
    assert!(before > entropy + 2.0, "{before}");
    assert!(after < entropy + 0.1, "NLL {after}, entropy {entropy}");
    let logged: Vec<_> = walk(folder.path()).into_iter().filter(|f| f.contains("NLL")).collect();
    assert!(!logged.is_empty(), "the metric was not logged");
}

/// The paths of all files in a folder and its subfolders.
fn walk(folder: &std::path::Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path) } else { vec![path.display().to_string()] }
        })
        .collect()
}
