//! A scale and a shift for every channel, in one operation.
//!
//! forward   z = x exp(s) + t                  s, t for every index of axis 1
//! inverse   x = (z - t) exp(-s)
//!
//! backward:    dL/dx = g exp(s),  dL/ds = sum of g x exp(s),  dL/dt = sum of g       over batch and pixels

use burn::tensor::Tensor;

/// `x exp(s) + t` for `[batch, channels, ..]`.
pub(crate) fn scale_and_shift<const D: usize>(
    x: Tensor<D>,
    log_scale: Tensor<1>,
    shift: Tensor<1>,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if flex::knows(&x, [&log_scale, &shift]) {
        return flex::scale_and_shift(x, log_scale, shift);
    }
    reference(x, log_scale, shift)
}

/// `x exp(s) + t` computed by the operations of the backend.
fn reference<const D: usize>(x: Tensor<D>, log_scale: Tensor<1>, shift: Tensor<1>) -> Tensor<D> {
    let mut dims = [1; D];
    dims[1] = log_scale.dims()[0];
    x * log_scale.exp().reshape(dims) + shift.reshape(dims)
}

/// `(z - t) exp(-s)` for `[batch, channels, ..]`. The kernel does not support autodiff tensors.
pub(crate) fn shift_and_scale_back<const D: usize>(
    z: Tensor<D>,
    log_scale: Tensor<1>,
    shift: Tensor<1>,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if flex::knows(&z, [&log_scale, &shift])
        && ![z.device(), log_scale.device()].iter().any(|device| device.is_autodiff())
    {
        return flex::shift_and_scale_back(z, log_scale, shift);
    }
    let mut dims = [1; D];
    dims[1] = log_scale.dims()[0];
    (z - shift.reshape(dims)) * log_scale.neg().exp().reshape(dims)
}

#[cfg(feature = "flex")]
mod flex {
    //! The kernel and its backward pass.

    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::FlexTensor;
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
    use burn::tensor::{DType, Tensor};

    use crate::kernel::elementary::{Elementary, vectorized};
    use crate::kernel::matrix::{contiguous, tensor};
    use crate::kernel::recorded::recorded;

    /// Whether the kernel supports these tensors.
    pub(super) fn knows<const D: usize>(x: &Tensor<D>, params: [&Tensor<1>; 2]) -> bool {
        let fits = |of: &&Tensor<1>| of.dtype() == x.dtype() && of.dims() == [x.dims()[1]];
        crate::parallel::is_flex(&x.device())
            && crate::kernel::knows(x.dtype())
            && params.iter().all(fits)
            && x.shape().num_elements() > 0
    }

    pub(super) fn scale_and_shift<const D: usize>(
        x: Tensor<D>,
        log_scale: Tensor<1>,
        shift: Tensor<1>,
    ) -> Tensor<D> {
        let [log_scale, shift] = [log_scale, shift].map(Tensor::into_dispatch);
        Tensor::from_dispatch(Dispatch::scale_and_shift(x.into_dispatch(), log_scale, shift))
    }

    #[backend_extension(Flex, Autodiff)]
    trait Channels: Backend {
        fn scale_and_shift(
            x: FloatTensor<Self>,
            log_scale: FloatTensor<Self>,
            shift: FloatTensor<Self>,
        ) -> FloatTensor<Self>;
    }

    /// The gradients of [`Channels`] with respect to its inputs, from the gradient of its output.
    trait ChannelsBackward: Backend {
        fn channels_backward(
            x: FloatTensor<Self>,
            log_scale: FloatTensor<Self>,
            gradient: FloatTensor<Self>,
        ) -> [FloatTensor<Self>; 3];
    }

    impl Channels for Flex {
        fn scale_and_shift(x: FlexTensor, log_scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
            match x.dtype() {
                DType::F64 => run::<f64, false>(x, log_scale, shift),
                _ => run::<f32, false>(x, log_scale, shift),
            }
        }
    }

    impl ChannelsBackward for Flex {
        fn channels_backward(
            x: FlexTensor,
            log_scale: FlexTensor,
            gradient: FlexTensor,
        ) -> [FlexTensor; 3] {
            match x.dtype() {
                DType::F64 => backward::<f64>(x, log_scale, gradient),
                _ => backward::<f32>(x, log_scale, gradient),
            }
        }
    }

