//! Simulation-based calibration, expected coverage and TARP.

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::noise::Noise;

/// The ranks of true parameters among posterior draws: simulation-based calibration.
///
/// ```text
/// theta_i ~ prior,  x_i ~ p(x | theta_i),  draws theta_i1 .. theta_iL ~ q(theta | x_i)
/// rank      the number of draws below theta_i, for every parameter
/// ```
///
/// If `q` is the posterior, the ranks of each parameter are uniform on `0..=L`. Ranks in the middle show a posterior
/// that is too wide, ranks at both ends one that is too narrow, ranks at one end a bias. The parameters must be
/// continuous: ties of a discrete parameter are not ranks.
///
/// Paper: Talts, Betancourt, Simpson, Vehtari, Gelman (2018), Validating Bayesian Inference Algorithms with
/// Simulation-Based Calibration, section 3 and theorem 1, arXiv:1804.06788.
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::inference::Ranks;
/// use burn_flows::prelude::*;
///
/// let mut noise = Noise::seeded(1);
/// let device = Device::flex();
/// let truth = noise.normal::<2>([200, 2], &device);
/// let draws = noise.normal::<3>([200, 50, 2], &device);
/// let ranks = Ranks::new(truth, draws)?;
/// assert!(ranks.p_values().iter().all(|p| *p > 0.001)); // the draws have the distribution of the truth
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranks {
    /// The ranks, one list for each parameter.
    ranks: Vec<Vec<usize>>,
    /// The number of draws for each true parameter.
    draws: usize,
}

impl Ranks {
    /// The ranks of `truth`, `[pairs, parameters]`, among `draws`, `[pairs, draws, parameters]`.
    ///
    /// # Errors
    ///
    /// If the shapes do not belong together, there is no pair or no draw, or a number is not finite.
    pub fn new(truth: Tensor<2>, draws: Tensor<3>) -> Result<Self> {
        let [pairs, count, parameters] = fitting(&truth, &draws)?;
        let (truth, draws) =
            (numbers("truth", truth, f64::is_finite)?, numbers("draws", draws, f64::is_finite)?);
        let rank = |pair: usize, parameter: usize| {
            let own = truth[pair * parameters + parameter];
            let of = |draw: usize| draws[(pair * count + draw) * parameters + parameter];
            (0..count).filter(|&draw| of(draw) < own).count()
        };
        let list = |parameter| (0..pairs).map(|pair| rank(pair, parameter)).collect();
        Ok(Self { ranks: (0..parameters).map(list).collect(), draws: count })
    }

    /// The ranks of one parameter, each between 0 and the number of draws.
    ///
    /// # Panics
    ///
    /// If there is no parameter with this number.
    pub fn of(&self, parameter: usize) -> &[usize] {
        &self.ranks[parameter]
    }

    /// The number of draws for each true parameter.
    pub fn draws(&self) -> usize {
        self.draws
    }

    /// The number of ranks in each of `bins` bins of equal width, for one parameter: the histogram of the paper. The
    /// expected number in bin `b` is proportional to the number of ranks that the bin can hold.
    ///
    /// # Panics
    ///
    /// If there is no parameter with this number, or `bins` is 0 or above the number of draws + 1.
    pub fn histogram(&self, parameter: usize, bins: usize) -> Vec<usize> {
        let values = self.draws + 1;
        assert!((1..=values).contains(&bins), "Ranks: expected 1 to {values} bins, found {bins}");
        let mut counts = vec![0; bins];
        self.ranks[parameter].iter().for_each(|rank| counts[rank * bins / values] += 1);
        counts
    }

    /// For every parameter, the p-value of the hypothesis that its ranks are uniform, by a Kolmogorov-Smirnov test. The
    /// test treats ranks as continuous, so with few draws the true p-value is smaller.
    ///
    /// Distribution of the statistic: Kolmogorov (1933), with the correction of Stephens (1970) for few pairs.
    pub fn p_values(&self) -> Vec<f64> {
        let values = (self.draws + 1) as f64;
        let test = |ranks: &Vec<usize>| {
            let mut sorted = ranks.clone();
            sorted.sort_unstable();
            let count = sorted.len() as f64;
            // A rank r is spread evenly over [r, r + 1): the share of ranks up to r is compared at r + 1.
            let below = |rank: usize| sorted.partition_point(|other| *other <= rank) as f64 / count;
            let gap = |rank: &usize| {
                let upper = (below(*rank) - (rank + 1) as f64 / values).abs();
                let before = sorted.partition_point(|other| other < rank) as f64 / count;
                upper.max((before - *rank as f64 / values).abs())
            };
            kolmogorov(sorted.iter().map(gap).fold(0.0, f64::max), count)
        };
        self.ranks.iter().map(test).collect()
    }

