//! A dense layer with its activation, in one operation.
//!
//! y = f(x W + b)                    f the identity, relu or silu; blocks that a mask leaves empty are left out
//!
//! backward, with G = dL/dy * f':    dL/dx = G W^T,  dL/dW = x^T G (zero where masked),  dL/db = column sums of G

#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod stairs;
#[cfg(all(test, feature = "flex"))]
mod tests;

use burn::tensor::{Bool, Tensor, activation, module};

#[cfg(feature = "flex")]
pub(super) use self::flex::{Layer, activate, activate_all, forward_in, stairs};
#[cfg(feature = "flex")]
pub(super) use self::stairs::Stairs;

use crate::math::silu;

/// An activation that the kernel supports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Curve {
    Identity,
    /// `max(a, 0)`.
    Relu,
    /// `a / (1 + exp(-a))`.
    Silu,
}

/// `f(x W + b)` of `[.., d_in]`, `[d_in, d_out]`, `[d_out]`. Where a mask is false, `W` must hold a zero and gets no
/// gradient.
pub(crate) fn dense<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    mask: Option<Tensor<2, Bool>>,
    curve: Curve,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(bias) = &bias
        && flex::knows(&x, &weight, bias)
    {
        return flex::dense(x, weight, bias.clone(), mask, curve);
    }
    reference(x, weight, bias, mask, curve)
}

/// Whether a plain weight is known to be zero where the mask is false. Other backends than `flex` do not answer, because
/// reading the weight would take longer than masking it.
#[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
pub(crate) fn is_cut(weight: &Tensor<2>, mask: &Tensor<2, Bool>) -> bool {
    #[cfg(feature = "flex")]
    if crate::parallel::is_plain(&weight.device()) && super::knows(weight.dtype()) {
        return flex::is_cut(weight.clone(), mask.clone());
    }
    false
}

/// `x W` of `[rows, k]` and `[k, n]`. On `flex`, the bits of a row do not depend on the other rows. A matrix product of
/// burn does not promise this: if `W` is transposed or has one column, its order of summation depends on the number of
/// rows.
pub(crate) fn rows_times(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let n = weight.dims()[1];
    let none = Tensor::zeros([n], (&weight.device().without_autodiff(), weight.dtype()));
    dense(x, weight, Some(none), None, Curve::Identity)
}

/// The number of terms that a matrix product of burn sums at once, for any number of rows.
const TERMS: usize = 512;

/// `x W` for a stack of products of `[stack, rows, k]` and `[1 or stack, k, n]`, computed like [`rows_times`].
pub(crate) fn stacked_rows_times(x: Tensor<3>, weight: Tensor<3>) -> Tensor<3> {
    let [_, k, n] = weight.dims();
    if n == 1 {
        return (x * weight.swap_dims(1, 2)).sum_dim(2);
    }
    let terms = (0..k).step_by(TERMS).map(|start| {
        let count = TERMS.min(k - start);
        x.clone().narrow(2, start, count).matmul(weight.clone().narrow(1, start, count))
    });
    terms.reduce(|sum, terms| sum + terms).expect("at least one term")
}

/// `f(x W + b)` computed by the operations of the backend.
fn reference<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    mask: Option<Tensor<2, Bool>>,
    curve: Curve,
) -> Tensor<D> {
    let weight = match mask {
        // The fill removes the gradient of masked weights; the values do not change.
        Some(mask) if weight.is_autodiff() => weight.mask_fill(mask.bool_not(), 0.0),
        _ => weight,
    };
    let y = module::linear(x, weight, bias);
    match curve {
        Curve::Identity => y,
        Curve::Relu => activation::relu(y),
        Curve::Silu => silu(y),
    }
}
