use burn::module::{Module, ModuleMapper, Param, RunningState, list_param_ids};
use burn::nn::{Linear, LinearConfig, LinearLayout};
use burn::store::ModuleRecord;
use burn::tensor::{Bool, DType, FloatDType, Int, Tensor, TensorData};
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

use crate::{device, folder, moved, rows};

/// Saves `model`, loads it into another one that gives other numbers, in both formats.
fn check<M: Module>(model: &M, other: impl Fn() -> M, numbers: impl Fn(&M) -> TensorData) -> M {
    let folder = folder();
    let expected = numbers(model);
    let loaded = ["model.safetensors", "model.bpk"].map(|name| {
        let path = folder.path().join(name);
        assert_ne!(numbers(&other()).as_bytes(), expected.as_bytes(), "the check cannot fail");
        store::save(model, &path).unwrap();
        let loaded = store::load(other(), &path).unwrap();
        let found = numbers(&loaded);
        assert_eq!((found.dtype(), found.as_bytes()), (expected.dtype(), expected.as_bytes()));
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

/// `log_prob` of data and the data of latents, in one list.
fn both_ways<B: Bijector<2>, P: Distribution<2>>(flow: &Flow<B, P>, x: Tensor<2>) -> TensorData {
    let log_prob = flow.log_prob(x.clone());
    Tensor::cat(vec![log_prob, flow.decode(x).flatten(0, 1)], 0).into_data()
}

#[test]
fn real_nvp_with_a_context() {
    let config = |seed| {
        let mlp = MlpConfig::new(vec![8, 8]).with_residual(true);
        RealNvpConfig::new(5).with_masks(Masks::Random(seed)).with_mlp(mlp).with_context(2)
    };
    let flow: RealNvp = moved(config(1).init(&device()), 1);
    let (x, c) = (rows(7, 5), rows(7, 2));
    let numbers = |flow: &RealNvp| flow.log_prob_given(x.clone(), &c).into_data();
    check(&flow, || config(2).init(&device()), numbers);
}

#[test]
fn nice() {
    let config = NiceConfig::new(4).with_mlp(MlpConfig::new(vec![8]));
    let flow: Nice = moved(config.init(&device()), 2);
    check(&flow, || config.init(&device()), |flow| both_ways(flow, rows(6, 4)));
}

/// The orders are in the masks, and the masks are in the file.
#[test]
fn maf_on_a_mixture() {
    for norm in [StepNorm::ActNorm, StepNorm::BatchNorm] {
        let config = |seed| {
            let maf = MafConfig::new(5)
                .with_layers(3)
                .with_orders(Orders::Random(seed))
                .with_made(MadeConfig::new(vec![9]))
                .with_norm(norm)
                .with_linear(true);
            MafMogConfig::new(maf, 3).with_seed(seed)
        };
        let flow: MafMog = moved(config(1).init(&device()), 3);
        check(&flow, || config(20).init(&device()), |flow| both_ways(flow, rows(6, 5)));
    }
}

#[test]
fn iaf() {
    let config = |seed| {
        let config = IafConfig::new(4).with_layers(3).with_orders(Orders::Random(seed));
        config.with_made(MadeConfig::new(vec![8, 8]).with_residual(true))
    };
    let flow: Iaf = moved(config(1).init(&device()), 4);
    check(&flow, || config(20).init(&device()), |flow| both_ways(flow, rows(6, 4)));
}

type Step = (ActNorm, Permutation, LuLinear);
type Stack = Flow<(Standardize<2>, Vec<Step>, BatchNorm), StandardNormal<2>>;

fn stack(seed: u64) -> Stack {
    let device = device();
    let step = |k| {
        let actnorm = ActNormConfig::new(4).init(&device);
        (actnorm, Permutation::random(4, seed + k, &device), LuLinearConfig::new(4).init(&device))
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

/// The masks and the order of the hidden units are those of the file.
#[test]
fn an_autoregressive_flow_of_other_degrees() {
    let flow = |seed| {
        let made = MadeConfig::new(vec![12, 12])
            .with_degrees(Degrees::Random(seed))
            .with_dependencies(Dependencies::Random(seed));
        let config = MaskedAutoregressiveConfig::new(6).with_made(made).with_context(1);
        let layer = config.init(Affine::default(), &device());
        Flow::new(vec![layer], StandardNormal::<2>::new([6], &device()))
    };
    let context = Noise::seeded(1).normal([5, 1], &device());
    check(
        &moved(flow(1), 5),
        || flow(2),
        |flow| {
            let z = flow.encode_given(rows(5, 6), &context);
            Tensor::cat(vec![flow.decode_given(rows(5, 6), &context), z], 1).into_data()
        },
    );
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
            {{"Shuffle": {{"features": 3, "seed": {seed}}}}}, {{"LeakyRelu": {{"slope": 0.5}}}},
            "Softplus", {{"Inverse": ["Exp"]}}, {{"Inverse": [{{"Logit": {{"alpha": 0.01}}}}]}}]}}"#
        )
    };
    let flow = |seed| {
        let config: AnyBijectorConfig = serde_json::from_str(&text(seed)).unwrap();
        Flow::new(config.init(&device()).unwrap(), StandardNormal::<2>::new([3], &device()))
    };
    let numbers = |flow: &Flow<_, _>| flow.log_prob(rows(5, 3) * 0.3).into_data();
    check(&moved(flow(5), 5), || flow(6), numbers);
}

