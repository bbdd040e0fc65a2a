//! The rows.

use burn::nn::PReluConfig;
use burn::nn::activation::ActivationConfig as BurnActivation;
use burn::tensor::Tensor;
use burn_flows::Noise;
use burn_flows::bijector::*;
use burn_flows::conditioner::{
    ActivationConfig, Degrees, Dependencies, MadeConfig, MlpConfig, Normalization,
};
use burn_flows::model::{
    AutoregressiveNsfConfig, AutoregressiveNsfStep, ChannelMixing, CircularNsfConfig, GfConfig,
    MafConfig, MafMogConfig, Masks, NiceConfig, NsfConfig, NsfStep, Orders, PlanarFlowConfig,
    RealNvpConfig, ResidualFlowConfig, ResidualFlowStep, StepNorm,
};
use burn_flows::testing::{Check, Suite};
use burn_flows::univariate::{
    Additive, Affine, AnyUnivariateConfig, BernsteinConfig, CubicSplineConfig, DeepSigmoidalConfig,
    GaussianizationConfig, HalfTurn, KnotMap, LinearSplineConfig, MixtureOfLogisticsConfig,
    PerElement, QuadraticSplineConfig, RationalQuadratic, ScaleMap, SplineDomain,
    SumOfSquaresConfig, TailSlope,
};

use crate::layers::*;
use crate::{DEVICE, built};

const LOGIT: f64 = 0.05;
const INFINITY: f64 = f64::INFINITY;

