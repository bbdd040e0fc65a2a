//! Sums over an event, stable logarithms, triangular inverses.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{DType, Tensor, TensorData};

use crate::moments::Moments;
use crate::parallel::is_flex;
use crate::precision::expect_computed;

/// `ln(2 pi)`.
pub(crate) const LN_2PI: f64 = 1.837_877_066_409_345_5;

/// Beyond this, `softplus(x)` is `x` to the last bit of an f64 (`exp(-40) < 2^-53`).
const SOFTPLUS_THRESHOLD: f64 = 40.0;

/// The precision of log-determinants and log-densities of values in `dtype`. For f16 and bf16 it is f32: their three or
/// two digits are too few for a sum of many terms.
pub(crate) fn wide_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F16 | DType::BF16 => DType::F32,
        _ => dtype,
    }
}

/// Casts `x` to at least f32. Panics if the device does not compute in the precision of `x`.
pub(crate) fn wide<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let dtype = wide_dtype(x.dtype());
    expect_computed(&x.device(), x.dtype());
    x.cast(dtype)
}

/// Casts `x` to the precision in which sums and short formulas are computed: f64 on `flex`, where f64 costs little, and
/// at least f32 elsewhere. Rounding the result once is more accurate than rounding at every step.
pub(crate) fn fine<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let x = wide(x);
    if is_flex(&x.device()) { x.cast(DType::F64) } else { x }
}

/// Sums all axes but the first, in at least f32: `[batch, event..] -> [batch]`.
pub(crate) fn sum_event<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let (batch, event, dtype) = (x.dims()[0], event_len(&x), wide_dtype(x.dtype()));
    fine(x).reshape([batch, event]).sum_dim(1).reshape([batch]).cast(dtype)
}

/// The number of elements of one event.
pub(crate) fn event_len<const D: usize>(x: &Tensor<D>) -> usize {
    x.dims()[1..].iter().product()
}

/// Log-determinants of zero, `[batch]`, on the device of `x`, outside any graph.
pub(crate) fn zeros_batch<const D: usize>(x: &Tensor<D>) -> Tensor<1> {
    Tensor::zeros([x.dims()[0]], (&x.device().without_autodiff(), wide_dtype(x.dtype())))
}

/// One value `[1]` repeated for every row of `x`, in at least f32.
pub(crate) fn repeat_batch<const D: usize>(value: Tensor<1>, x: &Tensor<D>) -> Tensor<1> {
    let (value, batch) = (wide(value), x.dims()[0]);
    match batch {
        // burn 0.22 cannot expand a tensor to zero rows.
        0 => Tensor::zeros([0], (&value.device(), value.dtype())),
        _ => value.expand([batch]),
    }
}

/// Added to the standard deviation of a first batch, to avoid a division by zero for a constant channel. The value is
/// from Glow and normflows.
const STD_FLOOR: f64 = 1e-6;

/// Mean and standard deviation (plus 1e-6) of every channel (axis 1), `[channels]` each, outside any graph. The
/// variance is unbiased, as in nflows and normflows. A single value has a deviation of 0, so the result is 1e-6.
pub(crate) fn channel_moments<const D: usize>(x: Tensor<D>) -> (Tensor<1>, Tensor<1>) {
    let moments = Moments::of_channels(&x);
    let std = moments.unbiased_deviation().into_iter().map(|std| std + STD_FLOOR).collect();
    (like(moments.mean, &x), like(std, &x))
}

/// Converts numbers to a tensor in the precision and on the device of `x`, outside any graph.
pub(crate) fn like<const D: usize>(values: Vec<f64>, x: &Tensor<D>) -> Tensor<1> {
    let count = values.len();
    let options = (&x.device().without_autodiff(), x.dtype());
    Tensor::from_data(TensorData::new(values, [count]), options)
}

/// `ln(1 + exp(x))`, exact in f64. burn's default switches to `x` at 20.
pub(crate) fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    burn::tensor::activation::softplus_with_threshold(x, 1.0, SOFTPLUS_THRESHOLD)
}

