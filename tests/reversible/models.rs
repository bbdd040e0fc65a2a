//! Every model of the crate, and every base.

use burn_flows::bijector::Logit;
use burn_flows::conditioner::{ConvNetConfig, MadeConfig, ResidualConvNetConfig};
use burn_flows::distribution::{
    ConditionalNormalConfig, DiagNormalConfig, GaussianMixtureConfig, Marginal, Mixture,
    StudentTConfig,
};
use burn_flows::model::*;
use burn_flows::univariate::RationalQuadraticConfig;

use super::Recovery::{Graph, Input, Inverse};
use super::*;

fn device() -> Device {
    Device::flex()
}

fn mlp() -> MlpConfig {
    MlpConfig::new(vec![16, 16])
}

fn made() -> MadeConfig {
    MadeConfig::new(vec![16, 16])
}

/// Images in (0, 1).
fn images(rows: usize, seed: u64) -> Tensor<4> {
    Noise::seeded(seed).uniform([rows, 2, 8, 8], &device()) * 0.9 + 0.05
}

fn real_nvp_of(context: usize) -> RealNvp {
    let config = RealNvpConfig::new(4).with_layers(3).with_mlp(mlp());
    config.with_context(context).init(&device())
}

#[test]
fn real_nvp() {
    let flow = RealNvpConfig::new(5).with_mlp(mlp()).init(&device());
    assert_trains(flow, &normal([600, 5], 1), None, &[Inverse]);
}

#[test]
fn real_nvp_with_a_context() {
    let x = normal([600, 4], 1);
    assert_trains(real_nvp_of(2), &x, Some(&normal([600, 2], 2)), &[Inverse]);
    assert_trains(real_nvp_of(2), &x, Some(&normal([1, 2], 2)), &[Inverse]);
}

#[test]
fn nice() {
    let flow = NiceConfig::new(4).init(&device());
    assert_trains(flow, &normal([100, 4], 1), None, &[Inverse]);
}

#[test]
fn neural_spline_flows() {
    let config = NsfConfig::new(4).with_mlp(mlp()).with_linear(true);
    let flow = config.with_elementwise(Some(RationalQuadraticConfig::new())).init(&device());
    assert_trains(flow, &normal([100, 4], 1), None, &[Inverse]);
    let config = AutoregressiveNsfConfig::new(4).with_made(made());
    let x = normal([100, 4], 1);
    assert_trains(config.init(&device()), &x, None, &[Input]);
    let angles = (normal([100, 4], 1) * 0.5).clamp(-3.0, 3.0);
    let config = CircularNsfConfig::new(4).with_made(made());
    assert_trains(config.init(&device()), &angles, None, &[Input]);
}

#[test]
fn masked_autoregressive_flows_keep_inputs() {
    let x = normal([100, 4], 1);
    let config = MafConfig::new(4).with_layers(2).with_made(made()).with_linear(true);
    let flow = config.init(&device());
    assert_trains(flow, &x, None, &[Inverse, Input, Inverse, Input]);
    // Batch normalization runs once, and its graph is kept.
    let flow = config.with_linear(false).with_norm(StepNorm::BatchNorm).init(&device());
    assert_trains(flow, &x, None, &[Graph, Input, Graph, Input]);
}

#[test]
fn inverse_autoregressive_flow_recovers_by_the_forward_of_its_layers() {
    let flow = IafConfig::new(4).with_layers(3).with_made(made()).init(&device());
    assert_trains(flow, &normal([100, 4], 1), None, &[Inverse]);
}

#[test]
fn monotone_maps_keep_inputs() {
    let x = normal([60, 3], 1);
    let made = made();
    assert_trains(NafConfig::new(3).with_made(made.clone()).init(&device()), &x, None, &[Input]);
    assert_trains(UnafConfig::new(3).with_made(made.clone()).init(&device()), &x, None, &[Input]);
    assert_trains(BpfConfig::new(3).with_made(made.clone()).init(&device()), &x, None, &[Input]);
    assert_trains(SospfConfig::new(3).with_made(made).init(&device()), &x, None, &[Input]);
    assert_trains(
        GfConfig::new(3).init(&device()),
        &x,
        None,
        &[Input, Inverse, Input, Inverse, Input],
    );
}