    /// For every parameter, the share of pairs whose truth lies in the central interval of this level of the draws. A
    /// calibrated posterior has `level` up to chance, of standard deviation at most `sqrt(level (1 - level) / pairs)`,
    /// with any number of draws: a rank stands for an interval of levels and counts in part at its ends.
    ///
    /// # Errors
    ///
    /// If the level is not in (0, 1).
    pub fn coverage(&self, level: f64) -> Result<Vec<f64>> {
        in_unit(level)?;
        let ends = [0.5 - 0.5 * level, 0.5 + 0.5 * level];
        let share = |ranks: &Vec<usize>| {
            let inside = ranks.iter().map(|rank| overlap([*rank, rank + 1], self.draws, ends));
            inside.sum::<f64>() / ranks.len() as f64
        };
        Ok(self.ranks.iter().map(share).collect())
    }
}

/// The part of the interval from the first to the second rank, as shares of `draws + 1`, that lies between two shares.
fn overlap(ranks: [usize; 2], draws: usize, ends: [f64; 2]) -> f64 {
    let [from, to] = ranks.map(|rank| rank as f64 / (draws + 1) as f64);
    (to.min(ends[1]) - from.max(ends[0])).max(0.0) / (to - from)
}

/// For every level, the share of pairs whose truth lies in the highest-density region of that level: expected coverage.
///
/// `truth` is `ln q(theta_i | x_i)`, `[pairs]`, and `draws` is `ln q` of draws from `q(theta | x_i)`, `[pairs, draws]`.
/// A calibrated posterior has the coverage `level`, with any number of draws and also where densities are equal: a
/// truth counts in part if the draws leave its level open. A smaller coverage shows a posterior that is too narrow.
///
/// Paper: Hermans, Delaunoy, Rozet, Wehenkel, Begy, Louppe (2022), A Trust Crisis In Simulation-Based Inference?,
/// section 2, equations 2 and 3, arXiv:2110.06581.
///
/// # Errors
///
/// If the shapes do not belong together, there is no pair or no draw, a log-density is NaN, or a level is not in (0, 1).
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::inference::expected_coverage;
/// use burn_flows::prelude::*;
///
/// let mut noise = Noise::seeded(1);
/// let device = Device::flex();
/// // Log-densities of N(0, 1), up to a constant, at the truth and at draws.
/// let truth = noise.normal::<1>([500], &device).square() * -0.5;
/// let draws = noise.normal::<2>([500, 100], &device).square() * -0.5;
/// let coverage = expected_coverage(truth, draws, &[0.5, 0.9])?;
/// assert!((coverage[0] - 0.5).abs() < 0.08 && (coverage[1] - 0.9).abs() < 0.05);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn expected_coverage(truth: Tensor<1>, draws: Tensor<2>, levels: &[f64]) -> Result<Vec<f64>> {
    let pairs = truth.dims()[0];
    let [rows, count] = draws.dims();
    not_empty(pairs, count)?;
    if rows != pairs {
        let reason = format!("expected [{pairs}, draws] log-densities, found [{rows}, {count}]");
        return Err(Error::data("draws", reason));
    }
    let (truth, draws) =
        (numbers("truth", truth, |x| !x.is_nan())?, numbers("draws", draws, |x| !x.is_nan())?);
    // The region of a level holds the truth if its share of draws of a higher density is below the level.
    let ranks = |(own, row): (&f64, &[f64])| {
        let above = row.iter().filter(|other| *other > own).count();
        [above, above + row.iter().filter(|other| *other == own).count() + 1]
    };
    let ranks: Vec<[usize; 2]> = truth.iter().zip(draws.chunks(count)).map(ranks).collect();
    covered(&ranks, count, levels)
}

