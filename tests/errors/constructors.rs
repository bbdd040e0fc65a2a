//! Errors of constructors of layers that take a number.

use burn::tensor::Tensor;
use burn_flows::bijector::{
    Elementwise, InverseMethod, MaskedAutoregressiveConfig, Permutation, Planar, PlanarConstraint,
    RidgeActivation, Solver,
};
use burn_flows::conditioner::{Dropout, MlpConfig};
use burn_flows::distribution::{ConditionalNormalConfig, DiagNormalConfig, StudentTConfig};
use burn_flows::model::GlowConfig;
use burn_flows::train::Reversible;
use burn_flows::univariate::{Affine, HalfTurn, NeuralConfig, PerElement, ScaleMap};

use crate::device;

const NAN: f64 = f64::NAN;

fn free() -> Elementwise<Affine> {
    Elementwise::new(Affine::default(), 3, &device()).unwrap()
}

fn planar(slope: f64) -> burn_flows::Result<Planar> {
    let [weight, direction] = [(); 2].map(|()| Tensor::zeros([3], &device()));
    let activation = RidgeActivation::LeakyRelu { slope };
    let bias = Tensor::zeros([1], &device());
    Planar::from_weights(weight, direction, bias, activation, PlanarConstraint::Softplus)
}

errors! {
    reverse_none: Permutation::reverse(0, &device()) => "Permutation.features: must be at least 1, found 0";
    random_none: Permutation::random(0, 1, &device()) => "Permutation.features: must be at least 1, found 0";
    random_many: Permutation::random(usize::MAX, 1, &device()) => "Permutation.features: must be at most 16777216, found 18446744073709551615";
    elementwise_none: Elementwise::new(Affine::default(), 0, &device()) => "Elementwise.elements: must be at least 1, found 0";
    elementwise_of_others: Elementwise::new(NeuralConfig::new().with_elements(3).init(&device()), 2, &device()) => "Elementwise.univariate: expected a map of 2 elements, found 3 elements";
    elementwise_no_context: free().with_context(&MlpConfig::new(vec![4]), 0, &device()) => "Elementwise.context: must be at least 1, found 0";
    elementwise_network: free().with_context(&MlpConfig::new(vec![0]), 1, &device()) => "MlpConfig.hidden: must be at least 1, found 0";
    affine_bound: Affine::new(ScaleMap::SoftBound { bound: 0.0 }) => "ScaleMap.bound: must be positive and finite, found 0";
    half_turn_bound: HalfTurn::new(Affine::default(), NAN) => "HalfTurn.bound: must be positive and finite, found NaN";
    per_element_none: PerElement::new(vec![Affine::default()], vec![]) => "PerElement.which: must hold at least 1 index, all below 1, found []";
    per_element_map: PerElement::new(vec![Affine::default()], vec![0, 1]) => "PerElement.which: must hold at least 1 index, all below 1, found [0, 1]";
    per_element_of_others: PerElement::new(vec![NeuralConfig::new().with_elements(3).init(&device())], vec![0, 0]) => "PerElement.univariate: expected a map of 2 elements, found 3 elements";
    dropout: Dropout::new(-0.1) => "Dropout.prob: must be in [0, 1), found -0.1";
    autoregressive_inverse: MaskedAutoregressiveConfig::new(3).init(Affine::default(), &device()).with_inverse(InverseMethod::FixedPoint { tolerance: NAN }) => "InverseMethod.tolerance: must be at least 0 and finite, found NaN";
    cnf_solver: burn_flows::bijector::CnfConfig::new(2).init(&device()).with_solver(Solver::Rk4 { steps: 0 }) => "Solver.steps: must be at least 1, found 0";
    planar_slope: planar(0.0) => "RidgeActivation.slope: must be in (0, 1], found 0";
    temperature: GlowConfig::new([1, 4, 4], 1).init(&device()).with_temperature(-1.0) => "MultiScale.temperature: must be at least 0 and finite, found -1";
    limit: Reversible::new().with_limit(f64::INFINITY) => "Reversible.limit: must be at least 0 and finite, found inf";
    diag_normal_rank: DiagNormalConfig::new(vec![2, 2]).try_init::<2>(&device()) => "DiagNormalConfig.event: must have 1 axes for batches of rank 2, found [2, 2]";
    student_t_rank: StudentTConfig::new(vec![2], 3.0).try_init::<4>(&device()) => "StudentTConfig.event: must have 3 axes for batches of rank 4, found [2]";
    conditional_normal_rank: ConditionalNormalConfig::new(vec![2], 1, MlpConfig::new(vec![4])).try_init::<4>(&device()) => "ConditionalNormalConfig.event: must have 3 axes for batches of rank 4, found [2]";
}
