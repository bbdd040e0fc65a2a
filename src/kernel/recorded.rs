//! Registers an operation with a custom backward pass.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

/// Computes the gradients with respect to the inputs, from the state that the forward pass kept and the gradient of the
/// output. The flags select the requested gradients.
type Pass<B, S, const N: usize> = fn(S, FloatTensor<B>, [bool; N]) -> [Option<FloatTensor<B>>; N];

struct Step<B: Backend, S, const N: usize>(Pass<B, S, N>);

impl<B: Backend, S, const N: usize> std::fmt::Debug for Step<B, S, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Step")
    }
}

impl<B: Backend, S, const N: usize> Backward<B, N> for Step<B, S, N>
where
    S: Clone + std::fmt::Debug + Send + 'static,
{
    type State = S;

    fn backward(self, ops: Ops<S, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradient = gradients.consume::<B>(&ops.node);
        let by = (self.0)(ops.state, gradient, wanted);
        for (node, gradient) in ops.parents.into_iter().zip(by) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

/// Returns the output of `forward`, and registers `backward` on the graph.
///
/// The flag of `forward` says whether a gradient may be requested. `forward` keeps the state of `backward` only then,
/// because a clone of an input prevents the reuse of its memory.
pub(super) fn recorded<B: Backend, C: CheckpointStrategy, S, const N: usize>(
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    forward: impl FnOnce([FloatTensor<B>; N], bool) -> (FloatTensor<B>, Option<S>),
    backward: Pass<B, S, N>,
) -> FloatTensor<Autodiff<B, C>>
where
    S: Clone + std::fmt::Debug + Send + 'static,
{
    let mut nodes = Vec::with_capacity(N);
    let inputs = inputs.map(|input| {
        let (input, node) = input.into_parts();
        nodes.push(node);
        input
    });
    let nodes = nodes.try_into().unwrap_or_else(|_| unreachable!("a node for each input"));
    match Step(backward).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (output, state) = forward(inputs, true);
            prepared.finish(state.expect("kept for the backward pass"), output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(forward(inputs, false).0),
    }
}
