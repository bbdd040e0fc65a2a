//! Rows in parallel on the CPU backend `flex`: every core works through blocks of a batch.
//!
//! `flex` gives single operations to several threads; at the sizes of a flow the hand-over costs
//! more than it gives. The rows of a batch are independent, so a block of them goes to a pool of
//! one thread, where `flex` stays on that thread.
//!
//! An evaluation has the same bits for every number of blocks. A gradient is a sum over rows, so
//! its blocks follow from the batch alone, and their gradients are added in their order: the result
//! does not depend on the number of threads.

#[cfg(feature = "flex")]
use std::cell::Cell;
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(feature = "flex")]
use std::sync::{Arc, Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
#[cfg(feature = "flex")]
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::rows::{callers_rows, in_block};

/// Rows of a block at the most; more leave the cache of a core.
const MOST_ROWS: usize = 512;

/// Rows below which another block costs more than it gives, whatever the model; a model of many
/// parameters pays earlier, from [`WORK`] on.
const LEAST_ROWS: usize = 128;

/// Rows of any block: fewer fill no vectors.
const FEWEST_ROWS: usize = 16;

/// Rows of a block of a gradient, which pays for a copy of the graph as well.
#[cfg(feature = "train")]
const GRADIENT_ROWS: usize = 256;

/// Rows of a block of a gradient at the least: its copy and its sum cost as much as so many.
#[cfg(feature = "train")]
const FEWEST_GRADIENT_ROWS: usize = 96;

/// Rows times parameters from which a block pays for its hand-over.
const WORK: usize = 4 << 20;

/// The same for a block of a gradient.
#[cfg(feature = "train")]
const GRADIENT_WORK: usize = 24 << 20;

/// An image counts as a row for every so many pixels: a network looks at every pixel.
const PIXELS_OF_ROW: usize = 16;

/// Threads asked for by the user; 0 for as many as there are cores.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Sets how many threads share the rows of a batch on CPU devices of the backend `flex`: 1 for
/// none but the caller's, 0 for as many as there are cores, which is the default. No result
/// depends on it.
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{Noise, model::NiceConfig, set_threads};
///
/// let device = Device::flex();
/// let flow = NiceConfig::new(2).init(&device);
/// let x = Noise::seeded(1).normal::<2>([1000, 2], &device);
/// let shared = flow.log_prob(x.clone()).into_data();
/// set_threads(1);
/// assert_eq!(flow.log_prob(x).into_data(), shared);
/// ```
pub fn set_threads(count: usize) {
    THREADS.store(count, Ordering::Relaxed);
}

/// Threads that share the work.
fn threads() -> usize {
    // Asking the system reads files, which takes as long as a small batch.
    static CORES: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    match THREADS.load(Ordering::Relaxed) {
        0 => *CORES,
        count => count,
    }
}

/// Whether the tensors of `device` are those of `flex`.
#[cfg(feature = "flex")]
pub(crate) fn is_flex(device: &Device) -> bool {
    use burn::backend::DispatchDevice;

    match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => {
            matches!(device.clone().inner(), DispatchDevice::Flex(_))
        }
        #[allow(unreachable_patterns, reason = "where flex is the only backend")]
        _ => false,
    }
}

/// Without `flex` no device is its.
#[cfg(not(feature = "flex"))]
pub(crate) fn is_flex(_device: &Device) -> bool {
    false
}

/// Whether the tensors of `device` are those of `flex` and hold no graph.
pub(crate) fn is_plain(device: &Device) -> bool {
    is_flex(device) && !device.is_autodiff()
}

/// Something with a row for every event on axis 0.
pub(crate) trait Rows: Send + Sync + Sized {
    /// Whether it is on `flex` and holds no graph.
    fn is_plain(&self) -> bool;
    fn part(&self, rows: Range<usize>) -> Self;
    fn joined(parts: Vec<Self>) -> Self;
    /// One row of zeros in the place of all.
    fn blank(&self) -> Self;
}

impl<const D: usize> Rows for Tensor<D> {
    fn is_plain(&self) -> bool {
        is_plain(&self.device())
    }

    fn part(&self, rows: Range<usize>) -> Self {
        self.clone().slice([rows])
    }

    fn joined(parts: Vec<Self>) -> Self {
        Tensor::cat(parts, 0)
    }

    fn blank(&self) -> Self {
        let mut shape = self.dims();
        shape[0] = 1;
        Tensor::zeros(shape, (&self.device(), self.dtype()))
    }
}

impl<A: Rows, B: Rows> Rows for (A, B) {
    fn is_plain(&self) -> bool {
        self.0.is_plain() && self.1.is_plain()
    }

    fn part(&self, rows: Range<usize>) -> Self {
        (self.0.part(rows.clone()), self.1.part(rows))
    }

    fn joined(parts: Vec<Self>) -> Self {
        let (first, second) = parts.into_iter().unzip();
        (A::joined(first), B::joined(second))
    }

    fn blank(&self) -> Self {
        (self.0.blank(), self.1.blank())
    }
}

impl<A: Rows> Rows for Vec<A> {
    fn is_plain(&self) -> bool {
        self.iter().all(Rows::is_plain)
    }

    fn part(&self, rows: Range<usize>) -> Self {
        self.iter().map(|part| part.part(rows.clone())).collect()
    }

    fn joined(parts: Vec<Self>) -> Self {
        let count = parts.first().map_or(0, Vec::len);
        let mut columns: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
        let column = |_| A::joined(columns.iter_mut().filter_map(Iterator::next).collect());
        (0..count).map(column).collect()
    }

