//! Numbers in slices: products of matrices, and memory that a thread uses again and again.

#![allow(unsafe_code, reason = "the product takes raw pointers; the extents are checked first")]

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use burn::backend::flex::FlexTensor;
use burn::tensor::{Element, TensorData};
use gemm::Parallelism;
use num_traits::Float;

/// The numbers that kernels work on.
pub(super) trait Real: Element + Float + Send + Sync {
    /// The numbers of a contiguous tensor.
    fn slice(tensor: &FlexTensor) -> &[Self];
    /// The same to be changed, in a copy if anybody else holds them.
    #[cfg(feature = "train")]
    fn slice_mut(tensor: &mut FlexTensor) -> &mut [Self];
    /// Hands over the buffers that this thread has at hand.
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

/// The same tensors, each in one piece.
pub(super) fn contiguous<const N: usize>(tensors: [FlexTensor; N]) -> [FlexTensor; N] {
    tensors.map(|tensor| tensor.to_contiguous())
}

/// A tensor of these numbers.
pub(super) fn tensor<T: Real>(values: Vec<T>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// A buffer for the time of one block: its numbers are what was left there. Fresh memory for every
/// block would cost as much as the products, most of it in page faults.
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
        T::kept(|kept| kept.push(buffer));
    }
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

/// A matrix in a slice, by rows or, transposed, by columns.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// The matrix whose rows lie one after another.
    pub(super) fn new(values: &'a [T], [rows, columns]: [usize; 2]) -> Self {
        assert!(values.len() == rows * columns, "a matrix fills its slice");
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The same numbers, rows and columns exchanged.
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

/// `left * right` into `out`, a matrix by rows.
pub(super) fn product<T: Real>(out: &mut [T], left: Matrix<'_, T>, right: Matrix<'_, T>) {
    multiply_into(out, left, right, false, Parallelism::None);
}

/// Adds `left * right` to `out`, a matrix by rows.
pub(super) fn add_product<T: Real>(out: &mut [T], left: Matrix<'_, T>, right: Matrix<'_, T>) {
    multiply_into(out, left, right, true, Parallelism::None);
}

/// `left * right`; a large product is shared among the threads of this pool.
pub(super) fn shared_product<T: Real>(left: Matrix<'_, T>, right: Matrix<'_, T>) -> Vec<T> {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    assert!(k == right.rows && k > 0, "the shapes of a product fit");
    let threads = match m * n * k >= SHARED_WORK {
        true => Parallelism::Rayon(0),
        false => Parallelism::None,
    };
    let mut out = Vec::with_capacity(m * n);
    // SAFETY: the vector holds as many numbers; a product of at least one term writes all of them
    // without reading any.
    unsafe {
        multiply(out.as_mut_ptr(), left, right, false, threads);
        out.set_len(m * n);
    }
    out
}

/// Multiplications from which threads pay for their hand-over, as in `flex` itself.
const SHARED_WORK: usize = 192 * 192 * 192;

fn multiply_into<T: Real>(
    out: &mut [T],
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    add: bool,
    threads: Parallelism,
) {
    let fits = left.columns == right.rows && out.len() == left.rows * right.columns;
    assert!(fits, "the shapes of a product fit");
    // SAFETY: `out` has a place for every number, is borrowed for writing and overlaps with neither
    // factor.
    unsafe { multiply(out.as_mut_ptr(), left, right, add, threads) }
}

/// # Safety
///
/// `out` has to be valid for as many numbers as the product has, initialised where it adds.
unsafe fn multiply<T: Real>(
    out: *mut T,
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    add: bool,
    threads: Parallelism,
) {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    // SAFETY: every matrix fills its slice ([`Matrix::new`]), so the strides stay inside; the rest
    // is the caller's.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            n as isize,
            add,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
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
}
