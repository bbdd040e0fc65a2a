//! Residual and continuous flows.

use std::f64::consts::PI;

use burn::tensor::Device;
use burn_flows::bijector::{BlockNeuralAutoregressiveConfig, CnfConfig, LogDet, Solver};
use burn_flows::model::{PlanarFlowConfig, ResidualFlowConfig};
use burn_flows::prelude::*;
use burn_flows::train::{fit, nll};

use crate::{bent, built, fitting, gap_on_moons};

#[test]
fn planar_flow_bends_a_normal_into_two_moons() {
    let flow = PlanarFlowConfig::new(2).with_layers(24).with_seed(2).init(&Device::flex());
    let gap = gap_on_moons(flow, 20, 5e-3);
    assert!((0.0..0.12).contains(&gap), "{gap} nats above the true density");
}

fn residual_flow() -> ResidualFlowConfig {
    ResidualFlowConfig::new(2).with_layers(6).with_hidden(vec![32, 32]).with_lipschitz(0.97)
}

#[test]
fn residual_flow_learns_two_moons_near_their_entropy() {
    let flow = built(&Device::flex(), |device| residual_flow().init(device));
    let gap = gap_on_moons(flow, 14, 3e-2);
    assert!((0.0..0.12).contains(&gap), "{gap} nats above the true density");
}

/// Trains with an estimate of the log-determinant and tests with the exact one.
#[test]
fn residual_flow_learns_by_a_series() {
    let series = LogDet::Series { terms: 2, roulette: Some(0.5), probes: 1 };
    let flow = built(&Device::flex(), |device| residual_flow().with_training(series).init(device));
    let gap = gap_on_moons(flow, 25, 3e-2);
    assert!((0.0..0.15).contains(&gap), "{gap} nats above the true density");
}

#[test]
fn block_neural_autoregressive_layers_learn_two_moons() {
    let device = Device::flex();
    let layer = |seed| {
        let block = BlockNeuralAutoregressiveConfig::new(2).with_block(32).with_seed(seed);
        (block.init(&device), Permutation::reverse(2, &device).unwrap())
    };
    let flow = Flow::new(vec![layer(0), layer(1)], StandardNormal::<2>::new([2], &device));
    let gap = gap_on_moons(flow, 40, 1e-1);
    assert!((0.0..0.2).contains(&gap), "{gap} nats above the true density");
}

/// The density of figure 1 of the MAF paper, with a solver of few fixed steps. A far more accurate
/// solver gives the same test NLL, so the flow does not exploit the error of the solver.
#[test]
fn continuous_flow_learns_a_bent_normal_near_its_entropy() {
    let device = Device::flex();
    let config = CnfConfig::new(2).with_hidden(vec![32, 32]);
    let layer = built(&device, |device| config.with_solver(Solver::Rk4 { steps: 8 }).init(device));
    let flow = Flow::new(layer, StandardNormal::<2>::new([2], &device));
    let (flow, _) = fit(flow, bent(8000, 1), &fitting(8, 128, 1e-2)).unwrap();
    let test = bent(5000, 2);
    let coarse = nll(&flow, test.clone(), 1000);
    let (layer, base) = flow.into_parts();
    let fine = Flow::new(layer.with_solver(Solver::Rk4 { steps: 64 }).unwrap(), base);
    let found = nll(&fine, test, 1000);
    let entropy = 1.0 + (2.0 * PI * 2.0).ln();
    assert!((-0.05..0.15).contains(&(found - entropy)), "NLL {found}, entropy {entropy}");
    assert!((coarse - found).abs() < 0.01, "NLL {coarse} by few steps, {found} by many");
}
