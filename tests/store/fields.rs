//! Every kind of parameter, precision and parameter identity is restored.

use burn::module::{Module, ModuleMapper, Param, RunningState, list_param_ids};
use burn::nn::{Linear, LinearConfig, LinearLayout};
use burn::store::ModuleRecord;
use burn::tensor::{Bool, DType, FloatDType, Int, Tensor, TensorData};
use burn_flows::bijector::{Bijector, Standardize};
use burn_flows::conditioner::MlpConfig;
use burn_flows::model::{Nice, NiceConfig, RealNvp, RealNvpConfig};
use burn_flows::{Noise, store};
use serde::{Deserialize, Serialize};

use crate::round_trip::{both_ways, check};
use crate::{device, folder, moved, rows};

#[derive(Module, Debug, Serialize, Deserialize)]
enum Choice {
    Wide(#[serde(with = "store::part")] Linear),
    Tall(#[serde(with = "store::part")] Vec<Linear>),
}

#[derive(Module, Debug, Serialize, Deserialize)]
struct Zoo {
    #[serde(with = "store::part")]
    one: Param<Tensor<1>>,
    #[serde(with = "store::part")]
    three: Param<Tensor<3>>,
    #[serde(with = "store::part")]
    five: Param<Tensor<5>>,
    #[serde(with = "store::part")]
    indices: Param<Tensor<2, Int>>,
    #[serde(with = "store::part")]
    mask: Param<Tensor<2, Bool>>,
    #[serde(with = "store::part")]
    state: RunningState<Tensor<2>>,
    #[serde(with = "store::part")]
    some: Option<Linear>,
    #[serde(with = "store::part")]
    none: Option<Linear>,
    #[serde(with = "store::part")]
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

/// One linear layer.
#[derive(Module, Debug, Serialize, Deserialize)]
struct Single {
    #[serde(with = "store::part")]
    linear: Linear,
}

/// Weights that are not initialised yet, and weights whose layout is transposed in the file.
#[test]
fn lazy_and_transposed_weights() {
    for layout in [LinearLayout::Row, LinearLayout::Col] {
        let layer =
            || Single { linear: LinearConfig::new(2, 3).with_layout(layout).init(&device()) };
        let forward = |layer: &Single| layer.linear.forward(rows(4, 2)).into_data();
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

#[derive(Module, Debug, Serialize, Deserialize)]
struct Whole {
    #[serde(with = "store::part")]
    values: Param<Tensor<1, Int>>,
}

#[test]
fn integers_take_the_width_of_the_model() {
    let layer = |dtype, k: i64| {
        let data = TensorData::new(vec![k, -k], [2]);
        let tensor = Tensor::<1, Int>::from_data(data, (&device(), dtype));
        Whole { values: Param::initialized(Default::default(), tensor) }
    };
    let folder = folder();
    for name in ["layer.safetensors", "layer.bpk"] {
        store::save(&layer(DType::I64, 100), folder.path().join(name)).unwrap();
        let loaded = store::load(layer(DType::I8, 3), folder.path().join(name)).unwrap();
        let data = loaded.values.val().into_data();
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
        // Each coupling has two weights and two biases. The scaling has one parameter.
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

/// A map may have a key with the name that marks the type of a struct in a description.
#[test]
fn a_map_with_a_key_named_type() {
    #[derive(Module, Debug, Serialize, Deserialize)]
    struct Labelled {
        #[module(skip)]
        labels: std::collections::BTreeMap<String, f64>,
    }
    let folder = folder();
    let path = folder.path().join("it.bpk");
    let labels = [("type".to_string(), 1.0), ("other".to_string(), 2.0)].into();
    store::save(&Labelled { labels }, &path).unwrap();
    let opened: Labelled = store::open(&path, &device()).unwrap();
    assert_eq!(opened.labels["type"], 1.0);
    assert_eq!(opened.labels["other"], 2.0);
}
