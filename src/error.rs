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
    /// Training met non-finite losses or gradients too often and stopped at the last good weights.
    #[error(
        "training stopped at step {step}: {skipped} steps in a row were not finite; first non-finite: {layer}"
    )]
    NonFinite {
        /// The optimizer step.
        step: usize,
        /// How many steps in a row were skipped.
        skipped: usize,
        /// The layer or parameter where the first non-finite value stands.
        layer: String,
    },
}

/// `Result` with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn config(config: &'static str, field: &'static str, reason: String) -> Self {
        Self::Config { config, field, reason }
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

/// Unwraps a validated configuration; the panic carries the text of the error.
#[track_caller]
pub(crate) fn expect_valid(result: Result<()>) {
    if let Err(error) = result {
        panic!("{error}");
    }
}
