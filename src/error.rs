//! The error type of the crate: the cause, its place and a remedy.

use std::path::{Path, PathBuf};

/// All errors outside tensor calls.
///
/// A wrong shape in a tensor call is a bug of the caller and panics, as in burn. Invalid configurations, files, data
/// sets and training runs return this error.
///
/// ```
/// use burn_flows::{Error, model::RealNvpConfig};
///
/// let error = RealNvpConfig::new(4).with_layers(0).validate().unwrap_err();
/// assert!(matches!(error, Error::Config { field: "layers", .. }));
/// assert_eq!(error.to_string(), "RealNvpConfig.layers: must be at least 1, found 0");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An invalid configuration.
    #[error("{config}.{field}: {reason}")]
    Config {
        /// The configuration's type.
        config: &'static str,
        /// The name of the invalid field.
        field: &'static str,
        /// The reason, with the value found.
        reason: String,
    },
    /// Data that no flow can learn from.
    #[error("{what}: {reason}")]
    Data {
        /// The data set that is invalid.
        what: String,
        /// The reason, with the row or column if there is one.
        reason: String,
    },
    /// A file that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file of a wrong format: truncated, changed, or of another kind.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A tensor that is missing in a file.
    #[error("tensor `{name}`{} is missing; the file holds {found}", of_shape(expected))]
    MissingTensor {
        /// The tensor's path in the model, or its name in the foreign library.
        name: String,
        /// The shape that the model needs; empty if only the file determines the shape.
        expected: Vec<usize>,
        /// The tensors of the file that belong to no part of the model, abbreviated.
        found: String,
    },
    /// A tensor whose shape differs from the model's.
    #[error("tensor `{name}`: the model needs shape {expected:?}, the file has {found:?}")]
    ShapeMismatch {
        /// The tensor's path in the model, or its name in the foreign library.
        name: String,
        /// The shape the model needs.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor whose kind or content cannot be used.
    #[error("tensor `{name}`: {reason}")]
    Tensor {
        /// The tensor's path in the model, or its name in the foreign library.
        name: String,
        /// The reason.
        reason: String,
    },
    /// A tensor in a file that the model has no place for.
    #[error("tensor `{name}` of shape {found:?} belongs to no part of the model")]
    UnusedTensor {
        /// The tensor's name in the file.
        name: String,
        /// The shape of the tensor.
        found: Vec<usize>,
    },
    /// A setting of a model that differs in the file.
    #[error(
        "{}: setting `{setting}` is {expected} in the model and {found} in the file; build the \
         model with the file's setting, or read the file with `store::open`",
        at(layer, module)
    )]
    Setting {
        /// The path of the layer in the model; empty for the model itself.
        layer: String,
        /// The type of the layer.
        module: String,
        /// The path of the setting in the layer; `type` if the type of the layer differs.
        setting: String,
        /// The setting of the model.
        expected: String,
        /// The setting in the file.
        found: String,
    },
    /// Training met non-finite losses or gradients too often and stopped at the last good weights.
    #[error(
        "training stopped at step {step}: {}; first non-finite: {layer}",
        not_finite(*skipped)
    )]
    NonFinite {
        /// The optimizer step.
        step: usize,
        /// The number of consecutive skipped steps; 0 if the weights are not finite after the last step.
        skipped: usize,
        /// The layer or parameter with the first non-finite value.
        layer: String,
    },
}

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why training stopped.
fn not_finite(skipped: usize) -> String {
    match skipped {
        0 => "the weights are not finite".to_string(),
        _ => format!("{skipped} consecutive steps had a non-finite loss or gradient"),
    }
}

/// The shape of a missing tensor, if it is known.
fn of_shape(shape: &[usize]) -> String {
    if shape.is_empty() { String::new() } else { format!(" of shape {shape:?}") }
}

/// Names a layer by its path and type.
fn at(layer: &str, module: &str) -> String {
    if layer.is_empty() { module.to_string() } else { format!("layer `{layer}` ({module})") }
}

impl Error {
    pub(crate) fn config(config: &'static str, field: &'static str, reason: String) -> Self {
        Self::Config { config, field, reason }
    }

