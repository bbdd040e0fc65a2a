//! Every configuration with extreme values in its fields. `validate` never panics. If it succeeds,
//! the model can be built and gives finite densities.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::nn::activation::{
    ActivationConfig as BurnActivation, CeluConfig, EluConfig, HardShrinkConfig, HardSigmoidConfig,
    LeakyReluConfig, PReluConfig, ShrinkConfig, SoftShrinkConfig, SoftplusConfig, SwiGluConfig,
    ThresholdedReluConfig,
};
use burn::tensor::{Device, Tensor};
use burn_flows::bijector::*;
use burn_flows::conditioner::*;
use burn_flows::distribution::*;
use burn_flows::encoder::*;
use burn_flows::model::*;
use burn_flows::testing::moved;
use burn_flows::train::FitConfig;
use burn_flows::univariate::*;
use burn_flows::{Noise, burn};

use crate::hostile::judge;
use crate::sources;

fn device() -> Device {
    Device::flex()
}

fn rows<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Noise::seeded(5).normal(shape, &device())
}

fn context(rows: usize, width: usize) -> Option<Tensor<2>> {
    (width > 0).then(|| self::rows([rows, width]))
}

fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// The outputs of a layer at moved weights.
fn layer<const D: usize>(layer: impl Bijector<D>, shape: [usize; D], width: usize) -> Vec<f64> {
    let layer = moved(layer, 1).valid();
    let (z, log_det) = layer.forward(rows(shape), context(shape[0], width).as_ref());
    [host(z), host(log_det)].concat()
}

/// The outputs of a layer with this solver. A NaN stands for a row that did not converge. It is
/// allowed for tolerances and limits other than the default.
fn solved(solver: Solver, numbers: Vec<f64>) -> Vec<f64> {
    let adaptive = matches!(solver, Solver::DormandPrince { .. });
    if !adaptive || solver == CnfConfig::new(2).solver {
        return numbers;
    }
    numbers.into_iter().filter(|number| !number.is_nan()).collect()
}

/// The features of an encoder at moved weights.
fn encoder(encoder: impl Encoder, width: usize) -> Vec<f64> {
    let contexts = rows([4, width]);
    host(moved(encoder.init_from_data(contexts.clone()), 1).valid().encode(contexts))
}

/// The log-densities of a distribution at moved weights.
fn density<const D: usize>(
    density: impl Distribution<D>,
    shape: [usize; D],
    width: usize,
) -> Vec<f64> {
    let density = moved(density, 1).valid();
    host(density.log_prob(rows(shape), context(shape[0], width).as_ref()))
}

/// Data on the circle of a flow of angles. Outside of the circle the density is zero.
fn on_circle(config: &CircularNsfConfig) -> Vec<f64> {
    let SplineDomain::Circular { bound } = config.spline.domain else { unreachable!("validated") };
    let shape = [4, config.features];
    let x = rows(shape).tanh() * (0.9 * bound);
    let flow = moved(config.init(&device()), 1);
    host(flow.given(context(4, config.context).as_ref()).log_prob_batched(x, 4))
}

/// Replaces minus infinity by a finite number. It is correct where a high power overflows, because
/// such a density is zero in any precision.
fn zeros(numbers: Vec<f64>) -> Vec<f64> {
    numbers.into_iter().map(|v| if v == f64::NEG_INFINITY { f64::MIN } else { v }).collect()
}

/// Returns no numbers if the panic says that the composed layers do not fit.
fn fitting(numbers: impl FnOnce() -> Vec<f64>) -> Vec<f64> {
    catch_unwind(AssertUnwindSafe(numbers)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().expect("a formatted text");
        assert!(text.contains(": expected "), "{text}");
        vec![]
    })
}

/// The outputs of a scalar map for three elements with separate parameters.
fn map(map: impl Univariate) -> Vec<f64> {
    layer(Elementwise::new(map, 3, &device()).unwrap(), [4, 3], 0)
}

/// The outputs of a network at moved weights.
fn network<const D: usize>(
    network: impl Conditioner<D>,
    shape: [usize; D],
    width: usize,
) -> Vec<f64> {
    let network = moved(network, 1).valid();
    host(network.forward(rows(shape), context(shape[0], width).as_ref()))
}

