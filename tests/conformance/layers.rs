//! The layers of rows that take more than a line.

use std::f64::consts::PI;

use burn::nn::activation::ActivationConfig as BurnActivation;
use burn::tensor::Tensor;
use burn_flows::Noise;
use burn_flows::bijector::*;
use burn_flows::conditioner::{
    ActivationConfig, ConvNet, ConvNetConfig, Dependencies, MadeConfig, Mlp, MlpConfig,
    Normalization, Periodic, ResidualConvNet, ResidualConvNetConfig,
};
use burn_flows::model::{
    AutoregressiveNsfConfig, AutoregressiveNsfStep, BpfConfig, BpfStep, ChannelMixing,
    CircularNsfConfig, CircularNsfStep, GfConfig, GfStep, Glow, GlowConfig, GlowStep, IafConfig,
    IafStep, MafConfig, MafStep, NafConfig, NafStep, Orders, RealNvpImage, RealNvpImageConfig,
    RealNvpImageStep, SospfConfig, SospfStep, StepNorm, UnafConfig, UnafStep,
};
use burn_flows::testing::Suite;
use burn_flows::univariate::{
    Affine, AnyUnivariate, AnyUnivariateConfig, CubicSpline, CubicSplineConfig,
    GaussianizationConfig, KnotMap, LinearSpline, LinearSplineConfig, Neural, NeuralConfig,
    PerElement, QuadraticSpline, QuadraticSplineConfig, RationalQuadratic, RationalQuadraticConfig,
    ScaleMap, SplineDomain, UnconstrainedMonotonic, UnconstrainedMonotonicConfig, Univariate,
};

use crate::DEVICE;

pub fn tensor<const N: usize>(values: [f64; N]) -> Tensor<1> {
    Tensor::from_data(values, &*DEVICE)
}

pub fn mlp() -> MlpConfig {
    MlpConfig::new(vec![8, 6]).with_activation(ActivationConfig::Silu)
}

pub fn residual() -> MlpConfig {
    MlpConfig::new(vec![6, 6, 6]).with_residual(true)
}

pub fn coupling(features: usize, mask: Mask) -> CouplingConfig {
    CouplingConfig::new(features).with_mask(mask).with_mlp(mlp())
}

pub fn glow_net(normalization: Normalization, context: usize) -> Coupling<Affine, ConvNet> {
    let config = ConvNetConfig::new(5)
        .with_normalization(normalization)
        .with_activation(ActivationConfig::Silu);
    let network = |from, to| config.init(from, to, context, &DEVICE);
    Coupling::new(&Mask::Halves, &[4, 2, 2], Affine::default(), network, &DEVICE).unwrap()
}

pub fn residual_image(
    normalization: Normalization,
    mask: Mask,
    context: usize,
) -> Coupling<Affine, ResidualConvNet> {
    let config = ResidualConvNetConfig::new(4)
        .with_normalization(normalization)
        .with_activation(ActivationConfig::Silu);
    let network = |from, to| config.init(from, to, context, &DEVICE);
    Coupling::new(&mask, &[2, 2, 2], Affine::default(), network, &DEVICE).unwrap()
}

/// A level of Glow, back in the shape of its image.
pub fn glow_level(
    mixing: ChannelMixing,
    context: usize,
) -> ((Squeeze, Vec<GlowStep>), Inverse<Squeeze>) {
    let network = ConvNetConfig::new(4).with_activation(ActivationConfig::Silu);
    let config = GlowConfig::new([1, 2, 2], 1)
        .with_steps(2)
        .with_network(network)
        .with_mixing(mixing)
        .with_context(context);
    let glow: Glow = config.init(&DEVICE);
    (glow.levels()[0].clone(), Inverse::new(Squeeze::default()))
}

