//! Compares the kernel of a dense layer with its reference.

use burn::tensor::{DType, Device, TensorData};

use super::*;
use crate::noise::Noise;

type Layer =
    fn(Tensor<3>, Tensor<2>, Option<Tensor<1>>, Option<Tensor<2, Bool>>, Curve) -> Tensor<3>;

/// The connections that a mask keeps.
#[derive(Debug, Clone, Copy)]
enum Open {
    All,
    Scattered,
    /// The mask of a MADE whose units are sorted by their degrees.
    Stairs,
}

/// The values and the gradients of a random functional of a layer.
fn results(
    layer: Layer,
    [rows, d_in, d_out]: [usize; 3],
    open: Open,
    curve: Curve,
    dtype: DType,
) -> [TensorData; 4] {
    let mut noise = Noise::seeded(5);
    let mut draw = |shape: [usize; 3], scale: f64| {
        let plain: Tensor<3> = noise.normal(shape, &Device::flex()).cast(dtype) * scale;
        plain.autodiff().require_grad()
    };
    // The range is wide enough to include both tails of silu.
    let x = draw([2, rows, d_in], 9.0);
    let bias = draw([1, 1, d_out], 1.0);
    let functional = draw([2, rows, d_out], 1.0).without_autodiff();
    let scattered = draw([1, d_in, d_out], 1.0).without_autodiff().greater_elem(0.0);
    let mut weight = draw([1, d_in, d_out], 1.0);
    let mask = match open {
        Open::All => None,
        Open::Scattered => Some(scattered.reshape([d_in, d_out])),
        Open::Stairs => Some(stairs([d_in, d_out])),
    };
    if let Some(mask) = &mask {
        let cut = mask.clone().bool_not().unsqueeze();
        weight = weight.without_autodiff().mask_fill(cut, 0.0).autodiff().require_grad();
    }
    // The kernel must accept a view that is not contiguous.
    let turned = x.clone().swap_dims(0, 1).swap_dims(0, 1);
    let parts = (weight.clone().reshape([d_in, d_out]), bias.clone().reshape([d_out]));
    let y = layer(turned, parts.0, Some(parts.1), mask, curve);
    let gradients = (y.clone() * functional).sum().backward();
    let of = |tensor: &Tensor<3>| tensor.grad(&gradients).expect("tracked").into_data();
    [y.into_data(), of(&x), of(&weight), of(&bias)]
}

/// A mask of seven degrees that connects an input to outputs of equal or higher degree.
fn stairs([d_in, d_out]: [usize; 2]) -> Tensor<2, Bool> {
    let open = |at: usize| (at / d_out) * 7 / d_in <= (at % d_out) * 7 / d_out;
    let open: Vec<bool> = (0..d_in * d_out).map(open).collect();
    Tensor::from_data(TensorData::new(open, [d_in, d_out]), &Device::flex())
}

#[test]
fn the_kernel_equals_the_reference_in_values_and_gradients() {
    for sizes in [[1, 1, 1], [3, 5, 2], [40, 33, 65], [130, 64, 150], [20, 200, 130]] {
        for curve in [Curve::Identity, Curve::Relu, Curve::Silu] {
            for (dtype, bound) in [(DType::F64, 1e-13), (DType::F32, 3e-6)] {
                for open in [Open::All, Open::Scattered, Open::Stairs] {
                    let found = results(dense, sizes, open, curve, dtype);
                    let wanted = results(reference, sizes, open, curve, dtype);
                    for (found, wanted) in found.iter().zip(&wanted) {
                        assert_eq!((found.shape(), found.dtype()), (wanted.shape(), dtype));
                        let pairs = found.iter::<f64>().zip(wanted.iter::<f64>());
                        let largest = wanted.iter::<f64>().fold(1.0, |most, v| v.abs().max(most));
                        let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
                        assert!(error < bound, "{sizes:?} {open:?} {curve:?} {dtype:?}: {error:e}");
                    }
                }
            }
        }
    }
}

