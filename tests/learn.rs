//! Every model learns: it reaches a number that theory or another library's runs give.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use burn_flows::bijector::{BlockNeuralAutoregressiveConfig, CnfConfig, LogDet, Logit, Solver};
use burn_flows::conditioner::{ConvNetConfig, MadeConfig, ResidualConvNetConfig};
use burn_flows::distribution::{EightGaussians, Mixture, TwoMoons};
use burn_flows::model::{
    AutoregressiveNsfConfig, BpfConfig, CircularNsfConfig, GfConfig, GlowConfig, IafConfig, Maf,
    MafConfig, MafMogConfig, NafConfig, NsfConfig, Orders, PlanarFlowConfig, RealNvp,
    RealNvpImageConfig, ResidualFlowConfig, SospfConfig, UnafConfig,
};
use burn_flows::prelude::*;
use burn_flows::train::{
    Dequantize, FitConfig, FitData, ReverseKlConfig, fit, fit_reverse_kl, nll,
};
use burn_flows::univariate::{NeuralConfig, UnconstrainedMonotonicConfig};

/// Builds a model from a fixed seed. A device has one generator for all threads, hence the lock.
fn built<M>(make: impl FnOnce() -> M) -> M {
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    Device::flex().seed(0);
    make()
}

fn silu(width: usize) -> MlpConfig {
    MlpConfig::new(vec![width; 2]).with_activation(ActivationConfig::Silu)
}

fn fitting(epochs: usize, batch: usize, rate: f64) -> FitConfig {
    FitConfig::new()
        .with_epochs(epochs)
        .with_batch_size(batch)
        .with_learning_rate(rate)
        .with_average(Some(0.99))
        .with_progress(false)
}

fn table(name: &str) -> Tensor<2> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let width = text.lines().next().unwrap().split(',').count();
    let values: Vec<f64> =
        text.lines().flat_map(|line| line.split(',')).map(|v| v.trim().parse().unwrap()).collect();
    Tensor::from_data(
        TensorData::new(values.clone(), [values.len() / width, width]),
        &Device::flex(),
    )
}

#[test]
fn real_nvp_learns_two_moons_near_their_entropy() {
    let device = Device::flex();
    let flow = built(|| RealNvpConfig::new(2).with_layers(12).with_mlp(silu(64)).init(&device));
    let (flow, _) = fit(flow, moons(8000, 1), &fitting(25, 128, 5e-3)).unwrap();
    let test = moons(5000, 2);
    let gap = nll(&flow, test.clone(), None, 1000) - nll(&TwoMoons {}, test, None, 1000);
    assert!(gap < 0.08, "{gap} nats above the true density");
    assert!(gap > 0.0, "no model beats the truth by {gap}");
}

/// The same target with half the layers: splines come closer than affine maps.
#[test]
fn nsf_learns_two_moons_near_their_entropy() {
    let device = Device::flex();
    let config = NsfConfig::new(2).with_layers(6).with_masks(Masks::Alternating).with_mlp(silu(64));
    let flow = built(|| config.init(&device));
    let (flow, _) = fit(flow, moons(8000, 1), &fitting(15, 128, 5e-3)).unwrap();
    let test = moons(5000, 2);
    let gap = nll(&flow, test.clone(), None, 1000) - nll(&TwoMoons {}, test, None, 1000);
    assert!(gap < 0.05, "{gap} nats above the true density");
    assert!(gap > 0.0, "no model beats the truth by {gap}");
}

/// The same target with masked layers, whose second feature sees the first.
#[test]
fn autoregressive_nsf_learns_two_moons_near_their_entropy() {
    let device = Device::flex();
    let moons = |rows, seed| TwoMoons {}.sample(rows, None, &mut Noise::seeded(seed), &device);
    let config = AutoregressiveNsfConfig::new(2).with_layers(5).with_made(masked(64));
    let flow = built(|| config.init(&device));
    let (flow, _) = fit(flow, moons(8000, 1), &fitting(20, 128, 5e-3)).unwrap();
    let test = moons(5000, 2);
    let gap = nll(&flow, test.clone(), None, 1000) - nll(&TwoMoons {}, test, None, 1000);
    assert!(gap < 0.05, "{gap} nats above the true density");
    assert!(gap > 0.0, "no model beats the truth by {gap}");
}

