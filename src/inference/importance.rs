//! Importance weights: effective draws, the tail of the weights, weighted means, and resampling.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::noise::Noise;

/// Importance weights of draws from `q` for a target `p`, both known up to a constant.
///
/// ```text
/// w_i = p~(x_i) / q(x_i),  x_i ~ q
/// effective draws   (sum w)^2 / sum w^2
/// mean of f         sum(w_i f_i) / sum w                                       (self-normalised)
/// standard error    sqrt(sum(w_i^2 (f_i - mean)^2)) / sum w
/// Pareto k          shape of a generalised Pareto distribution fitted to the largest weights
/// ```
///
/// Papers: Kong (1992), A note on importance sampling using standardized weights (effective draws); Owen (2013), Monte
/// Carlo theory, methods and examples, equation 9.9 (standard error); Vehtari, Simpson, Gelman, Yao, Gabry (2024),
/// Pareto smoothed importance sampling, sections 2.4 and 3, arXiv:1507.02646; Zhang, Stephens (2009), A new and
/// efficient estimation method for the generalized Pareto distribution; Rubin (1988), Using the SIR algorithm to simulate
/// posterior distributions, and Kitagawa (1996), Monte Carlo filter and smoother for non-Gaussian nonlinear state space
/// models, appendix (systematic resampling).
///
/// # Numerics
///
/// Weights are computed in f64, relative to the largest one, so log-weights of any size are valid. The difference
/// `ln p~ - ln q` of large f32 numbers is inaccurate before it arrives here; compute it in f64.
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::inference::ImportanceWeights;
/// use burn_flows::prelude::*;
///
/// // Draws of N(0, 2^2) for the target N(0, 1).
/// let device = Device::flex();
/// let x = Noise::seeded(1).normal::<2>([4000, 1], &device) * 2.0;
/// let log_q = x.clone().square().sum_dim(1).reshape([-1]) * -0.125;
/// let log_p = x.clone().square().sum_dim(1).reshape([-1]) * -0.5;
/// let weights = ImportanceWeights::new(log_p - log_q)?;
/// assert!(weights.pareto_k().unwrap() < 0.5);
/// let variance = weights.mean(x.square()).remove(0);
/// assert!((variance.mean - 1.0).abs() < 4.0 * variance.standard_error);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ImportanceWeights {
    /// The weights, relative to the largest one.
    weights: Vec<f64>,
}

/// A weighted mean, from [`ImportanceWeights::mean`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The estimate of the expectation.
    pub mean: f64,
    /// The standard error of `mean`; infinite for a single draw. It is too small if `q` misses a part of the target, or
    /// if few draws decide (see [`ImportanceWeights::pareto_k`]).
    pub standard_error: f64,
}

impl ImportanceWeights {
    /// Weights from `ln p~ - ln q` of every draw, `[draws]`. Minus infinity is the weight 0.
    ///
    /// # Errors
    ///
    /// If a log-weight is NaN or plus infinity, or no draw has a positive weight.
    pub fn new(log_weights: Tensor<1>) -> Result<Self> {
        let log_weights: Vec<f64> = log_weights.into_data().iter::<f64>().collect();
        let bad = |value: &f64| value.is_nan() || *value == f64::INFINITY;
        if let Some(at) = log_weights.iter().position(bad) {
            let found = log_weights[at];
            let reason = format!("draw {at} must be finite or -inf, found {found}");
            return Err(Error::data("log-weights", reason));
        }
        let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if log_weights.is_empty() {
            return Err(Error::data("log-weights", "expected at least 1 draw, found none"));
        }
        if largest == f64::NEG_INFINITY {
            let draws = log_weights.len();
            let reason =
                format!("all {draws} draws have the weight 0; the target is 0 at every draw");
            return Err(Error::data("log-weights", reason));
        }
        Ok(Self { weights: log_weights.iter().map(|value| (value - largest).exp()).collect() })
    }

    /// The number of draws.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are no draws; never, because [`new`](Self::new) refuses an empty list.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The weights divided by their sum.
    pub fn normalized(&self) -> Vec<f64> {
        let total: f64 = self.weights.iter().sum();
        self.weights.iter().map(|weight| weight / total).collect()
    }

