//! Standard normal of any event shape.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Distribution, batch_shape, check_event};
use crate::kernel::normal_log_prob;
use crate::math::wide;
use crate::noise::Noise;
use crate::rows::check_rows;

crate::store::checked! {
/// Independent standard normals, the usual base of a flow.
///
/// ```text
/// log p(x) = -(|x|^2 + n ln 2 pi) / 2        n elements in an event
/// ```
///
/// # Panics
///
/// If the event has another shape than the distribution.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::{Distribution, StandardNormal};
///
/// let device = Device::flex();
/// let normal = StandardNormal::<2>::new([2], &device);
/// let at_zero = normal.log_prob(Tensor::zeros([1, 2], &device), None);
/// assert!((at_zero.into_scalar::<f32>() + (2.0 * std::f32::consts::PI).ln()).abs() < 1e-6);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct StandardNormal<const D: usize> {
    /// Its value is not used: it carries the device to a flow without parameters.
    #[serde(with = "crate::store::part")]
    anchor: Tensor<1>,
    event: Vec<usize>,
}
}

impl<const D: usize> StandardNormal<D> {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> crate::error::Result<()> {
        let axes = self.event.len() + 1;
        crate::store::require("StandardNormal", "event", axes == D, || {
            format!("needs {} axes, found {:?}", D - 1, self.event)
        })
    }
}

impl<const D: usize> StandardNormal<D> {
    /// Builds the standard normal for events of this shape, without the batch axis.
    ///
    /// # Panics
    ///
    /// If the event does not have `D - 1` axes.
    pub fn new<const N: usize>(event: [usize; N], device: &Device) -> Self {
        const { assert!(N + 1 == D, "StandardNormal<D> needs an event of D - 1 axes") };
        let anchor = Tensor::zeros([1], &device.clone().without_autodiff());
        Self { anchor, event: event.to_vec() }
    }
}

impl<const D: usize> Distribution<D> for StandardNormal<D> {
    fn log_prob(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        check_event("StandardNormal", &self.event, &x, context);
        normal_log_prob(wide(x))
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D> {
        check_rows("StandardNormal", n, context);
        noise.normal(batch_shape(n, &self.event), device)
    }
}
