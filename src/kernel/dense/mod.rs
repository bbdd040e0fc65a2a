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

use crate::math::silu;

/// An activation that has a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Curve {
    Identity,
    /// `max(a, 0)`.
    Relu,
    /// `a / (1 + exp(-a))`.
    Silu,
}

/// `f(x W + b)` of `[.., d_in]`, `[d_in, d_out]`, `[d_out]`. Where a mask is false, `W` holds a zero, and
/// gets no gradient.
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

/// The same by the backend's own operations.
fn reference<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    mask: Option<Tensor<2, Bool>>,
    curve: Curve,
) -> Tensor<D> {
    let weight = match mask {
        // For the sake of the gradient; the numbers are the same.
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
