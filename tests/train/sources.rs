//! Rows from data sets and loaders of burn: order, resume, checks, weights, memory.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Mutex;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataloader::{DataLoader, DataLoaderBuilder, DataLoaderIterator};
use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::TensorData;
use burn_flows::train::{Dequantize, FitData, Training};

use super::*;

/// An item: two numbers, a context and a weight.
type Item = [f32; 4];

/// Items in memory, which notes the rows that are read.
#[derive(Clone)]
struct Items {
    items: Arc<Vec<Item>>,
    read: Arc<Mutex<Vec<usize>>>,
}

impl Items {
    fn new(items: Vec<Item>) -> Self {
        Self { items: Arc::new(items), read: Arc::default() }
    }

    /// Rows of a banana with the first number as context.
    fn banana(rows: usize) -> Self {
        let values: Vec<f32> = banana(rows, 1).into_data().try_to_vec_as().unwrap();
        Self::new(values.chunks(2).map(|x| [x[0], x[1], x[0], 1.0]).collect())
    }

    fn read(&self) -> Vec<usize> {
        std::mem::take(&mut self.read.lock().unwrap())
    }

    fn batch(&self) -> Batch<2> {
        Rows { context: true, weights: false }.batch(self.items.to_vec(), &Device::flex())
    }
}

impl Dataset<Item> for Items {
    fn get(&self, index: usize) -> Result<Item, DatasetError> {
        self.read.lock().unwrap().push(index);
        Ok(self.items[index])
    }

    fn len(&self) -> usize {
        self.items.len()
    }
}

#[derive(Clone, Copy, Default)]
struct Rows {
    context: bool,
    weights: bool,
}

impl Batcher<Item, Batch<2>> for Rows {
    fn batch(&self, items: Vec<Item>, device: &Device) -> Batch<2> {
        let columns = |columns: std::ops::Range<usize>| {
            let values: Vec<f32> =
                items.iter().flat_map(|item| item[columns.clone()].to_vec()).collect();
            let data = TensorData::new(values, [items.len(), columns.len()]);
            Tensor::<2>::from_data(data, device)
        };
        let mut batch = Batch::new(columns(0..2));
        if self.context {
            batch = batch.with_context(columns(2..3));
        }
        match self.weights {
            true => batch.with_weights(columns(3..4).reshape([-1])).unwrap(),
            false => batch,
        }
    }
}

const CONTEXT: Rows = Rows { context: true, weights: false };

fn flow() -> RealNvp {
    small().with_context(1).with_seed(1).init(&Device::flex())
}

fn found(flow: &RealNvp) -> Vec<f32> {
    let x = banana(9, 3);
    let log_prob = flow.given(&x.clone().narrow(1, 0, 1)).log_prob(x);
    log_prob.into_data().try_to_vec_as().unwrap()
}

#[test]
fn a_data_set_trains_as_its_rows_in_memory_bit_for_bit() {
    let (items, held) = (Items::banana(300), Items::banana(70));
    for config in [quick(), quick().with_reversible(true)] {
        let data = FitData::from_dataset(items.clone(), CONTEXT).unwrap();
        let data = data.with_validation(FitData::from_dataset(held.clone(), CONTEXT).unwrap());
        let (streamed, report) = fit(flow(), data, &config).unwrap();
        let data = FitData::new(items.batch()).with_validation(held.batch());
        let (in_memory, expected) = fit(flow(), data, &config).unwrap();
        assert_eq!(found(&streamed), found(&in_memory));
        assert_eq!(report.epochs, expected.epochs);
        assert!(report.epochs[5].train_loss < report.epochs[0].train_loss);
    }
}

