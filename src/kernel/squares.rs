//! The sum of squares of a tensor in f64, in one pass over memory.

#[cfg(feature = "flex")]
use burn::backend::Flex;
#[cfg(feature = "flex")]
use burn::tensor::DType;
use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::elementary::{Elementary, vectorized};
#[cfg(feature = "flex")]
use super::matrix::Real;
use crate::math::fine;

/// The sum of the squares of all elements, in f64 on `flex` and in at least f32 elsewhere.
pub(crate) fn sum_of_squares<const D: usize>(x: Tensor<D>) -> f64 {
    #[cfg(feature = "flex")]
    if super::knows(x.dtype()) && crate::parallel::is_plain(&x.device()) {
        let x = x.try_into_primitive::<Flex>().expect("on `flex`").to_contiguous();
        return match x.dtype() {
            DType::F64 => squares(f64::slice(&x)),
            _ => squares(f32::slice(&x)),
        };
    }
    reference(x)
}

/// The sum computed by the operations of the backend.
fn reference<const D: usize>(x: Tensor<D>) -> f64 {
    fine(x).square().sum().into_scalar::<f64>()
}

/// Partial sums, each over every 32nd element.
#[cfg(feature = "flex")]
const LANES: usize = 32;

#[cfg(feature = "flex")]
fn squares<T: Elementary>(numbers: &[T]) -> f64 {
    let (rows, rest) = numbers.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    vectorized(
        #[inline(always)]
        || {
            // A local array stays in registers.
            let mut inside = [0.0; LANES];
            for row in rows {
                let row = row.map(T::widened);
                for (sum, x) in inside.iter_mut().zip(row) {
                    *sum += x * x;
                }
            }
            sums = inside;
        },
    );
    let rest = rest.iter().map(|x| x.widened() * x.widened());
    sums.into_iter().chain(rest).sum()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::noise::Noise;

    #[test]
    fn the_kernel_gives_the_sum_of_the_reference() {
        for dtype in [DType::F32, DType::F64] {
            for count in [1, 15, 16, 17, 1000] {
                let x = Noise::seeded(count as u64).normal::<2>([count, 3], &Device::flex());
                let x = x.cast(dtype).transpose() * 1e15;
                let (found, wanted) = (sum_of_squares(x.clone()), reference(x));
                assert!((found / wanted - 1.0).abs() < 1e-13, "{dtype:?} {count}");
            }
        }
    }
}