    /// The number of independent draws from the target that are worth as much as the weighted draws, between 1 and the
    /// number of draws.
    pub fn effective_draws(&self) -> f64 {
        let total: f64 = self.weights.iter().sum();
        total * total / self.weights.iter().map(|weight| weight * weight).sum::<f64>()
    }

    /// The weighted mean of every column of `values`, `[draws, columns]`.
    ///
    /// # Panics
    ///
    /// If the number of rows is not the number of draws.
    pub fn mean(&self, values: Tensor<2>) -> Vec<Estimate> {
        let ([rows, columns], shares) = (values.dims(), self.normalized());
        let draws = shares.len();
        assert!(rows == draws, "ImportanceWeights: expected values of {draws} rows, found {rows}");
        let values: Vec<f64> = values.into_data().iter::<f64>().collect();
        let column = |column: usize| {
            // A draw of weight 0 may have any value.
            let pairs = shares.iter().zip(values.chunks(columns).map(|row| row[column]));
            let pairs: Vec<(f64, f64)> = pairs
                .filter(|(share, _)| **share > 0.0)
                .map(|(share, value)| (*share, value))
                .collect();
            let mean: f64 = pairs.iter().map(|(share, value)| share * value).sum();
            let square = |(share, value): &(f64, f64)| (share * (value - mean)).powi(2);
            let error = pairs.iter().map(square).sum::<f64>().sqrt();
            Estimate { mean, standard_error: if draws > 1 { error } else { f64::INFINITY } }
        };
        (0..columns).map(column).collect()
    }

    /// Chooses `n` draws by their weights: sampling importance resampling. Returns their positions in increasing order.
    ///
    /// Draw `i` is chosen `n w_i / sum(w)` times, rounded down or up at random (systematic resampling), so equal values
    /// appear where this number is above 1. The chosen draws are worth at most
    /// [`effective_draws`](Self::effective_draws) draws of the target, so draw several times `n` from the proposal.
    ///
    /// ```
    /// use burn_flows::burn::tensor::{Device, Tensor};
    /// use burn_flows::{Noise, inference::ImportanceWeights};
    ///
    /// let log_weights = Tensor::from_data([1f32.ln(), 3f32.ln(), f32::NEG_INFINITY], &Device::flex());
    /// let chosen = ImportanceWeights::new(log_weights)?.resample(8, &mut Noise::seeded(1));
    /// assert_eq!(chosen, [0, 0, 1, 1, 1, 1, 1, 1]);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn resample(&self, n: usize, noise: &mut Noise) -> Vec<usize> {
        let total: f64 = self.weights.iter().sum();
        let mut draws = self.weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0);
        let (mut at, mut reached) =
            draws.next().map(|(at, weight)| (at, *weight)).expect("some weight is 1");
        let start = noise.next_uniform();
        let mut chosen = Vec::with_capacity(n);
        for point in 0..n {
            let target = (point as f64 + start) / n as f64 * total;
            // The last draw stands for what rounding leaves over.
            while reached <= target
                && let Some((next, weight)) = draws.next()
            {
                at = next;
                reached += weight;
            }
            chosen.push(at);
        }
        chosen
    }

    /// The shape `k` of the tail of the weights. Below 0.5 the weights have a finite variance, and estimates are
    /// reliable; up to 0.7 [smoothed](Self::smoothed) weights are; above 0.7 the draws miss parts of the target. It is
    /// infinite if fewer than 5 draws are larger than the bulk, so that these few decide every estimate. `None` if there
    /// is no tail: with fewer than 21 draws, or if all weights are equal.
    pub fn pareto_k(&self) -> Option<f64> {
        match self.tail()? {
            Some(tail) => Some(tail.shape),
            None => Some(f64::INFINITY),
        }
    }

    /// The weights with the largest ones replaced by the expected order statistics of the fitted tail, at most the
    /// largest weight. Estimates have a smaller variance and a small bias. Draws of weight 0 keep it. Without a finite
    /// [`pareto_k`](Self::pareto_k) the weights are unchanged.
    pub fn smoothed(&self) -> Self {
        let Some(Some(tail)) = self.tail() else { return self.clone() };
        let mut weights = self.weights.clone();
        let count = tail.draws.len();
        for (at, &draw) in tail.draws.iter().enumerate() {
            let share = (at as f64 + 0.5) / count as f64;
            weights[draw] = (tail.threshold + tail.quantile(share)).min(1.0);
        }
        let largest = weights.iter().copied().fold(0.0, f64::max);
        weights.iter_mut().for_each(|weight| *weight /= largest);
        Self { weights }
    }

    /// The fitted tail: of the `min(n / 5, 3 sqrt(n))` largest weights those above all others. `None` without a tail,
    /// `Some(None)` if it has no fit.
    fn tail(&self) -> Option<Option<Tail>> {
        let count = self.weights.len() as f64;
        let count = (count / 5.0).min(3.0 * count.sqrt()).ceil() as usize;
        if count < LEAST_TAIL || self.weights.iter().all(|weight| *weight == 1.0) {
            return None;
        }
        let mut draws: Vec<usize> = (0..self.weights.len()).collect();
        draws.sort_by(|&a, &b| self.weights[a].total_cmp(&self.weights[b]));
        let mut tail = draws.split_off(draws.len() - count);
        let threshold = self.weights[draws[draws.len() - 1]].max(f64::MIN_POSITIVE);
        tail.retain(|&draw| self.weights[draw] > threshold);
        if tail.len() < LEAST_TAIL {
            return Some(None);
        }
        let excess: Vec<f64> = tail.iter().map(|&draw| self.weights[draw] - threshold).collect();
        let fitted = pareto(&excess);
        Some(fitted.map(|[shape, scale]| Tail { draws: tail, threshold, shape, scale }))
    }
}

