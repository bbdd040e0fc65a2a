//! Every configuration whose module has random initial weights: one seed gives the same bits in
//! every build and thread, another seed gives other bits, and no two layers of a stack are
//! initialised alike.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::Initializer;
use burn::nn::activation::{ActivationConfig as BurnActivation, SwiGluConfig};
use burn::tensor::{Bool, Device, Distribution as Numbers, Int, Tensor};
use burn_flows::bijector::*;
use burn_flows::conditioner::*;
use burn_flows::distribution::*;
use burn_flows::encoder::*;
use burn_flows::model::*;
use burn_flows::univariate::*;
use burn_flows::{Flow, Noise, burn, seeded};

use crate::sources;

fn device() -> Device {
    Device::flex()
}

/// The values of all parameters, in the order of visits.
#[derive(Default)]
struct Values(Vec<Vec<f64>>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().into_data().iter::<f64>().collect());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.0.push(param.val().into_data().iter::<f64>().collect());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.0.push(param.val().into_data().iter::<u8>().map(f64::from).collect());
    }
}

fn values(module: &impl Module) -> Vec<Vec<f64>> {
    let mut values = Values::default();
    module.visit(&mut values);
    values.0
}

/// Whether the values are random numbers, not a constant, signs or a mask.
fn random(values: &[f64]) -> bool {
    let mut kinds: Vec<u64> = values.iter().map(|v| v.to_bits()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.len() > 2 && values.iter().any(|v| v.fract() != 0.0)
}

/// Checks all properties of a seed on modules that `make` builds from a configuration with this
/// seed.
fn judge<M: Module>(make: impl Fn(Option<u64>) -> M + Sync) {
    let of = |seed| values(&make(seed));
    let first = of(Some(1));
    assert!(first.iter().any(|values| random(values)), "nothing random: {first:?}");
    assert_eq!(of(Some(1)), first, "a second build");
    assert_ne!(of(Some(2)), first, "another seed");
    assert_ne!(of(None), of(None), "no seed");

    let built = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !built.load(Ordering::Relaxed) {
                Tensor::<1>::random([3], Numbers::Default, &device());
            }
        });
        let threads = [(); 2].map(|()| scope.spawn(|| of(Some(1))));
        let found = threads.map(|thread| thread.join());
        built.store(true, Ordering::Relaxed);
        found.into_iter().for_each(|found| assert_eq!(found.unwrap(), first, "another thread"));
    });

    // A stack inside `seeded`: a second build is the same stack, and no two of its layers are
    // alike.
    let stack =
        || seeded(3, || [make(None), make(Some(1)), make(None)]).map(|layer| values(&layer));
    assert_eq!(stack(), stack(), "a stack");
    let [one, own, two] = stack();
    assert_eq!(own, first, "a seed of its own");
    assert_ne!(one, two, "layers of a stack");
    assert_ne!(one, own, "layers of a stack");
    for values in [&first, &one] {
        let drawn: Vec<_> = values.iter().filter(|values| random(values)).collect();
        for (index, values) in drawn.iter().enumerate() {
            assert!(!drawn[..index].contains(values), "two layers start alike: {values:?}");
        }
    }
}

macro_rules! seeds {
    ($($name:ident: $config:expr, |$made:ident| $build:expr;)+) => {
        $(#[test]
        fn $name() {
            judge(|seed| {
                let mut config = $config;
                config.seed = seed;
                let $made = config;
                $build
            });
        })+
    };
}

fn mlp() -> MlpConfig {
    MlpConfig::new(vec![5, 4])
}

fn made() -> MadeConfig {
    MadeConfig::new(vec![5, 4])
}

/// Every random initializer of burn, in the activation that takes one.
fn swiglu(initializer: Initializer) -> MlpConfig {
    let config = SwiGluConfig::new(4, 4).with_bias(true).with_initializer(initializer);
    MlpConfig::new(vec![4]).with_activation(ActivationConfig::Burn(BurnActivation::SwiGlu(config)))
}

