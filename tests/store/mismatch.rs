use std::collections::HashMap;
use std::io::ErrorKind;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Int, Tensor, TensorData};
use burn_flows::bijector::{Conv1x1Matrix, DenseLinearConfig, InvertibleConv1x1Config};
use burn_flows::conditioner::{ActivationConfig, MlpConfig};
use burn_flows::model::{NiceConfig, NsfConfig, RealNvpConfig};
use burn_flows::univariate::RationalQuadraticConfig;
use burn_flows::{Error, store};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use crate::{device, folder, names_in, reseal};

const NAMES: [&str; 2] = ["model.safetensors", "model.bpk"];

#[derive(Module, Debug, Serialize, Deserialize)]
struct Model {
    #[serde(with = "store::part")]
    weight: Param<Tensor<2>>,
    #[serde(with = "store::part")]
    bias: Option<Param<Tensor<1>>>,
}

#[derive(Module, Debug, Serialize, Deserialize)]
struct Renamed {
    #[serde(with = "store::part")]
    kernel: Param<Tensor<2>>,
    #[serde(with = "store::part")]
    bias: Option<Param<Tensor<1>>>,
}

#[derive(Module, Debug, Serialize, Deserialize)]
struct Whole {
    #[serde(with = "store::part")]
    weight: Param<Tensor<2, Int>>,
}

fn model(shape: [usize; 2], bias: Option<usize>) -> Model {
    let bias = bias.map(|n| Param::from_tensor(Tensor::ones([n], &device())));
    Model { weight: Param::from_tensor(Tensor::ones(shape, &device())), bias }
}

fn whole(value: i64, dtype: DType) -> Whole {
    let data = TensorData::new(vec![value], [1, 1]);
    let tensor = Tensor::from_data(data, (&device(), dtype));
    Whole { weight: Param::initialized(Default::default(), tensor) }
}

/// Saves one module, loads it into another one in both formats, and returns the error, which must
/// be the same.
pub fn refusal<A: Module + Serialize, B: Module + Serialize>(
    saved: &A,
    other: impl Fn() -> B,
) -> Error {
    let folder = folder();
    let errors = NAMES.map(|name| {
        let path = folder.path().join(name);
        store::save(saved, &path).unwrap();
        match store::load(other(), &path) {
            Err(error) => error,
            Ok(_) => panic!("{name} was loaded"),
        }
    });
    assert_eq!(errors[0].to_string(), errors[1].to_string());
    let [first, _] = errors;
    first
}

/// A matrix that a dense linear layer or convolution cannot invert, built by hand or reached by
/// training.
#[test]
fn a_singular_matrix() {
    struct Zero;
    impl ModuleMapper for Zero {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value * 0.0)
        }
    }
    let config = InvertibleConv1x1Config::new(3).with_parameterisation(Conv1x1Matrix::Plain);
    let convolution = || vec![config.init(&device())];
    let dense = || DenseLinearConfig::new(2).init(&device());
    let why =
        "DenseMatrix.entries: must be an invertible matrix, found a matrix singular up to rounding";
    let error = refusal(&convolution().map(&mut Zero), convolution);
    assert_eq!(error.to_string(), format!("tensor `0.matrix.Plain.entries`: {why}"));
    let error = refusal(&dense().map(&mut Zero), dense);
    assert_eq!(error.to_string(), format!("tensor `matrix.entries`: {why}"));
}

#[test]
fn a_renamed_tensor() {
    let error = refusal(&model([2, 3], Some(3)), || Renamed {
        kernel: Param::from_tensor(Tensor::ones([2, 3], &device())),
        bias: None,
    });
    assert_eq!(
        error.to_string(),
        "tensor `kernel` of shape [2, 3] is missing; the file holds `bias` [3], `weight` [2, 3] \
         unused by the model"
    );
    assert!(matches!(error, Error::MissingTensor { name, expected, .. }
        if name == "kernel" && expected == [2, 3]));
}

