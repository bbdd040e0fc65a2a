//! Benchmarks of single layers on one batch: `<layer>/<operation>/<event>x<batch>`.

use std::hint::black_box;

use burn_flows::Noise;
use burn_flows::bijector::{
    ActNormConfig, AnyBijectorConfig, BatchNormConfig, Bijector, BlockNeuralAutoregressiveConfig,
    CnfConfig, Conv1x1Matrix, CouplingConfig, DenseLinearConfig, Divergence, Elementwise,
    HaarSqueeze, HouseholderConfig, InverseMethod, InvertibleConv1x1Config, LeakyTanh, LogDet,
    LuLinearConfig, Mask, MaskedAutoregressiveConfig, Partial, Permutation, PlanarConfig,
    QrLinearConfig, RadialConfig, ResidualConfig, RotationConfig, Softclip, Solver, Squeeze,
    SvdLinearConfig, SylvesterConfig, TriangularLinearConfig,
};
use burn_flows::burn::module::Module;
use burn_flows::burn::tensor::Device;
use burn_flows::testing::moved;
use burn_flows::univariate::{
    Additive, Affine, AnyUnivariateConfig, BernsteinConfig, CubicSplineConfig, DeepSigmoidalConfig,
    GaussianizationConfig, HalfTurn, LinearSplineConfig, MixtureOfLogisticsConfig, NeuralConfig,
    PerElement, QuadraticSplineConfig, RationalQuadraticConfig, SplineDomain, SumOfSquaresConfig,
    UnconstrainedMonotonicConfig,
};
use criterion::{Criterion, criterion_group, criterion_main};

const BATCH: usize = 1024;
const FEATURES: usize = 64;

/// A log-determinant that takes fewer than `FEATURES` passes.
const SERIES: LogDet = LogDet::Series { terms: 8, roulette: None, probes: 1 };

/// A batch of images with `FEATURES` numbers each.
const IMAGE: [usize; 4] = [BATCH, 4, 4, 4];

fn layer<B: Bijector<2>>(criterion: &mut Criterion, name: &str, layer: &B) {
    on(criterion, name, layer, [BATCH, FEATURES]);
}

fn on<const D: usize, B: Bijector<D>>(
    criterion: &mut Criterion,
    name: &str,
    layer: &B,
    shape: [usize; D],
) {
    let x = Noise::seeded(1).normal::<D>(shape, &Device::flex());
    let (z, _) = layer.forward(x.clone(), None);
    let id = |operation| format!("{name}/{operation}/{FEATURES}x{BATCH}");
    criterion.bench_function(&id("forward"), |b| {
        b.iter(|| black_box(layer.forward(x.clone(), None)));
    });
    criterion.bench_function(&id("inverse"), |b| {
        b.iter(|| black_box(layer.inverse(z.clone(), None)));
    });
}

