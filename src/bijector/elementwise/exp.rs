//! Exponential: maps the real line to the positive numbers.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Pointwise, guarded, pointwise_bijector};

/// `z = exp(x)`. Its [`Inverse`](crate::bijector::Inverse) maps positive data to the real line.
///
/// ```text
/// forward   z = exp(x)
/// log-det   sum of x
/// inverse   x = ln z                   for z > 0
/// ```
///
/// Same numbers as nflows 0.14 `Exp`.
///
/// # Shapes
///
/// - input and output: `[batch, event..]` of any shape
///
/// # Numerics
///
/// `exp` overflows above 88 in f32 and 709 in f64. A `z` that is not positive has log-slope `-inf`.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Exp};
///
/// let (z, log_det) = Exp {}.forward(Tensor::<2>::zeros([1, 2], &Device::flex()), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [1.0, 1.0]);
/// assert_eq!(log_det.into_scalar::<f32>(), 0.0);
/// ```
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Exp {}

crate::display::display!(Exp);

impl Pointwise for Exp {
    fn apply<const D: usize>(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        (x.clone().exp(), x)
    }

    fn unapply<const D: usize>(&self, z: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        guarded(z.clone(), z.lower_equal_elem(0.0), 1.0, |z| {
            let x = z.log();
            (x.clone(), x.neg())
        })
    }
}

pointwise_bijector!(Exp);
