//! Named tensors on the host, as saved by another library.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

use burn::tensor::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::pytorch;
use crate::error::{Error, Result};
use crate::store::read_whole;

/// The number of names listed in a message about a missing tensor.
const NAMES_IN_MESSAGE: usize = 8;

/// A tensor on the host: a shape, and values of one kind in row-major order.
///
/// Floats of all precisions are stored as `f64`, and integers of all sizes as `i64`.
///
/// ```
/// use burn_flows::interop::HostTensor;
///
/// let matrix = HostTensor::floats([1.0, 2.0, 3.0, 4.0], [2, 2]);
/// assert_eq!(matrix.shape(), [2, 2]);
/// assert_eq!(matrix.as_floats(), Some(&[1.0, 2.0, 3.0, 4.0][..]));
/// assert_eq!(HostTensor::ints([3], [1]).as_floats(), None);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    shape: Vec<usize>,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Floats(Vec<f64>),
    Ints(Vec<i64>),
    Bools(Vec<bool>),
}

impl HostTensor {
    /// Creates a tensor of floats.
    ///
    /// # Panics
    ///
    /// Panics if the number of values does not match the shape. [`ints`](Self::ints) and [`bools`](Self::bools) panic
    /// in that case, too.
    #[track_caller]
    pub fn floats(values: impl Into<Vec<f64>>, shape: impl Into<Vec<usize>>) -> Self {
        let values = values.into();
        Self { shape: checked(shape.into(), values.len()), values: Values::Floats(values) }
    }

    /// Creates a tensor of integers.
    #[track_caller]
    pub fn ints(values: impl Into<Vec<i64>>, shape: impl Into<Vec<usize>>) -> Self {
        let values = values.into();
        Self { shape: checked(shape.into(), values.len()), values: Values::Ints(values) }
    }

    /// Creates a tensor of booleans.
    #[track_caller]
    pub fn bools(values: impl Into<Vec<bool>>, shape: impl Into<Vec<usize>>) -> Self {
        let values = values.into();
        Self { shape: checked(shape.into(), values.len()), values: Values::Bools(values) }
    }

    /// The length of each axis; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values if they are floats, otherwise `None`.
    pub fn as_floats(&self) -> Option<&[f64]> {
        match &self.values {
            Values::Floats(values) => Some(values),
            _ => None,
        }
    }

    /// The values if they are integers, otherwise `None`.
    pub fn as_ints(&self) -> Option<&[i64]> {
        match &self.values {
            Values::Ints(values) => Some(values),
            _ => None,
        }
    }

    /// The values if they are booleans, otherwise `None`.
    pub fn as_bools(&self) -> Option<&[bool]> {
        match &self.values {
            Values::Bools(values) => Some(values),
            _ => None,
        }
    }

    /// Decodes a tensor from little-endian bytes, whose number must match the shape.
    pub(super) fn decode(name: &str, kind: Dtype, shape: &[usize], bytes: &[u8]) -> Result<Self> {
        Ok(match kind {
            Dtype::F64 => Self::floats(numbers(bytes, f64::from_le_bytes), shape),
            Dtype::F32 => Self::floats(numbers(bytes, |b| f32::from_le_bytes(b).into()), shape),
            Dtype::F16 => Self::floats(numbers(bytes, |b| f16::from_le_bytes(b).into()), shape),
            Dtype::BF16 => Self::floats(numbers(bytes, |b| bf16::from_le_bytes(b).into()), shape),
            Dtype::I64 => Self::ints(numbers(bytes, i64::from_le_bytes), shape),
            Dtype::I32 => Self::ints(numbers(bytes, |b| i32::from_le_bytes(b).into()), shape),
            Dtype::I16 => Self::ints(numbers(bytes, |b| i16::from_le_bytes(b).into()), shape),
            Dtype::I8 => Self::ints(numbers(bytes, |b| i8::from_le_bytes(b).into()), shape),
            Dtype::U32 => Self::ints(numbers(bytes, |b| u32::from_le_bytes(b).into()), shape),
            Dtype::U16 => Self::ints(numbers(bytes, |b| u16::from_le_bytes(b).into()), shape),
            Dtype::U8 => Self::ints(numbers(bytes, |b| u8::from_le_bytes(b).into()), shape),
            Dtype::BOOL => Self::bools(numbers(bytes, |[b]: [u8; 1]| b != 0), shape),
            other => {
                let reason = format!("holds unsupported {other:?} values; convert to f32");
                return Err(Error::Tensor { name: name.into(), reason });
            }
        })
    }
}

#[track_caller]
fn checked(shape: Vec<usize>, count: usize) -> Vec<usize> {
    let expected = shape.iter().product::<usize>();
    assert_eq!(
        count, expected,
        "HostTensor: expected {expected} values for shape {shape:?}, found {count}"
    );
    shape
}

fn numbers<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
}

