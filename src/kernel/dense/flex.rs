//! A dense layer on `flex`, and its backward pass.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Bool, DType, Tensor};

use super::Curve;
use super::stairs::{Block, Stairs};
use crate::kernel::elementary::{Elementary, vectorized};
use crate::kernel::matrix::{
    Matrix, Scratch, among_zeros, contiguous, side_by_side, side_by_side_in, tensor,
};
use crate::kernel::recorded::recorded;

/// Whether the kernel supports these tensors.
pub(super) fn knows<const D: usize>(x: &Tensor<D>, weight: &Tensor<2>, bias: &Tensor<1>) -> bool {
    let (d_in, [rows, d_out]) = (x.dims()[D - 1], weight.dims());
    let same = x.dtype() == weight.dtype() && x.dtype() == bias.dtype();
    crate::parallel::is_flex(&x.device())
        && crate::kernel::knows(x.dtype())
        && same
        && d_in == rows
        && bias.dims() == [d_out]
        && x.shape().num_elements() * d_out > 0
}

pub(super) fn dense<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    mask: Option<Tensor<2, Bool>>,
    curve: Curve,
) -> Tensor<D> {
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    let mask = mask.map(|mask| {
        mask.without_autodiff().try_into_primitive::<Flex>().expect("a mask on `flex`")
    });
    Tensor::from_dispatch(Dispatch::dense(x, weight, bias.into_dispatch(), mask, curve))
}

pub(super) fn is_cut(weight: Tensor<2>, mask: Tensor<2, Bool>) -> bool {
    fn zero<T: Elementary>(weight: &FlexTensor, mask: &FlexTensor) -> bool {
        let pairs = T::slice(weight).iter().zip(mask.bytes());
        pairs.fold(true, |zero, (&weight, &open)| zero & (weight == T::zero() || open != 0))
    }
    let weight = weight.try_into_primitive::<Flex>().expect("on `flex`").to_contiguous();
    let mask = mask.without_autodiff().try_into_primitive::<Flex>();
    let mask = mask.expect("a mask on `flex`").to_contiguous();
    match weight.dtype() {
        DType::F64 => zero::<f64>(&weight, &mask),
        _ => zero::<f32>(&weight, &mask),
    }
}

#[backend_extension(Flex, Autodiff)]
trait Dense: Backend {
    fn dense(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mask: Option<FlexTensor>,
        curve: Curve,
    ) -> FloatTensor<Self>;
}

/// The operations that the backward pass of [`Dense`] uses.
trait DenseBackward: Backend {
    fn activated(a: FloatTensor<Self>, curve: Curve) -> FloatTensor<Self>;

    /// The gradients with respect to `x` (if `wanted`), weight and bias, from the gradient of the output. `kept` is the
    /// output of relu or the input of silu.
    fn dense_backward(
        state: State<Self>,
        gradient: FloatTensor<Self>,
        wanted: bool,
    ) -> (Option<FloatTensor<Self>>, [FloatTensor<Self>; 2]);
}

#[derive(Debug, Clone)]
struct State<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    mask: Option<FlexTensor>,
    kept: Option<FloatTensor<B>>,
    curve: Curve,
}

impl Dense for Flex {
    fn dense(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        mask: Option<FlexTensor>,
        curve: Curve,
    ) -> FlexTensor {
        match x.dtype() {
            DType::F64 => forward::<f64>([x, weight, bias], mask, curve),
            _ => forward::<f32>([x, weight, bias], mask, curve),
        }
    }
}

impl DenseBackward for Flex {
    fn activated(a: FlexTensor, curve: Curve) -> FlexTensor {
        match a.dtype() {
            DType::F64 => of_layer::<f64>(a, curve),
            _ => of_layer::<f32>(a, curve),
        }
    }

    fn dense_backward(
        state: State<Self>,
        gradient: FlexTensor,
        wanted: bool,
    ) -> (Option<FlexTensor>, [FlexTensor; 2]) {
        match gradient.dtype() {
            DType::F64 => backward::<f64>(state, gradient, wanted),
            _ => backward::<f32>(state, gradient, wanted),
        }
    }
}

/// The dimensions of a tensor of any rank as a matrix whose columns are the last axis.
fn dims(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.layout().shape();
    let columns = shape[shape.rank() - 1];
    [shape.num_elements() / columns, columns]
}

/// A tensor with the shape of `model`, except for the length of its last axis.
fn like<T: Elementary>(values: Vec<T>, model: &FlexTensor, columns: usize) -> FlexTensor {
    let mut shape = model.layout().shape().clone();
    let last = shape.rank() - 1;
    shape[last] = columns;
    tensor(values, &shape)
}

/// The blocks of a contiguous mask.
pub(in crate::kernel) fn stairs(mask: Option<&FlexTensor>, width: [usize; 2]) -> Stairs {
    Stairs::new(mask.map(|mask| mask.bytes()), width)
}