#[test]
fn a_missing_tensor() {
    let error = refusal(&model([2, 3], None), || model([2, 3], Some(3)));
    assert_eq!(
        error.to_string(),
        "tensor `bias` of shape [3] is missing; the file holds no tensors unused by the model"
    );
}

#[test]
fn a_wrong_shape() {
    let error = refusal(&model([2, 3], Some(3)), || model([3, 2], Some(3)));
    assert_eq!(
        error.to_string(),
        "tensor `weight`: the model needs shape [3, 2], the file has [2, 3]"
    );
    assert!(matches!(error, Error::ShapeMismatch { expected, found, .. }
        if expected == [3, 2] && found == [2, 3]));
}

#[test]
fn a_tensor_too_many() {
    let error = refusal(&model([2, 3], Some(3)), || model([2, 3], None));
    assert_eq!(error.to_string(), "tensor `bias` of shape [3] belongs to no part of the model");
    assert!(matches!(error, Error::UnusedTensor { found, .. } if found == [3]));
}

#[test]
fn a_wrong_kind() {
    let error = refusal(&whole(1, DType::I64), || model([1, 1], None));
    assert_eq!(
        error.to_string(),
        "tensor `weight`: the model needs float values, the file has int values"
    );
    let error = refusal(&model([1, 1], None), || whole(1, DType::I64));
    assert_eq!(
        error.to_string(),
        "tensor `weight`: the model needs int values, the file has float values"
    );
    assert!(matches!(error, Error::Tensor { name, .. } if name == "weight"));
}

#[test]
fn an_integer_that_does_not_fit() {
    for (value, from, to) in [
        (1 << 31, DType::I64, DType::I32),
        (-1, DType::I64, DType::U8),
        (-1, DType::I8, DType::U64),
    ] {
        let error = refusal(&whole(value, from), || whole(1, to));
        let expected = format!("tensor `weight`: holds a value outside the range of {}", to.name());
        assert_eq!(error.to_string(), expected);
    }
}

/// The smallest and largest integer of every width, and integers beyond them.
#[test]
fn integers_at_the_ends_of_every_width() {
    let fits = |value: i64, from: DType, to: DType| {
        let folder = folder();
        let path = folder.path().join(NAMES[1]);
        store::save(&whole(value, from), &path).unwrap();
        let Ok(loaded) = store::load(whole(0, to), &path) else { return false };
        let data = loaded.weight.val().into_data();
        assert_eq!((data.dtype(), data.iter::<i64>().next()), (to, Some(value)));
        true
    };
    let signed = [(DType::I8, 7), (DType::I16, 15), (DType::I32, 31)];
    for (dtype, bits) in signed {
        let end = 1_i64 << bits;
        for (value, expected) in [(-end - 1, false), (-end, true), (end - 1, true), (end, false)] {
            assert_eq!(fits(value, DType::I64, dtype), expected, "{value} in {dtype:?}");
        }
    }
    for (dtype, bits) in [(DType::U8, 8), (DType::U16, 16), (DType::U32, 32)] {
        let end = 1_i64 << bits;
        for (value, expected) in [(-1, false), (0, true), (end - 1, true), (end, false)] {
            assert_eq!(fits(value, DType::I64, dtype), expected, "{value} in {dtype:?}");
        }
    }
    assert!(fits(i64::MAX, DType::I64, DType::U64) && fits(i64::MAX, DType::U64, DType::I64));
}

/// One value of several that does not fit is an error.
#[test]
fn one_integer_of_several_that_does_not_fit() {
    let several = |data: TensorData, dtype| {
        let tensor = Tensor::<2, Int>::from_data(data, (&device(), dtype));
        Whole { weight: Param::initialized(Default::default(), tensor) }
    };
    let signed = || several(TensorData::new(vec![1_i64, 300], [1, 2]), DType::I64);
    let unsigned = || several(TensorData::new(vec![1_u64, u64::MAX], [1, 2]), DType::U64);
    let model = |dtype| several(TensorData::new(vec![0_i64, 0], [1, 2]), dtype);
    for to in [DType::I8, DType::U8] {
        let error = refusal(&signed(), || model(to)).to_string();
        assert!(error.contains("holds a value outside the range of"), "{error}");
    }
    let error = refusal(&unsigned(), || model(DType::I64)).to_string();
    assert!(error.contains("holds a value outside the range of"), "{error}");
}

