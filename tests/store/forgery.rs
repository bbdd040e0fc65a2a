//! Files whose description or tensors were changed, with a corrected checksum.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Tensor;
use burn_flows::bijector::{
    AnyBijector, Bijector, LeakyRelu, Logit, Mask, MaskedAutoregressive,
    MaskedAutoregressiveConfig, Permutation,
};
use burn_flows::conditioner::MadeConfig;
use burn_flows::distribution::{CategoricalMadeConfig, Chained, Product, StandardNormal};
use burn_flows::encoder::{
    Encoder, ImageEncoderConfig, MlpEncoderConfig, SeriesEncoderConfig, SetEncoderConfig,
};
use burn_flows::store;
use burn_flows::univariate::Affine;
use safetensors::{SafeTensors, tensor::TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{description, device, folder, forged};

/// Every value of a description is changed alone and in every way. Opening gives an error or the
/// described model.
#[test]
fn a_forged_description() {
    let device = device();
    let layers: Vec<AnyBijector> =
        crate::settings::every_layer().iter().map(|c| c.init(&device)).collect();
    let folder = folder();
    let (mut refused, mut taken) = (0, 0);
    for (at, layer) in layers.into_iter().enumerate() {
        let path = folder.path().join(format!("{at}.safetensors"));
        store::save(&layer, &path).unwrap();
        let description = description(&layer);
        let places = matches!(layer, AnyBijector::ActNorm(_));
        for changed in changes(&description, places) {
            forged(&path, &changed);
            match store::open::<AnyBijector>(&path, &device) {
                Err(_) => refused += 1,
                Ok(opened) => {
                    // `load` compares the settings of the model with those of the file.
                    assert!(store::load(opened, &path).is_ok(), "{changed}");
                    taken += 1;
                }
            }
        }
    }
    assert!(refused > 5 * taken && taken > 30, "{refused} refused, {taken} taken");
}

/// A forged encoder gives an error, or an encoder that maps contexts of its width.
#[test]
fn a_forged_encoder() {
    fn check<E: Encoder + Serialize + DeserializeOwned>(encoder: E, width: usize) {
        let (device, folder) = (device(), folder());
        let path = folder.path().join("it.safetensors");
        store::save(&encoder, &path).unwrap();
        let (mut refused, mut taken) = (0, 0);
        for changed in changes(&description(&encoder), false) {
            forged(&path, &changed);
            match store::open::<E>(&path, &device) {
                Err(_) => refused += 1,
                Ok(opened) => {
                    let context = crate::rows(2, width);
                    let call = std::panic::AssertUnwindSafe(|| opened.encode(context).dims());
                    match std::panic::catch_unwind(call) {
                        Ok(dims) => assert_eq!(dims[0], 2, "{changed}"),
                        Err(text) => {
                            let text = text.downcast::<String>().unwrap();
                            let other = text.contains("Encoder: expected a context of width");
                            assert!(other, "{text}: {changed}");
                        }
                    }
                    taken += 1;
                }
            }
        }
        assert!(refused > 5 * taken, "{refused} refused, {taken} taken");
    }
    let device = device();
    let hidden = || vec![4];
    check(MlpEncoderConfig::new(3, 2).with_hidden(hidden()).init(&device), 3);
    let set = SetEncoderConfig::new(3, 2, 2).with_pooled(3).with_element_hidden(hidden());
    check(set.clone().with_set_hidden(hidden()).init(&device), 6);
    check(set.with_set_hidden(hidden()).with_mask(true).init(&device), 9);
    let series = SeriesEncoderConfig::new(2, 7, 2).with_convolutions(vec![3]).with_kernel(3);
    check(series.with_hidden(hidden()).init(&device), 14);
    let image = ImageEncoderConfig::new([2, 3, 3], 2).with_convolutions(vec![3]);
    check(image.with_hidden(hidden()).init(&device), 18);
}

/// The columns of a distribution and its parts: a forged description gives an error or the described model.
#[test]
fn forged_columns() {
    fn judged<M: Module + Serialize + DeserializeOwned>(model: M) -> Vec<Value> {
        let folder = folder();
        let path = folder.path().join("it.safetensors");
        store::save(&model, &path).unwrap();
        let description = description(&model);
        let taken = changes(&description, false).into_iter().filter(|changed| {
            forged(&path, changed);
            let opened = store::open::<M>(&path, &device());
            opened.is_ok_and(|opened| {
                assert!(store::load(opened, &path).is_ok(), "{changed}");
                true
            })
        });
        taken.collect()
    }
    let device = device();
    let made = MadeConfig::new(vec![4]);
    let class = || CategoricalMadeConfig::new(vec![3, 2]).with_made(made.clone()).init(&device);
    let normal = |n| StandardNormal::<2>::new([n], &device);
    let categories = |value: &Value| value["categories"] == serde_json::json!([3, 2]);
    assert!(judged(class()).iter().all(categories));
    let mask = Mask::Kept(vec![0, 2]);
    let product = Product::new(&mask, 3, class(), normal(1), &device).unwrap();
    assert!(judged(product).iter().all(|value| categories(&value["first"])));
    let chain = Chained::new(&mask, 3, class(), normal(1), &device).unwrap();
    let chain = chain.with_one_hot(vec![Some(3), None]).unwrap();
    for value in judged(chain) {
        let code = value["code"].as_array().unwrap();
        assert!(
            code.len() == 2 && code.iter().all(|each| each.is_null() || each.as_u64() > Some(0))
        );
    }
}

/// All copies of a description with one changed value. `places` includes the values inside the
/// places of tensors.
fn changes(value: &Value, places: bool) -> Vec<Value> {
    let others = |value: &Value| -> Vec<Value> {
        let mut others = vec![Value::Null, Value::from(1u64 << 62), Value::from("no")];
        if value.is_number() {
            others.extend([Value::from(-1), Value::from(0.5)]);
        }
        if let Some(flag) = value.as_bool() {
            others.push(Value::Bool(!flag));
        }
        if let Some(number) = value.as_u64() {
            others.extend([Value::from(number + 1), Value::from(number.saturating_sub(1))]);
        }
        if let Some(values) = value.as_array() {
            others.push(Value::from([values.clone(), values.clone()].concat()));
            others.push(Value::from(values.iter().skip(1).cloned().collect::<Vec<_>>()));
            others.push(Value::from(values.iter().rev().cloned().collect::<Vec<_>>()));
        }
        others.retain(|other| other != value);
        others
    };
    let mut all = others(value);
    match value {
        Value::Object(fields) if !places && fields.get("type") == Some(&Value::from("Tensor")) => {}
        Value::Object(fields) => {
            for key in fields.keys() {
                let mut without = fields.clone();
                let own = without.remove(key).unwrap();
                all.push(Value::from(without));
                all.extend(changes(&own, places).into_iter().map(|changed| {
                    let mut fields = fields.clone();
                    fields.insert(key.clone(), changed);
                    Value::from(fields)
                }));
            }
        }
        Value::Array(values) => {
            for (at, own) in values.iter().enumerate() {
                all.extend(changes(own, places).into_iter().map(|changed| {
                    let mut values = values.clone();
                    values[at] = changed;
                    Value::from(values)
                }));
            }
        }
        _ => {}
    }
    all
}

/// Changes the bytes of one tensor in a safetensors file, and corrects the checksum.
fn patched(path: &Path, tensor: &str, change: impl FnOnce(&mut [u8])) {
    let mut file = std::fs::read(path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
    let data = tensors.tensor(tensor).unwrap().data();
    let start = data.as_ptr() as usize - file.as_ptr() as usize;
    let end = start + data.len();
    change(&mut file[start..end]);
    crate::reseal(&mut file);
    std::fs::write(path, file).unwrap();
}

/// Every reader rejects a tensor that is not an order.
#[test]
fn a_forged_order() {
    let (device, folder) = (device(), folder());
    let path = folder.path().join("it.safetensors");
    let layer = Permutation::given(&[2, 0, 1], &device).unwrap();
    let lists =
        [("order", [2, 2, 1]), ("order", [2, 1, 0]), ("back", [1, 2, 5]), ("back", [-1, 2, 0])];
    for (field, values) in lists {
        store::save(&layer, &path).unwrap();
        patched(&path, field, |bytes| {
            let width = bytes.len() / 3;
            for (place, value) in bytes.chunks_mut(width).zip(values) {
                place.copy_from_slice(&i64::from(value).to_le_bytes()[..width]);
            }
        });
        let text = "must hold each index once, and `back` must hold the inverse order";
        let error = store::open::<Permutation>(&path, &device).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        let error = store::load(layer.clone(), &path).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

/// A mask in which a feature depends on itself, invalid signs, and weights of masked connections.
#[test]
fn forged_tensors() {
    let (device, folder) = (device(), folder());
    let path = folder.path().join("it.safetensors");
    let made = MadeConfig::new(vec![3]);
    let layer = || MaskedAutoregressiveConfig::new(2).with_made(made.clone());
    let layer = || layer().init(Affine::default(), &device);
    type Layer = MaskedAutoregressive<Affine>;
    store::save(&layer(), &path).unwrap();
    patched(&path, "conditioner.output.mask", |bytes| bytes.fill(1));
    let error = store::open::<Layer>(&path, &device).unwrap_err().to_string();
    assert!(error.contains("must have no cycle of features"), "{error}");
    let error = store::load(layer(), &path).unwrap_err().to_string();
    assert!(error.contains("(MaskedLinear): setting `mask["), "{error}");

    store::save(&layer(), &path).unwrap();
    patched(&path, "conditioner.output.linear.weight", |bytes| {
        bytes.chunks_mut(4).for_each(|value| value.copy_from_slice(&0.5_f32.to_le_bytes()));
    });
    let opened: Layer = store::open(&path, &device).unwrap();
    let log_det = |x: [[f32; 2]; 1]| {
        let (_, log_det) = opened.forward(Tensor::<2>::from_data(x, &device), None);
        log_det.into_scalar::<f32>()
    };
    // The last feature influences no other feature.
    assert_eq!(log_det([[0.3, 0.1]]), log_det([[0.3, 2.0]]));
}

#[test]
fn a_setting_that_no_constructor_takes() {
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    store::save(&LeakyRelu::new(0.5).unwrap(), &path).unwrap();
    forged(&path, &serde_json::json!({ "type": "LeakyRelu", "slope": -0.5 }));
    let error = store::open::<LeakyRelu>(&path, &device()).unwrap_err().to_string();
    let text =
        "does not describe a LeakyRelu: LeakyRelu.slope: must be positive and finite, found -0.5";
    assert!(error.ends_with(text), "{error}");
    let infinite = Layer { slope: f64::INFINITY };
    let error = store::save(&infinite, &path).unwrap_err().to_string();
    assert!(error.ends_with("setting `slope` must be finite, found inf"), "{error}");
}

/// A layer with a single number.
#[derive(Module, Debug, Serialize, Deserialize)]
struct Layer {
    slope: f64,
}

#[test]
fn a_file_without_a_description() {
    let folder = folder();
    let path = folder.path().join("it.safetensors");
    store::save(&Logit::new(0.1).unwrap(), &path).unwrap();
    forged(&path, &Value::Null);
    let error = store::load(Logit::new(0.1).unwrap(), &path).unwrap_err().to_string();
    let text = "has no description of its model; save the model again with `store::save`";
    assert!(error.ends_with(text), "{error}");
    assert!(store::open::<Logit>(&path, &device()).is_err());
}

/// Every tensor of every layer gets one more entry along its first axis. No such layer opens.
///
/// Three sizes are free: the number of reflections, the features of a radial layer and the context
/// of a CNF.
#[test]
fn tensors_of_other_shapes() {
    let (device, folder) = (device(), folder());
    let path = folder.path().join("it.safetensors");
    let mut count = 0;
    for config in crate::settings::every_layer() {
        let layer = config.init(&device);
        store::save(&layer, &path).unwrap();
        let file = std::fs::read(&path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&file).unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let free = [".vectors", "Radial.params.free", "Cnf.layers.0"];
        let is_free = |name: &String| free.iter().any(|part| name.contains(part));
        for longer in tensors.names().into_iter().map(String::from).filter(|n| !is_free(n)) {
            let parts: Vec<_> = tensors
                .tensors()
                .into_iter()
                .map(|(name, view)| {
                    let (mut shape, mut data) = (view.shape().to_vec(), view.data().to_vec());
                    if name == longer {
                        data.extend_from_within(..data.len() / shape[0]);
                        shape[0] += 1;
                    }
                    (name, view.dtype(), shape, data)
                })
                .collect();
            let views = parts.iter().map(|(name, dtype, shape, data)| {
                (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
            });
            let mut forged = safetensors::serialize(views, header.metadata().clone()).unwrap();
            crate::reseal(&mut forged);
            std::fs::write(&path, forged).unwrap();
            assert!(store::open::<AnyBijector>(&path, &device).is_err(), "{longer}: {config:?}");
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}
