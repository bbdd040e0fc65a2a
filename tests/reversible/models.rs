//! Reversible steps of every model and every base.

use burn_flows::bijector::{Coupling, Logit};
use burn_flows::conditioner::{ConvNetConfig, MadeConfig, Mlp, ResidualConvNetConfig};
use burn_flows::distribution::{
    CategoricalMadeConfig, Chained, ConditionalNormalConfig, DiagNormalConfig,
    GaussianMixtureConfig, Marginal, Mixture, Product, StudentTConfig,
};
use burn_flows::model::*;
use burn_flows::univariate::RationalQuadraticConfig;

use super::Recovery::{Graph, Input, Inverse};
use super::*;

// Networks have smooth activations. A ReLU near its kink could have either gradient after rounding.

fn mlp() -> MlpConfig {
    MlpConfig::new(vec![16, 16]).with_activation(ActivationConfig::Silu)
}

fn made() -> MadeConfig {
    MadeConfig::new(vec![16, 16]).with_activation(ActivationConfig::Silu)
}

/// Images in (0, 1).
fn images(rows: usize, seed: u64) -> Tensor<4> {
    Noise::seeded(seed).uniform([rows, 2, 8, 8], &Device::flex()) * 0.9 + 0.05
}

fn real_nvp_of(context: usize) -> RealNvpConfig {
    RealNvpConfig::new(4).with_layers(3).with_mlp(mlp()).with_context(context)
}

#[test]
fn real_nvp() {
    let config = RealNvpConfig::new(5).with_mlp(mlp());
    assert_trains(|device| config.init(device), &normal([600, 5], 1), None, &[Inverse]);
}

#[test]
fn real_nvp_with_a_context() {
    let (x, config) = (normal([600, 4], 1), real_nvp_of(2));
    for context in [normal([600, 2], 2), normal([1, 2], 2)] {
        assert_trains(|device| config.init(device), &x, Some(&context), &[Inverse]);
    }
}

#[test]
fn nice() {
    let config = NiceConfig::new(4).with_mlp(mlp());
    assert_trains(|device| config.init(device), &normal([100, 4], 1), None, &[Inverse]);
}

#[test]
fn neural_spline_flows() {
    let config = NsfConfig::new(4).with_mlp(mlp()).with_linear(true);
    let config = config.with_elementwise(Some(RationalQuadraticConfig::new()));
    let x = normal([100, 4], 1);
    assert_trains(|device| config.init(device), &x, None, &[Inverse]);
    let config = AutoregressiveNsfConfig::new(4).with_made(made());
    assert_trains(|device| config.init(device), &x, None, &[Input]);
    let angles = (normal([100, 4], 1) * 0.5).clamp(-3.0, 3.0);
    let config = CircularNsfConfig::new(4).with_made(made());
    assert_trains(|device| config.init(device), &angles, None, &[Input]);
}

#[test]
fn masked_autoregressive_flows_keep_inputs() {
    let x = normal([100, 4], 1);
    let config = MafConfig::new(4).with_layers(2).with_made(made());
    let linear = config.clone().with_linear(true);
    assert_trains(|device| linear.init(device), &x, None, &[Inverse, Input, Inverse, Input]);
    // Batch normalization runs once, and its graph is kept.
    let norm = config.with_norm(StepNorm::BatchNorm);
    assert_trains(|device| norm.init(device), &x, None, &[Graph, Input, Graph, Input]);
}

#[test]
fn inverse_autoregressive_flow_recovers_by_the_forward_of_its_layers() {
    let config = IafConfig::new(4).with_layers(3).with_made(made());
    assert_trains(|device| config.init(device), &normal([100, 4], 1), None, &[Inverse]);
}

#[test]
fn monotone_maps_keep_inputs() {
    let (x, made) = (normal([60, 3], 1), made());
    let naf = NeuralAutoregressiveFlowConfig::new(3).with_made(made.clone());
    assert_trains(|device| naf.init(device), &x, None, &[Input]);
    let unaf = UnconstrainedAutoregressiveFlowConfig::new(3).with_made(made.clone());
    assert_trains(|device| unaf.init(device), &x, None, &[Input]);
    let bpf = BernsteinFlowConfig::new(3).with_made(made.clone());
    assert_trains(|device| bpf.init(device), &x, None, &[Input]);
    let sospf = SumOfSquaresFlowConfig::new(3).with_made(made);
    assert_trains(|device| sospf.init(device), &x, None, &[Input]);
    let gf = GaussianizationFlowConfig::new(3);
    assert_trains(|device| gf.init(device), &x, None, &[Input, Inverse, Input, Inverse, Input]);
}

#[test]
fn planar_and_residual_flows_keep_inputs() {
    let x = normal([100, 3], 1);
    let planar = PlanarFlowConfig::new(3).with_layers(4);
    assert_trains(|device| planar.init(device), &x, None, &[Input]);
    let residual = ResidualFlowConfig::new(3).with_layers(2).with_hidden(vec![16]);
    assert_trains(|device| residual.init(device), &x, None, &[Inverse, Input, Inverse, Input]);
}

