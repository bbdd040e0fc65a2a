//! Every kind of setting in a description, and the checks of burn's own layers when they are
//! opened.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, LinearLayout};
use burn::tensor::{Bool, DType, FloatDType, Int, Tensor};
use burn_flows::bijector::{BatchNormConfig, DenseLinear, DenseLinearConfig, LeakyRelu, Tanh};
use burn_flows::{Error, store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::mismatch::refusal;
use crate::{description, device, folder, forged};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Newtype(u8);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Two(u8, i8);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Kind {
    Plain,
    One(u8),
    Two(u8, u8),
    Named { low: u8, high: u8 },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct All {
    single: f32,
    letter: char,
    none: Option<u8>,
    newtype: Newtype,
    two: Two,
    kind: Kind,
    words: BTreeMap<String, u8>,
    numbers: BTreeMap<u32, u8>,
    bytes: Vec<u8>,
    dtype: u8,
}

#[derive(Module, Debug, Serialize, Deserialize)]
struct Layer {
    #[module(skip)]
    all: All,
}

fn layer(change: impl FnOnce(&mut All)) -> Layer {
    let mut all = All {
        single: 0.5,
        letter: 'a',
        none: None,
        newtype: Newtype(1),
        two: Two(2, -3),
        kind: Kind::Plain,
        words: BTreeMap::from([("x".to_string(), 4)]),
        numbers: BTreeMap::from([(7, 5)]),
        bytes: vec![6],
        dtype: 1,
    };
    change(&mut all);
    Layer { all }
}

#[test]
fn every_kind_of_setting_is_described() {
    let expected = json!({ "type": "Layer", "all": {
        "type": "All", "single": 0.5, "letter": "a", "none": null, "newtype": 1,
        "two": [2, -3], "kind": "Plain", "words": { "x": 4 }, "numbers": { "7": 5 }, "bytes": [6],
        "dtype": 1
    } });
    assert_eq!(description(&layer(|_| {})), expected);
    let kind = |kind| description(&layer(|all| all.kind = kind))["all"]["kind"].take();
    assert_eq!(kind(Kind::One(1)), json!({ "One": 1 }));
    assert_eq!(kind(Kind::Two(1, 2)), json!({ "Two": [1, 2] }));
    assert_eq!(kind(Kind::Named { low: 1, high: 2 }), json!({ "Named": { "low": 1, "high": 2 } }));
}

/// Different settings of every kind, and their text in the error.
#[test]
fn every_kind_of_setting_is_compared() {
    type Change = fn(&mut All);
    let cases: [(Change, &str); 14] = [
        (|all| all.single = 0.25, "`all.single` is 0.5 in the model and 0.25 in the file"),
        (|all| all.letter = 'b', "`all.letter` is a in the model and b in the file"),
        (|all| all.none = Some(0), "`all.none` is none in the model and 0 in the file"),
        (|all| all.newtype.0 = 9, "`all.newtype` is 1 in the model and 9 in the file"),
        (|all| all.two.1 = 9, "`all.two` is [2,-3] in the model and [2,9] in the file"),
        (|all| all.kind = Kind::One(1), "`all.kind` is Plain in the model and One(1) in the file"),
        (|all| all.kind = Kind::Two(1, 2), "`all.kind` is Plain in the model and Two in the file"),
        (
            |all| all.kind = Kind::Named { low: 1, high: 2 },
            "`all.kind` is Plain in the model and Named in the file",
        ),
        (
            |all| _ = all.words.insert("x".to_string(), 9),
            "`all.words.x` is 4 in the model and 9 in the file",
        ),
        (
            |all| _ = all.words.insert("y".to_string(), 9),
            r#"`all.words` is x(4) in the model and {"x":4,"y":9} in the file"#,
        ),
        (|all| _ = all.numbers.insert(7, 9), "`all.numbers.7` is 5 in the model and 9 in the file"),
        (|all| all.dtype = 2, "`all.dtype` is 1 in the model and 2 in the file"),
        (|all| all.bytes = vec![1; 8], "is [6] in the model and [1,1,1,1,1,1,1,1] in the file"),
        (
            |all| all.bytes = vec![1; 9],
            "`all.bytes` is [6] in the model and a list of 9 elements in the file",
        ),
    ];
    for (change, text) in cases {
        let error = refusal(&layer(change), || layer(|_| {})).to_string();
        assert!(error.contains(text), "{error}");
    }
    let keyed = |value| layer(|all| all.words = BTreeMap::from([("dtype".to_string(), value)]));
    let error = refusal(&keyed(9), || keyed(4)).to_string();
    assert!(error.contains("`all.words.dtype` is 4 in the model and 9 in the file"), "{error}");
}

/// A field that only one of two descriptions of a struct has.
#[test]
fn a_field_that_only_one_side_has() {
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    let model = layer(|_| {});
    store::save(&model, &path).unwrap();
    let mut more = description(&model);
    more["all"]["zeal"] = Value::from(3);
    forged(&path, &more);
    let text = "setting `all.zeal` is none in the model and 3 in the file";
    let error = store::load(model.clone(), &path).unwrap_err().to_string();
    assert!(error.contains(text), "{error}");
    let error = store::open::<Layer>(&path, &device()).unwrap_err().to_string();
    assert!(error.contains(text), "{error}");
    let mut fewer = description(&model);
    fewer["all"].as_object_mut().unwrap().remove("none");
    forged(&path, &fewer);
    assert!(store::load(model, &path).is_ok(), "none and absent are one");
}

/// The error of a setting that is not finite names the whole path.
#[test]
fn the_path_of_an_infinite_setting() {
    #[derive(Clone, Debug, Serialize, Deserialize)]
    enum Bound {
        Of(Vec<f64>),
    }
    #[derive(Module, Debug, Serialize, Deserialize)]
    struct Bounds {
        #[module(skip)]
        bound: Bound,
    }
    let layer = vec![Bounds { bound: Bound::Of(vec![1.0, f64::INFINITY]) }];
    let error = store::save(&layer, folder().path().join("it.bpk")).unwrap_err().to_string();
    assert!(error.ends_with("setting `0.bound.Of.1` must be finite, found inf"), "{error}");
}

/// `type` holds the name of a struct, so no field may have this name.
#[test]
fn a_field_of_the_name_type() {
    #[derive(Module, Debug, Serialize, Deserialize)]
    struct Typed {
        r#type: f64,
    }
    let error = store::save(&Typed { r#type: 1.0 }, folder().path().join("it.bpk"));
    let error = error.unwrap_err().to_string();
    assert!(error.ends_with("setting `type` has a reserved name; rename the field"), "{error}");
}

#[derive(Module, Debug, Serialize, Deserialize)]
struct Constant {
    #[serde(with = "store::part")]
    values: Tensor<1>,
}

/// The numbers of a tensor that is not a parameter are settings. Its precision is that of the
/// model.
#[test]
fn a_tensor_that_is_no_parameter() {
    let constant = |values: [f64; 2], dtype: FloatDType| Constant {
        values: Tensor::<1>::from_data(values, &device()).cast(dtype),
    };
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    let saved = constant([0.5, 2.0], FloatDType::F32);
    store::save(&saved, &path).unwrap();
    let loaded = store::load(constant([0.5, 2.0], FloatDType::F64), &path).unwrap();
    assert_eq!(loaded.values.dtype(), DType::F64);
    let error = refusal(&saved, || constant([0.5, 3.0], FloatDType::F32)).to_string();
    assert!(error.contains("setting `values` is [0.5,3.0] in the model and [0.5,2.0]"), "{error}");
    let opened: Constant = store::open(&path, &device()).unwrap();
    assert_eq!(opened.values.into_data(), saved.values.to_data());

    let mut own = description(&saved);
    for (field, value) in [
        ("shape", json!([3])),
        ("shape", json!([1, 2])),
        ("shape", json!([1u64 << 63, 2, 1])),
        ("values", json!([0.5])),
        ("dtype", json!("I32")),
    ] {
        let kept = std::mem::replace(&mut own["values"][field], value);
        forged(&path, &own);
        let error = store::open::<Constant>(&path, &device()).unwrap_err().to_string();
        assert!(error.contains("expected a tensor of 1 axes"), "{error}");
        own["values"][field] = kept;
    }
}

#[derive(Module, Debug, Serialize, Deserialize)]
struct Single {
    #[serde(with = "store::part")]
    linear: Linear,
}

/// An opened layer keeps the identity of its weight and whether it is trained, in both layouts.
#[test]
fn a_linear_layer_stays_frozen_or_trainable() {
    let folder = folder();
    let path = folder.path().join("it.bpk");
    for layout in [LinearLayout::Row, LinearLayout::Col] {
        for trainable in [true, false] {
            let linear = LinearConfig::new(2, 3).with_layout(layout).init(&device());
            let Linear { weight, bias } = linear;
            let linear = Linear { weight: weight.set_require_grad(trainable), bias };
            store::save(&Single { linear: linear.clone() }, &path).unwrap();
            let opened: Single = store::open(&path, &device()).unwrap();
            assert_eq!(opened.linear.weight.id, linear.weight.id);
            let found = opened.train().linear.weight.val().is_require_grad();
            assert_eq!(found, trainable, "{layout:?}");
        }
    }
}

#[test]
fn a_bias_of_another_length_than_the_outputs() {
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    let bias = |n| Some(Param::from_tensor(Tensor::ones([n], &device())));
    let Linear { weight, .. } = LinearConfig::new(2, 3).init(&device());
    store::save(&Single { linear: Linear { weight, bias: bias(5) } }, &path).unwrap();
    let error = store::open::<Single>(&path, &device()).unwrap_err().to_string();
    assert!(error.contains("a Linear of 3 outputs has a bias of shape [5]"), "{error}");
}

#[derive(Module, Debug, Serialize, Deserialize)]
struct Image {
    #[serde(with = "store::part")]
    conv: Conv2d,
}

#[test]
fn settings_of_a_convolution_that_do_not_fit_its_weight() {
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    let image = || Image { conv: Conv2dConfig::new([2, 3], [1, 2]).init(&device()) };
    let open = || store::open::<Image>(&path, &device());
    let text = "the settings of a Conv2d do not fit its weight and bias";
    store::save(&image(), &path).unwrap();
    assert!(open().is_ok());
    let own = description(&image());
    for (field, value) in [
        ("stride", json!([0, 1])),
        ("stride", json!([1, 0])),
        ("dilation", json!([1, 0])),
        ("groups", json!(0)),
        ("groups", json!(2)),
        ("kernel_size", json!([2, 2])),
        ("kernel_size", json!([1, 1])),
    ] {
        let mut other = own.clone();
        other["conv"][field] = value;
        forged(&path, &other);
        let error = open().unwrap_err().to_string();
        assert!(error.contains(text), "{field}: {error}");
    }
    let mut other = image();
    other.conv.bias = Some(Param::from_tensor(Tensor::ones([5], &device())));
    store::save(&other, &path).unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains(text), "{error}");
    other.conv.bias = None;
    store::save(&other, &path).unwrap();
    assert!(open().is_ok());
}

#[derive(Module, Debug, Serialize, Deserialize)]
struct Matrix {
    #[serde(with = "store::part")]
    value: Param<Tensor<2>>,
}

fn matrix() -> Matrix {
    Matrix { value: Param::from_tensor(Tensor::ones([2, 3], &device())) }
}

/// A file whose tensor has another rank or kind than the opening type expects.
#[test]
fn a_tensor_of_another_rank_or_kind_is_not_opened() {
    #[derive(Module, Debug, Serialize, Deserialize)]
    #[serde(rename = "Matrix")]
    struct Cube {
        #[serde(with = "store::part")]
        value: Param<Tensor<3>>,
    }
    #[derive(Module, Debug, Serialize, Deserialize)]
    #[serde(rename = "Matrix")]
    struct Whole {
        #[serde(with = "store::part")]
        value: Param<Tensor<2, Int>>,
    }
    #[derive(Module, Debug, Serialize, Deserialize)]
    #[serde(rename = "Matrix")]
    struct Mask {
        #[serde(with = "store::part")]
        value: Param<Tensor<2, Bool>>,
    }
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    store::save(&matrix(), &path).unwrap();
    let error = store::open::<Cube>(&path, &device()).unwrap_err().to_string();
    assert!(error.contains("tensor `value` must have 3 axes, found shape [2, 3]"), "{error}");
    let error = store::open::<Whole>(&path, &device()).unwrap_err().to_string();
    assert!(error.contains("tensor `value` must hold int or bool values, found f32"), "{error}");
    let whole = Tensor::<2, Int>::from_data([[1, 0]], &device());
    let whole = Whole { value: Param::initialized(Default::default(), whole) };
    store::save(&whole, &path).unwrap();
    let own = description(&whole);
    assert_eq!(own["value"], json!({ "type": "Tensor", "trainable": false }));
    assert!(store::open::<Whole>(&path, &device()).is_ok());
    let error = store::open::<Matrix>(&path, &device()).unwrap_err().to_string();
    assert!(error.contains("tensor `value` must hold float values, found "), "{error}");
    let error = store::open::<Mask>(&path, &device()).unwrap_err().to_string();
    assert!(error.contains("tensor `value` must hold bool values, found "), "{error}");
    let mut other = own.clone();
    other["value"]["trainable"] = Value::Bool(true);
    forged(&path, &other);
    let error = store::open::<Whole>(&path, &device()).unwrap_err().to_string();
    assert!(error.contains("holds integers, which must not be trainable"), "{error}");
}

#[test]
fn a_running_statistic_is_not_trainable() {
    #[derive(Module, Debug, Serialize, Deserialize)]
    struct Mean {
        #[serde(with = "store::part")]
        mean: RunningState<Tensor<1>>,
    }
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    let mean = Mean { mean: RunningState::new(Tensor::ones([2], &device())) };
    store::save(&mean, &path).unwrap();
    assert!(store::open::<Mean>(&path, &device()).is_ok());
    let mut other = description(&mean);
    other["mean"]["trainable"] = Value::Bool(true);
    forged(&path, &other);
    let error = store::open::<Mean>(&path, &device()).unwrap_err().to_string();
    assert!(error.contains("a running statistic must not be trainable"), "{error}");
}

/// After a panic while opening, weights still come from the file only, also on the same thread.
#[test]
fn a_panic_ends_an_opening() {
    #[derive(Module, Debug, Serialize)]
    struct Panics {
        size: usize,
    }
    impl<'de> Deserialize<'de> for Panics {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("a panic in a custom layer")
        }
    }
    let folder = folder();
    let path = folder.path().join("it.bpk");
    store::save(&(Panics { size: 1 }, matrix()), &path).unwrap();
    let open = || store::open::<(Panics, Matrix)>(&path, &device()).map(drop);
    assert!(std::panic::catch_unwind(open).is_err());
    let mut place = description(&matrix());
    place["value"]["name"] = Value::from("1.value");
    let error = serde_json::from_value::<Matrix>(place).unwrap_err().to_string();
    assert!(error.contains("read the file with `store::open`"), "{error}");
}

/// One description has a setting where the other one has a tensor or a flag.
#[test]
fn a_setting_in_the_place_of_a_tensor_or_a_flag() {
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    let refused = |model: &dyn Fn() -> String, own: &Value, change: &dyn Fn(&mut Value)| {
        let mut other = own.clone();
        change(&mut other);
        forged(&path, &other);
        model()
    };
    store::save(&matrix(), &path).unwrap();
    let load = || store::load(matrix(), &path).unwrap_err().to_string();
    let error = refused(&load, &description(&matrix()), &|own| own["value"] = Value::from(3));
    assert!(error.contains("is Tensor in the model and 3 in the file"), "{error}");

    let norm = || BatchNormConfig::new(2).init(&device());
    let own = description(&norm());
    let is_flag = |(_, value): &(&String, &Value)| value["type"] == "Flag";
    let (flag, _) = own.as_object().unwrap().iter().find(is_flag).unwrap();
    store::save(&norm(), &path).unwrap();
    let load = || store::load(norm(), &path).unwrap_err().to_string();
    let error = refused(&load, &own, &|own| own[flag] = Value::from(3));
    assert!(error.contains("is Flag in the model and 3 in the file"), "{error}");

    let layer = || layer(|all| all.kind = Kind::Named { low: 1, high: 2 });
    store::save(&layer(), &path).unwrap();
    let load = || store::load(layer(), &path).unwrap_err().to_string();
    for (file, name) in
        [(json!({ "type": "Tensor" }), "Tensor"), (json!({ "type": "Flag" }), "Flag")]
    {
        let error =
            refused(&load, &description(&layer()), &|own| own["all"]["single"] = file.clone());
        let text = format!("setting `all.single` is 0.5 in the model and {name} in the file");
        assert!(error.contains(&text), "{error}");
    }
    let error = refused(&load, &description(&layer()), &|own| {
        own["all"]["kind"]["Named"]["low"] = Value::from(7);
    });
    assert!(error.contains("`all.kind.Named.low` is 1 in the model and 7 in the file"), "{error}");
    let layers = || vec![matrix()];
    store::save(&layers(), &path).unwrap();
    let load_layers = || store::load(layers(), &path).unwrap_err().to_string();
    let error = refused(&load_layers, &description(&layers()), &|own| own[0] = Value::from(3));
    assert!(error.contains("is Matrix in the model and 3 in the file"), "{error}");
    store::save(&layer(), &path).unwrap();
    let error = refused(&load, &description(&layer()), &|own| {
        own["all"]["two"][1] = json!({ "type": "Other" });
    });
    assert!(error.contains("`all.two.1` is -3 in the model and Other in the file"), "{error}");
}

/// For two different types, the error names the types and no fields.
#[test]
fn a_layer_of_another_type() {
    let error = refusal(&Tanh {}, || LeakyRelu::new(0.5).unwrap()).to_string();
    let text = "LeakyRelu: setting `type` is LeakyRelu in the model and Tanh in the file";
    assert!(error.starts_with(text), "{error}");
}

/// Structural tensors are compared even if their precisions differ.
#[test]
fn fixed_tensors_of_another_precision() {
    #[derive(Module, Debug, Serialize, Deserialize)]
    struct Fixed {
        #[serde(with = "store::fixed")]
        periods: Param<Tensor<1>>,
    }
    let fixed = |periods: [f64; 2], dtype: FloatDType| {
        let periods = Tensor::<1>::from_data(periods, (&device(), DType::from(dtype)));
        Fixed { periods: Param::from_tensor(periods) }
    };
    let folder = folder();
    let path = folder.path().join("it.bpk");
    for (file, model) in [(FloatDType::F32, FloatDType::F64), (FloatDType::F64, FloatDType::F32)] {
        store::save(&fixed([0.1, 0.7], file), &path).unwrap();
        assert!(store::load(fixed([0.1, 0.7], model), &path).is_ok());
        let error = store::load(fixed([0.1, 0.75], model), &path).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }), "{error}");
    }
}

