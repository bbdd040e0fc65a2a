//! Training data: rows, validation rows and integer levels.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataloader::{DataLoader, DataLoaderBuilder};
use burn::data::dataset::Dataset;
use burn::data::dataset::DatasetError;
use burn::tensor::{DType, Device, Tensor};

use super::dequantize::check_levels;
use super::scale::place;
use super::{Batch, Dequantization, Warning, ties};
use crate::error::{Error, Result};
use crate::noise::Noise;

/// Training data for [`fit`](super::fit). A tensor of rows, a pair of rows and context, and a [`Batch`] convert by
/// `into()`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::train::{Dequantize, FitData};
///
/// let device = Device::flex();
/// let images = Tensor::<2>::from_data([[0.0, 16.0], [3.0, 4.0]], &device);
/// let labels = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 1.0]], &device);
/// let data = FitData::new(images).with_context(labels).with_dequantization(Dequantize::new(17)?);
/// assert!(data.check().is_ok());
/// let broken = FitData::new(Tensor::<2>::from_data([[1.0, f32::NAN], [0.0, 1.0]], &device));
/// let error = broken.check().unwrap_err();
/// assert_eq!(error.to_string(), "training data: row 0, column 1 holds NaN; remove or impute it");
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FitData<const D: usize> {
    pub(crate) train: Batch<D>,
    pub(crate) validation: Option<Batch<D>>,
    pub(crate) dequantize: Option<Dequantization>,
    /// Whether the validation rows were split off the training rows.
    pub(crate) held_out: bool,
}

impl<B: Into<Batch<D>>, const D: usize> From<B> for FitData<D> {
    fn from(rows: B) -> Self {
        Self::new(rows)
    }
}

impl<const D: usize> FitData<D> {
    /// Training data from rows `[n, event..]`, a pair of rows and context, or a [`Batch`]. A context must have a row for
    /// each row of data.
    pub fn new(rows: impl Into<Batch<D>>) -> Self {
        let train = rows.into().plain();
        Self { train, validation: None, dequantize: None, held_out: false }
    }

    /// Adds a row of context for every row of data.
    ///
    /// Networks whose last layer starts at zero accept a context of any scale: from the first batch on, they bring
    /// every column of the context near mean 0 and deviation 1. Other layers use the context unchanged, so standardise
    /// it for them: [`Residual`](crate::bijector::Residual),
    /// [`BlockNeuralAutoregressive`](crate::bijector::BlockNeuralAutoregressive), [`Cnf`](crate::bijector::Cnf),
    /// networks whose last layer does not start at zero, and networks inside an [`Inverse`](crate::bijector::Inverse),
    /// as in [`Iaf`](crate::model::Iaf).
    pub fn with_context(mut self, context: Tensor<2>) -> Self {
        self.train.context = Some(context.without_autodiff());
        self
    }

    /// Adds a weight for every row: see [`Batch`]. The loss of a step is `sum(w_i nll_i) / (n mean(w))` over the `n`
    /// rows of a batch, with the mean of all training weights. Data-dependent layers are initialised from rows that are
    /// repeated as their weights ask. Validation rows that are split off keep their weights; `validation_fraction` is a
    /// share of the rows, not of the weights. Layers that mix rows in training ([`BatchNorm`](crate::bijector::BatchNorm)) use
    /// batch statistics without weights.
    ///
    /// # Errors
    ///
    /// The errors of [`Batch::with_weights`].
    pub fn with_weights(self, weights: Tensor<1>) -> Result<Self> {
        Ok(Self { train: self.train.with_weights(weights)?, ..self })
    }

    /// Sets validation rows, which are used unchanged; their weights apply to the validation NLL. If [`fit`](super::fit) dequantizes the training rows, the
    /// validation rows must already be dequantized. Without this call [`fit`](super::fit) splits validation rows off
    /// the training rows.
    pub fn with_validation(mut self, rows: impl Into<Batch<D>>) -> Self {
        self.validation = Some(rows.into().plain());
        self
    }

