//! Weights and configurations in files.
//!
//! [`save`] and [`load`] are for the weights of any burn module, [`save_with_config`] and
//! [`load_config`] for the configuration beside them. A loaded model gives the same numbers bit
//! for bit, and a file that is not exactly what was written is an [`Error`]: every file carries a
//! checksum of all its bytes.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use burn_flows::{model::RealNvpConfig, store};
//!
//! # let folder = std::env::temp_dir().join(format!("burn-flows-doc-store-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let (weights, json) = (folder.join("flow.safetensors"), folder.join("flow.json"));
//! let device = Device::flex();
//! let config = RealNvpConfig::new(3).with_layers(2);
//! let flow = config.init(&device);
//! store::save_with_config(&flow, &config, &weights)?; // flow.safetensors and flow.json
//!
//! let config: RealNvpConfig = store::load_config(&json)?;
//! let loaded = store::load(config.init(&device), &weights)?;
//! let x = Tensor::<2>::ones([1, 3], &device);
//! assert_eq!(loaded.log_prob(x.clone()).into_data(), flow.log_prob(x).into_data());
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # What a file holds
//!
//! The extension chooses the format; both hold the same.
//!
//! | extension | format | also read by |
//! | --- | --- | --- |
//! | `.safetensors` | [safetensors](https://github.com/huggingface/safetensors) | every safetensors library |
//! | `.bpk` | burnpack, burn's own | `burn::store::ModuleRecord::load` |
//!
//! One tensor for every parameter, mask, permutation and running statistic of the module, in row
//! major order and little-endian, under its path: the names of the fields, the indices of lists and
//! tuples and the variants of enums, joined by dots, as in `bijector.0.conditioner.input.weight`.
//! Floats keep their precision in the file, and become that of the model they are loaded into;
//! integers do the same, as long as every value fits. Bools are one byte.
//!
//! The metadata of either format has one entry, `burn-flows`, a JSON text with the members
//! `checksum`, `version` (of this layout: 1), `crate` (the version of burn-flows that wrote it)
//! and, in safetensors, `param_ids`: the identity of every tensor, which in burnpack stands beside
//! the tensor. A configuration is a JSON object: the same entry, the name of the configuration's
//! `type`, and its `config`.
//!
//! `checksum` reads `burn-flows-sha256:` and 64 digits. They are the SHA-256 of the whole file, in
//! lower-case hexadecimal, computed while 64 characters `0` stand in their place. The first
//! `burn-flows-sha256:` of a file is the one that counts. The checksum finds accidents; it is no
//! signature, since everybody can compute it.
//!
//! # Identities
//!
//! Loading restores the identities of parameters (`ParamId`), so that the state of an optimizer
//! finds them again. Two models loaded from one file therefore share their identities, as clones
//! do: do not put both into one module.
//!
//! Loading into a clone leaves the original as it is, its running statistics
//! ([`BatchNorm`](crate::bijector::BatchNorm)) too, which clones share in burn.

mod config;
mod file;
mod format;
mod seal;
mod tensors;

use std::path::Path;

use burn::module::Module;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
pub(crate) use file::read_whole;
use file::write_whole;
use format::Format;
use seal::{seal, verify};

/// Writes the weights of a module, as safetensors (`.safetensors`) or burnpack (`.bpk`).
///
/// The file appears as a whole or not at all: it is written under another name in the same folder
/// and renamed. An old file of that name is replaced, unless it is marked read-only.
///
/// # Errors
///
/// [`Error::Format`] for another extension, [`Error::Tensor`] for a quantized tensor, and
/// [`Error::Io`] if the file cannot be written.
///
/// ```
/// use burn::{nn::LinearConfig, tensor::Device};
/// use burn_flows::{Error, store};
///
/// # let folder = std::env::temp_dir().join(format!("burn-flows-doc-save-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let layer = LinearConfig::new(2, 3).init(&Device::flex());
/// store::save(&layer, folder.join("layer.bpk"))?;
/// assert!(folder.join("layer.bpk").is_file());
/// assert!(matches!(store::save(&layer, folder.join("layer.pt")), Err(Error::Format { .. })));
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn save<M: Module>(model: &M, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    write_whole(path, &weights(model, path)?)
}

