//! Scalar maps of every element: with parameters ([`Bounded`], [`Elementwise`], [`Standardize`]) and without.

mod bounded;
mod exp;
mod free;
mod leaky_relu;
mod leaky_tanh;
mod logit;
mod softclip;
mod softplus;
mod standardize;
mod tanh;

pub use bounded::{Bound, Bounded};
pub use exp::Exp;
pub use free::Elementwise;
pub use leaky_relu::LeakyRelu;
pub use leaky_tanh::LeakyTanh;
pub use logit::{Logit, Sigmoid};
pub use softclip::Softclip;
pub use softplus::Softplus;
pub use standardize::Standardize;
pub use tanh::Tanh;

use burn::tensor::{Bool, Tensor};

/// A scalar map without parameters. [`pointwise_bijector`] makes it a bijector of any rank.
///
/// A value outside an open domain has density zero. Its log-slope is `-inf`, and its image is an arbitrary finite
/// number, not NaN. A NaN stays a NaN.
trait Pointwise {
    /// `f(x)` and `ln |f'(x)|`.
    fn apply<const D: usize>(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<D>);

    /// `f^-1(z)` and `ln |(f^-1)'(z)|`.
    fn unapply<const D: usize>(&self, z: Tensor<D>) -> (Tensor<D>, Tensor<D>);
}

/// Runs `map` with the elements `outside` its domain replaced by `safe`, and sets the log-slope of these elements to
/// `-inf`. Replacing the elements before the map keeps NaN out of the gradient.
fn guarded<const D: usize>(
    x: Tensor<D>,
    outside: Tensor<D, Bool>,
    safe: f64,
    map: impl FnOnce(Tensor<D>) -> (Tensor<D>, Tensor<D>),
) -> (Tensor<D>, Tensor<D>) {
    let (z, log_slope) = map(x.mask_fill(outside.clone(), safe));
    (z, log_slope.mask_fill(outside, f64::NEG_INFINITY))
}

macro_rules! pointwise_bijector {
    ($map:ty) => {
        impl<const D: usize> $crate::bijector::Bijector<D> for $map {
            fn forward(
                &self,
                x: burn::tensor::Tensor<D>,
                _context: Option<&burn::tensor::Tensor<2>>,
            ) -> (burn::tensor::Tensor<D>, burn::tensor::Tensor<1>) {
                let (dtype, x) = (x.dtype(), $crate::math::wide(x));
                let (z, log_slope) = $crate::bijector::elementwise::Pointwise::apply(self, x);
                (z.cast(dtype), $crate::math::sum_event(log_slope))
            }

            fn inverse(
                &self,
                z: burn::tensor::Tensor<D>,
                context: Option<&burn::tensor::Tensor<2>>,
            ) -> burn::tensor::Tensor<D> {
                $crate::bijector::Bijector::inverse_with_log_det(self, z, context).0
            }

            fn inverse_with_log_det(
                &self,
                z: burn::tensor::Tensor<D>,
                _context: Option<&burn::tensor::Tensor<2>>,
            ) -> (burn::tensor::Tensor<D>, burn::tensor::Tensor<1>) {
                let (dtype, z) = (z.dtype(), $crate::math::wide(z));
                let (x, log_slope) = $crate::bijector::elementwise::Pointwise::unapply(self, z);
                (x.cast(dtype), $crate::math::sum_event(log_slope))
            }

            fn recovery(&self) -> $crate::bijector::Recovery {
                $crate::bijector::Recovery::Inverse
            }
        }
    };
}
use pointwise_bijector;