#[test]
fn every_epoch_reads_every_training_row_once_and_every_validation_row_once() {
    let items = Items::banana(300);
    let data = FitData::from_dataset(items.clone(), CONTEXT).unwrap();
    assert_eq!((data.rows().len(), items.read().len()), (300, 301));
    let config = quick().with_epochs(3).with_validation_fraction(0.2);
    let mut epochs: Vec<Vec<usize>> = vec![];
    let reader = items.clone();
    Training::new(flow(), data, &config)
        .on_epoch(|_, _| {
            epochs.push(reader.read());
            ControlFlow::Continue(())
        })
        .run()
        .unwrap();
    // Before the first epoch, the data-dependent layers read rows too.
    let start = epochs[0].len() - 300;
    let first: BTreeSet<usize> = epochs[0][..start].iter().copied().collect();
    epochs[0].drain(..start);
    let parts = epochs.iter().map(|epoch| epoch.split_at(240));
    let (train, held): (Vec<_>, Vec<_>) = parts.unzip();
    let set = |rows: &[usize]| rows.iter().copied().collect::<BTreeSet<usize>>();
    assert!(train.iter().all(|rows| set(rows) == set(train[0]) && set(rows).len() == 240));
    assert!(train[0] != train[1] && train[1] != train[2] && !train[0].is_sorted());
    assert!(held.iter().all(|rows| rows == &held[0]));
    assert!(set(held[0]).is_disjoint(&set(train[0])) && set(held[0]).len() == 60);
    // Statistics come from training rows only.
    assert!(start > 200 && first.is_subset(&set(train[0])));
}

