//! Kernels: the most expensive operations, written for the CPU backend `flex`, with their backward passes.
//!
//! Each kernel has a reference built from tensor operations, which the other backends run and the tests compare with. A
//! kernel is called through one function on tensors, which chooses between kernel and reference.

#[cfg(feature = "train")]
mod adam;
#[cfg(feature = "train")]
mod average;
mod channels;
mod columns;
mod conditioned;
mod conv;
mod dense;
#[cfg(feature = "flex")]
mod elementary;
mod map;
#[cfg(feature = "flex")]
mod matrix;
mod normal;
#[cfg(feature = "flex")]
mod recorded;
#[cfg(feature = "flex")]
mod shifts;
#[cfg(feature = "train")]
mod squares;
mod stepwise;
mod triangular;

#[cfg(feature = "train")]
pub(crate) use adam::AdamStep;
#[cfg(feature = "train")]
pub(crate) use average::moved_toward;
pub(crate) use channels::{scale_and_shift, shift_and_scale_back};
pub(crate) use columns::{join, pick, span, weave};
pub(crate) use conditioned::{DenseLayer, DenseNetwork, conditioned};
pub(crate) use conv::conv_same;
pub(crate) use dense::{Curve, dense, is_cut, rows_times, stacked_rows_times};
pub(crate) use map::{Ends, Knots, LARGEST_RAW, LEAST_DISCRIMINANT, Map, Pass, SLACK, Spline};
pub(crate) use normal::normal_log_prob;
#[cfg(feature = "train")]
pub(crate) use squares::sum_of_squares;
pub(crate) use stepwise::{Stage, Target, Units, stepwise};
pub(crate) use triangular::{invert_lower, invert_upper};

/// Whether the kernels support this number type.
#[cfg(feature = "flex")]
fn knows(dtype: burn::tensor::DType) -> bool {
    use burn::tensor::DType;

    matches!(dtype, DType::F32 | DType::F64)
}