/// The tensors of a model of another library by name, read from a safetensors or PyTorch file or inserted by hand.
///
/// ```
/// use burn_flows::{Error, interop::{HostTensor, StateDict}};
///
/// let mut dict = StateDict::new();
/// dict.insert("shift", HostTensor::floats([0.5, -0.5], [2]));
/// assert_eq!(dict.names().collect::<Vec<_>>(), ["shift"]);
/// assert_eq!(dict.get("shift")?.shape(), [2]);
/// assert!(matches!(dict.get_shaped("shift", &[3]), Err(Error::ShapeMismatch { .. })));
/// assert!(matches!(dict.get("log_scale"), Err(Error::MissingTensor { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateDict {
    tensors: BTreeMap<String, HostTensor>,
}

impl StateDict {
    /// Creates an empty dictionary.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the tensors of a safetensors file or of a `torch.save` file (`.pt`, `.pth`). The content of the file
    /// determines the format, not its name.
    ///
    /// A PyTorch file may hold a state dictionary, a module (read as its state dictionary), or a dictionary that
    /// contains either. In a nested dictionary a name is a path, and [`below`](Self::below) selects a part. No code of
    /// the file is run, and values that are not tensors are ignored. Supported are floats of 16 to 64 bits, integers,
    /// booleans and strided views. Files of every version of PyTorch are read if they were saved on a little-endian
    /// machine. The memory use is proportional to the file length.
    /// were saved on a little-endian machine. Memory stays in proportion to the length of the file.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if the file cannot be read. Returns [`Error::Format`] if it is neither a complete and
    /// valid safetensors file nor a complete and valid PyTorch file. Returns [`Error::Tensor`] if it holds numbers of
    /// an unknown kind.
    ///
    /// # Example
    ///
    /// ```
    /// use burn_flows::{Error, interop::StateDict};
    ///
    /// let missing = StateDict::load("no/such/file.safetensors");
    /// assert!(matches!(missing, Err(Error::Io { .. })));
    /// ```
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read_whole(path)?;
        if pytorch::begins(&bytes) {
            return Ok(Self { tensors: pytorch::read(&bytes, path)? });
        }
        Self::read(&bytes, path)
    }

    /// Reads the tensors of a safetensors file in memory.
    ///
    /// # Errors
    ///
    /// Fails as [`load`](Self::load) does.
    ///
    /// # Example
    ///
    /// ```
    /// use burn_flows::{Error, interop::StateDict};
    ///
    /// let garbage = StateDict::from_bytes(b"not a model");
    /// assert!(matches!(garbage, Err(Error::Format { .. })));
    /// ```
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read(bytes, Path::new("safetensors in memory"))
    }

    fn read(bytes: &[u8], path: &Path) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| {
            let kind = match bytes {
                _ if pytorch::begins(bytes) => "a PyTorch file; use `StateDict::load`",
                [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
                    "a NumPy or Equinox file, which has no tensor names; save the flow as the docs \
                     of `interop::flowjax` show"
                }
                _ => return Error::format(path, format!("not valid safetensors: {error}")),
            };
            Error::format(path, format!("not safetensors: {kind}"))
        })?;
        let decode = |(name, view): (&str, TensorView<'_>)| {
            let tensor = HostTensor::decode(name, view.dtype(), view.shape(), view.data())?;
            Ok((name.to_string(), tensor))
        };
        Ok(Self { tensors: file.iter().map(decode).collect::<Result<_>>()? })
    }

    /// The tensors whose names begin with `prefix` and a dot, with this beginning removed. Use it to select one part of
    /// a checkpoint, or a model that a trainer saved under a prefix.
    ///
    /// ```
    /// use burn_flows::interop::{HostTensor, StateDict};
    ///
    /// let mut checkpoint = StateDict::new();
    /// checkpoint.insert("state_dict.shift", HostTensor::floats([0.5], [1]));
    /// checkpoint.insert("optimizer.state.0.step", HostTensor::floats([100.0], []));
    /// let model = checkpoint.below("state_dict");
    /// assert_eq!(model.names().collect::<Vec<_>>(), ["shift"]);
    /// ```
    pub fn below(&self, prefix: &str) -> Self {
        let part = |(name, tensor): (&String, &HostTensor)| {
            let name = name.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((name.to_string(), tensor.clone()))
        };
        Self { tensors: self.tensors.iter().filter_map(part).collect() }
    }

    /// Inserts a tensor; replaces a tensor with an equal name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: HostTensor) {
        self.tensors.insert(name.into(), tensor);
    }

    /// The names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The names that begin with `start`, found without a scan of the other names.
    pub(super) fn names_from<'a>(&'a self, start: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.tensors.range::<str, _>((Bound::Included(start), Bound::Unbounded));
        names.map(|(name, _)| name.as_str()).take_while(move |name| name.starts_with(start))
    }

    /// Whether there is a tensor with this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor with this name.
    ///
    /// # Errors
    ///
    /// Returns [`Error::MissingTensor`] if there is no tensor with this name.
    pub fn get(&self, name: &str) -> Result<&HostTensor> {
        self.tensors.get(name).ok_or_else(|| self.missing(name, &[]))
    }

    /// The tensor with this name and shape.
    ///
    /// # Errors
    ///
    /// Returns [`Error::MissingTensor`] if there is no tensor with this name, and [`Error::ShapeMismatch`] if it has
    /// another shape.
    pub fn get_shaped(&self, name: &str, expected: &[usize]) -> Result<&HostTensor> {
        let tensor = self.tensors.get(name).ok_or_else(|| self.missing(name, expected))?;
        if tensor.shape == expected {
            return Ok(tensor);
        }
        Err(Error::ShapeMismatch {
            name: name.into(),
            expected: expected.into(),
            found: tensor.shape.clone(),
        })
    }

    pub(super) fn missing(&self, name: &str, expected: &[usize]) -> Error {
        let mut found = self.names().take(NAMES_IN_MESSAGE).collect::<Vec<_>>().join(", ");
        match self.tensors.len() {
            0 => found.push_str("no tensors"),
            n if n > NAMES_IN_MESSAGE => found.push_str(&format!(", .. ({n} tensors)")),
            _ => {}
        }
        if let Some((part, library)) = self.looks_like() {
            match part.as_str() {
                "" => found.push_str(&format!("; the names are those of {library}")),
                part => found.push_str(&format!(
                    "; the names below `{part}` are those of {library}: use `StateDict::below`"
                )),
            }
        }
        Error::MissingTensor { name: name.into(), expected: expected.into(), found }
    }

    /// The library that the names suggest, and the prefix of its model; in a trainer checkpoint, the first part that is
    /// a model.
    fn looks_like(&self) -> Option<(String, &'static str)> {
        self.names().find_map(|name| {
            let starts = [0].into_iter().chain(name.match_indices('.').map(|(dot, _)| dot + 1));
            starts.take(3).find_map(|start| {
                let (part, rest) = name.split_at(start);
                let library = library_of(rest)?;
                Some((part.trim_end_matches('.').to_string(), library))
            })
        })
    }
}