    /// Declares that the training rows hold integers, which are dequantized anew in every epoch: in every column for a
    /// [`Dequantize`](super::Dequantize), in chosen columns for a [`DequantizeColumns`](super::DequantizeColumns).
    pub fn with_dequantization(mut self, dequantize: impl Into<Dequantization>) -> Self {
        self.dequantize = Some(dequantize.into());
        self
    }

    /// Checks that a density can be learned from the rows.
    ///
    /// # Errors
    ///
    /// If there are fewer than two rows, a value is not finite, a column is constant (its density is infinite),
    /// integers that are to be dequantized are outside their levels, or a context has a number of rows that differs from
    /// the number of rows of data. Also if the validation rows differ from the training rows in shape, precision or
    /// context.
    pub fn check(&self) -> Result<()> {
        self.check_for(&vec![None; self.elements()])
    }

    /// Properties of the data that make a likelihood misleading: columns with ties, columns of integers that are not
    /// dequantized, and columns of few different values. The training rows are examined, and validation rows of your
    /// own. [`fit`](super::fit) reports the warnings ([`Report::warnings`](super::Report::warnings)) and shows them
    /// with its progress. With [`FitConfig::strict`](super::FitConfig::strict) the first warning is an error.
    ///
    /// In a larger data set, about 10,000 rows are examined.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::{Noise, train::FitData};
    ///
    /// let x = Noise::seeded(1).normal::<2>([200, 2], &Device::flex());
    /// assert!(FitData::new(x.clone()).warnings().is_empty());
    /// let warnings = FitData::new(x.clamp_min(0.0)).warnings(); // half of all values are 0
    /// assert!(warnings[0].to_string().starts_with("training data: column 0 holds 0 in "));
    /// ```
    pub fn warnings(&self) -> Vec<Warning> {
        self.warnings_for(&vec![None; self.elements()])
    }

    /// [`warnings`](Self::warnings) for a model with these levels of its columns. Integers of the model cause none.
    pub(crate) fn warnings_for(&self, levels: &[Option<usize>]) -> Vec<Warning> {
        let train = ties::warnings("training data", &self.train.counted().x, |column| {
            levels[column].or(self.dequantized(column)).is_some()
        });
        let validation = self.validation.iter().flat_map(|rows| {
            ties::warnings("validation data", &rows.counted().x, |column| levels[column].is_some())
        });
        train.into_iter().chain(validation).collect()
    }

    /// The number of elements of an event.
    pub(crate) fn elements(&self) -> usize {
        self.train.x.dims()[1..].iter().product()
    }

    /// The levels of a column that is dequantized.
    fn dequantized(&self, column: usize) -> Option<usize> {
        self.dequantize.as_ref().and_then(|dequantize| dequantize.levels(column))
    }

    /// [`check`](Self::check) for a model. `levels` holds the number of levels of each column that is an integer to the
    /// model, and `None` for real numbers.
    pub(crate) fn check_for(&self, levels: &[Option<usize>]) -> Result<()> {
        check_context("training data", &self.train)?;
        let train = self.train.counted();
        check_rows("training data", &train, 2)?;
        if let Some(rows) = &self.validation {
            check_context("validation data", rows)?;
            check_rows("validation data", &rows.counted(), 1)?;
            check_like(&self.train, rows)?;
        }
        if let Some(dequantize) = &self.dequantize {
            dequantize.check_event(levels.len())?;
        }
        let twice = |column: &usize| levels[*column].and(self.dequantized(*column)).is_some();
        if let Some(column) = (0..levels.len()).find(twice) {
            let reason = match levels.iter().all(Option::is_some) {
                true => "the model takes integers; remove with_dequantization".to_string(),
                false => format!(
                    "the model takes integers in {}; dequantize other columns only",
                    place(column, &train.x.dims()[1..])
                ),
            };
            return Err(Error::data("integer data", reason));
        }
        let integers = |column: usize| levels[column].or(self.dequantized(column));
        check_levels(&train, integers)?;
        if let Some(rows) = &self.validation {
            check_levels(&rows.counted(), |column| levels[column])?;
        }
        check_columns(&train.x, |column| integers(column).is_some())
    }