#[test]
fn extreme_numbers_pass_as_in_the_reference() {
    let device = Device::flex();
    let weight = Tensor::<2>::eye(1, &device);
    for curve in [Curve::Relu, Curve::Silu] {
        let at = [f32::MIN / 4.0, -1e30, -200.0, -0.0, 1e-40, 200.0, 1e30, f32::NAN];
        let x = Tensor::<2>::from_data(TensorData::new(at.to_vec(), [8, 1]), &device);
        let bias = Some(Tensor::zeros([1], &device));
        let found = dense(x.clone(), weight.clone(), bias.clone(), None, curve).into_data();
        let wanted = reference(x, weight.clone(), bias, None, curve).into_data();
        for (found, wanted) in found.iter::<f32>().zip(wanted.iter::<f32>()) {
            let close = (found - wanted).abs() <= 1e-6 * wanted.abs().max(1e-20);
            assert!(close || found.is_nan() && wanted.is_nan(), "{curve:?} {found} {wanted}");
        }
    }
}

#[test]
fn a_plain_input_serves_and_rows_do_not_depend_on_their_batch() {
    let mut noise = Noise::seeded(6);
    let device = Device::flex();
    let x: Tensor<2> = noise.normal([33, 20], &device);
    let weight: Tensor<2> = noise.normal([20, 70], &device);
    let bias: Tensor<1> = noise.normal([70], &device);
    for mask in [None, Some(stairs([20, 70]))] {
        let weight = match &mask {
            Some(mask) => weight.clone().mask_fill(mask.clone().bool_not(), 0.0),
            None => weight.clone(),
        };
        let tracked = weight.clone().autodiff().require_grad();
        let layer = |x, weight| dense(x, weight, Some(bias.clone()), mask.clone(), Curve::Relu);
        let y = layer(x.clone(), tracked.clone());
        let whole = y.clone().without_autodiff().into_data();
        assert!(tracked.grad(&y.sum().backward()).is_some());
        for first in [31, 32] {
            let last = layer(x.clone().narrow(0, first, 33 - first), weight.clone()).into_data();
            assert!(last.iter::<f32>().eq(whole.iter::<f32>().skip(first * 70)));
        }
    }
}

#[test]
fn a_row_has_the_same_bits_beside_any_others() {
    for [k, n] in [[1, 1], [3, 1], [100, 1], [2, 7], [16, 16], [100, 5], [600, 3], [1100, 70]] {
        for dtype in [DType::F32, DType::F64] {
            let mut noise = Noise::seeded(7);
            let mut draw = |shape| noise.normal::<2>(shape, &Device::flex()).cast(dtype);
            let (x, weight, turned) = (draw([300, k]), draw([k, n]), draw([n, k]).transpose());
            for weight in [weight, turned] {
                let whole = rows_times(x.clone(), weight.clone()).into_data();
                let whole: Vec<f64> = whole.iter::<f64>().collect();
                for rows in [1, 2, 3, 17, 50, 64, 65, 130, 299] {
                    let part = rows_times(x.clone().narrow(0, 300 - rows, rows), weight.clone());
                    let part: Vec<f64> = part.into_data().iter::<f64>().collect();
                    assert!(
                        whole[(300 - rows) * n..] == part,
                        "{rows} rows, {k} by {n}, {dtype:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_stack_of_products_is_that_of_burn() {
    let mut noise = Noise::seeded(8);
    let mut draw = |shape| noise.normal::<3>(shape, &Device::flex()).cast(DType::F64);
    for (stack, k, n) in [(1, 6, 1), (3, 6, 1), (3, 6, 4), (3, 1100, 4)] {
        let (x, weight) = (draw([3, 5, k]), draw([stack, k, n]));
        let found = stacked_rows_times(x.clone(), weight.clone()).into_data();
        let tolerance = burn::tensor::Tolerance::absolute(1e-12);
        found.assert_approx_eq::<f64>(&x.matmul(weight).into_data(), tolerance);
    }
}
