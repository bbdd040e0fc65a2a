//! A bijector applied to a part of the event.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Bijector, Carried, Mask, Place, Split, Walk};
use crate::error::Result;

/// Applies a bijector of vectors to the elements that a [`Mask`] moves. The kept elements pass unchanged.
///
/// ```text
/// forward   z_a = x_a,  z_b = f(x_b)
/// log-det   that of f at x_b
/// inverse   x_a = z_a,  x_b = f^-1(z_b)
/// ```
///
/// Unlike in a [`Coupling`](super::Coupling), the map does not depend on the kept elements. Same numbers as the
/// `unconditional_transform` of nflows 0.14 and normflows 1.7, and as FlowJAX 19 `Partial`.
///
/// # Shapes
///
/// - input and output: `[batch, event..]`
/// - input of the inner bijector: the moved elements as `[batch, n]`, in ascending order
///
/// # Panics
///
/// If the shape of the event differs from the shape that the layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Exp, Inverse, Mask, Partial};
///
/// // Only the last of three features is positive: take its logarithm.
/// let device = Device::flex();
/// let layer = Partial::new(&Mask::Kept(vec![0, 1]), &[3], Inverse::new(Exp {}), &device)?;
/// let x = Tensor::<2>::from_data([[-1.0, 0.5, 1.0]], &device);
/// let (z, log_det) = layer.forward(x, None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [-1.0, 0.5, 0.0]);
/// assert_eq!(log_det.into_scalar::<f32>(), 0.0);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Partial<B> {
    split: Split,
    inner: B,
}

crate::display::display!(Partial<B>);

impl<B> Partial<B> {
    /// Applies `inner` to the elements that the mask moves, for events of shape `event`.
    ///
    /// # Errors
    ///
    /// If the mask does not fit the event.
    pub fn new(mask: &Mask, event: &[usize], inner: B, device: &Device) -> Result<Self> {
        let split = Split::new(mask, event, device).map_err(|error| error.of("Partial"))?;
        Ok(Self { split, inner })
    }

    fn take<const D: usize>(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<2>) {
        self.split.check_event("Partial", &x);
        self.split.take(x)
    }
}

impl<const D: usize, B: Bijector<2>> Bijector<D> for Partial<B> {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        let (kept, moved) = self.take(x);
        let (moved, log_det) = self.inner.forward(moved, context);
        (self.split.merge(kept, moved), log_det)
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        let (kept, moved) = self.take(z);
        self.split.merge(kept, self.inner.inverse(moved, context))
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        let (kept, moved) = self.take(z);
        let (moved, log_det) = self.inner.inverse_with_log_det(moved, context);
        (self.split.merge(kept, moved), log_det)
    }

    fn log_det_jacobian(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        self.inner.log_det_jacobian(self.take(x).1, context)
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
        let (kept, moved) = self.take(x);
        let (inner, moved) = self.inner.init_from_data(moved, context);
        let z = self.split.merge(kept, moved);
        (Self { split: self.split, inner }, z)
    }

    fn mixes_rows(&self) -> bool {
        self.inner.mixes_rows()
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, carried: Carried<D>) -> Carried<D> {
        let kept = carried.clone().map(|x| self.take(x).0);
        let moved = carried.map(|x| self.take(x).1);
        let moved = self.inner.walk(walk, &at.part("inner"), moved);
        kept.join(moved, |kept, moved| self.split.merge(kept, moved))
    }
}
