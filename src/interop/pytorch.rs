//! Files of `torch.save`: the tensors, and no code.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader, Tensor};
use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::HostTensor;
use crate::error::{Error, Result};

/// What the tensors of a file may hold together, in lengths of the file: views can share storage, and
/// one number can stand for any count of them. The limit of their names together, too: tensors of one
/// dictionary share its path.
const EXPANSION: usize = 16;

/// How an archive begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// Whether these bytes begin as `torch.save` begins a file, of any of its versions.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let tar = bytes.get(257..262) == Some(b"ustar");
    let pickle = bytes.first() == Some(&0x80);
    // The header of safetensors may have a length that begins alike.
    (bytes.starts_with(ZIP) || tar || pickle) && bytes.get(8) != Some(&b'{')
}

/// The tensors of the file, whose bytes are these.
///
/// # Errors
///
/// [`Error::Format`] if the file is damaged, holds something else than tensors, or asks for more
/// memory than its length explains; [`Error::Tensor`] for numbers of an unknown kind.
pub(super) fn read(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, HostTensor>> {
    let wrong = |reason: String| Error::format(path, format!("not a PyTorch file: {reason}"));
    if bytes.starts_with(ZIP) {
        check_archive(bytes).map_err(wrong)?;
    }
    let unread = |error: PytorchError| {
        wrong(format!("{error}; save `model.state_dict()` with `torch.save`, or as safetensors"))
    };
    // The reader makes every name at once, so their length is known before.
    let content = PytorchReader::read_pickle_data(path, None).map_err(unread)?;
    if names_length(&content, 0) / EXPANSION > bytes.len() {
        let reason = "the names of its tensors are far longer than the file; save \
                      `model.state_dict()`, whose names are short";
        return Err(wrong(reason.into()));
    }
    drop(content);
    let file = PytorchReader::new(path).map_err(unread)?;
    let tensors = file.into_tensors();
    let total = tensors.values().try_fold(0usize, |sum, tensor| sum.checked_add(tensor.byte_len()));
    if total.is_none_or(|total| total / EXPANSION > bytes.len()) {
        let reason = "its tensors are far larger than the file; save them with `.contiguous()`";
        return Err(wrong(reason.into()));
    }
    let decode = |(name, tensor): (String, Tensor)| {
        let mut values = tensor.read().map_err(|error| wrong(error.to_string()))?;
        if cfg!(target_endian = "big") {
            values.chunks_exact_mut(tensor.dtype().size()).for_each(<[u8]>::reverse);
        }
        let read = HostTensor::decode(&name, dtype(tensor.dtype()), tensor.shape(), &values)?;
        Ok((name, read))
    };
    tensors.into_iter().map(decode).collect()
}

/// The length of the names of all tensors in `value`, whose own name is `name` long: the keys on the
/// way to a tensor, joined by dots.
fn names_length(value: &PickleValue, name: usize) -> usize {
    let below = |(key, value): (usize, &PickleValue)| names_length(value, name + key + 1);
    let lengths: &mut dyn Iterator<Item = usize> = match value {
        PickleValue::Dict(dict) => &mut dict.iter().map(|(key, value)| below((key.len(), value))),
        PickleValue::List(items) => {
            let digits = items.len().to_string().len();
            &mut items.iter().map(move |item| below((digits, item)))
        }
        // A tensor is one of the values that have no other form.
        PickleValue::Unsupported(_) => return name,
        _ => return 0,
    };
    lengths.fold(0, usize::saturating_add)
}

/// `torch.save` compresses nothing, so no entry of its archives is longer than the archive.
fn check_archive(bytes: &[u8]) -> std::result::Result<(), String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| error.to_string())?;
        let stored = entry.compression() == CompressionMethod::Stored;
        if !stored || entry.size() > bytes.len() as u64 {
            let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
            return Err(format!("`{name}` in the archive is compressed or longer than the file"));
        }
    }
    Ok(())
}

fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}