/// A level of Real NVP for images, back in the shape of its image.
pub fn real_nvp_level()
-> ((Vec<RealNvpImageStep>, Squeeze, Vec<RealNvpImageStep>), Inverse<Squeeze>) {
    let network =
        ResidualConvNetConfig::new(3).with_blocks(1).with_activation(ActivationConfig::Silu);
    let flow: RealNvpImage =
        RealNvpImageConfig::new([1, 2, 4], 1).with_network(network).init(&DEVICE);
    (flow.levels()[0].clone(), Inverse::new(Squeeze::default()))
}

/// Three layers of MAF.
pub fn maf_steps(norm: StepNorm, orders: Orders, linear: bool, context: usize) -> Vec<MafStep> {
    let config = MafConfig::new(4).with_layers(3).with_made(made()).with_orders(orders);
    let config = config.with_norm(norm).with_linear(linear).with_context(context);
    config.init(&DEVICE).into_parts().0
}

/// Two layers of IAF.
pub fn iaf_steps(orders: Orders, linear: bool, context: usize) -> Inverse<Vec<IafStep>> {
    let config = IafConfig::new(3).with_layers(2).with_made(made()).with_orders(orders);
    config.with_linear(linear).with_context(context).init(&DEVICE).into_parts().0
}

/// Two layers, behind whatever stands in front.
pub fn masked_nsf(
    config: AutoregressiveNsfConfig,
) -> (Option<Elementwise<RationalQuadratic>>, Vec<AutoregressiveNsfStep>) {
    let config = config.with_layers(2).with_made(made());
    config.init(&DEVICE).into_parts().0
}

pub fn naf_steps(shared: bool, context: usize) -> Vec<NafStep> {
    let network = NeuralConfig::new().with_signal(3).with_hidden(vec![6, 5]);
    let config = NafConfig::new(4).with_layers(2).with_made(made()).with_network(network);
    config.with_shared(shared).with_context(context).init(&DEVICE).into_parts().0
}

pub fn unaf_steps(shared: bool, context: usize) -> Vec<UnafStep> {
    let network = UnconstrainedMonotonicConfig::new().with_signal(3).with_hidden(vec![6, 5]);
    let config = UnafConfig::new(4).with_layers(2).with_made(made()).with_network(network);
    config.with_shared(shared).with_context(context).init(&DEVICE).into_parts().0
}

pub fn bpf_steps(context: usize) -> Vec<BpfStep> {
    let config = BpfConfig::new(4).with_layers(2).with_made(made()).with_linear(true);
    config.with_context(context).init(&DEVICE).into_parts().0
}

pub fn sospf_steps(context: usize) -> Vec<SospfStep> {
    let config = SospfConfig::new(4).with_layers(2).with_made(made()).with_linear(true);
    config.with_context(context).init(&DEVICE).into_parts().0
}

pub fn gf_steps(context: usize) -> Vec<GfStep> {
    let kernels = GaussianizationConfig::new().with_components(3);
    let config = GfConfig::new(4).with_layers(2).with_kernels(kernels).with_mlp(mlp());
    config.with_context(context).init(&DEVICE).into_parts().0
}

pub fn angles(config: CircularNsfConfig) -> Vec<CircularNsfStep> {
    config.with_layers(2).with_made(made()).init(&DEVICE).into_parts().0
}

pub fn affine(config: CouplingConfig) -> Coupling<Affine, Mlp> {
    config.init(Affine::default(), &DEVICE)
}

pub fn scaled(scale_map: ScaleMap) -> Coupling<Affine, Mlp> {
    coupling(4, Mask::Alternating).init(Affine::new(scale_map), &DEVICE)
}

pub fn activated(activation: BurnActivation) -> Coupling<Affine, Mlp> {
    let mlp = MlpConfig::new(vec![8]).with_activation(ActivationConfig::Burn(activation));
    affine(CouplingConfig::new(4).with_mlp(mlp))
}

pub fn image<U: Univariate>(
    univariate: U,
    mask: Mask,
    event: [usize; 3],
    context: usize,
) -> Coupling<U, ConvNet> {
    let network = |from, to| ConvNetConfig::new(5).init(from, to, context, &DEVICE);
    Coupling::new(&mask, &event, univariate, network, &DEVICE).unwrap()
}

