//! The log-density of independent standard normals.
//!
//! log p(x) = -(|x|^2 + n ln 2 pi) / 2,   d log p / dx = -x           n numbers in an event

use burn::tensor::Tensor;

use crate::math::{LN_2PI, event_len, sum_event};

/// `log p` of each event, `[batch]`.
pub(crate) fn normal_log_prob<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if crate::parallel::is_flex(&x.device())
        && super::knows(x.dtype())
        && x.shape().num_elements() > 0
    {
        return flex::normal_log_prob(x);
    }
    reference(x)
}

/// `log p` computed by the operations of the backend.
fn reference<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let constant = event_len(&x) as f64 * LN_2PI;
    (sum_event(x.clone() * x) + constant) * -0.5
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
    use crate::math::LN_2PI;

    pub(super) fn normal_log_prob<const D: usize>(x: Tensor<D>) -> Tensor<1> {
        Tensor::from_dispatch(Dispatch::normal_log_prob(x.into_dispatch()))
    }

    #[backend_extension(Flex, Autodiff)]
    trait Normal: Backend {
        fn normal_log_prob(x: FloatTensor<Self>) -> FloatTensor<Self>;
    }

    /// The gradient of [`Normal`] with respect to `x`, from the gradient of its output.
    trait NormalBackward: Backend {
        fn normal_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;
    }

    impl Normal for Flex {
        fn normal_log_prob(x: FlexTensor) -> FlexTensor {
            match x.dtype() {
                DType::F64 => forward::<f64>(x),
                _ => forward::<f32>(x),
            }
        }
    }

    impl NormalBackward for Flex {
        fn normal_backward(x: FlexTensor, gradient: FlexTensor) -> FlexTensor {
            match x.dtype() {
                DType::F64 => backward::<f64>(x, gradient),
                _ => backward::<f32>(x, gradient),
            }
        }
    }

    /// The number of partial sums of a row that are accumulated side by side.
    const LANES: usize = 16;

    fn forward<T: Elementary>(x: FlexTensor) -> FlexTensor {
        let [x] = contiguous([x]);
        let batch = x.layout().shape()[0];
        let values = T::slice(&x);
        let n = values.len() / batch;
        let [half, constant] =
            [-0.5, -0.5 * n as f64 * LN_2PI].map(|of| T::from(of).expect("a float holds it"));
        let mut out = Vec::with_capacity(batch);
        vectorized(
            #[inline(always)]
            || {
                for row in values.chunks_exact(n) {
                    let mut sums = [T::zero(); LANES];
                    let chunks = row.chunks_exact(LANES);
                    let rest = chunks.remainder();
                    for chunk in chunks {
                        for (sum, &x) in sums.iter_mut().zip(chunk) {
                            *sum = *sum + x * x;
                        }
                    }
                    sums.iter_mut().zip(rest).for_each(|(sum, &x)| *sum = *sum + x * x);
                    let square = sums.iter().fold(T::zero(), |all, &sum| all + sum);
                    out.push(square * half + constant);
                }
            },
        );
        tensor(out, &[batch])
    }

    fn backward<T: Elementary>(x: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let [x, gradient] = contiguous([x, gradient]);
        let (values, by) = (T::slice(&x), T::slice(&gradient));
        let mut out = Vec::with_capacity(values.len());
        for (row, &g) in values.chunks_exact(values.len() / by.len()).zip(by) {
            out.extend(row.iter().map(|&x| -(g * x)));
        }
        tensor(out, x.layout().shape())
    }

    impl<B: Normal + NormalBackward, C: CheckpointStrategy> Normal for Autodiff<B, C> {
        fn normal_log_prob(x: FloatTensor<Self>) -> FloatTensor<Self> {
            recorded::<B, C, _, _>(
                [x],
                |[x], tracked| {
                    let kept = tracked.then(|| x.clone());
                    (B::normal_log_prob(x), kept)
                },
                |x, gradient, _| [Some(B::normal_backward(x, gradient))],
            )
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{DType, Device, Tolerance};

    use super::*;
    use crate::noise::Noise;

    #[test]
    fn the_kernel_equals_the_reference_in_values_and_gradients() {
        for shape in [[1, 1, 1], [5, 3, 1], [7, 16, 1], [3, 17, 5]] {
            for (dtype, bound) in [(DType::F64, 1e-14), (DType::F32, 1e-5)] {
                let run = |log_prob: fn(Tensor<3>) -> Tensor<1>| {
                    let mut noise = Noise::seeded(5);
                    let x = noise.normal::<3>(shape, &Device::flex()).cast(dtype) * 3.0;
                    let x = x.autodiff().require_grad();
                    let functional = noise.normal::<1>([shape[0]], &Device::flex()).cast(dtype);
                    // The kernel must accept a view that is not contiguous.
                    let log_prob = log_prob(x.clone().swap_dims(1, 2));
                    let gradients = (log_prob.clone() * functional).sum().backward();
                    (log_prob.into_data(), x.grad(&gradients).expect("tracked").into_data())
                };
                let (found, wanted) = (run(normal_log_prob), run(reference));
                let tolerance = Tolerance::rel_abs(bound, bound);
                found.0.assert_approx_eq::<f64>(&wanted.0, tolerance);
                found.1.assert_approx_eq::<f64>(&wanted.1, tolerance);
            }
        }
    }

    #[test]
    fn extreme_numbers_pass_as_in_the_reference() {
        let at = [f32::MAX, -1e30, 1e19, 1e-40, -0.0, f32::INFINITY, f32::NAN];
        for at in at {
            let x = Tensor::<2>::from_data([[1.0, at, 2.0]], &Device::flex());
            let [found, wanted] = [normal_log_prob, reference]
                .map(|log_prob| log_prob(x.clone()).into_scalar::<f32>());
            assert!(found == wanted || found.is_nan() && wanted.is_nan(), "{at}: {found} {wanted}");
        }
    }
}
