//! A convolution with an odd square kernel and stride 1, which preserves height and width.
//!
//! y[o, p] = b[o] + sum over c, q of W[o, c, q] x[c, p + q]          zero outside the image
//!
//! The side with fewer channels is expanded over the `k * k` shifts, so that the convolution becomes one matrix
//! product: `wide = M gather(small)`, or its adjoint `small = scatter(M^T wide)`. Each product is the backward pass of
//! the other; the gradient of `M` is `wide gather(small)^T`.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module::conv2d};

/// The convolution of images `[batch, c_in, height, width]` with a weight `[c_out, c_in, k, k]`,
/// `k` odd, and a bias `[c_out]`.
pub(crate) fn conv_same(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    #[cfg(feature = "flex")]
    if crate::parallel::is_flex(&x.device())
        && super::knows(x.dtype())
        && x.shape().num_elements() > 0
    {
        return fast::conv_same(x, weight, bias);
    }
    reference(x, weight, bias)
}

/// The convolution computed by the backend.
fn reference(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let half = weight.dims()[2] / 2;
    conv2d(x, weight, Some(bias), ConvOptions::new([1, 1], [half, half], [1, 1], 1))
}

#[cfg(feature = "flex")]
mod fast {
    //! The kernel and its backward pass.

    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::flex::FlexTensor;
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
    use burn::tensor::{DType, Tensor};

    use crate::kernel::matrix::{Real, tensor};
    use crate::kernel::recorded::recorded;
    use crate::kernel::shifts::Shifts;

    pub(super) fn conv_same(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
        let [x, weight] = [x, weight].map(Tensor::into_dispatch);
        Tensor::from_dispatch(Dispatch::conv_same(x, weight, bias.into_dispatch()))
    }

    #[backend_extension(Flex, Autodiff)]
    pub(crate) trait ConvSame: Backend {
        fn conv_same(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
        ) -> FloatTensor<Self>;
    }

    /// The gradients of [`ConvSame`] from the gradient of its output.
    pub(crate) trait ConvSameBackward: Backend {
        fn for_x(weight: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

        /// `size` is the size of the kernel.
        fn for_weight(
            x: FloatTensor<Self>,
            gradient: FloatTensor<Self>,
            size: usize,
        ) -> FloatTensor<Self>;

        fn for_bias(gradient: FloatTensor<Self>) -> FloatTensor<Self>;
    }

    impl ConvSame for Flex {
        fn conv_same(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
            match x.dtype() {
                DType::F64 => forward::<f64>(x, weight, bias),
                _ => forward::<f32>(x, weight, bias),
            }
        }
    }

    impl ConvSameBackward for Flex {
        fn for_x(weight: FlexTensor, gradient: FlexTensor) -> FlexTensor {
            match gradient.dtype() {
                DType::F64 => x_gradient::<f64>(weight, gradient),
                _ => x_gradient::<f32>(weight, gradient),
            }
        }

        fn for_weight(x: FlexTensor, gradient: FlexTensor, size: usize) -> FlexTensor {
            match gradient.dtype() {
                DType::F64 => weight_gradient::<f64>(x, gradient, size),
                _ => weight_gradient::<f32>(x, gradient, size),
            }
        }

        fn for_bias(gradient: FlexTensor) -> FlexTensor {
            match gradient.dtype() {
                DType::F64 => bias_gradient::<f64>(gradient),
                _ => bias_gradient::<f32>(gradient),
            }
        }
    }

    fn forward<T: Real>(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let ([batch, _, height, width], [c_out, c_in, size, _]) = (dims(&x), dims(&weight));
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.to_contiguous());
        let plan = Plan::new([c_out, c_in, size], [height, width]);
        let matrix = plan.matrix(T::slice(&weight));
        let (x, bias) = (T::slice(&x), T::slice(&bias));
        let y = match plan.expands {
            true => plan.shifts.expand(&matrix, x, bias),
            false => plan.shifts.reduce(&matrix, x, bias),
        };
        tensor(y, &[batch, c_out, height, width])
    }

    fn x_gradient<T: Real>(weight: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let ([batch, _, height, width], [c_out, c_in, size, _]) = (dims(&gradient), dims(&weight));
        let [weight, gradient] = [weight, gradient].map(|tensor| tensor.to_contiguous());
        let plan = Plan::new([c_out, c_in, size], [height, width]);
        let matrix = plan.matrix(T::slice(&weight));
        let (gradient, none) = (T::slice(&gradient), vec![T::zero(); c_in]);
        let x = match plan.expands {
            true => plan.shifts.reduce(&matrix, gradient, &none),
            false => plan.shifts.expand(&matrix, gradient, &none),
        };
        tensor(x, &[batch, c_in, height, width])
    }

    fn weight_gradient<T: Real>(x: FlexTensor, gradient: FlexTensor, size: usize) -> FlexTensor {
        let ([_, c_in, height, width], [_, c_out, ..]) = (dims(&x), dims(&gradient));
        let [x, gradient] = [x, gradient].map(|tensor| tensor.to_contiguous());
        let plan = Plan::new([c_out, c_in, size], [height, width]);
        let (x, gradient) = (T::slice(&x), T::slice(&gradient));
        let matrix = match plan.expands {
            true => plan.shifts.outer(gradient, x),
            false => plan.shifts.outer(x, gradient),
        };
        tensor(plan.weight(matrix), &[c_out, c_in, size, size])
    }

    fn bias_gradient<T: Real>(gradient: FlexTensor) -> FlexTensor {
        let [_, channels, height, width] = dims(&gradient);
        let gradient = gradient.to_contiguous();
        let mut sums = vec![T::zero(); channels];
        for (index, plane) in T::slice(&gradient).chunks(height * width).enumerate() {
            let sum = plane.iter().fold(T::zero(), |sum, &value| sum + value);
            sums[index % channels] = sums[index % channels] + sum;
        }
        tensor(sums, &[channels])
    }