    pub(super) fn shift_and_scale_back<const D: usize>(
        z: Tensor<D>,
        log_scale: Tensor<1>,
        shift: Tensor<1>,
    ) -> Tensor<D> {
        fn flex<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
            tensor.try_into_primitive::<Flex>().expect("a tensor on `flex`")
        }
        let (z, log_scale, shift) = (flex(z), flex(log_scale), flex(shift));
        Tensor::from_primitive::<Flex>(match z.dtype() {
            DType::F64 => run::<f64, true>(z, log_scale, shift),
            _ => run::<f32, true>(z, log_scale, shift),
        })
    }

    /// `exp(s)`, or `exp(-s)` for the inverse.
    fn scales<T: Elementary>(log_scale: &FlexTensor, back: bool) -> Vec<T> {
        T::slice(log_scale).iter().map(|&s| if back { (-s).exp() } else { s.exp() }).collect()
    }

    /// The number of channels, and the number of contiguous elements of a channel.
    fn extent(x: &FlexTensor) -> [usize; 2] {
        let shape = x.layout().shape();
        [shape[1], shape[2..].iter().product()]
    }

    fn run<T: Elementary, const BACK: bool>(
        x: FlexTensor,
        log_scale: FlexTensor,
        shift: FlexTensor,
    ) -> FlexTensor {
        let [x, log_scale, shift] = contiguous([x, log_scale, shift]);
        let (scales, shifts) = (scales::<T>(&log_scale, BACK), T::slice(&shift));
        let (values, [channels, pixels]) = (T::slice(&x), extent(&x));
        let mut out = Vec::with_capacity(values.len());
        vectorized(
            #[inline(always)]
            || {
                let map = |x: T, a: T, t: T| if BACK { (x - t) * a } else { x * a + t };
                for row in values.chunks_exact(channels * pixels) {
                    let params = scales.iter().zip(shifts);
                    if pixels == 1 {
                        out.extend(row.iter().zip(params).map(|(&x, (&a, &t))| map(x, a, t)));
                        continue;
                    }
                    for (plane, (&a, &t)) in row.chunks_exact(pixels).zip(params) {
                        out.extend(plane.iter().map(|&x| map(x, a, t)));
                    }
                }
            },
        );
        tensor(out, x.layout().shape())
    }

    fn backward<T: Elementary>(
        x: FlexTensor,
        log_scale: FlexTensor,
        gradient: FlexTensor,
    ) -> [FlexTensor; 3] {
        let [x, log_scale, gradient] = contiguous([x, log_scale, gradient]);
        let scales = scales::<T>(&log_scale, false);
        let (values, gradients, [channels, pixels]) =
            (T::slice(&x), T::slice(&gradient), extent(&x));
        let mut by_x = Vec::with_capacity(values.len());
        let [mut by_scale, mut by_shift] = [(); 2].map(|()| vec![T::zero(); channels]);
        vectorized(
            #[inline(always)]
            || {
                let size = channels * pixels;
                for (row, g) in values.chunks_exact(size).zip(gradients.chunks_exact(size)) {
                    if pixels == 1 {
                        let sums = by_scale.iter_mut().zip(by_shift.iter_mut());
                        for ((by_scale, by_shift), (&x, &g)) in sums.zip(row.iter().zip(g)) {
                            *by_scale = *by_scale + x * g;
                            *by_shift = *by_shift + g;
                        }
                        by_x.extend(g.iter().zip(&scales).map(|(&g, &a)| g * a));
                        continue;
                    }
                    let planes = row.chunks_exact(pixels).zip(g.chunks_exact(pixels));
                    for (channel, (plane, g)) in planes.enumerate() {
                        let [mut with_x, mut alone] = [T::zero(); 2];
                        for (&x, &g) in plane.iter().zip(g) {
                            with_x = with_x + x * g;
                            alone = alone + g;
                        }
                        by_scale[channel] = by_scale[channel] + with_x;
                        by_shift[channel] = by_shift[channel] + alone;
                        by_x.extend(g.iter().map(|&g| g * scales[channel]));
                    }
                }
            },
        );
        by_scale.iter_mut().zip(&scales).for_each(|(sum, &a)| *sum = *sum * a);
        let per_channel = |values| tensor(values, &[channels]);
        [tensor(by_x, x.layout().shape()), per_channel(by_scale), per_channel(by_shift)]
    }

    impl<B: Channels + ChannelsBackward, C: CheckpointStrategy> Channels for Autodiff<B, C> {
        fn scale_and_shift(
            x: FloatTensor<Self>,
            log_scale: FloatTensor<Self>,
            shift: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            recorded::<B, C, _, _>(
                [x, log_scale, shift],
                |[x, log_scale, shift], tracked| {
                    let kept = tracked.then(|| [x.clone(), log_scale.clone()]);
                    (B::scale_and_shift(x, log_scale, shift), kept)
                },
                |[x, log_scale], gradient, _| {
                    B::channels_backward(x, log_scale, gradient).map(Some)
                },
            )
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{DType, Device, TensorData, Tolerance};

    use super::*;
    use crate::noise::Noise;

    #[test]
    fn the_kernel_equals_the_reference_in_values_and_gradients() {
        for shape in [[1, 1, 1, 1], [5, 3, 1, 1], [300, 7, 1, 1], [4, 3, 5, 2], [33, 6, 8, 8]] {
            for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 1e-4)] {
                let run = |layer: fn(Tensor<4>, Tensor<1>, Tensor<1>) -> Tensor<4>| {
                    let mut noise = Noise::seeded(5);
                    let mut draw = |shape| noise.normal::<4>(shape, &Device::flex()).cast(dtype);
                    let x = draw(shape).autodiff().require_grad();
                    let functional = draw(shape);
                    let params = [(); 2].map(|()| {
                        let values = draw([1, 1, 1, shape[1]]).reshape([shape[1]]);
                        (values * 2.0).autodiff().require_grad()
                    });
                    // The kernel must accept a view that is not contiguous.
                    let turned = x.clone().swap_dims(2, 3).swap_dims(2, 3);
                    let z = layer(turned, params[0].clone(), params[1].clone());
                    let gradients = (z.clone() * functional).sum().backward();
                    let by = params.map(|of| of.grad(&gradients).expect("tracked").into_data());
                    (z.into_data(), x.grad(&gradients).expect("tracked").into_data(), by)
                };
                let (found, wanted) = (run(scale_and_shift), run(reference));
                let close = |found: &TensorData, wanted| {
                    found.assert_approx_eq::<f64>(wanted, Tolerance::rel_abs(bound, bound));
                };
                close(&found.0, &wanted.0);
                close(&found.1, &wanted.1);
                found.2.iter().zip(&wanted.2).for_each(|(found, wanted)| close(found, wanted));
            }
        }
    }

    #[test]
    fn the_way_back_equals_that_of_a_graph() {
        for shape in [[5, 3, 1, 1], [4, 3, 5, 2]] {
            for (dtype, bound) in [(DType::F64, 1e-14), (DType::F32, 1e-6)] {
                let mut noise = Noise::seeded(6);
                let z = noise.normal::<4>(shape, &Device::flex()).cast(dtype);
                let params = [(); 2].map(|()| noise.normal::<1>([3], &Device::flex()).cast(dtype));
                let [log_scale, shift] = params.clone();
                let found = shift_and_scale_back(z.clone(), log_scale, shift);
                let [log_scale, shift] = params.map(Tensor::autodiff);
                let wanted = shift_and_scale_back(z, log_scale, shift).without_autodiff();
                let tolerance = Tolerance::rel_abs(bound, bound);
                found.into_data().assert_approx_eq::<f64>(&wanted.into_data(), tolerance);
            }
        }
    }

    #[test]
    fn extreme_numbers_pass_as_in_the_reference() {
        let numbers = [f32::MAX, -1e30, 1e-40, -0.0, 100.0, f32::INFINITY, f32::NAN];
        let draw = |of: f32| Tensor::<1>::from_data([of], &Device::flex());
        for (x, scale) in numbers.iter().flat_map(|x| numbers.map(|scale| (*x, scale))) {
            let layer = |layer: fn(Tensor<2>, Tensor<1>, Tensor<1>) -> Tensor<2>| {
                layer(draw(x).reshape([1, 1]), draw(scale), draw(1.0)).into_scalar::<f32>()
            };
            let (found, wanted) = (layer(scale_and_shift), layer(reference));
            let close = found == wanted || (found - wanted).abs() <= 1e-5 * wanted.abs();
            assert!(close || found.is_nan() && wanted.is_nan(), "{x} {scale}: {found} {wanted}");
        }
    }
}
