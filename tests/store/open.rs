//! Opens a model from its file alone, and rejects other settings and forged descriptions.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};
use burn_flows::bijector::{
    ActNormConfig, AnyBijector, AnyBijectorConfig, BatchNorm, BatchNormConfig, Bijector, Coupling,
    CouplingConfig, Logit, Mask, Partial, Permutation, Standardize,
};
use burn_flows::conditioner::{Mlp, MlpConfig};
use burn_flows::distribution::*;
use burn_flows::model::*;
use burn_flows::train::{NoiseModel, UniformNoise, VariationalDequantize};
use burn_flows::univariate::Affine;
use burn_flows::{Error, Flow, Noise, store};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{description, device, folder, forged, moved, rows};

/// Opens a model from its file in both formats. Saving it again must give the same file.
fn reopened<M: Module + Serialize + DeserializeOwned>(model: &M, device: &Device) -> M {
    let folder = folder();
    let [first, _] = ["model.safetensors", "model.bpk"].map(|name| {
        let path = folder.path().join(name);
        store::save(model, &path).unwrap();
        let opened: M = store::open(&path, device).unwrap();
        let again = folder.path().join(format!("again-{name}"));
        store::save(&opened, &again).unwrap();
        assert_eq!(std::fs::read(again).unwrap(), std::fs::read(&path).unwrap());
        opened
    });
    first
}

/// Checks that a reopened distribution gives the same draws and log-densities.
fn same<const D: usize, P>(density: P)
where
    P: Distribution<D> + Serialize + DeserializeOwned,
{
    let opened = reopened(&density, &device());
    let draw = |density: &P| density.sample(4, None, &mut Noise::seeded(1), &device());
    let (x, found) = (draw(&density), draw(&opened));
    assert_eq!(found.into_data(), x.to_data());
    let (expected, found) = (density.log_prob(x.clone(), None), opened.log_prob(x, None));
    assert_eq!(found.into_data(), expected.into_data());
}

#[test]
fn every_distribution() {
    let device = device();
    let row = |a: f64, b: f64| Tensor::<2>::from_data([[a, b]], &device);
    same::<2, _>(StandardNormal::<2>::new([3], &device));
    same::<4, _>(StandardNormal::<4>::new([1, 2, 2], &device));
    same::<2, _>(moved(DiagNormalConfig::new(vec![3]).init::<2>(&device), 1));
    same::<2, _>(StudentTConfig::new(vec![3], 2.5).init::<2>(&device));
    same::<2, _>(Uniform::new(row(-1.0, 0.5), row(2.0, 0.75)).unwrap());
    same::<2, _>(moved(GaussianMixtureConfig::new(2, 3).with_seed(4).init(&device), 2));
    same::<2, _>(TwoMoons {});
    same::<2, _>(Rings {});
    same::<2, _>(EightGaussians {});
    same::<2, _>(Checkerboard {});
    same::<2, _>(Pinwheel {});
    let parts = vec![StandardNormal::<2>::new([2], &device); 2];
    let weights = Tensor::from_data([0.3, 0.7], &device);
    same::<2, _>(Mixture::new(parts, &device).unwrap().with_weights(weights).unwrap());
    let normal =
        ConditionalNormalConfig::new(vec![2], 3, MlpConfig::new(vec![4])).init::<2>(&device);
    same::<2, _>(Marginal::of_classes(moved(normal, 3), 3, &device).unwrap());
    let class = || moved(CategoricalMadeConfig::new(vec![3, 2]).with_seed(1).init(&device), 3);
    same::<2, _>(class());
    let unit = Uniform::new(row(0.0, 0.0), row(1.0, 1.0)).unwrap();
    same::<2, _>(Product::new(&Mask::Alternating, 4, unit, class(), &device).unwrap());
    let normal =
        ConditionalNormalConfig::new(vec![1], 4, MlpConfig::new(vec![4])).init::<2>(&device);
    let chain =
        Chained::new(&Mask::Kept(vec![0, 2]), 3, class(), moved(normal, 4), &device).unwrap();
    same::<2, _>(chain.with_one_hot(vec![Some(3), None]).unwrap());
}