/// Test NLL above the true one, on two moons, of a flow of two features.
fn above_two_moons<B: Bijector<2>>(
    make: impl FnOnce(&Device) -> Flow<B, StandardNormal<2>>,
    config: &FitConfig,
) -> f64 {
    let device = Device::flex();
    let moons = |rows, seed| TwoMoons {}.sample(rows, None, &mut Noise::seeded(seed), &device);
    let (flow, _) = fit(built(|| make(&device)), moons(8000, 1), config).unwrap();
    let test = moons(5000, 2);
    // What is drawn is what was learned: the mean of a moon flow's draws is that of the moons.
    let means = |x: Tensor<2>| x.mean_dim(0).into_data().try_to_vec_as::<f64>().unwrap();
    let (drawn, true_mean) = (means(flow.sample_seeded(4000, 3)), means(test.clone()));
    for (drawn, expected) in drawn.iter().zip(true_mean) {
        assert!((drawn - expected).abs() < 0.06, "{drawn} is the mean of draws, not {expected}");
    }
    nll(&flow, test.clone(), None, 1000) - nll(&TwoMoons {}, test, None, 1000)
}

#[test]
fn naf_learns_two_moons_near_their_entropy() {
    let network = NeuralConfig::new().with_hidden(vec![32, 32]);
    let config = NafConfig::new(2).with_made(masked(64)).with_network(network);
    let gap = above_two_moons(|device| config.init(device), &fitting(25, 128, 2e-2));
    assert!((0.0..0.08).contains(&gap), "{gap} nats above the true density");
}

#[test]
fn unaf_learns_two_moons_near_their_entropy() {
    let network = UnconstrainedMonotonicConfig::new().with_hidden(vec![32, 32]).with_nodes(16);
    let config = UnafConfig::new(2).with_made(masked(64)).with_network(network);
    let gap = above_two_moons(|device| config.init(device), &fitting(8, 128, 5e-3));
    assert!((0.0..0.1).contains(&gap), "{gap} nats above the true density");
}

#[test]
fn bpf_learns_two_moons_near_their_entropy() {
    let config = BpfConfig::new(2).with_layers(4).with_made(masked(64));
    let gap = above_two_moons(|device| config.init(device), &fitting(25, 128, 5e-3));
    assert!((0.0..0.1).contains(&gap), "{gap} nats above the true density");
}

#[test]
fn sospf_learns_two_moons_near_their_entropy() {
    let config = SospfConfig::new(2).with_layers(4).with_made(masked(64));
    let gap = above_two_moons(|device| config.init(device), &fitting(25, 128, 5e-3));
    assert!((0.0..0.06).contains(&gap), "{gap} nats above the true density");
}

/// Two mixtures of two normals, turned by half a radian: a rotation and a layer hold it exactly. Modes
/// eight deviations apart overlap too little to change the entropy.
#[test]
fn gf_learns_turned_mixtures_to_their_entropy() {
    let turn = || {
        let (sin, cos) = 0.5f64.sin_cos();
        Tensor::<2>::from_data([[cos, sin], [-sin, cos]], &Device::flex())
    };
    let turned = |rows, seed| {
        let mut noise = Noise::seeded(seed);
        let side = noise.uniform::<2>([rows, 2], &Device::flex()).round() * 2.0 - 1.0;
        let x = side + noise.normal::<2>([rows, 2], &Device::flex()) * 0.25;
        x.matmul(turn())
    };
    let entropy = 1.0 + (2.0 * std::f64::consts::PI * 0.25f64.powi(2)).ln() + 4f64.ln();
    let config = GfConfig::new(2).with_layers(3);
    let flow = built(|| config.init(&Device::flex()));
    let (flow, _) = fit(flow, turned(10_000, 1), &fitting(20, 128, 1e-2)).unwrap();
    let test = nll(&flow, turned(6000, 2), None, 1000);
    assert!((test - entropy).abs() < 0.05, "{test} against the entropy {entropy}");
    // Turned back, the draws are in four equal heaps around plus and minus 1.
    let drawn = flow.sample_seeded(4000, 3).matmul(turn().transpose());
    let means = |x: Tensor<2>| x.mean_dim(0).into_data().try_to_vec_as::<f64>().unwrap();
    let (sides, sizes) = (means(drawn.clone()), means(drawn.abs()));
    assert!(sides.iter().all(|side| side.abs() < 0.06), "{sides:?}");
    assert!(sizes.iter().all(|size| (size - 1.0).abs() < 0.03), "{sizes:?}");
}

