//! The two file formats of weights: safetensors and burnpack.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::ParamId;
use burn::tensor::{BoolStore, Bytes, DType, TensorData};
use burn_pack::{Reader, Writer};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

use super::seal::Label;
use super::tensors::{Entry, tensor_error};
use crate::error::{Error, Result};

/// A file format, determined by the extension.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Safetensors,
    Burnpack,
}

impl Format {
    pub(super) fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("bpk") => Ok(Self::Burnpack),
            _ => {
                let reason = "the extension of weights must be `.safetensors` or `.bpk`";
                Err(Error::format(path, reason))
            }
        }
    }

    /// Encodes these tensors and the description of their model as a file. The file is not sealed yet.
    pub(super) fn encode(self, entries: Vec<Entry>, model: Value, path: &Path) -> Result<Vec<u8>> {
        match self {
            Self::Safetensors => encode_safetensors(&entries, model, path),
            Self::Burnpack => encode_burnpack(entries, model, path),
        }
    }

    /// Decodes the tensors of a file, and the description of their model.
    pub(super) fn decode(self, file: Vec<u8>, path: &Path) -> Result<(Vec<Entry>, Value)> {
        match self {
            Self::Safetensors => decode_safetensors(&file, path),
            Self::Burnpack => decode_burnpack(file, path),
        }
    }
}

fn encode_safetensors(entries: &[Entry], model: Value, path: &Path) -> Result<Vec<u8>> {
    let ids = entries.iter().map(|entry| (entry.name.clone(), entry.id.val())).collect();
    // One key only: the order of several keys would change from one save to the next.
    let metadata =
        HashMap::from([(Label::KEY.to_string(), text(&Label::new(ids).describing(model), path)?)]);
    let views = entries.iter().map(|entry| {
        let dtype = to_safetensors(entry.data.dtype())
            .ok_or_else(|| unsupported(&entry.name, entry.data.dtype()))?;
        let view = TensorView::new(dtype, entry.data.shape().to_vec(), entry.data.as_bytes())
            .map_err(|error| tensor_error(&entry.name, &error.to_string()))?;
        Ok((entry.name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, Some(metadata)).map_err(|error| format_error(path, error))
}

fn decode_safetensors(file: &[u8], path: &Path) -> Result<(Vec<Entry>, Value)> {
    let (_, header) =
        SafeTensors::read_metadata(file).map_err(|error| format_error(path, error))?;
    let label = header.metadata().as_ref().and_then(|metadata| metadata.get(Label::KEY));
    let label = read_label(label, path)?;
    let tensors = SafeTensors::deserialize(file).map_err(|error| format_error(path, error))?;
    let entries = tensors.iter().map(|(name, view)| {
        let dtype =
            from_safetensors(view.dtype()).ok_or_else(|| unsupported(name, view.dtype()))?;
        let id = label.param_ids.get(name).copied();
        entry(name.to_string(), id, view.data(), view.shape().to_vec(), dtype)
    });
    Ok((entries.collect::<Result<_>>()?, label.model))
}

fn encode_burnpack(entries: Vec<Entry>, model: Value, path: &Path) -> Result<Vec<u8>> {
    let label = text(&Label::new(BTreeMap::new()).describing(model), path)?;
    let tensors = entries.into_iter().map(|Entry { name, id, data }| {
        let (bytes, shape, dtype) = data.into_parts();
        burn_pack::Tensor::new(name, dtype, shape, Some(id.val()), bytes)
    });
    let file = Writer::new(tensors.collect()).with_metadata(Label::KEY, &label).into_bytes();
    file.map(|bytes| bytes.to_vec()).map_err(|error| format_error(path, error))
}

fn decode_burnpack(file: Vec<u8>, path: &Path) -> Result<(Vec<Entry>, Value)> {
    let reader = Reader::from_bytes(Bytes::from_bytes_vec(file))
        .map_err(|error| format_error(path, error))?;
    let label = read_label(reader.metadata().get(Label::KEY), path)?;
    let tensors = reader.into_tensors().map_err(|error| format_error(path, error))?;
    let entries = tensors.into_iter().map(|tensor| {
        let (name, dtype, shape, id, bytes) =
            tensor.into_parts().map_err(|error| format_error(path, error))?;
        entry(name, id, &bytes, shape.to_vec(), dtype)
    });
    Ok((entries.collect::<Result<_>>()?, label.model))
}

/// Copies the bytes, so that a tensor is aligned and does not keep the whole file in memory. A tensor without an
/// identity gets a new one.
fn entry(
    name: String,
    id: Option<u64>,
    bytes: &[u8],
    shape: Vec<usize>,
    dtype: DType,
) -> Result<Entry> {
    let data = TensorData::try_from_bytes_vec(bytes.to_vec(), shape, dtype)
        .map_err(|error| tensor_error(&name, &error.to_string()))?;
    Ok(Entry { name, id: id.map_or_else(ParamId::new, ParamId::from), data })
}

fn text(label: &Label, path: &Path) -> Result<String> {
    serde_json::to_string(label).map_err(|error| format_error(path, error))
}

fn read_label(label: Option<&String>, path: &Path) -> Result<Label> {
    let label = label.ok_or_else(|| Error::format(path, "no label of burn-flows"))?;
    let label: Label = serde_json::from_str(label).map_err(|error| format_error(path, error))?;
    label.check(path)?;
    Ok(label)
}

fn format_error(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::format(path, error.to_string())
}

fn unsupported(name: &str, dtype: impl std::fmt::Debug) -> Error {
    tensor_error(name, &format!("values of type {dtype:?} are not supported"))
}

fn to_safetensors(dtype: DType) -> Option<Dtype> {
    PAIRS.iter().find(|(ours, _)| *ours == dtype).map(|(_, theirs)| *theirs)
}

fn from_safetensors(dtype: Dtype) -> Option<DType> {
    PAIRS.iter().find(|(_, theirs)| *theirs == dtype).map(|(ours, _)| *ours)
}

const PAIRS: [(DType, Dtype); 13] = [
    (DType::F64, Dtype::F64),
    (DType::F32, Dtype::F32),
    (DType::F16, Dtype::F16),
    (DType::BF16, Dtype::BF16),
    (DType::I64, Dtype::I64),
    (DType::I32, Dtype::I32),
    (DType::I16, Dtype::I16),
    (DType::I8, Dtype::I8),
    (DType::U64, Dtype::U64),
    (DType::U32, Dtype::U32),
    (DType::U16, Dtype::U16),
    (DType::U8, Dtype::U8),
    (DType::Bool(BoolStore::Native), Dtype::BOOL),
];