fn forward<T: Elementary>(
    inputs: [FlexTensor; 3],
    mask: Option<FlexTensor>,
    curve: Curve,
) -> FlexTensor {
    let [x, weight, bias] = contiguous(inputs);
    let mask = mask.map(|mask| mask.to_contiguous());
    let (rows, width) = (dims(&x), dims(&weight));
    let left = Matrix::new(T::slice(&x), rows);
    let blocks = stairs(mask.as_ref(), width).by_columns();
    let mut y = side_by_side([rows[0], width[1]], products(left, &weight, &blocks));
    finish(&mut y, T::slice(&bias), curve);
    like(y, &x, width[1])
}

/// Writes `f(x W + b)` of `rows` rows to `out`. The tensors are contiguous.
pub(in crate::kernel) fn forward_in<T: Elementary>(
    [weight, bias]: [&FlexTensor; 2],
    stairs: &Stairs,
    curve: Curve,
    x: &[T],
    out: &mut [T],
) {
    let width = dims(weight);
    let rows = x.len() / width[0];
    let left = Matrix::new(x, [rows, width[0]]);
    let blocks = stairs.by_columns();
    side_by_side_in(out, [rows, width[1]], products(left, weight, &blocks));
    finish(out, T::slice(bias), curve);
}

/// The factors of `x W`, by blocks of columns.
fn products<'a, T: Elementary>(
    x: Matrix<'a, T>,
    weight: &'a FlexTensor,
    blocks: &[Block],
) -> impl Iterator<Item = [Matrix<'a, T>; 2]> {
    let weight = Matrix::new(T::slice(weight), dims(weight));
    blocks
        .iter()
        .cloned()
        .map(move |Block { rows, columns }| [x.columns(rows.clone()), weight.part(rows, columns)])
}

fn of_layer<T: Elementary>(a: FlexTensor, curve: Curve) -> FlexTensor {
    let mut y = T::slice(&a.to_contiguous()).to_vec();
    activate_all(&mut y, curve);
    let [_, columns] = dims(&a);
    like(y, &a, columns)
}

/// Adds the bias to each row, then applies the activation.
fn finish<T: Elementary>(values: &mut [T], bias: &[T], curve: Curve) {
    vectorized(
        #[inline(always)]
        || {
            for row in values.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(value, &bias)| *value = *value + bias);
                activate(row, curve);
            }
        },
    );
}

/// [`activate`] outside of a loop over rows.
pub(in crate::kernel) fn activate_all<T: Elementary>(values: &mut [T], curve: Curve) {
    vectorized(
        #[inline(always)]
        || activate(values, curve),
    );
}

/// Applies the activation to each value.
#[inline(always)]
pub(in crate::kernel) fn activate<T: Elementary>(values: &mut [T], curve: Curve) {
    let (zero, one, least) = (T::zero(), T::one(), lowest::<T>());
    match curve {
        Curve::Identity => {}
        Curve::Relu => values.iter_mut().for_each(|a| {
            *a = if *a < zero { zero } else { *a };
        }),
        Curve::Silu => values.iter_mut().for_each(|a| {
            let x = if *a < least { least } else { *a };
            *a = x / (one + (-x).fast_exp());
        }),
    }
}

/// The input below which silu is zero in the precision of `T`.
#[inline(always)]
fn lowest<T: Elementary>() -> T {
    T::from(-80.0).expect("a float holds it")
}

fn backward<T: Elementary>(
    State { x, weight, mask, kept, curve }: State<Flex>,
    gradient: FlexTensor,
    wanted: bool,
) -> (Option<FlexTensor>, [FlexTensor; 2]) {
    let [rows, d_in] = dims(&x);
    let [x, weight, gradient] = contiguous([x, weight, gradient]);
    let [kept, mask] = [kept, mask].map(|tensor| tensor.map(|tensor| tensor.to_contiguous()));
    let stairs = stairs(mask.as_ref(), dims(&weight));
    let layer = Layer { weight: &weight, mask: mask.as_ref(), stairs: &stairs, curve };
    let mut inner = Scratch::<T>::new(rows * dims(&weight)[1]);
    let mut by_x = wanted.then(|| vec![T::zero(); rows * d_in]);
    let kept = kept.as_ref().map(|kept| T::slice(kept));
    let by_bias = layer.inner(T::slice(&gradient), kept, &mut inner);
    if let Some(by_x) = &mut by_x {
        layer.by_x(&inner, by_x);
    }
    let by_weight = layer.by_weight(T::slice(&x), &inner);
    (by_x.map(|by_x| like(by_x, &x, d_in)), [by_weight, by_bias])
}

/// A layer whose tensors are contiguous, for its backward pass.
#[derive(Clone, Copy)]
pub(in crate::kernel) struct Layer<'a> {
    pub(in crate::kernel) weight: &'a FlexTensor,
    pub(in crate::kernel) mask: Option<&'a FlexTensor>,
    pub(in crate::kernel) stairs: &'a Stairs,
    pub(in crate::kernel) curve: Curve,
}