/// Two angles around the point where the circle closes: `x ~ N(3, 0.5)`, `y ~ N(x, 0.4)`, wrapped. What a
/// normal has beyond half a circle is too little to change its entropy.
#[test]
fn circular_nsf_learns_wrapped_normals_to_their_entropy() {
    use std::f64::consts::{E, PI};
    let angles = |rows, seed| {
        let normal = Noise::seeded(seed).normal::<2>([rows, 2], &Device::flex());
        let x = normal.clone().narrow(1, 0, 1) * 0.5 + 3.0;
        let y = normal.narrow(1, 1, 1) * 0.4 + x.clone();
        let both = Tensor::cat(vec![x, y], 1);
        let turns = ((both.clone() + PI) / (2.0 * PI)).floor();
        (both - turns * (2.0 * PI)).clamp(-PI, PI)
    };
    let entropy = (2.0 * PI * E * 0.5 * 0.4).ln();
    let flow = built(|| CircularNsfConfig::new(2).with_made(masked(64)).init(&Device::flex()));
    let (flow, _) = fit(flow, angles(10_000, 1), &fitting(20, 128, 5e-3)).unwrap();
    let test = nll(&flow, angles(6000, 2), None, 1000);
    assert!((test - entropy).abs() < 0.05, "{test} against the entropy {entropy}");
    // Both sides of the point get their share.
    let x = flow.sample_seeded(4000, 3).narrow(1, 0, 1);
    let beyond: f64 = x.lower_elem(0.0).float().mean().into_scalar();
    assert!((beyond - 0.388).abs() < 0.04, "{beyond} of the draws lie beyond the point");
}

/// A shear and a scaling per axis: a density that NICE holds exactly.
#[test]
fn nice_learns_a_sheared_normal_to_its_entropy() {
    let sheared = |rows, seed| {
        let normal = Noise::seeded(seed).normal::<2>([rows, 2], &Device::flex());
        let x1 = normal.clone().narrow(1, 0, 1) * 3.0;
        let x2 = normal.narrow(1, 1, 1) * 0.2 + x1.clone().sin();
        Tensor::cat(vec![x1, x2], 1)
    };
    let entropy = 1.0 + (2.0 * std::f64::consts::PI * 3.0 * 0.2).ln();
    let config = NiceConfig::new(2).with_layers(6).with_mlp(silu(64));
    let flow = built(|| config.init(&Device::flex()));
    let (flow, _) = fit(flow, sheared(10_000, 1), &fitting(50, 128, 5e-3)).unwrap();
    let test = nll(&flow, sheared(6000, 2), None, 1000);
    assert!(test < entropy + 0.05, "{test} against the entropy {entropy}");
}

fn masked(width: usize) -> MadeConfig {
    MadeConfig::new(vec![width; 2]).with_activation(ActivationConfig::Silu)
}

/// Draws of `y ~ N(0, 4)`, `x ~ N(y^2 / 4, 1)`.
fn bent(rows: usize, seed: u64) -> Tensor<2> {
    let normal = Noise::seeded(seed).normal::<2>([rows, 2], &Device::flex());
    let y = normal.clone().narrow(1, 1, 1) * 2.0;
    let x = normal.narrow(1, 0, 1) + y.clone().square() * 0.25;
    Tensor::cat(vec![x, y], 1)
}

