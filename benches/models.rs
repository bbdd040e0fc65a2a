//! Benchmarks of whole models: `<model>/<operation>/<features>x<batch>`. The features of an image
//! are `<channels>x<height>x<width>`.
//!
//! `train` is one training step: loss, backward pass and Adam update. `train_reversible` is the
//! same step without the activations in memory.

use std::hint::black_box;

use burn_flows::Noise;

use burn_flows::burn::tensor::Device;
use burn_flows::conditioner::{ConvNetConfig, MadeConfig};
use burn_flows::distribution::Distribution;
use burn_flows::model::{
    AutoregressiveNsfConfig, BernsteinFlowConfig, CircularNsfConfig, GaussianizationFlowConfig,
    GlowConfig, Maf, MafConfig, NeuralAutoregressiveFlowConfig, NiceConfig, NsfConfig,
    RealNvpConfig, StepNorm, SumOfSquaresFlowConfig, UnconstrainedAutoregressiveFlowConfig,
};
use burn_flows::testing::moved;
use burn_flows::train::{Reversible, adamw, nll_gradients};
use criterion::{Criterion, criterion_group, criterion_main};

fn model<const D: usize, F: Distribution<D>>(
    criterion: &mut Criterion,
    name: &str,
    shape: [usize; D],
    flow: F,
) {
    let device = Device::flex();
    let batch = shape[0];
    let x = Noise::seeded(1).normal(shape, &device);
    let flow = flow.init_from_data(x.clone(), None);
    let features: Vec<_> = shape[1..].iter().map(usize::to_string).collect();
    let id = |operation| format!("{name}/{operation}/{}x{batch}", features.join("x"));
    let plain = flow.valid();
    criterion.bench_function(&id("log_prob"), |b| {
        b.iter(|| black_box(plain.log_prob(x.clone(), None)));
    });
    criterion.bench_function(&id("sample"), |b| {
        b.iter(|| black_box(plain.sample(batch, None, &mut Noise::seeded(1), &device)));
    });
    let mut optimizer = adamw(0.0);
    let mut trained = Some(flow.clone().train());
    criterion.bench_function(&id("train"), |b| {
        b.iter(|| {
            let flow = trained.take().expect("put back below");
            let (_, gradients) = nll_gradients(&flow, &x);
            trained = Some(optimizer.step(1e-3, flow, gradients));
        });
    });
    let (mut optimizer, mut reversible) = (adamw(0.0), Reversible::new());
    let mut trained = Some(flow.train());
    criterion.bench_function(&id("train_reversible"), |b| {
        b.iter(|| {
            let flow = trained.take().expect("put back below");
            let (_, gradients) = reversible.nll_gradients(&flow, &x);
            trained = Some(optimizer.step(1e-3, flow, gradients));
        });
    });
}

fn models(criterion: &mut Criterion) {
    let device = Device::flex();
    for batch in [64, 1024] {
        model(criterion, "realnvp", [batch, 64], RealNvpConfig::new(64).init(&device));
    }
    // Moves the weights away from the identity, where all values lie in one bin.
    let nsf = moved(NsfConfig::new(64).with_layers(5).init(&device), 1);
    model(criterion, "nsf", [1024, 64], nsf);
    model(criterion, "nice", [1024, 64], NiceConfig::new(64).init(&device));
    let glow = GlowConfig::new([3, 16, 16], 2).with_steps(8);
    let glow = glow.with_network(ConvNetConfig::new(64)).init(&device);
    model(criterion, "glow", [32, 3, 16, 16], glow);
}

/// Five layers, each with two hidden layers of 128 units. With more features than 128, a hidden
/// layer has one unit per feature, because fewer units cannot carry every degree.
fn maf(features: usize) -> Maf {
    let width = features.max(128);
    let config = MafConfig::new(features).with_made(MadeConfig::new(vec![width, width]));
    // Moves the weights away from the identity, so that no operation is skipped.
    moved(config.with_norm(StepNorm::None).init(&Device::flex()), 1)
}

fn autoregressive(criterion: &mut Criterion) {
    for [batch, features] in [[1024, 16], [64, 64], [1024, 64], [1024, 256]] {
        model(criterion, "maf", [batch, features], maf(features));
    }
    let nsf = AutoregressiveNsfConfig::new(16).with_layers(5).init(&Device::flex());
    model(criterion, "nsf_autoregressive", [1024, 16], moved(nsf, 1));
    let naf = NeuralAutoregressiveFlowConfig::new(16).init(&Device::flex());
    model(criterion, "naf", [1024, 16], moved(naf, 1));
    let unaf = UnconstrainedAutoregressiveFlowConfig::new(16).init(&Device::flex());
    model(criterion, "unaf", [1024, 16], moved(unaf, 1));
    let bpf = BernsteinFlowConfig::new(16).init(&Device::flex());
    model(criterion, "bpf", [1024, 16], moved(bpf, 1));
    let sospf = SumOfSquaresFlowConfig::new(16).init(&Device::flex());
    model(criterion, "sospf", [1024, 16], moved(sospf, 1));
    model(
        criterion,
        "gf",
        [1024, 16],
        moved(GaussianizationFlowConfig::new(16).init(&Device::flex()), 1),
    );
    let angles = CircularNsfConfig::new(16).init(&Device::flex());
    model(criterion, "nsf_circular", [1024, 16], moved(angles, 1));
}

criterion_group!(benches, models, autoregressive);
criterion_main!(benches);
