use burn::module::{Module, list_param_ids};
use burn::tensor::{Tensor, TensorData};
use burn_flows::bijector::{
    ActNorm, ActNormConfig, AnyBijectorConfig, BatchNorm, BatchNormConfig, Bijector, Coupling,
    LuLinear, LuLinearConfig, Mask, MaskedAutoregressiveConfig, Permutation, Standardize,
};
use burn_flows::conditioner::{
    ConvNet, ConvNetConfig, Degrees, Dependencies, MadeConfig, MlpConfig,
};
use burn_flows::distribution::{Distribution, StandardNormal};
use burn_flows::model::{
    Iaf, IafConfig, MafConfig, MafMog, MafMogConfig, Masks, Nice, NiceConfig, Orders, RealNvp,
    RealNvpConfig, StepNorm,
};
use burn_flows::univariate::Affine;
use burn_flows::{Flow, Noise, store};
use serde::{Serialize, de::DeserializeOwned};

use crate::{device, folder, moved, rows};

/// Saves `model` and loads it into another module with different numbers, in both formats.
///
/// Also opens the files without a module. Compares all numbers.
pub fn check<M: Module + Serialize + DeserializeOwned>(
    model: &M,
    other: impl Fn() -> M,
    numbers: impl Fn(&M) -> TensorData,
) -> M {
    let folder = folder();
    let expected = numbers(model);
    let loaded = ["model.safetensors", "model.bpk"].map(|name| {
        let path = folder.path().join(name);
        assert_ne!(numbers(&other()).as_bytes(), expected.as_bytes(), "same numbers before load");
        store::save(model, &path).unwrap();
        let loaded = store::load(other(), &path).unwrap();
        let found = numbers(&loaded);
        assert_eq!((found.dtype(), found.as_bytes()), (expected.dtype(), expected.as_bytes()));
        let opened: M = store::open(&path, &device()).unwrap();
        assert_eq!(numbers(&opened).as_bytes(), expected.as_bytes());
        let again = folder.path().join(format!("again-{name}"));
        store::save(&loaded, &again).unwrap();
        if list_param_ids(&loaded) == list_param_ids(model) {
            assert_eq!(std::fs::read(again).unwrap(), std::fs::read(&path).unwrap());
        }
        loaded
    });
    let [first, _] = loaded;
    first
}

/// The log-densities of data and the data of latents, as one list.
pub fn both_ways<B: Bijector<2>, P: Distribution<2>>(
    flow: &Flow<B, P>,
    x: Tensor<2>,
) -> TensorData {
    let log_prob = flow.log_prob(x.clone());
    Tensor::cat(vec![log_prob, flow.decode(x).flatten(0, 1)], 0).into_data()
}

#[test]
fn real_nvp_with_a_context() {
    let mlp = MlpConfig::new(vec![8, 8]).with_residual(true);
    let config = RealNvpConfig::new(5).with_masks(Masks::Random(1)).with_mlp(mlp).with_context(2);
    let flow: RealNvp = moved(config.init(&device()), 1);
    let (x, c) = (rows(7, 5), rows(7, 2));
    let numbers = |flow: &RealNvp| flow.given(&c).log_prob(x.clone()).into_data();
    check(&flow, || config.init(&device()), numbers);
}

#[test]
fn nice() {
    let config = NiceConfig::new(4).with_mlp(MlpConfig::new(vec![8]));
    let flow: Nice = moved(config.init(&device()), 2);
    check(&flow, || config.init(&device()), |flow| both_ways(flow, rows(6, 4)));
}

#[test]
fn maf_on_a_mixture() {
    for norm in [StepNorm::ActNorm, StepNorm::BatchNorm] {
        let maf = MafConfig::new(5)
            .with_layers(3)
            .with_orders(Orders::Random(1))
            .with_made(MadeConfig::new(vec![9]))
            .with_norm(norm)
            .with_linear(true);
        let config = MafMogConfig::new(maf, 3);
        let flow: MafMog = moved(config.init(&device()), 3);
        check(&flow, || config.init(&device()), |flow| both_ways(flow, rows(6, 5)));
    }
}

#[test]
fn iaf() {
    let config = IafConfig::new(4).with_layers(3).with_orders(Orders::Random(1));
    let config = config.with_made(MadeConfig::new(vec![8, 8]).with_residual(true));
    let flow: Iaf = moved(config.init(&device()), 4);
    check(&flow, || config.init(&device()), |flow| both_ways(flow, rows(6, 4)));
}

type Step = (ActNorm, Permutation, LuLinear);
type Stack = Flow<(Standardize<2>, Vec<Step>, BatchNorm), StandardNormal<2>>;

fn stack(seed: u64) -> Stack {
    let device = device();
    let step = |k| {
        let actnorm = ActNormConfig::new(4).init(&device);
        (actnorm, Permutation::random(4, k, &device).unwrap(), LuLinearConfig::new(4).init(&device))
    };
    let x = rows(9, 4) * (seed as f64 + 2.0) + 1.0;
    let layers = (Standardize::from_data(x).unwrap(), vec![step(1), step(2)]);
    let layers = (layers.0, layers.1, BatchNormConfig::new(4).init(&device));
    Flow::new(layers, StandardNormal::new([4], &device))
}

#[test]
fn a_stack_whose_actnorm_stays_initialized() {
    let flow = Distribution::init_from_data(stack(3), rows(20, 4) * 3.0, None);
    let flow = moved(flow, 3);
    let loaded = check(&flow, || stack(8), |flow| both_ways(flow, rows(6, 4)));
    assert!(loaded.bijector().1.iter().all(|step| step.0.is_initialized()));
    let before = both_ways(&loaded, rows(6, 4));
    let after = Distribution::init_from_data(loaded, rows(20, 4) * 7.0, None);
    assert_eq!(both_ways(&after, rows(6, 4)).as_bytes(), before.as_bytes());
}