/// The density of figure 1 of the paper, which one layer in the right order holds exactly:
/// `y ~ N(0, 4)`, `x ~ N(y^2 / 4, 1)`.
#[test]
fn maf_learns_the_density_of_its_paper_to_its_entropy() {
    let entropy = 1.0 + (2.0 * std::f64::consts::PI * 2.0).ln();
    let config = MafConfig::new(2).with_layers(2).with_made(masked(32));
    let flow = built(|| config.init(&Device::flex()));
    let (flow, _) = fit(flow, bent(10_000, 1), &fitting(30, 128, 5e-3)).unwrap();
    let test = nll(&flow, bent(6000, 2), None, 1000);
    assert!((test - entropy).abs() < 0.05, "{test} against the entropy {entropy}");
}

/// Eight modes apart: layers that start as the identity take them from eight normals.
#[test]
fn maf_on_a_mixture_learns_eight_modes() {
    let device = Device::flex();
    let modes = EightGaussians {};
    let draw = |rows, seed| modes.sample(rows, None, &mut Noise::seeded(seed), &device);
    let maf = MafConfig::new(2).with_layers(2).with_made(masked(32));
    let flow = built(|| MafMogConfig::new(maf, 24).init(&device));
    let (flow, _) = fit(flow, draw(8000, 1), &fitting(20, 128, 5e-3)).unwrap();
    let test = draw(5000, 2);
    let gap = nll(&flow, test.clone(), None, 1000) - nll(&modes, test, None, 1000);
    assert!((-0.01..0.06).contains(&gap), "{gap} nats above the true density");
}

/// The same bent density, known up to a factor of `e^3`, without data.
#[test]
fn iaf_finds_a_normalising_constant() {
    let bent = |point: Tensor<2>| {
        let rows = point.dims()[0];
        let x = point.clone().narrow(1, 0, 1).reshape([rows]);
        let y = point.narrow(1, 1, 1).reshape([rows]);
        let across = x - y.clone().square() * 0.25;
        y.square() * -0.125 - across.square() * 0.5 + 3.0
    };
    let truth = (2.0 * std::f64::consts::PI * 2.0).ln() + 3.0;
    let config = IafConfig::new(2).with_layers(2).with_made(masked(32));
    let flow = built(|| config.init(&Device::flex()));
    let config = ReverseKlConfig::new().with_steps(600).with_learning_rate(5e-3);
    let (_, report) = fit_reverse_kl(flow, bent, &config).unwrap();
    let found = report.log_z;
    let off = (found.estimate - truth).abs();
    assert!(off < 5.0 * found.standard_error && found.effective_draws > 5000.0, "{found:?}");
}

/// Test NLL in standardised columns of a flow of that many; zuko reaches `peer` (mean of three seeds).
fn beats_on<B: Bijector<2>>(
    name: &str,
    make: impl FnOnce(usize, &Device) -> Flow<B, StandardNormal<2>>,
    peer: f64,
) {
    let device = Device::flex();
    let part = |part: &str| table(&format!("{name}_{part}_raw.csv"));
    let standardize = Standardize::from_data(part("train")).unwrap();
    let standard = |x: Tensor<2>| standardize.forward(x, None).0;
    let flow = built(|| make(part("train").dims()[1], &device));
    let data = FitData::new(standard(part("train"))).with_validation(standard(part("val")), None);
    let (flow, _) = fit(flow, data, &fitting(150, 32, 1e-3)).unwrap();
    let test = nll(&flow, standard(part("test")), None, 1000);
    assert!(test < peer, "{test} against {peer}");
}

fn real_nvp(features: usize, device: &Device) -> RealNvp {
    let mlp = silu(64).with_dropout(0.4);
    RealNvpConfig::new(features).with_masks(Masks::Random(1)).with_mlp(mlp).init(device)
}

fn maf(features: usize, device: &Device) -> Maf {
    let made = masked(64).with_dropout(0.4);
    let config = MafConfig::new(features).with_layers(8).with_orders(Orders::Random(1));
    config.with_made(made).init(device)
}

#[test]
fn real_nvp_beats_the_peers_on_wine() {
    beats_on("wine", real_nvp, 14.59);
}

#[test]
fn real_nvp_beats_the_peers_on_diabetes() {
    beats_on("diabetes", real_nvp, 8.45);
}

#[test]
fn maf_beats_the_peers_on_wine() {
    beats_on("wine", maf, 12.9);
}

