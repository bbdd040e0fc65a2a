//! The normalising constant of a density, by importance sampling from a flow.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::probe;
use crate::bijector::Bijector;
use crate::distribution::Distribution;
use crate::error::{Error, Result};
use crate::flow::Flow;
use crate::noise::Noise;

/// An estimate of the logarithm of a normalising constant, by [`log_z`].
///
/// ```text
/// ln Z = ln mean w        w = p~(x) / q(x),  x ~ q
/// effective draws (sum w)^2 / sum w^2;  standard error of ln Z: sqrt((n / effective - 1) / (n - 1))
/// ```
///
/// The standard error is the standard error of the mean of w, propagated through the logarithm to first order. Paper of
/// the effective number: Kong (1992), A note on importance sampling using standardized weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LogZ {
    /// `ln mean(p~ / q)`, in nats.
    pub estimate: f64,
    /// The standard error of `estimate`, in nats. It is too small if the flow misses a part of the target.
    pub standard_error: f64,
    /// The number of independent draws from the target that are worth as much as the weighted draws.
    pub effective_draws: f64,
    /// The number of draws.
    pub draws: usize,
}

/// Estimates `ln Z` of a target `ln p~` from `n` draws of a flow, `batch` draws per pass, without a graph. A draw at
/// which the target is zero (`ln p~` of minus infinity) has the weight 0.
///
/// # Errors
///
/// If the flow needs a context, `ln p~ - ln q` of a draw is NaN or plus infinity, or every draw has the weight 0.
///
/// # Panics
///
/// If `n` is below 2, `batch` is 0, or the target returns a number of values that differs from the number of rows it
/// was given.
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::prelude::*;
/// use burn_flows::train::log_z;
///
/// let device = Device::flex();
/// let normal = StandardNormal::<2>::new([2], &device);
/// let flow = Flow::new(ActNormConfig::new(2).init(&device), normal.clone());
/// let found = log_z(&flow, |x| normal.log_prob(x, None) + 3.0, 100, 64, &mut Noise::seeded(1))?;
/// assert!((found.estimate - 3.0).abs() < 1e-5 && found.effective_draws > 99.9);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn log_z<B, P, const D: usize>(
    flow: &Flow<B, P>,
    target: impl Fn(Tensor<D>) -> Tensor<1>,
    n: usize,
    batch: usize,
    noise: &mut Noise,
) -> Result<LogZ>
where
    B: Bijector<D>,
    P: Distribution<D>,
{
    assert!(n > 1, "log_z: expected at least 2 draws, found {n}");
    assert!(batch > 0, "log_z: expected a batch of at least 1 draw, found 0");
    probe::check_draws::<B, P, D>("log_z", flow)?;
    let plain = flow.valid();
    let mut log_weights: Vec<f64> = Vec::with_capacity(n);
    while log_weights.len() < n {
        let rows = batch.min(n - log_weights.len());
        let (x, log_q) = plain.draw_with_log_prob(rows, noise);
        let log_weight = checked(target(x), rows) - log_q;
        log_weights.extend(log_weight.into_data().iter::<f64>());
    }
    if let Some(at) = log_weights.iter().position(|w| w.is_nan() || *w == f64::INFINITY) {
        let bad = log_weights[at];
        let reason = format!("ln p - ln q of draw {at} must be finite or -inf, found {bad}");
        return Err(Error::data("log_z target", reason));
    }
    let max = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        let reason = format!("is 0 at all {n} draws; train the flow first");
        return Err(Error::data("log_z target", reason));
    }
    let (mut sum, mut squares) = (0.0, 0.0);
    for weight in log_weights.iter().map(|w| (w - max).exp()) {
        sum += weight;
        squares += weight * weight;
    }
    let draws = n as f64;
    let effective_draws = sum * sum / squares;
    // Rounding can make the effective draws of n equal weights slightly larger than n.
    let variance = (draws / effective_draws - 1.0).max(0.0) / (draws - 1.0);
    let estimate = max + (sum / draws).ln();
    Ok(LogZ { estimate, standard_error: variance.sqrt(), effective_draws, draws: n })
}

/// Returns the values of a target, after a check that there is one for each row.
///
/// # Panics
///
/// If the number of values is not `rows`.
pub(super) fn checked(log_p: Tensor<1>, rows: usize) -> Tensor<1> {
    let [found] = log_p.dims();
    assert!(found == rows, "target: expected {rows} values, one for each draw, found {found}");
    log_p
}
