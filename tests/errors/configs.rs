//! Errors of invalid configurations, weights and files.

use burn::nn::activation::ActivationConfig as BurnActivation;
use burn::nn::{PReluConfig, SwiGluConfig};
use burn::tensor::Tensor;
use burn_flows::Result;
use burn_flows::bijector::*;
use burn_flows::conditioner::{
    ActivationConfig, ConvNet, ConvNetConfig, Dependencies, MadeConfig, MlpConfig, Periodic,
    ResidualConvNetConfig,
};
use burn_flows::distribution::{ChannelPriorConfig, DiagNormalConfig};
use burn_flows::encoder::{
    ImageEncoderConfig, MlpEncoderConfig, SeriesEncoderConfig, SetEncoderConfig,
};
use burn_flows::interop::{HostTensor, StateDict, nflows, normflows, zuko};
use burn_flows::model::{
    AutoregressiveNsfConfig, BernsteinFlowConfig, CircularNsfConfig, GaussianizationFlowConfig,
    GlowConfig, IafConfig, MafConfig, MafMogConfig, NeuralAutoregressiveFlowConfig, NiceConfig,
    NsfConfig, PlanarFlowConfig, RealNvpConfig, RealNvpImageConfig, ResidualFlowConfig,
    SumOfSquaresFlowConfig, UnconstrainedAutoregressiveFlowConfig,
};
use burn_flows::train::{Dequantize, ReduceBits};
use burn_flows::univariate::{
    Affine, AnyUnivariateConfig, BernsteinConfig, CubicSplineConfig, DeepSigmoidalConfig,
    GaussianizationConfig, KnotMap, LinearSplineConfig, MixtureOfLogisticsConfig, NeuralConfig,
    QuadraticSplineConfig, RationalQuadraticConfig, ScaleMap, SplineDomain, SumOfSquaresConfig,
    UnconstrainedMonotonicConfig,
};

use crate::{NAN, coupling, dense_matrix, device, zeros};

const SINGULAR: &str =
    "DenseMatrix.entries: must be an invertible matrix, found a matrix singular up to rounding";

fn any(text: &str) -> Result<AnyBijector> {
    serde_json::from_str::<AnyBijectorConfig>(text).unwrap().try_init(&device())
}

fn made(dependencies: Dependencies) -> MadeConfig {
    MadeConfig::new(vec![8]).with_dependencies(dependencies)
}

fn activated(activation: BurnActivation) -> MadeConfig {
    MadeConfig::new(vec![8]).with_activation(ActivationConfig::Burn(activation))
}

/// The tensors of a layer with a singular square matrix.
fn singular(name: &str) -> StateDict {
    let mut dict = StateDict::new();
    dict.insert(name, HostTensor::floats([0.1, 0.3, 0.2, 0.6], [2, 2]));
    dict
}

fn half_turn() -> AnyUnivariateConfig {
    AnyUnivariateConfig::HalfTurn { bound: 5.0, spline: rqs() }
}

fn unconstrained() -> UnconstrainedMonotonicConfig {
    UnconstrainedMonotonicConfig::new()
}

/// A zuko flow of one feature, with these numbers of raw widths, heights and slopes.
fn zuko_spline(sizes: [usize; 3]) -> StateDict {
    let mut dict = StateDict::new();
    for (index, size) in sizes.into_iter().enumerate() {
        let name = format!("transform.transforms.0.phi.{index}");
        dict.insert(name, HostTensor::floats(vec![0.0; size], [1, size]));
    }
    dict
}

fn angles(inputs: &[usize]) -> Option<Periodic> {
    Some(Periodic { inputs: inputs.to_vec(), period: 1.0 })
}

fn series(terms: usize, roulette: Option<f64>, probes: usize) -> LogDet {
    LogDet::Series { terms, roulette, probes }
}

fn rqs() -> RationalQuadraticConfig {
    RationalQuadraticConfig::new()
}

fn rqs_in(domain: SplineDomain) -> Result<()> {
    rqs().with_domain(domain).validate()
}

