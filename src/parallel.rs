//! Rows in parallel on the CPU backend `flex`: every core evaluates blocks of a batch.
//!
//! `flex` distributes single operations over several threads. At the sizes of a flow, this costs more than it saves.
//! The rows of a batch are independent, so a block of rows runs in a pool of one thread, where `flex` stays on that
//! thread. Where there is only one thread, it evaluates the blocks one after the other.
//!
//! An evaluation has the same bits for every number of blocks. A gradient is a sum over rows. Its blocks depend on the
//! model and the batch only, and the gradients of the blocks are added in order, so the result does not depend on the
//! number of threads.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::crew::{Crew, apart, threads};
use crate::param::index_tensor;
use crate::rows::{callers_rows, in_block};

/// The largest number of rows in a block; more rows exceed the cache of a core.
const MOST_ROWS: usize = 512;

/// With fewer rows than this, an additional block costs more than it saves in a small model. In a model of many
/// parameters a block pays off with fewer rows, from [`WORK`] on.
const LEAST_ROWS: usize = 128;

/// The least number of rows in a block; fewer rows do not fill vector registers.
const FEWEST_ROWS: usize = 16;

/// The largest number of rows in a block of a gradient, which also needs a copy of the graph.
#[cfg(feature = "train")]
const GRADIENT_ROWS: usize = 256;

/// The least number of rows in a block of a gradient: its copy and its sum cost as much as this many rows.
#[cfg(feature = "train")]
const FEWEST_GRADIENT_ROWS: usize = 96;

/// The product of rows and parameters from which a block pays for its thread.
const WORK: usize = 4 << 20;

/// The product of rows and parameters from which a block of a gradient pays for its thread.
#[cfg(feature = "train")]
const GRADIENT_WORK: usize = 24 << 20;

/// An image counts as one row per this many pixels, because a network evaluates every pixel.
const PIXELS_OF_ROW: usize = 16;

/// Whether `device` belongs to the backend `flex`.
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

/// Without `flex` no device belongs to it.
#[cfg(not(feature = "flex"))]
pub(crate) fn is_flex(_device: &Device) -> bool {
    false
}

/// Whether `device` belongs to `flex` and its tensors have no graph.
pub(crate) fn is_plain(device: &Device) -> bool {
    is_flex(device) && !device.is_autodiff()
}

