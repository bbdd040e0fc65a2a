//! Uniform dequantization of chosen columns, each with its own number of levels.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::dequantize::check_levels;
use super::{Batch, Dequantize};
use crate::error::{Error, Result, count};
use crate::noise::Noise;

/// Spreads the integers of chosen columns over `[0, 1)` by uniform noise, as [`Dequantize`]. Other columns are copied.
///
/// ```text
/// v_i = (x_i + u_i) / levels_i,  u_i uniform on [0, 1)        i a chosen column
/// log p(x) >= E log p(v) - sum_i ln levels_i                  a probability of the integers, a density of the others
/// ```
///
/// The columns are ordered integers, such as counts and grades: neighbouring integers become neighbouring intervals.
/// Use a [`CategoricalMade`](crate::distribution::CategoricalMade) for categories without an order.
///
/// Columns are numbered through all elements of an event, from 0. Paper: Theis, van den Oord, Bethge (2016), A note on
/// the evaluation of generative models, section 3.1, arXiv:1511.01844.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{Noise, train::DequantizeColumns};
///
/// // Column 1 holds the integers 0 to 4.
/// let dequantize = DequantizeColumns::new(vec![(1, 5)])?;
/// let x = Tensor::<2>::from_data([[-0.5, 4.0], [2.5, 0.0]], &Device::flex());
/// let v = dequantize.apply(x.clone(), &mut Noise::seeded(1));
/// assert_eq!(dequantize.restore(v).into_data(), x.into_data());
/// assert_eq!(dequantize.log_volume(), 5f64.ln());
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct DequantizeColumns {
    columns: Vec<(usize, Dequantize)>,
}

/// The fields of a file, not yet validated.
#[derive(Deserialize)]
struct Fields {
    columns: Vec<(usize, Dequantize)>,
}

impl TryFrom<Fields> for DequantizeColumns {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        Self::new(
            fields.columns.into_iter().map(|(column, each)| (column, each.levels())).collect(),
        )
    }
}

impl DequantizeColumns {
    /// Dequantization of these columns: pairs of a column and the number of its levels. Column `i` of `(i, levels)`
    /// holds the integers `0..levels`.
    ///
    /// # Errors
    ///
    /// If there is no column, a column is listed twice, or [`Dequantize::new`] fails for a number of levels.
    pub fn new(columns: Vec<(usize, usize)>) -> Result<Self> {
        count("DequantizeColumns", "columns", 1, columns.len())?;
        let mut all: Vec<(usize, Dequantize)> = vec![];
        for (column, levels) in columns {
            if all.iter().any(|(other, _)| *other == column) {
                let reason = format!("must list each column once, found column {column} twice");
                return Err(Error::config("DequantizeColumns", "columns", reason));
            }
            let each = Dequantize::new(levels).map_err(|error| error.of("DequantizeColumns"))?;
            all.push((column, each));
        }
        all.sort_by_key(|(column, _)| *column);
        Ok(Self { columns: all })
    }

    /// The number of levels of a column, `None` for a column that is copied.
    pub fn levels(&self, column: usize) -> Option<usize> {
        let found = self.columns.binary_search_by_key(&column, |(column, _)| *column).ok()?;
        Some(self.columns[found].1.levels())
    }

    /// The sum of `ln levels` of the chosen columns. The mean negative log-likelihood of the integers and the other
    /// columns together is at most that of the dequantized rows plus this number.
    pub fn log_volume(&self) -> f64 {
        self.columns.iter().map(|(_, each)| (each.levels() as f64).ln()).sum()
    }

    /// Checks that every chosen column exists and holds integers below its number of levels.
    ///
    /// # Errors
    ///
    /// The error names the column that does not exist, or the row, the column and the value of the first element that
    /// is no such integer.
    pub fn check<const D: usize>(&self, x: &Tensor<D>) -> Result<()> {
        self.check_event(x.dims()[1..].iter().product())?;
        check_levels(&Batch::from(x), |column| self.levels(column))
    }