fn convolution(criterion: &mut Criterion, name: &str, parameterisation: Conv1x1Matrix) {
    let [batch, channels, side] = [32, 12, 8];
    let x = Noise::seeded(1).normal::<4>([batch, channels, side, side], &Device::flex());
    let config = InvertibleConv1x1Config::new(channels).with_parameterisation(parameterisation);
    let layer = config.init(&Device::flex());
    let id = |operation| format!("conv1x1_{name}/{operation}/{channels}x{side}x{side}x{batch}");
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
    let moved =
        moved(MaskedAutoregressiveConfig::new(FEATURES).init(Affine::default(), &device), 1);
    for (name, method) in [
        ("autoregressive_incremental", InverseMethod::Incremental),
        ("autoregressive_fixed_point", InverseMethod::FixedPoint { tolerance: 1e-5 }),
    ] {
        layer(criterion, name, &moved.valid().with_inverse(method).unwrap());
    }
    let spline = RationalQuadraticConfig::new().init();
    layer(criterion, "coupling_spline", &coupling(Mask::Halves).init(spline, &device));
    for (name, map) in [
        ("bernstein", AnyUnivariateConfig::Bernstein(BernsteinConfig::new())),
        ("sum_of_squares", AnyUnivariateConfig::SumOfSquares(SumOfSquaresConfig::new())),
        ("gaussianization", AnyUnivariateConfig::Gaussianization(GaussianizationConfig::new())),
        (
            "mixture_of_logistics",
            AnyUnivariateConfig::MixtureOfLogistics(MixtureOfLogisticsConfig::new()),
        ),
        ("deep_sigmoidal", AnyUnivariateConfig::DeepSigmoidal(DeepSigmoidalConfig::new())),
    ] {
        let coupling = coupling(Mask::Halves).init(map.init(), &device);
        layer(criterion, &format!("coupling_{name}"), &coupling);
    }
    let neural = NeuralConfig::new().init(&device);
    layer(criterion, "coupling_neural", &coupling(Mask::Halves).init(neural, &device));
    let unconstrained = UnconstrainedMonotonicConfig::new().init(&device);
    layer(
        criterion,
        "coupling_unconstrained",
        &coupling(Mask::Halves).init(unconstrained, &device),
    );
    let spline = || RationalQuadraticConfig::new();
    let angle = spline().with_domain(SplineDomain::Circular { bound: std::f64::consts::PI });
    let which = (0..FEATURES).map(|i| i % 2).collect();
    let mixed = PerElement::new(vec![spline().init(), angle.init()], which).unwrap();
    layer(
        criterion,
        "elementwise_per_element",
        &Elementwise::new(mixed, FEATURES, &device).unwrap(),
    );
    let bound = std::f64::consts::PI;
    let domain = SplineDomain::LinearTails { bound };
    let turned =
        HalfTurn::new(RationalQuadraticConfig::new().with_domain(domain).init(), bound).unwrap();
    layer(criterion, "coupling_half_turn", &coupling(Mask::Halves).init(turned, &device));
    for (name, spline) in [
        ("coupling_linear_spline", AnyUnivariateConfig::LinearSpline(LinearSplineConfig::new())),
        (
            "coupling_quadratic_spline",
            AnyUnivariateConfig::QuadraticSpline(QuadraticSplineConfig::new()),
        ),
        ("coupling_cubic_spline", AnyUnivariateConfig::CubicSpline(CubicSplineConfig::new())),
    ] {
        layer(criterion, name, &coupling(Mask::Halves).init(spline.init(), &device));
    }
    let masked = MaskedAutoregressiveConfig::new(FEATURES);
    let masked = masked.init(RationalQuadraticConfig::new().init(), &device);
    layer(criterion, "autoregressive_spline", &masked);
    let norm = ActNormConfig::new(FEATURES / 2).init(&device);
    let partial = Partial::new(&Mask::Alternating, &[FEATURES], norm, &device);
    layer(criterion, "partial", &partial.expect("a mask that fits"));
    let residual = ResidualConfig::new(FEATURES).with_training(SERIES).with_evaluation(SERIES);
    for (name, config) in [
        ("planar", AnyBijectorConfig::Planar(PlanarConfig::new(FEATURES))),
        ("radial", AnyBijectorConfig::Radial(RadialConfig::new(FEATURES))),
        ("sylvester", AnyBijectorConfig::Sylvester(SylvesterConfig::new(FEATURES, 16))),
        ("residual", AnyBijectorConfig::Residual(residual)),
        (
            "block_autoregressive",
            AnyBijectorConfig::BlockNeuralAutoregressive(BlockNeuralAutoregressiveConfig::new(
                FEATURES,
            )),
        ),
        (
            "cnf",
            AnyBijectorConfig::Cnf(
                CnfConfig::new(FEATURES)
                    .with_evaluation(Divergence::Hutchinson { probes: 1 })
                    .with_solver(Solver::Rk4 { steps: 8 }),
            ),
        ),
    ] {
        layer(criterion, name, &config.init(&device));
    }
    layer(criterion, "actnorm", &ActNormConfig::new(FEATURES).init(&device));
    layer(criterion, "batch_norm", &BatchNormConfig::new(FEATURES).init(&device));
    layer(criterion, "lu_linear", &LuLinearConfig::new(FEATURES).init(&device));
    let triangular = TriangularLinearConfig::new(FEATURES).init(&device);
    layer(criterion, "triangular_linear", &triangular);
    layer(criterion, "softclip", &Softclip::new(11.0).expect("a bound in range"));
    layer(criterion, "rotation", &RotationConfig::new(FEATURES).init(&device));
    layer(criterion, "leaky_tanh", &LeakyTanh::new(3.0).expect("a turn in range"));
    layer(criterion, "dense_linear", &DenseLinearConfig::new(FEATURES).init(&device));
    layer(criterion, "householder", &HouseholderConfig::new(FEATURES, 8).init(&device));
    layer(criterion, "qr_linear", &QrLinearConfig::new(FEATURES, 8).init(&device));
    layer(criterion, "svd_linear", &SvdLinearConfig::new(FEATURES, 8).init(&device));
    layer(criterion, "permutation", &Permutation::random(FEATURES, 1, &device).unwrap());
    on(criterion, "squeeze", &Squeeze::default(), IMAGE);
    on(criterion, "haar_squeeze", &HaarSqueeze::default(), IMAGE);
    layer(
        criterion,
        "elementwise",
        &Elementwise::new(Affine::default(), FEATURES, &device).unwrap(),
    );
    for (name, parameterisation) in [
        ("plain", Conv1x1Matrix::Plain),
        ("lu", Conv1x1Matrix::Lu),
        ("householder", Conv1x1Matrix::Householder),
        ("qr", Conv1x1Matrix::Qr),
        ("svd", Conv1x1Matrix::Svd),
    ] {
        convolution(criterion, name, parameterisation);
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