#[test]
fn every_distribution_of_the_crate_is_in_the_list() {
    let list = include_str!("open.rs");
    let exports = include_str!("../../src/distribution/mod.rs");
    let exports = exports.split("pub use ").skip(1).map(|text| text.split_once(';').unwrap().0);
    let names = exports.flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    for name in names.filter(|name| name.starts_with(char::is_uppercase)) {
        // A base of `MultiScale`, its trait, and a view are not distributions of their own.
        let others = ["ChannelPrior", "ChannelPriorConfig", "LevelBase", "Given"].contains(&name);
        let own = list.matches(name).count();
        assert!(others || own > 0, "{name}");
    }
}

/// Checks that a reopened flow gives the same log-densities of its draws.
fn same_flow<B, P>(flow: Flow<B, P>)
where
    B: Bijector<2> + Serialize + DeserializeOwned,
    P: Distribution<2> + Serialize + DeserializeOwned,
{
    same::<2, _>(moved(flow, 5));
}

#[test]
fn every_model() {
    let device = device();
    same_flow(RealNvpConfig::new(3).with_layers(2).init(&device));
    same_flow(NiceConfig::new(3).init(&device));
    same_flow(MafConfig::new(3).with_layers(2).with_linear(true).init(&device));
    same_flow(MafMogConfig::new(MafConfig::new(3).with_layers(2), 2).init(&device));
    same_flow(IafConfig::new(3).with_layers(2).init(&device));
    same_flow(NsfConfig::new(3).with_layers(2).init(&device));
    same_flow(AutoregressiveNsfConfig::new(3).with_layers(2).init(&device));
    same_flow(CircularNsfConfig::new(2).with_layers(2).init(&device));
    same_flow(PlanarFlowConfig::new(3).init(&device));
    same_flow(ResidualFlowConfig::new(3).with_layers(2).init(&device));
    same_flow(NeuralAutoregressiveFlowConfig::new(2).with_layers(1).init(&device));
    same_flow(UnconstrainedAutoregressiveFlowConfig::new(2).with_layers(1).init(&device));
    same_flow(SumOfSquaresFlowConfig::new(2).with_layers(1).init(&device));
    same_flow(BernsteinFlowConfig::new(2).with_layers(1).init(&device));
    same_flow(GaussianizationFlowConfig::new(2).with_layers(1).init(&device));
    let glow = GlowConfig::new([1, 4, 4], 2).with_steps(1);
    // Without moved weights, because signs are not weights.
    same::<4, _>(glow.init(&device));
    same::<4, _>(moved(RealNvpImageConfig::new([1, 4, 4], 1).init(&device), 7));
}

type Known = Flow<(Logit, Vec<Coupling<Affine, Mlp>>), StandardNormal<2>>;

fn known(alpha: f64) -> Known {
    let config = CouplingConfig::new(2).with_mlp(MlpConfig::new(vec![4]));
    let layers = vec![config.init(Affine::default(), &device())];
    let base = StandardNormal::new([2], &device());
    Flow::new((Logit::new(alpha).unwrap(), layers), base)
}

#[test]
fn a_type_that_is_known_and_one_that_is_not() {
    let x = Noise::seeded(3).uniform::<2>([5, 2], &device());
    let flow = moved(known(0.05), 1);
    let expected = flow.log_prob(x.clone()).into_data();
    assert_eq!(reopened(&flow, &device()).log_prob(x.clone()).into_data(), expected);

    let config = CouplingConfig::new(2).with_mlp(MlpConfig::new(vec![4]));
    let univariate = burn_flows::univariate::AnyUnivariateConfig::Affine(Default::default());
    let layers = [
        AnyBijectorConfig::Logit { alpha: 0.05 },
        AnyBijectorConfig::Coupling { univariate, coupling: config },
    ];
    let layers: Vec<AnyBijector> = layers.iter().map(|layer| layer.init(&device())).collect();
    let flow = moved(Flow::new(layers, StandardNormal::<2>::new([2], &device())), 1);
    let expected = flow.log_prob(x.clone()).into_data();
    assert_eq!(reopened(&flow, &device()).log_prob(x.clone()).into_data(), expected);
    let single: AnyBijector = flow.bijector()[0].clone();
    let opened = reopened(&single, &device()).forward(x.clone(), None).0;
    assert_eq!(opened.into_data(), single.forward(x, None).0.into_data());
}

