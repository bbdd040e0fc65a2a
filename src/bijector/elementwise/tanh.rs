//! Hyperbolic tangent: maps the real line to (-1, 1).

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Pointwise, guarded, pointwise_bijector};
use crate::math::softplus;

/// `z = tanh(x)`. Its [`Inverse`](crate::bijector::Inverse) maps data in (-1, 1) to the real line.
///
/// ```text
/// forward   z = tanh(x)
/// log-det   sum of 2 (ln 2 - x - softplus(-2 x))
/// inverse   x = atanh(z)               for |z| < 1
/// ```
///
/// Same numbers as nflows 0.14 `Tanh`, zuko 1.6 `TanhTransform`.
///
/// # Shapes
///
/// - input and output: `[batch, event..]` of any shape
///
/// # Numerics
///
/// The log-slope is exact where `1 - tanh^2` rounds to zero. `tanh` itself rounds to 1 above 9 in f32, and above 19 in
/// f64, where there is no inverse. A `z` outside (-1, 1) has log-slope `-inf`.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Tanh};
///
/// let x = Tensor::<2>::from_data([[20.0]], &Device::flex());
/// let (z, log_det) = Tanh {}.forward(x, None);
/// assert_eq!(z.into_scalar::<f32>(), 1.0);
/// assert!((log_det.into_scalar::<f32>() - (4f32.ln() - 40.0)).abs() < 1e-4);
/// ```
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Tanh {}

crate::display::display!(Tanh);

impl Pointwise for Tanh {
    fn apply<const D: usize>(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        let z = x.clone().tanh();
        (z, log_slope(x))
    }

    fn unapply<const D: usize>(&self, z: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        guarded(z.clone(), z.abs().greater_equal_elem(1.0), 0.0, |z| {
            let x = atanh(z);
            (x.clone(), log_slope(x).neg())
        })
    }
}

/// The inverse of `tanh`.
pub(super) fn atanh<const D: usize>(z: Tensor<D>) -> Tensor<D> {
    (z.clone().log1p() - z.neg().log1p()) / 2.0
}

/// `ln(1 - tanh(x)^2)`.
pub(super) fn log_slope<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    (softplus(x.clone() * -2.0) + x).neg() * 2.0 + 2.0 * std::f64::consts::LN_2
}

pointwise_bijector!(Tanh);