seeds! {
    dense_net: mlp(), |c| c.init(3, 2, 2, &device());
    dense_net_residual: MlpConfig::new(vec![5, 5]).with_residual(true), |c| c.init(3, 2, 2, &device());
    dense_net_drawn_last: mlp().with_zero_last(false), |c| c.init(3, 2, 0, &device());
    dense_net_swiglu: swiglu(Initializer::Orthogonal { gain: 1.0 }), |c| c.init(3, 2, 0, &device());
    made_net: made(), |c| c.init(3, 2, 2, &device());
    made_net_residual: MadeConfig::new(vec![5, 5]).with_residual(true), |c| c.init(3, 2, 2, &device());
    conv_net: ConvNetConfig::new(4), |c| c.init(2, 3, 1, &device());
    conv_net_weight: ConvNetConfig::new(4).with_normalization(Normalization::Weight), |c| c.init(2, 3, 1, &device());
    conv_net_actnorm: ConvNetConfig::new(4).with_normalization(Normalization::ActNorm), |c| c.init(2, 3, 1, &device());
    residual_conv_net: ResidualConvNetConfig::new(4), |c| c.init(2, 3, 1, &device());
    neural: NeuralConfig::new().with_signal(2).with_hidden(vec![4, 3]), |c| c.init(&device());
    neural_of_elements: NeuralConfig::new().with_signal(2).with_hidden(vec![4, 3]).with_elements(3), |c| c.init(&device());
    unconstrained: UnconstrainedMonotonicConfig::new().with_signal(2).with_hidden(vec![4, 3]), |c| c.init(&device());
    mlp_encoder: MlpEncoderConfig::new(3, 2), |c| c.init(&device());
    set_encoder: SetEncoderConfig::new(3, 2, 2).with_mask(true), |c| c.init(&device());
    series_encoder: SeriesEncoderConfig::new(2, 9, 2), |c| c.init(&device());
    image_encoder: ImageEncoderConfig::new([1, 4, 4], 2), |c| c.init(&device());

    coupling: CouplingConfig::new(4).with_mlp(mlp()).with_context(2), |c| c.init(Affine::default(), &device());
    masked_autoregressive: MaskedAutoregressiveConfig::new(4).with_made(made()), |c| c.init(Affine::default(), &device());
    block_autoregressive: BlockNeuralAutoregressiveConfig::new(3).with_block(2).with_context(2), |c| c.init(&device());
    continuous: CnfConfig::new(2).with_hidden(vec![4]), |c| c.init(&device());
    residual_block: ResidualConfig::new(3).with_hidden(vec![4, 5]).with_context(2), |c| c.init(&device());
    planar: PlanarConfig::new(3).with_context(2).with_mlp(mlp()), |c| c.init(&device());
    radial: RadialConfig::new(3).with_context(2).with_mlp(mlp()), |c| c.init(&device());
    sylvester: SylvesterConfig::new(3, 2).with_context(2).with_mlp(mlp()), |c| c.init(&device());
    dense: DenseLinearConfig::new(3), |c| c.init(&device());
    householder: HouseholderConfig::new(3, 2), |c| c.init(&device());
    qr: QrLinearConfig::new(3, 2), |c| c.init(&device());
    svd: SvdLinearConfig::new(3, 2), |c| c.init(&device());
    rotation: RotationConfig::new(3), |c| c.init(&device());
    conv1x1: InvertibleConv1x1Config::new(3), |c| c.init(&device());
    conv1x1_householder: InvertibleConv1x1Config::new(3).with_parameterisation(Conv1x1Matrix::Householder), |c| c.init(&device());
    conv1x1_plain: InvertibleConv1x1Config::new(3).with_parameterisation(Conv1x1Matrix::Plain), |c| c.init(&device());
    conv1x1_qr: InvertibleConv1x1Config::new(3).with_parameterisation(Conv1x1Matrix::Qr), |c| c.init(&device());
    conv1x1_svd: InvertibleConv1x1Config::new(3).with_parameterisation(Conv1x1Matrix::Svd), |c| c.init(&device());
    gaussian_mixture: GaussianMixtureConfig::new(3, 2), |c| c.init(&device());
    categorical_made: CategoricalMadeConfig::new(vec![3, 2]).with_made(made()), |c| c.init(&device());
    conditional_normal: ConditionalNormalConfig::new(vec![3], 2, mlp()), |c| c.init::<2>(&device());

    nice: NiceConfig::new(3).with_mlp(mlp()), |c| c.init(&device());
    real_nvp: RealNvpConfig::new(3).with_mlp(mlp()), |c| c.init(&device());
    nsf: NsfConfig::new(3).with_mlp(mlp()).with_linear(true), |c| c.init(&device());
    maf: MafConfig::new(3).with_made(made()).with_linear(true), |c| c.init(&device());
    maf_mog: MafMogConfig::new(MafConfig::new(3).with_made(made()), 2), |c| c.init(&device());
    iaf: IafConfig::new(3).with_made(made()), |c| c.init(&device());
    autoregressive_nsf: AutoregressiveNsfConfig::new(3).with_made(made()), |c| c.init(&device());
    circular_nsf: CircularNsfConfig::new(3).with_made(made()), |c| c.init(&device());
    naf: NeuralAutoregressiveFlowConfig::new(3).with_made(made()), |c| c.init(&device());
    unaf: UnconstrainedAutoregressiveFlowConfig::new(3).with_made(made()), |c| c.init(&device());
    bpf: BernsteinFlowConfig::new(3).with_made(made()), |c| c.init(&device());
    sospf: SumOfSquaresFlowConfig::new(3).with_made(made()), |c| c.init(&device());
    gf: GaussianizationFlowConfig::new(3).with_mlp(mlp()).with_context(2), |c| c.init(&device());
    planar_flow: PlanarFlowConfig::new(3).with_layers(3).with_mlp(mlp()).with_context(2), |c| c.init(&device());
    planar_flow_inverse: PlanarFlowConfig::new(3).with_layers(3), |c| c.init_inverse(&device());
    residual_flow: ResidualFlowConfig::new(3).with_layers(3).with_hidden(vec![4]), |c| c.init(&device());
    glow: GlowConfig::new([1, 8, 8], 2).with_steps(2).with_network(ConvNetConfig::new(4)), |c| c.init(&device());
    glow_shuffle: GlowConfig::new([1, 4, 4], 1).with_steps(2).with_mixing(ChannelMixing::Shuffle).with_network(ConvNetConfig::new(4)), |c| c.init(&device());
    real_nvp_image: RealNvpImageConfig::new([1, 4, 4], 1).with_network(ResidualConvNetConfig::new(4).with_blocks(1)), |c| c.init(&device());
}

