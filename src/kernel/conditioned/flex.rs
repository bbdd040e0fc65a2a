//! The layer on `flex`.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, BackendTensor, DispatchKindConversion, DispatchTensor, Flex,
};
use burn::tensor::{Bool, DType, Tensor};

use super::DenseNetwork;
use super::backward::{Backward, Kept};
use crate::kernel::columns::span;
use crate::kernel::dense::{Stairs, activate_all, forward_in, stairs};
use crate::kernel::elementary::Elementary;
use crate::kernel::matrix::{Scratch, tensor};
use crate::kernel::recorded::recorded;
use crate::kernel::{Curve, Map, Pass};

/// Whether the kernel supports these tensors.
pub(super) fn knows<const D: usize>(
    network: &DenseNetwork,
    map: Map,
    [kept, moved]: [&[usize]; 2],
    x: &Tensor<D>,
) -> bool {
    let rows = x.dims()[0];
    let here = |device, dtype| crate::parallel::is_flex(&device) && dtype == x.dtype();
    let sees = |given: &Tensor<2>, expected: usize| {
        let [count, width] = given.dims();
        let fits = [1, rows].contains(&count) && width == expected && width > 0;
        fits && here(given.device(), given.dtype())
    };
    let extra = network.context.as_ref().map_or(0, |context| context.dims()[1]);
    let mut width = kept.len() + extra;
    for layer in &network.layers {
        let [from, to] = layer.weight.dims();
        let has = |bias: &Tensor<1>| bias.dims() == [to] && here(bias.device(), bias.dtype());
        let fits = here(layer.weight.device(), layer.weight.dtype()) && from == width;
        if !fits || to == 0 || !layer.bias.as_ref().is_some_and(has) {
            return false;
        }
        width = to;
    }
    let first = network.layers.first().map_or(0, |layer| layer.weight.dims()[1]);
    D == 2
        && crate::kernel::knows(x.dtype())
        && here(x.device(), x.dtype())
        && network.context.as_ref().is_none_or(|context| sees(context, extra))
        && network.term.as_ref().is_none_or(|term| sees(term, first))
        && map.is_known()
        && rows * kept.len() * moved.len() > 0
        && width == map.count() * moved.len()
}

/// What a layer has beside its weight and bias.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) mask: Option<FlexTensor>,
    pub(super) stairs: Stairs,
    pub(super) curve: Curve,
}

/// The layer apart from its tensors of numbers.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) layers: Vec<Layer>,
    /// Whether a context is given, and whether a term is.
    pub(super) has: [bool; 2],
    pub(super) map: Map,
    /// The columns that the network sees, and those that the map moves.
    pub(super) columns: [Vec<usize>; 2],
}

/// The tensors of numbers, contiguous: `x`, weight and bias of every layer, the context and the term.
#[derive(Debug)]
pub(super) struct Inputs(Vec<FlexTensor>);

impl Inputs {
    pub(super) fn x(&self) -> &FlexTensor {
        &self.0[0]
    }

    /// The rows and columns of the context or the term.
    pub(super) fn dims(&self, given: usize) -> [usize; 2] {
        self.0[given].layout().shape().dims()
    }

    /// Weight and bias of a layer.
    pub(super) fn layer(&self, index: usize) -> [&FlexTensor; 2] {
        [&self.0[1 + 2 * index], &self.0[2 + 2 * index]]
    }
}

impl Plan {
    /// The place of the context among the inputs, if there is one.
    pub(super) fn context(&self) -> Option<usize> {
        self.has[0].then_some(1 + 2 * self.layers.len())
    }

    /// The place of the term among the inputs, if there is one.
    pub(super) fn term(&self) -> Option<usize> {
        self.has[1].then_some(1 + 2 * self.layers.len() + usize::from(self.has[0]))
    }
}

fn bytes(mask: Tensor<2, Bool>) -> FlexTensor {
    let mask = mask.without_autodiff().try_into_primitive::<Flex>();
    mask.expect("a mask on `flex`").to_contiguous()
}

type Tracked = FloatTensor<Autodiff<Flex>>;

/// A tensor without its rank, in a graph if `tracked`.
fn input<const D: usize>(x: Tensor<D>, tracked: bool) -> DispatchTensor {
    if tracked { x.autodiff().into_dispatch() } else { x.into_dispatch() }
}

/// The tensors on the backend `B`. `None` for a graph that stores fewer tensors, which the kernel does not support.
fn on_backend<B: Backend>(inputs: Vec<DispatchTensor>) -> Option<Vec<FloatTensor<B>>>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    let inputs = inputs.into_iter().map(DispatchTensor::try_into_backend);
    inputs.map(|input| input.ok().map(BackendTensor::float)).collect()
}