/// For every level, the share of pairs whose truth lies in the region of TARP: tests of accuracy with random points.
///
/// ```text
/// f_i        the share of draws that lie closer to a random point r_i than theta_i does
/// coverage   the share of pairs with f_i < level
/// ```
///
/// If `q` is the posterior, the coverage is `level` for any distribution of `r_i` that may depend on `x_i`. Distances
/// are Euclidean after every parameter is divided by its range over the truths. The points are uniform in the box that
/// holds the truths, drawn from the seed. If the finite draws place a truth on both sides of a level, the
/// truth counts as a fraction. In contrast to [`expected_coverage`], TARP needs no densities,
/// and with enough pairs it is sensitive to any error.
///
/// Paper: Lemos, Coogan, Hezaveh, Perreault-Levasseur (2023), Sampling-Based Accuracy Testing of Posterior Estimators
/// for General Inference, algorithm 2 and theorem 3, arXiv:2302.03026.
///
/// # Shapes
///
/// - truth `[pairs, parameters]`; draws `[pairs, draws, parameters]`; one result for each level
///
/// # Errors
///
/// If the shapes do not belong together, there is no pair or no draw, a number is not finite, a parameter has the same
/// value in all pairs, or a level is not in (0, 1).
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::inference::tarp;
/// use burn_flows::prelude::*;
///
/// let mut noise = Noise::seeded(1);
/// let device = Device::flex();
/// let truth = noise.normal::<2>([500, 2], &device);
/// let draws = noise.normal::<3>([500, 100, 2], &device);
/// let coverage = tarp(truth, draws, &[0.5], 7)?;
/// assert!((coverage[0] - 0.5).abs() < 0.08);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn tarp(truth: Tensor<2>, draws: Tensor<3>, levels: &[f64], seed: u64) -> Result<Vec<f64>> {
    let [pairs, count, parameters] = fitting(&truth, &draws)?;
    let (truth, draws) =
        (numbers("truth", truth, f64::is_finite)?, numbers("draws", draws, f64::is_finite)?);
    let column = |at: usize| truth.iter().skip(at).step_by(parameters).copied();
    let fold = |at, from: f64, f: fn(f64, f64) -> f64| column(at).fold(from, f);
    let ends: Vec<[f64; 2]> = (0..parameters)
        .map(|at| [fold(at, f64::INFINITY, f64::min), fold(at, f64::NEG_INFINITY, f64::max)])
        .collect();
    if let Some(at) = ends.iter().position(|[low, high]| low == high) {
        let reason = format!("parameter {at} has the same value in all {pairs} pairs; remove it");
        return Err(Error::data("truth", reason));
    }
    let mut noise = Noise::seeded(seed);
    let ranks: Vec<[usize; 2]> = (0..pairs)
        .map(|pair| {
            let point: Vec<f64> = ends
                .iter()
                .map(|[low, high]| {
                    let share = noise.next_uniform();
                    low * (1.0 - share) + high * share
                })
                .collect();
            let distance = |theta: &[f64]| -> f64 {
                let part = |((a, b), [low, high]): ((&f64, &f64), &[f64; 2])| {
                    // Halves, because the range itself may overflow.
                    ((0.5 * a - 0.5 * b) / (0.5 * high - 0.5 * low)).powi(2)
                };
                theta.iter().zip(&point).zip(&ends).map(part).sum()
            };
            let own = distance(&truth[pair * parameters..(pair + 1) * parameters]);
            let rows = draws[pair * count * parameters..(pair + 1) * count * parameters]
                .chunks(parameters);
            let others: Vec<f64> = rows.map(distance).collect();
            let closer = others.iter().filter(|other| **other < own).count();
            [closer, closer + others.iter().filter(|other| **other == own).count() + 1]
        })
        .collect();
    covered(&ranks, count, levels)
}

/// For every level, the share of ranks below it. Each pair has the least rank of its truth among `draws` draws, and one
/// more than the largest.
fn covered(ranks: &[[usize; 2]], draws: usize, levels: &[f64]) -> Result<Vec<f64>> {
    let of = |level: &f64| {
        in_unit(*level)?;
        let below = ranks.iter().map(|ranks| overlap(*ranks, draws, [0.0, *level]));
        Ok(below.sum::<f64>() / ranks.len() as f64)
    };
    levels.iter().map(of).collect()
}

fn in_unit(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::data("level", format!("must be in (0, 1), found {level}")))
}

/// Numbers of pairs, draws and parameters, if the shapes belong together and none is 0.
fn fitting(truth: &Tensor<2>, draws: &Tensor<3>) -> Result<[usize; 3]> {
    let ([pairs, parameters], [rows, count, width]) = (truth.dims(), draws.dims());
    not_empty(pairs * parameters, count)?;
    if rows == pairs && width == parameters {
        return Ok([pairs, count, parameters]);
    }
    let found = draws.dims();
    let reason = format!(
        "expected shape [{pairs}, draws, {parameters}] for that of the truth, found {found:?}"
    );
    Err(Error::data("draws", reason))
}

/// Returns an error unless there are pairs and draws.
fn not_empty(pairs: usize, draws: usize) -> Result<()> {
    if pairs > 0 && draws > 0 {
        return Ok(());
    }
    let (what, kind) = if pairs == 0 { ("truth", "pair") } else { ("draws", "draw") };
    Err(Error::data(what, format!("expected at least 1 {kind}, found none")))
}

/// The numbers of a tensor, or an error that names the first one for which `valid` is false.
fn numbers<const D: usize>(what: &str, x: Tensor<D>, valid: fn(f64) -> bool) -> Result<Vec<f64>> {
    let values: Vec<f64> = x.into_data().iter::<f64>().collect();
    match values.iter().position(|value| !valid(*value)) {
        None => Ok(values),
        Some(at) => Err(Error::data(what, format!("element {at} is {}", values[at]))),
    }
}

/// The probability that the statistic of Kolmogorov and Smirnov of `count` uniform numbers exceeds `gap`.
fn kolmogorov(gap: f64, count: f64) -> f64 {
    let scaled = gap * (count.sqrt() + 0.12 + 0.11 / count.sqrt());
    // Below this the series converges slowly, and the probability is 1 to nine digits.
    if scaled < 0.25 {
        return 1.0;
    }
    let term = |k: i32| {
        (-2.0 * f64::from(k * k) * scaled * scaled).exp() * f64::from(1 - 2 * ((k + 1) % 2))
    };
    (2.0 * (1..=100).map(term).sum::<f64>()).clamp(0.0, 1.0)
}