#[test]
fn training() {
    judge(&FitConfig::new(), FitConfig::validate, |_| vec![]);
}

fn mlp() -> MlpConfig {
    MlpConfig::new(vec![5, 4])
}

fn activated(activation: BurnActivation) -> MlpConfig {
    MlpConfig::new(vec![4, 4]).with_activation(ActivationConfig::Burn(activation))
}

fn residual() -> MlpConfig {
    MlpConfig::new(vec![5, 5]).with_residual(true).with_dropout(0.2)
}

fn made() -> MadeConfig {
    MadeConfig::new(vec![5, 4])
}

fn angles() -> Option<Periodic> {
    Some(Periodic { inputs: vec![0], period: 3.0 })
}

/// Layers without their own configuration, with parts that have one.
const STACK: &str = r#"{"Stack": [
    {"LeakyRelu": {"slope": 0.5}},
    {"Standardize": {"features": 3}},
    {"Softclip": {"bound": 9.0}},
    {"Inverse": [{"LeakyTanh": {"turn": 2.0}}, "Tanh", {"Logit": {"alpha": 0.05}}]},
    {"Shuffle": {"features": 3, "seed": 1}},
    {"Reverse": {"features": 3}},
    {"Permutation": {"order": [2, 0, 1]}},
    {"Partial": {"features": 3, "mask": {"Kept": [1]}, "inner": [{"ActNorm": {"features": 2}}]}},
    {"Elementwise": {"univariate": "Additive", "features": 3}}
]}"#;

macro_rules! hostile {
    ($($name:ident: [$($base:expr),+], |$config:ident| $validate:expr, $build:expr;)+) => {
        $(#[test]
        fn $name() {
            for base in [$($base),+] {
                let tally = judge(&base, |$config| $validate, |$config| $build);
                assert!(tally.refused > 0 && tally.built > 0, "{tally:?}");
            }
        })+
    };
}

