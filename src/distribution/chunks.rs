//! Many draws in chunks of bounded memory.
//!
//! Chunks depend on the shape of an event, on the number of contexts and on the number of draws. They do not depend on
//! the number of threads, so a distribution that does not draw row by row gives the same numbers on every machine.

use burn::tensor::Tensor;

use crate::noise::Noise;
use crate::parallel::{Rows, blocks};
use crate::rows::in_block;

/// The largest number of rows in a chunk: several blocks for each thread.
const MOST_ROWS: usize = 8192;

/// The largest number of elements in a chunk: 16 MiB in f32.
const MOST_ELEMENTS: usize = 4 << 20;

/// With at least as many draws for each context, every context has chunks of its own, and its single row is passed
/// on. With fewer draws, the rows of several contexts share a chunk, because small chunks leave threads idle.
const OWN_ROWS: usize = 512;

/// Calls `draw` with the number of rows and the context of each chunk, until there are `copies` draws for each of the
/// contexts. Without a context, the number of contexts is 1. The draws of the first context come first.
pub(super) fn in_chunks<T: Rows>(
    context: Option<&Tensor<2>>,
    [contexts, copies]: [usize; 2],
    noise: &mut Noise,
    draw: impl Fn(usize, Option<&Tensor<2>>, &mut Noise) -> T,
) -> T {
    let rows = contexts * copies;
    let mut chunk = |from: std::ops::Range<usize>, copies: usize| {
        let (count, context) = (from.len() * copies, context.map(|c| repeated(c, from, copies)));
        in_block(count, rows, || draw(count, context.as_ref(), noise))
    };
    if (1..=OWN_ROWS).contains(&rows) {
        return chunk(0..contexts, copies);
    }
    // A row that is dropped shows the shape of an event.
    let one = context.map(|c| if contexts == 0 { c.blank() } else { c.part(0..1) });
    let one = in_block(1, rows, || draw(1, one.as_ref(), &mut Noise::seeded(0)));
    if rows == 0 {
        return one.part(0..0);
    }
    let width = context.map_or(0, |context| context.dims()[1]);
    let most = most_rows(one.elements() + width);
    let chunks: Vec<_> = if copies >= OWN_ROWS.min(most) {
        let parts = blocks(copies, most);
        (0..contexts).flat_map(|k| parts.iter().map(move |part| (k..k + 1, part.len()))).collect()
    } else {
        blocks(contexts, most / copies).into_iter().map(|part| (part, copies)).collect()
    };
    let room = (one.room(rows), 0);
    let filled = chunks.into_iter().fold(room, |(room, start), (from, copies)| {
        let count = from.len() * copies;
        (room.with(start, chunk(from, copies)), start + count)
    });
    filled.0
}

/// The largest number of rows of this many elements in a chunk.
pub(crate) fn most_rows(elements: usize) -> usize {
    (MOST_ELEMENTS / elements.max(1)).clamp(1, MOST_ROWS)
}

/// `copies` of each of these rows of the context. A single row stays a single row.
fn repeated(context: &Tensor<2>, rows: std::ops::Range<usize>, copies: usize) -> Tensor<2> {
    let ([all, width], count) = (context.dims(), rows.len());
    let part = if count == all { context.clone() } else { context.part(rows) };
    if count == 1 || copies == 1 {
        return part;
    }
    part.reshape([count, 1, width]).expand([count, copies, width]).reshape([count * copies, width])
}
