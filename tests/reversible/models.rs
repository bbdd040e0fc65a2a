//! Every model of the crate.

use burn_flows::bijector::{
    BlockNeuralAutoregressiveConfig, CnfConfig, LogDet, Logit, RadialConfig, SylvesterConfig,
};
use burn_flows::conditioner::{ConvNetConfig, MadeConfig, ResidualConvNetConfig};
use burn_flows::distribution::{
    ConditionalNormalConfig, DiagNormalConfig, GaussianMixtureConfig, Marginal, Mixture,
};
use burn_flows::model::*;

use super::Recovery::{Graph, Input, Inverse};
use super::*;

fn device() -> Device {
    Device::flex()
}

fn mlp() -> MlpConfig {
    MlpConfig::new(vec![16, 16])
}

#[test]
fn real_nvp() {
    let flow = RealNvpConfig::new(5).with_mlp(mlp()).init(&device());
    assert_trains(flow, &normal([600, 5], 1), None, &[Inverse]);
}

#[test]
fn real_nvp_with_a_context() {
    let flow = RealNvpConfig::new(5).with_mlp(mlp()).with_context(2).init(&device());
    assert_trains(flow.clone(), &normal([600, 5], 1), Some(&normal([600, 2], 2)), &[Inverse]);
    assert_trains(flow, &normal([600, 5], 1), Some(&normal([1, 2], 2)), &[Inverse]);
}

#[test]
fn nice() {
    let flow = NiceConfig::new(4).init(&device());
    assert_trains(flow, &normal([100, 4], 1), None, &[Inverse]);
}

#[test]
fn neural_spline_flow() {
    let flow = NsfConfig::new(4).with_mlp(mlp()).init(&device());
    assert_trains(flow, &normal([100, 4], 1), None, &[Inverse]);
}

#[test]
fn masked_autoregressive_flow_keeps_inputs() {
    let made = MadeConfig::new(vec![16, 16]);
    let config = MafConfig::new(4).with_made(made).with_norm(StepNorm::None);
    assert_trains(config.init(&device()), &normal([100, 4], 1), None, &[Input, Inverse, Input]);
}