    /// The same configuration error, under the name of the type that the caller used.
    pub(crate) fn of(self, config: &'static str) -> Self {
        match self {
            Self::Config { field, reason, .. } => Self::Config { config, field, reason },
            other => other,
        }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format { path: path.to_path_buf(), reason: reason.into() }
    }

    /// An error about data, for data loaders outside this crate.
    pub fn data(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Data { what: what.into(), reason: reason.into() }
    }
}

/// Returns an error that names the field, unless `value >= least`.
pub(crate) fn at_least(
    config: &'static str,
    field: &'static str,
    least: usize,
    value: usize,
) -> Result<()> {
    if value >= least {
        return Ok(());
    }
    Err(Error::config(config, field, format!("must be at least {least}, found {value}")))
}

/// The largest count in a configuration. A larger count is a typing error or a hostile file. Two counts up to this
/// limit multiply without overflow.
const MOST: usize = 1 << 24;

/// The largest number of things that are built or run one after the other: layers, blocks, steps.
const MOST_REPEATS: usize = 10_000;

/// Elements of the largest tensor that a configuration may ask for: 8 GiB in f32.
const MOST_ELEMENTS: usize = 1 << 31;

/// Returns an error that names the field, unless `value` is at least `least` and at most [`MOST`].
pub(crate) fn count(
    config: &'static str,
    field: &'static str,
    least: usize,
    value: usize,
) -> Result<()> {
    at_least(config, field, least, value)?;
    at_most(config, field, MOST, value)
}

/// [`count`] for repeated things, at most [`MOST_REPEATS`].
pub(crate) fn repeats(
    config: &'static str,
    field: &'static str,
    least: usize,
    value: usize,
) -> Result<()> {
    at_least(config, field, least, value)?;
    at_most(config, field, MOST_REPEATS, value)
}

fn at_most(config: &'static str, field: &'static str, most: usize, value: usize) -> Result<()> {
    if value <= most {
        return Ok(());
    }
    Err(Error::config(config, field, format!("must be at most {most}, found {value}")))
}

/// Returns an error that names the field, if a tensor of these axes has too many elements. Without this check, a
/// process with too little memory is aborted without an error.
pub(crate) fn fits(config: &'static str, field: &'static str, axes: &[usize]) -> Result<()> {
    let elements = axes.iter().try_fold(1, |all: usize, axis| all.checked_mul(*axis));
    if elements.is_some_and(|elements| elements <= MOST_ELEMENTS) {
        return Ok(());
    }
    let reason = format!("needs a tensor of shape {axes:?}; the limit is {MOST_ELEMENTS} elements");
    Err(Error::config(config, field, reason))
}

/// [`fits`] for the weights of dense layers from each width to the next.
pub(crate) fn chain(config: &'static str, field: &'static str, widths: &[usize]) -> Result<()> {
    widths.windows(2).try_for_each(|ends| fits(config, field, ends))
}

/// Returns an error unless a scale or a length is positive and in a range whose powers f32 can represent.
pub(crate) fn length(config: &'static str, field: &'static str, value: f64) -> Result<()> {
    let range = if !(value > 0.0 && value.is_finite()) {
        "positive and finite"
    } else if !(1e-6..=1e6).contains(&value) {
        "between 1e-6 and 1e6"
    } else {
        return Ok(());
    };
    Err(Error::config(config, field, format!("must be {range}, found {value}")))
}

/// Returns an error that names the field, unless a number is at least 0 and finite.
pub(crate) fn not_negative(config: &'static str, field: &'static str, value: f64) -> Result<()> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::config(config, field, format!("must be at least 0 and finite, found {value}")))
}

/// Returns an error unless a minimal size or slope is large enough that f32 distinguishes it from 0.
pub(crate) fn least(config: &'static str, field: &'static str, value: f64) -> Result<()> {
    if value >= 1e-6 {
        return Ok(());
    }
    let reason = format!("must be at least 1e-6 (smaller values vanish in f32), found {value:e}");
    Err(Error::config(config, field, reason))
}

/// Unwraps a validated configuration. The panic carries the text of the error.
#[track_caller]
pub(crate) fn expect_valid(result: Result<()>) {
    if let Err(error) = result {
        panic!("{error}");
    }
}
