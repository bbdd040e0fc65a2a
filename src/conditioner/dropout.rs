//! Dropout whose masks are determined by a seed.

use burn::module::{Flag, Module, Param};
use burn::tensor::{Tensor, TensorData};
use serde::Serialize;

use super::check_dropout;
use crate::draws;
use crate::error::Result;

crate::store::checked! {
/// Sets elements to zero with probability `prob` in training, and scales the other elements by
/// `1 / (1 - prob)`.
///
/// Paper: Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from
/// overfitting, JMLR 15.
///
/// Dropout is active if a backward pass is possible and the module is not frozen, like burn's own
/// dropout.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::conditioner::Dropout;
///
/// let device = Device::flex();
/// let dropout = Dropout::new(0.5)?;
/// let evaluated = dropout.forward(Tensor::<2>::ones([4, 4], &device));
/// assert_eq!(evaluated.sum().into_scalar::<f32>(), 16.0);
/// let trained = dropout.forward(Tensor::<2>::ones([64, 64], &device.autodiff()));
/// assert_ne!(trained.sum().into_scalar::<f32>(), 4096.0);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Dropout {
    prob: f64,
    #[serde(with = "crate::store::part")]
    training: Param<Flag>,
}
}

impl Dropout {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        super::check_dropout("Dropout", "prob", self.prob)
    }
}

impl Dropout {
    /// Builds a dropout with this probability of a zero, in `[0, 1)`.
    ///
    /// # Errors
    ///
    /// If the probability is not in `[0, 1)`.
    ///
    /// # Example
    ///
    /// ```
    /// let error = burn_flows::conditioner::Dropout::new(1.5).unwrap_err();
    /// assert_eq!(error.to_string(), "Dropout.prob: must be in [0, 1), found 1.5");
    /// ```
    pub fn new(prob: f64) -> Result<Self> {
        check_dropout("Dropout", "prob", prob)?;
        Ok(Self::checked(prob))
    }

    /// Builds a dropout from a validated probability.
    pub(crate) fn checked(prob: f64) -> Self {
        // With a probability of zero, training equals evaluation.
        Self { prob, training: Param::from_bool(prob > 0.0) }
    }

    /// Whether a mask applies to an input that has a graph.
    pub(crate) fn is_enabled(&self) -> bool {
        self.prob > 0.0 && self.training.is_enabled()
    }

    /// Applies a fresh mask in training; returns `x` otherwise.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if !self.is_enabled() || !x.device().is_autodiff() {
            return x;
        }
        let threshold = (self.prob * 2f64.powi(32)) as u32;
        let scale = (1.0 / (1.0 - self.prob)) as f32;
        let mask = draws::with(|noise| {
            let mut values = Vec::with_capacity(x.shape().num_elements() + 1);
            while values.len() < x.shape().num_elements() {
                let bits = noise.next_u64();
                for half in [bits as u32, (bits >> 32) as u32] {
                    values.push(if half < threshold { 0.0 } else { scale });
                }
            }
            values.truncate(x.shape().num_elements());
            values
        });
        let options = (&x.device().without_autodiff(), x.dtype());
        let mask = Tensor::from_data(TensorData::new(mask, x.dims()), options);
        x * mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;
    use burn::tensor::Device;

    #[test]
    fn masks_follow_the_seed_and_keep_the_mean() {
        let device = Device::flex().autodiff();
        let draw = || {
            draws::seed(Noise::seeded(4));
            Dropout::checked(0.25).forward(Tensor::<2>::ones([200, 201], &device)).into_data()
        };
        assert_eq!(draw(), draw());
        let values = draw().try_to_vec_as::<f64>().unwrap();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let zeros = values.iter().filter(|v| **v == 0.0).count() as f64 / values.len() as f64;
        assert!((mean - 1.0).abs() < 0.02 && (zeros - 0.25).abs() < 0.02, "{mean} {zeros}");
    }
}
