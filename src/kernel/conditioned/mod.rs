//! A scalar map whose parameters come from a network of dense layers, in one operation.
//!
//! z_b = f(x_b; h(x_a, c)),  the rest of z is x            h dense layers, f a scalar map with a kernel
//!
//! A small batch spends more time between operations than in their arithmetic. Without a term, the numbers are those of
//! the separate operations, bit for bit, because the same functions compute them; with a term, silu rounds differently.
//! In a graph, the layer is one node, whose gradients reach the weights, `x`, the context and the term.

#[cfg(feature = "flex")]
mod backward;
#[cfg(feature = "flex")]
mod flex;

use burn::tensor::{Bool, Tensor};

use super::{Curve, Map, Pass};

/// A dense layer, `f(x W + b)`.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "no kernel reads them"))]
pub(crate) struct DenseLayer {
    pub(crate) weight: Tensor<2>,
    pub(crate) bias: Option<Tensor<1>>,
    /// Where it is false, the weight holds a zero.
    pub(crate) mask: Option<Tensor<2, Bool>>,
    pub(crate) curve: Curve,
}

/// Dense layers in a row.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "no kernel reads them"))]
pub(crate) struct DenseNetwork {
    pub(crate) layers: Vec<DenseLayer>,
    /// What the first layer sees after its other inputs, `[1 or rows, width]`.
    pub(crate) context: Option<Tensor<2>>,
    /// What is added to the first layer before its activation, `[1 or rows, width]`.
    pub(crate) term: Option<Tensor<2>>,
}

/// `z`, and the log-determinant if `pass` computes it, for rows whose network sees the columns `kept` and whose map
/// applies to the columns `moved`. Both lists are ascending. `None` if the kernel does not support the network, the
/// tensors, or a graph for this pass.
#[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
pub(crate) fn conditioned<const D: usize>(
    network: DenseNetwork,
    map: Map,
    pass: Pass,
    [kept, moved]: [&[usize]; 2],
    x: &Tensor<D>,
) -> Option<(Tensor<D>, Option<Tensor<1>>)> {
    #[cfg(feature = "flex")]
    if flex::knows(&network, map, [kept, moved], x) {
        return flex::conditioned(network, map, pass, [kept, moved], x);
    }
    None
}