#[test]
fn double_precision_statistics_and_what_is_trainable() {
    let x = rows(9, 2);
    let layers = |device: &Device| {
        let standardize = Standardize::from_data(x.clone()).unwrap();
        (standardize, BatchNormConfig::new(2).init(device), ActNormConfig::new(2).init(device))
    };
    let autodiff = device().autodiff();
    let trained = moved(layers(&autodiff), 3);
    trained.1.forward(x.clone().autodiff(), None);
    let double = burn_flows::cast(layers(&device()), burn::tensor::DType::F64);
    let z = |layers: &(_, _, _), x: Tensor<2>| {
        let layers: &(Standardize<2>, _, _) = layers;
        layers.valid().forward(x, None).0.into_data()
    };
    let wide = x.clone().cast(burn::tensor::DType::F64);
    assert_eq!(z(&reopened(&double, &device()), wide.clone()), z(&double, wide));
    let opened = reopened(&trained, &autodiff);
    assert_eq!(z(&opened, x.clone()), z(&trained, x.clone()));
    // Only the parameters of the last two layers are trained.
    let trainable = |layers: &_| {
        struct Trainable(Vec<bool>);
        impl burn::module::ModuleVisitor for Trainable {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.push(param.val().is_require_grad());
            }
        }
        let mut seen = Trainable(vec![]);
        Module::visit(layers, &mut seen);
        seen.0
    };
    assert_eq!(trainable(&opened), trainable(&trained));
    assert_eq!(trainable(&opened), [false, false, false, true, true, false, false, true, true]);
    // A model saved in evaluation mode still has trainable parameters after opening.
    let opened = reopened(&trained.valid(), &autodiff);
    assert_eq!(trainable(&opened), trainable(&trained));
}

#[test]
fn dequantization() {
    let flow = known(0.05);
    let model = VariationalDequantize::new(flow, UniformNoise {}, 9).unwrap();
    let opened = reopened(&model, &device());
    let x = Tensor::<2>::ones([2, 2], &device());
    let draw = |noise: &UniformNoise| {
        let (u, _) = NoiseModel::<2>::draw_for(noise, &x, None, &mut Noise::seeded(2));
        u.into_data()
    };
    assert_eq!(draw(&UniformNoise {}), draw(&UniformNoise {}));
    assert_eq!(description(&opened), description(&model));
}

/// A custom layer.
#[derive(Module, Debug, Serialize, Deserialize)]
struct Turn {
    #[serde(with = "store::part")]
    angle: Param<Tensor<1>>,
    #[serde(with = "store::fixed")]
    axes: Param<Tensor<1, Int>>,
    half: bool,
}

fn turn(axis: i32, half: bool) -> Turn {
    let axes = Tensor::from_data([axis, 1], &device());
    let angle = Param::from_tensor(Tensor::ones([1], &device()));
    Turn { angle, axes: Param::initialized(Default::default(), axes), half }
}

#[test]
fn a_layer_of_a_users() {
    let opened = reopened(&turn(0, true), &device());
    assert!(opened.half && opened.axes.val().to_data() == turn(0, true).axes.val().to_data());
    let error = crate::mismatch::refusal(&vec![turn(0, true)], || vec![turn(0, false)]);
    let advice = "build the model with the file's setting, or read the file with `store::open`";
    let text = "layer `0` (Turn): setting `half` is false in the model and true in the file";
    assert_eq!(error.to_string(), format!("{text}; {advice}"));
    let error = crate::mismatch::refusal(&vec![turn(0, true)], || vec![turn(3, true)]);
    let text = "layer `0` (Turn): setting `axes[0]` is 3 in the model and 0 in the file";
    assert_eq!(error.to_string(), format!("{text}; {advice}"));

    #[derive(Module, Debug, Serialize)]
    struct Forgetful {
        #[serde(skip)]
        weight: Param<Tensor<1>>,
    }
    let weight = Param::from_tensor(Tensor::ones([1], &device()));
    let error = store::save(&Forgetful { weight }, folder().path().join("it.bpk")).unwrap_err();
    let text = "tensor `weight`: is not described; give its field `#[serde(with = \
                \"burn_flows::store::part\")]`";
    assert_eq!(error.to_string(), text);
}

