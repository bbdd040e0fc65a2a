//! Where rows come from: tensors in memory, a data set, a loader of batches, or the draws of an objective.

use std::fmt::{self, Debug};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::sync_channel;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataloader::{
    BatchDataLoader, DataLoader, DataLoaderIterator, FixBatchStrategy, Progress,
};
use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::Device;

use super::dequantize::check_levels;
use super::order::Order;
use super::{Batch, Dequantization};
use crate::error::{Error, Result};
use crate::noise::Noise;

/// The source of training or validation rows.
#[derive(Clone)]
pub(super) enum Source<const D: usize> {
    /// All rows are in memory.
    Memory,
    /// Some of the rows of a data set.
    Items { items: Arc<dyn Items<D>>, rows: Rows },
    /// A loader with batches and an order of its own, and the number of passes so far.
    Loader { loader: Arc<dyn DataLoader<Batch<D>>>, batch_size: usize, passes: Arc<AtomicUsize> },
    /// No rows: the objective draws this many.
    Drawn(usize),
}

impl<const D: usize> Debug for Source<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("Memory"),
            Self::Items { rows, .. } => f.debug_tuple("Items").field(rows).finish(),
            Self::Loader { loader, .. } => {
                f.debug_tuple("Loader").field(&loader.num_items()).finish()
            }
            Self::Drawn(count) => f.debug_tuple("Drawn").field(count).finish(),
        }
    }
}

/// Places in the order of the split: training rows first, then validation rows.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    split: Option<Order>,
    places: Range<usize>,
}

impl Rows {
    /// All rows of a data set in its own order.
    pub fn all(count: usize) -> Self {
        Self { split: None, places: 0..count }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Splits the last `held` rows of a seeded order off.
    pub fn split(&self, held: usize, order: &Order) -> [Self; 2] {
        let (start, end) = (self.places.start, self.places.end);
        let part = |places| Self { split: Some(order.clone()), places };
        [part(start..end - held), part(end - held..end)]
    }

    /// The row of the data set at a place.
    fn at(&self, place: usize) -> usize {
        let place = self.places.start + place;
        self.split.as_ref().map_or(place, |split| split.at(place))
    }
}

/// A data set of items and the batches that are made of them.
pub(super) trait Items<const D: usize>: Send + Sync {
    /// The number of items.
    fn len(&self) -> usize;

    /// Batches of these rows, in an order, or one after the other.
    fn loader(
        &self,
        rows: &Rows,
        order: Option<Order>,
        size: usize,
        device: &Device,
    ) -> Arc<dyn DataLoader<Batch<D>>>;
}

/// Items of type `I`.
pub(super) struct ItemsOf<I, const D: usize> {
    pub dataset: Arc<dyn Dataset<I>>,
    pub batcher: Arc<dyn Batcher<I, Batch<D>>>,
}

impl<I: Clone + Send + Sync + 'static, const D: usize> Items<D> for ItemsOf<I, D> {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn loader(
        &self,
        rows: &Rows,
        order: Option<Order>,
        size: usize,
        device: &Device,
    ) -> Arc<dyn DataLoader<Batch<D>>> {
        let ordered = Ordered { items: self.dataset.clone(), rows: rows.clone(), order };
        let strategy = Box::new(FixBatchStrategy::new(size.clamp(1, rows.len().max(1))));
        let device = device.clone().without_autodiff();
        let batcher = self.batcher.clone();
        Arc::new(BatchDataLoader::new(strategy, Arc::new(ordered), batcher, device, None))
    }
}

/// Some rows of a data set in an order.
struct Ordered<I> {
    items: Arc<dyn Dataset<I>>,
    rows: Rows,
    order: Option<Order>,
}

impl<I> Ordered<I> {
    fn row(&self, index: usize) -> usize {
        self.rows.at(self.order.as_ref().map_or(index, |order| order.at(index)))
    }
}

impl<I> Dataset<I> for Ordered<I> {
    fn get(&self, index: usize) -> Result<I, DatasetError> {
        self.items.get(self.row(index))
    }

    fn get_many(&self, indices: Vec<usize>) -> Result<Vec<I>, DatasetError> {
        self.items.get_many(indices.into_iter().map(|index| self.row(index)).collect())
    }

    fn len(&self) -> usize {
        self.rows.len()
    }
}

/// A loader of integers, whose batches are dequantized.
pub(super) struct Dequantized<const D: usize> {
    pub loader: Arc<dyn DataLoader<Batch<D>>>,
    pub dequantize: Dequantization,
    pub seed: u64,
}

impl<const D: usize> Dequantized<D> {
    fn with(&self, loader: Arc<dyn DataLoader<Batch<D>>>) -> Arc<dyn DataLoader<Batch<D>>> {
        Arc::new(Self { loader, dequantize: self.dequantize.clone(), seed: self.seed })
    }
}

impl<const D: usize> DataLoader<Batch<D>> for Dequantized<D> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch<D>> + 'a> {
        let (batches, dequantize) = (self.loader.iter(), self.dequantize.clone());
        Box::new(DequantizedBatches { batches, dequantize, seed: self.seed, number: 1 })
    }

    fn num_items(&self) -> usize {
        self.loader.num_items()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Batch<D>>> {
        self.with(self.loader.to_device(device))
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Batch<D>>> {
        self.with(self.loader.slice(start, end))
    }
}

struct DequantizedBatches<'a, const D: usize> {
    batches: Box<dyn DataLoaderIterator<Batch<D>> + 'a>,
    dequantize: Dequantization,
    seed: u64,
    /// The stream of the next batch. Stream 0 of the seed decides the order.
    number: u64,
}

impl<const D: usize> Iterator for DequantizedBatches<'_, D> {
    type Item = Result<Batch<D>, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut noise = Noise::stream(self.seed, self.number);
        self.number += 1;
        let spread = |batch: Batch<D>| {
            // A row of weight 0 may hold any values.
            let batch = batch.counted().into_owned();
            let levels = |column| self.dequantize.levels(column);
            check_levels(&batch, levels).map_err(DatasetError::new)?;
            let x = self.dequantize.apply(batch.x.clone(), &mut noise);
            Ok(Batch { x, ..batch })
        };
        Some(self.batches.next()?.and_then(spread))
    }
}

impl<const D: usize> DataLoaderIterator<Batch<D>> for DequantizedBatches<'_, D> {
    fn progress(&self) -> Progress {
        self.batches.progress()
    }
}

/// Calls `take` for every batch of a loader, with its number, until `take` returns false. With `ahead`, another thread
/// loads the next batches in the meantime.
pub(super) fn each_batch<const D: usize>(
    loader: &dyn DataLoader<Batch<D>>,
    what: &str,
    ahead: bool,
    mut take: impl FnMut(usize, Batch<D>) -> Result<bool>,
) -> Result<()> {
    let mut take_all = |batches: &mut dyn Iterator<Item = Result<Batch<D>, DatasetError>>| {
        for (number, batch) in batches.enumerate() {
            if !take(number, batch.map_err(|error| Error::data(what, error.to_string()))?)? {
                break;
            }
        }
        Ok(())
    };
    if !ahead {
        return take_all(&mut loader.iter());
    }
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(READY);
        // A send fails if no further batch is wanted.
        let loading = scope.spawn(move || loader.iter().all(|batch| sender.send(batch).is_ok()));
        let taken = take_all(&mut receiver.into_iter());
        match loading.join() {
            Ok(_) => taken,
            // The message of a data set that panics is that of the caller.
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Batches that wait to be used. With one, the loader computes while a step runs.
const READY: usize = 1;
