//! Softplus: maps the real line to the positive numbers, and is linear for large values.

use burn::module::Module;
use burn::tensor::{Tensor, activation::log_sigmoid};
use serde::{Deserialize, Serialize};

use super::{Pointwise, guarded, pointwise_bijector};
use crate::math::{softplus, softplus_inverse};

/// `z = ln(1 + exp(x))`. Its [`Inverse`](crate::bijector::Inverse) maps positive data to the real line.
///
/// ```text
/// forward   z = ln(1 + exp(x))
/// log-det   sum of ln sigmoid(x)
/// inverse   x = z + ln(1 - exp(-z))    for z > 0
/// ```
///
/// Same numbers as TFP `Softplus`, distrax `Lambda(softplus)`.
///
/// # Shapes
///
/// - input and output: `[batch, event..]` of any shape
///
/// # Numerics
///
/// A `z` that is not positive has log-slope `-inf`. `z` underflows for `x` below -87 in f32, and below -708 in f64.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Softplus};
///
/// let x = Tensor::<2>::from_data([[-3.0, 0.0, 100.0]], &Device::flex());
/// let (z, _) = Softplus {}.forward(x.clone(), None);
/// let back = Softplus {}.inverse(z, None);
/// back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Softplus {}

crate::display::display!(Softplus);

impl Pointwise for Softplus {
    fn apply<const D: usize>(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        (softplus(x.clone()), log_sigmoid(x))
    }

    fn unapply<const D: usize>(&self, z: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        guarded(z.clone(), z.lower_equal_elem(0.0), 1.0, |z| {
            let x = softplus_inverse(z);
            (x.clone(), log_sigmoid(x).neg())
        })
    }
}

pointwise_bijector!(Softplus);