/// The library whose flows have tensor names that begin like this name.
fn library_of(name: &str) -> Option<&'static str> {
    let begins = [
        ("transform.transforms.", "zuko"),
        ("transform.ode.", "zuko"),
        ("_transforms.", "nflows"),
        ("_transform.", "nflows"),
        ("flows.", "normflows"),
        ("bijection.", "FlowJAX"),
    ];
    begins.into_iter().find(|(start, _)| name.starts_with(start)).map(|(_, library)| library)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let floats = [1.5f32, -2.0, 0.25, 8.0].map(f32::to_le_bytes).concat();
        let halves = [f16::from_f32(0.5), f16::from_f32(-3.0)].map(f16::to_le_bytes).concat();
        let ints = [2i64, 0, 1].map(i64::to_le_bytes).concat();
        let views = [
            ("a", TensorView::new(Dtype::F32, vec![2, 2], &floats).unwrap()),
            ("b", TensorView::new(Dtype::F16, vec![2], &halves).unwrap()),
            ("c", TensorView::new(Dtype::I64, vec![3], &ints).unwrap()),
            ("d", TensorView::new(Dtype::BOOL, vec![], &[1]).unwrap()),
        ];
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn every_kind_of_number_is_read() {
        let dict = StateDict::from_bytes(&file()).unwrap();
        assert_eq!(dict.get("a").unwrap(), &HostTensor::floats([1.5, -2.0, 0.25, 8.0], [2, 2]));
        assert_eq!(dict.get("b").unwrap(), &HostTensor::floats([0.5, -3.0], [2]));
        assert_eq!(dict.get("c").unwrap(), &HostTensor::ints([2, 0, 1], [3]));
        assert_eq!(dict.get("d").unwrap(), &HostTensor::bools([true], []));
    }

    #[test]
    fn no_damaged_file_panics() {
        let whole = file();
        for length in 0..whole.len() {
            let truncated = StateDict::from_bytes(&whole[..length]);
            assert!(matches!(truncated, Err(Error::Format { .. })), "{length} bytes were accepted");
        }
        // A changed byte may give a valid file with other numbers; reading it must not panic.
        let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        for at in 0..header {
            for flip in [0x01, 0x10, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                drop(StateDict::from_bytes(&damaged));
            }
        }
    }

    #[test]
    fn a_header_that_lies_about_lengths_is_an_error() {
        for shape in ["[3]", "[18446744073709551615,2]", "[-1]"] {
            let header =
                format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,4]}}}}"#);
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend([0; 4]);
            let read = StateDict::from_bytes(&bytes);
            assert!(matches!(read, Err(Error::Format { .. })), "{shape}: {read:?}");
        }
        let mut huge = u64::MAX.to_le_bytes().to_vec();
        huge.extend(b"{}");
        assert!(matches!(StateDict::from_bytes(&huge), Err(Error::Format { .. })));
    }

    #[test]
    fn a_missing_tensor_is_named_with_what_is_there() {
        let error = StateDict::from_bytes(&file()).unwrap().get_shaped("e", &[4]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tensor `e` of shape [4] is missing; the file holds a, b, c, d"
        );
    }
}
