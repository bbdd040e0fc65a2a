//! A step of a moving average in one pass over memory: `a + share (w - a)`, computed in the precision of `a`.

#[cfg(feature = "flex")]
use burn::backend::{Flex, flex::FlexTensor};
#[cfg(feature = "flex")]
use burn::tensor::DType;
use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::elementary::{Elementary, vectorized};
#[cfg(feature = "flex")]
use super::matrix::{Real, contiguous};

/// Moves `average` toward `value` by this share of the difference.
pub(crate) fn moved_toward<const D: usize>(
    average: Tensor<D>,
    value: Tensor<D>,
    share: f64,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if average.dtype() == DType::F64
        && super::knows(value.dtype())
        && crate::parallel::is_plain(&average.device())
        && crate::parallel::is_plain(&value.device())
        && average.dims() == value.dims()
    {
        let flex = |tensor: Tensor<D>| tensor.try_into_primitive::<Flex>().expect("on `flex`");
        let (average, value) = (flex(average), flex(value).to_contiguous());
        return Tensor::from_primitive::<Flex>(match value.dtype() {
            DType::F64 => run::<f64>(average, &value, share),
            _ => run::<f32>(average, &value, share),
        });
    }
    reference(average, value, share)
}

/// The step computed by the operations of the backend.
fn reference<const D: usize>(average: Tensor<D>, value: Tensor<D>, share: f64) -> Tensor<D> {
    let value = value.cast(average.dtype());
    average.clone() + (value - average) * share
}

/// The step, written in place if no other tensor shares the memory of the average.
#[cfg(feature = "flex")]
fn run<T: Elementary>(average: FlexTensor, value: &FlexTensor, share: f64) -> FlexTensor {
    let [mut average] = contiguous([average]);
    let values = T::slice(value);
    let averages = f64::slice_mut(&mut average);
    vectorized(
        #[inline(always)]
        || {
            for (average, value) in averages.iter_mut().zip(values) {
                *average += share * (value.widened() - *average);
            }
        },
    );
    average
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::noise::Noise;

    #[test]
    fn the_kernel_takes_the_step_of_the_reference() {
        for dtype in [DType::F32, DType::F64] {
            let draw = |seed, dims| Noise::seeded(seed).normal::<2>(dims, &Device::flex());
            // A transposed value is not contiguous.
            let average = draw(1, [37, 5]).cast(DType::F64);
            let value = draw(2, [5, 37]).cast(dtype).transpose();
            let wanted = reference(average.clone(), value.clone(), 0.3);
            let kept = average.clone();
            let found = moved_toward(average.clone(), value, 0.3);
            let error = (found - wanted.clone()).abs().max().into_scalar::<f64>();
            assert!(error < 1e-15, "{dtype:?}: {error:e}");
            assert!((wanted - kept.clone()).abs().max().into_scalar::<f64>() > 0.1);
            // Another tensor that shares the memory keeps its values.
            let first = draw(1, [37, 5]).cast(DType::F64);
            assert_eq!((kept - first).abs().max().into_scalar::<f64>(), 0.0);
        }
    }
}
