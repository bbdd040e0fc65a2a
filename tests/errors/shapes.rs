//! Panics of tensors and contexts of a wrong shape.

use burn::module::Module;
use burn::nn::LinearConfig;
use burn::tensor::{Bool, Tensor};
use burn_flows::Flow;
use burn_flows::bijector::*;
use burn_flows::conditioner::{
    ActivationConfig, Conditioner, ConvNet, ConvNetConfig, MadeConfig, MaskedLinear, Mlp,
    MlpConfig, Periodic,
};
use burn_flows::distribution::{DiagNormalConfig, Distribution, Mixture, StandardNormal};
use burn_flows::model::{
    BernsteinFlowConfig, GaussianizationFlowConfig, IafConfig, MafConfig, MafMogConfig,
    NeuralAutoregressiveFlowConfig, NiceConfig, RealNvpConfig, SumOfSquaresFlowConfig,
    UnconstrainedAutoregressiveFlowConfig,
};
use burn_flows::univariate::{
    Affine, AnyUnivariateConfig, BernsteinConfig, DeepSigmoidalConfig, GaussianizationConfig,
    MixtureOfLogisticsConfig, NeuralConfig, PerElement, ScaleMap, SumOfSquaresConfig,
    UnconstrainedMonotonicConfig, Univariate,
};

use crate::{NAN, coupling, dense_matrix, device, zeros};

fn autoregressive(context: usize) -> MaskedAutoregressive<Affine> {
    let config = MaskedAutoregressiveConfig::new(3).with_context(context);
    config.init(Affine::default(), &device())
}

fn reflections(features: usize) -> Reflections {
    Reflections::from_weights(zeros([1, features]) + 1.0)
}

fn actnorm() -> ActNorm {
    ActNormConfig::new(3).init(&device())
}

fn batch_norm() -> BatchNorm {
    BatchNormConfig::new(3).init(&device())
}

fn lu() -> LuLinear {
    LuLinearConfig::new(3).init(&device())
}

fn standardize() -> Standardize<2> {
    Standardize::new(zeros([1, 3]), zeros([1, 3]) + 1.0).unwrap()
}

fn elementwise() -> Elementwise<Affine> {
    Elementwise::new(Affine::default(), 3, &device()).unwrap()
}

fn steered() -> Elementwise<Affine> {
    elementwise().with_context(&MlpConfig::new(vec![4]), 2, &device()).unwrap()
}

fn dense(context: usize) -> Coupling<Affine, Mlp> {
    coupling(Mask::Halves, 3).with_context(context).init(Affine::default(), &device())
}

fn convolved(mask: Mask, context: usize) -> Coupling<Affine, ConvNet> {
    let network = |from, to| ConvNetConfig::new(4).init(from, to, context, &device());
    Coupling::new(&mask, &[2, 2, 3], Affine::default(), network, &device()).unwrap()
}

/// A conditioner of four features that returns one set of parameters for two moved elements.
#[derive(Module, Debug)]
struct OneForAll {
    shift: Tensor<2>,
}

impl Conditioner<2> for OneForAll {
    fn forward(&self, kept: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
        self.shift.clone().expand([kept.dims()[0], 2])
    }
}

fn one_for_all() -> Coupling<Affine, OneForAll> {
    let network = |_, _| OneForAll { shift: zeros([1, 2]) };
    Coupling::new(&Mask::Halves, &[4], Affine::default(), network, &device()).unwrap()
}

fn factors() -> LuFactors {
    LuFactors::identity(3, &device())
}

fn flow(context: usize) -> Flow<Coupling<Affine, Mlp>, StandardNormal<2>> {
    Flow::new(dense(context), StandardNormal::new([3], &device()))
}

const WIDE: [usize; 2] = [2, 4];

fn partial(mask: &Mask, event: &[usize]) -> Partial<Exp> {
    Partial::new(mask, event, Exp {}, &device()).unwrap()
}

