//! Single layers on one batch: `<layer>/<operation>/<features>x<batch>`.

use std::hint::black_box;

use burn_flows::Noise;
use burn_flows::bijector::{
    ActNormConfig, BatchNormConfig, Bijector, CouplingConfig, Elementwise, LuLinearConfig, Mask,
    Permutation,
};
use burn_flows::burn::tensor::Device;
use burn_flows::univariate::{Additive, Affine, RationalQuadraticConfig};
use criterion::{Criterion, criterion_group, criterion_main};

const BATCH: usize = 1024;
const FEATURES: usize = 64;

fn layer<B: Bijector<2>>(criterion: &mut Criterion, name: &str, layer: &B) {
    let x = Noise::seeded(1).normal::<2>([BATCH, FEATURES], &Device::flex());
    let id = |operation| format!("{name}/{operation}/{FEATURES}x{BATCH}");
    criterion.bench_function(&id("forward"), |b| {
        b.iter(|| black_box(layer.forward(x.clone(), None)));
    });
    criterion.bench_function(&id("inverse"), |b| {
        b.iter(|| black_box(layer.inverse(x.clone(), None)));
    });
}

fn layers(criterion: &mut Criterion) {
    let device = Device::flex();
    let coupling = |mask| CouplingConfig::new(FEATURES).with_mask(mask);
    for (name, mask) in [
        ("coupling_halves", Mask::Halves),
        ("coupling_alternating", Mask::Alternating),
        ("coupling_random", Mask::Random(1)),
    ] {
        layer(criterion, name, &coupling(mask).init(Affine::default(), &device));
    }
    let additive = coupling(Mask::Halves).init(Additive::default(), &device);
    layer(criterion, "coupling_additive", &additive);
    let spline = RationalQuadraticConfig::new().init();
    layer(criterion, "coupling_spline", &coupling(Mask::Halves).init(spline, &device));
    layer(criterion, "actnorm", &ActNormConfig::new(FEATURES).init(&device));
    layer(criterion, "batch_norm", &BatchNormConfig::new(FEATURES).init(&device));
    layer(criterion, "lu_linear", &LuLinearConfig::new(FEATURES).init(&device));
    layer(criterion, "permutation", &Permutation::random(FEATURES, 1, &device));
    layer(criterion, "elementwise", &Elementwise::new(Affine::default(), FEATURES, &device));
}

criterion_group!(benches, layers);
criterion_main!(benches);
