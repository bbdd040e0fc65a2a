//! Sums over an event, stable logarithms, triangular inverses.

use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;

/// `ln(2 pi)`.
pub(crate) const LN_2PI: f64 = 1.837_877_066_409_345_5;

/// Beyond this, `softplus(x)` is `x` to the last bit of an f64 (`exp(-40) < 2^-53`).
const SOFTPLUS_THRESHOLD: f64 = 40.0;

/// Sums every axis but the first: `[batch, event..] -> [batch]`.
pub(crate) fn sum_event<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let batch = x.dims()[0];
    let event = event_len(&x);
    x.reshape([batch, event]).sum_dim(1).reshape([batch])
}

/// The number of elements of one event.
pub(crate) fn event_len<const D: usize>(x: &Tensor<D>) -> usize {
    x.dims()[1..].iter().product()
}

/// Zeros of shape `[batch]` in the type and on the device of `x`, outside any graph.
pub(crate) fn zeros_batch<const D: usize>(x: &Tensor<D>) -> Tensor<1> {
    Tensor::zeros([x.dims()[0]], (&x.device().without_autodiff(), x.dtype()))
}

/// One value `[1]` repeated for every row of `x`.
pub(crate) fn repeat_batch<const D: usize>(value: Tensor<1>, x: &Tensor<D>) -> Tensor<1> {
    value.expand([x.dims()[0]])
}

/// `ln(1 + exp(x))`, exact in f64 also where burn's default switches to `x` at 20.
pub(crate) fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    burn::tensor::activation::softplus_with_threshold(x, 1.0, SOFTPLUS_THRESHOLD)
}

/// The inverse of [`softplus`] for positive `y`: `y + ln(1 - exp(-y))`.
pub(crate) fn softplus_inverse<const D: usize>(y: Tensor<D>) -> Tensor<D> {
    let tail = y.clone().neg().exp().neg().log1p();
    y + tail
}

/// `ln sigmoid(x)` and `ln sigmoid(-x)`.
pub(crate) fn log_sigmoid_pair<const D: usize>(x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
    (log_sigmoid(x.clone()), log_sigmoid(x.neg()))
}

/// `ln sum exp` over one axis, which is kept with length 1.
pub(crate) fn log_sum_exp<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    let max = x.clone().detach().max_dim(dim);
    (x - max.clone()).exp().sum_dim(dim).log() + max
}

/// The inverse of a lower triangular matrix, by halves:
/// `[[A, 0], [B, C]]^-1 = [[A^-1, 0], [-C^-1 B A^-1, C^-1]]`.
pub(crate) fn invert_lower(matrix: Tensor<2>) -> Tensor<2> {
    let [n, _] = matrix.dims();
    if n == 1 {
        return matrix.recip();
    }
    let half = n / 2;
    let rest = n - half;
    let a = invert_lower(matrix.clone().slice([0..half, 0..half]));
    let b = matrix.clone().slice([half..n, 0..half]);
    let c = invert_lower(matrix.slice([half..n, half..n]));
    let corner = c.clone().matmul(b).matmul(a.clone()).neg();
    let zeros = Tensor::zeros([half, rest], (&a.device().without_autodiff(), a.dtype()));
    Tensor::cat(vec![Tensor::cat(vec![a, zeros], 1), Tensor::cat(vec![corner, c], 1)], 0)
}

/// The inverse of an upper triangular matrix.
pub(crate) fn invert_upper(matrix: Tensor<2>) -> Tensor<2> {
    invert_lower(matrix.transpose()).transpose()
}
