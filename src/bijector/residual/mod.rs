//! Residual layers `z = x + g(x)`: planar, radial, Sylvester, and a contractive network.

mod block;
mod fixed_point;
mod log_det;
mod pivots;
mod planar;
mod radial;
mod ridge;
mod spectral;
mod sylvester;

pub use block::{Residual, ResidualConfig};
pub use fixed_point::FixedPoint;
pub use log_det::LogDet;
pub use planar::{Planar, PlanarConfig, PlanarConstraint};
pub use radial::{Radial, RadialConfig};
pub use ridge::RidgeActivation;
pub use sylvester::{Sylvester, SylvesterConfig};

use burn::tensor::Tensor;

use crate::math::{event_len, wide};
use crate::rows::callers_dims;

/// Reshapes each event to a row of values, in at least single precision.
///
/// # Panics
///
/// If the event has another number of values. The message names the layer and both shapes.
#[track_caller]
pub(super) fn flat<const D: usize>(layer: &str, features: usize, x: Tensor<D>) -> Tensor<2> {
    let rest = if D > 2 { " elements in any shape" } else { "" };
    assert!(
        event_len(&x) == features,
        "{layer}: expected shape [batch, {features}{rest}], found {:?}",
        callers_dims(&x)
    );
    let rows = x.dims()[0];
    wide(x).reshape([rows, features])
}

/// Implements `Bijector` of any rank for a layer of rows with the methods `width`, `apply` and `unapply`.
macro_rules! rows_bijector {
    ($layer:ty, $name:literal) => {
        impl<const D: usize> $crate::bijector::Bijector<D> for $layer {
            fn forward(
                &self,
                x: burn::tensor::Tensor<D>,
                context: Option<&burn::tensor::Tensor<2>>,
            ) -> (burn::tensor::Tensor<D>, burn::tensor::Tensor<1>) {
                let dims = x.dims();
                $crate::rows::check_rows($name, dims[0], context);
                let dtype = x.dtype();
                let x = $crate::bijector::residual::flat($name, self.width(), x);
                let (z, log_det) = self.apply(x, context);
                (z.cast(dtype).reshape(dims), log_det)
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
                context: Option<&burn::tensor::Tensor<2>>,
            ) -> (burn::tensor::Tensor<D>, burn::tensor::Tensor<1>) {
                let dims = z.dims();
                $crate::rows::check_rows($name, dims[0], context);
                let dtype = z.dtype();
                let z = $crate::bijector::residual::flat($name, self.width(), z);
                let (x, log_det) = self.unapply(z, context);
                (x.cast(dtype).reshape(dims), log_det)
            }

            fn init_from_data(
                mut self,
                x: burn::tensor::Tensor<D>,
                context: Option<&burn::tensor::Tensor<2>>,
            ) -> (Self, burn::tensor::Tensor<D>) {
                self.params = self.params.init_from_data(context);
                let plain = burn::module::Module::valid(&self);
                let (z, _) = $crate::bijector::Bijector::forward(&plain, x, context);
                (self, z)
            }
        }
    };
}
use rows_bijector;
