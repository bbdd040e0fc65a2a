//! Selects and assembles elements of axis 1 by their indices.
//!
//! pick:   y[b, j] = x[b, index[j]]
//! weave:  y[b, first[j]] = a[b, j],  y[b, second[j]] = c[b, j]
//!
//! Each operation is the backward pass of the other. If an index occurs more than once, its gradients are summed.

use std::ops::Range;

use burn::tensor::{Int, Tensor};

/// Selects the elements with these indices.
pub(crate) fn pick<const D: usize>(x: Tensor<D>, indices: Tensor<1, Int>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if flex::knows([&x, &x]) {
        return flex::pick(x, flex::Which::these(indices));
    }
    x.select(1, indices)
}

/// Selects a range of neighbouring elements.
pub(crate) fn span<const D: usize>(x: Tensor<D>, range: Range<usize>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if flex::knows([&x, &x]) && x.is_autodiff() {
        return flex::pick(x, flex::Which::Span(range));
    }
    x.narrow(1, range.start, range.len())
}

/// Assembles a whole from two parts and the places of their elements in the whole. For each element of the whole,
/// `back` is its index in the first part followed by the second part.
pub(crate) fn weave<const D: usize>(
    parts: [Tensor<D>; 2],
    places: [Tensor<1, Int>; 2],
    back: Tensor<1, Int>,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if flex::knows([&parts[0], &parts[1]]) {
        return flex::weave(parts, places.map(flex::Which::these));
    }
    let _ = places;
    Tensor::cat(parts.into(), 1).select(1, back)
}

/// Concatenates two parts.
pub(crate) fn join<const D: usize>(parts: [Tensor<D>; 2]) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if flex::knows([&parts[0], &parts[1]]) {
        let [first, all] = [parts[0].dims()[1], parts[0].dims()[1] + parts[1].dims()[1]];
        return flex::weave(parts, [0..first, first..all].map(flex::Which::Span));
    }
    Tensor::cat(parts.into(), 1)
}

#[cfg(feature = "flex")]
mod flex {
    //! The kernels and their backward passes.

    use std::ops::Range;

    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::FlexTensor;
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
    use burn::tensor::{DType, Int, Shape, Tensor};

    use crate::kernel::matrix::{Real, contiguous, tensor};
    use crate::kernel::recorded::recorded;

    /// Whether the kernels support these tensors.
    pub(super) fn knows<const D: usize>(parts: [&Tensor<D>; 2]) -> bool {
        let [dtype, other] = parts.map(Tensor::dtype);
        parts
            .iter()
            .all(|part| crate::parallel::is_flex(&part.device()) && part.shape().num_elements() > 0)
            && crate::kernel::knows(dtype)
            && dtype == other
    }

    /// The elements of axis 1 that an operation selects.
    #[derive(Debug, Clone)]
    pub(super) enum Which {
        These(FlexTensor),
        Span(Range<usize>),
    }

    impl Which {
        pub(super) fn these(indices: Tensor<1, Int>) -> Self {
            let indices = indices.without_autodiff().try_into_primitive::<Flex>();
            Self::These(indices.expect("indices on `flex`"))
        }

        fn on_host(&self) -> Vec<usize> {
            let indices = match self {
                Self::These(indices) => indices.to_contiguous(),
                Self::Span(range) => return range.clone().collect(),
            };
            match (indices.as_slice::<i64>(), indices.as_slice::<i32>()) {
                (Some(values), _) => values.iter().map(|&index| index as usize).collect(),
                (_, Some(values)) => values.iter().map(|&index| index as usize).collect(),
                _ => indices.into_data().iter::<i64>().map(|index| index as usize).collect(),
            }
        }
    }

    pub(super) fn pick<const D: usize>(x: Tensor<D>, which: Which) -> Tensor<D> {
        Tensor::from_dispatch(Dispatch::pick(x.into_dispatch(), which))
    }

    pub(super) fn weave<const D: usize>(parts: [Tensor<D>; 2], places: [Which; 2]) -> Tensor<D> {
        let [a, c] = parts.map(Tensor::into_dispatch);
        Tensor::from_dispatch(Dispatch::weave(a, c, places))
    }