#[test]
fn maf_beats_the_peers_on_diabetes() {
    beats_on("diabetes", maf, 8.4);
}

/// A tenth of the epochs of the `digits` example: already below zuko's Real NVP at its end (-83.5).
#[test]
fn real_nvp_learns_real_digits() {
    let device = Device::flex();
    let dequantize = Dequantize::new(17).unwrap();
    let logit = Logit::new(0.05).unwrap();
    let pixels = dequantize.apply(table("digits_train_int.csv"), &mut Noise::seeded(1));
    let standardize = Standardize::from_data(logit.forward(pixels, None).0).unwrap();
    let config =
        RealNvpConfig::new(64).with_masks(Masks::Random(0)).with_mlp(silu(128).with_dropout(0.2));
    let (couplings, base) = built(|| config.init(&device)).into_parts();
    let flow = Flow::new((logit, standardize, couplings), base);
    let data = FitData::new(table("digits_train_int.csv")).with_dequantization(dequantize);
    let (flow, _) = fit(flow, data, &fitting(40, 128, 2e-3)).unwrap();
    let test = dequantize.apply(table("digits_test_int.csv"), &mut Noise::seeded(2));
    let score = nll(&flow, test.clone(), None, 512);
    assert!(score < -84.0, "{score}");
    let back = (flow.decode(flow.encode(test.clone())) - test).abs().max().into_scalar::<f64>();
    assert!(back < 1e-4, "{back}");
}

/// Two image models on the same digits, a few epochs each: past a full-covariance Gaussian (-72.7).
/// In f32 real digits come back to a thousandth of a grey level, and every pixel drawn is a number.
fn learns_digits_as_images<F: Distribution<4>>(flow: F, epochs: usize, bound: f64) {
    let square = |name: &str| {
        let x = table(name);
        let rows = x.dims()[0];
        x.reshape([rows, 1, 8, 8])
    };
    let dequantize = Dequantize::new(17).unwrap();
    let logit = Logit::new(0.05).unwrap();
    let pixels = dequantize.apply(square("digits_train_int.csv"), &mut Noise::seeded(1));
    let standardize = Standardize::from_data(logit.forward(pixels, None).0).unwrap();
    let flow = Flow::new((logit, standardize), flow);
    let data = FitData::new(square("digits_train_int.csv")).with_dequantization(dequantize);
    let (flow, _) = fit(flow, data, &fitting(epochs, 128, 3e-3)).unwrap();
    let test = dequantize.apply(square("digits_test_int.csv"), &mut Noise::seeded(2));
    let score = nll(&flow, test.clone(), None, 512);
    assert!(score < bound, "{score} against {bound}");

    let back = flow.decode(flow.encode(test.clone()));
    let off = (back - test).abs().max().into_scalar::<f64>() * 17.0;
    assert!(off < 1e-3, "a round trip is {off} of a grey level off");
    for seed in 0..10 {
        let drawn: Tensor<4> = flow.sample_seeded(1000, seed);
        let broken = drawn.into_data().iter::<f64>().filter(|v| !v.is_finite()).count();
        assert_eq!(broken, 0, "non-finite pixels of seed {seed}");
    }
}

#[test]
fn glow_learns_real_digits() {
    let network = ConvNetConfig::new(32).with_activation(ActivationConfig::Silu);
    let config = GlowConfig::new([1, 8, 8], 2).with_steps(4).with_network(network);
    learns_digits_as_images(built(|| config.init(&Device::flex())), 14, -76.0);
}

#[test]
fn real_nvp_for_images_learns_real_digits() {
    let network = ResidualConvNetConfig::new(16).with_blocks(1);
    let config = RealNvpImageConfig::new([1, 8, 8], 2).with_network(network);
    learns_digits_as_images(built(|| config.init(&Device::flex())), 14, -74.0);
}

fn moons(rows: usize, seed: u64) -> Tensor<2> {
    TwoMoons {}.sample(rows, None, &mut Noise::seeded(seed), &Device::flex())
}

/// How far above the true density a flow of two moons is.
fn above_moons<F: Distribution<2>>(flow: &F) -> f64 {
    let test = moons(5000, 2);
    nll(flow, test.clone(), None, 1000) - nll(&TwoMoons {}, test, None, 1000)
}