#[test]
fn a_resumed_run_of_a_data_set_or_a_loader_equals_an_uninterrupted_one() {
    let loader = |seed| {
        let builder = DataLoaderBuilder::new(CONTEXT).batch_size(50).shuffle(seed);
        builder.build(Items::banana(330))
    };
    type Source = Box<dyn Fn() -> FitData<2>>;
    let sources: [Source; 2] = [
        Box::new(|| FitData::from_dataset(Items::banana(330), CONTEXT).unwrap()),
        Box::new(move || {
            let held = FitData::from_loader(loader(3)).unwrap();
            FitData::from_loader(loader(4)).unwrap().with_validation(held)
        }),
    ];
    for source in sources {
        let folder = tempfile::tempdir().unwrap();
        let config = quick().with_average(Some(0.9));
        let (whole, report) = fit(flow(), source(), &config).unwrap();
        assert!(report.epochs.iter().all(|epoch| epoch.validation_loss.is_some()));
        let kept = config.with_checkpoint(Some(folder.path().to_path_buf()));
        Training::new(flow(), source(), &kept)
            .on_epoch(|epoch, _| match epoch.epoch {
                3 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
            .run()
            .unwrap();
        let (resumed, again) = fit(flow(), source(), &kept).unwrap();
        assert_eq!(again.resumed_from, Some(3));
        assert_eq!(found(&resumed), found(&whole));
        // Loss and rate of every epoch; a shuffled loader validates in other orders.
        let train = |report: &burn_flows::train::Report| -> Vec<_> {
            report.epochs.iter().map(|epoch| (epoch.train_loss, epoch.learning_rate)).collect()
        };
        assert_eq!(train(&again), train(&report));
    }
}

#[test]
fn the_batches_of_a_loader_are_those_of_the_caller() {
    let items = Items::banana(330);
    let builder = DataLoaderBuilder::new(CONTEXT).batch_size(100);
    let data = FitData::from_loader(builder.build(items)).unwrap();
    let config = quick().with_epochs(2).with_patience(None);
    let mut steps = 0;
    let (_, report) = Training::new(flow(), data, &config)
        .on_step(|_, _| {
            steps += 1;
            ControlFlow::Continue(())
        })
        .run()
        .unwrap();
    assert_eq!((steps, report.steps), (8, 8));
    assert_eq!(report.best_validation_loss, None);
}

#[test]
fn rows_that_no_density_has_are_found_when_they_are_read() {
    let mut items = Items::banana(12_000).items.to_vec();
    let data = FitData::from_dataset(Items::new(items.clone()), CONTEXT).unwrap();
    assert_eq!(data.rows().len(), 10_000);
    // A row that is not among those that were examined.
    let examined = data.rows().x.clone().into_data().try_to_vec_as::<f32>().unwrap();
    let examined: BTreeSet<u32> = examined.chunks(2).map(|x| x[0].to_bits()).collect();
    let hidden = items.iter().position(|item| !examined.contains(&item[0].to_bits())).unwrap();
    let config = quick().with_batch_size(2000).with_evaluation_batch(2000);
    for (column, what) in [(1, "training data"), (2, "context of the training data")] {
        let mut broken = items.clone();
        broken[hidden][column] = f32::NAN;
        let data = FitData::from_dataset(Items::new(broken), CONTEXT).unwrap();
        let error = fit(flow(), data, &config).unwrap_err().to_string();
        let validation = what.replace("training", "validation");
        let place = error.contains(&format!("{what}, batch ")) || error.contains(&validation);
        assert!(place, "{error}");
        assert!(error.ends_with("holds NaN; remove or impute it"), "{error}");
    }
    // Rows that are examined are refused before training.
    items[0][1] = f32::INFINITY;
    let data = FitData::from_dataset(Items::new(items[..100].to_vec()), CONTEXT).unwrap();
    let error = fit(flow(), data, &config).unwrap_err().to_string();
    assert!(error.starts_with("training data: row "), "{error}");

    /// Batches of another width after the first ones.
    struct Changing;
    impl Batcher<Item, Batch<2>> for Changing {
        fn batch(&self, items: Vec<Item>, device: &Device) -> Batch<2> {
            Batch::new(Tensor::ones([items.len(), if items.len() == 7 { 3 } else { 2 }], device))
        }
    }
    let loader = DataLoaderBuilder::new(Changing).batch_size(50).build(Items::banana(57));
    let error = FitData::from_loader(loader).unwrap_err().to_string();
    assert!(error.contains("has rows of shape [3] in F32 with no context, but"), "{error}");
}

/// A data set whose rows from 200 on cannot be read.
struct Unreadable;

impl Dataset<Item> for Unreadable {
    fn get(&self, index: usize) -> Result<Item, DatasetError> {
        match index {
            200.. => Err(DatasetError::new(std::io::Error::other("the disk is gone"))),
            _ => Ok([index as f32, 1.0, 1.0, 1.0]),
        }
    }

    fn len(&self) -> usize {
        300
    }
}

#[test]
fn a_row_that_cannot_be_read_is_an_error() {
    let error = FitData::from_dataset(Unreadable, CONTEXT).unwrap_err().to_string();
    assert!(error.contains("training data: ") && error.contains("the disk is gone"), "{error}");
    let empty = FitData::from_dataset(Items::new(vec![]), CONTEXT).unwrap_err().to_string();
    assert_eq!(empty, "training data: holds no rows");
    /// A batcher that loses a row.
    struct Lossy;
    impl Batcher<Item, Batch<2>> for Lossy {
        fn batch(&self, items: Vec<Item>, device: &Device) -> Batch<2> {
            Batch::new(Tensor::ones([items.len().max(2) - 1, 2], device))
        }
    }
    let error = FitData::from_dataset(Items::banana(30), Lossy).unwrap_err().to_string();
    assert_eq!(error, "training data: the batcher returned 29 rows for 30 items");
}

/// Weights have one unit over all batches, and rows of weight 0 may hold anything.
#[test]
fn weights_of_a_data_set_count_as_in_memory() {
    let mut items = Items::banana(400).items.to_vec();
    for (row, item) in items.iter_mut().enumerate() {
        item[3] = [3.0, 0.5, 0.0, 1.0][row % 4] * if row < 200 { 1.0 } else { 8.0 };
    }
    let held = Items::banana(60);
    let weights = Rows { context: true, weights: true };
    let config = quick().with_batch_size(100).with_epochs(4);
    let train = |data: FitData<2>| {
        let data = data.with_validation(held.batch());
        fit(flow(), data, &config).unwrap()
    };
    // A row of weight 0 may hold any values.
    let mut holed = items.clone();
    holed.iter_mut().filter(|item| item[3] == 0.0).for_each(|item| item[0] = f32::NAN);
    let (holed, report) = train(FitData::from_dataset(Items::new(holed), weights).unwrap());
    let (whole, _) = train(FitData::from_dataset(Items::new(items.clone()), weights).unwrap());
    assert_eq!(found(&holed), found(&whole));
    assert_eq!(report.skipped_steps, 0);

    // Without such rows, the batches and their losses agree.
    let items: Vec<Item> = items.into_iter().filter(|item| item[3] > 0.0).collect();
    let streamed = FitData::from_dataset(Items::new(items.clone()), weights).unwrap();
    let in_memory = FitData::new(weights.batch(items, &Device::flex()));
    let ((one, a), (other, b)) = (train(streamed), train(in_memory));
    for (a, b) in a.epochs.iter().zip(&b.epochs) {
        assert!((a.train_loss.unwrap() - b.train_loss.unwrap()).abs() < 1e-4, "{a:?} {b:?}");
    }
    let apart = found(&one).into_iter().zip(found(&other)).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f32::max) < 1e-2);
}