    /// Checks that all data have the precision of the model, if the model has one.
    ///
    /// # Errors
    ///
    /// The error names the rows or the context of another precision.
    pub(crate) fn check_precision(&self, expected: Option<DType>) -> Result<()> {
        let Some(expected) = expected else { return Ok(()) };
        let sets =
            [("training data", Some(&self.train)), ("validation data", self.validation.as_ref())];
        for (what, rows) in sets {
            let Some(rows) = rows else { continue };
            let context = rows.context.as_ref().map(Tensor::dtype);
            let found = [
                (what.to_string(), Some(rows.x.dtype())),
                (format!("context of the {what}"), context),
            ];
            for (what, found) in found {
                if let Some(found) = found.filter(|found| *found != expected) {
                    let reason = format!(
                        "holds {found:?}, but the model computes in {expected:?}; cast the data or \
                         the model"
                    );
                    return Err(Error::data(what, reason));
                }
            }
        }
        Ok(())
    }

    /// Splits validation rows off, if there are none: the last rows of a seeded order. Integers are dequantized once,
    /// so that every epoch is validated on the same numbers.
    pub(crate) fn split(mut self, fraction: f64, seed: u64) -> Self {
        let rows = self.train.x.dims()[0];
        let held = (rows as f64 * fraction).round() as usize;
        if self.validation.is_some() || held == 0 || held + 2 > rows {
            return self;
        }
        let order = Noise::stream(seed, SPLIT).permutation(rows);
        let mut validation = self.train.select(&order[rows - held..]);
        if let Some(dequantize) = &self.dequantize {
            validation.x = dequantize.apply(validation.x, &mut Noise::stream(seed, SPLIT + 1));
        }
        self.train = self.train.select(&order[..rows - held]);
        self.validation = Some(validation);
        self.held_out = true;
        self
    }

    /// The data without the rows of weight 0.
    pub(crate) fn counted(self) -> Self {
        Self {
            train: self.train.counted().into_owned(),
            validation: self.validation.map(|rows| rows.counted().into_owned()),
            ..self
        }
    }

    /// Shuffled training batches of one epoch on burn's data loader. Integer rows are dequantized. The seed decides the
    /// order and the dequantization.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::train::FitData;
    ///
    /// let device = Device::flex();
    /// let data = FitData::new(Tensor::<2>::ones([5, 3], &device));
    /// let sizes: Vec<usize> =
    ///     data.batches(2, 1, &device).iter().map(|b| b.unwrap().x.dims()[0]).collect();
    /// assert_eq!(sizes, [2, 2, 1]);
    /// ```
    pub fn batches(
        &self,
        size: usize,
        seed: u64,
        device: &Device,
    ) -> Arc<dyn DataLoader<Batch<D>>> {
        let take = TakeRows {
            rows: self.train.clone(),
            dequantize: self.dequantize.clone(),
            seed,
            drawn: AtomicU64::new(0),
        };
        DataLoaderBuilder::new(take)
            .batch_size(size.clamp(1, self.train.len().max(1)))
            .shuffle(seed)
            .set_device(device.clone().without_autodiff())
            .build(RowNumbers(self.train.len()))
    }
}

/// The stream of a seed that decides the split. Training batches use the streams from 0 on.
const SPLIT: u64 = u64::MAX - 1;

/// A data set of row numbers.
struct RowNumbers(usize);

impl Dataset<usize> for RowNumbers {
    fn get(&self, index: usize) -> Result<usize, DatasetError> {
        assert!(index < self.0, "row {index} of {} rows", self.0);
        Ok(index)
    }

    fn len(&self) -> usize {
        self.0
    }
}

/// Selects the rows of a batch from memory and dequantizes them.
struct TakeRows<const D: usize> {
    rows: Batch<D>,
    dequantize: Option<Dequantization>,
    seed: u64,
    drawn: AtomicU64,
}