#[test]
fn another_setting_is_named_with_its_layer() {
    let folder = folder();
    let path = folder.path().join("flow.safetensors");
    store::save(&known(0.05), &path).unwrap();
    let error = store::load(known(0.2), &path).unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer `bijector.0` (Logit): setting `alpha` is 0.2 in the model and 0.05 in the file; \
         build the model with the file's setting, or read the file with `store::open`"
    );
    assert!(matches!(error, Error::Setting { layer, module, setting, expected, found }
        if layer == "bijector.0" && module == "Logit" && setting == "alpha"
            && expected == "0.2" && found == "0.05"));
    let error = crate::mismatch::refusal(&Logit::new(0.05).unwrap(), || Logit::new(0.1).unwrap());
    assert!(error.to_string().starts_with("Logit: setting `alpha` is 0.1"), "{error}");
}

/// Orders and masks are tensors of the file, so a model with other orders is another model. The
/// pivots of a random matrix are drawn with it. They come from the file together with its weights.
#[test]
fn weights_go_into_a_model_that_drew_others() {
    let folder = folder();
    let path = folder.path().join("glow.safetensors");
    let config = GlowConfig::new([1, 8, 8], 1).with_steps(2);
    let glow = |seed| config.clone().with_seed(seed).init(&device());
    let saved = glow(1);
    store::save(&saved, &path).unwrap();
    let x = Noise::seeded(2).normal::<4>([2, 1, 8, 8], &device());
    let expected = saved.encode_flat(x.clone()).into_data();
    for seed in 2..6 {
        assert_ne!(glow(seed).encode_flat(x.clone()).into_data(), expected);
        let loaded = store::load(glow(seed), &path).unwrap();
        assert_eq!(loaded.encode_flat(x.clone()).into_data(), expected);
    }
}

#[test]
fn another_order_or_mask_is_another_model() {
    let device = device();
    let order = |order: &[usize]| vec![Permutation::given(order, &device).unwrap()];
    let error = crate::mismatch::refusal(&order(&[0, 2, 1]), || order(&[0, 1, 2]));
    let text = "layer `0` (Permutation): setting `order[1]` is 1 in the model and 2 in the file; ";
    assert!(error.to_string().starts_with(text), "{error}");
    let maf = |orders| MafConfig::new(3).with_layers(2).with_orders(orders).init(&device);
    let error = crate::mismatch::refusal(&maf(Orders::Alternating), || maf(Orders::Random(3)));
    assert!(
        matches!(&error, Error::Setting { layer, .. } if layer.starts_with("bijector.")),
        "{error}"
    );
    let nvp = |masks| RealNvpConfig::new(7).with_layers(2).with_masks(masks).init(&device);
    let error = crate::mismatch::refusal(&nvp(Masks::Random(1)), || nvp(Masks::Random(2)));
    assert!(error.to_string().contains(" (Split): setting `"), "{error}");
    let flow = moved(nvp(Masks::Random(1)), 3);
    let opened = reopened(&flow, &device);
    assert_eq!(opened.log_prob(rows(4, 7)).into_data(), flow.log_prob(rows(4, 7)).into_data());
}

/// Types without fields are distinguished, and so are lists of different lengths.
#[test]
fn another_structure_is_named() {
    let any = |configs: &[AnyBijectorConfig]| -> Vec<AnyBijector> {
        configs.iter().map(|config| config.init(&device())).collect()
    };
    use AnyBijectorConfig::{Exp, Softplus, Tanh};
    let error = crate::mismatch::refusal(&any(&[Exp, Tanh]), || any(&[Exp, Softplus]));
    assert!(
        error.to_string().contains("setting `1` is Softplus in the model and Tanh in the file"),
        "{error}"
    );
    let error = crate::mismatch::refusal(&any(&[Exp, Tanh]), || any(&[Exp]));
    assert!(
        error.to_string().contains("is a list of 1 elements in the model and a list of 2 elements"),
        "{error}"
    );
    let exp = || (Logit::new(0.1).unwrap(), burn_flows::bijector::Exp {});
    let error =
        crate::mismatch::refusal(&(Logit::new(0.1).unwrap(), burn_flows::bijector::Tanh {}), exp);
    let text = "layer `1` (Exp): setting `type` is Exp in the model and Tanh in the file; ";
    assert!(error.to_string().starts_with(text), "{error}");
    let folder = folder();
    let path = folder.path().join("it.bpk");
    store::save(&exp(), &path).unwrap();
    let error = store::open::<(Logit, burn_flows::bijector::Tanh)>(&path, &device()).unwrap_err();
    let text = "layer `1` (Tanh): setting `type` is Tanh in the model and Exp in the file; ";
    assert!(error.to_string().starts_with(text), "{error}");
    let error = store::open::<Known>(&path, &device()).unwrap_err();
    assert!(error.to_string().contains("it.bpk: does not describe a Flow: "), "{error}");
}