    #[backend_extension(Flex, Autodiff)]
    trait Columns: Backend {
        fn pick(x: FloatTensor<Self>, which: Which) -> FloatTensor<Self>;

        fn weave(
            a: FloatTensor<Self>,
            c: FloatTensor<Self>,
            places: [Which; 2],
        ) -> FloatTensor<Self>;
    }

    /// The backward pass of [`Columns::pick`].
    trait Place: Backend {
        /// Adds the elements of `x` to a tensor of zeros of the given `width`, at their places.
        fn place(x: FloatTensor<Self>, which: Which, width: usize) -> FloatTensor<Self>;
    }

    impl Columns for Flex {
        fn pick(x: FlexTensor, which: Which) -> FlexTensor {
            match x.dtype() {
                DType::F64 => picked::<f64>(x, which),
                _ => picked::<f32>(x, which),
            }
        }

        fn weave(a: FlexTensor, c: FlexTensor, places: [Which; 2]) -> FlexTensor {
            match a.dtype() {
                DType::F64 => placed::<f64, 2>([a, c], places, None),
                _ => placed::<f32, 2>([a, c], places, None),
            }
        }
    }

    impl Place for Flex {
        fn place(x: FlexTensor, which: Which, width: usize) -> FlexTensor {
            match x.dtype() {
                DType::F64 => placed::<f64, 1>([x], [which], Some(width)),
                _ => placed::<f32, 1>([x], [which], Some(width)),
            }
        }
    }

    /// The shape of the tensor with another length of axis 1, and the number of contiguous elements of one index.
    fn with_width(shape: &Shape, width: usize) -> (Shape, usize) {
        let mut shape = shape.clone();
        shape[1] = width;
        let inner = shape[2..].iter().product();
        (shape, inner)
    }

    fn picked<T: Real>(x: FlexTensor, which: Which) -> FlexTensor {
        let [x] = contiguous([x]);
        let from = x.layout().shape();
        let indices = which.on_host();
        let (shape, inner) = with_width(from, indices.len());
        let mut out = Vec::with_capacity(shape.num_elements());
        for row in T::slice(&x).chunks_exact(from[1] * inner) {
            match (&which, inner) {
                (Which::Span(range), _) => {
                    out.extend_from_slice(&row[range.start * inner..range.end * inner]);
                }
                (_, 1) => out.extend(indices.iter().map(|&index| row[index])),
                _ => indices
                    .iter()
                    .for_each(|&index| out.extend_from_slice(&row[index * inner..][..inner])),
            }
        }
        tensor(out, &shape)
    }

    /// Puts all parts at their places in a whole, whose width is `width` or the sum of the widths of the parts.
    fn placed<T: Real, const N: usize>(
        parts: [FlexTensor; N],
        places: [Which; N],
        width: Option<usize>,
    ) -> FlexTensor {
        let parts = contiguous(parts);
        let indices = places.each_ref().map(Which::on_host);
        let width = width.unwrap_or_else(|| indices.iter().map(Vec::len).sum());
        let (shape, inner) = with_width(parts[0].layout().shape(), width);
        let mut out = vec![T::zero(); shape.num_elements()];
        for ((part, places), indices) in parts.iter().zip(&places).zip(&indices) {
            let rows = T::slice(part).chunks_exact(indices.len() * inner);
            for (out, row) in out.chunks_exact_mut(width * inner).zip(rows) {
                if let Which::Span(range) = places {
                    out[range.start * inner..range.end * inner].copy_from_slice(row);
                    continue;
                }
                for (numbers, &place) in row.chunks_exact(inner).zip(indices) {
                    for (out, &number) in out[place * inner..][..inner].iter_mut().zip(numbers) {
                        *out = *out + number;
                    }
                }
            }
        }
        tensor(out, &shape)
    }