pub fn actnorm(features: usize) -> ActNorm {
    ActNormConfig::new(features).init(&DEVICE)
}

pub fn lu(features: usize) -> LuLinear {
    LuLinearConfig::new(features).init(&DEVICE)
}

/// A linear map whose diagonal has both signs.
pub fn signed_lu() -> LuLinear {
    let factors = Tensor::<2>::from_data([[9., 1., -2.], [0.5, 9., 1.], [-1., 0.3, 9.]], &*DEVICE);
    let sign = tensor([1.0, -1.0, -1.0]);
    let matrix = LuFactors::from_weights(factors, tensor([0.1, -0.4, 0.7]), Some(sign));
    LinearMap::new(matrix).with_bias(tensor([1.0, 0.0, -1.0]))
}

pub fn mixing(channels: usize, parameterisation: Conv1x1Matrix) -> InvertibleConv1x1 {
    let config = InvertibleConv1x1Config::new(channels).with_parameterisation(parameterisation);
    config.with_seed(5).init(&DEVICE)
}

/// A 1x1 convolution by LU factors with its permutation behind them, and a bias.
pub fn permuted_last() -> InvertibleConv1x1 {
    let order = Permutation::given(&[1, 2, 0], &DEVICE).unwrap();
    let matrix = LuFactors::identity(3, &DEVICE).permuted_last(order);
    LinearMap::new(ChannelMatrix::Lu(matrix)).with_bias(Tensor::ones([3], &*DEVICE))
}

pub fn batch_norm(features: usize) -> BatchNorm {
    let mut noise = Noise::seeded(3);
    let mut vector = |from: f64| noise.uniform::<1>([features], &DEVICE) + from;
    BatchNormConfig::new(features).with_weights(vector(0.0), vector(0.0), vector(-1.0), vector(0.5))
}

pub fn standardize<const D: usize>(shape: [usize; D]) -> Standardize<D> {
    Standardize::from_data(Noise::seeded(2).normal(shape, &DEVICE) * 3.0 + 1.0).unwrap()
}

pub fn any(text: &str) -> AnyBijector {
    serde_json::from_str::<AnyBijectorConfig>(text).unwrap().init(&DEVICE).unwrap()
}

pub fn any_coupling(context: usize) -> AnyBijector {
    let univariate = AnyUnivariateConfig::Affine(ScaleMap::default());
    let coupling = coupling(3, Mask::Halves).with_context(context);
    AnyBijectorConfig::Coupling { univariate, coupling }.init(&DEVICE).unwrap()
}

pub fn made() -> MadeConfig {
    MadeConfig::new(vec![9, 8]).with_activation(ActivationConfig::Silu)
}

pub fn made_residual() -> MadeConfig {
    MadeConfig::new(vec![7, 7, 7])
        .with_residual(true)
        .with_activation(ActivationConfig::Burn(BurnActivation::Tanh))
}

/// A feature with two causes, one of which has a cause of its own, and one on its own.
pub fn graph() -> Dependencies {
    Dependencies::Parents(vec![vec![3, 2], vec![], vec![4], vec![], vec![]])
}

pub fn autoregressive(
    features: usize,
    made: MadeConfig,
    context: usize,
) -> MaskedAutoregressive<Affine> {
    let config = MaskedAutoregressiveConfig::new(features).with_made(made).with_context(context);
    config.init(Affine::default(), &DEVICE)
}

/// A masked layer of four features of any scalar map.
pub fn masked<U: Univariate>(map: U, context: usize) -> MaskedAutoregressive<U> {
    let config = MaskedAutoregressiveConfig::new(4).with_made(made()).with_context(context);
    config.init(map, &DEVICE)
}

/// Four elements with parameters of their own.
pub fn free<U: Univariate>(map: U) -> Elementwise<U> {
    Elementwise::new(map, 4, &DEVICE)
}

