//! Truncated proposals: the prior inside the highest-density region of a posterior.

use burn::tensor::{Bool, Tensor};

use super::rejection::{AcceptanceRate, LEAST_RATE, Rules, truths, valid_rate};
use crate::Given;
use crate::crew::apart;
use crate::distribution::Distribution;
use crate::error::{Error, Result};
use crate::noise::Noise;

/// The highest-density region of a posterior at one observation, and the prior inside the region: truncated sequential
/// neural posterior estimation (TSNPE).
///
/// ```text
/// region            theta with ln q(theta | x_o) >= threshold
/// threshold         the epsilon-quantile of ln q over draws of q
/// truncated prior   p(theta) / p(region) inside the region, 0 outside      by rejection from the prior
/// ```
///
/// Train a first posterior on draws of the prior, take its region at the observation `x_o`, simulate draws of the
/// truncated prior, and train the next posterior on them. Inside the region the truncated prior is proportional to the
/// prior, so the loss of the first round is also the loss of the later rounds, and `fit` trains all of them. A posterior
/// of a later round is valid at `x_o` only. Data of all rounds can be trained on together, because the region of a later
/// round lies in the earlier regions, up to a share `epsilon` of the posterior.
///
/// Paper: Deistler, Goncalves, Macke (2022), Truncated proposals for scalable and hassle-free simulation-based
/// inference, section 3 and algorithm 1, arXiv:2210.04815.
///
/// # Numerics
///
/// The share of the draws outside the region is at most `epsilon`. With `n` draws, the share of the posterior outside
/// has the standard error `sqrt(epsilon / n)`, about a third of `epsilon` for the defaults.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::{StandardNormal, Uniform};
/// use burn_flows::inference::HighestDensityRegion;
/// use burn_flows::{Given, Noise};
///
/// let device = Device::flex();
/// let posterior = StandardNormal::<2>::new([1], &device); // for example `flow.given(&observed)`
/// let region = HighestDensityRegion::new(Given::new(&posterior, None), 1)?;
/// let theta = Tensor::<2>::from_data([[0.0], [10.0]], &device);
/// assert_eq!(region.contains(theta).into_data().iter::<bool>().collect::<Vec<_>>(), [true, false]);
///
/// // A uniform prior on [-20, 20]: the region holds about 2 * 3.9 of its 40 units.
/// let prior = |n: usize, noise: &mut Noise| noise.uniform::<2>([n, 1], &device) * 40.0 - 20.0;
/// let (theta, rate) = region.sample_prior_seeded(prior, 500, 2)?;
/// assert_eq!(theta.dims(), [500, 1]);
/// assert!((rate.rate() - 0.19).abs() < 0.07);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug)]
pub struct HighestDensityRegion<'a, F, const D: usize> {
    posterior: Given<'a, F>,
    threshold: f64,
    least_rate: f64,
}

impl<'a, F: Distribution<D>, const D: usize> HighestDensityRegion<'a, F, D> {
    /// The region with a share of 1e-4 of the posterior outside, from 100,000 seeded draws.
    ///
    /// # Errors
    ///
    /// The errors of [`with_epsilon`](Self::with_epsilon).
    pub fn new(posterior: Given<'a, F>, seed: u64) -> Result<Self> {
        Self::with_epsilon(posterior, EPSILON, DRAWS, seed)
    }

    /// The region with a share `epsilon` of the posterior outside, from `draws` seeded draws. A larger `epsilon` gives a
    /// smaller region, which needs fewer simulations and cuts off more of the posterior.
    ///
    /// # Errors
    ///
    /// If the context has more than one row, `epsilon` is not in (0, 1), `draws` is below `1 / epsilon`, a draw has a
    /// log-density of NaN, or the log-density at the quantile is infinite.
    pub fn with_epsilon(
        posterior: Given<'a, F>,
        epsilon: f64,
        draws: usize,
        seed: u64,
    ) -> Result<Self> {
        let invalid = |field, reason| Err(Error::config("HighestDensityRegion", field, reason));
        let contexts = posterior.contexts();
        if contexts != 1 {
            return invalid("posterior", format!("needs a context of 1 row, found {contexts}"));
        }
        if !(epsilon > 0.0 && epsilon < 1.0) {
            return invalid("epsilon", format!("must be in (0, 1), found {epsilon}"));
        }
        if (draws as f64) * epsilon < 1.0 {
            let least = (1.0 / epsilon).ceil();
            return invalid(
                "draws",
                format!("must be at least {least} = 1 / epsilon, found {draws}"),
            );
        }
        let (_, log_prob) = posterior.sample_with_log_prob_seeded::<D>(draws, seed);
        let mut logs: Vec<f64> = log_prob.into_data().iter::<f64>().collect();
        if let Some(at) = logs.iter().position(|log| log.is_nan()) {
            let reason = format!(
                "draw {at} has a log-density of NaN; find the layer with `first_non_finite`"
            );
            return Err(Error::data("posterior", reason));
        }
        let below = ((epsilon * draws as f64) as usize).min(draws - 1);
        let (_, threshold, _) = logs.select_nth_unstable_by(below, f64::total_cmp);
        if !threshold.is_finite() {
            let reason = format!("ln q at the quantile must be finite, found {threshold}");
            return Err(Error::data("HighestDensityRegion", reason));
        }
        Ok(Self { posterior, threshold: *threshold, least_rate: LEAST_RATE })
    }