panics! {
    init_actnorm: ActNormConfig::new(0).init(&device()) => "ActNormConfig.features: must be at least 1, found 0";
    init_batch_norm: BatchNormConfig::new(1).with_momentum(0.0).init(&device()) => "BatchNormConfig.momentum: must be in (0, 1], found 0";
    init_lu: LuLinearConfig::new(0).init(&device()) => "LuLinearConfig.features: must be at least 1, found 0";
    init_dense: DenseLinearConfig::new(0).init(&device()) => "DenseLinearConfig.features: must be at least 1, found 0";
    init_householder: HouseholderConfig::new(0, 1).init(&device()) => "HouseholderConfig.features: must be at least 1, found 0";
    init_rotation: RotationConfig::new(0).init(&device()) => "RotationConfig.features: must be at least 1, found 0";
    init_qr: QrLinearConfig::new(0, 1).init(&device()) => "QrLinearConfig.features: must be at least 1, found 0";
    init_svd: SvdLinearConfig::new(3, 0).init(&device()) => "SvdLinearConfig.reflections: must be at least 1, found 0";
    init_conv1x1: InvertibleConv1x1Config::new(0).init(&device()) => "InvertibleConv1x1Config.channels: must be at least 1, found 0";
    init_coupling: coupling(Mask::Halves, 1).init(Affine::default(), &device()) => "CouplingConfig.mask: must keep at least 1 index of event [1], found 0";
    init_mlp: MlpConfig::new(vec![]).init(2, 2, 0, &device()) => "MlpConfig.hidden: must be at least 1, found 0";
    init_conv: ConvNetConfig::new(0).init(2, 2, 0, &device()) => "ConvNetConfig.hidden: must be at least 1, found 0";
    init_bernstein: BernsteinConfig::new().with_degree(0).init() => "BernsteinConfig.degree: must be at least 6, found 0";
    init_sum_of_squares: SumOfSquaresConfig::new().with_polynomials(0).init() => "SumOfSquaresConfig.polynomials: must be at least 1, found 0";
    init_gaussianization: GaussianizationConfig::new().with_components(0).init() => "GaussianizationConfig.components: must be at least 1, found 0";
    init_mixture_of_logistics: MixtureOfLogisticsConfig::new().with_components(0).init() => "MixtureOfLogisticsConfig.components: must be at least 1, found 0";
    init_deep_sigmoidal: DeepSigmoidalConfig::new().with_units(0).init() => "DeepSigmoidalConfig.units: must be at least 1, found 0";
    init_neural: NeuralConfig::new().with_signal(0).init(&device()) => "NeuralConfig.signal: must be at least 1, found 0";
    init_unconstrained: UnconstrainedMonotonicConfig::new().with_nodes(0).init(&device()) => "UnconstrainedMonotonicConfig.nodes: must be at least 1, found 0";
    neural_elements: NeuralConfig::new().with_signal(1).with_elements(3).init(&device()).forward(zeros(WIDE), zeros([2, 1, 4])) => "Neural: expected 3 elements, one for each of its networks, found 4";
    unconstrained_elements: UnconstrainedMonotonicConfig::new().with_signal(1).with_elements(3).init(&device()).inverse(zeros(WIDE), zeros([2, 2, 4])) => "UnconstrainedMonotonic: expected 3 elements, one for each of its networks, found 4";
    init_univariate: AnyUnivariateConfig::Affine(ScaleMap::Sigmoid { offset: NAN, floor: 0.0 }).init() => "ScaleMap.offset: must be in [-20, 20], found NaN";
    init_diag_normal: DiagNormalConfig::new(vec![]).init::<2>(&device()) => "DiagNormalConfig.event: must be at least 1, found 0";
    init_diag_normal_rank: DiagNormalConfig::new(vec![2, 2]).init::<2>(&device()) => "DiagNormalConfig.event: must have 1 axes for batches of rank 2, found [2, 2]";
    init_nice: NiceConfig::new(1).init(&device()) => "NiceConfig.features: a coupling needs at least 2 features to split, found 1";
    init_maf: MafConfig::new(4).with_layers(0).init(&device()) => "MafConfig.layers: must be at least 1, found 0";
    init_maf_mog: MafMogConfig::new(MafConfig::new(4), 0).init(&device()) => "MafMogConfig.components: must be at least 1, found 0";
    init_naf: NeuralAutoregressiveFlowConfig::new(4).with_layers(0).init(&device()) => "NeuralAutoregressiveFlowConfig.layers: must be at least 1, found 0";
    init_unaf: UnconstrainedAutoregressiveFlowConfig::new(4).with_layers(0).init(&device()) => "UnconstrainedAutoregressiveFlowConfig.layers: must be at least 1, found 0";
    init_bpf: BernsteinFlowConfig::new(4).with_layers(0).init(&device()) => "BernsteinFlowConfig.layers: must be at least 1, found 0";
    init_sospf: SumOfSquaresFlowConfig::new(4).with_layers(0).init(&device()) => "SumOfSquaresFlowConfig.layers: must be at least 1, found 0";
    init_gf: GaussianizationFlowConfig::new(4).with_layers(0).init(&device()) => "GaussianizationFlowConfig.layers: must be at least 1, found 0";
    init_iaf: IafConfig::new(4).with_layers(0).init(&device()) => "IafConfig.layers: must be at least 1, found 0";
    init_real_nvp: RealNvpConfig::new(4).with_layers(0).init(&device()) => "RealNvpConfig.layers: must be at least 1, found 0";

    actnorm_forward: actnorm().forward(zeros(WIDE), None) => "ActNorm: expected shape [batch, 3], found [2, 4]";
    actnorm_inverse: actnorm().inverse(zeros(WIDE), None) => "ActNorm: expected shape [batch, 3], found [2, 4]";
    actnorm_log_det: actnorm().log_det_jacobian(zeros(WIDE), None) => "ActNorm: expected shape [batch, 3], found [2, 4]";
    actnorm_from_data: actnorm().init_from_data(zeros(WIDE), None) => "ActNorm: expected shape [batch, 3], found [2, 4]";
    actnorm_image: actnorm().forward(zeros([2, 1, 3, 3]), None) => "ActNorm: expected shape [batch, 3, ..], found [2, 1, 3, 3]";
    actnorm_weights: ActNorm::from_weights(zeros([3]), zeros([2])) => "ActNorm: expected shift of shape [3], found [2]";
    batch_norm_forward: batch_norm().forward(zeros(WIDE), None) => "BatchNorm: expected shape [batch, 3], found [2, 4]";
    batch_norm_inverse: batch_norm().inverse(zeros(WIDE), None) => "BatchNorm: expected shape [batch, 3], found [2, 4]";
    batch_norm_inverse_log_det: batch_norm().inverse_with_log_det(zeros(WIDE), None) => "BatchNorm: expected shape [batch, 3], found [2, 4]";
    batch_norm_one_row: batch_norm().train().forward(zeros([1, 3]), None) => "BatchNorm: expected at least 2 rows in a training batch, found 1; evaluate a single row with valid()";
    batch_norm_weights: BatchNormConfig::new(2).with_weights(zeros([2]), zeros([2]), zeros([1]), zeros([2])) => "BatchNorm: expected running mean of shape [2], found [1]";
    lu_forward: lu().forward(zeros(WIDE), None) => "LuLinear: expected shape [batch, 3], found [2, 4]";
    lu_inverse: lu().inverse(zeros(WIDE), None) => "LuLinear: expected shape [batch, 3], found [2, 4]";
    lu_log_det: lu().log_det_jacobian(zeros(WIDE), None) => "LuLinear: expected shape [batch, 3], found [2, 4]";
    lu_bias: LinearMap::new(factors()).with_bias(zeros([1])) => "LuLinear: expected bias of shape [3], found [1]";
    lu_context: LinearMap::new(factors()).with_context(zeros([2, 2])) => "LuLinear: expected context of shape [2, 3], found [2, 2]";
    lu_context_missing: lu().with_context(zeros([2, 3])).forward(zeros([1, 3]), None) => "LuLinear: expected a context of width 2, found none";
    lu_factors: LuFactors::from_weights(zeros([3, 2]), zeros([3]), None) => "LuFactors: expected factors of shape [3, 3], found [3, 2]";
    lu_diagonal: LuFactors::from_weights(zeros([3, 3]), zeros([1]), None) => "LuFactors: expected diagonal of shape [3], found [1]";
    lu_sign: LuFactors::from_weights(zeros([3, 3]), zeros([3]), Some(zeros([2]))) => "LuFactors: expected sign of shape [3], found [2]";
    per_element_width: PerElement::new(vec![Affine::default()], vec![0; 3]).unwrap().forward(zeros([2, 4]), zeros([2, 2, 4])) => "PerElement: expected 3 elements, found 4";
    periodic_input: MlpConfig::new(vec![4]).with_periodic(Some(Periodic { inputs: vec![2], period: 1.0 })).init(2, 1, 0, &device()) => "Periodic.inputs: must be distinct indices below 2, found [2]";
    triangular_forward: TriangularLinearConfig::new(3).init(&device()).forward(zeros(WIDE), None) => "TriangularLinear: expected shape [batch, 3], found [2, 4]";
    triangular_entries: TriangularMatrix::from_weights(zeros([3, 2]), zeros([3])) => "TriangularMatrix: expected entries of shape [3, 3], found [3, 2]";
    triangular_length: TriangularMatrix::from_weights(zeros([3, 3]), zeros([1])) => "TriangularMatrix: expected length of shape [3], found [1]";
    lu_image: lu().forward(zeros([2, 4, 1, 1]), None) => "LuLinear: expected shape [batch, 3, ..], found [2, 4, 1, 1]";
    lu_permutation: factors().permuted(Permutation::reverse(2, &device()).unwrap()) => "LuFactors: expected a permutation of 3 indices, found 2";
    lu_permutation_last: factors().permuted_last(Permutation::reverse(4, &device()).unwrap()) => "LuFactors: expected a permutation of 3 indices, found 4";
    dense_forward: DenseLinearConfig::new(3).init(&device()).forward(zeros(WIDE), None) => "DenseLinear: expected shape [batch, 3], found [2, 4]";
    dense_weight: dense_matrix([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]) => "DenseMatrix: expected entries of shape [3, 3], found [3, 2]";
    householder_inverse: HouseholderConfig::new(3, 1).init(&device()).inverse(zeros(WIDE), None) => "Householder: expected shape [batch, 3], found [2, 4]";
    qr_log_det: QrLinearConfig::new(3, 1).init(&device()).log_det_jacobian(zeros(WIDE), None) => "QrLinear: expected shape [batch, 3], found [2, 4]";
    qr_upper: QrFactors::from_weights(reflections(3), zeros([3, 4]), zeros([3])) => "QrFactors: expected upper of shape [3, 3], found [3, 4]";
    qr_diagonal: QrFactors::from_weights(reflections(3), zeros([3, 3]), zeros([2])) => "QrFactors: expected log_diagonal of shape [3], found [2]";
    svd_forward: SvdLinearConfig::new(3, 1).init(&device()).forward(zeros(WIDE), None) => "SvdLinear: expected shape [batch, 3], found [2, 4]";
    svd_diagonal: SvdFactors::from_weights(reflections(3), zeros([2]), reflections(3)) => "SvdFactors: expected diagonal of shape [3], found [2]";
    svd_right: SvdFactors::from_weights(reflections(3), zeros([3]), reflections(2)) => "SvdFactors: expected right reflections of width 3, found 2";
    permutation_forward: Permutation::reverse(3, &device()).unwrap().forward(zeros(WIDE), None) => "Permutation: expected shape [batch, 3], found [2, 4]";
    permutation_inverse: Permutation::reverse(3, &device()).unwrap().inverse(zeros([2, 4, 1, 1]), None) => "Permutation: expected shape [batch, 3, ..], found [2, 4, 1, 1]";
    bounded_forward: Bounded::new(vec![Bound::Free; 3]).unwrap().forward(zeros(WIDE), None) => "Bounded: expected an event of 3 elements, found shape [2, 4]";
    bounded_inverse: Bounded::new(vec![Bound::Free; 3]).unwrap().inverse(zeros(WIDE), None) => "Bounded: expected an event of 3 elements, found shape [2, 4]";
    standardize_forward: standardize().forward(zeros(WIDE), None) => "Standardize: expected shape [2, 3], found [2, 4]";
    standardize_inverse: standardize().inverse(zeros(WIDE), None) => "Standardize: expected shape [2, 3], found [2, 4]";
    rotation_square: RotationMatrix::from_weights(zeros([2, 3])) => "Rotation: expected a square matrix, found shape [2, 3]";
    rotation_forward: RotationConfig::new(3).init(&device()).forward(zeros(WIDE), None) => "Rotation: expected shape [batch, 3], found [2, 4]";
    elementwise_context_none: steered().forward(zeros([2, 3]), None) => "Elementwise: expected a context of width 2, found none";
    elementwise_context_wide: steered().inverse(zeros([2, 3]), Some(&zeros([2, 5]))) => "Elementwise: expected a context of width 2, found 5";
    elementwise_forward: elementwise().forward(zeros(WIDE), None) => "Elementwise: expected an event of 3 elements, found shape [2, 4]";
    elementwise_inverse: elementwise().inverse(zeros([2, 1, 2, 2]), None) => "Elementwise: expected an event of 3 elements, found shape [2, 1, 2, 2]";
    elementwise_weights: Elementwise::from_weights(Affine::default(), zeros([1, 3])) => "Elementwise: expected parameters of shape [2, elements], found [1, 3]";

    planar_forward: PlanarConfig::new(3).init(&device()).forward(zeros(WIDE), None) => "Planar: expected shape [batch, 3], found [2, 4]";
    planar_image: PlanarConfig::new(3).init(&device()).inverse(zeros([2, 1, 2, 2]), None) => "Planar: expected shape [batch, 3 elements in any shape], found [2, 1, 2, 2]";
    planar_context: PlanarConfig::new(3).with_context(2).init(&device()).forward(zeros([2, 3]), None) => "Planar: expected a context of width 2, found none";
    planar_direction: Planar::from_weights(zeros([3]), zeros([2]), zeros([1]), RidgeActivation::Tanh, PlanarConstraint::Softplus) => "Planar: expected direction of shape [3], found [2]";
    planar_bias: Planar::from_weights(zeros([3]), zeros([3]), zeros([2]), RidgeActivation::Tanh, PlanarConstraint::Softplus) => "Planar: expected bias of shape [1], found [2]";
    radial_inverse: RadialConfig::new(3).init(&device()).inverse(zeros(WIDE), None) => "Radial: expected shape [batch, 3], found [2, 4]";
    radial_context: RadialConfig::new(3).init(&device()).forward(zeros([2, 3]), Some(&zeros([2, 1]))) => "Radial: expected a context of width 0, found 1";
    radial_alpha: Radial::from_weights(zeros([3]), zeros([2]), zeros([1])) => "Radial: expected alpha of shape [1], found [2]";
    radial_beta: Radial::from_weights(zeros([3]), zeros([1]), zeros([3])) => "Radial: expected beta of shape [1], found [3]";
    sylvester_forward: SylvesterConfig::new(3, 2).init(&device()).forward(zeros(WIDE), None) => "Sylvester: expected shape [batch, 3], found [2, 4]";
    residual_forward: ResidualConfig::new(3).init(&device()).forward(zeros(WIDE), None) => "Residual: expected shape [batch, 3], found [2, 4]";
    residual_context: ResidualConfig::new(3).with_context(1).init(&device()).inverse(zeros([2, 3]), Some(&zeros([2, 2]))) => "Residual: expected a context of width 1, found 2";
    block_forward: BlockNeuralAutoregressiveConfig::new(3).init(&device()).forward(zeros(WIDE), None) => "BlockNeuralAutoregressive: expected shape [batch, 3], found [2, 4]";
    block_context: BlockNeuralAutoregressiveConfig::new(3).init(&device()).forward(zeros([2, 3]), Some(&zeros([2, 2]))) => "BlockNeuralAutoregressive: expected a context of width 0, found 2";
    cnf_forward: CnfConfig::new(3).init(&device()).forward(zeros(WIDE), None) => "Cnf: expected shape [batch, 3], found [2, 4]";
    cnf_context: CnfConfig::new(3).with_context(2).init(&device()).inverse(zeros([2, 3]), None) => "Cnf: expected a context of width 2, found none";
    mixture_weights: Mixture::new(vec![StandardNormal::<2>::new([3], &device())], &device()).unwrap().with_weights(zeros([2])) => "Mixture: expected weights of shape [1], found [2]";

    squeeze_odd: Squeeze::default().forward(zeros([1, 1, 3, 2]), None) => "Squeeze: expected an even height and width, found shape [1, 1, 3, 2]";
    squeeze_channels: Squeeze::default().inverse(zeros([1, 6, 1, 1]), None) => "Squeeze: expected channels divisible by 4, found shape [1, 6, 1, 1]";
    squeeze_odd_width: Squeeze::default().forward(zeros([1, 1, 2, 3]), None) => "Squeeze: expected an even height and width, found shape [1, 1, 2, 3]";
    haar_squeeze_odd_height: HaarSqueeze::default().forward(zeros([1, 1, 5, 2]), None) => "HaarSqueeze: expected an even height and width, found shape [1, 1, 5, 2]";
    haar_squeeze_odd_width: HaarSqueeze::default().forward(zeros([1, 1, 2, 1]), None) => "HaarSqueeze: expected an even height and width, found shape [1, 1, 2, 1]";
    haar_squeeze_channels: HaarSqueeze::default().inverse(zeros([1, 6, 1, 1]), None) => "HaarSqueeze: expected channels divisible by 4, found shape [1, 6, 1, 1]";
    conv1x1_channels: InvertibleConv1x1Config::new(3).init(&device()).forward(zeros([1, 2, 1, 1]), None) => "InvertibleConv1x1: expected shape [batch, 3, ..], found [1, 2, 1, 1]";

    conv1x1_inverse: InvertibleConv1x1Config::new(3).init(&device()).inverse(zeros([2, 1, 2, 2]), None) => "InvertibleConv1x1: expected shape [batch, 3, ..], found [2, 1, 2, 2]";

    coupling_forward: dense(0).forward(zeros(WIDE), None) => "Coupling: expected shape [batch, 3], found [2, 4]";
    coupling_inverse: dense(0).inverse(zeros(WIDE), None) => "Coupling: expected shape [batch, 3], found [2, 4]";
    coupling_channels: convolved(Mask::Halves, 0).forward(zeros([1, 3, 2, 3]), None) => "Coupling: expected shape [batch, 2, ..], found [1, 3, 2, 3]";
    coupling_pixels: convolved(Mask::Checkerboard, 0).forward(zeros([1, 2, 2, 4]), None) => "Coupling: expected shape [batch, 2, 2, 3], found [1, 2, 2, 4]";
    coupling_turned_image: convolved(Mask::Checkerboard, 0).inverse(zeros([1, 2, 3, 2]), None) => "Coupling: expected shape [batch, 2, 2, 3], found [1, 2, 3, 2]";
    partial_forward: partial(&Mask::Halves, &[3]).forward(zeros(WIDE), None) => "Partial: expected shape [batch, 3], found [2, 4]";
    partial_pixels: partial(&Mask::Checkerboard, &[2, 2, 3]).inverse(zeros([1, 2, 2, 4]), None) => "Partial: expected shape [batch, 2, 2, 3], found [1, 2, 2, 4]";
    coupling_parameters: one_for_all().forward(zeros([3, 4]), None) => "Coupling: expected 2 parameters for each of 2 elements from the conditioner, found shape [3, 2]";
    context_missing: dense(2).forward(zeros([4, 3]), None) => "Mlp: expected a context of width 2, found none";
    context_wide: dense(2).inverse(zeros([4, 3]), Some(&zeros([4, 3]))) => "Mlp: expected a context of width 2, found 3";
    context_unexpected: dense(0).forward(zeros([4, 3]), Some(&zeros([4, 2]))) => "Mlp: expected a context of width 0, found 2";
    context_missing_for_images: convolved(Mask::Halves, 1).forward(zeros([1, 2, 2, 3]), None) => "ConvNet: expected a context of width 1, found none";
    context_wide_for_images: convolved(Mask::Checkerboard, 1).inverse(zeros([1, 2, 2, 3]), Some(&zeros([1, 2]))) => "ConvNet: expected a context of width 1, found 2";
    context_unexpected_for_images: convolved(Mask::Halves, 0).forward(zeros([1, 2, 2, 3]), Some(&zeros([1, 1]))) => "ConvNet: expected a context of width 0, found 1";
    mlp_input: MlpConfig::new(vec![4]).init(3, 1, 0, &device()).forward(zeros(WIDE), None) => "Mlp: expected an input of width 3, found 4";
    mlp_layers_narrow: {
        let linear = |from, to| LinearConfig::new(from, to).init(&device());
        let activation = ActivationConfig::Relu.init(&device());
        Mlp::from_layers(linear(2, 4), vec![], vec![], linear(4, 2), activation, 3)
    } => "Mlp: expected an input layer of at least the context's width 3, found 2";

    init_made: MadeConfig::new(vec![]).init(2, 1, 0, &device()) => "MadeConfig.hidden: must be at least 1, found 0";
    init_made_outputs: MadeConfig::new(vec![8]).init(2, 0, 0, &device()) => "MadeConfig.outputs: must be at least 1, found 0";
    init_autoregressive: MaskedAutoregressiveConfig::new(0).init(Affine::default(), &device()) => "MadeConfig.features: must be at least 1, found 0";
    made_input: MadeConfig::new(vec![8]).init(3, 1, 0, &device()).forward(zeros(WIDE), None) => "Made: expected an input of width 3, found 4";
    made_mask: MaskedLinear::new(LinearConfig::new(2, 3).init(&device()), Tensor::<2, Bool>::from_data([[true, true], [true, true]], &device())) => "MaskedLinear: expected a mask of shape [2, 3], found [2, 2]";
    autoregressive_outputs: MaskedAutoregressive::new(Affine::default(), MadeConfig::new(vec![8]).init(3, 3, 0, &device())) => "MaskedAutoregressive: expected 2 parameters per feature from the network, found 3";
    autoregressive_forward: autoregressive(0).forward(zeros(WIDE), None) => "MaskedAutoregressive: expected shape [batch, 3], found [2, 4]";
    autoregressive_inverse: autoregressive(0).inverse(zeros(WIDE), None) => "MaskedAutoregressive: expected shape [batch, 3], found [2, 4]";
    autoregressive_image: autoregressive(0).inverse_with_log_det(zeros([2, 1, 2, 2]), None) => "MaskedAutoregressive: expected shape [batch, 3 elements in any shape], found [2, 1, 2, 2]";
    autoregressive_context_missing: autoregressive(2).inverse(zeros([4, 3]), None) => "Made: expected a context of width 2, found none";
    autoregressive_context_wide: autoregressive(2).forward(zeros([4, 3]), Some(&zeros([4, 3]))) => "Made: expected a context of width 2, found 3";
    autoregressive_context_unexpected: autoregressive(0).inverse(zeros([4, 3]), Some(&zeros([4, 1]))) => "Made: expected a context of width 0, found 1";

    flow_event: flow(0).log_prob(zeros(WIDE)) => "Coupling: expected shape [batch, 3], found [2, 4]";
    flow_context_missing: flow(1).log_prob(zeros([2, 3])) => "Mlp: expected a context of width 1, found none";
    flow_context_rows: flow(1).given(&zeros([2, 1])).log_prob(zeros([3, 3])) => "Flow: expected a context of 1 or 3 rows, found 2";
    flow_sample_rows: flow(1).given(&zeros([3, 1])).sample(4) => "Flow: expected a context of 1 or 4 rows, found 3";
    flow_batch: flow(0).log_prob_batched(zeros([3, 3]), 0) => "log_prob_batched: expected a batch of at least 1 row, found 0";
    flow_base: Flow::new(Exp {}, StandardNormal::<2>::new([3], &device())).log_prob(zeros(WIDE)) => "StandardNormal: expected an event of shape [3] after the batch axis, found shape [2, 4]";
    diag_normal_shape: DiagNormalConfig::new(vec![3]).init::<2>(&device()).log_prob(zeros(WIDE), None) => "DiagNormal: expected an event of shape [3] after the batch axis, found shape [2, 4]";
}
