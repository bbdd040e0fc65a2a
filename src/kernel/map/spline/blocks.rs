//! Runs the kernel over the rows of tensors.

use super::Spline;
use super::lanes::{LANES, Lanes, Params, Work};
use crate::kernel::elementary::{Elementary, vectorized};
use crate::kernel::map::{Extent, Pass};
use crate::kernel::matrix::Scratch;

/// The elements of a tensor `[batch, n]` that the kernel processes at once.
#[derive(Clone, Copy)]
enum Block {
    /// Neighbouring elements of one row.
    Row { row: usize, column: usize },
    /// `count` consecutive elements from `first` on, across short rows.
    Rows { first: usize, count: usize },
}

impl Extent {
    fn blocks(self) -> impl Iterator<Item = Block> {
        let Self { batch, n, .. } = self;
        let long = n >= LANES;
        let (rows, count) = if long { (batch, n) } else { (1, batch * n) };
        let starts =
            (0..rows).flat_map(move |row| (0..count).step_by(LANES).map(move |i| (row, i)));
        starts.map(move |(row, start)| match long {
            // The last block of a row overlaps the previous block and computes the overlap again.
            true => Block::Row { row, column: start.min(n - LANES) },
            false => Block::Rows { first: start, count: LANES.min(count - start) },
        })
    }

    /// Loads the elements of a block from `values`, whose rows are `stride` apart.
    #[inline(always)]
    fn load<T: Elementary>(self, block: Block, values: &[T], stride: usize) -> Lanes<T> {
        match block {
            Block::Row { row, column } => {
                values[row * stride + column..][..LANES].try_into().expect("so many lanes")
            }
            Block::Rows { first, count } => {
                let mut lanes = [T::zero(); LANES];
                for (lane, element) in lanes.iter_mut().zip(first..first + count) {
                    *lane = values[element / self.n * stride + element % self.n];
                }
                lanes
            }
        }
    }

    #[inline(always)]
    fn store<T: Elementary>(self, block: Block, lanes: Lanes<T>, out: &mut [T], stride: usize) {
        match block {
            Block::Row { row, column } => {
                out[row * stride + column..][..LANES].copy_from_slice(&lanes);
            }
            Block::Rows { first, count } => {
                for (lane, element) in lanes.into_iter().zip(first..first + count) {
                    out[element / self.n * stride + element % self.n] = lane;
                }
            }
        }
    }

    /// The range of the parameters of a block within one row.
    fn range(self, row: usize, column: usize) -> std::ops::Range<usize> {
        let start = row * self.params * self.n + column;
        start..start + (self.params - 1) * self.n + LANES
    }

    /// The parameters of a block, used in place or copied to `gathered`.
    #[inline(always)]
    fn params<'a, T: Elementary>(
        self,
        block: Block,
        params: &'a [T],
        gathered: &'a mut [T],
    ) -> Params<'a, T> {
        let Self { n, .. } = self;
        match block {
            Block::Row { row, column } => {
                Params { values: &params[self.range(row, column)], stride: n }
            }
            Block::Rows { first, count } => {
                for (lane, element) in (first..first + count).enumerate() {
                    let start = element / n * self.params * n + element % n;
                    for p in 0..self.params {
                        gathered[p * LANES + lane] = params[start + p * n];
                    }
                }
                Params { values: gathered, stride: LANES }
            }
        }
    }
}

/// Applies the map or its inverse to all elements, and computes the log-slopes; a row of the output has `columns`
/// numbers.
#[inline(always)]
fn run<T: Elementary, const INVERSE: bool>(
    spline: Spline,
    extent: Extent,
    [x, params]: [&[T]; 2],
    out: &mut [T],
    log_slopes: &mut [f64],
    columns: usize,
) {
    let mut gathered = Scratch::<T>::new(extent.params * LANES);
    let mut work = Work::new(spline);
    for block in extent.blocks() {
        let values = extent.load(block, x, extent.n);
        let params = extent.params(block, params, &mut gathered);
        let (values, slopes) = match INVERSE {
            true => work.inverse(&values, params),
            false => work.forward(&values, params),
        };
        extent.store(block, values, out, columns);
        extent.store(block, slopes, log_slopes, extent.n);
    }
}

/// Writes the result of a pass to `out`.
pub(in crate::kernel) fn apply<T: Elementary>(
    spline: Spline,
    pass: Pass,
    extent: Extent,
    inputs: [&[T]; 2],
    out: &mut [T],
) {
    let (n, columns) = (extent.n, pass.columns(extent.n));
    let mut log_slopes = Scratch::<f64>::new(extent.batch * n);
    vectorized(
        #[inline(always)]
        || match pass.is_inverse() {
            true => run::<T, true>(spline, extent, inputs, out, &mut log_slopes, columns),
            false => run::<T, false>(spline, extent, inputs, out, &mut log_slopes, columns),
        },
    );
    if columns > n {
        for (row, slopes) in out.chunks_mut(columns).zip(log_slopes.chunks(n)) {
            row[n] = T::nearest(slopes.iter().sum());
        }
    }
}

/// Writes the gradients with respect to values and parameters, from the gradient of a forward pass.
pub(in crate::kernel) fn gradients<T: Elementary>(
    spline: Spline,
    extent: Extent,
    [x, params, gradient]: [&[T]; 3],
    [by_x, by_params]: [&mut [T]; 2],
) {
    let n = extent.n;
    let mut gathered = Scratch::<T>::new(extent.params * LANES);
    let mut spread = Scratch::<T>::new(extent.params * LANES);
    let mut work = Work::new(spline);
    vectorized(
        #[inline(always)]
        || {
            for block in extent.blocks() {
                let values = extent.load(block, x, n);
                let by_value = extent.load(block, gradient, n + 1);
                let mut by_slope = [T::zero(); LANES];
                match block {
                    Block::Row { row, .. } => by_slope.fill(gradient[row * (n + 1) + n]),
                    Block::Rows { first, count } => {
                        for (lane, element) in by_slope.iter_mut().zip(first..first + count) {
                            *lane = gradient[element / n * (n + 1) + n];
                        }
                    }
                }
                let params = extent.params(block, params, &mut gathered);
                let by = [&by_value, &by_slope];
                let by_values = match block {
                    Block::Row { row, column } => work.backward(
                        &values,
                        params,
                        by,
                        &mut by_params[extent.range(row, column)],
                    ),
                    Block::Rows { first, count } => {
                        let by_values = work.backward(&values, params, by, &mut spread);
                        for (lane, element) in (first..first + count).enumerate() {
                            let start = element / n * extent.params * n + element % n;
                            for p in 0..extent.params {
                                by_params[start + p * n] = spread[p * LANES + lane];
                            }
                        }
                        by_values
                    }
                };
                extent.store(block, by_values, by_x, n);
            }
        },
    );
}