/// Moved networks of images may scale a layer so strongly that it keeps its input.
fn assert_image_trains<F: Distribution<4>>(
    make: impl FnOnce(&Device) -> F,
    context: Option<&Tensor<2>>,
) {
    let with_logit = |device: &Device| Flow::new(Logit::new(0.01).unwrap(), make(device));
    let [_, layers] = in_both_precisions(with_logit, &images(40, 1), context);
    assert!(layers.iter().any(|layer| layer.recovery == Inverse), "{layers:#?}");
    assert!(layers.iter().all(|layer| layer.recovery != Graph), "{layers:#?}");
}

fn glow() -> GlowConfig {
    let network = ConvNetConfig::new(8).with_activation(ActivationConfig::Silu);
    GlowConfig::new([2, 8, 8], 2).with_steps(2).with_network(network)
}

#[test]
fn glow_with_its_priors() {
    assert_image_trains(|device| glow().init(device), None);
    let classes = glow().with_context(3);
    assert_image_trains(|device| classes.init(device), Some(&normal([40, 3], 2)));
}

#[test]
fn real_nvp_of_images() {
    let network = ResidualConvNetConfig::new(4).with_blocks(1);
    let network = network.with_activation(ActivationConfig::Silu);
    let config = RealNvpImageConfig::new([2, 8, 8], 2).with_network(network);
    assert_image_trains(|device| config.init(device), None);
}

/// The layers of a Real NVP with another base.
fn before<P: Distribution<2>>(
    context: usize,
    base: impl FnOnce(&Device) -> P,
) -> impl FnOnce(&Device) -> Flow<Vec<Coupling<Affine, Mlp>>, P> {
    move |device| Flow::new(real_nvp_of(context).init(device).into_parts().0, base(device))
}

#[test]
fn bases_with_parameters_are_trained_too() {
    let (x, context) = (normal([300, 4], 1), normal([300, 2], 2));
    let normals = DiagNormalConfig::new(vec![4]).with_learned(true);
    assert_trains(before(0, |device| normals.init::<2>(device)), &x, None, &[Inverse]);
    let mixture = GaussianMixtureConfig::new(4, 3).with_learned(true);
    assert_trains(before(0, |device| mixture.init(device)), &x, None, &[Inverse]);
    let heavy = StudentTConfig::new(vec![4], 3.0).with_learned(true);
    assert_trains(before(0, |device| heavy.init::<2>(device)), &x, None, &[Inverse]);
    let given = ConditionalNormalConfig::new(vec![4], 2, mlp());
    let given = before(2, |device| given.init::<2>(device));
    assert_trains(given, &x, Some(&context), &[Inverse]);
}

#[test]
fn a_flow_is_the_base_of_a_flow() {
    let flow = before(2, |device| real_nvp_of(2).init(device));
    assert_trains(flow, &normal([300, 4], 1), Some(&normal([300, 2], 2)), &[Inverse]);
}

#[test]
fn mixtures_and_marginals_are_differentiated_whole() {
    let x = normal([300, 4], 1);
    let mixture = |device: &Device| {
        let parts = [(); 2].map(|()| real_nvp_of(0).init(device));
        Mixture::new(parts.to_vec(), device).unwrap()
    };
    assert_trains(mixture, &x, None, &[]);
    assert_trains(before(0, mixture), &x, None, &[Inverse]);
    let classes = |device: &Device| Marginal::of_classes(real_nvp_of(3).init(device), 3, device);
    assert_trains(|device| classes(device).unwrap(), &x, None, &[]);
}

/// The parts of a product are walked one after the other. A chain is a single density.
#[test]
fn products_and_chains() {
    let x = normal([300, 4], 1);
    let mask = Mask::Kept(vec![1, 2]);
    let part = |device: &Device, context| {
        RealNvpConfig::new(2).with_layers(3).with_mlp(mlp()).with_context(context).init(device)
    };
    let product =
        |device: &Device| Product::new(&mask, 4, part(device, 0), part(device, 0), device).unwrap();
    assert_trains(product, &x, None, &[Inverse]);
    assert_trains(before(0, product), &x, None, &[Inverse]);
    let chain =
        |device: &Device| Chained::new(&mask, 4, part(device, 0), part(device, 2), device).unwrap();
    assert_trains(chain, &x, None, &[]);
    assert_trains(before(0, chain), &x, None, &[Inverse]);
    let categories = |device: &Device| {
        let made = CategoricalMadeConfig::new(vec![3, 2]).with_made(made()).init(device);
        Product::new(&mask, 4, made, part(device, 0), device).unwrap()
    };
    let classes = (Noise::seeded(3).uniform::<2>([300, 2], &Device::flex()) * 2.0).floor();
    let x = x.slice_assign([0..300, 1..3], classes);
    assert_trains(categories, &x, None, &[Inverse]);
}