/// The initializers draw from the same distributions as burn: equal bounds and standard deviations.
#[test]
fn initializers_draw_from_the_distributions_of_burn() {
    // Weights of burn have no seed here. The tolerance is 6 standard errors of their mean.
    let size = 128.0f64;
    let root = size.sqrt().recip();
    let cases = [
        (Initializer::Uniform { min: -0.5, max: 1.0 }, 0.25, 1.5 / 12f64.sqrt()),
        (Initializer::Normal { mean: 2.0, std: 0.5 }, 2.0, 0.5),
        (Initializer::KaimingUniform { gain: 2.0, fan_out_only: false }, 0.0, 2.0 * root),
        (Initializer::KaimingNormal { gain: 2.0, fan_out_only: true }, 0.0, 2.0 * root),
        (Initializer::XavierUniform { gain: 2.0 }, 0.0, 2.0 * root),
        (Initializer::XavierNormal { gain: 2.0 }, 0.0, 2.0 * root),
        (Initializer::Orthogonal { gain: 2.0 }, 0.0, 2.0 * root),
        (Initializer::Constant { value: 0.5 }, 0.5, 0.0),
        (Initializer::Ones, 1.0, 0.0),
        (Initializer::Zeros, 0.0, 0.0),
    ];
    for (initializer, mean, std) in cases {
        let of = |values: &[f64]| {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
            (mean, (square / count).sqrt())
        };
        let swiglu = SwiGluConfig::new(128, 128).with_initializer(initializer.clone());
        let ours = ActivationConfig::Burn(BurnActivation::SwiGlu(swiglu.clone()));
        for values in values(&seeded(1, || ours.init(&device())))
            .iter()
            .chain(&values(&swiglu.init(&device())))
        {
            let found = of(values);
            let near = |found: f64, expected: f64| (found - expected).abs() < 0.05 * std + 1e-6;
            assert!(near(found.0, mean) && near(found.1, std), "{initializer:?}: {found:?}");
        }
    }
}

/// Weights depend on the seed only. They are numbers of [`Noise`], which are equal in every process
/// and on every backend.
#[test]
fn weights_are_public_noise() {
    let net = MlpConfig::new(vec![3]).with_seed(7).init(4, 2, 0, &device());
    let mut seeds = Noise::seeded(7);
    let mut expected = |count| {
        let mut noise = Noise::seeded(seeds.next_u64());
        // Within 1 / sqrt(4), because a unit has four inputs.
        let uniform = (0..count).map(|_| noise.next_uniform() - 0.5);
        uniform.collect::<Vec<f64>>()
    };
    let found = values(&net);
    for (found, expected) in found.iter().zip([expected(12), expected(3)]) {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-7), "{found:?}");
    }
    assert_eq!(found[2..], [vec![0.0; 6], vec![0.0; 2]]);
}

/// A network with its own seed keeps it inside a flow with another seed. Its weights still differ
/// from layer to layer.
#[test]
fn a_seed_of_a_part_wins() {
    let flow = |seed, own| {
        let config = RealNvpConfig::new(3).with_mlp(mlp().with_seed(own)).with_seed(seed);
        values(&config.init(&device()))
    };
    assert_eq!(flow(1, 5), flow(2, 5));
    assert_ne!(flow(1, 5), flow(1, 6));
    let coupling = |seed, own| {
        let config = CouplingConfig::new(3).with_mlp(mlp().with_seed(own)).with_seed(seed);
        values(&config.init(Affine::default(), &device()))
    };
    assert_eq!(coupling(1, 5), coupling(2, 5));
    let layers = flow(1, 5);
    let first: Vec<_> = layers.iter().filter(|values| random(values)).collect();
    assert!(first.len() > 8);
    for (index, values) in first.iter().enumerate() {
        assert!(!first[..index].contains(values), "two layers start alike");
    }
}