pub(super) fn conditioned<const D: usize>(
    network: DenseNetwork,
    map: Map,
    pass: Pass,
    [kept, moved]: [&[usize]; 2],
    x: &Tensor<D>,
) -> Option<(Tensor<D>, Option<Tensor<1>>)> {
    let DenseNetwork { layers, context, term } = network;
    let is_tracked = |layer: &super::DenseLayer| {
        layer.weight.is_autodiff() || layer.bias.as_ref().is_some_and(Tensor::is_autodiff)
    };
    let tracked = x.is_autodiff()
        || layers.iter().any(is_tracked)
        || [&context, &term].into_iter().flatten().any(Tensor::is_autodiff);
    if tracked && !matches!(pass, Pass::Forward) {
        return None;
    }
    let [rows, width] = [x.dims()[0], x.dims()[1]];
    let has = [context.is_some(), term.is_some()];
    let mut inputs = vec![input(x.clone(), tracked)];
    let mut plan = Plan { layers: vec![], has, map, columns: [kept.to_vec(), moved.to_vec()] };
    for layer in layers {
        let (mask, width) = (layer.mask.map(bytes), layer.weight.dims());
        inputs.push(input(layer.weight, tracked));
        inputs.push(input(layer.bias?, tracked));
        let stairs = stairs(mask.as_ref(), width);
        plan.layers.push(Layer { mask, stairs, curve: layer.curve });
    }
    inputs.extend([context, term].into_iter().flatten().map(|given| input(given, tracked)));
    if tracked {
        let packed = in_graph(plan, on_backend::<Autodiff<Flex>>(inputs)?)?;
        let packed = Tensor::<D>::from_primitive::<Autodiff<Flex>>(packed);
        let log_det = span(packed.clone(), width..width + 1).reshape([rows]);
        return Some((span(packed, 0..width), Some(log_det)));
    }
    let inputs = contiguous(on_backend::<Flex>(inputs)?);
    let (z, log_det) = match x.dtype() {
        DType::F64 => evaluate::<f64>(&plan, &inputs, pass),
        _ => evaluate::<f32>(&plan, &inputs, pass),
    };
    Some((Tensor::from_primitive::<Flex>(z), log_det.map(Tensor::from_primitive::<Flex>)))
}

fn contiguous(inputs: Vec<FlexTensor>) -> Inputs {
    let contiguous = |x: FlexTensor| if x.is_contiguous() { x } else { x.to_contiguous() };
    Inputs(inputs.into_iter().map(contiguous).collect())
}

/// The forward pass as one node of a graph: `z` and the log-determinant side by side. `None` if there are too many
/// layers.
fn in_graph(plan: Plan, inputs: Vec<Tracked>) -> Option<Tracked> {
    let forward = |inputs: Vec<FlexTensor>, tracked: bool| -> (_, Option<Arc<dyn Backward>>) {
        let inputs = contiguous(inputs);
        match inputs.x().dtype() {
            DType::F64 => traced::<f64>(plan, inputs, tracked),
            _ => traced::<f32>(plan, inputs, tracked),
        }
    };
    // burn 0.22 fixes the number of inputs of a node when it compiles.
    macro_rules! by_count {
        ($($count:literal)*) => {
            match inputs.len() {
                $($count => Some(node::<$count>(inputs, forward)),)*
                _ => None,
            }
        };
    }
    by_count!(3 4 5 6 7 8 9 10 11 12 13 14 15)
}

fn node<const N: usize>(
    inputs: Vec<Tracked>,
    forward: impl FnOnce(Vec<FlexTensor>, bool) -> (FlexTensor, Option<Arc<dyn Backward>>),
) -> Tracked {
    let inputs: [Tracked; N] = inputs.try_into().unwrap_or_else(|_| unreachable!("N inputs"));
    recorded::<Flex, NoCheckpointing, _, N>(
        inputs,
        |inputs, tracked| forward(inputs.into(), tracked),
        |kept, gradient, wanted| {
            let by = kept.gradients(gradient, &wanted);
            by.try_into().unwrap_or_else(|_| unreachable!("a gradient or none for each input"))
        },
    )
}

/// The columns of every row of `x`, at the start of the rows of `out`.
pub(super) fn gather<T: Elementary>(
    x: &[T],
    columns: &[usize],
    out: &mut [T],
    [from, to]: [usize; 2],
) {
    for (row, out) in x.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
        out.iter_mut().zip(columns).for_each(|(out, &column)| *out = row[column]);
    }
}

/// The opposite of [`gather`].
pub(super) fn scatter<T: Elementary>(
    x: &[T],
    columns: &[usize],
    out: &mut [T],
    [from, to]: [usize; 2],
) {
    for (row, out) in x.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
        columns.iter().zip(row).for_each(|(&column, &value)| out[column] = value);
    }
}