impl Layer<'_> {
    /// Writes the gradient before the activation to `inner`, and returns the gradient of the bias. `kept` is the output of
    /// relu or the input of silu.
    pub(in crate::kernel) fn inner<T: Elementary>(
        self,
        gradient: &[T],
        kept: Option<&[T]>,
        inner: &mut [T],
    ) -> FlexTensor {
        let [_, d_out] = dims(self.weight);
        let mut by_bias = vec![T::zero(); d_out];
        through_activation(gradient, kept, self.curve, inner, &mut by_bias);
        tensor(by_bias, &[d_out])
    }

    /// Writes the gradient of the input, from the gradient before the activation.
    pub(in crate::kernel) fn by_x<T: Elementary>(self, inner: &[T], by_x: &mut [T]) {
        let width = dims(self.weight);
        let rows = inner.len() / width[1];
        let inner = Matrix::new(inner, [rows, width[1]]);
        let weight = Matrix::new(T::slice(self.weight), width);
        let product = |Block { rows, columns }: Block| {
            [inner.columns(columns.clone()), weight.part(rows, columns).transposed()]
        };
        let blocks = self.stairs.by_rows().into_iter().map(product);
        side_by_side_in(by_x, [rows, width[0]], blocks);
    }

    /// The gradient of the weight, from the input and the gradient before the activation.
    pub(in crate::kernel) fn by_weight<T: Elementary>(self, x: &[T], inner: &[T]) -> FlexTensor {
        let width = dims(self.weight);
        let rows = inner.len() / width[1];
        let [x, inner] = [Matrix::new(x, [rows, width[0]]), Matrix::new(inner, [rows, width[1]])];
        let product = |Block { rows, columns }: Block| {
            let place = [rows.start, columns.start];
            (place, [x.columns(rows).transposed(), inner.columns(columns)])
        };
        let blocks = self.stairs.by_columns();
        let mut by_weight = match &blocks[..] {
            [Block { rows, .. }] if rows.len() == width[0] => {
                side_by_side(width, [[x.transposed(), inner]])
            }
            _ => among_zeros(width, blocks.into_iter().map(product)),
        };
        if let Some(mask) = self.mask {
            let open = mask.bytes().iter().map(|open| *open != 0);
            for (number, open) in by_weight.iter_mut().zip(open) {
                *number = if open { *number } else { T::zero() };
            }
        }
        tensor(by_weight, &width)
    }
}

/// The gradient before the activation, and its sum over the rows.
fn through_activation<T: Elementary>(
    gradient: &[T],
    kept: Option<&[T]>,
    curve: Curve,
    inner: &mut [T],
    sums: &mut [T],
) {
    let (zero, one) = (T::zero(), T::one());
    let (width, least) = (sums.len(), lowest::<T>());
    vectorized(
        #[inline(always)]
        || {
            let rows = inner.chunks_exact_mut(width).zip(gradient.chunks_exact(width));
            for (row, (inner, gradient)) in rows.enumerate() {
                match (curve, kept) {
                    (Curve::Relu, Some(y)) => {
                        let y = &y[row * width..][..width];
                        for ((inner, &g), &y) in inner.iter_mut().zip(gradient).zip(y) {
                            *inner = if y == zero { zero } else { g };
                        }
                    }
                    (Curve::Silu, Some(a)) => {
                        let a = &a[row * width..][..width];
                        for ((inner, &g), &a) in inner.iter_mut().zip(gradient).zip(a) {
                            let a = if a < least { least } else { a };
                            let s = one / (one + (-a).fast_exp());
                            *inner = g * (s * (one + a * (one - s)));
                        }
                    }
                    _ => inner.copy_from_slice(gradient),
                }
                for (sum, &g) in sums.iter_mut().zip(inner.iter()) {
                    *sum = *sum + g;
                }
            }
        },
    );
}

impl<B: Dense + DenseBackward, C: CheckpointStrategy> Dense for Autodiff<B, C> {
    fn dense(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mask: Option<FlexTensor>,
        curve: Curve,
    ) -> FloatTensor<Self> {
        let forward = |[x, weight, bias]: [FloatTensor<B>; 3], tracked: bool| {
            if !tracked {
                return (B::dense(x, weight, bias, mask, curve), None);
            }
            let mut state = State {
                x: x.clone(),
                weight: weight.clone(),
                mask: mask.clone(),
                kept: None,
                curve,
            };
            let y = match curve {
                Curve::Silu => {
                    let a = B::dense(x, weight, bias, mask, Curve::Identity);
                    state.kept = Some(a.clone());
                    B::activated(a, curve)
                }
                _ => B::dense(x, weight, bias, mask, curve),
            };
            if curve == Curve::Relu {
                state.kept = Some(y.clone());
            }
            (y, Some(state))
        };
        recorded::<B, C, _, _>([x, weight, bias], forward, |state, gradient, [by_x, ..]| {
            let (by_x, [by_weight, by_bias]) = B::dense_backward(state, gradient, by_x);
            [by_x, Some(by_weight), Some(by_bias)]
        })
    }
}
