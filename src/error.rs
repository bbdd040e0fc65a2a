//! The one error type: what was wrong, where, and what to do.

use std::path::{Path, PathBuf};

/// Everything that can go wrong outside a tensor call.
///
/// Wrong shapes in a tensor call are a bug of the caller and panic, as in burn. Configurations,
/// files, data sets and training belong to the world and end here.
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
    /// A configuration that no flow can have.
    #[error("{config}.{field}: {reason}")]
    Config {
        /// The configuration's type.
        config: &'static str,
        /// The field that is wrong.
        field: &'static str,
        /// Why, with the value found.
        reason: String,
    },
    /// Data that no flow can learn from.
    #[error("{what}: {reason}")]
    Data {
        /// Which data.
        what: String,
        /// Why, with the row or column where it applies.
        reason: String,
    },
    /// A file that could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is not what it should be: truncated, changed, or of another kind.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor that is missing in a file.
    #[error("tensor `{name}` of shape {expected:?} is missing; the file holds {found}")]
    MissingTensor {
        /// The tensor's path in the model, or its name in the foreign library.
        name: String,
        /// The shape the model needs; empty where the file alone decides it.
        expected: Vec<usize>,
        /// What is there instead, shortened.
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
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor in a file that the model has no place for.
    #[error("tensor `{name}` of shape {found:?} belongs to no part of the model")]
    UnusedTensor {
        /// The tensor's name in the file.
        name: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A setting of a model that is another one in the file.
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
        /// The path of the setting in the layer; `type` where the layer is of another type.
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
        /// How many steps in a row were skipped; 0 where the weights are not finite after the last step.
        skipped: usize,
        /// The layer or parameter where the first non-finite value stands.
        layer: String,
    },
}

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What stopped a training.
fn not_finite(skipped: usize) -> String {
    match skipped {
        0 => "the weights were not finite".to_string(),
        _ => format!("{skipped} steps in a row were not finite"),
    }
}

/// A layer by its path and type.
fn at(layer: &str, module: &str) -> String {
    if layer.is_empty() { module.to_string() } else { format!("layer `{layer}` ({module})") }
}

impl Error {
    pub(crate) fn config(config: &'static str, field: &'static str, reason: String) -> Self {
        Self::Config { config, field, reason }
    }

    /// The same error of a configuration, under the name of the type that the caller wrote.
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

    /// An error about data, for loaders outside this crate that want to speak its language.
    pub fn data(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Data { what: what.into(), reason: reason.into() }
    }
}

/// `Err` naming the field unless `value >= least`.
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

/// The most of anything that a configuration counts. More is a slip of a finger or a hostile file,
/// and up to here two counts multiply without overflow.
const MOST: usize = 1 << 24;

/// The most of what is built or done one after the other: layers, blocks, steps.
const MOST_REPEATS: usize = 10_000;

/// Elements of the largest tensor that a configuration may ask for: 8 GiB in f32.
const MOST_ELEMENTS: usize = 1 << 31;

/// `Err` naming the field unless `value >= least` and it is a size that things have.
pub(crate) fn count(
    config: &'static str,
    field: &'static str,
    least: usize,
    value: usize,
) -> Result<()> {
    at_least(config, field, least, value)?;
    at_most(config, field, MOST, value)
}

/// [`count`] of what is repeated.
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

/// `Err` naming the field unless a tensor of these axes may be asked for. Without it, a process that
/// has too little memory is aborted, not told.
pub(crate) fn fits(config: &'static str, field: &'static str, axes: &[usize]) -> Result<()> {
    let elements = axes.iter().try_fold(1, |all: usize, axis| all.checked_mul(*axis));
    if elements.is_some_and(|elements| elements <= MOST_ELEMENTS) {
        return Ok(());
    }
    let reason =
        format!("asks for a tensor of shape {axes:?}, of more than {MOST_ELEMENTS} elements");
    Err(Error::config(config, field, reason))
}

/// [`fits`] for the weights of dense layers from each width to the next.
pub(crate) fn chain(config: &'static str, field: &'static str, widths: &[usize]) -> Result<()> {
    widths.windows(2).try_for_each(|ends| fits(config, field, ends))
}

/// `Err` unless a scale or a length is positive, and one whose powers f32 still holds.
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

/// `Err` naming the field unless a number is at least 0 and finite.
pub(crate) fn not_negative(config: &'static str, field: &'static str, value: f64) -> Result<()> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::config(config, field, format!("must be at least 0 and finite, found {value}")))
}

/// `Err` unless a least size or slope is one that f32 tells from nothing.
pub(crate) fn least(config: &'static str, field: &'static str, value: f64) -> Result<()> {
    if value >= 1e-6 {
        return Ok(());
    }
    let reason = format!("must be at least 1e-6, found {value:e}: f32 does not tell less from 0");
    Err(Error::config(config, field, reason))
}

/// Unwraps a validated configuration; the panic carries the text of the error.
#[track_caller]
pub(crate) fn expect_valid(result: Result<()>) {
    if let Err(error) = result {
        panic!("{error}");
    }
}