errors! {
    actnorm_features: ActNormConfig::new(0).validate() => "ActNormConfig.features: must be at least 1, found 0";
    batch_norm_features: BatchNormConfig::new(0).validate() => "BatchNormConfig.features: must be at least 1, found 0";
    batch_norm_epsilon: BatchNormConfig::new(2).with_epsilon(0.0).validate() => "BatchNormConfig.epsilon: must be in (0, 1), found 0";
    batch_norm_epsilon_one: BatchNormConfig::new(2).with_epsilon(1.0).validate() => "BatchNormConfig.epsilon: must be in (0, 1), found 1";
    batch_norm_epsilon_nan: BatchNormConfig::new(2).with_epsilon(NAN).validate() => "BatchNormConfig.epsilon: must be in (0, 1), found NaN";
    batch_norm_momentum: BatchNormConfig::new(2).with_momentum(1.5).validate() => "BatchNormConfig.momentum: must be in (0, 1], found 1.5";
    lu_features: LuLinearConfig::new(0).validate() => "LuLinearConfig.features: must be at least 1, found 0";
    dense_features: DenseLinearConfig::new(0).validate() => "DenseLinearConfig.features: must be at least 1, found 0";
    dense_singular: dense_matrix([[1.0, 2.0], [2.0, 4.0]]) => SINGULAR;
    dense_zero: dense_matrix([[0.0; 3]; 3]) => SINGULAR;
    dense_nearly_singular: dense_matrix([[1.0, 1.0], [1.0, 1.0 + 2e-7]]) => SINGULAR;
    dense_nan: dense_matrix([[1.0, NAN], [0.0, 1.0]]) => SINGULAR;
    dense_infinite: dense_matrix([[f64::INFINITY, 0.0], [0.0, 1.0]]) => SINGULAR;
    dense_of_nflows: nflows::naive_linear(&singular("_transforms.2._weight"), "_transforms.2", &device()) => format!("tensor `_transforms.2._weight`: {SINGULAR}");
    conv1x1_of_normflows: normflows::invertible_conv(&singular("flows.0.W"), "flows.0", &device()) => format!("tensor `flows.0.W`: {SINGULAR}");
    householder_features: HouseholderConfig::new(0, 1).validate() => "HouseholderConfig.features: must be at least 1, found 0";
    householder_reflections: HouseholderConfig::new(2, 0).validate() => "HouseholderConfig.reflections: must be at least 1, found 0";
    qr_features: QrLinearConfig::new(0, 1).validate() => "QrLinearConfig.features: must be at least 1, found 0";
    qr_reflections: QrLinearConfig::new(2, 0).validate() => "QrLinearConfig.reflections: must be at least 1, found 0";
    svd_features: SvdLinearConfig::new(0, 1).validate() => "SvdLinearConfig.features: must be at least 1, found 0";
    svd_reflections: SvdLinearConfig::new(2, 0).validate() => "SvdLinearConfig.reflections: must be at least 1, found 0";
    permutation_twice: Permutation::given(&[0, 2, 2], &device()) => "Permutation.order: must hold each index below 3 once, found [0, 2, 2]";
    permutation_outside: Permutation::given(&[0, 3, 1], &device()) => "Permutation.order: must hold each index below 3 once, found [0, 3, 1]";
    permutation_empty: Permutation::given(&[], &device()) => "Permutation.order: must hold at least 1 index, found none";
    logit_alpha: Logit::new(0.5) => "Logit.alpha: must be in [0, 0.5), found 0.5";
    logit_alpha_negative: Logit::new(-0.1) => "Logit.alpha: must be in [0, 0.5), found -0.1";
    logit_alpha_nan: Logit::new(NAN) => "Logit.alpha: must be in [0, 0.5), found NaN";
    leaky_relu_slope: LeakyRelu::new(0.0) => "LeakyRelu.slope: must be positive and finite, found 0";
    leaky_relu_slope_infinite: LeakyRelu::new(f64::INFINITY) => "LeakyRelu.slope: must be positive and finite, found inf";

    softclip_bound: Softclip::new(0.0) => "Softclip.bound: must be positive and finite, found 0";
    softclip_bound_nan: any(r#"{"Softclip": {"bound": -1.0}}"#) => "Softclip.bound: must be positive and finite, found -1";
    rotation_features: RotationConfig::new(0).validate() => "RotationConfig.features: must be at least 1, found 0";
    elementwise_no_context: any(r#"{"ElementwiseContext": {"univariate": "Additive", "features": 3, "context": 0, "mlp": {"hidden": [4], "activation": "Silu", "dropout": 0.0, "residual": false, "zero_last": true}}}"#) => "Elementwise.context: must be at least 1, found 0";
    leaky_tanh_turn: LeakyTanh::new(0.0) => "LeakyTanh.turn: must be in (0, 8], found 0";
    leaky_tanh_turn_late: LeakyTanh::new(9.0) => "LeakyTanh.turn: must be in (0, 8], found 9";
    leaky_tanh_turn_nan: any(r#"{"LeakyTanh": {"turn": -1.0}}"#) => "LeakyTanh.turn: must be in (0, 8], found -1";
    triangular_features: TriangularLinearConfig::new(0).validate() => "TriangularLinearConfig.features: must be at least 1, found 0";

    dequantize_levels: Dequantize::new(1) => "Dequantize.levels: must be between 2 and 16777216, found 1";
    reduce_no_bits: ReduceBits::new(0) => "ReduceBits.bits: must be between 1 and 8, found 0";
    reduce_more_bits: ReduceBits::new(9) => "ReduceBits.bits: must be between 1 and 8, found 9";
    reduce_wide: ReduceBits::new(5).unwrap().apply(zeros([2, 3]) + 256.0) => "integer data: row 0, column 0 holds 256, expected an integer from 0 to 255";
    reduce_fraction: ReduceBits::new(5).unwrap().apply(Tensor::<2>::from_data([[3.0], [0.5]], &device())) => "integer data: row 1, column 0 holds 0.5, expected an integer from 0 to 255";

    standardize_one_row: Standardize::from_data(zeros([1, 3])) => "Standardize: needs at least 2 rows, found 1";
    standardize_constant: Standardize::from_data(Tensor::<2>::from_data([[1.0, 0.1], [2.0, 0.1], [3.0, 0.1]], &device())) => "Standardize: element 1 has standard deviation 0, expected a positive finite number; remove a constant element or a non-finite row";
    standardize_nan: Standardize::from_data(Tensor::<2>::from_data([[1.0, NAN], [2.0, 0.1]], &device())) => "Standardize: element 1 has standard deviation NaN, expected a positive finite number; remove a constant element or a non-finite row";
    standardize_negative: Standardize::new(zeros([1, 2]), zeros([1, 2]) - 1.0) => "Standardize: element 0 has standard deviation -1, expected a positive finite number; remove a constant element or a non-finite row";
    standardize_mean: Standardize::new(zeros([1, 2]) / 0.0, zeros([1, 2]) + 1.0) => "Standardize: element 0 has mean NaN, expected a finite number";
    standardize_shapes: Standardize::new(zeros([1, 2]), zeros([1, 3])) => "Standardize: mean and std must both have shape [1, event..], found [1, 2] and [1, 3]";

    mask_keeps_all: Mask::Alternating.kept(&[1]) => "Coupling.mask: must move at least 1 index of event [1], found 0";
    mask_keeps_nothing: Mask::Halves.kept(&[1]) => "Coupling.mask: must keep at least 1 index of event [1], found 0";
    mask_empty_list: Mask::Kept(vec![]).kept(&[3]) => "Coupling.mask: must keep at least 1 index of event [3], found 0";
    mask_full_list: Mask::Kept(vec![2, 0, 1]).kept(&[3]) => "Coupling.mask: must move at least 1 index of event [3], found 0";
    mask_twice: Mask::Kept(vec![2, 0, 2]).kept(&[4]) => "Coupling.mask: must list each kept index once, found [0, 2, 2]";
    mask_outside: Mask::Kept(vec![4]).flipped().kept(&[4]) => "Coupling.mask: must keep indices below 4, found 4";
    mask_of_images: Mask::Checkerboard.flipped().kept(&[4]) => "Coupling.mask: a checkerboard needs images of 3 axes, found event [4]";
    mask_of_one_pixel: Mask::Checkerboard.kept(&[1, 1, 1]) => "Coupling.mask: must move at least 1 index of event [1, 1, 1], found 0";
    mask_of_no_axis: Mask::Halves.kept(&[]) => "Coupling.mask: needs an event of at least 1 axis, found an empty shape";
    coupling_features: coupling(Mask::Halves, 0).validate() => "CouplingConfig.features: must be at least 1, found 0";
    coupling_mask: coupling(Mask::Alternating, 1).validate() => "CouplingConfig.mask: must move at least 1 index of event [1], found 0";
    coupling_mlp: coupling(Mask::Halves, 2).with_mlp(MlpConfig::new(vec![])).validate() => "MlpConfig.hidden: must be at least 1, found 0";
    coupling_of_images: Coupling::new(&Mask::Halves, &[1, 2, 2], Affine::default(), |_, _| -> ConvNet { unreachable!() }, &device()) => "Coupling.mask: must keep at least 1 index of event [1, 2, 2], found 0";

    nsf_layers: NsfConfig::new(4).with_layers(0).validate() => "NsfConfig.layers: must be at least 1, found 0";
    nsf_features: NsfConfig::new(1).validate() => "NsfConfig.features: a coupling needs at least 2 features to split, found 1";
    nsf_spline: NsfConfig::new(4).with_spline(rqs().with_bins(0)).validate() => "RationalQuadraticConfig.bins: must be at least 2, found 0";
    nsf_elementwise: NsfConfig::new(4).with_elementwise(Some(rqs().with_bins(1))).validate() => "RationalQuadraticConfig.bins: must be at least 2, found 1";
    bernstein_degree: BernsteinConfig::new().with_degree(5).validate() => "BernsteinConfig.degree: must be at least 6, found 5";
    bernstein_bound: BernsteinConfig::new().with_bound(0.0).validate() => "BernsteinConfig.bound: must be positive and finite, found 0";
    bernstein_bound_nan: BernsteinConfig::new().with_bound(NAN).validate() => "BernsteinConfig.bound: must be positive and finite, found NaN";
    bernstein_rise: BernsteinConfig::new().with_degree(8).with_min_rise(0.25).validate() => "BernsteinConfig.min_rise: must be at least 0 and below 1 / 4, found 0.25";
    bernstein_rise_negative: BernsteinConfig::new().with_min_rise(-0.1).validate() => "BernsteinConfig.min_rise: must be at least 0 and below 1 / 16, found -0.1";
    bernstein_gap: AnyUnivariateConfig::Bernstein(BernsteinConfig::new().with_gap(0.1)).validate() => "BernsteinConfig.gap: must be in [0, 0.1), found 0.1";
    sum_of_squares_degree: SumOfSquaresConfig::new().with_degree(0).validate() => "SumOfSquaresConfig.degree: must be between 1 and 12, found 0";
    sum_of_squares_polynomials: SumOfSquaresConfig::new().with_polynomials(0).validate() => "SumOfSquaresConfig.polynomials: must be at least 1, found 0";
    sum_of_squares_bound: SumOfSquaresConfig::new().with_bound(-1.0).validate() => "SumOfSquaresConfig.bound: must be positive and finite, found -1";
    sum_of_squares_slope: SumOfSquaresConfig::new().with_min_slope(0.0).validate() => "SumOfSquaresConfig.min_slope: must be in (0, 1), found 0";
    sum_of_squares_spread: AnyUnivariateConfig::SumOfSquares(SumOfSquaresConfig::new().with_spread(11.0)).validate() => "SumOfSquaresConfig.spread: must be in [0, 10], found 11";
    gaussianization_components: GaussianizationConfig::new().with_components(0).validate() => "GaussianizationConfig.components: must be at least 1, found 0";
    gaussianization_spread: GaussianizationConfig::new().with_spread(NAN).validate() => "GaussianizationConfig.spread: must be in [0, 10], found NaN";
    gaussianization_floor: AnyUnivariateConfig::Gaussianization(GaussianizationConfig::new().with_floor(1.0)).validate() => "GaussianizationConfig.floor: must be in [0, 1), found 1";
    mixture_of_logistics_components: AnyUnivariateConfig::MixtureOfLogistics(MixtureOfLogisticsConfig::new().with_components(0)).validate() => "MixtureOfLogisticsConfig.components: must be at least 1, found 0";
    mixture_of_logistics_spread: MixtureOfLogisticsConfig::new().with_spread(-1.0).validate() => "MixtureOfLogisticsConfig.spread: must be in [0, 10], found -1";
    deep_sigmoidal_units: DeepSigmoidalConfig::new().with_units(0).validate() => "DeepSigmoidalConfig.units: must be at least 1, found 0";
    deep_sigmoidal_layers: AnyUnivariateConfig::DeepSigmoidal(DeepSigmoidalConfig::new().with_layers(0)).validate() => "DeepSigmoidalConfig.layers: must be at least 1, found 0";
    deep_sigmoidal_spread: DeepSigmoidalConfig::new().with_spread(-1.0).validate() => "DeepSigmoidalConfig.spread: must be in [0, 10], found -1";
    neural_signal: NeuralConfig::new().with_signal(0).validate() => "NeuralConfig.signal: must be at least 1, found 0";
    neural_hidden: NeuralConfig::new().with_hidden(vec![]).validate() => "NeuralConfig.hidden: needs at least 1 layer, found none";
    neural_narrow: NeuralConfig::new().with_hidden(vec![4, 1]).validate() => "NeuralConfig.hidden: layer 1 must have at least 2 units, found 1";
    unconstrained_signal: unconstrained().with_signal(0).validate() => "UnconstrainedMonotonicConfig.signal: must be at least 1, found 0";
    unconstrained_nodes: unconstrained().with_nodes(0).validate() => "UnconstrainedMonotonicConfig.nodes: must be at least 1, found 0";
    unconstrained_hidden: unconstrained().with_hidden(vec![3, 0]).validate() => "UnconstrainedMonotonicConfig.hidden: needs layers of at least 1 unit, found [3, 0]";
    unconstrained_bound: unconstrained().with_bound(0.0).validate() => "UnconstrainedMonotonicConfig.bound: must be in (0, 1e6], found 0";
    unconstrained_activation: unconstrained().with_activation(ActivationConfig::Burn(BurnActivation::SwiGlu(SwiGluConfig::new(8, 8)))).validate() => "UnconstrainedMonotonicConfig.activation: must be elementwise, so that a layer keeps its number of units";
    rqs_bins: rqs().with_bins(0).validate() => "RationalQuadraticConfig.bins: must be at least 2, found 0";
    rqs_one_bin: AnyUnivariateConfig::RationalQuadratic(rqs().with_bins(1)).validate() => "RationalQuadraticConfig.bins: must be at least 2, found 1";
    rqs_wide_bins: rqs().with_min_width(0.125).validate() => "RationalQuadraticConfig.min_width: must be above 0 and below 1 / bins = 1 / 8, found 0.125";
    rqs_no_width: rqs().with_min_width(0.0).validate() => "RationalQuadraticConfig.min_width: must be above 0 and below 1 / bins = 1 / 8, found 0";
    rqs_height_nan: rqs().with_min_height(NAN).validate() => "RationalQuadraticConfig.min_height: must be above 0 and below 1 / bins = 1 / 8, found NaN";
    rqs_slope: rqs().with_min_slope(1.0).validate() => "RationalQuadraticConfig.min_slope: must be in (0, 1), found 1";
    rqs_thin_bins: rqs().with_min_width(1e-45).validate() => "RationalQuadraticConfig.min_width: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    rqs_flat_bins: rqs().with_min_height(1e-45).validate() => "RationalQuadraticConfig.min_height: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    rqs_flat_knots: rqs().with_min_slope(1e-45).validate() => "RationalQuadraticConfig.min_slope: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    rqs_tiny_bound: rqs().with_knot_map(KnotMap::SoftBound { bound: 1e-45 }).validate() => "KnotMap.bound: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    quadratic_spline_thin_bins: QuadraticSplineConfig::new().with_min_width(1e-45).validate() => "QuadraticSplineConfig.min_width: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    quadratic_spline_flat: QuadraticSplineConfig::new().with_min_slope(1e-45).validate() => "QuadraticSplineConfig.min_slope: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    cubic_spline_thin_bins: CubicSplineConfig::new().with_min_width(1e-45).validate() => "CubicSplineConfig.min_width: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    cubic_spline_flat_bins: CubicSplineConfig::new().with_min_height(1e-45).validate() => "CubicSplineConfig.min_height: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    sum_of_squares_flat: SumOfSquaresConfig::new().with_min_slope(1e-45).validate() => "SumOfSquaresConfig.min_slope: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    unconstrained_tiny_bound: unconstrained().with_bound(1e-45).validate() => "UnconstrainedMonotonicConfig.bound: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    ridge_flat: RidgeActivation::LeakyRelu { slope: 1e-45 }.validate() => "RidgeActivation.slope: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    residual_tiny_bound: ResidualConfig::new(2).with_lipschitz(1e-45).validate() => "ResidualConfig.lipschitz: must be at least 1e-6 (smaller values vanish in f32), found 1e-45";
    rqs_slope_nan: rqs().with_min_slope(NAN).validate() => "RationalQuadraticConfig.min_slope: must be in (0, 1), found NaN";
    linear_spline_bins: AnyUnivariateConfig::LinearSpline(LinearSplineConfig::new().with_bins(1)).validate() => "LinearSplineConfig.bins: must be at least 2, found 1";
    linear_spline_height: LinearSplineConfig::new().with_bins(4).with_min_height(0.25).validate() => "LinearSplineConfig.min_height: must be at least 0 and below 1 / bins = 1 / 4, found 0.25";
    linear_spline_height_nan: LinearSplineConfig::new().with_min_height(NAN).validate() => "LinearSplineConfig.min_height: must be at least 0 and below 1 / bins = 1 / 8, found NaN";
    linear_spline_domain: LinearSplineConfig::new().with_domain(SplineDomain::LinearTails { bound: 0.0 }).validate() => "SplineDomain.bound: must be positive and finite, found 0";
    quadratic_spline_bins: AnyUnivariateConfig::QuadraticSpline(QuadraticSplineConfig::new().with_bins(1)).validate() => "QuadraticSplineConfig.bins: must be at least 2, found 1";
    quadratic_spline_width: QuadraticSplineConfig::new().with_min_width(0.0).validate() => "QuadraticSplineConfig.min_width: must be above 0 and below 1 / bins = 1 / 8, found 0";
    quadratic_spline_slope: QuadraticSplineConfig::new().with_min_slope(0.0).validate() => "QuadraticSplineConfig.min_slope: must be in (0, 1), found 0";
    quadratic_spline_scale: QuadraticSplineConfig::new().with_logit_scale(NAN).validate() => "QuadraticSplineConfig.logit_scale: must be finite, found NaN";
    quadratic_spline_domain: QuadraticSplineConfig::new().with_domain(SplineDomain::Circular { bound: -1.0 }).validate() => "SplineDomain.bound: must be positive and finite, found -1";
    cubic_spline_bins: AnyUnivariateConfig::CubicSpline(CubicSplineConfig::new().with_bins(0)).validate() => "CubicSplineConfig.bins: must be at least 2, found 0";
    cubic_spline_width: CubicSplineConfig::new().with_min_width(0.2).validate() => "CubicSplineConfig.min_width: must be above 0 and below 1 / bins = 1 / 8, found 0.2";
    cubic_spline_height: CubicSplineConfig::new().with_min_height(NAN).validate() => "CubicSplineConfig.min_height: must be above 0 and below 1 / bins = 1 / 8, found NaN";
    cubic_spline_slope: CubicSplineConfig::new().with_min_slope(0.4).validate() => "CubicSplineConfig.min_slope: must be in [0, 1/3), found 0.4";
    cubic_spline_slope_nan: CubicSplineConfig::new().with_min_slope(NAN).validate() => "CubicSplineConfig.min_slope: must be in [0, 1/3), found NaN";
    cubic_spline_scale: CubicSplineConfig::new().with_logit_scale(f64::INFINITY).validate() => "CubicSplineConfig.logit_scale: must be finite, found inf";
    cubic_spline_offset: CubicSplineConfig::new().with_end_offset(Some(NAN)).validate() => "CubicSplineConfig.end_offset: must be finite, found NaN";
    cubic_spline_domain: CubicSplineConfig::new().with_domain(SplineDomain::Interval { low: 1.0, high: 0.0 }).validate() => "SplineDomain.high: must be finite and above low 1, found 0";
    rqs_bound: rqs_in(SplineDomain::LinearTails { bound: 0.0 }) => "SplineDomain.bound: must be positive and finite, found 0";
    rqs_bound_negative: rqs_in(SplineDomain::Circular { bound: -3.0 }) => "SplineDomain.bound: must be positive and finite, found -3";
    rqs_bound_nan: rqs_in(SplineDomain::LinearTails { bound: NAN }) => "SplineDomain.bound: must be positive and finite, found NaN";
    rqs_bound_infinite: rqs_in(SplineDomain::Circular { bound: f64::INFINITY }) => "SplineDomain.bound: must be positive and finite, found inf";
    rqs_low: rqs_in(SplineDomain::Interval { low: NAN, high: 1.0 }) => "SplineDomain.low: must be finite, found NaN";
    rqs_high: rqs_in(SplineDomain::Interval { low: 2.0, high: -1.0 }) => "SplineDomain.high: must be finite and above low 2, found -1";
    periodic_twice: MlpConfig::new(vec![8]).with_periodic(angles(&[1, 1])).periodic.unwrap().validate(3) => "Periodic.inputs: must be distinct indices below 3, found [1, 1]";
    periodic_outside: made(Dependencies::Forward).with_periodic(angles(&[0, 3])).try_init(3, 1, 0, &device()) => "Periodic.inputs: must be distinct indices below 3, found [0, 3]";
    periodic_period: made(Dependencies::Forward).with_periodic(Some(Periodic { inputs: vec![0], period: 0.0 })).try_init(3, 1, 0, &device()) => "Periodic.period: must be positive and finite, found 0";
    half_turn_bound: AnyUnivariateConfig::HalfTurn { bound: -1.0, spline: rqs() }.validate() => "HalfTurn.bound: must be positive and finite, found -1";
    half_turn_circle: AnyUnivariateConfig::HalfTurn { bound: 4.0, spline: rqs() }.validate() => "HalfTurn.bound: must be the end of the spline's domain [-5, 5], found 4";
    maf_half_turn: MafConfig::new(3).with_univariate(half_turn()).validate() => "MafConfig.univariate: a HalfTurn needs a base distribution of angles, and the base of this model is on the real line";
    maf_mog_half_turn: MafMogConfig::new(MafConfig::new(3).with_univariate(half_turn()), 2).validate() => "MafConfig.univariate: a HalfTurn needs a base distribution of angles, and the base of this model is on the real line";
    iaf_half_turn: IafConfig::new(3).with_univariate(half_turn()).validate() => "IafConfig.univariate: a HalfTurn needs a base distribution of angles, and the base of this model is on the real line";
    glow_half_turn: GlowConfig::new([1, 4, 4], 1).with_univariate(half_turn()).validate() => "GlowConfig.univariate: a HalfTurn needs a base distribution of angles, and the base of this model is on the real line";
    half_turn_spline: AnyUnivariateConfig::HalfTurn { bound: 1.0, spline: rqs().with_bins(1) }.validate() => "RationalQuadraticConfig.bins: must be at least 2, found 1";
    zuko_slope: zuko::nsf(&zuko_spline([2, 2, 1]), &zuko::Options::new().with_slope(1.0), &device()) => "KnotMap.bound: must be in (0, 20], found -0";
    zuko_heights: zuko::nsf(&zuko_spline([2, 1, 2]), &zuko::Options::new(), &device()) => "tensor `transform.transforms.0.phi.1`: holds 1 numbers per element, expected 2";
    zuko_params: zuko::nsf(&zuko_spline([2, 2, 2]), &zuko::Options::new(), &device()) => "tensor `transform.transforms.0.phi.0`: gives 6 parameters per element, which does not fit Spline { bound: 5.0 }";
    zuko_map: zuko::maf(&zuko_spline([1, 1, 1]), &zuko::Options::new(), &device()) => "tensor `transform.transforms.0.phi.2` of shape [1, 1] belongs to no part of the model";
    rqs_soft_bound: rqs().with_knot_map(KnotMap::SoftBound { bound: 0.0 }).validate() => "KnotMap.bound: must be in (0, 20], found 0";
    rqs_logit_scale: rqs().with_knot_map(KnotMap::Softmax { logit_scale: NAN, slope_offset: None }).validate() => "KnotMap.logit_scale: must be finite, found NaN";
    rqs_slope_offset: rqs().with_knot_map(KnotMap::Softmax { logit_scale: 1.0, slope_offset: Some(f64::INFINITY) }).validate() => "KnotMap.slope_offset: must be finite, found inf";

    planar_features: PlanarConfig::new(0).validate() => "PlanarConfig.features: must be at least 1, found 0";
    planar_slope: PlanarConfig::new(2).with_activation(RidgeActivation::LeakyRelu { slope: 1.5 }).validate() => "RidgeActivation.slope: must be in (0, 1], found 1.5";
    planar_slope_nan: RidgeActivation::LeakyRelu { slope: NAN }.validate() => "RidgeActivation.slope: must be in (0, 1], found NaN";
    planar_mlp: PlanarConfig::new(2).with_mlp(MlpConfig::new(vec![0])).validate() => "MlpConfig.hidden: must be at least 1, found 0";
    radial_features: RadialConfig::new(0).validate() => "RadialConfig.features: must be at least 1, found 0";
    sylvester_features: SylvesterConfig::new(0, 1).validate() => "SylvesterConfig.features: must be at least 1, found 0";
    sylvester_units: SylvesterConfig::new(3, 0).validate() => "SylvesterConfig.units: must be at least 1, found 0";
    sylvester_many_units: SylvesterConfig::new(3, 4).validate() => "SylvesterConfig.units: must be at most features (3), found 4";
    sylvester_reflections: SylvesterConfig::new(3, 2).with_reflections(0).validate() => "SylvesterConfig.reflections: must be at least 1, found 0";
    residual_features: ResidualConfig::new(0).validate() => "ResidualConfig.features: must be at least 1, found 0";
    residual_layers: ResidualConfig::new(2).with_hidden(vec![]).validate() => "ResidualConfig.hidden: must be at least 1, found 0";
    residual_hidden: ResidualConfig::new(2).with_hidden(vec![4, 0]).validate() => "ResidualConfig.hidden: must be at least 1, found 0";
    residual_lipschitz: ResidualConfig::new(2).with_lipschitz(1.0).validate() => "ResidualConfig.lipschitz: must be in (0, 1), found 1";
    residual_lipschitz_nan: ResidualConfig::new(2).with_lipschitz(NAN).validate() => "ResidualConfig.lipschitz: must be in (0, 1), found NaN";
    residual_tolerance: ResidualConfig::new(2).with_fixed_point(FixedPoint { tolerance: NAN, limit: 9 }).validate() => "FixedPoint.tolerance: must be at least 0 and finite, found NaN";
    residual_limit: ResidualConfig::new(2).with_fixed_point(FixedPoint { tolerance: 0.0, limit: 0 }).validate() => "FixedPoint.limit: must be at least 1, found 0";
    residual_terms: ResidualConfig::new(2).with_training(series(0, None, 1)).validate() => "LogDet.terms: must be at least 1, found 0";
    residual_probes: ResidualConfig::new(2).with_evaluation(series(1, None, 0)).validate() => "LogDet.probes: must be at least 1, found 0";
    residual_roulette: series(1, Some(1.0), 1).validate() => "LogDet.roulette: must be in (0, 1), found 1";
    residual_flow_layers: ResidualFlowConfig::new(2).with_layers(0).validate() => "ResidualFlowConfig.layers: must be at least 1, found 0";
    residual_loaded: normflows::residual(&StateDict::new(), "", 1.0, &device()) => "normflows::residual.lipschitz: must be in (0, 1), found 1";
    planar_flow_layers: PlanarFlowConfig::new(2).with_layers(0).validate() => "PlanarFlowConfig.layers: must be at least 1, found 0";
    block_features: BlockNeuralAutoregressiveConfig::new(0).validate() => "BlockNeuralAutoregressiveConfig.features: must be at least 1, found 0";
    block_units: BlockNeuralAutoregressiveConfig::new(2).with_block(0).validate() => "BlockNeuralAutoregressiveConfig.block: must be at least 1, found 0";
    block_leak: BlockNeuralAutoregressiveConfig::new(2).with_leak(0.0).validate() => "BlockNeuralAutoregressiveConfig.leak: must be positive and finite, found 0";
    cnf_features: CnfConfig::new(0).validate() => "CnfConfig.features: must be at least 1, found 0";
    cnf_layers: CnfConfig::new(2).with_hidden(vec![]).validate() => "CnfConfig.hidden: must be at least 1, found 0";
    cnf_hidden: CnfConfig::new(2).with_hidden(vec![0]).validate() => "CnfConfig.hidden: must be at least 1, found 0";
    cnf_frequencies: CnfConfig::new(2).with_frequencies(0).validate() => "CnfConfig.frequencies: must be at least 1, found 0";
    cnf_steps: CnfConfig::new(2).with_solver(Solver::Rk4 { steps: 0 }).validate() => "Solver.steps: must be at least 1, found 0";
    cnf_atol: Solver::DormandPrince { atol: 0.0, rtol: 1e-5, limit: 9 }.validate() => "Solver.atol: must be positive and finite, found 0";
    cnf_rtol: Solver::DormandPrince { atol: 1e-6, rtol: -1.0, limit: 9 }.validate() => "Solver.rtol: must be at least 0 and finite, found -1";
    cnf_limit: Solver::DormandPrince { atol: 1e-6, rtol: 1e-5, limit: 0 }.validate() => "Solver.limit: must be at least 1, found 0";
    cnf_probes: CnfConfig::new(2).with_training(Divergence::Hutchinson { probes: 0 }).validate() => "Divergence.probes: must be at least 1, found 0";
    any_planar: AnyBijectorConfig::Planar(PlanarConfig::new(0)).try_init(&device()) => "PlanarConfig.features: must be at least 1, found 0";
    any_radial: AnyBijectorConfig::Radial(RadialConfig::new(0)).try_init(&device()) => "RadialConfig.features: must be at least 1, found 0";
    any_residual: AnyBijectorConfig::Residual(ResidualConfig::new(0)).try_init(&device()) => "ResidualConfig.features: must be at least 1, found 0";
    any_sylvester: AnyBijectorConfig::Sylvester(SylvesterConfig::new(0, 1)).try_init(&device()) => "SylvesterConfig.features: must be at least 1, found 0";
    any_block: AnyBijectorConfig::BlockNeuralAutoregressive(BlockNeuralAutoregressiveConfig::new(0)).try_init(&device()) => "BlockNeuralAutoregressiveConfig.features: must be at least 1, found 0";
    any_cnf: AnyBijectorConfig::Cnf(CnfConfig::new(0)).try_init(&device()) => "CnfConfig.features: must be at least 1, found 0";

    conv1x1: InvertibleConv1x1Config::new(0).validate() => "InvertibleConv1x1Config.channels: must be at least 1, found 0";
    conv_residual_hidden: ResidualConvNetConfig::new(0).validate() => "ResidualConvNetConfig.hidden: must be at least 1, found 0";
    conv_residual_blocks: ResidualConvNetConfig::new(4).with_blocks(0).validate() => "ResidualConvNetConfig.blocks: must be at least 1, found 0";
    conv_residual_dropout: ResidualConvNetConfig::new(4).with_dropout(-0.1).validate() => "ResidualConvNetConfig.dropout: must be in [0, 1), found -0.1";
    conv_dropout: ConvNetConfig::new(4).with_dropout(1.0).validate() => "ConvNetConfig.dropout: must be in [0, 1), found 1";
    channel_prior: ChannelPriorConfig::new(0).validate() => "ChannelPriorConfig.channels: must be at least 1, found 0";
    glow_levels: GlowConfig::new([1, 8, 8], 0).validate() => "GlowConfig.levels: must be at least 1, found 0";
    glow_odd: GlowConfig::new([3, 8, 6], 2).validate() => "GlowConfig.image: level 2 of 2 cannot squeeze 4x3 pixels, an odd size; 1 level fits, more if the images are padded";
    glow_too_deep: GlowConfig::new([1, 8, 8], 4).validate() => "GlowConfig.image: level 4 of 4 cannot squeeze 1x1 pixels, an odd size; 3 levels fit, more if the images are padded";
    glow_channels: GlowConfig::new([0, 8, 8], 1).validate() => "GlowConfig.image: must be at least 1, found 0";
    glow_steps: GlowConfig::new([1, 8, 8], 1).with_steps(0).validate() => "GlowConfig.steps: must be at least 1, found 0";
    glow_network: GlowConfig::new([1, 8, 8], 1).with_network(ConvNetConfig::new(0)).validate() => "ConvNetConfig.hidden: must be at least 1, found 0";
    real_nvp_image: RealNvpImageConfig::new([3, 5, 4], 1).validate() => "RealNvpImageConfig.image: level 1 of 1 cannot squeeze 5x4 pixels, an odd size; no level fits; pad the images";

    mlp_layers: MlpConfig::new(vec![]).validate() => "MlpConfig.hidden: must be at least 1, found 0";
    mlp_hidden: MlpConfig::new(vec![4, 0]).validate() => "MlpConfig.hidden: must be at least 1, found 0";
    mlp_residual: MlpConfig::new(vec![4, 5]).with_residual(true).validate() => "MlpConfig.hidden: must hold equal widths with residual, found [4, 5]";
    mlp_residual_short: MlpConfig::new(vec![4]).with_residual(true).validate() => "MlpConfig.hidden: must hold at least 2 widths with residual (the stream, then each block), found 1";
    mlp_dropout: MlpConfig::new(vec![4]).with_dropout(1.0).validate() => "MlpConfig.dropout: must be in [0, 1), found 1";
    mlp_dropout_nan: MlpConfig::new(vec![4]).with_dropout(NAN).validate() => "MlpConfig.dropout: must be in [0, 1), found NaN";
    conv_hidden: ConvNetConfig::new(0).validate() => "ConvNetConfig.hidden: must be at least 1, found 0";
    made_features: MadeConfig::new(vec![8]).try_init(0, 1, 0, &device()) => "MadeConfig.features: must be at least 1, found 0";
    made_layers: MadeConfig::new(vec![]).try_init(2, 1, 0, &device()) => "MadeConfig.hidden: must be at least 1, found 0";
    made_hidden: MadeConfig::new(vec![9, 0]).try_init(1, 1, 0, &device()) => "MadeConfig.hidden: must be at least 1, found 0";
    made_narrow: MadeConfig::new(vec![9, 2]).try_init(4, 1, 0, &device()) => "MadeConfig.hidden: must hold widths of at least 3, one unit for each distinct set of parents, found 2";
    made_narrow_with_context: MadeConfig::new(vec![3]).try_init(4, 1, 1, &device()) => "MadeConfig.hidden: must hold widths of at least 4, one unit for each distinct set of parents, found 3";
    made_residual: MadeConfig::new(vec![8, 9]).with_residual(true).try_init(2, 1, 0, &device()) => "MadeConfig.hidden: must hold equal widths with residual, found [8, 9]";
    made_residual_short: MadeConfig::new(vec![8]).with_residual(true).try_init(2, 1, 0, &device()) => "MadeConfig.hidden: must hold at least 2 widths with residual (the stream, then each block), found 1";
    made_dropout: MadeConfig::new(vec![8]).with_dropout(1.0).try_init(2, 1, 0, &device()) => "MadeConfig.dropout: must be in [0, 1), found 1";
    made_swiglu: activated(BurnActivation::SwiGlu(SwiGluConfig::new(8, 8))).try_init(2, 1, 0, &device()) => "MadeConfig.activation: must be elementwise, because a masked network must not mix units";
    made_prelu: activated(BurnActivation::PRelu(PReluConfig::new().with_num_parameters(8))).try_init(2, 1, 0, &device()) => "MadeConfig.activation: must be elementwise, because a masked network must not mix units";
    made_order_twice: made(Dependencies::Order(vec![0, 2, 2])).try_init(3, 1, 0, &device()) => "MadeConfig.dependencies: order must hold each of 3 features once, found [0, 2, 2]";
    made_order_short: made(Dependencies::Order(vec![1, 0])).try_init(3, 1, 0, &device()) => "MadeConfig.dependencies: order must hold each of 3 features once, found [1, 0]";
    made_order_outside: made(Dependencies::Order(vec![1, 0, 3])).try_init(3, 1, 0, &device()) => "MadeConfig.dependencies: order must hold each of 3 features once, found [1, 0, 3]";
    made_circle: made(Dependencies::Parents(vec![vec![], vec![3, 0], vec![1], vec![2]])).try_init(4, 1, 0, &device()) => "MadeConfig.dependencies: must have no cycle of features, found 1 <- 3 <- 2 <- 1";
    made_own_parent: made(Dependencies::Parents(vec![vec![], vec![1]])).try_init(2, 1, 0, &device()) => "MadeConfig.dependencies: must have no cycle of features, found 1 <- 1";
    made_behind_a_circle: made(Dependencies::Parents(vec![vec![1], vec![2], vec![1]])).try_init(3, 1, 0, &device()) => "MadeConfig.dependencies: must have no cycle of features, found 1 <- 2 <- 1";
    made_parents_short: made(Dependencies::Parents(vec![vec![]])).try_init(2, 1, 0, &device()) => "MadeConfig.dependencies: must hold 2 lists or rows, one for each feature, found 1";
    made_parent_outside: made(Dependencies::Parents(vec![vec![], vec![2]])).try_init(2, 1, 0, &device()) => "MadeConfig.dependencies: must hold parents below 2, found 2";
    made_matrix_rows: made(Dependencies::Adjacency(vec![vec![false, false]])).try_init(2, 1, 0, &device()) => "MadeConfig.dependencies: must hold 2 lists or rows, one for each feature, found 1";
    made_matrix_columns: made(Dependencies::Adjacency(vec![vec![false, false], vec![true]])).try_init(2, 1, 0, &device()) => "MadeConfig.dependencies: must hold rows of 2 elements, one for each feature, found 1";
    made_matrix_circle: made(Dependencies::Adjacency(vec![vec![false, true], vec![true, false]])).try_init(2, 1, 0, &device()) => "MadeConfig.dependencies: must have no cycle of features, found 0 <- 1 <- 0";
    autoregressive_made: MaskedAutoregressiveConfig::new(200).validate() => "MadeConfig.hidden: must hold widths of at least 199, one unit for each distinct set of parents, found 128";
    autoregressive_tolerance: MaskedAutoregressiveConfig::new(2).with_inverse(InverseMethod::FixedPoint { tolerance: -1.0 }).validate() => "InverseMethod.tolerance: must be at least 0 and finite, found -1";
    autoregressive_tolerance_nan: InverseMethod::FixedPoint { tolerance: NAN }.validate() => "InverseMethod.tolerance: must be at least 0 and finite, found NaN";
    scale_bound: ScaleMap::SoftBound { bound: -1.0 }.validate() => "ScaleMap.bound: must be positive and finite, found -1";
    scale_bound_infinite: ScaleMap::SoftBound { bound: f64::INFINITY }.validate() => "ScaleMap.bound: must be positive and finite, found inf";
    scale_offset: ScaleMap::InverseSigmoid { offset: NAN }.validate() => "ScaleMap.offset: must be in [-20, 20], found NaN";
    scale_floor: ScaleMap::Sigmoid { offset: 2.0, floor: -0.1 }.validate() => "ScaleMap.floor: must be in [0, 1000000], found -0.1";
    scale_floor_softplus: ScaleMap::Softplus { offset: 0.0, floor: NAN }.validate() => "ScaleMap.floor: must be in [0, 1000000], found NaN";
    mlp_encoder_features: MlpEncoderConfig::new(3, 0).validate() => "MlpEncoderConfig.features: must be at least 1, found 0";
    mlp_encoder_hidden: MlpEncoderConfig::new(3, 2).with_hidden(vec![4, 0]).validate() => "MlpEncoderConfig.hidden: must be at least 1, found 0";
    mlp_encoder_residual: MlpEncoderConfig::new(3, 2).with_hidden(vec![4, 5]).with_residual(true).validate() => "MlpEncoderConfig.hidden: must hold equal widths with residual, found [4, 5]";
    mlp_encoder_dropout: MlpEncoderConfig::new(3, 2).with_dropout(1.0).validate() => "MlpEncoderConfig.dropout: must be in [0, 1), found 1";
    set_encoder_elements: SetEncoderConfig::new(0, 2, 2).validate() => "SetEncoderConfig.elements: must be at least 1, found 0";
    set_encoder_width: SetEncoderConfig::new(3, 0, 2).validate() => "SetEncoderConfig.width: must be at least 1, found 0";
    set_encoder_features: SetEncoderConfig::new(3, 2, 0).validate() => "SetEncoderConfig.features: must be at least 1, found 0";
    set_encoder_pooled: SetEncoderConfig::new(3, 2, 2).with_pooled(0).validate() => "SetEncoderConfig.pooled: must be at least 1, found 0";
    set_encoder_element: SetEncoderConfig::new(3, 2, 2).with_element_hidden(vec![0]).validate() => "SetEncoderConfig.element_hidden: must be at least 1, found 0";
    set_encoder_set: SetEncoderConfig::new(3, 2, 2).with_set_hidden(vec![]).validate() => "SetEncoderConfig.set_hidden: must be at least 1, found 0";
    set_encoder_huge: SetEncoderConfig::new(1 << 20, 1 << 20, 2).validate() => "SetEncoderConfig.elements: needs a tensor of shape [1048576, 1048577]; the limit is 2147483648 elements";
    series_encoder_channels: SeriesEncoderConfig::new(0, 9, 2).validate() => "SeriesEncoderConfig.channels: must be at least 1, found 0";
    series_encoder_steps: SeriesEncoderConfig::new(2, 0, 2).validate() => "SeriesEncoderConfig.steps: must be at least 1, found 0";
    series_encoder_convolutions: SeriesEncoderConfig::new(2, 9, 2).with_convolutions(vec![]).validate() => "SeriesEncoderConfig.convolutions: must be at least 1, found 0";
    series_encoder_channels_between: SeriesEncoderConfig::new(2, 9, 2).with_convolutions(vec![0]).validate() => "SeriesEncoderConfig.convolutions: must be at least 1, found 0";
    series_encoder_kernel: SeriesEncoderConfig::new(2, 9, 2).with_kernel(0).validate() => "SeriesEncoderConfig.kernel: must be at least 1, found 0";
    series_encoder_even: SeriesEncoderConfig::new(2, 9, 2).with_kernel(4).validate() => "SeriesEncoderConfig.kernel: must be odd, found 4";
    series_encoder_stride: SeriesEncoderConfig::new(2, 9, 2).with_kernel(3).with_stride(4).validate() => "SeriesEncoderConfig.stride: must be at most kernel (3), or steps are skipped, found 4";
    series_encoder_hidden: SeriesEncoderConfig::new(2, 9, 2).with_hidden(vec![0]).validate() => "SeriesEncoderConfig.hidden: must be at least 1, found 0";
    image_encoder_side: ImageEncoderConfig::new([1, 0, 4], 2).validate() => "ImageEncoderConfig.image: must be at least 1, found 0";
    image_encoder_convolutions: ImageEncoderConfig::new([1, 4, 4], 2).with_convolutions(vec![3, 0]).validate() => "ImageEncoderConfig.convolutions: must be at least 1, found 0";
    image_encoder_dropout: ImageEncoderConfig::new([1, 4, 4], 2).with_dropout(NAN).validate() => "ImageEncoderConfig.dropout: must be in [0, 1), found NaN";
    image_encoder_activation: ImageEncoderConfig::new([1, 4, 4], 2).with_convolutions(vec![5]).with_activation(ActivationConfig::Burn(BurnActivation::PRelu(PReluConfig::new().with_num_parameters(3)))).validate() => "ActivationConfig.num_parameters: must be the width of every layer [5], found 3";

    diag_normal_event: DiagNormalConfig::new(vec![]).validate() => "DiagNormalConfig.event: must be at least 1, found 0";
    diag_normal_empty: DiagNormalConfig::new(vec![2, 0]).validate() => "DiagNormalConfig.event: must be at least 1, found 0";

    nice_layers: NiceConfig::new(4).with_layers(0).validate() => "NiceConfig.layers: must be at least 1, found 0";
    nice_features: NiceConfig::new(1).validate() => "NiceConfig.features: a coupling needs at least 2 features to split, found 1";
    nice_mlp: NiceConfig::new(4).with_mlp(MlpConfig::new(vec![0])).validate() => "MlpConfig.hidden: must be at least 1, found 0";
    real_nvp_layers: RealNvpConfig::new(4).with_layers(0).validate() => "RealNvpConfig.layers: must be at least 1, found 0";
    real_nvp_features: RealNvpConfig::new(0).validate() => "RealNvpConfig.features: a coupling needs at least 2 features to split, found 0";
    real_nvp_mlp: RealNvpConfig::new(4).with_mlp(MlpConfig::new(vec![8]).with_dropout(-0.5)).validate() => "MlpConfig.dropout: must be in [0, 1), found -0.5";
    real_nvp_scale: RealNvpConfig::new(4).with_scale_map(ScaleMap::SoftBound { bound: 0.0 }).validate() => "ScaleMap.bound: must be positive and finite, found 0";

    maf_layers: MafConfig::new(4).with_layers(0).validate() => "MafConfig.layers: must be at least 1, found 0";
    maf_features: MafConfig::new(0).validate() => "MadeConfig.features: must be at least 1, found 0";
    maf_narrow: MafConfig::new(10).with_made(MadeConfig::new(vec![8])).validate() => "MadeConfig.hidden: must hold widths of at least 9, one unit for each distinct set of parents, found 8";
    maf_order: MafConfig::new(4).with_made(made(Dependencies::Reversed)).validate() => "MafConfig.made: `dependencies` must be Forward, because `orders` sets the dependencies";
    maf_scale: MafConfig::new(4).with_univariate(AnyUnivariateConfig::Affine(ScaleMap::SoftBound { bound: 0.0 })).validate() => "ScaleMap.bound: must be positive and finite, found 0";
    maf_inverse: MafConfig::new(4).with_inverse(InverseMethod::FixedPoint { tolerance: NAN }).validate() => "InverseMethod.tolerance: must be at least 0 and finite, found NaN";
    maf_mog_components: MafMogConfig::new(MafConfig::new(4), 0).validate() => "MafMogConfig.components: must be at least 1, found 0";
    maf_mog_layers: MafMogConfig::new(MafConfig::new(4).with_layers(0), 2).validate() => "MafConfig.layers: must be at least 1, found 0";
    nsf_autoregressive_layers: AutoregressiveNsfConfig::new(4).with_layers(0).validate() => "AutoregressiveNsfConfig.layers: must be at least 1, found 0";
    nsf_autoregressive_order: AutoregressiveNsfConfig::new(4).with_made(made(Dependencies::Reversed)).validate() => "AutoregressiveNsfConfig.made: `dependencies` must be Forward, because `orders` sets the dependencies";
    nsf_autoregressive_spline: AutoregressiveNsfConfig::new(4).with_spline(rqs().with_bins(1)).validate() => "RationalQuadraticConfig.bins: must be at least 2, found 1";
    nsf_autoregressive_elementwise: AutoregressiveNsfConfig::new(4).with_elementwise(Some(rqs().with_bins(0))).validate() => "RationalQuadraticConfig.bins: must be at least 2, found 0";
    naf_layers: NeuralAutoregressiveFlowConfig::new(4).with_layers(0).validate() => "NeuralAutoregressiveFlowConfig.layers: must be at least 1, found 0";
    naf_elements: NeuralAutoregressiveFlowConfig::new(4).with_network(NeuralConfig::new().with_elements(4)).validate() => "NeuralAutoregressiveFlowConfig.network: `elements` must be 0, because `shared` sets the number of networks";
    naf_network: NeuralAutoregressiveFlowConfig::new(4).with_network(NeuralConfig::new().with_signal(0)).validate() => "NeuralConfig.signal: must be at least 1, found 0";
    unaf_order: UnconstrainedAutoregressiveFlowConfig::new(4).with_made(made(Dependencies::Reversed)).validate() => "UnconstrainedAutoregressiveFlowConfig.made: `dependencies` must be Forward, because `orders` sets the dependencies";
    unaf_elements: UnconstrainedAutoregressiveFlowConfig::new(4).with_network(unconstrained().with_elements(1)).validate() => "UnconstrainedAutoregressiveFlowConfig.network: `elements` must be 0, because `shared` sets the number of networks";
    unaf_network: UnconstrainedAutoregressiveFlowConfig::new(4).with_network(unconstrained().with_nodes(0)).validate() => "UnconstrainedMonotonicConfig.nodes: must be at least 1, found 0";
    bpf_layers: BernsteinFlowConfig::new(4).with_layers(0).validate() => "BernsteinFlowConfig.layers: must be at least 1, found 0";
    bpf_polynomial: BernsteinFlowConfig::new(4).with_polynomial(BernsteinConfig::new().with_degree(3)).validate() => "BernsteinConfig.degree: must be at least 6, found 3";
    sospf_layers: SumOfSquaresFlowConfig::new(4).with_layers(0).validate() => "SumOfSquaresFlowConfig.layers: must be at least 1, found 0";
    sospf_polynomial: SumOfSquaresFlowConfig::new(4).with_polynomial(SumOfSquaresConfig::new().with_degree(0)).validate() => "SumOfSquaresConfig.degree: must be between 1 and 12, found 0";
    gf_features: GaussianizationFlowConfig::new(0).validate() => "GaussianizationFlowConfig.features: must be at least 1, found 0";
    gf_layers: GaussianizationFlowConfig::new(2).with_layers(0).validate() => "GaussianizationFlowConfig.layers: must be at least 1, found 0";
    gf_kernels: GaussianizationFlowConfig::new(2).with_kernels(GaussianizationConfig::new().with_components(0)).validate() => "GaussianizationConfig.components: must be at least 1, found 0";
    gf_mlp: GaussianizationFlowConfig::new(2).with_mlp(MlpConfig::new(vec![])).validate() => "MlpConfig.hidden: must be at least 1, found 0";
    nsf_circular_layers: CircularNsfConfig::new(4).with_layers(0).validate() => "CircularNsfConfig.layers: must be at least 1, found 0";
    nsf_circular_domain: CircularNsfConfig::new(4).with_spline(rqs().with_domain(SplineDomain::Interval { low: 0.0, high: 1.0 })).validate() => "CircularNsfConfig.spline: must have a Circular domain, found Interval { low: 0.0, high: 1.0 }";
    iaf_layers: IafConfig::new(4).with_layers(0).validate() => "IafConfig.layers: must be at least 1, found 0";
    iaf_features: IafConfig::new(0).validate() => "MadeConfig.features: must be at least 1, found 0";
    iaf_order: IafConfig::new(4).with_made(made(Dependencies::Random(1))).validate() => "IafConfig.made: `dependencies` must be Forward, because `orders` sets the dependencies";

    any_actnorm: any(r#"{"ActNorm": {"features": 0}}"#) => "ActNormConfig.features: must be at least 1, found 0";
    any_batch_norm: any(r#"{"BatchNorm": {"features": 2, "epsilon": 2.0, "momentum": 0.1}}"#) => "BatchNormConfig.epsilon: must be in (0, 1), found 2";
    any_coupling: AnyBijectorConfig::Coupling { univariate: AnyUnivariateConfig::Additive, coupling: coupling(Mask::Halves, 1) }.try_init(&device()) => "CouplingConfig.mask: must keep at least 1 index of event [1], found 0";
    any_autoregressive: AnyBijectorConfig::MaskedAutoregressive { univariate: AnyUnivariateConfig::Additive, autoregressive: MaskedAutoregressiveConfig::new(0) }.try_init(&device()) => "MadeConfig.features: must be at least 1, found 0";
    any_elementwise: any(r#"{"Elementwise": {"univariate": "Additive", "features": 0}}"#) => "Elementwise.features: must be at least 1, found 0";
    any_univariate: any(r#"{"Elementwise": {"univariate": {"Affine": {"SoftBound": {"bound": 0.0}}}, "features": 2}}"#) => "ScaleMap.bound: must be positive and finite, found 0";
    any_leaky_relu: any(r#"{"LeakyRelu": {"slope": -1.0}}"#) => "LeakyRelu.slope: must be positive and finite, found -1";
    any_logit: any(r#"{"Logit": {"alpha": 0.7}}"#) => "Logit.alpha: must be in [0, 0.5), found 0.7";
    any_lu: any(r#"{"LuLinear": {"features": 0}}"#) => "LuLinearConfig.features: must be at least 1, found 0";
    any_dense: any(r#"{"DenseLinear": {"features": 0, "seed": 1}}"#) => "DenseLinearConfig.features: must be at least 1, found 0";
    any_householder: any(r#"{"Householder": {"features": 2, "reflections": 0, "seed": 1}}"#) => "HouseholderConfig.reflections: must be at least 1, found 0";
    any_qr: any(r#"{"QrLinear": {"features": 2, "reflections": 0, "seed": 1}}"#) => "QrLinearConfig.reflections: must be at least 1, found 0";
    any_svd: any(r#"{"SvdLinear": {"features": 0, "reflections": 1, "seed": 1}}"#) => "SvdLinearConfig.features: must be at least 1, found 0";
    any_partial: any(r#"{"Partial": {"features": 2, "mask": {"Kept": [2]}, "inner": ["Exp"]}}"#) => "Partial.mask: must keep indices below 2, found 2";
    any_permutation: any(r#"{"Permutation": {"order": [1, 1]}}"#) => "Permutation.order: must hold each index below 2 once, found [1, 1]";
    any_reverse: any(r#"{"Reverse": {"features": 0}}"#) => "Reverse.features: must be at least 1, found 0";
    any_shuffle: any(r#"{"Shuffle": {"features": 0, "seed": 1}}"#) => "Shuffle.features: must be at least 1, found 0";
    any_inside_a_stack: any(r#"{"Stack": ["Exp", {"Inverse": [{"Logit": {"alpha": 1.0}}]}]}"#) => "Logit.alpha: must be in [0, 0.5), found 1";

    huge_count: ActNormConfig::new(usize::MAX).validate() => "ActNormConfig.features: must be at most 16777216, found 18446744073709551615";
    huge_matrix: LuLinearConfig::new(50_000).validate() => "LuLinearConfig.features: needs a tensor of shape [50000, 50000]; the limit is 2147483648 elements";
    huge_layers: NiceConfig::new(4).with_layers(10_001).validate() => "NiceConfig.layers: must be at most 10000, found 10001";
    huge_steps: Solver::Rk4 { steps: 1 << 40 }.validate() => "Solver.steps: must be at most 10000, found 1099511627776";
    huge_network: MlpConfig::new(vec![1 << 16, 1 << 16]).validate() => "MlpConfig.hidden: needs a tensor of shape [65536, 65536]; the limit is 2147483648 elements";
    huge_context: RealNvpConfig::new(4).with_context(1 << 25).validate() => "MlpConfig.context: must be at most 16777216, found 33554432";
    huge_outputs: any(r#"{"Elementwise": {"univariate": {"Gaussianization": {"components": 65536, "spread": 0.1, "floor": 0.0}}, "features": 65536}}"#) => "Elementwise.features: needs a tensor of shape [131072, 65536]; the limit is 2147483648 elements";
    huge_mask: Mask::Halves.kept(&[1 << 40]) => "Coupling.mask: needs a tensor of shape [1099511627776]; the limit is 2147483648 elements";
    huge_graph: made(Dependencies::Forward).try_init(50_000, 1, 0, &device()) => "MadeConfig.features: needs a tensor of shape [50000, 50000]; the limit is 2147483648 elements";
    huge_levels: GlowConfig::new([1 << 10, 1 << 20, 1 << 20], 20).validate() => "GlowConfig.image: needs a tensor of shape [1024, 1048576, 1048576]; the limit is 2147483648 elements";
    far_bound: rqs_in(SplineDomain::LinearTails { bound: 1e30 }) => "SplineDomain.bound: must be between 1e-6 and 1e6, found 1000000000000000000000000000000";
    near_period: made(Dependencies::Forward).with_periodic(angles(&[0]).map(|p| Periodic { period: 1e-9, ..p })).try_init(3, 1, 0, &device()) => "Periodic.period: must be between 1e-6 and 1e6, found 0.000000001";
    thin_interval: rqs_in(SplineDomain::Interval { low: 1e5, high: 1e5 + 1.0 }) => "SplineDomain.high: must be above low 100000 by a width that f32 resolves, both ends at most 1e6 in magnitude, found 100001";
    steep_logits: QuadraticSplineConfig::new().with_logit_scale(1e9).validate() => "QuadraticSplineConfig.logit_scale: must be at most 1e3 in magnitude, found 1000000000";
    angles_that_a_mask_moves: RealNvpConfig::new(3).with_mlp(MlpConfig::new(vec![4]).with_periodic(angles(&[1]))).validate() => "Periodic.inputs: must be distinct indices below 1, found [1]";
    activation_width: MlpConfig::new(vec![4]).with_activation(ActivationConfig::Burn(BurnActivation::PRelu(PReluConfig::new().with_num_parameters(3)))).validate() => "ActivationConfig.num_parameters: must be the width of every layer [4], found 3";
    activation_gate: MlpConfig::new(vec![4]).with_activation(ActivationConfig::Burn(BurnActivation::SwiGlu(SwiGluConfig::new(4, 8)))).validate() => "ActivationConfig.d_output: must equal d_input (4), found 8";
    activation_number: MlpConfig::new(vec![4]).with_activation(ActivationConfig::Burn(BurnActivation::PRelu(PReluConfig::new().with_alpha(NAN)))).validate() => "ActivationConfig.alpha: must be in [-1e3, 1e3], found NaN";
}
