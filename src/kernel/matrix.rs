//! Numbers in slices: products of matrices, and memory that a thread uses again and again.

#![allow(unsafe_code, reason = "the product takes raw pointers; the extents are checked first")]

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use burn::backend::flex::FlexTensor;
use burn::tensor::{Element, TensorData};
use num_traits::Float;

/// The numbers that kernels work on.
pub(super) trait Real: Element + Float + Send + Sync {
    /// The numbers of a contiguous tensor.
    fn slice(tensor: &FlexTensor) -> &[Self];
    /// Hands over the buffers that this thread has at hand.
    fn kept<R>(work: impl FnOnce(&mut Vec<Vec<Self>>) -> R) -> R;
}

macro_rules! real {
    ($($number:ty),*) => {$(
        impl Real for $number {
            fn slice(tensor: &FlexTensor) -> &[Self] {
                tensor.as_slice::<$number>().expect("a contiguous tensor of this type")
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
    multiply(out, left, right, false);
}

/// Adds `left * right` to `out`, a matrix by rows.
pub(super) fn add_product<T: Real>(out: &mut [T], left: Matrix<'_, T>, right: Matrix<'_, T>) {
    multiply(out, left, right, true);
}

fn multiply<T: Real>(out: &mut [T], left: Matrix<'_, T>, right: Matrix<'_, T>, add: bool) {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    assert!(k == right.rows && out.len() == m * n, "the shapes of a product fit");
    // SAFETY: every matrix fills its slice ([`Matrix::new`], the assertion above), so the strides
    // stay inside; `out` is borrowed for writing and overlaps with neither factor.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
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
            gemm::Parallelism::None,
        );
    }
}
