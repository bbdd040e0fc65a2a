//! Training or validation rows, in memory or read batch by batch.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use burn::data::dataloader::DataLoader;
use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::Device;

use super::Batch;
use super::check::{check_context, check_like, check_rows};
use super::dequantize::check_levels;
use super::order::Order;
use super::source::{Items, ItemsOf, Rows, Source, each_batch};
use crate::error::{Error, Result};

/// Training or validation rows.
#[derive(Debug, Clone)]
pub(crate) struct Part<const D: usize> {
    /// All rows, or the first rows of a data set or a loader, which are examined.
    pub rows: Batch<D>,
    pub(super) source: Source<D>,
}

impl<const D: usize> Part<D> {
    /// The number of rows, also of those that are not in memory.
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Memory => self.rows.len(),
            Source::Items { rows, .. } => rows.len(),
            Source::Loader { loader, .. } => loader.num_items(),
            Source::Drawn(count) => *count,
        }
    }

    /// Whether an objective draws the rows.
    pub fn is_drawn(&self) -> bool {
        matches!(self.source, Source::Drawn(_))
    }

    /// Whether a loader decides the batches.
    pub fn is_loader(&self) -> bool {
        matches!(self.source, Source::Loader { .. })
    }

    /// The rows of a batch, of which a loader decides.
    pub fn batch_size(&self, configured: usize) -> usize {
        match &self.source {
            Source::Loader { batch_size, .. } => *batch_size,
            _ => configured,
        }
    }

    /// Brings a loader to the order of the epoch after `epochs` epochs. The first pass examined the rows.
    pub fn skip_epochs(&self, epochs: usize) -> Result<()> {
        let Source::Loader { loader, passes, .. } = &self.source else { return Ok(()) };
        let done = passes.load(Ordering::Relaxed);
        if done > epochs + 1 {
            let reason = format!(
                "the loader has already made {} epochs, but the checkpoint has {epochs}; build a \
                 new loader to resume",
                done - 1
            );
            return Err(Error::data("training data", reason));
        }
        (done..epochs + 1).for_each(|_| drop(loader.iter()));
        passes.store(epochs + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Whether all rows are in memory.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.source, Source::Memory)
    }

    /// The batches of one epoch, in an order, or in the order of the source. A loader has batches of its own.
    pub(super) fn loader(
        &self,
        order: Option<Order>,
        size: usize,
        device: &Device,
    ) -> Arc<dyn DataLoader<Batch<D>>> {
        match &self.source {
            Source::Memory => {
                let dataset = Arc::new(RowNumbers(self.rows.len()));
                let items = ItemsOf { dataset, batcher: Arc::new(TakeRows(self.rows.clone())) };
                items.loader(&Rows::all(self.rows.len()), order, size, device)
            }
            Source::Items { items, rows } => items.loader(rows, order, size, device),
            Source::Loader { loader, passes, .. } => {
                passes.fetch_add(1, Ordering::Relaxed);
                loader.clone()
            }
            Source::Drawn(_) => panic!("FitData: expected rows of data, found none"),
        }
    }

    /// Checks a batch that was read from a data set or a loader, and leaves out its rows of weight 0. `levels` are those
    /// of the columns that are integers to the model.
    pub(super) fn checked(
        &self,
        what: impl FnOnce() -> String,
        batch: Batch<D>,
        levels: &[Option<usize>],
    ) -> Result<Batch<D>> {
        if self.is_in_memory() {
            return Ok(batch);
        }
        let (what, batch) = (&what(), batch.plain());
        check_context(what, &batch)?;
        check_like(what, &batch, &self.rows)?;
        let batch = batch.counted().into_owned();
        check_rows(what, &batch, 0)?;
        check_levels(&batch, |column| levels[column])?;
        Ok(batch)
    }
}

/// The largest number of rows of a data set or a loader that are examined.
const MOST_EXAMINED: usize = 10_000;

/// The number of their elements, 64 MiB in f32.
const EXAMINED_ELEMENTS: usize = 1 << 24;

/// The stream that decides which rows of a data set are examined.
pub(super) const EXAMINED: u64 = u64::MAX - 3;

/// The number of rows to examine, for events and contexts as in this batch.
pub(super) fn examined<const D: usize>(batch: &Batch<D>) -> usize {
    (EXAMINED_ELEMENTS / batch.elements_of_row()).clamp(2, MOST_EXAMINED)
}

/// The first rows of a loader, at most `most`, and the rows of its first batch.
pub(super) fn first_rows<const D: usize>(
    loader: &dyn DataLoader<Batch<D>>,
    most: usize,
) -> Result<(Batch<D>, usize)> {
    let (mut batches, mut found, mut size) = (vec![], 0, 0);
    each_batch(loader, "training data", false, |_, batch| {
        check_context("training data", &batch)?;
        if let Some(first) = batches.first() {
            check_like("training data", &batch, first)?;
        }
        let most = most.min(examined(&batch));
        size = size.max(batch.len());
        let wanted = batch.len().min(most - found);
        batches.push(batch.plain().part(0..wanted));
        found += wanted;
        Ok(found < most)
    })?;
    let rows = Batch::joined(batches).filter(|rows| !rows.is_empty());
    Ok((rows.ok_or_else(|| Error::data("training data", "holds no rows"))?, size))
}

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

/// Selects the rows of a batch from memory.
struct TakeRows<const D: usize>(Batch<D>);

impl<const D: usize> Batcher<usize, Batch<D>> for TakeRows<D> {
    fn batch(&self, rows: Vec<usize>, device: &Device) -> Batch<D> {
        self.0.select(&rows).to_device(device)
    }
}
