//! Kernels: the hot operations, written for the CPU backend `flex`, with their backward passes.
//!
//! Every kernel has a reference made of tensor operations, which the other backends run and the
//! tests compare with. A kernel is called through one function of tensors; the rest of the crate
//! does not know which of the two ran.

mod affine;
mod conv;
#[cfg(feature = "flex")]
mod elementary;
#[cfg(feature = "flex")]
mod matrix;
#[cfg(feature = "flex")]
mod shifts;
mod spline;
mod triangular;

pub(crate) use affine::{affine_forward, affine_inverse};
pub(crate) use conv::conv_same;
pub(crate) use spline::{Ends, Knots, LARGEST_RAW, LEAST_DISCRIMINANT, SLACK, Spline};
pub(crate) use triangular::{invert_lower, invert_upper};

#[cfg(feature = "flex")]
use burn::tensor::Tensor;

/// Whether the kernels are written for these numbers.
#[cfg(feature = "flex")]
fn knows(dtype: burn::tensor::DType) -> bool {
    use burn::tensor::DType;

    matches!(dtype, DType::F32 | DType::F64)
}

/// Values and log-det of `[batch, n + 1]`.
#[cfg(feature = "flex")]
fn unpacked(packed: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    let [batch, columns] = packed.dims();
    let log_det = packed.clone().narrow(1, columns - 1, 1).reshape([batch]);
    (packed.narrow(1, 0, columns - 1), log_det)
}
