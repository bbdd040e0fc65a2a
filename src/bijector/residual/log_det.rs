//! `ln |det(I + J)|` for a contractive `J`: exact, or by a power series.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::pivots;
use crate::bijector::linearised::Linearised;
use crate::draws;
use crate::error::{Error, Result, repeats};
use crate::noise::Noise;

/// The seed of the probes and the roulette in evaluation.
const EVALUATION_SEED: u64 = 0;

/// The largest number of further terms of the roulette. With probability one half it would be exceeded once in 10^30
/// calls.
const LAST_TERM: usize = 100;

/// How a [`Residual`](super::Residual) layer computes its log-determinant.
///
/// ```text
/// exact      elimination of `I + J`, which takes as many products with J as there are features
/// series     sum over k of (-1)^(k + 1) / k tr(J^k),  tr(J^k) as a mean of e J^k e over probes e
/// roulette   N further terms at random; term n + j divided by the chance that it is taken
/// ```
///
/// Papers: Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen (2019), Invertible Residual Networks,
/// equation 4 and section 3.2, arXiv:1811.00995; Chen, Behrmann, Duvenaud, Jacobsen (2019), Residual
/// Flows for Invertible Generative Modeling, theorem 1, arXiv:1906.02735; probes: Hutchinson (1990).
///
/// ```
/// use burn_flows::bijector::LogDet;
///
/// let series = LogDet::Series { terms: 2, roulette: Some(0.5), probes: 1 };
/// assert!(series.validate().is_ok());
/// assert!(LogDet::Series { terms: 2, roulette: Some(1.5), probes: 1 }.validate().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub enum LogDet {
    /// The determinant, up to rounding. Time and memory are those of as many passes as there are features.
    #[default]
    Exact,
    /// An estimate by the power series. In training each row has its own probes, which follow the seed of the training.
    /// In evaluation all rows share fixed probes, so that equal rows get equal numbers.
    Series {
        /// Number of terms that are always computed, at least 1. More terms reduce the variance or the truncation
        /// error.
        terms: usize,
        /// Probability of stopping before each further term. Each further term follows with probability `1 - roulette`,
        /// which makes the mean exact. `None` truncates the series: with a constant `L`, the truncation error is at
        /// most `features * L^(terms + 1) / (1 - L)`.
        roulette: Option<f64>,
        /// Number of probes per row, at least 1. More probes reduce the variance at a higher cost.
        probes: usize,
    },
}

impl LogDet {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        let Self::Series { terms, roulette, probes } = *self else { return Ok(()) };
        repeats("LogDet", "terms", 1, terms)?;
        repeats("LogDet", "probes", 1, probes)?;
        match roulette {
            Some(chance) if !(chance > 0.0 && chance < 1.0) => {
                let reason = format!("must be in (0, 1), found {chance}");
                Err(Error::config("LogDet", "roulette", reason))
            }
            _ => Ok(()),
        }
    }

    /// The log-determinant of `x + g(x)`, `[batch]`.
    pub(super) fn of(self, g: &Linearised, training: bool) -> Tensor<1> {
        match self {
            Self::Exact => pivots::log_abs_det(plus_identity(g.jacobian())),
            Self::Series { terms, roulette, probes } => {
                let value = g.value();
                let [rows, features] = value.dims();
                let draw = |noise: &mut Noise, rows: usize| {
                    let further = roulette.map_or(0, |chance| geometric(chance, noise));
                    let count = probes * rows * features;
                    let signs: Vec<f64> = (0..count)
                        .map(|_| if noise.next_u64() & 1 == 0 { 1.0 } else { -1.0 })
                        .collect();
                    (further, signs, rows)
                };
                let (further, signs, rows) = match training {
                    true => draws::with(|noise| draw(noise, rows)),
                    false => draw(&mut Noise::seeded(EVALUATION_SEED), 1),
                };
                let options = (&value.device().without_autodiff(), value.dtype());
                let data = TensorData::new(signs, [probes, rows, features]);
                let keep = 1.0 - roulette.unwrap_or(0.0);
                series(g, Tensor::from_data(data, options), terms, further, keep)
            }
        }
    }
}