rows! {
    actnorm_vector: actnorm(4), [4, 4];
    actnorm_one_feature: actnorm(1), [3, 1];
    actnorm_image: actnorm(4), [2, 4, 3, 3];
    actnorm_series: actnorm(2), [3, 2, 3];
    actnorm_from_weights: ActNorm::from_weights(Tensor::ones([3], &*DEVICE), Tensor::ones([3], &*DEVICE)), [4, 3];

    batch_norm_fresh: BatchNormConfig::new(3).init(&DEVICE), [4, 3];
    batch_norm_trained: batch_norm(5), [6, 5];

    lu_size_1: lu(1), Suite::new([3, 1]).without(Check::Gradients); // nothing off the diagonal
    lu_size_2: lu(2), [3, 2];
    lu_size_3: lu(3), [3, 3];
    lu_size_8: lu(8), [3, 8];
    lu_signed: signed_lu(), [4, 3];

    triangular_size_1: TriangularLinearConfig::new(1).init(&DEVICE), Suite::new([3, 1]).without(Check::Gradients); // one direction, and nothing below the diagonal
    triangular_size_4: TriangularLinearConfig::new(4).init(&DEVICE), [3, 4];
    triangular_image: LinearMap::new(TriangularMatrix::identity(3, &DEVICE)), [2, 3, 2, 1];
    lu_context: lu(3).with_context(Noise::seeded(1).normal([2, 3], &DEVICE)), Suite::new([3, 3]).with_context(2);
    lu_context_image: LinearMap::new(LuFactors::identity(2, &DEVICE)).with_context(Noise::seeded(1).normal([1, 2], &DEVICE)), Suite::new([3, 2, 2, 1]).with_context(1);
    lu_image: lu(3), [2, 3, 2, 1];
    lu_permuted: LinearMap::new(LuFactors::identity(4, &DEVICE).transposed().permuted(Permutation::random(4, 1, &DEVICE))), [3, 4];
    dense_size_1: DenseLinearConfig::new(1).init(&DEVICE), [3, 1];
    dense_size_4: DenseLinearConfig::new(4).init(&DEVICE), [3, 4];
    dense_size_7: DenseLinearConfig::new(7).with_seed(2).init(&DEVICE), [3, 7];
    dense_image: LinearMap::new(DenseMatrix::from_weights(Tensor::from_data([[2.0, 1.0], [-1.0, 3.0]], &*DEVICE)).unwrap()), [2, 2, 3, 2];
    householder_one: HouseholderConfig::new(3, 1).init(&DEVICE), [3, 3];
    householder_full: HouseholderConfig::new(4, 4).init(&DEVICE), [3, 4];
    householder_more: HouseholderConfig::new(2, 5).init(&DEVICE), [3, 2];
    householder_image: LinearMap::new(Reflections::from_weights(Tensor::from_data([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0]], &*DEVICE))), [2, 3, 2, 1];
    rotation_size_1: RotationConfig::new(1).init(&DEVICE), Suite::new([3, 1]).without(Check::Gradients); // one direction
    rotation_size_2: RotationConfig::new(2).init(&DEVICE), [3, 2];
    rotation_size_5: RotationConfig::new(5).with_seed(3).init(&DEVICE), [3, 5];
    rotation_small: LinearMap::new(RotationMatrix::from_weights(Tensor::zeros([3, 3], &*DEVICE))), [3, 3];
    rotation_image: RotationConfig::new(3).init(&DEVICE), [2, 3, 2, 1];
    rotation_any: any(r#"{"Stack": [{"Rotation": {"features": 3, "seed": 1}}, {"Softclip": {"bound": 9.0}}]}"#), near([3, 3]);
    qr_size_1: QrLinearConfig::new(1, 1).init(&DEVICE), Suite::new([3, 1]).without(Check::Gradients); // one direction, and nothing above the diagonal
    qr_size_4: QrLinearConfig::new(4, 2).init(&DEVICE), [3, 4];
    qr_size_7: QrLinearConfig::new(7, 7).with_seed(3).init(&DEVICE), [3, 7];
    qr_image: QrLinearConfig::new(3, 3).init(&DEVICE), [2, 3, 1, 2];
    svd_size_1: SvdLinearConfig::new(1, 2).init(&DEVICE), Suite::new([3, 1]).without(Check::Gradients); // one direction
    svd_size_4: SvdLinearConfig::new(4, 2).init(&DEVICE), [3, 4];
    svd_size_7: SvdLinearConfig::new(7, 7).with_seed(3).init(&DEVICE), [3, 7];
    svd_image: SvdLinearConfig::new(3, 3).init(&DEVICE), [2, 3, 1, 2];

    permutation_reverse: Permutation::reverse(5, &DEVICE), [3, 5];
    permutation_random: Permutation::random(8, 4, &DEVICE), [3, 8];
    permutation_given: Permutation::given(&[2, 0, 1], &DEVICE).unwrap(), [3, 3];
    permutation_image: Permutation::given(&[1, 2, 0], &DEVICE).unwrap(), [2, 3, 2, 1];

    conv1x1_permuted_last: permuted_last(), [2, 3, 2, 2];
    partial: Partial::new(&Mask::Kept(vec![1, 3]), &[4], actnorm(2), &DEVICE).unwrap(), [4, 4];
    partial_context: Partial::new(&Mask::Halves, &[5], affine(coupling(3, Mask::Halves).with_context(2)), &DEVICE).unwrap(), Suite::new([3, 5]).with_context(2);
    partial_image: Partial::new(&Mask::Checkerboard, &[1, 2, 3], lu(3), &DEVICE).unwrap(), [3, 1, 2, 3];
    unconditional: Unconditional::new(affine(coupling(4, Mask::Halves))), [3, 4];
    elementwise_affine: Elementwise::new(Affine::default(), 4, &DEVICE), [3, 4];
    elementwise_affine_image: Elementwise::new(Affine::default(), 12, &DEVICE), [2, 3, 2, 2];
    elementwise_additive: Elementwise::new(Additive::default(), 3, &DEVICE), [3, 3];
    elementwise_additive_image: Elementwise::new(Additive::default(), 6, &DEVICE), [2, 1, 2, 3];
    elementwise_any: Elementwise::new(AnyUnivariateConfig::Additive.init(), 3, &DEVICE), [3, 3];

    standardize_vector: standardize([9, 3]), [4, 3];
    standardize_image: standardize([9, 2, 2, 2]), [3, 2, 2, 2];

    exp: Exp {}, Suite::new([3, 4]).with_domain(-50.0, 50.0).with_range(0.0, INFINITY).with_range_edges(&[0.0, -1.0]);
    exp_image: Exp {}, Suite::new([2, 1, 2, 2]).with_domain(-50.0, 50.0).with_range(0.0, INFINITY);
    exp_inverse: Inverse::new(Exp {}), Suite::new([3, 4]).with_range(-50.0, 50.0).with_domain(0.0, INFINITY).with_edges(&[0.0, -1.0]);
    softplus: Softplus {}, Suite::new([3, 4]).with_domain(-50.0, INFINITY).with_edges(&[-1e4]).with_range(0.0, INFINITY).with_range_edges(&[0.0, -1.0]);
    softplus_inverse: Inverse::new(Softplus {}), Suite::new([3, 4]).with_range(-50.0, INFINITY).with_domain(0.0, INFINITY).with_edges(&[0.0, -1.0]);
    tanh: Tanh {}, Suite::new([3, 4]).with_domain(-3.0, 3.0).with_edges(&[-1e4, 1e4, 19.0]).with_range(-1.0, 1.0).with_range_edges(&[-1.0, 1.0, -2.0]);
    tanh_inverse: Inverse::new(Tanh {}), Suite::new([2, 2, 2, 1]).with_range(-3.0, 3.0).with_domain(-1.0, 1.0).with_edges(&[-1.0, 1.0, -2.0]);
    softclip: Softclip::new(11.0).unwrap(), Suite::new([3, 4]).with_edges(&[11.0, 1e30]).with_range(-11.0, 11.0).with_range_edges(&[11.0, -11.0, 11.0 - 1e-6, 1e30]).without(Check::RoundTripFar); // far out z rounds to the bound
    softclip_image: Inverse::new(Softclip::new(5.0).unwrap()), Suite::new([2, 2, 2, 1]).with_domain(-5.0, 5.0).with_range(-4.0, 4.0);
    elementwise_context: Elementwise::new(Affine::default(), 4, &DEVICE).with_context(&mlp(), 2, &DEVICE), Suite::new([3, 4]).with_context(2);
    elementwise_context_image: Elementwise::new(Additive::default(), 8, &DEVICE).with_context(&mlp(), 3, &DEVICE), Suite::new([2, 2, 2, 2]).with_context(3);
    elementwise_context_gaussianization: Elementwise::new(GaussianizationConfig::new().with_components(3).init(), 3, &DEVICE).with_context(&residual(), 2, &DEVICE), near([3, 3]).with_context(2);
    elementwise_context_any: any(r#"{"ElementwiseContext": {"univariate": {"Affine": "Exp"}, "features": 3, "context": 2, "mlp": {"hidden": [4], "activation": "Silu", "dropout": 0.0, "residual": false, "zero_last": true}}}"#), near([3, 3]).with_context(2);
    leaky_tanh: LeakyTanh::new(1.5).unwrap(), Suite::new([3, 4]).with_domain(-4.0, 4.0).with_edges(&[1.5, -1.5, 1e30, -1e30]).with_range(-1.5, 1.5).with_range_edges(&[1.0, -1.0, 1e30]);
    leaky_tanh_late: LeakyTanh::new(8.0).unwrap(), Suite::new([2, 3]).with_domain(-3.0, 3.0).with_edges(&[9.0, 8.0, 1e4]).with_range(-0.99, 0.99);
    leaky_tanh_image: Inverse::new(LeakyTanh::new(0.3).unwrap()), [2, 2, 2, 1];
    leaky_relu: LeakyRelu::new(0.1).unwrap(), [3, 4];
    leaky_relu_steep: LeakyRelu::new(3.0).unwrap(), [2, 2, 2, 2];
    leaky_relu_inverse: Inverse::new(LeakyRelu::new(0.2).unwrap()), [3, 3];
    logit: Logit::new(0.0).unwrap(), Suite::new([3, 4]).with_domain(0.0, 1.0).with_edges(&[0.0, 1.0, -1.0, 2.0]).with_range(-8.0, 8.0).with_range_edges(&[-1e4, 1e4]);
    logit_alpha: Logit::new(LOGIT).unwrap(), Suite::new([3, 4]).with_domain(0.0, 1.0).with_edges(&[0.0, 1.0, 7.0, -LOGIT / (1.0 - 2.0 * LOGIT), (1.0 - LOGIT) / (1.0 - 2.0 * LOGIT)]).with_range(-8.0, 8.0);
    logit_image: Logit::new(LOGIT).unwrap(), Suite::new([2, 1, 3, 2]).with_domain(0.0, 1.0).with_edges(&[0.0, 1.0]).with_range(-8.0, 8.0);
    sigmoid: Sigmoid::new(Logit::new(0.0).unwrap()), Suite::new([3, 4]).with_domain(-8.0, 8.0).with_edges(&[-1e4, 1e4]).with_range(0.0, 1.0).with_range_edges(&[0.0, 1.0, 2.0]);

    coupling_halves: affine(coupling(4, Mask::Halves)), [3, 4];
    coupling_halves_odd: affine(coupling(5, Mask::Halves)), [3, 5];
    coupling_halves_flipped: affine(coupling(5, Mask::Halves.flipped())), [3, 5];
    coupling_alternating: affine(coupling(5, Mask::Alternating)), [3, 5];
    coupling_alternating_flipped: affine(coupling(5, Mask::Alternating.flipped())), [3, 5];
    coupling_random: affine(coupling(7, Mask::Random(5))), [3, 7];
    coupling_random_flipped: affine(coupling(6, Mask::Random(5).flipped())), [3, 6];
    coupling_kept: affine(coupling(6, Mask::Kept(vec![4, 0]))), [3, 6];
    coupling_kept_last: affine(coupling(4, Mask::Kept(vec![3]))), [3, 4];
    coupling_kept_flipped: affine(coupling(6, Mask::Kept(vec![4, 0, 5]).flipped())), [3, 6];
    coupling_two_features: affine(coupling(2, Mask::Alternating)), [3, 2];
    coupling_context: affine(coupling(4, Mask::Halves).with_context(2)), Suite::new([3, 4]).with_context(2);
    coupling_additive: coupling(5, Mask::Alternating).init(Additive::default(), &DEVICE), [3, 5];
    coupling_additive_context: coupling(4, Mask::Kept(vec![2])).with_context(1).init(Additive::default(), &DEVICE), Suite::new([3, 4]).with_context(1);
    coupling_any_univariate: coupling(4, Mask::Halves).init(AnyUnivariateConfig::Affine(ScaleMap::Exp).init(), &DEVICE), Suite::new([3, 4]).with_domain(-4.0, 4.0).with_range(-4.0, 4.0);

    scale_soft_bound: scaled(ScaleMap::SoftBound { bound: 2.0 }), [3, 4];
    scale_exp: scaled(ScaleMap::Exp), Suite::new([3, 4]).with_domain(-4.0, 4.0).with_range(-4.0, 4.0);
    scale_sigmoid: scaled(ScaleMap::Sigmoid { offset: 2.0, floor: 1e-3 }), [3, 4];
    scale_sigmoid_no_floor: scaled(ScaleMap::Sigmoid { offset: 2.0, floor: 0.0 }), Suite::new([3, 4]).with_domain(-4.0, 4.0).with_range(-4.0, 4.0);
    scale_inverse_sigmoid: scaled(ScaleMap::InverseSigmoid { offset: 2.0 }), Suite::new([3, 4]).with_domain(-4.0, 4.0).with_range(-4.0, 4.0);
    scale_softplus: scaled(ScaleMap::Softplus { offset: 0.5413, floor: 1e-2 }), [3, 4];

    rqs_coupling: spline(rqs(8, TAILS).init()), at_ends(3.0);
    rqs_coupling_two_bins: spline(rqs(2, TAILS).init()), at_ends(3.0);
    rqs_coupling_context: coupling(4, Mask::Halves).with_context(2).init(rqs(5, TAILS).init(), &DEVICE), at_ends(3.0).with_context(2);
    rqs_coupling_unit: spline(rqs(6, UNIT).init()), inside(0.0, 1.0);
    rqs_coupling_interval: spline(rqs(3, SplineDomain::Interval { low: -2.0, high: 5.0 }).init()), inside(-2.0, 5.0);
    rqs_coupling_circle: spline(rqs(5, CIRCLE).init()), at_ends(std::f64::consts::PI);
    rqs_coupling_soft_bound: spline(rqs(5, TAILS).with_knot_map(ZUKO).init()), at_ends(3.0);
    rqs_coupling_free_ends: spline(rqs(4, SplineDomain::Interval { low: -3.0, high: 3.0 }).init()), at_ends(3.0);
    rqs_coupling_scaled: spline(rqs(4, TAILS).with_knot_map(KnotMap::Softmax { logit_scale: 0.25, slope_offset: Some(0.0) }).init()), at_ends(3.0);
    rqs_image: image(rqs(4, TAILS).init(), Mask::Checkerboard, [1, 2, 3], 0), [2, 1, 2, 3];
    rqs_elementwise: Elementwise::<RationalQuadratic>::new(rqs(8, TAILS).init(), 4, &DEVICE), at_ends(3.0).without(Check::Gradients); // a slope moves the values of its two bins only
    rqs_elementwise_circle: Elementwise::new(rqs(2, CIRCLE).init(), 4, &DEVICE), at_ends(std::f64::consts::PI);
    rqs_elementwise_unit: Elementwise::new(rqs(2, UNIT).init(), 4, &DEVICE), inside(0.0, 1.0);
    half_turn: spline(HalfTurn::new(rqs(4, ANGLE).init(), std::f64::consts::PI)), on_circle();
    half_turn_any: spline(AnyUnivariateConfig::HalfTurn { bound: std::f64::consts::PI, spline: rqs(3, ANGLE).with_knot_map(ZUKO) }.init()), on_circle();
    rqs_autoregressive: masked_spline(4, 0, rqs(5, TAILS).init()), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_context: masked_spline(4, 2, rqs(3, TAILS).init()), at_ends(3.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_passes: masked_spline(4, 0, rqs(4, TAILS).init()).with_inverse(InverseMethod::Passes), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_unit: masked_spline(4, 0, rqs(6, UNIT).init()), inside(0.0, 1.0).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_unit_passes: masked_spline(4, 0, rqs(3, UNIT).init()).with_inverse(InverseMethod::Passes), inside(0.0, 1.0).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_circle: masked_spline(4, 0, rqs(4, CIRCLE).init()), at_ends(std::f64::consts::PI).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_circle_passes: masked_spline(4, 1, rqs(4, CIRCLE).init()).with_inverse(InverseMethod::Passes), at_ends(std::f64::consts::PI).with_context(1).autoregressive(&[0, 1, 2, 3]);
    linear_spline_coupling: spline(linear(8, TAILS)), at_ends(3.0);
    linear_spline_coupling_two_bins: spline(linear(2, TAILS)), at_ends(3.0);
    linear_spline_coupling_unit: spline(linear(6, UNIT)), inside(0.0, 1.0);
    linear_spline_coupling_circle: spline(linear(5, CIRCLE)), at_ends(std::f64::consts::PI);
    linear_spline_coupling_no_floor: spline(LinearSplineConfig::new().with_bins(5).with_domain(UNIT).with_min_height(0.0).init()), inside(0.0, 1.0);
    linear_spline_autoregressive: masked_spline(4, 0, linear(5, TAILS)), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    linear_spline_autoregressive_unit: masked_spline(4, 2, linear(3, UNIT)), inside(0.0, 1.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    linear_spline_elementwise: Elementwise::new(linear(4, TAILS), 4, &DEVICE), at_ends(3.0);
    linear_spline_any: spline(AnyUnivariateConfig::LinearSpline(LinearSplineConfig::new()).init()), at_ends(5.0);

    quadratic_spline_coupling: spline(quadratic(8, TAILS)), at_ends(3.0);
    quadratic_spline_coupling_two_bins: spline(quadratic(2, TAILS)), at_ends(3.0);
    quadratic_spline_coupling_unit: spline(quadratic(6, UNIT)), inside(0.0, 1.0);
    quadratic_spline_coupling_circle: spline(quadratic(5, CIRCLE)), at_ends(std::f64::consts::PI);
    quadratic_spline_coupling_as_nflows: spline(QuadraticSplineConfig::new().with_bins(5).with_domain(TAILS).with_tail_slope(TailSlope::Nflows).with_logit_scale(0.5).init()), at_ends(3.0);
    quadratic_spline_autoregressive: masked_spline(4, 0, quadratic(5, TAILS)), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    quadratic_spline_autoregressive_unit: masked_spline(4, 2, quadratic(3, UNIT)), inside(0.0, 1.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    quadratic_spline_elementwise: Elementwise::new(quadratic(3, CIRCLE), 4, &DEVICE), at_ends(std::f64::consts::PI);
    quadratic_spline_any: spline(AnyUnivariateConfig::QuadraticSpline(QuadraticSplineConfig::new()).init()), at_ends(5.0);

    cubic_spline_coupling: spline(cubic(8, TAILS)), at_ends(3.0);
    cubic_spline_coupling_two_bins: spline(cubic(2, TAILS)), at_ends(3.0);
    cubic_spline_coupling_unit: spline(cubic(6, UNIT)), inside(0.0, 1.0);
    cubic_spline_coupling_circle: spline(cubic(5, CIRCLE)), at_ends(std::f64::consts::PI);
    cubic_spline_coupling_two_bins_circle: spline(cubic(2, CIRCLE)), at_ends(std::f64::consts::PI);
    cubic_spline_coupling_as_nflows: spline(CubicSplineConfig::new().with_bins(5).with_domain(TAILS).with_min_slope(0.0).with_end_offset(Some(0.0)).with_logit_scale(0.5).init()), at_ends(3.0);
    cubic_spline_autoregressive: masked_spline(4, 0, cubic(5, TAILS)), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    cubic_spline_autoregressive_unit: masked_spline(4, 2, cubic(3, UNIT)), inside(0.0, 1.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    cubic_spline_elementwise: Elementwise::new(cubic(2, UNIT), 4, &DEVICE), inside(0.0, 1.0);
    cubic_spline_any: spline(AnyUnivariateConfig::CubicSpline(CubicSplineConfig::new()).init()), at_ends(5.0);
    per_element: Elementwise::new(mixed(), 4, &DEVICE), at_ends(3.0).without(Check::Gradients); // only the third map needs all parameters
    per_element_bounds: Elementwise::new(bounds(), 4, &DEVICE), at_ends(3.0).without(Check::Gradients); // a slope moves the values of its two bins only
    per_element_coupling: spline(PerElement::new(vec![rqs(3, TAILS).init(), rqs(2, TAILS).init()], vec![1, 1])), at_ends(3.0).without(Check::Gradients); // the larger map has no element
    per_element_masked: masked_spline(4, 0, bounds()), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    per_element_masked_context: masked_spline(4, 1, bounds()), at_ends(3.0).with_context(1);
    per_element_masked_kinds: masked_spline(4, 0, mixed()), at_ends(3.0).without(Check::Gradients);
    per_element_passes: masked_spline(4, 0, bounds()).with_inverse(InverseMethod::Passes), at_ends(3.0);
    per_element_half_turn: with_angles(made(), HalfTurn::new(PerElement::new(vec![rqs(3, ANGLE).init(), rqs(3, ANGLE).with_knot_map(ZUKO).init()], vec![1, 0, 1, 1]), std::f64::consts::PI)), on_circle();
    periodic_coupling: with_angle(0), at_ends(3.0);
    periodic_coupling_context: with_angle(2), at_ends(3.0).with_context(2);
    periodic_masked: with_angles(made(), rqs(3, CIRCLE).init()), at_ends(std::f64::consts::PI).autoregressive(&[3, 2, 1, 0]);
    periodic_masked_residual: with_angles(made_residual(), rqs(3, CIRCLE).init()), at_ends(std::f64::consts::PI);
    periodic_masked_passes: with_angles(made(), Affine::default()).with_inverse(InverseMethod::Passes), near([3, 4]);
    rqs_any: spline(AnyUnivariateConfig::RationalQuadratic(rqs(4, TAILS)).init()), at_ends(3.0);

    bernstein_coupling: spline(BernsteinConfig::new().init()), at_ends(5.0);
    bernstein_coupling_context: coupling(4, Mask::Halves).with_context(2).init(BernsteinConfig::new().with_degree(6).with_bound(2.0).init(), &DEVICE), at_ends(2.0).with_context(2);
    bernstein_autoregressive: masked(BernsteinConfig::new().with_degree(9).init(), 0), at_ends(5.0).autoregressive(&[0, 1, 2, 3]);
    bernstein_free: free(BernsteinConfig::new().with_degree(8).with_min_rise(0.0).init()), at_ends(5.0);
    bernstein_any: spline(AnyUnivariateConfig::Bernstein(BernsteinConfig::new()).init()), at_ends(5.0);
    sum_of_squares_coupling: spline(SumOfSquaresConfig::new().init()), straight_ends(100.0);
    sum_of_squares_autoregressive: masked(SumOfSquaresConfig::new().with_degree(2).with_bound(3.0).init(), 2), straight_ends(30.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    sum_of_squares_free: free(SumOfSquaresConfig::new().with_degree(7).with_polynomials(1).with_spread(0.0).init()), straight_ends(100.0);
    sum_of_squares_any: spline(AnyUnivariateConfig::SumOfSquares(SumOfSquaresConfig::new()).init()), straight_ends(100.0);
    gaussianization_coupling: spline(GaussianizationConfig::new().init()), kernels();
    gaussianization_coupling_one: spline(GaussianizationConfig::new().with_components(1).with_spread(0.0).init()), kernels();
    gaussianization_autoregressive: masked(GaussianizationConfig::new().with_components(3).init(), 2), kernels().with_context(2).autoregressive(&[0, 1, 2, 3]);
    gaussianization_free: free(GaussianizationConfig::new().with_components(4).with_spread(3.0).init()), straight_ends(1e6);
    gaussianization_floor: free(GaussianizationConfig::new().with_components(4).with_floor(1e-6).init()), Suite::new([3, 4]).with_domain(-3.0, 3.0).with_range(-2.5, 2.5);
    gaussianization_any: spline(AnyUnivariateConfig::Gaussianization(GaussianizationConfig::new()).init()), kernels();
    mixture_of_logistics_coupling: spline(MixtureOfLogisticsConfig::new().init()), kernels();
    mixture_of_logistics_autoregressive: masked(MixtureOfLogisticsConfig::new().with_components(3).init(), 2), kernels().with_context(2).autoregressive(&[0, 1, 2, 3]);
    mixture_of_logistics_free: free(MixtureOfLogisticsConfig::new().with_components(2).with_spread(4.0).init()), straight_ends(1e6);
    mixture_of_logistics_image: image(MixtureOfLogisticsConfig::new().with_components(2).init(), Mask::Checkerboard, [1, 2, 3], 0), [2, 1, 2, 3];
    mixture_of_logistics_any: spline(AnyUnivariateConfig::MixtureOfLogistics(MixtureOfLogisticsConfig::new()).init()), kernels();
    deep_sigmoidal_coupling: spline(DeepSigmoidalConfig::new().init()), kernels();
    deep_sigmoidal_deep: spline(DeepSigmoidalConfig::new().with_units(3).with_layers(3).init()), kernels();
    deep_sigmoidal_autoregressive: masked(DeepSigmoidalConfig::new().with_units(2).with_layers(2).init(), 2), kernels().with_context(2).autoregressive(&[0, 1, 2, 3]);
    deep_sigmoidal_free: free(DeepSigmoidalConfig::new().with_units(5).init()), straight_ends(1e6);
    deep_sigmoidal_any: spline(AnyUnivariateConfig::DeepSigmoidal(DeepSigmoidalConfig::new()).init()), kernels();
    neural_coupling: spline(neural(0)), straight_ends(1e6);
    neural_coupling_each: spline(neural(2)), straight_ends(1e6);
    neural_autoregressive: masked(neural(0), 2), straight_ends(1e6).with_context(2).autoregressive(&[0, 1, 2, 3]);
    neural_autoregressive_each: masked(neural(4), 2), straight_ends(1e6).with_context(2).autoregressive(&[0, 1, 2, 3]);
    neural_reversed: MaskedAutoregressiveConfig::new(4).with_made(made().with_dependencies(Dependencies::Reversed)).init(neural(4), &DEVICE), straight_ends(1e6).autoregressive(&[3, 2, 1, 0]);
    neural_free: free(neural(4)), straight_ends(1e6);
    neural_any: masked(any_neural(), 0), straight_ends(1e6).autoregressive(&[0, 1, 2, 3]);
    unconstrained_coupling: spline(unconstrained(0)), straight_ends(20.0);
    unconstrained_coupling_each: spline(unconstrained(2)), straight_ends(20.0);
    unconstrained_autoregressive: masked(unconstrained(0), 2), straight_ends(20.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    unconstrained_autoregressive_each: masked(unconstrained(4), 0), straight_ends(20.0).autoregressive(&[0, 1, 2, 3]);
    unconstrained_free: free(unconstrained(4)), straight_ends(20.0);
    neural_passes: masked(neural(4), 0).with_inverse(InverseMethod::Passes), near([3, 4]).autoregressive(&[0, 1, 2, 3]);
    unconstrained_fixed_point: masked(unconstrained(4), 0).with_inverse(InverseMethod::FixedPoint { tolerance: 1e-13 }), near([3, 4]).autoregressive(&[0, 1, 2, 3]);
    // The other way round, the gradients of parameters go through the search.
    inverse_bernstein: Inverse::new(spline(BernsteinConfig::new().with_degree(8).init())), near([3, 4]);
    inverse_sum_of_squares: Inverse::new(masked(SumOfSquaresConfig::new().init(), 2)), near([3, 4]).with_context(2);
    inverse_gaussianization: Inverse::new(masked(GaussianizationConfig::new().with_components(3).init(), 0)), near([3, 4]);
    inverse_mixture_of_logistics: Inverse::new(spline(MixtureOfLogisticsConfig::new().with_components(3).init())), near([3, 4]);
    inverse_deep_sigmoidal: Inverse::new(masked(DeepSigmoidalConfig::new().with_units(3).with_layers(2).init(), 0)), near([3, 4]);
    inverse_neural: Inverse::new(masked(neural(4), 0)), near([3, 4]);
    inverse_neural_shared: Inverse::new(spline(neural(0))), near([3, 4]);
    inverse_unconstrained: Inverse::new(masked(unconstrained(4), 2)), near([3, 4]).with_context(2);
    inverse_free: Inverse::new(free(neural(4))), near([3, 4]);

    mlp_one_layer: affine(CouplingConfig::new(4).with_mlp(MlpConfig::new(vec![7]))), [3, 4];
    mlp_random_last: affine(CouplingConfig::new(4).with_mlp(mlp().with_zero_last(false))), [3, 4];
    mlp_residual: affine(CouplingConfig::new(4).with_mlp(residual())), [3, 4];
    mlp_residual_context: affine(CouplingConfig::new(4).with_mlp(residual()).with_context(3)), Suite::new([3, 4]).with_context(3);
    mlp_tanh: activated(BurnActivation::Tanh), [3, 4];
    mlp_gelu: activated(BurnActivation::Gelu), [3, 4];
    mlp_prelu: activated(BurnActivation::PRelu(PReluConfig::new())), [3, 4];
    mlp_relu: activated(BurnActivation::Relu), [3, 4];

    autoregressive_forward: autoregressive(5, made(), 0), near([3, 5]).autoregressive(&[0, 1, 2, 3, 4]);
    autoregressive_reversed: autoregressive(5, made().with_dependencies(Dependencies::Reversed), 0), near([3, 5]).autoregressive(&[4, 3, 2, 1, 0]);
    autoregressive_order: autoregressive(4, made().with_dependencies(Dependencies::Order(vec![2, 0, 3, 1])), 0), near([3, 4]).autoregressive(&[2, 0, 3, 1]);
    autoregressive_random: autoregressive(6, made().with_dependencies(Dependencies::Random(3)).with_degrees(Degrees::Random(1)), 0), near([3, 6]).autoregressive(&Noise::seeded(3).permutation(6));
    autoregressive_many_steps: autoregressive(19, MadeConfig::new(vec![40, 41]).with_degrees(Degrees::Random(2)), 0), near([2, 19]).autoregressive(&(0..19).collect::<Vec<_>>());
    autoregressive_context: autoregressive(4, made(), 2), near([3, 4]).with_context(2).autoregressive(&[0, 1, 2, 3]);
    autoregressive_one_layer: autoregressive(3, MadeConfig::new(vec![4]), 0), near([3, 3]).autoregressive(&[0, 1, 2]);
    autoregressive_random_last: autoregressive(4, made().with_zero_last(false), 0), near([3, 4]).autoregressive(&[0, 1, 2, 3]);
    autoregressive_residual: autoregressive(5, made_residual(), 0), near([3, 5]).autoregressive(&[0, 1, 2, 3, 4]);
    autoregressive_residual_random: autoregressive(6, made_residual().with_dependencies(Dependencies::Random(8)).with_degrees(Degrees::Random(5)), 2), near([3, 6]).with_context(2).autoregressive(&Noise::seeded(8).permutation(6));
    autoregressive_residual_many_steps: autoregressive(17, MadeConfig::new(vec![36, 36]).with_residual(true), 1), near([2, 17]).with_context(1).autoregressive(&(0..17).collect::<Vec<_>>());
    autoregressive_graph: autoregressive(5, made().with_dependencies(graph()), 0), near([3, 5]).autoregressive(&[1, 3, 4, 2, 0]);
    autoregressive_graph_residual: autoregressive(5, made_residual().with_dependencies(graph()), 1), near([3, 5]).with_context(1).autoregressive(&[4, 2, 3, 0, 1]);
    autoregressive_adjacency: autoregressive(3, made().with_dependencies(Dependencies::Adjacency(vec![vec![false, true, true], vec![false; 3], vec![false; 3]])), 0), near([3, 3]).autoregressive(&[2, 1, 0]);
    // One feature sees nothing, so the first layer of its network has no gradient.
    autoregressive_one_feature: autoregressive(1, made(), 0), near([3, 1]).without(Check::Gradients);
    autoregressive_one_feature_context: autoregressive(1, made_residual(), 2), near([3, 1]).with_context(2).without(Check::Gradients);
    autoregressive_two_features: autoregressive(2, made(), 0), near([3, 2]).autoregressive(&[0, 1]);
    autoregressive_passes: autoregressive(4, made(), 1).with_inverse(InverseMethod::Passes), near([3, 4]).with_context(1).autoregressive(&[0, 1, 2, 3]);
    autoregressive_fixed_point: autoregressive(4, made_residual(), 0).with_inverse(InverseMethod::FixedPoint { tolerance: 1e-13 }), near([3, 4]).autoregressive(&[0, 1, 2, 3]);
    autoregressive_additive: MaskedAutoregressiveConfig::new(4).with_made(made()).init(Additive::default(), &DEVICE), near([3, 4]).autoregressive(&[0, 1, 2, 3]);
    autoregressive_image: autoregressive(8, made(), 0), near([2, 2, 2, 2]).autoregressive(&[0, 1, 2, 3, 4, 5, 6, 7]);
    autoregressive_inverse: Inverse::new(autoregressive(4, made_residual(), 1)), near([3, 4]).with_context(1);
    autoregressive_any: any_autoregressive(), near([3, 3]).autoregressive(&[0, 1, 2]);
    autoregressive_prelu: autoregressive(3, MadeConfig::new(vec![5]).with_activation(ActivationConfig::Burn(BurnActivation::PRelu(PReluConfig::new()))), 0), near([3, 3]);

    conv_halves: image(Affine::default(), Mask::Halves, [4, 2, 2], 0), [2, 4, 2, 2];
    conv_halves_flipped: image(Affine::default(), Mask::Halves.flipped(), [3, 2, 2], 0), [2, 3, 2, 2];
    conv_alternating: image(Affine::default(), Mask::Alternating, [3, 2, 3], 0), [2, 3, 2, 3];
    conv_random: image(Affine::default(), Mask::Random(1), [4, 2, 1], 0), [2, 4, 2, 1];
    conv_kept: image(Affine::default(), Mask::Kept(vec![1]), [3, 2, 2], 0), [2, 3, 2, 2];
    conv_checkerboard: image(Affine::default(), Mask::Checkerboard, [1, 4, 4], 0), [2, 1, 4, 4];
    conv_checkerboard_odd: image(Affine::default(), Mask::Checkerboard, [2, 3, 3], 0), [2, 2, 3, 3];
    conv_folded: image(Affine::default(), Mask::FoldedCheckerboard, [3, 3, 2], 0), [2, 3, 3, 2];
    conv_folded_flipped: image(Affine::default(), Mask::FoldedCheckerboard.flipped(), [1, 2, 4], 1), Suite::new([2, 1, 2, 4]).with_context(1);
    conv_checkerboard_flipped: image(Affine::default(), Mask::Checkerboard.flipped(), [1, 3, 2], 0), [2, 1, 3, 2];
    conv_context: image(Affine::default(), Mask::Halves, [2, 2, 2], 3), Suite::new([2, 2, 2, 2]).with_context(3);
    conv_checkerboard_context: image(Affine::default(), Mask::Checkerboard, [1, 2, 3], 2), Suite::new([2, 1, 2, 3]).with_context(2);
    squeeze: Squeeze::default(), Suite::new([2, 1, 4, 2]).with_latent_shape([2, 4, 2, 1]).without(Check::EventWidth); // takes every even size
    squeeze_pixel_major: Squeeze::new(SqueezeOrder::PixelMajor), Suite::new([2, 2, 2, 4]).with_latent_shape([2, 8, 1, 2]).without(Check::EventWidth);
    squeeze_inverse: Inverse::new(Squeeze::default()), Suite::new([2, 4, 2, 1]).with_latent_shape([2, 1, 4, 2]).without(Check::EventWidth);
    squeeze_actnorm: (Squeeze::default(), ActNormConfig::new(4).init(&DEVICE)), Suite::new([2, 1, 4, 2]).with_latent_shape([2, 4, 2, 1]).without(Check::EventWidth);
    haar_squeeze: HaarSqueeze::default(), Suite::new([2, 2, 4, 2]).with_latent_shape([2, 8, 2, 1]).without(Check::EventWidth);
    haar_squeeze_pixel_major: HaarSqueeze::new(SqueezeOrder::PixelMajor), Suite::new([2, 3, 2, 2]).with_latent_shape([2, 12, 1, 1]).without(Check::EventWidth);
    glow_convolution: glow_level(ChannelMixing::Convolution(Conv1x1Matrix::Lu), 0), Suite::new([2, 1, 2, 4]).with_domain(-3.0, 3.0).with_range(-3.0, 3.0).without(Check::EventWidth);
    glow_qr: glow_level(ChannelMixing::Convolution(Conv1x1Matrix::Qr), 0), Suite::new([2, 1, 2, 2]).with_domain(-3.0, 3.0).with_range(-3.0, 3.0).without(Check::EventWidth);
    glow_shuffle_context: glow_level(ChannelMixing::Shuffle, 2), Suite::new([2, 1, 4, 2]).with_context(2).with_domain(-3.0, 3.0).with_range(-3.0, 3.0).without(Check::EventWidth);
    glow_reverse: glow_level(ChannelMixing::Reverse, 0), Suite::new([2, 1, 2, 2]).with_domain(-3.0, 3.0).with_range(-3.0, 3.0).without(Check::EventWidth);
    real_nvp_image: real_nvp_level(), Suite::new([2, 1, 2, 4]).with_domain(-3.0, 3.0).with_range(-3.0, 3.0).without(Check::EventWidth);
    conv1x1: InvertibleConv1x1Config::new(4).init(&DEVICE), [2, 4, 2, 1];
    conv1x1_odd: mixing(3, Conv1x1Matrix::Lu), [2, 3, 2, 1];
    conv1x1_one: mixing(1, Conv1x1Matrix::Lu), Suite::new([2, 1, 2, 2]).without(Check::Gradients);
    conv1x1_plain: mixing(4, Conv1x1Matrix::Plain), [2, 4, 2, 1];
    conv1x1_plain_one: mixing(1, Conv1x1Matrix::Plain), [2, 1, 2, 2];
    conv1x1_householder: mixing(4, Conv1x1Matrix::Householder), [2, 4, 1, 2];
    conv1x1_householder_odd: mixing(3, Conv1x1Matrix::Householder), [2, 3, 2, 2];
    conv1x1_qr: mixing(4, Conv1x1Matrix::Qr), [2, 4, 2, 1];
    conv1x1_qr_odd: mixing(3, Conv1x1Matrix::Qr), [2, 3, 1, 2];
    conv1x1_svd: mixing(4, Conv1x1Matrix::Svd), [2, 4, 2, 1];
    conv1x1_svd_odd: mixing(3, Conv1x1Matrix::Svd), [2, 3, 1, 2];
    conv_actnorm: glow_net(Normalization::ActNorm, 0), [3, 4, 2, 2];
    conv_weight_norm: glow_net(Normalization::Weight, 2), Suite::new([2, 4, 2, 2]).with_context(2);
    conv_residual: residual_image(Normalization::Weight, Mask::Checkerboard, 0), [2, 2, 2, 2];
    conv_residual_actnorm: residual_image(Normalization::ActNorm, Mask::Halves, 0), [3, 2, 2, 2];
    conv_residual_context: residual_image(Normalization::None, Mask::Halves, 2), Suite::new([2, 2, 2, 2]).with_context(2);
    option_some: Some(ActNormConfig::new(2).init(&DEVICE)), [3, 2, 2, 2];
    option_stack: (None::<ActNorm>, Some(LuLinearConfig::new(3).init(&DEVICE))), [3, 3];
    conv_additive: image(Additive::default(), Mask::Checkerboard.flipped(), [2, 2, 2], 0), [2, 2, 2, 2];

    planar_tanh: PlanarConfig::new(4).init(&DEVICE), [4, 4];
    planar_one_feature: PlanarConfig::new(1).init(&DEVICE), [3, 1];
    planar_leaky: PlanarConfig::new(3).with_activation(RidgeActivation::LeakyRelu { slope: 0.2 }).init(&DEVICE), [4, 3];
    planar_log_softplus: PlanarConfig::new(3).with_constraint(PlanarConstraint::LogSoftplus).with_seed(3).init(&DEVICE), [3, 3];
    planar_context: PlanarConfig::new(3).with_context(2).with_mlp(mlp()).init(&DEVICE), Suite::new([4, 3]).with_context(2);
    planar_image: PlanarConfig::new(6).init(&DEVICE), [3, 1, 2, 3];
    planar_inverse: Inverse::new(PlanarConfig::new(3).with_seed(1).init(&DEVICE)), [4, 3];
    planar_from_weights: Planar::from_weights(tensor([1.0, -2.0]), tensor([-3.0, 0.5]), tensor([0.3]), RidgeActivation::Tanh, PlanarConstraint::Softplus), [4, 2];
    radial: RadialConfig::new(4).init(&DEVICE), [4, 4];
    radial_one_feature: RadialConfig::new(1).init(&DEVICE), [3, 1];
    radial_context: RadialConfig::new(3).with_context(2).with_mlp(mlp()).init(&DEVICE), Suite::new([4, 3]).with_context(2);
    radial_image: RadialConfig::new(4).init(&DEVICE), [3, 2, 2, 1];
    radial_inverse: Inverse::new(RadialConfig::new(3).with_seed(1).init(&DEVICE)), [4, 3];
    radial_inward: Radial::from_weights(tensor([0.0, 0.0]), tensor([2.0]), tensor([-3.0])), [4, 2]; // rows at its centre
    sylvester: SylvesterConfig::new(5, 3).init(&DEVICE), [4, 5];
    sylvester_one_unit: SylvesterConfig::new(3, 1).init(&DEVICE), [4, 3];
    sylvester_full: SylvesterConfig::new(3, 3).with_reflections(1).with_seed(2).init(&DEVICE), [4, 3];
    sylvester_leaky: SylvesterConfig::new(4, 2).with_activation(RidgeActivation::LeakyRelu { slope: 0.5 }).init(&DEVICE), [4, 4];
    sylvester_context: SylvesterConfig::new(4, 2).with_context(2).with_mlp(mlp()).init(&DEVICE), Suite::new([4, 4]).with_context(2);
    sylvester_image: SylvesterConfig::new(4, 2).init(&DEVICE), [3, 1, 2, 2];
    contracting: residual_block(2, 0), [4, 2];
    contracting_one_feature: residual_block(1, 0), [3, 1];
    contracting_five: residual_block(5, 0), [4, 5];
    contracting_context: residual_block(3, 2), Suite::new([4, 3]).with_context(2);
    contracting_image: residual_block(4, 0), [3, 1, 2, 2];
    contracting_one_layer: ResidualConfig::new(3).with_hidden(vec![5]).with_activate_input(true).with_fixed_point(TIGHT).init(&DEVICE), [4, 3];
    contracting_inverse: Inverse::new(residual_block(3, 0)), [4, 3];
    // In training every row has probes of its own: no two calls agree.
    contracting_series_in_training: ResidualConfig::new(3).with_hidden(vec![6, 5]).with_training(SERIES).with_fixed_point(TIGHT).init(&DEVICE), Suite::new([4, 3]).without(Check::Derivative).without(Check::Valid).without(Check::RowsIndependent);
    // An estimate is no determinant.
    contracting_series: ResidualConfig::new(3).with_hidden(vec![6, 5]).with_training(SERIES).with_evaluation(SERIES).with_fixed_point(TIGHT).init(&DEVICE), Suite::new([4, 3]).without(Check::Derivative).without(Check::Valid).without(Check::RowsIndependent).without(Check::Jacobian).without(Check::InverseJacobian);
    contracting_flow: ResidualFlowConfig::new(3).with_layers(2).with_hidden(vec![6]).init(&DEVICE).into_parts().0, [4, 3];
    contracting_flow_steps: Vec::<ResidualFlowStep>::new(), [3, 4];
    planar_flow: PlanarFlowConfig::new(3).with_layers(3).init(&DEVICE).into_parts().0, [4, 3];
    planar_flow_context: PlanarFlowConfig::new(3).with_layers(2).with_mlp(mlp()).with_context(2).init_inverse(&DEVICE).into_parts().0, Suite::new([4, 3]).with_context(2);
    block_autoregressive: block(4, 1, 0), Suite::new([4, 4]).autoregressive(&[0, 1, 2, 3]);
    block_autoregressive_deep: block(3, 3, 0), Suite::new([4, 3]).autoregressive(&[0, 1, 2]);
    block_autoregressive_linear: block(3, 0, 0), Suite::new([4, 3]).autoregressive(&[0, 1, 2]);
    block_autoregressive_one_feature: block(1, 1, 0), Suite::new([4, 1]).without(Check::Gradients); // its one weight per row is made positive and of length 1
    block_autoregressive_context: block(3, 2, 2), Suite::new([4, 3]).with_context(2).autoregressive(&[0, 1, 2]);
    block_autoregressive_image: block(4, 1, 0), [3, 2, 2, 1];
    block_autoregressive_leaky: BlockNeuralAutoregressiveConfig::new(3).with_block(2).with_leak(0.5).init(&DEVICE), Suite::new([4, 3]).autoregressive(&[0, 1, 2]);
    block_autoregressive_inverse: Inverse::new(block(3, 1, 0)), [4, 3];
    // With and without a log-determinant it takes other steps, and a pass takes long.
    cnf: continuous(2, SmoothActivation::Tanh).init(&DEVICE), Suite::new([2, 2]).without(Check::InverseAgrees);
    cnf_context: continuous(1, SmoothActivation::Softplus).with_context(2).init(&DEVICE), Suite::new([2, 1]).with_context(2).without(Check::InverseAgrees).without(Check::Derivative);
    cnf_fixed_steps: continuous(2, SmoothActivation::Silu).with_hidden(vec![3, 2]).with_solver(Solver::Rk4 { steps: 100 }).init(&DEVICE), Suite::new([2, 1, 2, 1]).without(Check::Derivative);
    // In training every row has probes of its own: no two calls agree.
    cnf_probes: continuous(2, SmoothActivation::Tanh).with_training(PROBES).with_solver(Solver::Rk4 { steps: 100 }).init(&DEVICE), Suite::new([2, 2]).without(Check::Derivative).without(Check::Valid).without(Check::RowsIndependent);
    any_residual: every_residual(), [4, 3];

    vec_empty: Vec::<ActNorm>::new(), [3, 4];
    vec_couplings: vec![affine(coupling(4, Mask::Halves)), affine(coupling(4, Mask::Halves.flipped()))], Suite::new([3, 4]).with_domain(-9.0, 9.0).with_range(-9.0, 9.0);
    vec_of_vecs: vec![vec![actnorm(3), actnorm(3)], vec![actnorm(3)]], [4, 3];
    tuple_2: (actnorm(4), affine(coupling(4, Mask::Halves).with_context(1))), Suite::new([4, 4]).with_context(1);
    tuple_3: (actnorm(3), lu(3), LeakyRelu::new(0.3).unwrap()), [4, 3];
    tuple_image: (actnorm(2), Permutation::reverse(2, &DEVICE), image(Affine::default(), Mask::Halves, [2, 2, 2], 0)), [3, 2, 2, 2];
    tuple_4: (lu(3), actnorm(3), Permutation::reverse(3, &DEVICE), lu(3)), [4, 3];
    tuple_5: (lu(3), actnorm(3), lu(3), actnorm(3), Permutation::random(3, 1, &DEVICE)), [4, 3];
    tuple_6: (Logit::new(LOGIT).unwrap(), actnorm(3), lu(3), actnorm(3), lu(3), actnorm(3)), Suite::new([4, 3]).with_domain(0.0, 1.0).with_range(-2.0, 2.0);
    tuple_7: (actnorm(3), lu(3), actnorm(3), lu(3), actnorm(3), lu(3), Elementwise::new(Affine::default(), 3, &DEVICE)), [4, 3];
    tuple_8: (lu(3), actnorm(3), lu(3), LeakyRelu::new(0.5).unwrap(), lu(3), actnorm(3), lu(3), Inverse::new(lu(3))), [4, 3];
    tuple_with_batch_norm: (batch_norm(3), lu(3)), [4, 3];

    inverse_coupling: Inverse::new(affine(coupling(4, Mask::Halves).with_context(2))), Suite::new([3, 4]).with_context(2);
    inverse_actnorm: Inverse::new(actnorm(3)), [4, 3];
    inverse_inverse: Inverse::new(Inverse::new(lu(3))), [4, 3];
    inverse_stack: Inverse::new((lu(3), vec![actnorm(3)])), [4, 3];
    inverse_batch_norm: Inverse::new(batch_norm(3)), [4, 3];

    any_stack: any(r#"{"Stack": [{"ActNorm": {"features": 3}}, {"Reverse": {"features": 3}}, {"LuLinear": {"features": 3}}, {"LeakyRelu": {"slope": 0.5}}, {"Shuffle": {"features": 3, "seed": 2}}]}"#), [4, 3];
    any_nested: any(r#"{"Stack": [{"Inverse": [{"ActNorm": {"features": 3}}, {"LuLinear": {"features": 3}}]}, {"Stack": [{"Permutation": {"order": [1, 2, 0]}}, {"Elementwise": {"univariate": "Additive", "features": 3}}]}]}"#), [4, 3];
    any_bounded: any(r#"{"Stack": [{"Logit": {"alpha": 0.05}}, "Tanh", {"Inverse": ["Tanh"]}, "Softplus", {"Inverse": ["Softplus"]}, "Exp", {"Inverse": ["Exp"]}]}"#), Suite::new([4, 3]).with_domain(0.0, 1.0).with_range(-3.0, 3.0);
    any_linear: any(r#"{"Stack": [{"DenseLinear": {"features": 3, "seed": 1}}, {"Householder": {"features": 3, "reflections": 2, "seed": 1}}, {"QrLinear": {"features": 3, "reflections": 1, "seed": 2}}, {"SvdLinear": {"features": 3, "reflections": 2, "seed": 3}}]}"#), [3, 3];
    any_triangular: any(r#"{"Stack": [{"TriangularLinear": {"features": 3}}, {"LeakyTanh": {"turn": 2.0}}]}"#), Suite::new([4, 3]).with_domain(-3.0, 3.0).with_range(-1.0, 1.0);
    any_coupling_context: any_coupling(2), Suite::new([3, 3]).with_context(2);
    any_partial: any(r#"{"Partial": {"features": 4, "mask": "Halves", "inner": [{"ActNorm": {"features": 2}}, {"LuLinear": {"features": 2}}]}}"#), [4, 4];
    any_batch_norm: any(r#"{"BatchNorm": {"features": 3, "epsilon": 1e-5, "momentum": 0.1}}"#), [4, 3];
    any_standardize: AnyBijector::Stack(vec![AnyBijector::Standardize(standardize([7, 3])), any_coupling(0)]), [3, 3];

    nsf: NsfConfig::new(4).with_layers(2).with_mlp(mlp()).with_elementwise(Some(rqs(3, TAILS))).init(&DEVICE).into_parts().0, at_ends(5.0);
    nsf_linear_context: NsfConfig::new(3).with_layers(2).with_mlp(mlp()).with_masks(Masks::Halves).with_linear(true).with_context(2).init(&DEVICE).into_parts().0, Suite::new([3, 3]).with_context(2);
    nsf_steps: Vec::<NsfStep>::new(), [3, 4];
    nsf_autoregressive: masked_nsf(AutoregressiveNsfConfig::new(4).with_elementwise(Some(rqs(3, TAILS)))), at_ends(5.0);
    nsf_autoregressive_linear_context: masked_nsf(AutoregressiveNsfConfig::new(3).with_orders(Orders::Random(2)).with_linear(true).with_context(2)), Suite::new([3, 3]).with_context(2);
    nsf_autoregressive_steps: Vec::<AutoregressiveNsfStep>::new(), [3, 4];
    naf: naf_steps(false, 0), near([3, 4]);
    naf_shared_context: naf_steps(true, 2), near([3, 4]).with_context(2);
    unaf: unaf_steps(false, 0), near([3, 4]);
    unaf_shared_context: unaf_steps(true, 2), near([3, 4]).with_context(2);
    bpf: bpf_steps(0), at_ends(5.0);
    bpf_context: bpf_steps(2), at_ends(5.0).with_context(2);
    sospf: sospf_steps(0), near([3, 4]);
    sospf_context: sospf_steps(2), near([3, 4]).with_context(2);
    gf: GfConfig::new(4).with_kernels(GaussianizationConfig::new().with_components(3)).init(&DEVICE).into_parts().0, near([3, 4]);
    gf_context: gf_steps(2), near([3, 4]).with_context(2);
    nsf_circular: angles(CircularNsfConfig::new(4)), at_ends(std::f64::consts::PI);
    nsf_circular_context: angles(CircularNsfConfig::new(4).with_orders(Orders::Random(1)).with_context(2)), inside(-std::f64::consts::PI, std::f64::consts::PI).with_context(2);
    nice: NiceConfig::new(4).with_mlp(mlp()).init(&DEVICE).into_parts().0, [3, 4];
    nice_context: NiceConfig::new(3).with_mlp(mlp()).with_masks(Masks::Halves).with_context(2).init(&DEVICE).into_parts().0, Suite::new([3, 3]).with_context(2);
    maf: maf_steps(StepNorm::None, Orders::Alternating, false, 0), near([3, 4]);
    maf_actnorm: maf_steps(StepNorm::ActNorm, Orders::Alternating, false, 0), near([4, 4]);
    maf_batch_norm: maf_steps(StepNorm::BatchNorm, Orders::Random(1), false, 0), near([4, 4]);
    maf_linear_context: maf_steps(StepNorm::ActNorm, Orders::Random(2), true, 2), near([4, 4]).with_context(2);
    maf_one_feature: MafConfig::new(1).with_made(made()).with_layers(2).init(&DEVICE).into_parts().0, near([4, 1]).without(Check::Gradients);
    maf_mog: MafMogConfig::new(MafConfig::new(3).with_made(made()).with_layers(1), 2).init(&DEVICE).into_parts().0, near([4, 3]);
    iaf: iaf_steps(Orders::Alternating, false, 0), near([3, 3]);
    iaf_linear_context: iaf_steps(Orders::Random(3), true, 2), near([3, 3]).with_context(2);
    real_nvp: RealNvpConfig::new(4).with_layers(3).with_mlp(mlp()).init(&DEVICE).into_parts().0, Suite::new([3, 4]).with_domain(-9.0, 9.0).with_range(-9.0, 9.0);
    real_nvp_random: RealNvpConfig::new(5).with_layers(4).with_masks(Masks::Random(1)).with_mlp(residual()).with_context(2).init(&DEVICE).into_parts().0, Suite::new([3, 5]).with_context(2).with_domain(-3.0, 3.0).with_range(-3.0, 3.0);
}
