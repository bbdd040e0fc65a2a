//! The end of a search for a fixed point, separately for each row.

use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, repeats};

/// A row that moves only by rounding has steps below this fraction of its first step. In f32 with biases of a thousand,
/// rounding leaves at most 1e-3; a first step is never that exact.
const ROUNDING_SHARE: f64 = 1e-2;

/// How a [`Residual`](super::Residual) layer is inverted: by steps `x <- z - g(x)`, each of which reduces the distance
/// to the solution by the factor `L`. A row that has arrived does not change any more, so no row depends on the others.
///
/// ```
/// use burn_flows::bijector::FixedPoint;
///
/// assert!(FixedPoint::default().validate().is_ok());
/// assert!(FixedPoint { tolerance: -1.0, limit: 10 }.validate().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedPoint {
    /// A row has arrived when no element changes by more than this fraction of `max(1, |x|)`. A smaller fraction than
    /// four units in the last place counts as four units. A larger tolerance takes fewer steps and gives a less
    /// accurate inverse.
    pub tolerance: f64,
    /// Largest number of steps. A row that has not arrived by then is NaN in value and log-determinant; other rows do
    /// not change. Where rounding keeps a row from arriving, the row has arrived as soon as its steps stop becoming
    /// shorter. Raise the limit for a Lipschitz bound near 1.
    pub limit: usize,
}

impl Default for FixedPoint {
    fn default() -> Self {
        Self { tolerance: 1e-12, limit: 1000 }
    }
}

impl FixedPoint {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            let reason = format!("must be at least 0 and finite, found {}", self.tolerance);
            return Err(Error::config("FixedPoint", "tolerance", reason));
        }
        repeats("FixedPoint", "limit", 1, self.limit)
    }
}

/// The lengths of the steps of each row. In exact arithmetic, a step of a contraction is at most
/// `L` times as long as the step before. If steps no longer become shorter, only rounding is left.
pub(super) struct Lengths {
    /// The divisor of the lengths, `[batch, 1]`, which keeps their squares from overflow.
    scale: Tensor<2>,
    /// The first and the last length.
    ends: Option<[Tensor<2>; 2]>,
    /// Whether a step, far shorter than the first, was no shorter than the preceding step.
    pub(super) settled: Tensor<2, Bool>,
}

impl Lengths {
    pub(super) fn new(z: &Tensor<2>) -> Self {
        let scale = z.clone().abs().max_dim(1).clamp_min(1.0);
        let settled = scale.clone().lower_elem(1.0);
        Self { scale, ends: None, settled }
    }

    pub(super) fn add(&mut self, step: Tensor<2>) {
        let length = (step / self.scale.clone()).square().sum_dim(1).sqrt();
        self.ends = Some(match self.ends.take() {
            None => [length.clone(), length],
            Some([first, before]) => {
                let short = length.clone().lower_equal(first.clone() * ROUNDING_SHARE);
                let settled = length.clone().greater_equal(before).bool_and(short);
                self.settled = self.settled.clone().bool_or(settled);
                [first, length]
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Which of three rows have settled after steps of these lengths.
    fn settled(steps: &[[f64; 3]]) -> Vec<bool> {
        let column = |values: [f64; 3]| {
            Tensor::<1>::from_data(values, &Device::flex()).reshape([3, 1]).repeat_dim(1, 2)
        };
        let mut lengths = Lengths::new(&column([1.0, 1e30, f64::NAN]));
        steps.iter().for_each(|step| lengths.add(column(*step)));
        lengths.settled.into_data().iter::<bool>().collect()
    }

    #[test]
    fn a_row_settles_when_its_steps_stop_becoming_shorter_far_below_the_first() {
        assert_eq!(settled(&[[1.0, 1e30, 1.0]]), [false; 3]);
        // Steps that shrink as in a contraction, followed by steps of rounding.
        let mut steps: Vec<[f64; 3]> =
            (0..40).map(|k| [1.0, 1e30, 1.0].map(|s| s * 0.8f64.powi(k))).collect();
        assert_eq!(settled(&steps), [false; 3]);
        steps.push([1.1e-4, 1.1e26, 1.1e-4]);
        steps.push([1.2e-4, 1.0e26, f64::NAN]);
        assert_eq!(settled(&steps), [true, false, false]);
        // Steps as long as the first step are not rounding.
        assert_eq!(settled(&[[1.0, 1e30, f64::NAN], [1.5, 2e30, f64::NAN]]), [false; 3]);
    }
}