/// The inverse of [`softplus`] for positive `y`, `y + ln(1 - exp(-y))`.
///
/// Uses `1 - exp(-y) = tanh(y / 2) (1 + exp(-y))`: the difference loses all digits of a small `y`, the product loses
/// none.
pub(crate) fn softplus_inverse<const D: usize>(y: Tensor<D>) -> Tensor<D> {
    let tail = (y.clone() * 0.5).tanh().log() + y.clone().neg().exp().log1p();
    y + tail
}

/// `1 / (1 + exp(-x))`, computed in f64 for f64. Where the backend has no kernel of its own, burn 0.22 computes its
/// sigmoid in f32.
pub(crate) fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match x.dtype() {
        DType::F64 => log_sigmoid(x).exp(),
        _ => burn::tensor::activation::sigmoid(x),
    }
}

/// `x / (1 + exp(-x))`, as precise as [`sigmoid`].
pub(crate) fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match x.dtype() {
        DType::F64 => x.clone() * sigmoid(x),
        _ => burn::tensor::activation::silu(x),
    }
}

/// `x` times the standard normal distribution function. Where a backend has no kernel for it, the gradient of burn
/// 0.22's own function belongs to another curve and is off by 1e-3.
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let below = (x.clone() * FRAC_1_SQRT_2).erf() + 1.0;
    x * below * 0.5
}

/// `ln sigmoid(x)` and `ln sigmoid(-x)`.
pub(crate) fn log_sigmoid_pair<const D: usize>(x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
    (log_sigmoid(x.clone()), log_sigmoid(x.neg()))
}

/// `ln sum exp` over one axis, which is kept with length 1. If all terms are minus infinity, the result is minus
/// infinity with a gradient of zero.
pub(crate) fn log_sum_exp<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    let max = x.clone().detach().max_dim(dim);
    let empty = max.clone().equal_elem(f64::NEG_INFINITY);
    let max = max.mask_fill(empty.clone(), 0.0);
    let dims = x.dims();
    let x = x.mask_fill(empty.clone().expand(dims), 0.0);
    let sum = (x - max.clone()).exp().sum_dim(dim).log() + max;
    sum.mask_fill(empty, f64::NEG_INFINITY)
}

/// Replaces the log-densities of rows whose context is not finite by NaN. A network may turn NaN into a finite number,
/// as a rectifier does, and the density would look valid.
pub(crate) fn known_context(log_prob: Tensor<1>, context: Option<&Tensor<2>>) -> Tensor<1> {
    match context {
        // burn 0.22 expands nothing to no rows.
        Some(context) if context.dims()[1] > 0 && log_prob.dims()[0] > 0 => {
            let (rows, known) = (log_prob.dims(), (context.clone() * 0.0).sum_dim(1));
            log_prob + known.reshape([context.dims()[0]]).expand(rows)
        }
        _ => log_prob,
    }
}