/// Networks for so many elements; for all with 0.
pub fn neural(elements: usize) -> Neural {
    let config = NeuralConfig::new().with_signal(3).with_hidden(vec![6, 5]);
    config.with_elements(elements).init(&DEVICE)
}

pub fn unconstrained(elements: usize) -> UnconstrainedMonotonic {
    let config = UnconstrainedMonotonicConfig::new().with_signal(3).with_hidden(vec![6, 5]);
    config.with_elements(elements).init(&DEVICE)
}

pub fn any_neural() -> AnyUnivariate {
    AnyUnivariate::Neural(neural(4))
}

pub fn any_autoregressive() -> AnyBijector {
    let univariate = AnyUnivariateConfig::Affine(ScaleMap::default());
    let autoregressive = MaskedAutoregressiveConfig::new(3).with_made(made());
    AnyBijectorConfig::MaskedAutoregressive { univariate, autoregressive }.init(&DEVICE).unwrap()
}

/// A fixed point to the last digits.
pub const TIGHT: FixedPoint = FixedPoint { tolerance: 0.0, limit: 2000 };

pub const SERIES: LogDet = LogDet::Series { terms: 3, roulette: Some(0.5), probes: 2 };

/// A residual block of a bound that the moved weights reach.
pub fn residual_block(features: usize, context: usize) -> Residual {
    let config = ResidualConfig::new(features).with_hidden(vec![6, 5]).with_lipschitz(0.8);
    config.with_context(context).with_fixed_point(TIGHT).init(&DEVICE)
}

pub fn block(features: usize, depth: usize, context: usize) -> BlockNeuralAutoregressive {
    let config = BlockNeuralAutoregressiveConfig::new(features).with_block(3).with_depth(depth);
    config.with_context(context).init(&DEVICE)
}

/// Steps of which a determinant is right to 1e-10.
pub const EXACT: Solver = Solver::DormandPrince { atol: 1e-11, rtol: 1e-11, limit: 9999 };

pub const PROBES: Divergence = Divergence::Hutchinson { probes: 2 };

/// A small continuous layer: slow in time, so that it takes few steps.
pub fn continuous(features: usize, activation: SmoothActivation) -> CnfConfig {
    let config = CnfConfig::new(features).with_hidden(vec![4]).with_frequencies(1);
    config.with_activation(activation).with_solver(EXACT)
}

/// A layer of every kind of residual map, through the enum.
pub fn every_residual() -> AnyBijector {
    let configs = vec![
        AnyBijectorConfig::Planar(PlanarConfig::new(3)),
        AnyBijectorConfig::Radial(RadialConfig::new(3)),
        AnyBijectorConfig::Residual(
            ResidualConfig::new(3).with_hidden(vec![4]).with_fixed_point(TIGHT),
        ),
        AnyBijectorConfig::BlockNeuralAutoregressive(BlockNeuralAutoregressiveConfig::new(3)),
        AnyBijectorConfig::Sylvester(SylvesterConfig::new(3, 2)),
    ];
    AnyBijectorConfig::Stack(configs).init(&DEVICE).unwrap()
}

/// Data and latents of a size at which a few autoregressive steps do not overflow.
pub fn near<const D: usize>(shape: [usize; D]) -> Suite<D> {
    Suite::new(shape).with_domain(-4.0, 4.0).with_range(-4.0, 4.0)
}

pub const TAILS: SplineDomain = SplineDomain::LinearTails { bound: 3.0 };
pub const UNIT: SplineDomain = SplineDomain::Interval { low: 0.0, high: 1.0 };
pub const CIRCLE: SplineDomain = SplineDomain::Circular { bound: PI };
pub const ANGLE: SplineDomain = SplineDomain::LinearTails { bound: PI };
pub const ZUKO: KnotMap = KnotMap::SoftBound { bound: 6.9 };

pub fn rqs(bins: usize, domain: SplineDomain) -> RationalQuadraticConfig {
    RationalQuadraticConfig::new().with_bins(bins).with_domain(domain)
}