impl<const D: usize> Batcher<usize, Batch<D>> for TakeRows<D> {
    fn batch(&self, rows: Vec<usize>, device: &Device) -> Batch<D> {
        let mut rows = self.rows.select(&rows);
        if let Some(dequantize) = &self.dequantize {
            let stream = self.drawn.fetch_add(1, Ordering::Relaxed);
            rows.x = dequantize.apply(rows.x, &mut Noise::stream(self.seed, stream));
        }
        let context = rows.context.map(|context| context.to_device(device));
        Batch { x: rows.x.to_device(device), context, ..rows }
    }
}

fn check_rows<const D: usize>(what: &str, rows: &Batch<D>, least: usize) -> Result<()> {
    if rows.len() < least {
        let reason = format!("needs at least {least} rows, found {}", rows.len());
        return Err(Error::data(what, reason));
    }
    check_finite(what, &rows.x, rows)?;
    let Some(context) = &rows.context else { return Ok(()) };
    check_finite(&format!("context of the {what}"), context, rows)
}

/// Returns an error unless there is a row of context, and a weight, for every row of data.
fn check_context<const D: usize>(what: &str, rows: &Batch<D>) -> Result<()> {
    if let Some(weights) = rows.weights().filter(|weights| weights.len() != rows.len()) {
        let reason = format!("has {} rows, but {} weights", rows.len(), weights.len());
        return Err(Error::data(what, reason));
    }
    match rows.context.as_ref().map(|context| context.dims()[0]) {
        Some(found) if found != rows.len() => {
            let reason = format!("has {} rows, but {found} rows of context", rows.len());
            Err(Error::data(what, reason))
        }
        _ => Ok(()),
    }
}

/// Returns an error if validation rows differ from the training rows in shape, precision or context.
fn check_like<const D: usize>(train: &Batch<D>, validation: &Batch<D>) -> Result<()> {
    let text = |rows: &Batch<D>| {
        let (event, precision) = (&rows.x.dims()[1..], rows.x.dtype());
        let context = match &rows.context {
            Some(context) => {
                format!("a context of width {} in {:?}", context.dims()[1], context.dtype())
            }
            None => "no context".to_string(),
        };
        format!("rows of shape {event:?} in {precision:?} with {context}")
    };
    if text(train) == text(validation) {
        return Ok(());
    }
    let reason = format!("has {}, but the training data has {}", text(validation), text(train));
    Err(Error::data("validation data", reason))
}

fn check_finite<const E: usize, const D: usize>(
    what: &str,
    x: &Tensor<E>,
    rows: &Batch<D>,
) -> Result<()> {
    let event = x.dims()[1..].iter().product::<usize>().max(1);
    match x.to_data().iter::<f64>().enumerate().find(|(_, v)| !v.is_finite()) {
        None => Ok(()),
        Some((at, value)) => {
            let (row, place) = (rows.number(at / event), place(at % event, &x.dims()[1..]));
            let reason = format!("row {row}, {place} holds {value}; remove or impute it");
            Err(Error::data(what, reason))
        }
    }
}

/// Returns an error if a column of real numbers is constant.
fn check_columns<const D: usize>(x: &Tensor<D>, integers: impl Fn(usize) -> bool) -> Result<()> {
    let event: usize = x.dims()[1..].iter().product();
    let values: Vec<f64> = x.to_data().iter::<f64>().collect();
    let (first, rest) = values.split_at(event.min(values.len()));
    let mut varies: Vec<bool> = (0..event).map(integers).collect();
    for row in rest.chunks(event.max(1)) {
        varies.iter_mut().zip(row.iter().zip(first)).for_each(|(v, (a, b))| *v |= a != b);
    }
    match varies.iter().position(|v| !v) {
        None => Ok(()),
        Some(column) => {
            let value = first[column];
            let reason = match x.dims()[1..] {
                [_, height, width] => format!(
                    "the pixel of channel {}, row {}, column {} is constant ({value}), its density is \
                     infinite; dequantize the images (with_dequantization), or crop them",
                    column / (height * width),
                    column / width % height,
                    column % width
                ),
                _ => format!(
                    "column {column} is constant ({value}), its density is infinite; remove the \
                     column"
                ),
            };
            Err(Error::data("training data", reason))
        }
    }
}