#[test]
fn a_partial_layer() {
    let inner = Logit::new(0.1).unwrap();
    let layer = Partial::new(&Mask::Kept(vec![1]), &[3], inner, &device()).unwrap();
    let x = Noise::seeded(3).uniform::<2>([5, 3], &device());
    let opened = reopened(&layer, &device());
    let (found, expected) = (opened.forward(x.clone(), None).0, layer.forward(x, None).0);
    assert_eq!(found.into_data(), expected.into_data());
}

/// A frozen batch normalization keeps its statistics in training, also after opening.
#[test]
fn a_frozen_layer() {
    let device = device();
    let trained = |layer: BatchNorm| {
        let layer = layer.train();
        layer.forward(rows(8, 2) * 3.0, None);
        layer.valid().forward(Tensor::ones([1, 2], &device), None).0.into_data()
    };
    let layer = || BatchNormConfig::new(2).init(&device);
    let before = layer().forward(Tensor::ones([1, 2], &device), None).0.into_data();
    assert_ne!(trained(reopened(&layer(), &device)), before);
    assert_eq!(trained(reopened(&layer().freeze(), &device)), before);
    // `load` does not freeze the model.
    let path = folder();
    let path = path.path().join("it.bpk");
    store::save(&layer().freeze(), &path).unwrap();
    assert_ne!(trained(store::load(layer(), &path).unwrap()), before);
}

/// If a file lacks several tensors, the error names the first one by its path.
#[test]
fn tensors_that_are_described_and_missing() {
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    store::save(&vec![turn(0, true)], &path).unwrap();
    let layers: Vec<Turn> = (0..4).map(|axis| turn(axis, true)).collect();
    let own = description(&layers);
    assert_eq!(own[0]["axes"]["fixed"], Value::Bool(true));
    forged(&path, &own);
    let error = store::open::<Vec<Turn>>(&path, &device()).unwrap_err();
    assert!(matches!(&error, Error::MissingTensor { name, .. } if name == "1.angle"), "{error}");
}

/// Nested stacks up to the allowed depth, and deeper ones.
#[test]
fn nested_stacks() {
    let stack = |depth: usize| {
        let config = (0..depth)
            .fold(AnyBijectorConfig::Tanh, |inner, _| AnyBijectorConfig::Inverse(vec![inner]));
        config.init(&device())
    };
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    let x = rows(2, 2) * 0.1;
    let opened = reopened(&stack(20), &device());
    assert_eq!(
        opened.forward(x.clone(), None).0.into_data(),
        stack(20).forward(x, None).0.into_data()
    );
    let error = store::save(&stack(22), &path).unwrap_err().to_string();
    assert!(
        error.ends_with("nested in 68 levels, the limit is 64; flatten nested stacks"),
        "{error}"
    );
    let error = store::save(&stack(21), &path).unwrap_err().to_string();
    assert!(error.contains("nested in 65 levels"), "{error}");

    store::save(&stack(1), &path).unwrap();
    let list = |inner| Value::from(vec![inner]);
    let nested = |depth| {
        let stack = |inner| serde_json::json!({ "Stack": list(inner) });
        (0..depth).fold(description(&stack_of_one()), |inner, _| stack(inner))
    };
    // Depth 31 has 64 levels.
    for depth in [30, 31] {
        forged(&path, &nested(depth));
        assert!(store::open::<AnyBijector>(&path, &device()).is_ok(), "{depth}");
    }
    for depth in [40, 50, 300] {
        forged(&path, &nested(depth));
        assert!(store::open::<AnyBijector>(&path, &device()).is_err(), "{depth}");
    }
    // The deepest part counts, even beside flat parts.
    let in_structs = |depth| {
        let part = |inner| serde_json::json!({ "type": "Stack", "flat": 1, "inner": [1, inner] });
        (0..depth).fold(Value::Null, |inner, _| part(inner))
    };
    store::save(&stack(1), &path).unwrap();
    forged(&path, &in_structs(33));
    let error = store::open::<AnyBijector>(&path, &device()).unwrap_err().to_string();
    assert!(error.contains("nested in 66 levels"), "{error}");
}

fn stack_of_one() -> AnyBijector {
    AnyBijectorConfig::Tanh.init(&device())
}
