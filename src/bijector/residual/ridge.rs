//! The scalar equation inside planar and Sylvester layers.
//!
//! p + (k - 1) h(p) = q            k > 0, 0 < h' <= 1
//!
//! The left side increases with slope `(1 - h') + k h'`, so each `q` has one `p`.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, least};
use crate::solve::{Bracket, solve};

/// The smallest slope of the equation. Without it a saturated constraint makes a layer singular.
pub(super) const LEAST_GAIN: f64 = 1e-6;

/// The activation `h` of [`Planar`](super::Planar) and [`Sylvester`](super::Sylvester), with a slope in `(0, 1]`.
///
/// ```
/// use burn_flows::bijector::RidgeActivation;
///
/// assert!(RidgeActivation::LeakyRelu { slope: 0.2 }.validate().is_ok());
/// assert!(RidgeActivation::LeakyRelu { slope: -0.2 }.validate().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub enum RidgeActivation {
    /// `tanh(p)`. The inverse of the layer solves one scalar equation per row and unit.
    #[default]
    Tanh,
    /// `p` above zero and `slope * p` below. The inverse of the layer is a formula.
    LeakyRelu {
        /// The slope below zero, in (0, 1]. A slope of 1 makes the layer linear.
        slope: f64,
    },
}

impl RidgeActivation {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::LeakyRelu { slope } if !(slope > 0.0 && slope <= 1.0) => {
                let reason = format!("must be in (0, 1], found {slope}");
                Err(Error::config("RidgeActivation", "slope", reason))
            }
            Self::LeakyRelu { slope } => least("RidgeActivation", "slope", slope),
            _ => Ok(()),
        }
    }

    /// `h(p)` and `h'(p)`.
    pub(super) fn apply(self, p: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        match self {
            Self::Tanh => {
                let h = p.tanh();
                (h.clone(), h.square().neg() + 1.0)
            }
            Self::LeakyRelu { slope } => {
                let below = p.clone().lower_elem(0.0);
                let slopes = p.ones_like().detach().mask_fill(below, slope);
                (p * slopes.clone(), slopes)
            }
        }
    }

    /// Solves the equation: `p`, `[batch, 1]`, for `q`, `[batch, 1]`, and `k`, `[1 or batch, 1]`.
    pub(super) fn solve(self, q: Tensor<2>, k: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Tanh => {
                let k = k.expand(q.dims());
                let fixed = k.clone().without_autodiff();
                // `|h| < 1`, so `p` is within `|k - 1|` of `q`.
                let reach = (fixed.clone() - 1.0).abs();
                let center = q.clone().without_autodiff();
                let bracket =
                    Bracket::Known { low: center.clone() - reach.clone(), high: center + reach };
                let root = solve(&q, bracket, |p| {
                    let h = p.clone().tanh();
                    let value = (fixed.clone() - 1.0) * h.clone() + p;
                    (value, slope(h.square().neg() + 1.0, fixed.clone()))
                });
                root.in_graph(q, |p| (k - 1.0) * p.clone().tanh() + p)
            }
            // `p` has the sign of `q`.
            Self::LeakyRelu { .. } => {
                let (_, h) = self.apply(q.clone());
                q / slope(h, k)
            }
        }
    }
}

/// `1 + (k - 1) h'`, in a form that does not subtract equal numbers.
pub(super) fn slope(h: Tensor<2>, k: Tensor<2>) -> Tensor<2> {
    k * h.clone() + (h.neg() + 1.0)
}