/// `I + J`, `[batch, n, n]`.
pub(super) fn plus_identity(jacobian: Tensor<3>) -> Tensor<3> {
    let n = jacobian.dims()[1];
    let eye = Tensor::<2>::eye(n, &jacobian.device().without_autodiff());
    jacobian.clone() + eye.cast(jacobian.dtype()).unsqueeze_dim(0)
}

/// The number of further terms: `n` or more with probability `(1 - chance)^n`.
fn geometric(chance: f64, noise: &mut Noise) -> usize {
    (0..LAST_TERM).take_while(|_| noise.next_uniform() >= chance).count()
}

/// The series along probes `[probes, batch or 1, n]`. Term `terms + j` has the weight `keep^-j`.
fn series(g: &Linearised, probes: Tensor<3>, terms: usize, further: usize, keep: f64) -> Tensor<1> {
    let count = probes.dims()[0];
    let rows = g.value().dims()[0];
    let mut change = probes.clone();
    let mut total = Tensor::zeros([rows], (&probes.device(), probes.dtype()));
    for k in 1..=terms + further {
        change = g.push(change);
        // `change` has one row if the map is linear and the probes are shared.
        let along = (change.clone() * probes.clone()).sum_dim(2).sum_dim(0);
        let along = along.reshape([change.dims()[1]]);
        let sign = if k % 2 == 1 { 1.0 } else { -1.0 };
        let weight = keep.powi(-(k.saturating_sub(terms) as i32)) / (count * k) as f64;
        total = total + along * (sign * weight);
    }
    total
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;

    /// A linear `g` with a known determinant.
    fn linear() -> (Linearised, f64) {
        let options = (&Device::flex(), DType::F64);
        let matrix =
            Tensor::<2>::from_data([[0.4, 0.3, -0.1], [-0.2, 0.3, 0.2], [0.1, 0.0, -0.5]], options);
        let x = Tensor::<2>::zeros([4000, 3], options);
        let g = Linearised::at(x, true).linear(&matrix, None);
        let exact = LogDet::Exact.of(&g, false).into_data().iter::<f64>().next().unwrap();
        (g, exact)
    }

    #[test]
    fn the_roulette_is_right_on_average() {
        let (g, exact) = linear();
        draws::seed(Noise::seeded(5));
        let estimator = LogDet::Series { terms: 1, roulette: Some(0.4), probes: 1 };
        // One call draws one number of terms for all its rows, so the means of separate calls are independent.
        let calls: Vec<f64> =
            (0..400).map(|_| estimator.of(&g, true).mean().into_scalar::<f64>()).collect();
        let n = calls.len() as f64;
        let mean = calls.iter().sum::<f64>() / n;
        let variance = calls.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let error = (variance / n).sqrt();
        assert!((mean - exact).abs() < 4.0 * error, "{mean} +- {error}, expected {exact}");
        assert!(error < 0.02 && variance > 0.0, "{error}");
    }

    #[test]
    fn a_long_series_is_right_to_its_probes() {
        let (g, exact) = linear();
        draws::seed(Noise::seeded(6));
        let estimator = LogDet::Series { terms: 60, roulette: None, probes: 4 };
        let values: Vec<f64> = estimator.of(&g, true).into_data().iter::<f64>().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let error = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n / n).sqrt();
        assert!((mean - exact).abs() < 4.0 * error, "{mean} +- {error}, expected {exact}");
        let short = LogDet::Series { terms: 1, roulette: None, probes: 4 };
        let short = short.of(&g, true).mean().into_scalar::<f64>();
        assert!((short - exact).abs() > 10.0 * error, "{short} should miss {exact}");
    }

    #[test]
    fn evaluation_gives_equal_rows_equal_numbers() {
        let (g, _) = linear();
        let estimator = LogDet::Series { terms: 3, roulette: Some(0.5), probes: 2 };
        let draw = || estimator.of(&g, false).into_data().iter::<f64>().collect::<Vec<_>>();
        let values = draw();
        assert!(values.iter().all(|v| *v == values[0]));
        assert_eq!(draw(), values);
    }
}