/// A value with a row for every event on axis 0.
pub(crate) trait Rows: Send + Sync + Sized {
    /// Whether the value is on `flex` and has no graph.
    fn is_plain(&self) -> bool;
    fn part(&self, rows: Range<usize>) -> Self;
    fn joined(parts: Vec<Self>) -> Self;
    /// The value with a single row of zeros.
    fn blank(&self) -> Self;
    /// The number of elements of a row.
    fn elements(&self) -> usize;
    /// The value with this number of rows of zeros.
    fn room(&self, rows: usize) -> Self;
    /// The rows at these indices, in their order.
    fn chosen(&self, rows: &[usize]) -> Self;
    /// The value with the rows from `start` on replaced by `part`, in place if nothing else holds the value.
    fn with(self, start: usize, part: Self) -> Self;
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
        self.room(1)
    }

    fn elements(&self) -> usize {
        self.dims()[1..].iter().product()
    }

    fn room(&self, rows: usize) -> Self {
        let mut shape = self.dims();
        shape[0] = rows;
        // `Tensor::zeros` of burn-flex 0.22 holds the zeros twice for a moment.
        Tensor::full(shape, 0.0, (&self.device(), self.dtype()))
    }

    fn chosen(&self, rows: &[usize]) -> Self {
        self.clone().select(0, index_tensor(rows, &self.device()))
    }

    fn with(self, start: usize, part: Self) -> Self {
        let rows = start..start + part.dims()[0];
        self.slice_assign([rows], part)
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

    fn elements(&self) -> usize {
        self.0.elements() + self.1.elements()
    }

    fn room(&self, rows: usize) -> Self {
        (self.0.room(rows), self.1.room(rows))
    }

    fn chosen(&self, rows: &[usize]) -> Self {
        (self.0.chosen(rows), self.1.chosen(rows))
    }

    fn with(self, start: usize, part: Self) -> Self {
        (self.0.with(start, part.0), self.1.with(start, part.1))
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

    fn elements(&self) -> usize {
        self.iter().map(Rows::elements).sum()
    }

    fn room(&self, rows: usize) -> Self {
        self.iter().map(|value| value.room(rows)).collect()
    }

    fn chosen(&self, rows: &[usize]) -> Self {
        self.iter().map(|value| value.chosen(rows)).collect()
    }

    fn with(self, start: usize, part: Self) -> Self {
        self.into_iter().zip(part).map(|(value, part)| value.with(start, part)).collect()
    }
}

/// Calls `evaluate` for all rows of `input`. `size` holds the number of rows and the number of pixels per row (1 for a
/// vector). `model` must not mix rows. An input with a graph stays in one block. Other inputs are evaluated in blocks, on
/// one thread too, so the memory of the layers is that of a block for each thread.
pub(crate) fn over_rows<I: Rows, O: Rows>(
    model: &(impl Module + Sync),
    input: I,
    context: Option<&Tensor<2>>,
    size: [usize; 2],
    evaluate: impl Fn(I, Option<&Tensor<2>>) -> O + Sync,
) -> O {
    apart(model, || shared_out(model, input, context, size, &evaluate))
}

/// [`over_rows`], outside the threads of the caller's pools.
fn shared_out<I: Rows, O: Rows>(
    model: &impl Module,
    input: I,
    context: Option<&Tensor<2>>,
    [count, pixels]: [usize; 2],
    evaluate: impl Fn(I, Option<&Tensor<2>>) -> O + Sync,
) -> O {
    if count == 0 {
        // burn 0.22 cannot expand a tensor to zero rows, so layers get one row, which is dropped from the result.
        let context = context.map(Rows::blank);
        return in_block(1, 0, || evaluate(input.blank(), context.as_ref())).part(0..0);
    }
    if count < images(2 * FEWEST_ROWS, pixels) {
        return evaluate(input, context);
    }
    let least = LEAST_ROWS.min(least_rows(model, WORK));
    let [most, least] = [MOST_ROWS, least].map(|rows| images(rows, pixels));
    let shares = blocks(count, count.div_ceil(threads()).clamp(least, most));
    let can_be_shared = shares.len() > 1
        && input.is_plain()
        && context.is_none_or(Rows::is_plain)
        && model.devices().iter().all(is_plain);
    if !can_be_shared {
        return evaluate(input, context);
    }
    let crew = Crew::of(shares.len());
    // Alone, this thread takes the largest blocks. They bound the memory, and they fit the cache.
    let blocks = if crew.len() > 1 { shares } else { blocks(count, most) };
    if blocks.len() == 1 {
        return evaluate(input, context);
    }
    let whole = callers_rows(count);
    O::joined(crew.each(blocks.len(), |_, block| {
        let rows = blocks[block].clone();
        let context = context.map(|context| context.part(rows.clone()));
        in_block(rows.len(), whole, || evaluate(input.part(rows), context.as_ref()))
    }))
}

/// The blocks whose gradients are added to the gradient of a batch. A small batch has two blocks if they pay off.
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

/// The number of rows with which a model has this much work.
fn least_rows(model: &impl Module, work: usize) -> usize {
    work.div_ceil(model.num_params().max(1)).max(FEWEST_ROWS)
}

/// The number of images with this many pixels that cost as much as these rows.
fn images(rows: usize, pixels: usize) -> usize {
    (rows * PIXELS_OF_ROW / pixels.max(PIXELS_OF_ROW)).max(1)
}

/// Divides the rows into as few blocks of about equal length as possible, with at most `size` rows each.
pub(crate) fn blocks(count: usize, size: usize) -> Vec<Range<usize>> {
    let number = count.div_ceil(size).max(1);
    (0..number).map(|k| k * count / number..(k + 1) * count / number).collect()
}
