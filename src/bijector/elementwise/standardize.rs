//! Standardisation: fixed shift and scale per element, taken from data.
//!
//! forward   z = (x - mean) / std
//! log-det   minus the sum of ln std
//! inverse   x = z * std + mean

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use crate::bijector::{Bijector, Recovery};
use crate::error::{Error, Result};
use crate::math::{repeat_batch, wide};

/// Zero mean and unit variance for every element of an event; saved with the model, never trained.
///
/// # Shapes
///
/// - `[batch, event..]` with the event it was made from; the same on both sides
///
/// # Panics
///
/// If the event has another shape.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Standardize};
///
/// let x = Tensor::<2>::from_data([[1.0, 10.0], [3.0, 30.0]], &Device::flex());
/// let (z, _) = Standardize::from_data(x.clone())?.forward(x.clone(), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [-1.0, -1.0, 1.0, 1.0]);
/// assert!(Standardize::from_data(x.slice([0..1])).is_err()); // one row has no variance
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Standardize<const D: usize> {
    #[serde(with = "crate::store::part")]
    mean: Param<Tensor<D>>,
    #[serde(with = "crate::store::part")]
    std: Param<Tensor<D>>,
}

crate::store::checked!(Standardize [const D: usize] [D] [] {
    #[serde(with = "crate::store::part")]
    mean: Param<Tensor<D>>,
    #[serde(with = "crate::store::part")]
    std: Param<Tensor<D>>,
});

impl<const D: usize> Standardize<D> {
    /// Whether a layer that was read from a file can be one.
    fn sound(&self) -> Result<()> {
        crate::store::shaped("Standardize", "std", &self.mean.dims(), self.std.dims())?;
        Self::new(self.mean.val(), self.std.val()).map(drop)
    }
}

impl<const D: usize> Standardize<D> {
    /// Mean and standard deviation (divided by the number of rows) of these rows.
    ///
    /// # Errors
    ///
    /// If there are fewer than two rows, a value is not finite, or an element is constant.
    pub fn from_data(x: Tensor<D>) -> Result<Self> {
        let rows = x.dims()[0];
        if rows < 2 {
            return Err(Error::data("Standardize", format!("needs at least 2 rows, found {rows}")));
        }
        let x = x.without_autodiff();
        let mean = x.clone().mean_dim(0);
        // The mean of equal numbers is rounded, which leaves a constant a spread of its own.
        let constant = x.clone().max_dim(0).equal(x.clone().min_dim(0));
        let std = (x - mean.clone()).square().mean_dim(0).sqrt().mask_fill(constant, 0.0);
        Self::new(mean, std)
    }

    /// This mean and standard deviation, both `[1, event..]`.
    ///
    /// # Errors
    ///
    /// If the shapes differ, a value is not finite, or a standard deviation is not positive.
    pub fn new(mean: Tensor<D>, std: Tensor<D>) -> Result<Self> {
        if mean.dims() != std.dims() || mean.dims()[0] != 1 {
            let reason = format!(
                "mean and std need one shape [1, event..], found {:?} and {:?}",
                mean.dims(),
                std.dims()
            );
            return Err(Error::data("Standardize", reason));
        }
        let values = std.to_data().iter::<f64>().collect::<Vec<_>>();
        if let Some(at) = values.iter().position(|v| !(v.is_finite() && *v > 0.0)) {
            let reason = format!(
                "element {at} has standard deviation {}; a constant or non-finite column has no density",
                values[at]
            );
            return Err(Error::data("Standardize", reason));
        }
        if mean.to_data().iter::<f64>().any(|v| !v.is_finite()) {
            return Err(Error::data("Standardize", "a mean is not finite"));
        }
        Ok(Self::fixed(mean, std))
    }

    /// Mean 0 and standard deviation 1 for this event, batch axis left out: a place to load saved
    /// values into.
    ///
    /// # Panics
    ///
    /// If the event has not `D - 1` axes.
    pub fn identity(event: &[usize], device: &Device) -> Self {
        assert_eq!(event.len() + 1, D, "Standardize: expected an event of {} axes", D - 1);
        let mut shape = [1; D];
        shape[1..].copy_from_slice(event);
        Self::fixed(Tensor::zeros(shape, device), Tensor::ones(shape, device))
    }

    fn fixed(mean: Tensor<D>, std: Tensor<D>) -> Self {
        let fixed = |t: Tensor<D>| Param::from_tensor(t.without_autodiff()).set_require_grad(false);
        Self { mean: fixed(mean), std: fixed(std) }
    }

    fn check(&self, x: &Tensor<D>) {
        let (mut expected, found) = (self.mean.val().dims(), x.dims());
        expected[0] = found[0];
        assert!(found == expected, "Standardize: expected shape {expected:?}, found {found:?}");
    }
}

impl<const D: usize> Bijector<D> for Standardize<D> {
    fn forward(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        self.check(&x);
        let log_det = repeat_batch(wide(self.std.val()).log().sum().neg(), &x);
        ((x - self.mean.val()) / self.std.val(), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _context: Option<&Tensor<2>>) -> Tensor<D> {
        self.check(&z);
        z * self.std.val() + self.mean.val()
    }

    fn recovery(&self) -> Recovery {
        Recovery::Inverse
    }
}