    fn dims(tensor: &FlexTensor) -> [usize; 4] {
        tensor.layout().shape().dims()
    }

    /// How a convolution becomes a matrix product: the side that is expanded over the shifts.
    struct Plan {
        shifts: Shifts,
        /// Whether the input is expanded, so that the output is the wide side.
        expands: bool,
    }

    impl Plan {
        fn new([c_out, c_in, size]: [usize; 3], [height, width]: [usize; 2]) -> Self {
            let expands = c_in <= c_out;
            let (wide, small) = if expands { (c_out, c_in) } else { (c_in, c_out) };
            Self { shifts: Shifts { wide, small, size, height, width }, expands }
        }

        /// The matrix `[wide, small * size * size]` of a weight. If the output is expanded, the shifts are reversed.
        fn matrix<T: Real>(&self, weight: &[T]) -> Vec<T> {
            let Shifts { wide, small, .. } = self.shifts;
            if self.expands { weight.to_vec() } else { mirrored(weight, [small, wide]) }
        }

        /// The weight that belongs to a matrix.
        fn weight<T: Real>(&self, matrix: Vec<T>) -> Vec<T> {
            let Shifts { wide, small, .. } = self.shifts;
            if self.expands { matrix } else { mirrored(&matrix, [wide, small]) }
        }
    }

    /// `[rows, columns, shifts]` with rows and columns swapped and the shifts reversed.
    fn mirrored<T: Real>(values: &[T], [rows, columns]: [usize; 2]) -> Vec<T> {
        let shifts = values.len() / (rows * columns);
        let mut out = Vec::with_capacity(values.len());
        for column in 0..columns {
            for row in 0..rows {
                let kernel = &values[(row * columns + column) * shifts..][..shifts];
                out.extend(kernel.iter().rev());
            }
        }
        out
    }

    impl<B: ConvSame + ConvSameBackward, C: CheckpointStrategy> ConvSame for Autodiff<B, C> {
        fn conv_same(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            recorded::<B, C, _, _>(
                [x, weight, bias],
                |[x, weight, bias], tracked| {
                    let kept = tracked.then(|| (x.clone(), weight.clone()));
                    (B::conv_same(x, weight, bias), kept)
                },
                |(x, weight), gradient, [by_x, by_weight, by_bias]| {
                    let size = weight.shape()[2];
                    [
                        by_x.then(|| B::for_x(weight, gradient.clone())),
                        by_weight.then(|| B::for_weight(x, gradient.clone(), size)),
                        by_bias.then(|| B::for_bias(gradient)),
                    ]
                },
            )
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;
    use crate::noise::Noise;

    /// The values and the gradients of a random functional of `convolution`, which is the kernel or the reference.
    fn both(
        convolution: fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>,
        [batch, c_in, c_out]: [usize; 3],
        [size, height, width]: [usize; 3],
        dtype: DType,
    ) -> [TensorData; 4] {
        let mut noise = Noise::seeded(5);
        let mut draw = |shape| {
            let plain = noise.normal::<4>(shape, &Device::flex()).cast(dtype);
            plain.autodiff().require_grad()
        };
        let x = draw([batch, c_in, height, width]);
        let weight = draw([c_out, c_in, size, size]);
        let bias = draw([1, 1, 1, c_out]);
        let functional = draw([batch, c_out, height, width]).without_autodiff().autodiff();
        // The kernel must accept a view that is not contiguous.
        let turned = x.clone().swap_dims(2, 3).swap_dims(2, 3);
        let y = convolution(turned, weight.clone(), bias.clone().reshape([c_out]));
        let gradients = (y.clone() * functional).sum().backward();
        let of = |tensor: &Tensor<4>| tensor.grad(&gradients).expect("tracked").into_data();
        [y.into_data(), of(&x), of(&weight), of(&bias)]
    }

    #[test]
    fn the_kernel_equals_the_reference_in_values_and_gradients() {
        for channels in [[1, 1, 1], [5, 3, 7], [5, 7, 3], [2, 6, 64], [2, 64, 12]] {
            for shape in [[1, 3, 3], [3, 1, 1], [3, 4, 4], [3, 5, 3], [3, 8, 16], [5, 3, 6]] {
                for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 3e-5)] {
                    let found = both(conv_same, channels, shape, dtype);
                    let wanted = both(reference, channels, shape, dtype);
                    for (found, wanted) in found.iter().zip(&wanted) {
                        assert_eq!((found.shape(), found.dtype()), (wanted.shape(), dtype));
                        let pairs = found.iter::<f64>().zip(wanted.iter::<f64>());
                        let largest = wanted.iter::<f64>().fold(1.0, |most, v| v.abs().max(most));
                        let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
                        assert!(error < bound, "{channels:?} {shape:?} {dtype:?}: {error:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_image_does_not_depend_on_its_batch_nor_on_the_threads() {
        let mut noise = Noise::seeded(6);
        let device = Device::flex();
        let x: Tensor<4> = noise.normal([33, 6, 8, 8], &device);
        let weight: Tensor<4> = noise.normal([64, 6, 3, 3], &device);
        let bias: Tensor<1> = noise.normal([64], &device);
        let whole = conv_same(x.clone(), weight.clone(), bias.clone()).into_data();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let alone = one.install(|| conv_same(x.clone(), weight.clone(), bias.clone()));
        assert_eq!(alone.into_data(), whole);
        let single = conv_same(x.narrow(0, 32, 1), weight, bias).into_data();
        let last = whole.iter::<f32>().skip(32 * 64 * 64);
        assert!(single.iter::<f32>().eq(last));
    }
}