    fn blank(&self) -> Self {
        self.iter().map(Rows::blank).collect()
    }
}

/// `evaluate` for all rows of `input`, `count` of them, with `pixels` pixels each (1 for a vector),
/// by a `model` that does not mix them. What holds a graph stays in one block.
pub(crate) fn over_rows<I: Rows, O: Rows>(
    model: &impl Module,
    input: I,
    context: Option<&Tensor<2>>,
    [count, pixels]: [usize; 2],
    evaluate: impl Fn(I, Option<&Tensor<2>>) -> O + Sync,
) -> O {
    if count == 0 {
        // burn 0.22 expands nothing to no rows, so layers see one, which nobody sees.
        let context = context.map(Rows::blank);
        return in_block(1, 0, || evaluate(input.blank(), context.as_ref())).part(0..0);
    }
    if count < images(2 * FEWEST_ROWS, pixels) {
        return evaluate(input, context);
    }
    let least = LEAST_ROWS.min(least_rows(model, WORK));
    let [most, least] = [MOST_ROWS, least].map(|rows| images(rows, pixels));
    let blocks = blocks(count, count.div_ceil(threads()).clamp(least, most));
    let shared = blocks.len() > 1
        && workers(blocks.len()) > 1
        && input.is_plain()
        && context.is_none_or(Rows::is_plain)
        && model.devices().iter().all(is_plain);
    if !shared {
        return evaluate(input, context);
    }
    let whole = callers_rows(count);
    O::joined(each(blocks.len(), |_, block| {
        let rows = blocks[block].clone();
        let context = context.map(|context| context.part(rows.clone()));
        in_block(rows.len(), whole, || evaluate(input.part(rows), context.as_ref()))
    }))
}

/// The blocks whose gradients make up that of a batch: two of a small batch, if they pay.
#[cfg(feature = "train")]
pub(crate) fn gradient_blocks(
    model: &impl Module,
    [count, pixels]: [usize; 2],
) -> Vec<Range<usize>> {
    let least = least_rows(model, GRADIENT_WORK).clamp(FEWEST_GRADIENT_ROWS, GRADIENT_ROWS);
    let [most, least] = [GRADIENT_ROWS, least].map(|rows| images(rows, pixels));
    let size = if count < 2 * least { count } else { count.div_ceil(2) };
    blocks(count, size.clamp(1, most))
}

/// The rows with which a model has so much work.
fn least_rows(model: &impl Module, work: usize) -> usize {
    work.div_ceil(model.num_params().max(1)).max(FEWEST_ROWS)
}

/// How many images of so many pixels weigh as much as these rows.
fn images(rows: usize, pixels: usize) -> usize {
    (rows * PIXELS_OF_ROW / pixels.max(PIXELS_OF_ROW)).max(1)
}

/// As few blocks of about the same length as have at most `size` rows each.
fn blocks(count: usize, size: usize) -> Vec<Range<usize>> {
    let number = count.div_ceil(size).max(1);
    (0..number).map(|k| k * count / number..(k + 1) * count / number).collect()
}

/// How many workers [`each`] gives to so many blocks.
#[cfg(feature = "flex")]
pub(crate) fn workers(blocks: usize) -> usize {
    if INSIDE.get() { 1 } else { threads().min(blocks).max(1) }
}

/// `work(worker, block)` for every block, in the order of the blocks; a worker goes through its
/// blocks one after another. A panic in a worker is one of the caller.
#[cfg(feature = "flex")]
pub(crate) fn each<T: Send>(blocks: usize, work: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    let workers = workers(blocks);
    if workers < 2 {
        return (0..blocks).map(|block| work(0, block)).collect();
    }
    let pools = pools(workers);
    let mut results: Vec<Option<T>> = (0..blocks).map(|_| None).collect();
    let mut shares: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for (block, result) in results.iter_mut().enumerate() {
        shares[block % workers].push((block, result));
    }
    let tasks = shares.into_iter().enumerate().map(|(worker, share)| {
        let work = &work;
        move || {
            INSIDE.set(true);
            share.into_iter().for_each(|(block, result)| *result = Some(work(worker, block)));
        }
    });
    run(&pools, &mut tasks.collect());
    results.into_iter().map(|result| result.expect("every block was worked on")).collect()
}

#[cfg(not(feature = "flex"))]
pub(crate) fn workers(_blocks: usize) -> usize {
    1
}

/// Without `flex` there is one worker.
#[cfg(not(feature = "flex"))]
pub(crate) fn each<T: Send>(blocks: usize, work: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    (0..blocks).map(|block| work(0, block)).collect()
}

#[cfg(feature = "flex")]
thread_local! {
    /// Whether this thread is a worker: what it calls must not share out its rows once more.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// A task on every pool at once; returns when all are done.
#[cfg(feature = "flex")]
fn run<F: FnOnce() + Send>(pools: &[Arc<ThreadPool>], tasks: &mut Vec<F>) {
    let (Some((pool, rest)), Some(task)) = (pools.split_first(), tasks.pop()) else { return };
    pool.in_place_scope(|scope| {
        scope.spawn(|_| task());
        run(rest, tasks);
    });
}

/// Kept pools of one thread each.
#[cfg(feature = "flex")]
fn pools(count: usize) -> Vec<Arc<ThreadPool>> {
    static KEPT: Mutex<Vec<Arc<ThreadPool>>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    while kept.len() < count {
        let pool = ThreadPoolBuilder::new().num_threads(1).build();
        kept.push(Arc::new(pool.expect("the system gives a thread")));
    }
    kept[..count].to_vec()
}