/// Both formats keep the precision of every tensor.
#[test]
fn every_precision_stays() {
    let folder = folder();
    let float = |dtype| {
        let weight = Tensor::<2>::full([1, 1], 5.0, (&device(), dtype));
        Model { weight: Param::from_tensor(weight), bias: None }
    };
    let signed = [DType::I64, DType::I32, DType::I16, DType::I8];
    let unsigned = [DType::U64, DType::U32, DType::U16, DType::U8];
    for name in NAMES {
        let path = folder.path().join(name);
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            store::save(&float(dtype), &path).unwrap();
            let found = store::open::<Model>(&path, &device()).unwrap().weight.val().into_data();
            assert_eq!((found.dtype(), found.iter::<f64>().next()), (dtype, Some(5.0)));
        }
        for dtype in signed.into_iter().chain(unsigned) {
            store::save(&whole(5, dtype), &path).unwrap();
            let loaded = store::load(whole(0, dtype), &path).unwrap();
            let found = loaded.weight.val().into_data();
            assert_eq!((found.dtype(), found.iter::<i64>().next()), (dtype, Some(5)));
            if name == NAMES[0] {
                let file = std::fs::read(&path).unwrap();
                let tensors = SafeTensors::deserialize(&file).unwrap();
                let stored = tensors.tensor("weight").unwrap().dtype();
                assert_eq!(format!("{stored:?}"), format!("{dtype:?}"));
            }
        }
    }
}

/// The range of a float differs from that of an integer of the same width.
#[test]
fn a_large_float_fits_into_a_half() {
    let large = |dtype| {
        let weight = Tensor::<2>::full([1, 1], 40_000.0, (&device(), dtype));
        Model { weight: Param::from_tensor(weight), bias: None }
    };
    let folder = folder();
    let path = folder.path().join(NAMES[0]);
    store::save(&large(DType::F32), &path).unwrap();
    let loaded = store::load(large(DType::F16), &path).unwrap();
    assert_eq!(loaded.weight.val().into_scalar::<f64>(), 40_000.0);
}

/// Up to three tensors without a place are listed by name. The others are counted.
#[test]
fn tensors_without_a_place_are_listed() {
    #[derive(Module, Debug, Serialize, Deserialize)]
    struct Other {
        #[serde(with = "store::part")]
        other: Param<Tensor<1>>,
    }
    let many = |n| {
        let weights = (0..n).map(|_| model([1, 1], None)).collect::<Vec<_>>();
        let other = || Other { other: Param::from_tensor(Tensor::ones([1], &device())) };
        refusal(&weights, || vec![other()]).to_string()
    };
    let three = "`0.weight` [1, 1], `1.weight` [1, 1], `2.weight` [1, 1]";
    let error = many(3);
    assert!(error.ends_with(&format!("{three} unused by the model")), "{error}");
    let error = refusal(&vec![model([1, 1], None)], || vec![model([1, 1], Some(1)); 3]).to_string();
    assert!(error.starts_with("tensor `0.bias` of shape [1] is missing"), "{error}");
    let error = many(5);
    assert!(error.ends_with(&format!("{three}, 2 more unused by the model")), "{error}");
}

#[test]
fn another_number_of_layers() {
    let flow = |layers| RealNvpConfig::new(4).with_layers(layers).init(&device());
    let error = refusal(&flow(1), || flow(2));
    assert!(
        matches!(&error, Error::MissingTensor { name, .. }
        if name.starts_with("bijector.1.")),
        "{error}"
    );
    let error = refusal(&flow(3), || flow(1));
    assert!(
        matches!(&error, Error::UnusedTensor { name, .. }
        if name.starts_with("bijector.1.")),
        "{error}"
    );
    let error = refusal(&flow(1), || NiceConfig::new(4).init(&device()));
    assert!(error.to_string().contains(" more unused by the model"), "{error}");
}