/// Custom types that share the name of a layer of this crate need not hold a matrix or an order.
#[test]
fn a_users_types_of_known_names() {
    #[derive(Module, Debug, Serialize, Deserialize)]
    struct DenseMatrix {
        #[serde(with = "store::part")]
        entries: Param<Tensor<2>>,
    }
    #[derive(Module, Debug, Serialize, Deserialize)]
    struct Permutation {
        #[serde(with = "store::part")]
        order: Param<Tensor<2, Int>>,
        #[serde(with = "store::part")]
        back: Param<Tensor<2, Int>>,
    }
    let whole = || {
        let tensor = Tensor::<2, Int>::from_data([[5, 5]], &device());
        Param::initialized(Default::default(), tensor)
    };
    let model = || {
        let entries = Param::from_tensor(Tensor::zeros([2, 3], &device()));
        (DenseMatrix { entries }, Permutation { order: whole(), back: whole() })
    };
    let folder = folder();
    let path = folder.path().join("it.bpk");
    store::save(&model(), &path).unwrap();
    assert!(store::load(model(), &path).is_ok());
    assert!(store::open::<(DenseMatrix, Permutation)>(&path, &device()).is_ok());
}

#[test]
fn a_singular_matrix_is_not_opened() {
    struct Zero;
    impl ModuleMapper for Zero {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value * 0.0)
        }
    }
    let dense = DenseLinearConfig::new(2).init(&device()).map(&mut Zero);
    let folder = folder();
    let path = folder.path().join("it.bpk");
    store::save(&dense, &path).unwrap();
    let error = store::open::<DenseLinear>(&path, &device()).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "tensor `matrix.entries`: DenseMatrix.entries: must be an invertible matrix"
        ),
        "{error}"
    );
}