#[test]
fn integers_of_a_data_set_are_dequantized_anew_and_validated_alike() {
    let items: Vec<Item> =
        (0..200).map(|row| [(row % 4) as f32, (row / 4 % 4) as f32, 0.0, 1.0]).collect();
    let data = FitData::from_dataset(Items::new(items), Rows::default()).unwrap();
    let data = data.with_dequantization(Dequantize::new(4).unwrap());
    let rows = |seed| {
        let loader = data.batches(50, seed, &Device::flex());
        let rows = loader
            .iter()
            .flat_map(|batch| batch.unwrap().x.into_data().iter::<f64>().collect::<Vec<f64>>());
        rows.collect::<Vec<f64>>()
    };
    assert_eq!(rows(1), rows(1));
    let distinct: BTreeSet<u64> = rows(1).iter().chain(&rows(2)).map(|v| v.to_bits()).collect();
    assert!(distinct.len() > 790, "{}", distinct.len());
    assert!(rows(1).iter().all(|value| (0.0..1.0).contains(value)));
    let flow = small().with_seed(1).init(&Device::flex());
    // A rate so low that the weights, and so the validation, hardly change.
    let config = quick().with_epochs(3).with_learning_rate(1e-12);
    let (_, report) = fit(flow, data, &config).unwrap();
    let losses: Vec<f64> = report.epochs.iter().map(|e| e.validation_loss.unwrap()).collect();
    assert!((losses[0] - losses[2]).abs() < 1e-6, "{losses:?}");
    let train: Vec<f64> = report.epochs.iter().map(|e| e.train_loss.unwrap()).collect();
    assert!((train[0] - train[2]).abs() > 1e-6, "{train:?}");
}

/// At any time, at most the batch of a step, one that waits and one that is being made are in memory.
#[test]
fn few_batches_are_ahead_of_the_steps() {
    let items = Items::banana(2000);
    let data = FitData::from_dataset(items.clone(), CONTEXT).unwrap();
    let config = quick().with_epochs(2).with_batch_size(20).with_validation_fraction(0.0);
    let reader = items.clone();
    reader.read();
    let (mut read, mut ahead, mut steps) = (0, vec![], 0);
    Training::new(flow(), data, &config)
        .on_step(|_, _| {
            if steps == 0 {
                // Those of the data-dependent start.
                read = 0;
                reader.read();
            } else {
                std::thread::sleep(std::time::Duration::from_millis(2));
                read += reader.read().len();
                ahead.push(read as i64 / 20 - steps);
            }
            steps += 1;
            ControlFlow::Continue(())
        })
        .run()
        .unwrap();
    assert_eq!(steps, 200);
    let most = ahead.iter().max().unwrap() - ahead.iter().min().unwrap();
    assert!(most <= 4, "{ahead:?}");
    // Loading overlaps the steps.
    let least = *ahead.iter().min().unwrap();
    assert!(ahead.iter().filter(|ahead| **ahead > least).count() > 90, "{ahead:?}");
}

#[test]
fn weights_and_context_of_a_data_set_come_from_its_batches() {
    let data = || FitData::from_dataset(Items::banana(300), CONTEXT).unwrap();
    let error = data().with_weights(Tensor::ones([300], &Device::flex())).unwrap_err().to_string();
    assert_eq!(error, "weights: with_weights needs rows in memory; set the weights in the batcher");
    let error = data().with_context(Tensor::ones([300, 1], &Device::flex())).check().unwrap_err();
    let expected =
        "training data: with_context needs rows in memory; set the context in the batcher";
    assert_eq!(error.to_string(), expected);
    let held = FitData::new(banana(50, 1)).with_dequantization(Dequantize::new(4).unwrap());
    let error = FitData::new(banana(50, 1)).with_validation(held).check().unwrap_err();
    let expected =
        "training data: the validation rows are not dequantized; apply Dequantize to them";
    assert_eq!(error.to_string(), expected);
    let drawn = FitData::<2>::drawn(10).unwrap().with_dequantization(Dequantize::new(4).unwrap());
    assert!(drawn.check().unwrap_err().to_string().contains("remove with_dequantization"));
}

