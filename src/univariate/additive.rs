//! Additive map: a shift without a scale.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Univariate, param};
use crate::math::zeros_batch;

/// Adds a shift, `z = x + t`. The map preserves volume.
///
/// ```text
/// forward   z = x + t
/// log-det   0
/// inverse   x = z - t
/// ```
///
/// Paper: Dinh, Krueger, Bengio (2015), NICE: Non-linear Independent Components Estimation,
/// section 3.2, arXiv:1410.8516.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{Additive, Univariate};
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[1.0, 2.0]], &device);
/// let shift = Tensor::<3>::from_data([[[0.5, -0.5]]], &device);
/// let (z, log_det) = Additive::default().forward(x, shift);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [1.5, 1.5]);
/// assert_eq!(log_det.into_scalar::<f32>(), 0.0);
/// ```
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Additive {}

crate::display::display!(Additive);

impl Univariate for Additive {
    fn params_per_element(&self) -> usize {
        1
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let log_det = zeros_batch(&x);
        (x + param(&params, 0), log_det)
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        z - param(&params, 0)
    }

    fn inverse_with_log_det(&self, z: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let log_det = zeros_batch(&z);
        (self.inverse(z, params), log_det)
    }

    fn has_inverse_formula(&self) -> bool {
        true
    }
}