/// The statistics of the last training batch are pending until somebody asks.
#[test]
fn batch_norm_while_it_trains() {
    let trained = |batches: u64| {
        let layer = moved(BatchNormConfig::new(2).init(&device().autodiff()), 7);
        for batch in 0..batches {
            layer.forward(rows(8, 2) * (batch + 1) as f64, None);
        }
        layer
    };
    // The numbers come from a layer of their own: asking folds what is pending.
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

#[derive(Module, Debug)]
enum Choice {
    Wide(Linear),
    Tall(Vec<Linear>),
}

#[derive(Module, Debug)]
struct Zoo {
    one: Param<Tensor<1>>,
    three: Param<Tensor<3>>,
    five: Param<Tensor<5>>,
    indices: Param<Tensor<2, Int>>,
    mask: Param<Tensor<2, Bool>>,
    state: RunningState<Tensor<2>>,
    some: Option<Linear>,
    none: Option<Linear>,
    pair: (Linear, Vec<Linear>),
    both: [Choice; 2],
    rate: f64,
}

fn zoo(seed: u64) -> Zoo {
    let (device, mut noise) = (device(), Noise::seeded(seed));
    let linear = |a, b| LinearConfig::new(a, b).init(&device);
    let row = TensorData::new((0..6_i64).map(|i| i * seed as i64 - 3).collect(), [2, 3]);
    let bools = TensorData::new((0..6).map(|i| i % 5 < seed as i32).collect::<Vec<_>>(), [3, 2]);
    Zoo {
        one: Param::from_tensor(noise.normal([4], &device)),
        three: Param::from_tensor(noise.normal([2, 1, 3], &device)),
        five: Param::from_tensor(noise.normal([1, 2, 1, 2, 2], &device)),
        indices: Param::initialized(Default::default(), Tensor::from_data(row, &device)),
        mask: Param::initialized(Default::default(), Tensor::from_data(bools, &device)),
        state: RunningState::new(noise.normal([2, 2], &device)),
        some: Some(linear(1, 2)),
        none: None,
        pair: (linear(2, 1), vec![linear(1, 1), linear(3, 1)]),
        both: [Choice::Wide(linear(1, 3)), Choice::Tall(vec![linear(3, 1)])],
        rate: 0.5,
    }
}

#[test]
fn every_kind_of_field() {
    let numbers = |zoo: &Zoo| {
        let (Choice::Wide(wide), Choice::Tall(tall)) = (&zoo.both[0], &zoo.both[1]) else {
            panic!("the variants are given")
        };
        let linears = [zoo.some.as_ref().unwrap(), &zoo.pair.0, &zoo.pair.1[1], wide, &tall[0]];
        let mut parts: Vec<Tensor<1>> =
            linears.iter().map(|linear| linear.weight.val().flatten(0, 1)).collect();
        parts.extend(linears.iter().map(|linear| linear.bias.as_ref().unwrap().val()));
        parts.extend([zoo.one.val(), zoo.three.val().flatten(0, 2), zoo.five.val().flatten(0, 4)]);
        parts.push(zoo.indices.val().float().flatten(0, 1));
        parts.push(zoo.mask.val().float().flatten(0, 1));
        parts.push(zoo.state.value().flatten(0, 1));
        Tensor::cat(parts, 0).into_data()
    };
    check(&zoo(1), || zoo(2), numbers);
    let folder = folder();
    store::save(&zoo(1), folder.path().join("zoo.safetensors")).unwrap();
    let file = std::fs::read(folder.path().join("zoo.safetensors")).unwrap();
    let mut names = safetensors::SafeTensors::deserialize(&file)
        .unwrap()
        .names()
        .into_iter()
        .map(String::from)
        .collect::<Vec<_>>();
    names.sort();
    let expected = "both.0.Wide.bias both.0.Wide.weight both.1.Tall.0.bias both.1.Tall.0.weight five \
        indices mask one pair.0.bias pair.0.weight pair.1.0.bias pair.1.0.weight pair.1.1.bias \
        pair.1.1.weight some.bias some.weight state three";
    assert_eq!(names.join(" "), expected);
}

/// Weights that are not drawn yet, and weights that live transposed to how they are saved.
#[test]
fn lazy_and_transposed_weights() {
    for layout in [LinearLayout::Row, LinearLayout::Col] {
        let layer = || LinearConfig::new(2, 3).with_layout(layout).init(&device());
        let forward = |layer: &Linear| layer.forward(rows(4, 2)).into_data();
        check(&layer(), layer, forward);
        let drawn = || {
            let layer = layer();
            forward(&layer);
            layer
        };
        check(&layer(), drawn, forward);
    }
}

struct Cast(FloatDType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(self.0))
    }
}