/// What the first layer sees, if it is not `x` itself.
fn first_input<T: Elementary>(plan: &Plan, inputs: &Inputs, width: usize) -> Option<Scratch<T>> {
    let [kept, _] = &plan.columns;
    let [weight, _] = inputs.layer(0);
    let seen = weight.layout().shape()[0];
    if seen == width && kept.len() == width {
        return None;
    }
    let x = T::slice(inputs.x());
    let mut h = Scratch::<T>::new(x.len() / width * seen);
    gather(x, kept, &mut h, [width, seen]);
    if let Some(context) = plan.context() {
        // A single row of context applies to all rows.
        let given = T::slice(&inputs.0[context]).chunks_exact(seen - kept.len()).cycle();
        for (out, context) in h.chunks_exact_mut(seen).zip(given) {
            out[kept.len()..].copy_from_slice(context);
        }
    }
    Some(h)
}

/// Runs one layer of the network. The second result is the input of silu, if it is to be `kept`.
fn layer<T: Elementary>(
    plan: &Plan,
    inputs: &Inputs,
    index: usize,
    h: &[T],
    kept: bool,
) -> (Scratch<T>, Option<Scratch<T>>) {
    let Layer { stairs, curve, .. } = &plan.layers[index];
    let [weight, bias] = inputs.layer(index);
    let [from, to] = weight.layout().shape().dims();
    let mut out = Scratch::<T>::new(h.len() / from * to);
    let term = plan.term().filter(|_| index == 0);
    let kept = kept && *curve == Curve::Silu;
    let first = if kept || term.is_some() { Curve::Identity } else { *curve };
    forward_in([weight, bias], stairs, first, h, &mut out);
    if let Some(term) = term {
        let given = T::slice(&inputs.0[term]).chunks_exact(to).cycle();
        for (out, term) in out.chunks_exact_mut(to).zip(given) {
            out.iter_mut().zip(term).for_each(|(out, &term)| *out = *out + term);
        }
    }
    let before = kept.then(|| {
        let mut before = Scratch::<T>::new(out.len());
        before.copy_from_slice(&out);
        before
    });
    if first != *curve {
        activate_all(&mut out, *curve);
    }
    (out, before)
}

/// Without a graph: `z`, and the log-determinant if the pass computes it.
fn evaluate<T: Elementary>(
    plan: &Plan,
    inputs: &Inputs,
    pass: Pass,
) -> (FlexTensor, Option<FlexTensor>) {
    let [rows, width] = inputs.x().layout().shape().dims();
    let x = T::slice(inputs.x());
    let mut h = first_input(plan, inputs, width);
    for index in 0..plan.layers.len() {
        h = Some(layer(plan, inputs, index, h.as_deref().unwrap_or(x), false).0);
    }
    let params = h.as_deref().unwrap_or_default();
    let [_, moved] = &plan.columns;
    let n = moved.len();
    let columns = pass.columns(n);
    let mut out = Scratch::<T>::new(rows * columns);
    let z = if n == width {
        plan.map.apply(pass, n, [x, params], &mut out);
        out.chunks_exact(columns).flat_map(|out| &out[..n]).copied().collect()
    } else {
        let mut values = Scratch::<T>::new(rows * n);
        gather(x, moved, &mut values, [width, n]);
        plan.map.apply(pass, n, [&values, params], &mut out);
        let mut z = x.to_vec();
        scatter(&out, moved, &mut z, [columns, width]);
        z
    };
    let log_det = (columns > n)
        .then(|| tensor(out.chunks_exact(columns).map(|out| out[n]).collect(), &[rows]));
    (tensor(z, &[rows, width]), log_det)
}

/// In a graph: `z` and the log-determinant side by side, and what the backward pass needs.
fn traced<T: Elementary>(
    plan: Plan,
    inputs: Inputs,
    tracked: bool,
) -> (FlexTensor, Option<Arc<dyn Backward>>) {
    let [rows, width] = inputs.x().layout().shape().dims();
    let x = T::slice(inputs.x());
    let first = first_input(&plan, &inputs, width);
    let (mut outputs, mut before) = (Vec::<Scratch<T>>::new(), Vec::new());
    for index in 0..plan.layers.len() {
        let h = outputs.last().or(first.as_ref()).map_or(x, |h| h);
        let (out, kept) = layer(&plan, &inputs, index, h, true);
        outputs.push(out);
        before.push(kept);
    }
    let params: &[T] = outputs.last().map_or(&[], |params| params);
    let [_, moved] = &plan.columns;
    let n = moved.len();
    let mut packed = Vec::with_capacity(rows * (width + 1));
    if n == width {
        packed.resize(rows * (n + 1), T::zero());
        plan.map.apply(Pass::Forward, n, [x, params], &mut packed);
    } else {
        let [mut values, mut out] = [n, n + 1].map(|columns| Scratch::<T>::new(rows * columns));
        gather(x, moved, &mut values, [width, n]);
        plan.map.apply(Pass::Forward, n, [&values, params], &mut out);
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact(n + 1)) {
            packed.extend_from_slice(x);
            packed.push(out[n]);
        }
        scatter(&out, moved, &mut packed, [n + 1, width + 1]);
    }
    let packed = tensor(packed, &[rows, width + 1]);
    if !tracked {
        return (packed, None);
    }
    (packed, Some(Arc::new(Kept { plan, inputs, first, outputs, before })))
}