/// The error names the setting that decides a shape, not the tensor of that shape.
#[test]
fn another_number_of_bins() {
    let flow = |bins| {
        let spline = RationalQuadraticConfig::new().with_bins(bins);
        NsfConfig::new(4).with_layers(1).with_spline(spline).init(&device())
    };
    let error = refusal(&flow(8), || flow(5));
    let text = "setting `config.bins` is 5 in the model and 8 in the file";
    assert!(error.to_string().contains(text), "{error}");
    assert!(matches!(error, Error::Setting { .. }));
}

#[test]
fn another_activation() {
    let flow = |activation| {
        let mlp = MlpConfig::new(vec![4]).with_activation(activation);
        RealNvpConfig::new(2).with_layers(1).with_mlp(mlp).init(&device())
    };
    let tanh = ActivationConfig::Burn(burn::nn::activation::ActivationConfig::Tanh);
    let error = refusal(&flow(tanh), || flow(ActivationConfig::Silu)).to_string();
    assert!(error.contains("is Silu in the model and Burn(Kind(Tanh)) in the file"), "{error}");
}

/// A rejected file changes neither the module nor its clones.
#[test]
fn a_refused_file_changes_nothing() {
    use burn::module::RunningState;

    #[derive(Module, Debug, Serialize, Deserialize)]
    struct States {
        #[serde(with = "store::part")]
        first: RunningState<Tensor<1>>,
        #[serde(with = "store::part")]
        second: RunningState<Tensor<1>>,
    }
    let states = |value: f64, n: usize| States {
        first: RunningState::new(Tensor::full([1], value, &device())),
        second: RunningState::new(Tensor::full([n], value, &device())),
    };
    let folder = folder();
    for name in NAMES {
        let path = folder.path().join(name);
        store::save(&states(1.0, 1), &path).unwrap();
        let kept = states(2.0, 2);
        assert!(store::load(kept.clone(), &path).is_err());
        assert_eq!(kept.first.value().into_scalar::<f32>(), 2.0);
        // A matching file changes the module that loads it, and no clone of that module.
        let kept = states(2.0, 1);
        let loaded = store::load(kept.clone(), &path).unwrap();
        assert_eq!(loaded.second.value().into_scalar::<f32>(), 1.0);
        assert_eq!(kept.second.value().into_scalar::<f32>(), 2.0);
    }
}

#[test]
fn weights_that_this_crate_did_not_write() {
    let folder = folder();
    let [safetensors, burnpack] = NAMES.map(|name| folder.path().join(name));
    let (weight, saved) = ([0; 24], model([2, 3], None));
    let view = TensorView::new(Dtype::F32, vec![2, 3], &weight).unwrap();
    safetensors::serialize_to_file([("weight", view)], None, &safetensors).unwrap();
    saved.clone().into_record().save(&burnpack).unwrap();
    for path in [safetensors, burnpack] {
        let error = store::load(saved.clone(), &path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{}: no checksum: the file was not written by `burn_flows::store`, or was changed; \
                 read weights of other libraries with `burn_flows::interop`",
                path.display()
            )
        );
    }
}

#[test]
fn a_sealed_file_without_a_label_or_of_another_format() {
    let (folder, saved) = (folder(), model([2, 3], None));
    let [safetensors, burnpack] = NAMES.map(|name| folder.path().join(name));
    let mark = format!("burn-flows-sha256:{}", "0".repeat(64));
    let weight = [0; 24];
    let view = TensorView::new(Dtype::F32, vec![2, 3], &weight).unwrap();
    let metadata = HashMap::from([("other".to_string(), mark)]);
    let mut file = safetensors::serialize([("weight", view)], Some(metadata)).unwrap();
    reseal(&mut file);
    std::fs::write(&safetensors, file).unwrap();
    let error = store::load(saved.clone(), &safetensors).unwrap_err().to_string();
    assert!(error.ends_with("model.safetensors: no label of burn-flows"), "{error}");

    store::save(&saved, &safetensors).unwrap();
    std::fs::copy(&safetensors, &burnpack).unwrap();
    let error = store::load(saved, &burnpack).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
}

