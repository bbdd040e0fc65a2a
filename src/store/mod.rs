//! Models and configurations in files.
//!
//! [`save`] writes a model: its weights, and a description of everything else that decides its numbers. [`open`] builds
//! the model from the file alone. [`load`] puts the weights into an existing model, and returns an [`Error`] if that
//! model differs from the saved one. A loaded model gives the same numbers bit for bit. Every file carries a checksum
//! of all its bytes, and a file that differs from what was written is an [`Error`]. [`save_with_config`] and
//! [`load_config`] store a configuration of your own beside the weights.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use burn_flows::model::{RealNvp, RealNvpConfig};
//! use burn_flows::{store, univariate::ScaleMap};
//!
//! # let folder = std::env::temp_dir().join(format!("burn-flows-doc-store-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let weights = folder.join("flow.safetensors");
//! let device = Device::flex();
//! let config = RealNvpConfig::new(3).with_layers(2);
//! let flow = config.init(&device);
//! store::save(&flow, &weights)?;
//!
//! let opened: RealNvp = store::open(&weights, &device)?;
//! let x = Tensor::<2>::ones([1, 3], &device);
//! assert_eq!(opened.log_prob(x.clone()).into_data(), flow.log_prob(x).into_data());
//! let other = config.with_layers(2).with_scale_map(ScaleMap::Exp).init(&device);
//! let error = store::load(other, &weights).unwrap_err().to_string();
//! assert!(error.starts_with("layer `bijector.0.univariate` (Affine): setting `scale_map` is Exp"));
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # What a file holds
//!
//! The extension chooses the format. Both formats hold the same content.
//!
//! | extension | format | also read by |
//! | --- | --- | --- |
//! | `.safetensors` | [safetensors](https://github.com/huggingface/safetensors) | every safetensors library |
//! | `.bpk` | burnpack, burn's own | `burn::store::ModuleRecord::load` |
//!
//! A file holds one tensor for every parameter, mask, permutation and running statistic of the module, in row-major
//! order and little-endian. The name of a tensor is its path: the names of the fields, the indices of lists and tuples
//! and the variants of enums, joined by dots, as in `bijector.0.conditioner.input.weight`. Floats keep their precision
//! in the file, and are cast to the precision of the model they are loaded into. Integers are cast as well, as long as
//! every value fits. Bools are one byte.
//!
//! The metadata of either format has one entry, `burn-flows`, a JSON text. Its members are `checksum`, `version` (of
//! this layout: 1), `crate` (the version of burn-flows that wrote the file) and `model` (the description). In
//! safetensors there is also `param_ids`, the identity of every tensor, which burnpack stores with the tensor. A
//! configuration is a JSON object with the entry `burn-flows`, the name of the configuration's `type`, and its
//! `config`.
//!
//! `checksum` reads `burn-flows-sha256:` and 64 digits. The digits are the SHA-256 of the whole file, in lower-case
//! hexadecimal, computed with 64 characters `0` in place of the digits. Only the first `burn-flows-sha256:` of a file
//! counts. The checksum detects accidental changes. It is not a signature, since everybody can compute it.
//!
//! # The description
//!
//! The description of a model is its serialization by serde: a JSON object with a member for every field, and the name
//! of every struct under `type`. A tensor is described by its place; its shape and numbers are in the tensor of this
//! path.
//!
//! | part of a model | compared by [`load`] |
//! | --- | --- |
//! | types, fields and the variants of enums: slopes, bounds, activations, numbers of bins and of layers | yes |
//! | masks, orders and periods, which are tensors | yes, value by value |
//! | weights and running statistics | no: the file's replace the model's |
//! | what is trainable, whether a layer acts as in training, device and precision | no: the model keeps its own |
//!
//! [`open`] builds every struct of the description. It refuses a struct that no constructor would build, such as a mask
//! that lets a feature see itself, an order that holds an index twice, or a slope below zero.
//!
//! # Layers of your own
//!
//! A layer can be saved if it derives serde's `Serialize`, and opened if it also derives `Deserialize`. Fields of
//! burn's types are serialized by [`part`](mod@part), or by [`fixed`] if their values are structure.
//!
//! ```
//! use burn::module::{Module, Param};
//! use burn::tensor::{Device, Tensor};
//! use burn_flows::store;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Module, Debug, Serialize, Deserialize)]
//! struct Bend {
//!     #[serde(with = "burn_flows::store::part")]
//!     log_scale: Param<Tensor<1>>,
//!     slope: f64,
//! }
//!
//! # let folder = std::env::temp_dir().join(format!("burn-flows-doc-own-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let path = folder.join("bend.bpk");
//! let device = Device::flex();
//! let bend = |slope| Bend { log_scale: Param::from_tensor(Tensor::zeros([2], &device)), slope };
//! store::save(&bend(0.5), &path)?;
//! let opened: Bend = store::open(&path, &device)?;
//! assert_eq!(opened.slope, 0.5);
//! let error = store::load(bend(0.25), &path).unwrap_err().to_string();
//! assert!(error.starts_with("Bend: setting `slope` is 0.25 in the model and 0.5 in the file"));
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # Identities
//!
//! Loading restores the identities of parameters (`ParamId`), so that the state of an optimizer matches them again. Two
//! models loaded from one file therefore share their identities, as clones do. Do not put both models into one module.
//!
//! Loading into a clone does not change the original. This includes its running statistics
//! ([`BatchNorm`](crate::bijector::BatchNorm)), which clones share in burn.