/// Random masks, orders, degrees and permutations differ from layer to layer.
#[test]
fn random_structures_of_a_stack_differ() {
    let of_layers = |values: Vec<Vec<f64>>, length: usize| {
        let masks: Vec<_> = values
            .into_iter()
            .filter(|v| v.len() == length && v.iter().all(|v| v.fract() == 0.0))
            .collect();
        assert!(masks.len() >= 2, "{masks:?}");
        masks.iter().enumerate().all(|(index, mask)| !masks[..index].contains(mask))
    };
    let shuffled = GlowConfig::new([3, 4, 4], 1).with_steps(3).with_mixing(ChannelMixing::Shuffle);
    let shuffled = shuffled.with_network(ConvNetConfig::new(4)).with_seed(1);
    let orders = values(&shuffled.init(&device()));
    let orders: Vec<_> =
        orders.into_iter().filter(|v| v.len() == 12 && v.contains(&11.0)).collect();
    assert!(of_layers(orders, 12));

    let made = MadeConfig::new(vec![40]).with_degrees(Degrees::Random(0));
    let maf = MafConfig::new(6).with_made(made).with_layers(3).with_orders(Orders::Random(0));
    assert!(of_layers(values(&maf.init(&device())), 6 * 40));

    // The masks of every second layer are random. The other layers have the flipped masks.
    let nvp = RealNvpConfig::new(8).with_layers(6).with_masks(Masks::Random(0)).with_mlp(mlp());
    let merged = values(&nvp.init(&device())).into_iter().filter(|v| v.len() == 8);
    let merged: Vec<_> = merged.filter(|v| v.contains(&7.0)).collect();
    assert_eq!(merged.len(), 6);
    assert!(of_layers(merged, 8));
}

/// The seed of a scope ends with the scope, also after a panic.
#[test]
fn a_scope_ends_where_it_ends() {
    let build = || values(&RotationConfig::new(3).init(&device()));
    let outer = seeded(1, || (build(), build()));
    let nested = seeded(1, || {
        let first = build();
        let inner = seeded(2, build);
        (first, build(), inner)
    });
    assert_eq!(outer, (nested.0, nested.1));
    assert_eq!(nested.2, seeded(2, build));
    let panicked = std::panic::catch_unwind(|| seeded(1, || panic!("a build that fails")));
    assert!(panicked.is_err());
    assert_ne!(build(), build());
    // Outside of the scope, burn's generator draws the weights.
    assert_ne!(seeded(1, build), build());
}

/// A configuration is saved with its seed. A file without a seed gives a configuration without one.
#[test]
fn seeds_in_files() {
    let config = RealNvpConfig::new(3).with_seed(u64::MAX);
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<RealNvpConfig>(&text).unwrap().seed, Some(u64::MAX));
    let without = text.replace(&format!(",\"seed\":{}", u64::MAX), "");
    assert!(without.len() < text.len(), "{text}");
    assert_eq!(serde_json::from_str::<RealNvpConfig>(&without).unwrap().seed, None);
}

/// A run-time configuration uses the seed of the scope.
#[test]
fn a_stack_chosen_at_run_time() {
    let text = r#"{"Stack": [{"Rotation": {"features": 3}}, {"Rotation": {"features": 3}},
        {"Rotation": {"features": 3, "seed": 4}}, {"Planar": {"features": 3, "activation": "Tanh",
        "constraint": "Softplus", "context": 0, "mlp": {"hidden": [4], "activation": "Relu",
        "dropout": 0.0, "residual": false, "zero_last": true}}}]}"#;
    let config: AnyBijectorConfig = serde_json::from_str(text).unwrap();
    let build = |seed| {
        values(&seeded(seed, || {
            Flow::new(config.init(&device()), StandardNormal::<2>::new([3], &device()))
        }))
    };
    let one = build(1);
    assert_eq!(build(1), one);
    assert_ne!(build(2), one);
    assert_ne!(one[0], one[1]);
    assert_eq!(build(2)[2], one[2]);
}

/// Every configuration with a seed must have a row in this file.
#[test]
fn every_seeded_configuration_is_here() {
    let here = include_str!("seeds.rs");
    let mut known = 0;
    for (path, text) in sources("") {
        let text = text.replace("\nstack_config! {\n", "\nseeded_config! {\n");
        for part in text.split("\nseeded_config! {\n").skip(1) {
            let name = part.split("\npub struct ").nth(1).expect("a name");
            let name = name.split(|c: char| !c.is_alphanumeric()).next().expect("a name");
            assert!(
                here.contains(&format!(" {name}::new(")),
                "{name} of {} has no row here",
                path.display()
            );
            known += 1;
        }
    }
    assert_eq!(known, 44);
}
