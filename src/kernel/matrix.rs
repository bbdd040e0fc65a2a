//! Matrix products on slices, and reusable buffers of a thread.

#![allow(unsafe_code, reason = "the product takes raw pointers; the extents are checked first")]

use std::cell::RefCell;
use std::ops::{Deref, DerefMut, Range};

use burn::backend::flex::FlexTensor;
use burn::tensor::{Element, TensorData};
use gemm::Parallelism;
use num_traits::Float;

use crate::crew::in_a_pool;

/// The number types that the kernels support.
pub(super) trait Real: Element + Float + Send + Sync {
    /// The elements of a contiguous tensor.
    fn slice(tensor: &FlexTensor) -> &[Self];
    /// The elements of a contiguous tensor for writing; the tensor is copied first if its memory is shared.
    #[cfg(feature = "train")]
    fn slice_mut(tensor: &mut FlexTensor) -> &mut [Self];
    /// Passes the free buffers of this thread to `work`.
    fn kept<R>(work: impl FnOnce(&mut Vec<Vec<Self>>) -> R) -> R;
}

macro_rules! real {
    ($($number:ty),*) => {$(
        impl Real for $number {
            fn slice(tensor: &FlexTensor) -> &[Self] {
                tensor.as_slice::<$number>().expect("a contiguous tensor of this type")
            }

            #[cfg(feature = "train")]
            fn slice_mut(tensor: &mut FlexTensor) -> &mut [Self] {
                let span = tensor.layout().contiguous_offsets();
                let (start, end) = span.expect("a contiguous tensor");
                &mut tensor.storage_mut::<$number>()[start..end]
            }

            fn kept<R>(work: impl FnOnce(&mut Vec<Vec<Self>>) -> R) -> R {
                thread_local!(static KEPT: RefCell<Vec<Vec<$number>>> = RefCell::default());
                KEPT.with_borrow_mut(work)
            }
        }
    )*};
}

real!(f32, f64);

/// Makes each tensor contiguous.
pub(super) fn contiguous<const N: usize>(tensors: [FlexTensor; N]) -> [FlexTensor; N] {
    tensors.map(|tensor| tensor.to_contiguous())
}

/// Creates a tensor with these values.
pub(super) fn tensor<T: Real>(values: Vec<T>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Bytes that a thread keeps for later blocks, per number type. The buffers of a block of a batch are smaller; the
/// memory of one huge layer is freed.
const KEPT_BYTES: usize = 16 << 20;

/// A buffer for the duration of one block, with arbitrary initial numbers. Allocating memory for each block would cost
/// as much as the products, mostly in page faults.
pub(super) struct Scratch<T: Real> {
    buffer: Vec<T>,
    length: usize,
}

impl<T: Real> Scratch<T> {
    pub(super) fn new(length: usize) -> Self {
        let mut buffer = T::kept(|kept| kept.pop().unwrap_or_default());
        if buffer.len() < length {
            buffer.resize(length, T::zero());
        }
        Self { buffer, length }
    }
}

impl<T: Real> Drop for Scratch<T> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        T::kept(|kept| {
            if bytes(kept.iter()) + bytes([&buffer]) <= KEPT_BYTES {
                kept.push(buffer);
            }
        });
    }
}

/// The total capacity of these buffers in bytes.
fn bytes<'a, T: 'a>(buffers: impl IntoIterator<Item = &'a Vec<T>>) -> usize {
    buffers.into_iter().map(|buffer| buffer.capacity() * size_of::<T>()).sum()
}

impl<T: Real> Deref for Scratch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.buffer[..self.length]
    }
}

impl<T: Real> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.buffer[..self.length]
    }
}