    /// Returns an error unless every column exists in an event of this many elements.
    pub(super) fn check_event(&self, elements: usize) -> Result<()> {
        match self.columns.last() {
            Some((column, _)) if *column >= elements => {
                let reason = format!(
                    "column {column} is to be dequantized, but an event has {elements} columns"
                );
                Err(Error::data("integer data", reason))
            }
            _ => Ok(()),
        }
    }

    /// Returns the rows with fresh noise in the chosen columns.
    ///
    /// # Panics
    ///
    /// If a chosen column does not exist.
    pub fn apply<const D: usize>(&self, x: Tensor<D>, noise: &mut Noise) -> Tensor<D> {
        self.each(x, |each, column| each.apply(column, noise))
    }

    /// Returns dequantized rows, such as samples of a flow, with integers in the chosen columns.
    ///
    /// # Panics
    ///
    /// If a chosen column does not exist.
    pub fn restore<const D: usize>(&self, v: Tensor<D>) -> Tensor<D> {
        self.each(v, |each, column| {
            let levels = each.levels() as f64;
            (column * levels).floor().clamp(0.0, levels - 1.0)
        })
    }

    /// The rows with a function of each chosen column in its place.
    fn each<const D: usize>(
        &self,
        x: Tensor<D>,
        mut map: impl FnMut(&Dequantize, Tensor<2>) -> Tensor<2>,
    ) -> Tensor<D> {
        let dims = x.dims();
        let shape = [dims[0], dims[1..].iter().product()];
        let expect = self.check_event(shape[1]);
        expect.unwrap_or_else(|error| panic!("{error}"));
        if dims[0] == 0 {
            return x;
        }
        let rows = self.columns.iter().fold(x.reshape(shape), |rows, (column, each)| {
            let new = map(each, rows.clone().narrow(1, *column, 1));
            rows.slice_assign([0..shape[0], *column..column + 1], new)
        });
        rows.reshape(dims)
    }
}

/// The dequantization of training data: of all elements, or of chosen columns. [`Dequantize`] and [`DequantizeColumns`]
/// convert by `into()`.
///
/// ```
/// use burn_flows::train::{Dequantization, Dequantize};
///
/// assert_eq!(Dequantization::from(Dequantize::new(17)?).levels(3), Some(17));
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dequantization {
    /// Every element of an event.
    Every(Dequantize),
    /// Chosen columns.
    Columns(DequantizeColumns),
}

impl From<Dequantize> for Dequantization {
    fn from(every: Dequantize) -> Self {
        Self::Every(every)
    }
}

impl From<DequantizeColumns> for Dequantization {
    fn from(columns: DequantizeColumns) -> Self {
        Self::Columns(columns)
    }
}

impl Dequantization {
    /// The number of levels of a column, `None` for a column that is copied.
    pub fn levels(&self, column: usize) -> Option<usize> {
        match self {
            Self::Every(every) => Some(every.levels()),
            Self::Columns(columns) => columns.levels(column),
        }
    }

    /// Returns the rows with fresh noise.
    pub(super) fn apply<const D: usize>(&self, x: Tensor<D>, noise: &mut Noise) -> Tensor<D> {
        match self {
            Self::Every(every) => every.apply(x, noise),
            Self::Columns(columns) => columns.apply(x, noise),
        }
    }

    /// Returns an error unless every column exists in an event of this many elements.
    pub(super) fn check_event(&self, elements: usize) -> Result<()> {
        match self {
            Self::Every(_) => Ok(()),
            Self::Columns(columns) => columns.check_event(elements),
        }
    }

    /// The levels, for the fingerprint of a run.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Every(every) => every.levels().to_string(),
            Self::Columns(DequantizeColumns { columns }) => {
                let pairs: Vec<_> = columns.iter().map(|(at, each)| (*at, each.levels())).collect();
                format!("{pairs:?}")
            }
        }
    }
}