mod checked;
mod config;
mod describe;
mod file;
mod format;
mod layers;
mod parts;
mod seal;
mod settings;
mod tensors;

use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
pub(crate) use checked::{checked, require, shaped};
use describe::describe;
pub(crate) use file::read_whole;
use file::write_whole;
use format::Format;
pub(crate) use parts::device as opening_device;
pub(crate) use parts::weights;
pub use parts::{Part, fixed, part};
use seal::{seal, verify};
use serde_json::Value;
use settings::Settings;
use tensors::Entry;

/// Writes a model, as safetensors (`.safetensors`) or burnpack (`.bpk`).
///
/// The file appears whole or not at all: it is written under another name in the same folder and renamed. An existing
/// file of that name is replaced, unless it is marked read-only.
///
/// # Errors
///
/// [`Error::Format`] for another extension and for a setting that is not finite. [`Error::Tensor`] for a quantized
/// tensor and for a tensor that no field describes. [`Error::Io`] if the file cannot be written.
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{Error, bijector::LuLinearConfig, store};
///
/// # let folder = std::env::temp_dir().join(format!("burn-flows-doc-save-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let layer = LuLinearConfig::new(2).init(&Device::flex());
/// store::save(&layer, folder.join("layer.bpk"))?;
/// assert!(folder.join("layer.bpk").is_file());
/// assert!(matches!(store::save(&layer, folder.join("layer.pt")), Err(Error::Format { .. })));
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn save<M: Module + Serialize>(model: &M, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    write_whole(path, &weights(model, path)?)
}

/// Loads the weights of a file that [`save`] wrote into a model.
///
/// Build the model with the settings of the saved model; every weight it starts with is replaced. The model stays on
/// its device and in its precision, and its trainable parameters stay trainable. [`open`] needs no model.
///
/// # Errors
///
/// On an error the module is dropped; a remaining clone of the module is unchanged.
///
/// - [`Error::Io`]: the file cannot be read
/// - [`Error::Format`]: the file has another extension, was changed or truncated, or was written by another program
/// - [`Error::MissingTensor`], [`Error::UnusedTensor`]: the file is of another model
/// - [`Error::ShapeMismatch`]: a tensor has another shape, and no setting explains the difference
/// - [`Error::Tensor`]: a tensor has values of another kind (such as floats for integers), an integer does not fit, an
///   order is not a permutation, or a matrix is singular where a [`DenseMatrix`](crate::bijector::DenseMatrix) needs an
///   inverse
/// - [`Error::Setting`]: a setting, a mask or an order differs between the model and the file; the error names the
///   layer, the setting and both values
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{bijector::{LeakyRelu, LuLinearConfig}, store};
///
/// # let folder = std::env::temp_dir().join(format!("burn-flows-doc-load-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("layer.safetensors");
/// let device = Device::flex();
/// let lu = |features| LuLinearConfig::new(features).init(&device);
/// let layer = |features, slope| LeakyRelu::new(slope).map(|relu| (lu(features), relu));
/// store::save(&layer(2, 0.5)?, &path)?;
/// assert!(store::load(layer(2, 0.5)?, &path).is_ok());
/// let error = store::load(layer(3, 0.5)?, &path).unwrap_err();
/// let text = "tensor `0.matrix.factors`: the model needs shape [3, 3], the file has [2, 2]";
/// assert_eq!(error.to_string(), text);
/// let error = store::load(layer(2, 0.1)?, &path).unwrap_err();
/// let text = "layer `1` (LeakyRelu): setting `slope` is 0.1 in the model and 0.5 in the file; \
///             build the model with the file's setting, or read the file with `store::open`";
/// assert_eq!(error.to_string(), text);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn load<M: Module + Serialize>(model: M, path: impl AsRef<Path>) -> Result<M> {
    let path = path.as_ref();
    let (entries, description) = read(path)?;
    let own = described(&model, path)?;
    let places = parts::places(own.clone());
    let settings = Settings::new(&model, own);
    let is_fixed = |name: &str| places.get(name) == Some(&true);
    let filled = tensors::fill_where(model, entries, is_fixed, |other| {
        settings.agree(&description)?;
        match other {
            Some(other) => Err(settings.error(&other.path, &other.expected, &other.found)),
            None => Ok(()),
        }
    });
    filled.map_err(|error| match error {
        // A shape follows from settings, so a differing setting is the better error if the description has one.
        Error::ShapeMismatch { .. } => settings.agree(&description).err().unwrap_or(error),
        other => other,
    })
}

