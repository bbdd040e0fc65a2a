//! Leaky rectifier: linear with one slope above zero and another slope below.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::{Pointwise, pointwise_bijector};
use crate::error::{Result, length};

crate::store::checked! {
/// `z = x` above zero and `z = slope * x` below.
///
/// ```text
/// forward   z = x for x >= 0, a x for x < 0
/// log-det   sum of ln a over the negative elements
/// inverse   x = z for z >= 0, z / a for z < 0
/// ```
///
/// Same numbers as nflows 0.14 `LeakyReLU`.
///
/// # Shapes
///
/// - input and output: `[batch, event..]` of any shape
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, LeakyRelu};
///
/// let layer = LeakyRelu::new(0.5)?;
/// let x = Tensor::<2>::from_data([[-2.0, 2.0]], &Device::flex());
/// let (z, log_det) = layer.forward(x, None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [-1.0, 2.0]);
/// assert!((log_det.into_scalar::<f32>() - 0.5f32.ln()).abs() < 1e-6);
/// assert!(LeakyRelu::new(0.0).is_err());
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct LeakyRelu {
    slope: f64,
}
}

impl LeakyRelu {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        Self::new(self.slope).map(drop)
    }
}

impl LeakyRelu {
    /// Builds the map with the given slope below zero.
    ///
    /// # Errors
    ///
    /// If the slope is not between 1e-6 and 1e6.
    pub fn new(slope: f64) -> Result<Self> {
        length("LeakyRelu", "slope", slope)?;
        Ok(Self { slope })
    }
}

/// `x` above zero and `slope * x` below, with the log-slope.
fn kinked<const D: usize>(x: Tensor<D>, slope: f64) -> (Tensor<D>, Tensor<D>) {
    let negative = x.clone().lower_elem(0.0);
    let log_slope = x.zeros_like().detach().mask_fill(negative.clone(), slope.ln());
    (x.clone().mask_where(negative, x * slope), log_slope)
}

impl Pointwise for LeakyRelu {
    fn apply<const D: usize>(&self, x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        kinked(x, self.slope)
    }

    fn unapply<const D: usize>(&self, z: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        kinked(z, self.slope.recip())
    }
}

pointwise_bijector!(LeakyRelu);