/// A layer whose weight is transposed in files opens on an autodiff device, frozen or not.
#[test]
fn a_transposed_layer_in_a_graph() {
    let linear = || {
        let config = LinearConfig::new(3, 2).with_layout(LinearLayout::Col);
        Own { linear: config.init(&device()) }
    };
    let folder = folder();
    let path = folder.path().join("it.bpk");
    for (saved, trainable) in [(linear(), true), (linear().no_grad(), false)] {
        store::save(&saved, &path).unwrap();
        let opened: Own = store::open(&path, &device().autodiff()).unwrap();
        let weight = opened.linear.weight.val();
        assert_eq!(weight.is_require_grad(), trainable);
        assert_eq!(weight.into_data(), saved.linear.weight.val().into_data());
    }
}

#[derive(Module, Debug, Serialize, Deserialize)]
struct Own {
    #[serde(with = "store::part")]
    linear: Linear,
}

/// An integer of the model that the type in the file cannot hold is a different setting, not a
/// panic.
#[test]
fn structure_of_a_narrower_type() {
    let layer = |value: i64, dtype| Order {
        order: Param::initialized(
            burn::module::ParamId::new(),
            Tensor::<1, Int>::from_data([value], (&device(), dtype)),
        ),
    };
    let error = refusal(&layer(3, DType::I8), || layer(300, DType::I64));
    assert!(matches!(&error, Error::Setting { .. }), "{error}");
}

#[derive(Module, Debug, Serialize, Deserialize)]
struct Order {
    #[serde(with = "store::fixed")]
    order: Param<Tensor<1, Int>>,
}

/// A marker type has no value in the description, and its layer opens.
#[test]
fn a_marker() {
    let folder = folder();
    let path = folder.path().join("it.bpk");
    store::save(&Marked { marker: std::marker::PhantomData, slope: 0.5 }, &path).unwrap();
    let opened: Marked = store::open(&path, &device()).unwrap();
    assert_eq!(opened.slope, 0.5);
}

#[derive(Module, Debug, Serialize, Deserialize)]
struct Marked {
    #[module(skip)]
    marker: std::marker::PhantomData<u8>,
    slope: f64,
}