#[test]
fn an_actnorm_that_is_not_initialized_stays_so() {
    let done = || ActNorm::from_weights(Tensor::ones([2], &device()), Tensor::ones([2], &device()));
    let forward = |layer: &ActNorm| layer.forward(rows(3, 2), None).0.into_data();
    let loaded = check(&ActNormConfig::new(2).init(&device()), done, forward);
    assert!(!loaded.is_initialized());
}

#[test]
fn an_image_flow() {
    type Image = Flow<(ActNorm, Coupling<Affine, ConvNet>), StandardNormal<4>>;
    let flow = || -> Image {
        let device = device();
        let network = |from, to| ConvNetConfig::new(4).init(from, to, 0, &device);
        let (mask, event) = (Mask::Checkerboard, [2, 4, 4]);
        let coupling = Coupling::new(&mask, &event, Affine::default(), network, &device).unwrap();
        let layers = (ActNormConfig::new(2).init(&device), coupling);
        Flow::new(layers, StandardNormal::new(event, &device))
    };
    let x: Tensor<4> = Noise::seeded(4).normal([3, 2, 4, 4], &device());
    check(&moved(flow(), 4), flow, |flow| flow.log_prob(x.clone()).into_data());
}

#[test]
fn an_autoregressive_flow_of_random_degrees() {
    let flow = || {
        let made = MadeConfig::new(vec![12, 12])
            .with_degrees(Degrees::Random(1))
            .with_dependencies(Dependencies::Random(1));
        let config = MaskedAutoregressiveConfig::new(6).with_made(made).with_context(1);
        let layer = config.init(Affine::default(), &device());
        Flow::new(vec![layer], StandardNormal::<2>::new([6], &device()))
    };
    let context = Noise::seeded(1).normal([5, 1], &device());
    check(&moved(flow(), 5), flow, |flow| {
        let z = flow.given(&context).encode(rows(5, 6));
        Tensor::cat(vec![flow.given(&context).decode(rows(5, 6)), z], 1).into_data()
    });
}

#[test]
fn any_bijector_with_every_layer() {
    let text = |seed: u64| {
        let coupling = r#"{"Coupling": {"univariate": {"Affine": "Exp"}, "coupling": {"features": 3,
            "mask": "Halves", "context": 0, "mlp": {"hidden": [4], "activation": "Silu",
            "dropout": 0.1, "residual": false, "zero_last": false}}}}"#;
        let masked = r#"{"MaskedAutoregressive": {"univariate": {"Affine": "Exp"}, "autoregressive":
            {"features": 3, "context": 0, "inverse": "Incremental", "made": {"hidden": [5, 4],
            "activation": "Silu", "dropout": 0.0, "residual": false, "zero_last": false,
            "dependencies": {"Random": 1}, "degrees": {"Random": 2}}}}}"#;
        let elementwise = r#"{"Elementwise": {"univariate": "Additive", "features": 3}}"#;
        format!(
            r#"{{"Stack": [{{"ActNorm": {{"features": 3}}}}, {coupling}, {masked}, "Tanh", {{"Inverse": ["Tanh"]}},
            {{"BatchNorm": {{"features": 3, "epsilon": 1e-5, "momentum": 0.1}}}}, {elementwise},
            {{"Permutation": {{"order": [2, 0, 1]}}}}, {{"LuLinear": {{"features": 3}}}},
            {{"DenseLinear": {{"features": 3, "seed": {seed}}}}}, {{"Householder": {{"features": 3, "reflections": 2, "seed": {seed}}}}},
            {{"QrLinear": {{"features": 3, "reflections": 2, "seed": {seed}}}}}, {{"SvdLinear": {{"features": 3, "reflections": 2, "seed": {seed}}}}},
            {{"Shuffle": {{"features": 3, "seed": 5}}}}, {{"LeakyRelu": {{"slope": 0.5}}}},
            "Softplus", {{"Inverse": ["Exp"]}}, {{"Inverse": [{{"Logit": {{"alpha": 0.01}}}}]}}]}}"#
        )
    };
    let flow = |seed| {
        let config: AnyBijectorConfig = serde_json::from_str(&text(seed)).unwrap();
        Flow::new(config.init(&device()), StandardNormal::<2>::new([3], &device()))
    };
    let numbers = |flow: &Flow<_, _>| flow.log_prob(rows(5, 3) * 0.3).into_data();
    check(&moved(flow(5), 5), || flow(6), numbers);
}

/// The statistics of the last training batch are pending until they are read.
#[test]
fn batch_norm_while_it_trains() {
    let trained = |batches: u64| {
        let layer = moved(BatchNormConfig::new(2).init(&device().autodiff()), 7);
        for batch in 0..batches {
            layer.forward(rows(8, 2) * (batch + 1) as f64, None);
        }
        layer
    };
    // Computes the numbers from a separate layer, because reading applies the pending statistics.
    let numbers = |layer: &BatchNorm| layer.valid().forward(rows(4, 2), None).0.into_data();
    let expected = numbers(&trained(3));
    let folder = folder();
    for name in ["layer.safetensors", "layer.bpk"] {
        let path = folder.path().join(name);
        store::save(&trained(3), &path).unwrap();
        let loaded = store::load(trained(2), &path).unwrap();
        assert_eq!(numbers(&loaded).as_bytes(), expected.as_bytes());
    }
}