/// A flow starts from dequantized integers, also those of a loader.
#[test]
fn the_integers_of_a_loader_are_dequantized_before_the_start() {
    let items: Vec<Item> =
        (0..512).map(|row| [(row % 256) as f32, (row * 7 % 256) as f32, 0.0, 1.0]).collect();
    let loader = DataLoaderBuilder::new(Rows::default()).batch_size(100).build(Items::new(items));
    let data = FitData::from_loader(loader).unwrap();
    let data = data.with_dequantization(Dequantize::new(256).unwrap());
    let norm = ActNormConfig::new(2).init(&Device::flex());
    let flow = Flow::new(norm, StandardNormal::<2>::new([2], &Device::flex()));
    let config = quick().with_epochs(1).with_learning_rate(1e-12);
    let (flow, _) = fit(flow, data, &config).unwrap();
    // Uniform on (0, 1): the deviation 0.29 becomes 1.
    let z = flow.encode(Tensor::<2>::from_data([[0.0, 0.0], [1.0, 1.0]], &Device::flex()));
    let z: Vec<f64> = z.into_data().iter::<f64>().collect();
    assert!((z[0] + 1.73).abs() < 0.2 && (z[2] - 1.73).abs() < 0.2, "{z:?}");
}

#[test]
fn a_loader_that_was_used_does_not_resume() {
    let folder = tempfile::tempdir().unwrap();
    let loader = DataLoaderBuilder::new(CONTEXT).batch_size(50).shuffle(4);
    let data = FitData::from_loader(loader.build(Items::banana(200))).unwrap();
    let config = quick().with_epochs(2).with_checkpoint(Some(folder.path().to_path_buf()));
    fit(flow(), data.clone(), &config.clone().with_checkpoint(None).with_epochs(3)).unwrap();
    let other = DataLoaderBuilder::new(CONTEXT).batch_size(50).shuffle(4);
    let other = FitData::from_loader(other.build(Items::banana(200))).unwrap();
    fit(flow(), other, &config).unwrap();
    let error = fit(flow(), data, &config.with_epochs(4)).unwrap_err().to_string();
    let expected = "training data: the loader has already made 3 epochs, but the checkpoint has 2; build a new \
                    loader to resume";
    assert_eq!(error, expected);
}

/// A loader whose passes after the first one are empty.
struct Once(Arc<dyn DataLoader<Batch<2>>>, AtomicUsize);

impl DataLoader<Batch<2>> for Once {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch<2>> + 'a> {
        match self.1.fetch_add(1, Ordering::Relaxed) {
            0 => self.0.iter(),
            _ => {
                let mut iter = self.0.iter();
                iter.by_ref().for_each(drop);
                iter
            }
        }
    }
    fn num_items(&self) -> usize {
        self.0.num_items()
    }
    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Batch<2>>> {
        Arc::new(Once(self.0.to_device(device), AtomicUsize::new(0)))
    }
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Batch<2>>> {
        Arc::new(Once(self.0.slice(start, end), AtomicUsize::new(0)))
    }
}

#[test]
fn an_epoch_without_rows_is_an_error() {
    let loader = DataLoaderBuilder::new(CONTEXT).batch_size(50).build(Items::banana(200));
    let data = FitData::from_loader(Arc::new(Once(loader, AtomicUsize::new(0)))).unwrap();
    let error = fit(flow(), data, &quick()).unwrap_err().to_string();
    assert_eq!(error, "training data: the loader returned no batch of rows in epoch 1");
}

#[test]
#[should_panic(expected = "the shelf is empty")]
fn a_data_set_that_panics_ends_the_training_with_its_own_message() {
    /// It panics long after the rows for statistics were read.
    struct Shelf(AtomicUsize);
    impl Dataset<Item> for Shelf {
        fn get(&self, index: usize) -> Result<Item, DatasetError> {
            let read = self.0.fetch_add(1, Ordering::Relaxed);
            assert!(read < 1000, "the shelf is empty");
            Ok([index as f32, (index % 7) as f32, 1.0, 1.0])
        }
        fn len(&self) -> usize {
            300
        }
    }
    let data = FitData::from_dataset(Shelf(AtomicUsize::new(0)), CONTEXT).unwrap();
    fit(flow(), data, &quick().with_epochs(9)).unwrap();
}
