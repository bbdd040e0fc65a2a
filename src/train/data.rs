//! Training data: rows, validation rows and integer levels.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use burn::data::dataloader::DataLoader;
use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::Dataset;
use burn::tensor::{DType, Device, Tensor};

use super::check::{check_columns, check_context, check_like, check_rows};
use super::dequantize::check_levels;
use super::order::Order;
use super::part::{EXAMINED, Part, examined, first_rows};
use super::scale::place;
use super::source::{Dequantized, Items, ItemsOf, Rows, Source};
use super::{Batch, Dequantization, Warning, outliers, ties};
use crate::error::{Error, Result, at_least};
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
    pub(crate) train: Part<D>,
    pub(crate) validation: Option<Part<D>>,
    pub(crate) dequantize: Option<Dequantization>,
    /// Whether the validation rows were split off the training rows.
    pub(crate) held_out: bool,
    /// A call that has no meaning for the source of the rows, for the error of [`check`](Self::check).
    misplaced: Option<&'static str>,
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
        Self::of(Part { rows: rows.into().plain(), source: Source::Memory })
    }

    fn of(train: Part<D>) -> Self {
        Self { train, validation: None, dequantize: None, held_out: false, misplaced: None }
    }

    /// Training data from a data set of burn, whose items `batcher` joins to a [`Batch`]. The items may come from disk,
    /// from a database or from a generator. The rows in memory are those of a few batches.
    ///
    /// [`fit`](super::fit) reads the items in a new random order in every epoch, which the seed decides, also after a
    /// resume. Another thread reads the next batch while a step runs. Validation rows are split off as for rows in memory.
    ///
    /// 10,000 random rows, fewer if a row and its context have more than 1600 elements, are read once and kept: see [`rows`](Self::rows).
    /// Each further batch is checked for its shape, its precision and for values that are not finite.
    ///
    /// # Errors
    ///
    /// If there is no item, an item cannot be read, or the batcher returns another number of rows than items.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::data::{dataloader::batcher::Batcher, dataset::{Dataset, DatasetError}};
    /// use burn::tensor::{Device, Tensor, TensorData};
    /// use burn_flows::{Noise, model::NiceConfig, train::{Batch, FitConfig, FitData, fit}};
    ///
    /// /// A million rows that are computed when they are read.
    /// struct Generated;
    ///
    /// impl Dataset<[f32; 2]> for Generated {
    ///     fn get(&self, index: usize) -> Result<[f32; 2], DatasetError> {
    ///         let mut noise = Noise::stream(1, index as u64);
    ///         Ok([noise.next_normal() as f32, noise.next_normal() as f32 * 2.0])
    ///     }
    ///
    ///     fn len(&self) -> usize {
    ///         1_000_000
    ///     }
    /// }
    ///
    /// struct ToRows;
    ///
    /// impl Batcher<[f32; 2], Batch<2>> for ToRows {
    ///     fn batch(&self, items: Vec<[f32; 2]>, device: &Device) -> Batch<2> {
    ///         let rows = TensorData::new(items.concat(), [items.len(), 2]);
    ///         Tensor::<2>::from_data(rows, device).into()
    ///     }
    /// }
    ///
    /// let data = FitData::from_dataset(Generated, ToRows)?;
    /// assert_eq!(data.rows().len(), 10_000); // for statistics
    /// let flow = NiceConfig::new(2).init(&Device::flex());
    /// let config = FitConfig::new().with_epochs(1).with_batch_size(100_000).with_validation_fraction(0.01);
    /// let (_, report) = fit(flow, data, &config)?;
    /// assert_eq!(report.steps, 10);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn from_dataset<I: Clone + Send + Sync + 'static>(
        dataset: impl Dataset<I> + 'static,
        batcher: impl Batcher<I, Batch<D>> + 'static,
    ) -> Result<Self> {
        let items = ItemsOf { dataset: Arc::new(dataset), batcher: Arc::new(batcher) };
        let rows = Rows::all(items.len());
        let order = Order::new(rows.len(), 0, EXAMINED);
        let device = Device::default();
        let (one, _) = first_rows(&*items.loader(&rows, Some(order.clone()), 1, &device), 1)?;
        let count = examined(&one).min(rows.len());
        let loader = items.loader(&rows, Some(order.clone()), count, &device);
        let (mut examined, _) = first_rows(&*loader, count)?;
        if examined.len() != count {
            let reason = format!("the batcher returned {} rows for {count} items", examined.len());
            return Err(Error::data("training data", reason));
        }
        examined.numbers = Some((0..count).map(|place| order.at(place)).collect());
        Ok(Self::of(Part {
            rows: examined,
            source: Source::Items { items: Arc::new(items), rows },
        }))
    }

    /// Training data from a data loader of burn. The loader decides the batches and their order, so `batch_size` and
    /// `validation_fraction` of the configuration have no effect. A loader that shuffles by a seed gives the same batches
    /// after a resume, if its order depends on the number of calls of `iter` alone, as that of burn's loader with up to one
    /// worker. Each training, and each resume, needs a loader of its own.
    ///
    /// The first 10,000 rows, fewer if a row and its context have more than 1600 elements, are read once and kept: see
    /// [`rows`](Self::rows). Each further batch is checked for its shape, its precision and for values that are not finite.
    ///
    /// # Errors
    ///
    /// If the loader returns no batch, or an item cannot be read.
    pub fn from_loader(loader: Arc<dyn DataLoader<Batch<D>>>) -> Result<Self> {
        let (rows, batch_size) = first_rows(&*loader, usize::MAX)?;
        Ok(Self::of(Part {
            rows,
            source: Source::Loader { loader, batch_size, passes: Arc::new(AtomicUsize::new(1)) },
        }))
    }

    /// No rows: the objective draws `draws` rows in every epoch, as [`ReverseKl`](super::ReverseKl) does.
    ///
    /// # Errors
    ///
    /// If `draws` is 0.
    pub fn drawn(draws: usize) -> Result<Self> {
        at_least("FitData", "draws", 1, draws)?;
        let rows = Batch::new(Tensor::zeros([0; D], &Device::default()));
        Ok(Self::of(Part { rows, source: Source::Drawn(draws) }))
    }

    /// The training rows in memory, before dequantization: all rows, or those of a data set or a loader that are kept.
    /// Checks, warnings and statistics use them, and [`Standardize::from_data`](crate::bijector::Standardize::from_data) can.
    pub fn rows(&self) -> &Batch<D> {
        &self.train.rows
    }

    /// Adds a row of context for every row of data.
    ///
    /// Networks whose last layer starts at zero accept a context of any scale: from the first batch on, they bring
    /// every column of the context near mean 0 and deviation 1. Other layers use the context unchanged, so standardise
    /// it for them: [`Residual`](crate::bijector::Residual),
    /// [`BlockNeuralAutoregressive`](crate::bijector::BlockNeuralAutoregressive), [`Cnf`](crate::bijector::Cnf),
    /// networks whose last layer does not start at zero, and networks inside an [`Inverse`](crate::bijector::Inverse),
    /// as in [`Iaf`](crate::model::Iaf).
    ///
    /// The batches of a data set or a loader bring their own context: [`check`](Self::check) refuses this call for them.
    pub fn with_context(mut self, context: Tensor<2>) -> Self {
        if !self.train.is_in_memory() {
            self.misplaced =
                Some("with_context needs rows in memory; set the context in the batcher");
            return self;
        }
        self.train.rows.context = Some(context.without_autodiff());
        self
    }

    /// Adds a weight for every row: see [`Batch`]. The loss of a step is `sum(w_i nll_i) / (n mean(w))` over the `n`
    /// rows of a batch, with the mean of all training weights; for a data set or a
    /// loader the mean of the weights in [`rows`](Self::rows). Data-dependent layers are initialised from rows repeated
    /// in proportion to their weights. Validation rows that are split off keep their weights; `validation_fraction` is a
    /// share of the rows, not of the weights. Layers that mix rows in training ([`BatchNorm`](crate::bijector::BatchNorm)) use
    /// batch statistics without weights.
    ///
    /// # Errors
    ///
    /// The errors of [`Batch::with_weights`]; also for rows of a data set or a loader, whose batches bring their own
    /// weights.
    pub fn with_weights(self, weights: Tensor<1>) -> Result<Self> {
        if !self.train.is_in_memory() {
            let reason = "with_weights needs rows in memory; set the weights in the batcher";
            return Err(Error::data("weights", reason));
        }
        let train = Part { rows: self.train.rows.with_weights(weights)?, ..self.train };
        Ok(Self { train, ..self })
    }

    /// Sets validation rows, which are used unchanged; their weights apply to the validation loss. If
    /// [`fit`](super::fit) dequantizes the training rows, the validation rows must already be dequantized. Without this
    /// call [`fit`](super::fit) splits validation rows off the training rows. Validation rows of a data set or a loader
    /// are read batch by batch, in their own order.
    pub fn with_validation(mut self, rows: impl Into<FitData<D>>) -> Self {
        let rows = rows.into();
        if rows.dequantize.is_some() {
            self.misplaced =
                Some("the validation rows are not dequantized; apply Dequantize to them");
        }
        self.misplaced = self.misplaced.or(rows.misplaced);
        self.validation = Some(rows.train);
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
        if self.train.is_drawn() {
            return vec![];
        }
        let validation = self.validation.iter().map(|part| ("validation data", part));
        let mut warnings = vec![];
        for (what, part) in std::iter::once(("training data", &self.train)).chain(validation) {
            let rows = part.rows.counted();
            let skips = |column: usize| {
                let training = what == "training data";
                levels[column].or(self.dequantized(column).filter(|_| training)).is_some()
            };
            warnings.extend(ties::warnings(what, &rows.x, skips));
            warnings.extend(outliers::warning(what, &rows.x, &rows, skips));
            let context = format!("context of the {what}");
            let far = |x| outliers::warning(&context, x, &rows, |_| false);
            warnings.extend(rows.context.as_ref().and_then(far));
        }
        warnings
    }

    /// The number of elements of an event.
    pub(crate) fn elements(&self) -> usize {
        self.train.rows.x.dims()[1..].iter().product()
    }

    /// The levels of a column that is dequantized.
    fn dequantized(&self, column: usize) -> Option<usize> {
        self.dequantize.as_ref().and_then(|dequantize| dequantize.levels(column))
    }

    /// [`check`](Self::check) for a model. `levels` holds the number of levels of each column that is an integer to the
    /// model, and `None` for real numbers.
    pub(crate) fn check_for(&self, levels: &[Option<usize>]) -> Result<()> {
        let drawn =
            "the objective draws the rows, which are not integers; remove with_dequantization";
        let dequantized = self.train.is_drawn() && self.dequantize.is_some();
        if let Some(reason) = self.misplaced.or(dequantized.then_some(drawn)) {
            return Err(Error::data("training data", reason));
        }
        if self.train.is_drawn() {
            return Ok(());
        }
        let all = &self.train.rows;
        check_context("training data", all)?;
        let train = all.counted();
        check_rows("training data", &train, 2)?;
        if let Some(Part { rows, .. }) = self.validation.as_ref().filter(|part| !part.is_drawn()) {
            check_context("validation data", rows)?;
            check_rows("validation data", &rows.counted(), 1)?;
            check_like("validation data", rows, all)?;
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
        if let Some(part) = self.validation.as_ref().filter(|part| !part.is_drawn()) {
            check_levels(&part.rows.counted(), |column| levels[column])?;
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
        for (what, part) in sets {
            let Some(Part { rows, .. }) = part.filter(|part| !part.is_drawn()) else { continue };
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

    /// Splits validation rows off, if there are none: the last rows of a seeded order. Integers in memory are
    /// dequantized once, so that every epoch is validated on the same numbers. A loader has no rows to split off.
    pub(crate) fn split(mut self, fraction: f64, seed: u64) -> Self {
        let rows = self.train.len();
        let held = (rows as f64 * fraction).round() as usize;
        if self.validation.is_some() || held == 0 || held.saturating_add(2) > rows {
            return self;
        }
        let order = Order::new(rows, seed, SPLIT);
        let places = |places: Range<usize>| places.map(|place| order.at(place)).collect::<Vec<_>>();
        let validation = match &mut self.train.source {
            Source::Memory => {
                let mut validation = self.train.rows.select(&places(rows - held..rows));
                if let Some(dequantize) = &self.dequantize {
                    let noise = &mut Noise::stream(seed, SPLIT + 1);
                    validation.x = dequantize.apply(validation.x, noise);
                }
                self.train.rows = self.train.rows.select(&places(0..rows - held));
                Part { rows: validation, source: Source::Memory }
            }
            Source::Items { items, rows: all } => {
                let [train, validation] = all.split(held, &order);
                let items = items.clone();
                *all = train;
                let source = Source::Items { items, rows: validation };
                Part { rows: self.train.rows.clone(), source }
            }
            Source::Loader { .. } => return self,
            Source::Drawn(count) => {
                *count -= held;
                Part { rows: self.train.rows.clone(), source: Source::Drawn(held) }
            }
        };
        self.validation = Some(validation);
        self.held_out = true;
        self
    }

    /// The data without the rows of weight 0.
    pub(crate) fn counted(self) -> Self {
        let counted = |part: Part<D>| Part { rows: part.rows.counted().into_owned(), ..part };
        Self { train: counted(self.train), validation: self.validation.map(counted), ..self }
    }

    /// Shuffled training batches of one epoch, by burn's data loader. Integer rows are dequantized. The seed decides the
    /// order and the dequantization.
    ///
    /// # Panics
    ///
    /// If the data have no rows ([`drawn`](Self::drawn)).
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
        let order = Order::new(self.train.len(), seed, 0);
        let loader = self.train.loader(Some(order), size, device);
        match self.dequantize.clone() {
            Some(dequantize) => Arc::new(Dequantized { loader, dequantize, seed }),
            None => loader,
        }
    }

    /// Validation batches, the same in every epoch. Those that were split off are dequantized.
    pub(super) fn validation_batches(
        &self,
        part: &Part<D>,
        size: usize,
        seed: u64,
        device: &Device,
    ) -> Arc<dyn DataLoader<Batch<D>>> {
        let loader = part.loader(None, size, device);
        match self.dequantize.clone() {
            // Rows in memory were dequantized when they were split off.
            Some(dequantize) if self.held_out && !part.is_in_memory() => {
                Arc::new(Dequantized { loader, dequantize, seed: seed ^ SPLIT })
            }
            _ => loader,
        }
    }
}

/// The stream of a seed that decides the split. Training batches use the streams from 0 on.
const SPLIT: u64 = u64::MAX - 1;