    /// Sets the least acceptance rate of draws of the prior. A rate that is lower after `10 / least_rate` proposals is
    /// an error. The default is 1e-4.
    ///
    /// # Errors
    ///
    /// If the rate is not in (0, 1).
    pub fn with_least_rate(self, least_rate: f64) -> Result<Self> {
        valid_rate("HighestDensityRegion", least_rate)?;
        Ok(Self { least_rate, ..self })
    }

    /// The least log-density inside the region, in nats.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Whether each row of parameters is inside the region, without a graph. A log-density of NaN is outside.
    pub fn contains(&self, theta: Tensor<D>) -> Tensor<1, Bool> {
        let rows = theta.dims()[0];
        self.posterior
            .log_prob_batched(theta, rows.clamp(1, BATCH))
            .greater_equal_elem(self.threshold)
    }

    /// Draws `n` parameters of the prior inside the region, with the acceptance rate. The rate is an estimate of the
    /// prior probability of the region. `prior` draws as many rows as it is asked for. A [`Distribution`] is a prior by
    /// `|n, noise| prior.sample(n, None, noise, &device)`.
    ///
    /// # Errors
    ///
    /// If the rate is below the least rate.
    ///
    /// # Panics
    ///
    /// If the prior returns another number of rows than it was asked for.
    pub fn sample_prior(
        &self,
        prior: impl FnMut(usize, &mut Noise) -> Tensor<D> + Send,
        n: usize,
    ) -> Result<(Tensor<D>, AcceptanceRate)> {
        self.sampled(prior, n, &mut Noise::from_entropy())
    }

    /// [`sample_prior`](Self::sample_prior) from a seed. The draws follow the seed if those of the prior follow its
    /// noise.
    ///
    /// # Errors
    ///
    /// The errors of [`sample_prior`](Self::sample_prior).
    ///
    /// # Panics
    ///
    /// The panics of [`sample_prior`](Self::sample_prior).
    pub fn sample_prior_seeded(
        &self,
        prior: impl FnMut(usize, &mut Noise) -> Tensor<D> + Send,
        n: usize,
        seed: u64,
    ) -> Result<(Tensor<D>, AcceptanceRate)> {
        self.sampled(prior, n, &mut Noise::seeded(seed))
    }

    fn sampled(
        &self,
        mut prior: impl FnMut(usize, &mut Noise) -> Tensor<D> + Send,
        n: usize,
        noise: &mut Noise,
    ) -> Result<(Tensor<D>, AcceptanceRate)> {
        let propose = |_: &[usize], count: usize, noise: &mut Noise| {
            let theta = prior(count, noise);
            let found = theta.dims()[0];
            assert!(
                found == count,
                "HighestDensityRegion: expected {count} draws of the prior, found {found}"
            );
            theta
        };
        let inside = |theta: &Tensor<D>| {
            truths("HighestDensityRegion", theta, |theta| self.contains(theta.clone()))
        };
        let rules = Rules { n, least: 1, least_rate: self.least_rate, width: 0 };
        apart(self.posterior.distribution, || {
            let (theta, rates) = rules.accepted(1, noise, propose, inside)?;
            Ok((theta, rates[0]))
        })
    }
}

/// The default share of the posterior outside the region, that of the paper.
const EPSILON: f64 = 1e-4;

/// The default number of draws that estimate the threshold: ten of them are below the quantile.
const DRAWS: usize = 100_000;

/// The number of rows of a density in one pass.
const BATCH: usize = 8192;
