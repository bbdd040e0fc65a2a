//! Rows in parallel on the CPU backend `flex`: every core works through blocks of a batch.
//!
//! `flex` gives single operations to several threads; at the sizes of a flow the hand-over costs
//! more than it gives. The rows of a batch are independent, so a block of them goes to a pool of
//! one thread, where `flex` stays on that thread.
//!
//! An evaluation has the same bits for every number of blocks. A gradient is a sum over rows, so
//! its blocks follow from the batch alone, and their gradients are added in their order: the result
//! does not depend on the number of threads.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::crew::{Crew, apart, threads};
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
    model: &(impl Module + Sync),
    input: I,
    context: Option<&Tensor<2>>,
    size: [usize; 2],
    evaluate: impl Fn(I, Option<&Tensor<2>>) -> O + Sync,
) -> O {
    apart(model, || shared_out(model, input, context, size, &evaluate))
}

/// [`over_rows`], where the threads of the caller's pools are out of the way.
fn shared_out<I: Rows, O: Rows>(
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
    let can_be_shared = blocks.len() > 1
        && input.is_plain()
        && context.is_none_or(Rows::is_plain)
        && model.devices().iter().all(is_plain);
    let crew = Crew::of(if can_be_shared { blocks.len() } else { 1 });
    if crew.len() < 2 {
        return evaluate(input, context);
    }
    let whole = callers_rows(count);
    O::joined(crew.each(blocks.len(), |_, block| {
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