hostile! {
    actnorm: [ActNormConfig::new(3)], |c| c.validate(), layer(c.init(&device()), [4, c.features], 0);
    batch_norm: [BatchNormConfig::new(3)], |c| c.validate(), layer(c.init(&device()), [4, c.features], 0);
    lu: [LuLinearConfig::new(3)], |c| c.validate(), layer(c.init(&device()), [4, c.features], 0);
    dense: [DenseLinearConfig::new(3)], |c| c.validate(), layer(c.init(&device()), [4, c.features], 0);
    triangular: [TriangularLinearConfig::new(3)], |c| c.validate(), layer(c.init(&device()), [4, c.features], 0);
    householder: [HouseholderConfig::new(3, 2)], |c| c.validate(), layer(c.init(&device()), [4, c.features], 0);
    qr: [QrLinearConfig::new(3, 2)], |c| c.validate(), layer(c.init(&device()), [4, c.features], 0);
    svd: [SvdLinearConfig::new(3, 2)], |c| c.validate(), layer(c.init(&device()), [4, c.features], 0);
    rotation: [RotationConfig::new(3)], |c| c.validate(), layer(c.init(&device()), [4, c.features], 0);
    conv1x1: [
        InvertibleConv1x1Config::new(3),
        InvertibleConv1x1Config::new(3).with_parameterisation(Conv1x1Matrix::Householder),
        InvertibleConv1x1Config::new(3).with_parameterisation(Conv1x1Matrix::Plain),
        InvertibleConv1x1Config::new(3).with_parameterisation(Conv1x1Matrix::Qr),
        InvertibleConv1x1Config::new(3).with_parameterisation(Conv1x1Matrix::Svd)
    ], |c| c.validate(), layer(c.init(&device()), [2, c.channels, 2, 2], 0);
    planar: [
        PlanarConfig::new(3).with_context(2).with_mlp(mlp()),
        PlanarConfig::new(3).with_activation(RidgeActivation::LeakyRelu { slope: 0.2 }).with_constraint(PlanarConstraint::LogSoftplus)
    ], |c| c.validate(), layer(c.init(&device()), [4, c.features], c.context);
    radial: [RadialConfig::new(3).with_context(2).with_mlp(mlp()), RadialConfig::new(3)], |c| c.validate(), layer(c.init(&device()), [4, c.features], c.context);
    sylvester: [SylvesterConfig::new(3, 2).with_context(2).with_mlp(mlp()), SylvesterConfig::new(3, 2)], |c| c.validate(), layer(c.init(&device()), [4, c.features], c.context);
    residual_block: [
        ResidualConfig::new(3).with_hidden(vec![4, 5]).with_context(2),
        ResidualConfig::new(3).with_hidden(vec![4]).with_evaluation(LogDet::Series { terms: 3, roulette: Some(0.5), probes: 2 })
    ], |c| c.validate(), layer(c.init(&device()), [4, c.features], c.context);
    block_autoregressive: [BlockNeuralAutoregressiveConfig::new(3).with_block(2).with_context(2)], |c| c.validate(), layer(c.init(&device()), [4, c.features], c.context);
    continuous: [
        CnfConfig::new(2).with_hidden(vec![4]).with_context(2),
        CnfConfig::new(2).with_hidden(vec![4]).with_solver(Solver::Rk4 { steps: 5 }).with_evaluation(Divergence::Hutchinson { probes: 2 })
    ], |c| c.validate(), solved(c.solver, layer(c.init(&device()), [4, c.features], c.context));
    coupling: [
        CouplingConfig::new(4).with_mlp(mlp()).with_context(2),
        CouplingConfig::new(4).with_mlp(residual()).with_mask(Mask::Kept(vec![1, 3])),
        CouplingConfig::new(4).with_mlp(mlp().with_periodic(angles())).with_mask(Mask::Random(3))
    ], |c| c.validate(), layer(c.init(Affine::default(), &device()), [4, c.features], c.context);
    masked_autoregressive: [
        MaskedAutoregressiveConfig::new(4).with_made(made()).with_context(2),
        MaskedAutoregressiveConfig::new(4).with_made(MadeConfig::new(vec![5, 5]).with_residual(true).with_dependencies(Dependencies::Random(1))),
        MaskedAutoregressiveConfig::new(3).with_made(made().with_periodic(angles()).with_dependencies(Dependencies::Order(vec![2, 0, 1]))),
        MaskedAutoregressiveConfig::new(3).with_made(made().with_dependencies(Dependencies::Parents(vec![vec![1, 2], vec![], vec![1]]))),
        MaskedAutoregressiveConfig::new(2).with_made(made().with_dependencies(Dependencies::Adjacency(vec![vec![false, true], vec![false, false]])))
            .with_inverse(InverseMethod::FixedPoint { tolerance: 1e-6 })
    ], |c| c.validate(), layer(c.init(Affine::default(), &device()), [4, c.features], c.context);

    any_bijector: [
        serde_json::from_str::<AnyBijectorConfig>(STACK).unwrap()
    ], |c| c.validate(), fitting(|| layer(c.init(&device()), [4, 3], 0));

    scale_maps: [
        ScaleMap::SoftBound { bound: 2.0 },
        ScaleMap::Sigmoid { offset: 2.0, floor: 1e-3 },
        ScaleMap::InverseSigmoid { offset: 2.0 },
        ScaleMap::Softplus { offset: 0.5, floor: 1e-2 }
    ], |c| c.validate(), map(Affine::new(*c).unwrap());
    rational_quadratic: [
        RationalQuadraticConfig::new(),
        RationalQuadraticConfig::new().with_domain(SplineDomain::Circular { bound: 4.0 }),
        RationalQuadraticConfig::new().with_domain(SplineDomain::Interval { low: -9.0, high: 9.0 }).with_knot_map(KnotMap::SoftBound { bound: 6.9 })
    ], |c| c.validate(), map(c.init());
    linear_spline: [LinearSplineConfig::new()], |c| c.validate(), map(c.init());
    quadratic_spline: [QuadraticSplineConfig::new()], |c| c.validate(), map(c.init());
    cubic_spline: [CubicSplineConfig::new().with_end_offset(Some(-0.1))], |c| c.validate(), map(c.init());
    bernstein: [BernsteinConfig::new()], |c| c.validate(), map(c.init());
    sum_of_squares: [SumOfSquaresConfig::new()], |c| c.validate(), map(c.init());
    gaussianization: [GaussianizationConfig::new()], |c| c.validate(), map(c.init());
    mixture_of_logistics: [MixtureOfLogisticsConfig::new()], |c| c.validate(), map(c.init());
    deep_sigmoidal: [DeepSigmoidalConfig::new()], |c| c.validate(), map(c.init());
    neural: [NeuralConfig::new().with_signal(2).with_hidden(vec![4, 3]).with_elements(3)], |c| c.validate(),
        layer(Elementwise::new(c.init(&device()), c.elements.max(1), &device()).unwrap(), [4, c.elements.max(1)], 0);
    unconstrained: [UnconstrainedMonotonicConfig::new().with_signal(2).with_hidden(vec![4, 3]).with_elements(3)], |c| c.validate(),
        layer(Elementwise::new(c.init(&device()), c.elements.max(1), &device()).unwrap(), [4, c.elements.max(1)], 0);
    any_univariate: [AnyUnivariateConfig::HalfTurn { bound: 4.0, spline: RationalQuadraticConfig::new().with_domain(SplineDomain::Circular { bound: 4.0 }) }], |c| c.validate(), map(c.init());

    conv_net: [ConvNetConfig::new(4).with_dropout(0.2)], |c| c.validate(), network(c.init(2, 3, 0, &device()), [2, 2, 4, 4], 0);
    residual_conv_net: [ResidualConvNetConfig::new(4).with_blocks(1)], |c| c.validate(), network(c.init(2, 3, 0, &device()), [2, 2, 4, 4], 0);
    dense_net: [
        mlp(),
        residual(),
        mlp().with_periodic(angles()),
        activated(BurnActivation::LeakyRelu(LeakyReluConfig::new())),
        activated(BurnActivation::Elu(EluConfig::new())),
        activated(BurnActivation::Celu(CeluConfig::new())),
        activated(BurnActivation::Softplus(SoftplusConfig::new())),
        activated(BurnActivation::HardSigmoid(HardSigmoidConfig::new())),
        activated(BurnActivation::Shrink(ShrinkConfig::new())),
        activated(BurnActivation::HardShrink(HardShrinkConfig::new())),
        activated(BurnActivation::SoftShrink(SoftShrinkConfig::new())),
        activated(BurnActivation::ThresholdedRelu(ThresholdedReluConfig::new())),
        activated(BurnActivation::PRelu(PReluConfig::new().with_num_parameters(4))),
        activated(BurnActivation::SwiGlu(SwiGluConfig::new(4, 4)))
    ], |c| c.validate().and_then(|()| c.periodic.as_ref().map_or(Ok(()), |p| p.validate(3))), network(c.init(3, 2, 0, &device()), [4, 3], 0);
    made_net: [made()], |c| c.try_init(3, 2, 2, &device()).map(drop), network(c.init(3, 2, 2, &device()), [4, 3], 2);

    mlp_encoder: [MlpEncoderConfig::new(3, 2).with_hidden(vec![4]), MlpEncoderConfig::new(3, 2).with_hidden(vec![4, 4]).with_residual(true)], |c| c.validate(), encoder(c.init(&device()), c.context);
    set_encoder: [
        SetEncoderConfig::new(3, 2, 2).with_element_hidden(vec![4]).with_pooled(3).with_set_hidden(vec![4]),
        SetEncoderConfig::new(3, 2, 2).with_mask(true).with_element_hidden(vec![4]).with_pooled(3).with_set_hidden(vec![4])
    ], |c| c.validate(), encoder(c.init(&device()), c.elements * (c.width + usize::from(c.mask)));
    series_encoder: [SeriesEncoderConfig::new(2, 7, 2).with_convolutions(vec![3, 3]).with_kernel(3).with_hidden(vec![4])], |c| c.validate(), encoder(c.init(&device()), c.channels * c.steps);
    image_encoder: [ImageEncoderConfig::new([2, 4, 3], 2).with_convolutions(vec![3, 3]).with_hidden(vec![4])], |c| c.validate(), encoder(c.init(&device()), c.image.iter().product());

    diag_normal: [DiagNormalConfig::new(vec![3])], |c| if c.event.len() == 1 { c.validate() } else { Ok(()) },
        if c.event.len() == 1 { density::<2>(c.init(&device()), [4, c.event[0]], 0) } else { vec![] };
    student_t: [StudentTConfig::new(vec![3], 4.0)], |c| if c.event.len() == 1 { c.validate() } else { Ok(()) },
        if c.event.len() == 1 { density::<2>(c.init(&device()), [4, c.event[0]], 0) } else { vec![] };
    conditional_normal: [ConditionalNormalConfig::new(vec![3], 2, mlp())], |c| if c.event.len() == 1 { c.validate() } else { Ok(()) },
        if c.event.len() == 1 { density::<2>(c.init(&device()), [4, c.event[0]], c.context) } else { vec![] };
    categorical_made: [CategoricalMadeConfig::new(vec![3, 2]).with_made(made()).with_context(2)], |c| c.validate(), {
        let events = Tensor::zeros([4, c.categories.len()], &device());
        host(moved(c.init(&device()), 1).log_prob(events, context(4, c.context).as_ref()))
    };
    gaussian_mixture: [GaussianMixtureConfig::new(3, 2)], |c| c.validate(), density(c.init(&device()), [4, c.features], 0);
    channel_prior: [ChannelPriorConfig::new(3).with_kept(2).with_context(2)], |c| c.validate(), {
        let kept = (c.kept > 0).then(|| rows([2, c.kept, 2, 2]));
        host(moved(c.init(&device()), 1).log_prob(rows([2, c.channels, 2, 2]), kept.as_ref(), context(2, c.context).as_ref()))
    };

    nice: [NiceConfig::new(3).with_layers(2).with_mlp(mlp()).with_context(2)], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    real_nvp: [RealNvpConfig::new(3).with_layers(2).with_mlp(mlp())], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    nsf: [NsfConfig::new(3).with_layers(2).with_mlp(mlp()).with_elementwise(Some(RationalQuadraticConfig::new()))], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    maf: [MafConfig::new(3).with_layers(2).with_made(made()), MafConfig::new(3).with_layers(2).with_made(made()).with_norm(StepNorm::BatchNorm)], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    maf_mog: [MafMogConfig::new(MafConfig::new(3).with_layers(2).with_made(made()), 2)], |c| c.validate(), density(c.init(&device()), [4, c.maf.features], c.maf.context);
    iaf: [IafConfig::new(3).with_layers(2).with_made(made())], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    autoregressive_nsf: [AutoregressiveNsfConfig::new(3).with_layers(2).with_made(made())], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    circular_nsf: [CircularNsfConfig::new(3).with_layers(2).with_made(made())], |c| c.validate(), on_circle(c);
    naf: [NeuralAutoregressiveFlowConfig::new(3).with_layers(2).with_made(made())], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    unaf: [UnconstrainedAutoregressiveFlowConfig::new(3).with_layers(2).with_made(made())], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    bpf: [BernsteinFlowConfig::new(3).with_layers(2).with_made(made())], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    sospf: [SumOfSquaresFlowConfig::new(3).with_layers(2).with_made(made())], |c| c.validate(), zeros(density(c.init(&device()), [4, c.features], c.context));
    gf: [GaussianizationFlowConfig::new(3).with_layers(2).with_mlp(mlp()).with_context(2)], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    planar_flow: [PlanarFlowConfig::new(3).with_layers(2).with_mlp(mlp())], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    residual_flow: [ResidualFlowConfig::new(3).with_layers(2).with_hidden(vec![4])], |c| c.validate(), density(c.init(&device()), [4, c.features], c.context);
    glow: [GlowConfig::new([1, 4, 4], 1).with_steps(1).with_network(ConvNetConfig::new(4))], |c| c.validate(), density(c.init(&device()), [2, c.image[0], c.image[1], c.image[2]], c.context);
    real_nvp_image: [RealNvpImageConfig::new([1, 4, 4], 1).with_network(ResidualConvNetConfig::new(4).with_blocks(1))], |c| c.validate(), density(c.init(&device()), [2, c.image[0], c.image[1], c.image[2]], c.context);

}

/// Every public configuration must have a row in this file.
#[test]
fn every_public_configuration_is_here() {
    let here: HashSet<&str> = words(include_str!("configs.rs")).collect();
    let mut known = 0;
    for (path, text) in sources("") {
        for line in text.lines().filter(|line| line.starts_with("pub struct ")) {
            let name = words(line).nth(2).expect("a name");
            if name.ends_with("Config") {
                assert!(here.contains(name), "{name} of {} has no row here", path.display());
                known += 1;
            }
        }
    }
    assert!(known > 50, "{known} configurations found");
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