    impl<B: Columns + Place, C: CheckpointStrategy> Columns for Autodiff<B, C> {
        fn pick(x: FloatTensor<Self>, which: Which) -> FloatTensor<Self> {
            recorded::<B, C, _, _>(
                [x],
                |[x], _| {
                    let kept = (which.clone(), x.shape()[1]);
                    (B::pick(x, which), Some(kept))
                },
                |(which, width), gradient, _| [Some(B::place(gradient, which, width))],
            )
        }

        fn weave(
            a: FloatTensor<Self>,
            c: FloatTensor<Self>,
            places: [Which; 2],
        ) -> FloatTensor<Self> {
            recorded::<B, C, _, _>(
                [a, c],
                |[a, c], _| (B::weave(a, c, places.clone()), Some(places)),
                |places, gradient, _| places.map(|places| Some(B::pick(gradient.clone(), places))),
            )
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::noise::Noise;
    use crate::param::index_tensor;

    fn leaf<const D: usize>(shape: [usize; D], seed: u64, dtype: DType) -> Tensor<D> {
        let plain = Noise::seeded(seed).normal::<D>(shape, &Device::flex()).cast(dtype);
        plain.autodiff().require_grad()
    }

    #[test]
    fn picked_elements_and_their_gradient_are_those_of_burn() {
        // Index 2 occurs twice, so its gradient is a sum.
        let indices = || index_tensor(&[2, 0, 4, 2], &Device::flex());
        for dtype in [DType::F32, DType::F64] {
            let functional = leaf([3, 4, 2, 3], 2, dtype).without_autodiff();
            let [found, wanted] = [true, false].map(|kernel| {
                let x = leaf([3, 5, 2, 3], 1, dtype);
                let turned = x.clone().swap_dims(2, 3).swap_dims(2, 3);
                let y = if kernel { pick(turned, indices()) } else { turned.select(1, indices()) };
                let gradients = (y.clone() * functional.clone()).sum().backward();
                (y.into_data(), x.grad(&gradients).expect("tracked").into_data())
            });
            assert_eq!(found.0, wanted.0);
            found.1.assert_approx_eq::<f64>(&wanted.1, burn::tensor::Tolerance::absolute(1e-6));
        }
    }

    #[test]
    fn neighbours_and_their_gradient_are_those_of_burn() {
        for dtype in [DType::F32, DType::F64] {
            let functional = leaf([3, 5, 2], 2, dtype).without_autodiff();
            let [found, wanted] = [true, false].map(|kernel| {
                let x = leaf([3, 5, 2], 1, dtype);
                // The two parts are swapped.
                let parts = match kernel {
                    true => join([span(x.clone(), 3..5), span(x.clone(), 0..3)]),
                    false => {
                        Tensor::cat(vec![x.clone().narrow(1, 3, 2), x.clone().narrow(1, 0, 3)], 1)
                    }
                };
                let gradients = (parts.clone() * functional.clone()).sum().backward();
                (parts.into_data(), x.grad(&gradients).expect("tracked").into_data())
            });
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn woven_parts_lead_back_and_so_do_their_gradients() {
        let [first, second] = [[3, 0].as_slice(), &[1, 4, 2]];
        let indices = |of: &[usize]| index_tensor(of, &Device::flex());
        for dtype in [DType::F32, DType::F64] {
            let (a, c) = (leaf([4, 2], 1, dtype), leaf([4, 3], 2, dtype));
            let places = [indices(first), indices(second)];
            let whole = weave([a.clone(), c.clone()], places, indices(&[1, 2, 4, 0, 3]));
            let cat = Tensor::cat(vec![a.clone(), c.clone()], 1);
            let wanted = cat.select(1, indices(&[1, 2, 4, 0, 3]));
            assert_eq!(whole.to_data(), wanted.to_data());
            assert_eq!(pick(whole.clone(), indices(first)).into_data(), a.to_data());
            let functional = leaf([4, 5], 3, dtype).without_autodiff();
            let gradients = (whole * functional.clone()).sum().backward();
            for (part, places) in [(a, first), (c, second)] {
                let found = part.grad(&gradients).expect("tracked").into_data();
                assert_eq!(found, functional.clone().select(1, indices(places)).into_data());
            }
        }
    }
}
