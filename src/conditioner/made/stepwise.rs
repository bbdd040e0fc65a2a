//! The network and a scalar map with a kernel, for the inverse of an autoregressive layer in one operation.

use burn::tensor::Tensor;

use super::{Made, MaskedLinear};
use crate::kernel::{Curve, Map, Stage, Target, Units, stepwise};
use crate::param::host_indices;

/// A masked layer, what a context adds to it, the factors of its sums, and its place in the network.
type Link<'a> = (&'a MaskedLinear, [Option<Tensor<2>>; 2], [usize; 2], [Curve; 2], Target);

impl Made {
    /// The features, `[rows, features]`, and, if `with_params`, their parameters, `[rows, P, features]`. `None` if the
    /// kernel does not support the network or the tensors. The context has one row, or as many as `z`.
    pub(crate) fn stepwise(
        &self,
        map: Map,
        z: &Tensor<2>,
        context: Option<&Tensor<2>>,
        with_params: bool,
    ) -> Option<(Tensor<2>, Option<Tensor<3>>)> {
        let curve = self.activation.curve().filter(|_| self.periodic.is_none())?;
        let context = &self.seen(context);
        let context = context.as_ref();
        let steps_of: Vec<Vec<usize>> = self.steps.iter().map(host_indices).collect();
        let steps = steps_of[0].iter().max().expect("a feature") + 1;
        let units: Vec<Units> = steps_of.iter().map(|of| Units::new(of, steps)).collect();
        let outputs = units[0].repeated(self.outputs(), self.features);

        let plain = Curve::Identity;
        let first = if self.activates_input() { curve } else { plain };
        let term = [self.context_term(context), None];
        let mut links: Vec<Link<'_>> =
            vec![(&self.input, term, [0, 1], [plain, first], Target::Stream)];
        for (k, layer) in self.hidden.iter().enumerate() {
            links.push((layer, [None, None], [k + 1, k + 2], [plain, curve], Target::Stream));
        }
        // `stream` is the stream that a block changes; `wider` counts the wider streams so far.
        let (mut stream, mut wider) = (self.hidden.len() + 1, 0);
        for (k, block) in self.blocks.iter().enumerate() {
            if let Some(widen) = &block.widen {
                wider += 1;
                let next = self.hidden.len() + 1 + self.blocks.len() + wider;
                links.push((widen, [None, None], [stream, next], [plain; 2], Target::Stream));
                stream = next;
            }
            let (extra, gate) = self.block_context(block, context);
            let inner = self.hidden.len() + k + 2;
            let enter = if self.style.bare_blocks { plain } else { curve };
            let curves = [enter, curve];
            links.push((&block.first, [extra, None], [stream, inner], curves, Target::Inner));
            links.push((&block.second, [None, gate], [inner, stream], [plain; 2], Target::Sum));
        }
        let stage = |(layer, [extra, gate], [from, to], curves, target): Link<'_>| {
            stage((layer, extra, gate), [&units[from], &units[to]], curves, target)
        };
        let mut stages: Vec<Stage<'_>> = links.into_iter().map(stage).collect();
        let last = (&self.output, None, None);
        stages.push(self::stage(last, [&units[stream], &outputs], [plain; 2], Target::Stream));
        stepwise(&stages, map, z, with_params)
    }
}

fn stage<'a>(
    (layer, extra, gate): (&MaskedLinear, Option<Tensor<2>>, Option<Tensor<2>>),
    [sources, units]: [&'a Units; 2],
    curves: [Curve; 2],
    target: Target,
) -> Stage<'a> {
    let weight = layer.weight();
    let bias = layer.bias().map(|bias| bias.unsqueeze_dim::<2>(0));
    let offset = match (bias, extra) {
        (Some(bias), Some(extra)) => bias + extra,
        (Some(offset), None) | (None, Some(offset)) => offset,
        (None, None) => {
            let [_, units] = weight.dims();
            Tensor::zeros([1, units], (&weight.device().without_autodiff(), weight.dtype()))
        }
    };
    Stage { weight, offset, gate, sources, units, curves, target }
}