#[test]
fn double_precision_and_between_precisions() {
    let config = RealNvpConfig::new(3).with_layers(3).with_mlp(MlpConfig::new(vec![6]));
    let single = || config.init(&device());
    let double = || single().map(&mut Cast(FloatDType::F64));
    let saved = moved(double(), 9);
    let numbers = |flow: &RealNvp| both_ways(flow, rows(5, 3).cast(FloatDType::F64));
    check(&saved, double, numbers);

    let folder = folder();
    for name in ["flow.safetensors", "flow.bpk"] {
        let path = folder.path().join(name);
        store::save(&saved, &path).unwrap();
        let narrowed = store::load(single(), &path).unwrap();
        let found = both_ways(&narrowed, rows(5, 3));
        let expected = both_ways(&saved.clone().map(&mut Cast(FloatDType::F32)), rows(5, 3));
        assert_eq!(found.dtype(), DType::F32);
        assert_eq!(found.as_bytes(), expected.as_bytes());

        store::save(&narrowed, &path).unwrap();
        let widened = store::load(double(), &path).unwrap();
        let expected = narrowed.map(&mut Cast(FloatDType::F64));
        assert_eq!(numbers(&widened).as_bytes(), numbers(&expected).as_bytes());
    }
}

#[test]
fn integers_take_the_width_of_the_model() {
    let layer = |dtype, k: i64| {
        let data = TensorData::new(vec![k, -k], [2]);
        let tensor = Tensor::<1, Int>::from_data(data, (&device(), dtype));
        Param::initialized(Default::default(), tensor)
    };
    let folder = folder();
    for name in ["layer.safetensors", "layer.bpk"] {
        store::save(&layer(DType::I64, 100), folder.path().join(name)).unwrap();
        let loaded = store::load(layer(DType::I8, 3), folder.path().join(name)).unwrap();
        let data = loaded.val().into_data();
        assert_eq!(data.dtype(), DType::I8);
        assert_eq!(data.as_slice::<i8>().unwrap(), [100, -100]);
    }
}

#[test]
fn identities_and_gradients_survive() {
    let config = NiceConfig::new(4).with_mlp(MlpConfig::new(vec![8]));
    let build = |seed| {
        let standardize = Standardize::from_data(rows(9, 4)).unwrap();
        (standardize, moved(config.init(&device().autodiff()), seed))
    };
    let (saved, folder) = (build(1), folder());
    for name in ["flow.safetensors", "flow.bpk"] {
        store::save(&saved, folder.path().join(name)).unwrap();
        let other = build(2);
        assert_ne!(list_param_ids(&other), list_param_ids(&saved));
        let loaded = store::load(other, folder.path().join(name)).unwrap();
        assert_eq!(list_param_ids(&loaded), list_param_ids(&saved));
        let (x, _) = loaded.0.forward(rows(5, 4), None);
        assert!(!x.is_require_grad());
        let log_prob = |flow: &Nice| flow.log_prob(x.clone()).sum();
        let (mut found, mut expected) =
            (log_prob(&loaded.1).backward(), log_prob(&saved.1).backward());
        let gradient = |flow: &Nice, gradients: &mut _| {
            struct First<'a>(&'a mut burn::tensor::Gradients, Vec<TensorData>);
            impl burn::module::ModuleVisitor for First<'_> {
                fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                    if let Some(gradient) = param.val().grad_remove(self.0) {
                        self.1.push(gradient.into_data());
                    }
                }
            }
            let mut first = First(gradients, vec![]);
            flow.visit(&mut first);
            first.1
        };
        let gradients = gradient(&loaded.1, &mut found);
        assert_eq!(gradients, gradient(&saved.1, &mut expected));
        // Two weights and two biases a coupling, and the parameters of the scaling.
        assert_eq!(gradients.len(), 4 * config.layers + 1);
    }
}

#[test]
fn burn_reads_the_burnpack() {
    let config = NiceConfig::new(3).with_mlp(MlpConfig::new(vec![5]));
    let (flow, folder) = (moved(config.init(&device()), 3), folder());
    let path = folder.path().join("flow.bpk");
    store::save(&flow, &path).unwrap();
    let read = config.init(&device()).load_record(ModuleRecord::load(&path).unwrap());
    assert_eq!(both_ways(&read, rows(4, 3)), both_ways(&flow, rows(4, 3)));
}