/// A matrix in a slice: in row-major order, transposed, or a part of a matrix.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// The matrix with the given values in row-major order.
    pub(super) fn new(values: &'a [T], [rows, columns]: [usize; 2]) -> Self {
        assert!(values.len() == rows * columns, "a matrix fills its slice");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The part with these rows and columns.
    pub(super) fn part(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let inside = rows.end <= self.rows && columns.end <= self.columns;
        assert!(inside && !rows.is_empty() && !columns.is_empty(), "a part is inside its matrix");
        let start = rows.start * self.row_stride + columns.start * self.column_stride;
        let values = &self.values[start..];
        Self { values, rows: rows.len(), columns: columns.len(), ..self }
    }

    /// The part with these columns.
    pub(super) fn columns(self, columns: Range<usize>) -> Self {
        let rows = 0..self.rows;
        self.part(rows, columns)
    }

    /// The transposed matrix, on the same values.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Writes `left * right` to `out` in row-major order.
pub(super) fn product<T: Real>(out: &mut [T], left: Matrix<'_, T>, right: Matrix<'_, T>) {
    multiply_into(out, left, right, false);
}

/// Adds `left * right` to `out` in row-major order.
pub(super) fn add_product<T: Real>(out: &mut [T], left: Matrix<'_, T>, right: Matrix<'_, T>) {
    multiply_into(out, left, right, true);
}

/// Products with equal numbers of rows, concatenated along their columns to `[m, n]`. Large products are shared among
/// the threads of rayon, unless the caller is such a thread.
pub(super) fn side_by_side<'a, T: Real>(
    [m, n]: [usize; 2],
    products: impl IntoIterator<Item = [Matrix<'a, T>; 2]>,
) -> Vec<T> {
    let mut out = Vec::with_capacity(m * n);
    // SAFETY: the vector has capacity for `m` rows of `n` numbers, which are all written before they are read.
    unsafe {
        fill(out.as_mut_ptr(), [m, n], products);
        out.set_len(m * n);
    }
    out
}

/// [`side_by_side`] in a given buffer of `m * n` numbers.
pub(super) fn side_by_side_in<'a, T: Real>(
    out: &mut [T],
    [m, n]: [usize; 2],
    products: impl IntoIterator<Item = [Matrix<'a, T>; 2]>,
) {
    assert!(out.len() == m * n, "products fill a matrix");
    // SAFETY: the slice has `m` rows of `n` numbers, and is borrowed for writing.
    unsafe { fill(out.as_mut_ptr(), [m, n], products) }
}

/// Writes every number of `[m, n]` once, without reading any.
///
/// # Safety
///
/// `out` must be valid for writing `m * n` numbers, and nobody else may access them.
unsafe fn fill<'a, T: Real>(
    out: *mut T,
    [m, n]: [usize; 2],
    products: impl IntoIterator<Item = [Matrix<'a, T>; 2]>,
) {
    let mut filled = 0;
    for [left, right] in products {
        let fits = left.rows == m && left.columns == right.rows && right.columns <= n - filled;
        assert!(fits && left.columns > 0, "the shapes of a product fit");
        // SAFETY: the product writes the next columns of the rows. A product of at least one term writes all of its
        // numbers without reading any.
        unsafe { multiply(out.add(filled), n, left, right, false, shared(left, right)) };
        filled += right.columns;
    }
    assert!(filled == n, "products fill a matrix");
}

/// Products at their places in a matrix `[m, n]` of zeros; a place is the first row and the first column. Large
/// products are shared among the threads of rayon, unless the caller is such a thread.
pub(super) fn among_zeros<'a, T: Real>(
    [m, n]: [usize; 2],
    products: impl IntoIterator<Item = ([usize; 2], [Matrix<'a, T>; 2])>,
) -> Vec<T> {
    let mut out = vec![T::zero(); m * n];
    for ([row, column], [left, right]) in products {
        let inside = row + left.rows <= m && column + right.columns <= n;
        assert!(inside && left.columns == right.rows, "the shapes of a product fit");
        // SAFETY: all numbers of the product have a place in the vector, which is initialised.
        unsafe {
            let out = out.as_mut_ptr().add(row * n + column);
            multiply(out, n, left, right, false, shared(left, right));
        }
    }
    out
}

fn shared<T>(left: Matrix<'_, T>, right: Matrix<'_, T>) -> Parallelism {
    let pays = left.rows * left.columns * right.columns >= SHARED_WORK;
    if pays && !in_a_pool() { Parallelism::Rayon(0) } else { Parallelism::None }
}

/// The number of multiplications from which on threads are worth their overhead, as in `flex` itself.
const SHARED_WORK: usize = 192 * 192 * 192;

/// The number of terms that `gemm` sums at once, for any number of rows. With more terms, `gemm` would choose the split
/// by the number of rows, and the bits of a row would depend on the other rows.
const DEPTH: usize = 512;

fn multiply_into<T: Real>(out: &mut [T], left: Matrix<'_, T>, right: Matrix<'_, T>, add: bool) {
    let fits = left.columns == right.rows && out.len() == left.rows * right.columns;
    assert!(fits, "the shapes of a product fit");
    // SAFETY: `out` has a place for each number of the product, is borrowed for writing, and overlaps with neither
    // factor.
    unsafe { multiply(out.as_mut_ptr(), right.columns, left, right, add, Parallelism::None) }
}

/// # Safety
///
/// `out` must be valid for the rows of the product, which are `row_stride` numbers apart, and nobody else may access
/// them. If `add` is set, they must be initialised.
unsafe fn multiply<T: Real>(
    out: *mut T,
    row_stride: usize,
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    add: bool,
    threads: Parallelism,
) {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    if n == 1 && left.column_stride == 1 {
        // SAFETY: the caller upholds the contract.
        return unsafe { multiply_column(out, row_stride, left, right, add) };
    }
    for start in (0..k.max(1)).step_by(DEPTH) {
        let add = add || start > 0;
        // For one row, `gemm` would add term by term to the output; for several rows, it adds a sum.
        let mut apart = (m == 1 && add).then(|| Scratch::<T>::new(n));
        let to = apart.as_mut().map_or(out, |sum| sum.as_mut_ptr());
        // SAFETY: each matrix is inside its slice ([`Matrix::new`], [`Matrix::part`]), so the strides stay inside; the
        // buffer holds a row; the caller upholds the rest of the contract.
        unsafe {
            gemm::gemm(
                m,
                n,
                DEPTH.min(k - start),
                to,
                1,
                row_stride as isize,
                add && apart.is_none(),
                left.values.as_ptr().add(start * left.column_stride),
                left.column_stride as isize,
                left.row_stride as isize,
                right.values.as_ptr().add(start * right.row_stride),
                right.column_stride as isize,
                right.row_stride as isize,
                T::one(),
                T::one(),
                false,
                false,
                false,
                threads,
            );
        }
        for (column, &sum) in apart.iter().flat_map(|sum| sum.iter()).enumerate() {
            // SAFETY: the caller upholds the contract; if `add` is set, the row is initialised.
            unsafe { *out.add(column) = *out.add(column) + sum };
        }
    }
}

/// [`multiply`] for a right matrix of one column, for which `gemm` would choose the order of its sums by the number of
/// rows.
///
/// # Safety
///
/// The contract of [`multiply`] applies.
unsafe fn multiply_column<T: Real>(
    out: *mut T,
    row_stride: usize,
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    add: bool,
) {
    let column: Vec<T> = (0..right.rows).map(|k| right.values[k * right.row_stride]).collect();
    for row in 0..left.rows {
        let numbers = &left.values[row * left.row_stride..][..column.len()];
        let mut lanes = [T::zero(); 8];
        for (numbers, column) in numbers.chunks(8).zip(column.chunks(8)) {
            for (lane, (&a, &b)) in lanes.iter_mut().zip(numbers.iter().zip(column)) {
                *lane = *lane + a * b;
            }
        }
        let sum = lanes.into_iter().fold(T::zero(), |sum, lane| sum + lane);
        // SAFETY: the caller upholds the contract; the number is initialised where it is read.
        unsafe {
            let out = out.add(row * row_stride);
            out.write(if add { *out + sum } else { sum });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_small_buffers_and_gives_huge_ones_back() {
        let kept = || f64::kept(|kept| (kept.len(), bytes(kept.iter())));
        std::thread::scope(|scope| {
            // A new thread has no buffers yet.
            scope.spawn(|| {
                drop([Scratch::<f64>::new(1000), Scratch::new(500)]);
                assert_eq!(kept(), (2, 12_000));
                drop(Scratch::<f64>::new(KEPT_BYTES / 8 + 1));
                assert_eq!(kept().0, 1, "the one that grew is gone");
                for length in 1..200 {
                    drop([(); 3].map(|()| Scratch::<f64>::new(length * 10_000)));
                    assert!(kept().1 <= KEPT_BYTES, "{length}: {:?}", kept());
                }
            });
        });
    }
}