/// A float tensor from numbers of the host, in the default precision of the device.
pub(crate) fn from_f64<const D: usize>(
    values: Vec<f64>,
    shape: [usize; D],
    device: &burn::tensor::Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn tensor<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
        let data = TensorData::new(values.to_vec(), shape);
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
        x.into_data().try_to_vec_as().unwrap()
    }

    /// Compares `map` at the first number of every pair with the second number, which was computed with 60 digits.
    fn assert_values(map: impl Fn(Tensor<1>) -> Tensor<1>, table: &[(f64, f64)]) {
        for &(x, expected) in table {
            let found = host(map(tensor(&[x], [1])))[0];
            let error = (found - expected).abs() / expected.abs();
            assert!(error < 4e-15, "at {x}: {found:e}, expected {expected:e}");
        }
    }

    #[test]
    fn softplus_to_the_last_digits() {
        let table = [
            (-700.0, 9.859_676_543_759_77e-305),
            (-45.0, 2.862_518_580_549_394e-20),
            (-20.0, 2.061_153_620_314_381e-9),
            (-1.0, 0.313_261_687_518_222_8),
            (0.0, std::f64::consts::LN_2),
            (1.0, 1.313_261_687_518_222_8),
            (19.0, 19.000_000_005_602_796),
            (21.0, 21.000_000_000_758_26), // where burn's default threshold rounds to 21
            (39.0, 39.0),
            (1e4, 1e4),
        ];
        assert_values(softplus, &table);
    }

    #[test]
    fn softplus_inverse_to_the_last_digits() {
        let table = [
            (1e-300, -690.775_527_898_213_7),
            (1e-20, -46.051_701_859_880_91),
            (1e-8, -18.420_680_738_952_367),
            (0.05, -2.970_628_109_057_377),
            (1.0, 0.541_324_854_612_918_1),
            (20.0, 19.999_999_997_938_847),
            (45.0, 45.0),
            (1e4, 1e4),
        ];
        assert_values(softplus_inverse, &table);
    }

    #[test]
    fn log_sigmoids_to_the_last_digits() {
        let table = [
            (-800.0, -800.0),
            (-1.0, -1.313_261_687_518_222_8),
            (0.0, -std::f64::consts::LN_2),
            (40.0, -4.248_354_255_291_589e-18),
        ];
        assert_values(|x| log_sigmoid_pair(x).0, &table);
        assert_values(|x| log_sigmoid_pair(x.neg()).1, &table);
    }

    #[test]
    fn softplus_and_its_inverse_keep_gradients_finite() {
        let device = Device::flex().autodiff();
        for (map, at) in [
            (softplus as fn(Tensor<1>) -> Tensor<1>, [-1e4, -40.0, 40.0, 1e4]),
            (softplus_inverse, [1e-30, 0.1, 40.0, 1e4]),
        ] {
            let x = Tensor::<1>::from_data(at, &device).require_grad();
            let gradient = host(x.grad(&map(x.clone()).sum().backward()).unwrap());
            assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
            assert!((gradient[3] - 1.0).abs() < 1e-6, "{gradient:?}");
        }
    }

    #[test]
    fn log_sum_exp_of_known_huge_and_impossible_terms() {
        let infinity = f64::INFINITY;
        let x = tensor(
            &[
                1.0, 2.0, 3.0, 1e4, 1e4, -1e4, -infinity, 0.5, -infinity, -infinity, -infinity,
                -infinity,
            ],
            [4, 3],
        );
        let found = log_sum_exp(x, 1);
        assert_eq!(found.dims(), [4, 1]);
        let found = host(found);
        assert!((found[0] - 3.407_605_964_444_38).abs() < 1e-14);
        assert!((found[1] - (1e4 + std::f64::consts::LN_2)).abs() < 1e-11);
        assert_eq!(&found[2..], [0.5, -infinity]);
    }

    #[test]
    fn log_sum_exp_of_impossible_terms_has_no_nan_in_its_gradient() {
        let values = [f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0, f64::NEG_INFINITY];
        let x = tensor(&values, [2, 2]).autodiff().require_grad();
        let gradient = x.grad(&log_sum_exp(x.clone(), 1).sum().backward()).unwrap();
        assert_eq!(host(gradient), [0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn half_precision_is_summed_in_single() {
        // f16 cannot represent odd numbers above 2048, bf16 none above 256.
        for dtype in [DType::F16, DType::BF16] {
            let x = tensor(&[1.0; 3001], [1, 3001]).cast(dtype);
            let sum = sum_event(x.clone());
            assert_eq!((sum.dtype(), host(sum)), (DType::F32, vec![3001.0]));
            assert_eq!(zeros_batch(&x).dtype(), DType::F32);
            assert_eq!(
                repeat_batch(x.clone().narrow(1, 0, 1).reshape([1]), &x).dtype(),
                DType::F32
            );
            assert_eq!(wide(x).dtype(), DType::F32);
        }
        assert_eq!([DType::F32, DType::F64].map(wide_dtype), [DType::F32, DType::F64]);
    }

    #[test]
    fn sums_over_events_of_any_rank() {
        let x = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [2, 2, 1, 2]);
        assert_eq!(event_len(&x), 4);
        assert_eq!(host(sum_event(x.clone())), [10.0, 26.0]);
        let zeros = zeros_batch(&x.clone().autodiff());
        assert!(zeros.dtype() == DType::F64 && !zeros.is_autodiff());
        assert_eq!(host(repeat_batch(tensor(&[3.0], [1]), &x)), [3.0, 3.0]);
    }
}