/// Builds the model of a file that [`save`] wrote, from the file alone.
///
/// The type determines which layers the model has; the file determines their settings and weights. For a stack that is
/// known only at run time, use an [`AnyBijector`](crate::bijector::AnyBijector) or a `Vec` of them. The weights keep
/// the precision and the identities (`ParamId`) of the file, and trainable parameters stay trainable. A layer that was
/// frozen (`freeze`) when the model was saved acts as in evaluation, also when the opened model trains.
///
/// # Errors
///
/// - [`Error::Io`] and [`Error::Format`] as in [`load`]; [`Error::Format`] also for a file that describes no model of
///   this type
/// - [`Error::Setting`]: the file describes another layer, or settings that this type does not read
/// - [`Error::MissingTensor`], [`Error::UnusedTensor`], [`Error::Tensor`]: the tensors do not match the description
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{AnyBijector, AnyBijectorConfig};
/// use burn_flows::{Flow, distribution::StandardNormal, store};
///
/// # let folder = std::env::temp_dir().join(format!("burn-flows-doc-open-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("flow.safetensors");
/// type Model = Flow<Vec<AnyBijector>, StandardNormal<2>>;
///
/// let device = Device::flex();
/// let layer = AnyBijectorConfig::Logit { alpha: 0.05 }.init(&device);
/// let flow: Model = Flow::new(vec![layer], StandardNormal::new([2], &device));
/// store::save(&flow, &path)?;
/// let opened: Model = store::open(&path, &device)?;
/// let x = Tensor::<2>::full([1, 2], 0.3, &device);
/// assert_eq!(opened.log_prob(x.clone()).into_data(), flow.log_prob(x).into_data());
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn open<M: Module + Serialize + DeserializeOwned>(
    path: impl AsRef<Path>,
    device: &Device,
) -> Result<M> {
    let path = path.as_ref();
    let (entries, description) = read(path)?;
    let mut places = parts::places(description.clone());
    let mut tensors = std::collections::HashMap::with_capacity(entries.len());
    for entry in entries {
        if places.remove(&entry.name).is_none() {
            let found = entry.data.shape().to_vec();
            return Err(Error::UnusedTensor { name: entry.name, found });
        }
        tensors.insert(entry.name.clone(), entry);
    }
    if let Some(name) = places.into_keys().min() {
        let found = "the description of this tensor, but not its values".to_string();
        return Err(Error::MissingTensor { name, expected: Vec::new(), found });
    }
    let (model, unused) = parts::build::<M>(description.clone(), tensors, device);
    let model = model.map_err(|error| {
        let reason = format!("does not describe a {}: {error}", crate::bijector::layer_name::<M>());
        Error::format(path, reason)
    })?;
    // A part of the description that this type did not read is a differing setting.
    Settings::new(&model, described(&model, path)?).agree(&description)?;
    if let Some(Entry { name, data, .. }) = unused.into_values().next() {
        return Err(Error::UnusedTensor { name, found: data.shape().to_vec() });
    }
    tensors::verify(&model)?;
    Ok(model)
}

/// Reads the tensors of a file, and the description of the saved model.
fn read(path: &Path) -> Result<(Vec<Entry>, Value)> {
    let format = Format::of(path)?;
    let file = read_whole(path)?;
    verify(&file, path)?;
    let (entries, description) = format.decode(file, path)?;
    if description.is_null() {
        let reason = "has no description of its model; save the model again with `store::save`";
        return Err(Error::format(path, reason));
    }
    nested(&description, path)?;
    Ok((entries, description))
}

/// The largest depth of a description, counted in nested lists and layers. Every level takes stack space while a model
/// is built, and a file must not exhaust the stack.
const MOST_LEVELS: usize = 64;

/// Returns an error for a description that is nested too deeply.
fn nested(description: &Value, path: &Path) -> Result<()> {
    fn levels(value: &Value) -> usize {
        match value {
            Value::Object(fields) => 1 + fields.values().map(levels).max().unwrap_or_default(),
            Value::Array(values) => 1 + values.iter().map(levels).max().unwrap_or_default(),
            _ => 0,
        }
    }
    let found = levels(description);
    if found <= MOST_LEVELS {
        return Ok(());
    }
    let reason = format!("layers are nested in {found} levels, the limit is {MOST_LEVELS}");
    Err(Error::format(path, reason + "; flatten nested stacks"))
}

/// The description of a model.
fn described<M: Serialize>(model: &M, path: &Path) -> Result<Value> {
    describe(model).map_err(|error| Error::format(path, error.to_string()))
}

