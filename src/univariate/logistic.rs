//! The logit of a mixture of sigmoids, with its slope. Flow++ and NAF share it.

use burn::tensor::Tensor;

use crate::math::{log_sigmoid_pair, log_sum_exp};

/// Returns `logit(sum_k w_k sigmoid(v_k))` along axis `dim`, which is kept with length 1, and the
/// logarithm of its slope. `log_dv` holds the log-slopes `ln dv_k` of `v_k` in the scalar input.
///
/// The slope is `sum_k dv_k (p_k sigmoid(-v_k) + q_k sigmoid(v_k))`. `p_k` is the share of kernel `k`
/// in the sum, `q_k` its share in one minus the sum. No large numbers are subtracted in either tail.
pub(super) fn logit_of_mixture<const D: usize>(
    log_weight: Tensor<D>,
    v: Tensor<D>,
    log_dv: Tensor<D>,
    dim: usize,
) -> (Tensor<D>, Tensor<D>) {
    let (above, below) = log_sigmoid_pair(v);
    let (up, down) = (log_weight.clone() + above.clone(), log_weight + below.clone());
    let log_sum = log_sum_exp(up.clone(), dim);
    let log_rest = log_sum_exp(down.clone(), dim);
    let slopes = vec![
        up - log_sum.clone() + below + log_dv.clone(),
        down - log_rest.clone() + above + log_dv,
    ];
    let log_slope = log_sum_exp(Tensor::cat(slopes, dim), dim);
    (log_sum - log_rest, log_slope)
}

/// The logarithms of a softmax along axis `dim`.
pub(super) fn log_weights<const D: usize>(logits: Tensor<D>, dim: usize) -> Tensor<D> {
    burn::tensor::activation::log_softmax(logits, dim)
}
