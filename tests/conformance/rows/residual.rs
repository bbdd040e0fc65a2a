//! Rows of residual and continuous layers.

use burn_flows::bijector::*;
use burn_flows::testing::{Check, Suite};

use crate::layers::*;
use crate::{DEVICE, built};

rows! {
    planar_tanh: PlanarConfig::new(4).init(&DEVICE), [4, 4];
    planar_one_feature: PlanarConfig::new(1).init(&DEVICE), [3, 1];
    planar_leaky: PlanarConfig::new(3).with_activation(RidgeActivation::LeakyRelu { slope: 0.2 }).init(&DEVICE), [4, 3];
    planar_log_softplus: PlanarConfig::new(3).with_constraint(PlanarConstraint::LogSoftplus).with_seed(3).init(&DEVICE), [3, 3];
    planar_context: PlanarConfig::new(3).with_context(2).with_mlp(mlp()).init(&DEVICE), Suite::new([4, 3]).with_context(2);
    planar_image: PlanarConfig::new(6).init(&DEVICE), [3, 1, 2, 3];
    planar_inverse: Inverse::new(PlanarConfig::new(3).with_seed(1).init(&DEVICE)), [4, 3];
    planar_from_weights: Planar::from_weights(tensor([1.0, -2.0]), tensor([-3.0, 0.5]), tensor([0.3]), RidgeActivation::Tanh, PlanarConstraint::Softplus).unwrap(), [4, 2];
    radial: RadialConfig::new(4).init(&DEVICE), [4, 4];
    radial_one_feature: RadialConfig::new(1).init(&DEVICE), [3, 1];
    radial_context: RadialConfig::new(3).with_context(2).with_mlp(mlp()).init(&DEVICE), Suite::new([4, 3]).with_context(2);
    radial_image: RadialConfig::new(4).init(&DEVICE), [3, 2, 2, 1];
    radial_inverse: Inverse::new(RadialConfig::new(3).with_seed(1).init(&DEVICE)), [4, 3];
    radial_inward: Radial::from_weights(tensor([0.0, 0.0]), tensor([2.0]), tensor([-3.0])), [4, 2]; // some rows lie at its centre
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
    // In training every call draws new probes, so no two calls agree.
    contracting_series_in_training: ResidualConfig::new(3).with_hidden(vec![6, 5]).with_training(SERIES).with_fixed_point(TIGHT).init(&DEVICE), Suite::new([4, 3]).without(Check::Derivative).without(Check::Valid).without(Check::RowsIndependent);
    // The estimated log-determinant is not exact.
    contracting_series: ResidualConfig::new(3).with_hidden(vec![6, 5]).with_training(SERIES).with_evaluation(SERIES).with_fixed_point(TIGHT).init(&DEVICE), Suite::new([4, 3]).without(Check::Derivative).without(Check::Valid).without(Check::RowsIndependent).without(Check::Jacobian).without(Check::InverseJacobian);
    block_autoregressive: block(4, 1, 0), Suite::new([4, 4]).autoregressive(&[0, 1, 2, 3]);
    block_autoregressive_deep: block(3, 3, 0), Suite::new([4, 3]).autoregressive(&[0, 1, 2]);
    block_autoregressive_linear: block(3, 0, 0), Suite::new([4, 3]).autoregressive(&[0, 1, 2]);
    block_autoregressive_one_feature: block(1, 1, 0), Suite::new([4, 1]).without(Check::Gradients); // the single weight of a row is normalised to 1
    block_autoregressive_context: block(3, 2, 2), Suite::new([4, 3]).with_context(2).autoregressive(&[0, 1, 2]);
    block_autoregressive_image: block(4, 1, 0), [3, 2, 2, 1];
    block_autoregressive_leaky: BlockNeuralAutoregressiveConfig::new(3).with_block(2).with_leak(0.5).init(&DEVICE), Suite::new([4, 3]).autoregressive(&[0, 1, 2]);
    block_autoregressive_inverse: Inverse::new(block(3, 1, 0)), [4, 3];
    // The solver takes other steps without the log-determinant, and one pass takes long.
    cnf: continuous(2, SmoothActivation::Tanh).init(&DEVICE), Suite::new([2, 2]).without(Check::InverseAgrees);
    cnf_context: continuous(1, SmoothActivation::Softplus).with_context(2).init(&DEVICE), Suite::new([2, 1]).with_context(2).without(Check::InverseAgrees).without(Check::Derivative);
    cnf_fixed_steps: continuous(2, SmoothActivation::Silu).with_hidden(vec![3, 2]).with_solver(Solver::Rk4 { steps: 100 }).init(&DEVICE), Suite::new([2, 1, 2, 1]).without(Check::Derivative);
    // In training every call draws new probes, so no two calls agree.
    cnf_probes: continuous(2, SmoothActivation::Tanh).with_training(PROBES).with_solver(Solver::Rk4 { steps: 100 }).init(&DEVICE), Suite::new([2, 2]).without(Check::Derivative).without(Check::Valid).without(Check::RowsIndependent);
    any_residual: every_residual(), [4, 3];
}