/// Writes a model, and a configuration beside it: `flow.safetensors` and `flow.json`.
///
/// [`open`] and [`load`] need no configuration. Use this function for a configuration that a program reads back.
///
/// Each file appears whole or not at all. The weights are written first.
///
/// # Errors
///
/// The errors of [`save`]. [`Error::Format`] if the configuration changes when its JSON is read back (an infinite
/// number); nothing is written then.
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{bijector::AnyBijectorConfig, store};
///
/// # let folder = std::env::temp_dir().join(format!("burn-flows-doc-with-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let config = AnyBijectorConfig::LeakyRelu { slope: 0.25 };
/// let layer = config.init(&Device::flex());
/// store::save_with_config(&layer, &config, folder.join("layer.bpk"))?;
/// let back: AnyBijectorConfig = store::load_config(folder.join("layer.json"))?;
/// assert!(matches!(back, AnyBijectorConfig::LeakyRelu { slope: 0.25 }));
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn save_with_config<M: Module + Serialize, C: Serialize + DeserializeOwned>(
    model: &M,
    config: &C,
    path: impl AsRef<Path>,
) -> Result<()> {
    let path = path.as_ref();
    let beside = path.with_extension("json");
    let (weights, config) = (weights(model, path)?, config::encode(config, &beside)?);
    write_whole(path, &weights)?;
    write_whole(&beside, &config)
}

/// Reads a configuration that [`save_with_config`] wrote.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read. [`Error::Format`] if its extension is not `.json`, if the file was
/// changed, truncated or written by another program, or if it holds another type of configuration or another format
/// version. Read a configuration written by hand with `serde_json`.
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{model::{NiceConfig, RealNvpConfig}, store};
///
/// # let folder = std::env::temp_dir().join(format!("burn-flows-doc-config-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let config = NiceConfig::new(2).with_layers(3);
/// store::save_with_config(&config.init(&Device::flex()), &config, folder.join("nice.bpk"))?;
/// assert_eq!(store::load_config::<NiceConfig>(folder.join("nice.json"))?.layers, 3);
/// let error = store::load_config::<RealNvpConfig>(folder.join("nice.json")).unwrap_err();
/// assert!(error.to_string().ends_with("holds a NiceConfig, not a RealNvpConfig"));
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn load_config<C: DeserializeOwned>(path: impl AsRef<Path>) -> Result<C> {
    let path = path.as_ref();
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        return Err(Error::format(path, "the extension of a configuration must be `.json`"));
    }
    config::decode(&read_whole(path)?, path)
}

/// Encodes a module as a sealed file.
///
/// # Errors
///
/// The errors of [`save`].
fn weights<M: Module + Serialize>(model: &M, path: &Path) -> Result<Vec<u8>> {
    let format = Format::of(path)?;
    let (entries, description) = (tensors::read(model)?, described(model, path)?);
    nested(&description, path)?;
    let places = parts::places(description.clone());
    if let Some(entry) = entries.iter().find(|entry| !places.contains_key(&entry.name)) {
        let reason =
            "is not described; give its field `#[serde(with = \"burn_flows::store::part\")]`";
        return Err(tensors::tensor_error(&entry.name, reason));
    }
    let mut file = format.encode(entries, description, path)?;
    seal(&mut file);
    Ok(file)
}

/// The metadata entry that [`write_sealed`] requires in a file, for files other than weights.
#[cfg(feature = "train")]
pub(crate) fn label() -> Result<(String, String), serde_json::Error> {
    let label = seal::Label::new(std::collections::BTreeMap::new());
    Ok((seal::Label::KEY.to_string(), serde_json::to_string(&label)?))
}

/// Encodes the weights of a module as a part of a sealed file at `path`.
#[cfg(feature = "train")]
pub(crate) fn encode<M: Module>(model: &M, path: &Path) -> Result<Vec<u8>> {
    Format::Burnpack.encode(tensors::read(model)?, Value::Null, path)
}

/// Loads the weights of such a part into the module.
#[cfg(feature = "train")]
pub(crate) fn decode<M: Module>(model: M, part: Vec<u8>, path: &Path) -> Result<M> {
    tensors::fill(model, Format::Burnpack.decode(part, path)?.0)
}

/// Seals a file that holds a [`label`], and writes it as a whole.
#[cfg(feature = "train")]
pub(crate) fn write_sealed(path: &Path, mut file: Vec<u8>) -> Result<()> {
    seal(&mut file);
    write_whole(path, &file)
}

/// Reads a sealed file. Returns an error if the file was changed.
#[cfg(feature = "train")]
pub(crate) fn read_sealed(path: &Path) -> Result<Vec<u8>> {
    let file = read_whole(path)?;
    verify(&file, path)?;
    Ok(file)
}
