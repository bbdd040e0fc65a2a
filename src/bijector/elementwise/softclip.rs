//! Softclip: maps the real line to an interval, without transcendental functions.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::{Pointwise, guarded, pointwise_bijector};
use crate::error::{Result, length};

crate::store::checked! {
/// Maps the real line to `(-bound, bound)`. It is nearly the identity in the middle, and approaches the ends slowly.
///
/// ```text
/// forward   z = x / (1 + |x| / B)
/// log-det   sum of -2 ln(1 + |x| / B)
/// inverse   x = z / (1 - |z| / B)        for |z| < B
/// ```
///
/// Same numbers as zuko 1.6 `SoftclipTransform`.
///
/// zuko puts it between layers whose inverse searches an interval. The layers of this crate do not need it there.
///
/// # Shapes
///
/// - input and output: `[batch, event..]` of any shape
///
/// # Numerics
///
/// A `z` outside the interval has log-slope `-inf`. For large `|x|`, `z` rounds to the bound, where there is no
/// inverse.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Softclip};
///
/// let layer = Softclip::new(10.0)?;
/// let x = Tensor::<2>::from_data([[-10.0, 2.5]], &Device::flex());
/// let (z, log_det) = layer.forward(x, None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [-5.0, 2.0]);
/// assert!((log_det.into_scalar::<f32>() + 2.0 * 2.5f32.ln()).abs() < 1e-6);
/// assert!(Softclip::new(0.0).is_err());
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Softclip {
    bound: f64,
}
}

impl Softclip {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        Self::new(self.bound).map(drop)
    }
}

impl Softclip {
    /// Builds the map to `(-bound, bound)`.
    ///
    /// # Errors
    ///
    /// If the bound is not between 1e-6 and 1e6.
    pub fn new(bound: f64) -> Result<Self> {
        length("Softclip", "bound", bound)?;
        Ok(Self { bound })
    }
}

impl Pointwise for Softclip {
    fn apply<const D: usize>(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        // Not `/ bound`: burn 0.22 rounds the gradient of a division by a number to f32.
        let share = x.clone().abs() * self.bound.recip();
        (x / (share.clone() + 1.0), share.log1p() * -2.0)
    }

    fn unapply<const D: usize>(&self, z: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        let outside = z.clone().abs().greater_equal_elem(self.bound);
        guarded(z, outside, 0.0, |z| {
            let share = z.clone().abs() * self.bound.recip();
            // The rounded product alone may reach 1.
            let rest = (share.neg() + 1.0).clamp_min(f64::from(f32::MIN_POSITIVE));
            (z / rest.clone(), rest.log() * -2.0)
        })
    }
}

pointwise_bijector!(Softclip);