#[test]
fn planar_and_residual_flows_keep_inputs() {
    let x = normal([100, 3], 1);
    let planar = PlanarFlowConfig::new(3).with_layers(4);
    assert_trains(planar.init(&device()), &x, None, &[Input]);
    let residual = ResidualFlowConfig::new(3).with_layers(2).with_hidden(vec![16]);
    assert_trains(residual.init(&device()), &x, None, &[Inverse, Input, Inverse, Input]);
}

/// Moved networks of images may stretch a step so far that it keeps its input: which does depends on
/// the first weights.
fn assert_image_trains<F: Distribution<4>>(flow: F, context: Option<&Tensor<2>>) {
    let flow = Flow::new(Logit::new(0.01).unwrap(), flow);
    let [_, layers] = in_both_precisions(flow, &images(40, 1), context);
    assert!(layers.iter().any(|layer| layer.recovery == Inverse), "{layers:#?}");
    assert!(layers.iter().all(|layer| layer.recovery != Graph), "{layers:#?}");
}

#[test]
fn glow_with_its_priors() {
    let config = GlowConfig::new([2, 8, 8], 2).with_steps(2).with_network(ConvNetConfig::new(8));
    assert_image_trains(config.init(&device()), None);
    let classes = config.with_context(3).init(&device());
    assert_image_trains(classes, Some(&normal([40, 3], 2)));
}

#[test]
fn real_nvp_of_images() {
    let network = ResidualConvNetConfig::new(4).with_blocks(1);
    let flow = RealNvpImageConfig::new([2, 8, 8], 2).with_network(network).init(&device());
    assert_image_trains(flow, None);
}

#[test]
fn bases_with_parameters_are_trained_too() {
    let (x, context) = (normal([300, 4], 1), normal([300, 2], 2));
    let bijector = |context| real_nvp_of(context).into_parts().0;
    let normals = DiagNormalConfig::new(vec![4]).with_learned(true).init::<2>(&device());
    assert_trains(Flow::new(bijector(0), normals), &x, None, &[Inverse]);
    let mixture = GaussianMixtureConfig::new(4, 3).with_learned(true).init(&device());
    assert_trains(Flow::new(bijector(0), mixture), &x, None, &[Inverse]);
    let heavy = StudentTConfig::new(vec![4], 3.0).with_learned(true).init::<2>(&device());
    assert_trains(Flow::new(bijector(0), heavy), &x, None, &[Inverse]);
    let given = ConditionalNormalConfig::new(vec![4], 2, mlp()).init::<2>(&device());
    assert_trains(Flow::new(bijector(2), given), &x, Some(&context), &[Inverse]);
}

#[test]
fn a_flow_is_the_base_of_a_flow() {
    let outer = real_nvp_of(2).into_parts().0;
    let flow = Flow::new(outer, real_nvp_of(2));
    assert_trains(flow, &normal([300, 4], 1), Some(&normal([300, 2], 2)), &[Inverse]);
}

#[test]
fn mixtures_and_marginals_are_differentiated_whole() {
    let x = normal([300, 4], 1);
    let mixture = Mixture::new(vec![real_nvp_of(0), real_nvp_of(0)], &device()).unwrap();
    assert_trains(mixture.clone(), &x, None, &[]);
    let shared = Flow::new(real_nvp_of(0).into_parts().0, mixture);
    assert_trains(shared, &x, None, &[Inverse]);
    let classes = Marginal::of_classes(real_nvp_of(3), 3, &device()).unwrap();
    assert_trains(classes, &x, None, &[]);
}