/// The module with the weights of a file that [`save`] wrote.
///
/// Build the module first, from the configuration the weights were trained with; every weight it
/// starts with is replaced. It stays on its device, in its precision, and what was trainable in it
/// stays trainable. Nothing but weights is read: a slope or a dropout rate is that of the
/// configuration.
///
/// # Errors
///
/// The module is gone then, and unchanged where a clone of it remains.
///
/// - [`Error::Io`]: the file cannot be read
/// - [`Error::Format`]: another extension, or a file that was changed, truncated, or written by
///   something else
/// - [`Error::MissingTensor`], [`Error::ShapeMismatch`], [`Error::UnusedTensor`]: the file is of
///   another model
/// - [`Error::Tensor`]: floats for integers or the like, an integer that does not fit, or a singular
///   matrix where a [`DenseMatrix`](crate::bijector::DenseMatrix) needs an inverse
///
/// ```
/// use burn::{nn::LinearConfig, tensor::Device};
/// use burn_flows::{Error, store};
///
/// # let folder = std::env::temp_dir().join(format!("burn-flows-doc-load-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("layer.safetensors");
/// let device = Device::flex();
/// store::save(&LinearConfig::new(2, 3).init(&device), &path)?;
/// assert!(store::load(LinearConfig::new(2, 3).init(&device), &path).is_ok());
/// let error = store::load(LinearConfig::new(2, 4).init(&device), &path).unwrap_err();
/// let text = "tensor `weight`: the model needs shape [2, 4], the file has [2, 3]";
/// assert_eq!(error.to_string(), text);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn load<M: Module>(model: M, path: impl AsRef<Path>) -> Result<M> {
    let path = path.as_ref();
    let format = Format::of(path)?;
    let file = read_whole(path)?;
    verify(&file, path)?;
    tensors::fill(model, format.decode(file, path)?)
}

/// Writes the weights, and the configuration beside them: `flow.safetensors` and `flow.json`.
///
/// Each file appears as a whole or not at all, the weights first.
///
/// # Errors
///
/// As [`save`], and [`Error::Format`] if the configuration does not come back from its JSON as it
/// was (an infinite number); nothing is written then.
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{bijector::AnyBijectorConfig, store};
///
/// # let folder = std::env::temp_dir().join(format!("burn-flows-doc-with-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let config = AnyBijectorConfig::LeakyRelu { slope: 0.25 };
/// let layer = config.init(&Device::flex())?;
/// store::save_with_config(&layer, &config, folder.join("layer.bpk"))?;
/// let back: AnyBijectorConfig = store::load_config(folder.join("layer.json"))?;
/// assert!(matches!(back, AnyBijectorConfig::LeakyRelu { slope: 0.25 }));
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn save_with_config<M: Module, C: Serialize + DeserializeOwned>(
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
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if its extension is not `.json`, if
/// it was changed, truncated or written by something else (a configuration written by hand is read
/// with `serde_json`), or if it holds another type of configuration or one of another version.
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
        return Err(Error::format(path, "the extension of a configuration is `.json`"));
    }
    config::decode(&read_whole(path)?, path)
}

/// The file of a module's weights, sealed.
fn weights<M: Module>(model: &M, path: &Path) -> Result<Vec<u8>> {
    let format = Format::of(path)?;
    let mut file = format.encode(tensors::read(model)?, path)?;
    seal(&mut file);
    Ok(file)
}

/// The metadata entry that [`write_sealed`] needs in a file, for files other than weights.
#[cfg(feature = "train")]
pub(crate) fn label() -> Result<(String, String), serde_json::Error> {
    let label = seal::Label::new(std::collections::BTreeMap::new());
    Ok((seal::Label::KEY.to_string(), serde_json::to_string(&label)?))
}

/// The weights of a module, for a part of a sealed file at `path`.
#[cfg(feature = "train")]
pub(crate) fn encode<M: Module>(model: &M, path: &Path) -> Result<Vec<u8>> {
    Format::Burnpack.encode(tensors::read(model)?, path)
}

/// The module with the weights of such a part.
#[cfg(feature = "train")]
pub(crate) fn decode<M: Module>(model: M, part: Vec<u8>, path: &Path) -> Result<M> {
    tensors::fill(model, Format::Burnpack.decode(part, path)?)
}

/// Seals a file that holds a [`label`], and writes it whole.
#[cfg(feature = "train")]
pub(crate) fn write_sealed(path: &Path, mut file: Vec<u8>) -> Result<()> {
    seal(&mut file);
    write_whole(path, &file)
}

/// Reads a sealed file, and refuses one that was changed.
#[cfg(feature = "train")]
pub(crate) fn read_sealed(path: &Path) -> Result<Vec<u8>> {
    let file = read_whole(path)?;
    verify(&file, path)?;
    Ok(file)
}