#[test]
fn another_version_of_the_layout() {
    let folder = folder();
    for name in NAMES {
        let path = folder.path().join(name);
        store::save(&model([2, 3], None), &path).unwrap();
        let mut file = std::fs::read(&path).unwrap();
        let at = file.windows(7).position(|w| w == b"version").unwrap();
        let digit = at + file[at..].iter().position(|b| *b == b'1').unwrap();
        file[digit] = b'2';
        reseal(&mut file);
        std::fs::write(&path, file).unwrap();
        let error = store::load(model([2, 3], None), &path).unwrap_err().to_string();
        assert!(error.contains(": format version 2, written by burn-flows 0."), "{error}");
        assert!(error.ends_with("; this burn-flows reads version 1"), "{error}");
    }
}

#[test]
fn another_extension() {
    let folder = folder();
    for name in ["model", "model.pt", "model.json", "model.bpk.gz"] {
        let path = folder.path().join(name);
        let expected = format!(
            "{}: the extension of weights must be `.safetensors` or `.bpk`",
            path.display()
        );
        let error = store::save(&model([1, 1], None), &path).unwrap_err();
        assert!(matches!(error, Error::Format { .. }));
        assert_eq!(error.to_string(), expected);
        let error = store::load(model([1, 1], None), &path).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    assert!(names_in(folder.path()).is_empty());
    let path = folder.path().join("MODEL.BPK");
    store::save(&model([1, 1], None), &path).unwrap();
    assert!(store::load(model([1, 1], None), &path).is_ok());
}

fn io_kind(error: Error) -> ErrorKind {
    match error {
        Error::Io { path, source } => {
            assert!(path.ends_with("model.bpk"), "{}", path.display());
            source.kind()
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_folder_that_does_not_exist() {
    let folder = folder();
    let path = folder.path().join("none").join("model.bpk");
    let kind = io_kind(store::save(&model([1, 1], None), &path).unwrap_err());
    assert_eq!(kind, ErrorKind::NotFound);
    let kind = io_kind(store::load(model([1, 1], None), &path).unwrap_err());
    assert_eq!(kind, ErrorKind::NotFound);
}

#[test]
fn a_read_only_file_stays() {
    let folder = folder();
    let path = folder.path().join("model.bpk");
    store::save(&model([1, 1], None), &path).unwrap();
    let old = std::fs::read(&path).unwrap();
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    let kind = io_kind(store::save(&model([2, 3], None), &path).unwrap_err());
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert_eq!(std::fs::read(&path).unwrap(), old);
    assert_eq!(names_in(folder.path()), [path]);
}

#[test]
fn a_folder_in_the_place_of_the_file() {
    let folder = folder();
    let path = folder.path().join("model.bpk");
    std::fs::create_dir(&path).unwrap();
    io_kind(store::save(&model([1, 1], None), &path).unwrap_err());
    assert_eq!(names_in(folder.path()), std::slice::from_ref(&path));
    let kind = io_kind(store::load(model([1, 1], None), &path).unwrap_err());
    assert_eq!(kind, ErrorKind::InvalidInput);
}

#[test]
fn an_old_file_is_replaced_with_its_permissions() {
    let folder = folder();
    let path = folder.path().join("model.bpk");
    store::save(&model([1, 1], None), &path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let before = std::fs::metadata(&path).unwrap().permissions();
    store::save(&model([2, 3], None), &path).unwrap();
    assert!(store::load(model([2, 3], None), &path).is_ok());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions(), before);
    assert_eq!(names_in(folder.path()), [path]);
}
