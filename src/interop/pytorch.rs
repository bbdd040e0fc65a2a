//! Reads the tensors of `torch.save` files without running their code.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader, Tensor};
use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::HostTensor;
use crate::error::{Error, Result};

/// The limit of the total size of all tensors of a file, as a multiple of the file length. Views can share storage, and
/// one number can be expanded to any count. The limit also applies to the total length of the names, because tensors of
/// one dictionary share its path.
const EXPANSION: usize = 16;

/// The first bytes of an archive.
const ZIP: &[u8] = b"PK\x03\x04";

/// Whether these bytes begin like a `torch.save` file of any version.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let tar = bytes.get(257..262) == Some(b"ustar");
    let pickle = bytes.first() == Some(&0x80);
    // The length in a safetensors header may begin with the same bytes.
    (bytes.starts_with(ZIP) || tar || pickle) && bytes.get(8) != Some(&b'{')
}

/// Reads the tensors of a file with these bytes.
///
/// # Errors
///
/// Returns [`Error::Format`] if the file is damaged, holds something other than tensors, or requires more memory than
/// its length explains. Returns [`Error::Tensor`] for numbers of an unknown kind.
pub(super) fn read(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, HostTensor>> {
    let wrong = |reason: String| Error::format(path, format!("not a PyTorch file: {reason}"));
    if bytes.starts_with(ZIP) {
        check_archive(bytes).map_err(wrong)?;
    }
    let unread = |error: PytorchError| {
        wrong(format!("{error}; save `model.state_dict()` with `torch.save`, or as safetensors"))
    };
    // The reader creates all names at once, so their total length is checked first.
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

/// The total length of the names of all tensors in `value`, whose name has length `name`. A name joins the keys on the
/// path to a tensor by dots.
fn names_length(value: &PickleValue, name: usize) -> usize {
    let below = |(key, value): (usize, &PickleValue)| names_length(value, name + key + 1);
    let lengths: &mut dyn Iterator<Item = usize> = match value {
        PickleValue::Dict(dict) => &mut dict.iter().map(|(key, value)| below((key.len(), value))),
        PickleValue::List(items) => {
            let digits = items.len().to_string().len();
            &mut items.iter().map(move |item| below((digits, item)))
        }
        // A tensor is one of the values that have no other representation.
        PickleValue::Unsupported(_) => return name,
        _ => return 0,
    };
    lengths.fold(0, usize::saturating_add)
}

/// Checks that no entry of the archive is longer than the archive; `torch.save` does not compress entries.
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
