//! Warnings about data and training.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A property of the data or of the training that makes its result doubtful, from [`FitData::warnings`](super::FitData::warnings)
/// and [`Report::warnings`](super::Report::warnings).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{Noise, train::{FitData, WarningKind}};
///
/// let pixels = (Noise::seeded(1).uniform::<2>([500, 3], &Device::flex()) * 17.0).floor();
/// let warnings = FitData::new(pixels).warnings();
/// assert_eq!((warnings[0].kind, &warnings[0].columns[..]), (WarningKind::Ties, &[0, 1, 2][..]));
/// assert!(warnings[0].to_string().contains("with_dequantization"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Warning {
    /// The property.
    pub kind: WarningKind,
    /// The part of the data with this property: `training data` or `validation data`, or their context.
    pub what: String,
    /// The columns with this property, numbered through all elements of an event from 0.
    pub columns: Vec<usize>,
    /// The reason, for the first of the columns, and a remedy.
    pub reason: String,
}

/// The kind of a [`Warning`]. Of the first three kinds, the first one that applies to a column is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WarningKind {
    /// One value occurs in at least 5 % of the rows, and in at least 10 rows.
    Ties,
    /// All values are integers, and at least one in ten repeats an earlier value.
    Integers,
    /// There are at most 256 different values, with at least 10 rows per value on average.
    FewValues,
    /// A value is more than 100 interquartile ranges from the median of its column, in the rows or in their context.
    Outliers,
    /// A step was skipped because the loss of a row is not finite. Only [`Report::warnings`](super::Report::warnings)
    /// has this kind.
    NotFinite,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}

impl Warning {
    /// The warning with the number of further columns, and with a remedy.
    pub(super) fn counted(mut self, remedy: &str) -> Self {
        let more = self.columns.len() - 1;
        if more > 0 {
            self.reason += &format!(" ({more} more such columns)");
        }
        self.reason += "; ";
        self.reason += remedy;
        self
    }
}
