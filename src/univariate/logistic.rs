//! The logit of a mixture of sigmoids, with its slope: what Flow++ and NAF have in common.

use burn::tensor::Tensor;

use crate::math::{log_sigmoid_pair, log_sum_exp};

/// `logit(sum_k w_k sigmoid(v_k))` along an axis, which is kept with length 1, and the logarithm of its
/// slope in a scalar of which `ln dv_k` are the log-slopes of `v_k`.
///
/// The slope is `sum_k dv_k (p_k sigmoid(-v_k) + q_k sigmoid(v_k))` with the shares `p_k` of the sum
/// and `q_k` of one minus the sum: no difference of large numbers, in any tail.
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

/// Logarithms of weights along an axis: a softmax.
pub(super) fn log_weights<const D: usize>(logits: Tensor<D>, dim: usize) -> Tensor<D> {
    burn::tensor::activation::log_softmax(logits, dim)
}