/// Fewer weights than this have no tail to fit.
const LEAST_TAIL: usize = 5;

/// The largest weights in increasing order, and their fitted distribution.
struct Tail {
    draws: Vec<usize>,
    threshold: f64,
    shape: f64,
    scale: f64,
}

impl Tail {
    /// The excess over the threshold that a share of the tail does not reach.
    fn quantile(&self, share: f64) -> f64 {
        let log = (-share).ln_1p();
        match self.shape.abs() < 1e-12 {
            true => -self.scale * log,
            false => self.scale * (-self.shape * log).exp_m1() / self.shape,
        }
    }
}

/// Shape and scale of a generalised Pareto distribution, by the estimator of Zhang and Stephens (2009), section 4, with
/// the weak prior of Vehtari et al. (2024), appendix G. The excesses are positive and in increasing order. `None` if
/// they span more than f64 can divide.
fn pareto(excess: &[f64]) -> Option<[f64; 2]> {
    let count = excess.len();
    let (quartile, largest) = (excess[(count as f64 / 4.0 + 0.5) as usize - 1], excess[count - 1]);
    let grid = 30 + (count as f64).sqrt() as usize;
    let shape_of =
        |theta: f64| excess.iter().map(|x| (-theta * x).ln_1p()).sum::<f64>() / count as f64;
    let thetas: Vec<f64> = (1..=grid)
        .map(|j| {
            let root = (grid as f64 / (j as f64 - 0.5)).sqrt();
            1.0 / largest + (1.0 - root) / (3.0 * quartile)
        })
        .collect();
    let profile: Vec<f64> = thetas
        .iter()
        .map(|&theta| {
            let shape = shape_of(theta);
            count as f64 * ((-theta / shape).ln() - shape - 1.0)
        })
        .collect();
    let most = profile.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = profile.iter().map(|log| (log - most).exp()).collect();
    let total: f64 = weights.iter().sum();
    let theta: f64 =
        thetas.iter().zip(&weights).map(|(theta, weight)| theta * weight).sum::<f64>() / total;
    let shape = shape_of(theta);
    let scale = -shape / theta;
    let count = count as f64;
    let shape = (count * shape + PRIOR * 0.5) / (count + PRIOR);
    (shape.is_finite() && scale.is_finite()).then_some([shape, scale])
}

/// The number of observations that the prior of the shape, centred at 0.5, is worth.
const PRIOR: f64 = 10.0;