/// How far it ends above it.
fn gap_on_moons<F: Distribution<2>>(flow: F, epochs: usize, rate: f64) -> f64 {
    above_moons(&fit(flow, moons(8000, 1), &fitting(epochs, 128, rate)).unwrap().0)
}

#[test]
fn planar_flow_bends_a_normal_into_two_moons() {
    let flow = PlanarFlowConfig::new(2).with_layers(24).init(&Device::flex());
    let gap = gap_on_moons(flow, 30, 5e-3);
    assert!((0.0..0.12).contains(&gap), "{gap} nats above the true density");
}

fn residual_flow() -> ResidualFlowConfig {
    ResidualFlowConfig::new(2).with_layers(6).with_hidden(vec![32, 32]).with_lipschitz(0.97)
}

#[test]
fn residual_flow_learns_two_moons_near_their_entropy() {
    let flow = built(|| residual_flow().init(&Device::flex()));
    let gap = gap_on_moons(flow, 25, 3e-2);
    assert!((0.0..0.12).contains(&gap), "{gap} nats above the true density");
}

/// An estimate of the log-determinant in training, the exact one to tell what came of it.
#[test]
fn residual_flow_learns_by_a_series() {
    let series = LogDet::Series { terms: 2, roulette: Some(0.5), probes: 1 };
    let flow = built(|| residual_flow().with_training(series).init(&Device::flex()));
    let gap = gap_on_moons(flow, 25, 3e-2);
    assert!((0.0..0.15).contains(&gap), "{gap} nats above the true density");
}

#[test]
fn block_neural_autoregressive_layers_learn_two_moons() {
    let device = Device::flex();
    let layer = |seed| {
        let block = BlockNeuralAutoregressiveConfig::new(2).with_block(32).with_seed(seed);
        (block.init(&device), Permutation::reverse(2, &device))
    };
    let flow = Flow::new(vec![layer(0), layer(1)], StandardNormal::<2>::new([2], &device));
    let gap = gap_on_moons(flow, 40, 1e-1);
    assert!((0.0..0.2).contains(&gap), "{gap} nats above the true density");
}

/// The density of figure 1 of the MAF paper, in a few fixed steps. Far better steps say the same of
/// what came of it: it has not learned to exploit what the few ones miss.
#[test]
fn continuous_flow_learns_a_bent_normal_near_its_entropy() {
    let device = Device::flex();
    let config = CnfConfig::new(2).with_hidden(vec![32, 32]);
    let layer = built(|| config.with_solver(Solver::Rk4 { steps: 8 }).init(&device));
    let flow = Flow::new(layer, StandardNormal::<2>::new([2], &device));
    let (flow, _) = fit(flow, bent(8000, 1), &fitting(15, 128, 5e-3)).unwrap();
    let test = bent(5000, 2);
    let coarse = nll(&flow, test.clone(), None, 1000);
    let (layer, base) = flow.into_parts();
    let fine = Flow::new(layer.with_solver(Solver::Rk4 { steps: 64 }), base);
    let found = nll(&fine, test, None, 1000);
    let entropy = 1.0 + (2.0 * std::f64::consts::PI * 2.0).ln();
    assert!((-0.05..0.15).contains(&(found - entropy)), "{found} against the entropy {entropy}");
    assert!((coarse - found).abs() < 0.01, "{coarse} by few steps, {found} by many");
}

/// One moon for each flow: the mixture comes closer than a single one of them.
#[test]
fn mixture_of_flows_learns_two_moons() {
    let device = Device::flex();
    let config = RealNvpConfig::new(2).with_layers(4).with_mlp(silu(32));
    let single = gap_on_moons(built(|| config.init(&device)), 10, 5e-3);
    let parts = built(|| (0..3).map(|_| config.init(&device)).collect());
    let mixture = gap_on_moons(Mixture::new(parts, &device).unwrap(), 10, 5e-3);
    assert!((0.0..0.12).contains(&mixture), "{mixture} nats above the true density");
    assert!(mixture < single - 0.1, "{mixture} against {single} of a single flow");
}
