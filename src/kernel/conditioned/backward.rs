//! The backward pass of the layer.
//!
//! With G = dL/dz and g = dL/d(log-det), the map gives dL/dx_b and dL/dparams, the dense layers give the gradients of
//! their weights and dL/dx_a, and the columns that pass unchanged add G.

use std::fmt::Debug;

use burn::backend::flex::FlexTensor;

use super::flex::{Inputs, Plan, gather, scatter};
use crate::kernel::Curve;
use crate::kernel::dense::Layer;
use crate::kernel::elementary::Elementary;
use crate::kernel::matrix::{Scratch, tensor};

/// A forward pass whose gradients can be computed.
pub(super) trait Backward: Debug + Send + Sync {
    /// The gradients with respect to the inputs, where they are wanted, from the gradient of `z` and the
    /// log-determinant side by side.
    fn gradients(&self, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>>;
}

/// What the forward pass computed.
pub(super) struct Kept<T: Elementary> {
    pub(super) plan: Plan,
    pub(super) inputs: Inputs,
    /// The input of the first layer, if it is not `x` itself.
    pub(super) first: Option<Scratch<T>>,
    /// The output of every layer; the last one holds the parameters of the map.
    pub(super) outputs: Vec<Scratch<T>>,
    /// The input of the activation of every layer, for silu.
    pub(super) before: Vec<Option<Scratch<T>>>,
}

impl<T: Elementary> Debug for Kept<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl<T: Elementary> Kept<T> {
    /// The gradients of the map with respect to its values and its parameters.
    fn through_map(&self, gradient: &[T], [rows, width]: [usize; 2]) -> [Scratch<T>; 2] {
        let [_, moved] = &self.plan.columns;
        let n = moved.len();
        let (map, x) = (self.plan.map, T::slice(self.inputs.x()));
        let params = self.outputs.last().expect("a layer");
        let [mut by_values, mut by_params] =
            [n, map.count() * n].map(|columns| Scratch::<T>::new(rows * columns));
        if n == width {
            map.gradients(n, [x, params, gradient], [&mut by_values, &mut by_params]);
        } else {
            let [mut values, mut by] = [n, n + 1].map(|columns| Scratch::<T>::new(rows * columns));
            gather(x, moved, &mut values, [width, n]);
            gather(gradient, moved, &mut by, [width + 1, n + 1]);
            for (by, gradient) in by.chunks_exact_mut(n + 1).zip(gradient.chunks_exact(width + 1)) {
                by[n] = gradient[width];
            }
            map.gradients(n, [&values, params, &by], [&mut by_values, &mut by_params]);
        }
        [by_values, by_params]
    }
}

impl<T: Elementary> Backward for Kept<T> {
    fn gradients(&self, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let Self { plan, inputs, first, outputs, before } = self;
        let [rows, width] = inputs.x().layout().shape().dims();
        let gradient = gradient.to_contiguous();
        let gradient = T::slice(&gradient);
        let [by_values, by_params] = self.through_map(gradient, [rows, width]);
        let mut by: Vec<Option<FlexTensor>> = wanted.iter().map(|_| None).collect();
        let sees = wanted[0] || plan.context().is_some_and(|context| wanted[context]);
        let mut by_output = Some(by_params);
        for (index, layer) in plan.layers.iter().enumerate().rev() {
            let below = index.checked_sub(1).map(|below| &outputs[below]).or(first.as_ref());
            let x = below.map_or(T::slice(inputs.x()), |x| x);
            let [weight, bias] = [1, 2].map(|at| at + 2 * index);
            let term = plan.term().filter(|&term| index == 0 && wanted[term]);
            let output = by_output.take().expect("the gradient of every layer's output");
            let kept = match layer.curve {
                Curve::Identity => None,
                Curve::Relu => Some(&outputs[index][..]),
                Curve::Silu => before[index].as_deref(),
            };
            let [of_weight, _] = inputs.layer(index);
            let [d_in, d_out] = of_weight.layout().shape().dims();
            let mut by_input = (index > 0 || sees).then(|| Scratch::<T>::new(rows * d_in));
            let mut inner = Scratch::<T>::new(rows * d_out);
            let (mask, stairs, curve) = (layer.mask.as_ref(), &layer.stairs, layer.curve);
            let layer = Layer { weight: of_weight, mask, stairs, curve };
            by[bias] = Some(layer.inner(&output, kept, &mut inner));
            by[weight] = wanted[weight].then(|| layer.by_weight(x, &inner));
            if let Some(by_input) = &mut by_input {
                layer.by_x(&inner, by_input);
            }
            if let Some(term) = term {
                by[term] = Some(of_rows(&inner, inputs, term, [0, d_out, d_out]));
            }
            by_output = by_input;
        }
        let [kept, moved] = &plan.columns;
        let seen = kept.len() + plan.context().map_or(0, |context| inputs.dims(context)[1]);
        if let Some(context) = plan.context().filter(|&context| wanted[context]) {
            let by_input = by_output.as_deref().unwrap_or_default();
            by[context] = Some(of_rows(by_input, inputs, context, [kept.len(), seen, seen]));
        }
        if wanted[0] {
            let by_input = by_output.as_deref().unwrap_or_default();
            let mut by_x: Vec<T> =
                gradient.chunks_exact(width + 1).flat_map(|row| &row[..width]).copied().collect();
            scatter(&by_values, moved, &mut by_x, [moved.len(), width]);
            for (by_x, by_input) in by_x.chunks_exact_mut(width).zip(by_input.chunks_exact(seen)) {
                for (&column, &by_input) in kept.iter().zip(by_input) {
                    by_x[column] = by_x[column] + by_input;
                }
            }
            by[0] = Some(tensor(by_x, &[rows, width]));
        }
        by
    }
}

/// The columns `from..to` of rows of `width` numbers, summed over the rows if the input has a single row.
fn of_rows<T: Elementary>(
    values: &[T],
    inputs: &Inputs,
    input: usize,
    [from, to, width]: [usize; 3],
) -> FlexTensor {
    let [count, _] = inputs.dims(input);
    let mut by = vec![T::zero(); count * (to - from)];
    for (row, values) in values.chunks_exact(width).enumerate() {
        let by = &mut by[row % count * (to - from)..][..to - from];
        by.iter_mut().zip(&values[from..to]).for_each(|(by, &value)| *by = *by + value);
    }
    tensor(by, &[count, to - from])
}