pub fn linear(bins: usize, domain: SplineDomain) -> LinearSpline {
    LinearSplineConfig::new().with_bins(bins).with_domain(domain).init()
}

pub fn quadratic(bins: usize, domain: SplineDomain) -> QuadraticSpline {
    QuadraticSplineConfig::new().with_bins(bins).with_domain(domain).init()
}

pub fn cubic(bins: usize, domain: SplineDomain) -> CubicSpline {
    CubicSplineConfig::new().with_bins(bins).with_domain(domain).init()
}

pub fn spline<U: Univariate>(map: U) -> Coupling<U, Mlp> {
    coupling(4, Mask::Alternating).init(map, &DEVICE)
}

pub fn masked_spline<U: Univariate>(
    features: usize,
    context: usize,
    map: U,
) -> MaskedAutoregressive<U> {
    let config = MaskedAutoregressiveConfig::new(features).with_made(made()).with_context(context);
    config.init(map, &DEVICE)
}

/// On the whole line, with values at the ends of an interval and just outside.
pub fn at_ends(bound: f64) -> Suite<2> {
    let edges = [bound, -bound, 1.0001 * bound, -1.0001 * bound, 1e30, -1e30];
    Suite::new([3, 4]).with_edges(&edges).with_range_edges(&edges)
}

/// On the whole line, with values where a map becomes straight, and far beyond.
pub fn straight_ends(bound: f64) -> Suite<2> {
    let edges = [bound, -bound, 1.0001 * bound, -1.0001 * bound, 1e10, -1e10];
    Suite::new([3, 4]).with_edges(&edges).with_range_edges(&edges)
}

/// For mixtures whose network sees data: far out it parts their kernels until nothing lies between
/// them, and what falls there has no way back.
pub fn kernels() -> Suite<2> {
    let edges = [1e6, -1e6, 1e10, -1e10];
    near([3, 4]).with_edges(&edges).with_range_edges(&edges)
}

/// A spline of its own for each of four features: an angle, two of one kind on the line, an interval.
pub fn mixed() -> PerElement<RationalQuadratic> {
    let domains = [CIRCLE, TAILS, SplineDomain::Interval { low: -3.0, high: 3.0 }];
    PerElement::new(domains.map(|domain| rqs(3, domain).init()).to_vec(), vec![0, 1, 2, 1])
}

/// Splines of different bounds, which need as many parameters.
pub fn bounds() -> PerElement<RationalQuadratic> {
    let map = |bound| rqs(3, SplineDomain::LinearTails { bound }).init();
    PerElement::new(vec![map(3.0), map(1.0)], vec![0, 1, 1, 0])
}

/// A coupling whose network sees an angle.
pub fn with_angle(context: usize) -> Coupling<RationalQuadratic, Mlp> {
    let angle = Periodic { inputs: vec![1], period: 2.0 * PI };
    let config = coupling(4, Mask::Alternating).with_mlp(mlp().with_periodic(Some(angle)));
    config.with_context(context).init(rqs(3, TAILS).init(), &DEVICE)
}

/// Masked layers whose network sees angles.
pub fn with_angles<U: Univariate>(made: MadeConfig, map: U) -> MaskedAutoregressive<U> {
    let angles = Periodic { inputs: vec![3, 0], period: 2.0 * PI };
    let made = made.with_periodic(Some(angles)).with_dependencies(Dependencies::Reversed);
    MaskedAutoregressiveConfig::new(4).with_made(made).init(map, &DEVICE)
}

/// Angles.
pub fn on_circle() -> Suite<2> {
    Suite::new([3, 4])
        .with_domain(-PI, PI)
        .with_range(-PI, PI)
        .with_edges(&[PI, -PI, 0.0, 40.0, 1e30])
}

/// On an interval, with its ends and values outside.
pub fn inside(low: f64, high: f64) -> Suite<2> {
    let edges = [low, high, low - 1e-6, high + 1e-6];
    let suite = Suite::new([3, 4]).with_domain(low, high).with_range(low, high);
    suite.with_edges(&edges).with_range_edges(&edges)
}
