//! Logit: maps an interval to the real line.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::{Pointwise, guarded, pointwise_bijector};
use crate::bijector::Inverse;
use crate::error::{Error, Result};
use crate::math::{log_sigmoid_pair, sigmoid};

crate::store::checked! {
/// The logit of `alpha + (1 - 2 alpha) x`. A positive `alpha` keeps the image of 0 and 1 finite.
///
/// ```text
/// forward   s = alpha + (1 - 2 alpha) x,  z = ln s - ln(1 - s)
/// log-det   sum of ln(1 - 2 alpha) - ln s - ln(1 - s)
/// inverse   s = sigmoid(z),  x = (s - alpha) / (1 - 2 alpha)
/// ```
///
/// Paper: Dinh, Sohl-Dickstein, Bengio (2017), Real NVP, section 4.1 (alpha = 0.05),
/// arXiv:1605.08803.
/// Same numbers as normflows 1.7 `Logit`, nflows 0.14 `Logit` (alpha = 0).
///
/// # Shapes
///
/// - input and output: `[batch, event..]` of any shape
///
/// # Numerics
///
/// The domain is `0 < alpha + (1 - 2 alpha) x < 1`: the open interval (0, 1) for `alpha = 0`, slightly more than
/// `[0, 1]` otherwise. An element outside the domain has density zero. The log-det of its row is `-inf`, the `z` of the
/// element is finite, and its gradient is zero.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Logit};
///
/// let layer = Logit::new(0.05)?;
/// let x = Tensor::<2>::from_data([[0.0, 0.5], [0.5, 7.0]], &Device::flex());
/// let (z, log_det) = layer.forward(x, None);
/// let log_det = log_det.into_data().try_to_vec_as::<f32>().unwrap();
/// assert!(log_det[0].is_finite() && log_det[1] == f32::NEG_INFINITY); // 7 is no image of anything
/// assert!(z.abs().max().into_scalar::<f32>().is_finite());
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Logit {
    alpha: f64,
}
}

impl Logit {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        Self::new(self.alpha).map(drop)
    }
}

/// The sigmoid, which maps the real line to (0, 1): the [`Inverse`] of [`Logit`].
///
/// ```text
/// forward   z = 1 / (1 + exp(-x)), between the ends that alpha leaves
/// log-det   sum of ln z + ln(1 - z)        for alpha = 0
/// inverse   x = ln z - ln(1 - z)
/// ```
///
/// # Shapes
///
/// - input and output: `[batch, event..]` of any shape
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Inverse, Logit, Sigmoid};
///
/// let layer: Sigmoid = Inverse::new(Logit::new(0.0)?);
/// let (z, _) = layer.forward(Tensor::<2>::zeros([1, 1], &Device::flex()), None);
/// assert_eq!(z.into_scalar::<f32>(), 0.5);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub type Sigmoid = Inverse<Logit>;

impl Logit {
    /// Builds the logit with the given `alpha`, in `[0, 0.5)`.
    ///
    /// # Errors
    ///
    /// If `alpha` is outside `[0, 0.5)`.
    pub fn new(alpha: f64) -> Result<Self> {
        if (0.0..0.5).contains(&alpha) {
            return Ok(Self { alpha });
        }
        Err(Error::config("Logit", "alpha", format!("must be in [0, 0.5), found {alpha}")))
    }

    /// `1 - 2 alpha`.
    fn width(&self) -> f64 {
        1.0 - 2.0 * self.alpha
    }
}

impl Pointwise for Logit {
    fn apply<const D: usize>(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        let s = x.clone() * self.width() + self.alpha;
        let outside = s.clone().lower_equal_elem(0.0).bool_or(s.greater_equal_elem(1.0));
        guarded(x, outside, 0.5, |x| {
            let log_s = (x.clone() * self.width() + self.alpha).log();
            let log_rest = (x * -self.width() + (1.0 - self.alpha)).log();
            let z = log_s.clone() - log_rest.clone();
            (z, (log_s + log_rest).neg() + self.width().ln())
        })
    }

    fn unapply<const D: usize>(&self, z: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        let (log_s, log_rest) = log_sigmoid_pair(z.clone());
        // Not `/ width`: burn 0.22 rounds the gradient of a division by a number to f32.
        let x = (sigmoid(z) - self.alpha) * self.width().recip();
        (x, log_s + log_rest - self.width().ln())
    }
}

pointwise_bijector!(Logit);
