//! Rejection sampling into a support, with the acceptance rate.

use std::fmt;

use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::Given;
use crate::crew::apart;
use crate::distribution::{Distribution, most_rows, separated};
use crate::error::{Error, Result};
use crate::math::event_len;
use crate::noise::Noise;
use crate::parallel::{Rows, blocks};

/// The number of accepted among proposed draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AcceptanceRate {
    /// The number of proposals inside the support.
    pub accepted: usize,
    /// The number of proposals.
    pub proposals: usize,
}

impl AcceptanceRate {
    /// The share of accepted proposals, an estimate of the probability of the support. NaN without proposals.
    pub fn rate(&self) -> f64 {
        self.accepted as f64 / self.proposals as f64
    }

    /// The standard error of [`rate`](Self::rate), `sqrt(rate (1 - rate) / proposals)`. It is 0 if no proposal or every
    /// proposal was accepted, which does not make the rate certain.
    pub fn standard_error(&self) -> f64 {
        (self.rate() * (1.0 - self.rate()) / self.proposals as f64).sqrt()
    }
}

/// Draws of a density inside a support, by rejection.
///
/// ```text
/// x ~ q(x | c), kept if x is in the support S         the density of the kept draws:
/// ln q_S(x | c) = ln q(x | c) - ln rate(c)            inside S, and -inf outside
/// rate(c)       = q(S | c), estimated by accepted / proposals
/// standard error of ln rate   sqrt((1 - rate) / (rate proposals))
/// ```
///
/// A posterior has no mass outside the support of its prior, but a flow has (leakage). The correction by the rate is the
/// leakage correction of the library sbi.
///
/// Papers: von Neumann (1951), Various techniques used in connection with random digits (rejection); Greenberg,
/// Nonnenmacher, Macke (2019), Automatic Posterior Transformation for Likelihood-Free Inference (leakage),
/// arXiv:1905.07488.
///
/// The sampler borrows a distribution with a context, or without one, and a predicate. The predicate receives a batch
/// of proposals, `[rows, event..]`, and returns one truth for each row.
///
/// # Shapes
///
/// - draws `[contexts, n, event..]`, log-densities `[contexts, n]`, one rate for each context
/// - without a context, as for one context
///
/// # Numerics
///
/// The rate counts all proposals, also those after the `n`-th accepted draw. `sample_with_log_prob`
/// makes at least 1000 proposals for each context. A rate of 0.5 then has a relative standard error of 3 %. A draw with
/// a value that is not finite is outside every support.
///
/// Proposals are made in rounds of bounded memory. The draws follow the seed: they do not depend on the number of
/// threads.
///
/// # Panics
///
/// If the predicate returns another number of truths than it received rows. Also the panics of the distribution.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::Given;
/// use burn_flows::distribution::StandardNormal;
/// use burn_flows::inference::RejectionSampler;
///
/// // A half normal.
/// let normal = StandardNormal::<2>::new([1], &Device::flex());
/// let positive = |x: &Tensor<2>| x.clone().greater_elem(0.0).squeeze_dim::<1>(1);
/// let sampler = RejectionSampler::new(Given::new(&normal, None), positive);
/// let (x, log_prob, rates) = sampler.sample_with_log_prob_seeded::<3>(2000, 1)?;
/// assert_eq!((x.dims(), log_prob.dims()), ([1, 2000, 1], [1, 2000]));
/// assert!(x.min().into_scalar::<f32>() > 0.0);
/// assert!((rates[0].rate() - 0.5).abs() < 4.0 * rates[0].standard_error());
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub struct RejectionSampler<'a, F, S, const D: usize> {
    proposal: Given<'a, F>,
    support: S,
    least_rate: f64,
}

impl<F: fmt::Debug, S, const D: usize> fmt::Debug for RejectionSampler<'_, F, S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("RejectionSampler");
        fields.field("proposal", &self.proposal).field("least_rate", &self.least_rate);
        fields.finish_non_exhaustive()
    }
}

/// The default of the least rate.
pub(super) const LEAST_RATE: f64 = 1e-4;

/// The least number of proposals for each context that a log-density is corrected with.
const RATE_PROPOSALS: usize = 1000;

impl<'a, F, S, const D: usize> RejectionSampler<'a, F, S, D>
where
    F: Distribution<D>,
    S: Fn(&Tensor<D>) -> Tensor<1, Bool> + Sync,
{
    /// A sampler of `proposal` inside `support`, with a least rate of 1e-4.
    pub fn new(proposal: Given<'a, F>, support: S) -> Self {
        Self { proposal, support, least_rate: LEAST_RATE }
    }

    /// Sets the least acceptance rate. A context whose rate is lower after `10 / least_rate` proposals is an error.
    /// Without this limit, a call might never return. A lower limit allows more proposals.
    ///
    /// # Errors
    ///
    /// If the rate is not in (0, 1).
    pub fn with_least_rate(self, least_rate: f64) -> Result<Self> {
        valid_rate("RejectionSampler", least_rate)?;
        Ok(Self { least_rate, ..self })
    }

    /// Draws `n` events inside the support for each context, with the acceptance rates. `E` is `D + 1`.
    ///
    /// # Errors
    ///
    /// If the rate of a context is below the least rate, or a value of a context is not finite.
    pub fn sample<const E: usize>(&self, n: usize) -> Result<(Tensor<E>, Vec<AcceptanceRate>)> {
        self.sampled(n, &mut Noise::from_entropy())
    }

    /// [`sample`](Self::sample) from a seed.
    ///
    /// # Errors
    ///
    /// The errors of [`sample`](Self::sample).
    pub fn sample_seeded<const E: usize>(
        &self,
        n: usize,
        seed: u64,
    ) -> Result<(Tensor<E>, Vec<AcceptanceRate>)> {
        self.sampled(n, &mut Noise::seeded(seed))
    }

    /// [`sample`](Self::sample) with the log-densities inside the support, `ln q - ln rate`.
    ///
    /// # Errors
    ///
    /// The errors of [`sample`](Self::sample).
    pub fn sample_with_log_prob<const E: usize>(
        &self,
        n: usize,
    ) -> Result<(Tensor<E>, Tensor<2>, Vec<AcceptanceRate>)> {
        self.sampled_with_log_prob(n, &mut Noise::from_entropy())
    }

    /// [`sample_with_log_prob`](Self::sample_with_log_prob) from a seed.
    ///
    /// # Errors
    ///
    /// The errors of [`sample`](Self::sample).
    pub fn sample_with_log_prob_seeded<const E: usize>(
        &self,
        n: usize,
        seed: u64,
    ) -> Result<(Tensor<E>, Tensor<2>, Vec<AcceptanceRate>)> {
        self.sampled_with_log_prob(n, &mut Noise::seeded(seed))
    }

    fn sampled<const E: usize>(
        &self,
        n: usize,
        noise: &mut Noise,
    ) -> Result<(Tensor<E>, Vec<AcceptanceRate>)> {
        let (x, rates) = self.run(n, 1, noise, F::sample, |x| x)?;
        Ok((separated(x, [rates.len(), n]), rates))
    }

    fn sampled_with_log_prob<const E: usize>(
        &self,
        n: usize,
        noise: &mut Noise,
    ) -> Result<(Tensor<E>, Tensor<2>, Vec<AcceptanceRate>)> {
        let draw = F::sample_with_log_prob;
        let ((x, log_prob), rates) = self.run(n, RATE_PROPOSALS, noise, draw, |(x, _)| x)?;
        let outer = [rates.len(), n];
        let log_prob: Tensor<2> = separated(log_prob, outer);
        if outer.contains(&0) {
            return Ok((separated(x, outer), log_prob, rates));
        }
        let logs: Vec<f64> = rates.iter().map(|rate| rate.rate().ln()).collect();
        let logs = Tensor::<1>::from_data(logs.as_slice(), (&log_prob.device(), log_prob.dtype()));
        Ok((separated(x, outer), log_prob - logs.unsqueeze_dim(1), rates))
    }

    /// Proposes by `draw` until every context has `n` accepted draws and `least` proposals. `event` is the part of the
    /// draws that the predicate sees.
    fn run<T: Rows>(
        &self,
        n: usize,
        least: usize,
        noise: &mut Noise,
        draw: impl Fn(&F, usize, Option<&Tensor<2>>, &mut Noise, &Device) -> T + Sync,
        event: impl Fn(&T) -> &Tensor<D> + Sync,
    ) -> Result<(T, Vec<AcceptanceRate>)> {
        let Given { distribution, context } = self.proposal;
        let contexts = self.proposal.contexts();
        if let Some(context) = context {
            check_finite(context)?;
        }
        apart(distribution, || {
            let propose = |active: &[usize], count: usize, noise: &mut Noise| {
                let rows = context.map(|c| if contexts > 1 { c.chosen(active) } else { c.clone() });
                let given = Given::new(distribution, rows.as_ref());
                given.drawn(
                    if active.is_empty() { [0, 0] } else { [active.len(), count] },
                    noise,
                    &draw,
                )
            };
            let inside = |draws: &T| truths("RejectionSampler", event(draws), &self.support);
            let width = context.map_or(0, |context| context.dims()[1]);
            let rules = Rules { n, least, least_rate: self.least_rate, width };
            rules.accepted(contexts, noise, propose, inside)
        })
    }
}

/// Returns an error unless a least rate is in (0, 1).
pub(super) fn valid_rate(name: &'static str, least_rate: f64) -> Result<()> {
    if least_rate > 0.0 && least_rate < 1.0 {
        return Ok(());
    }
    Err(Error::config(name, "least_rate", format!("must be in (0, 1), found {least_rate}")))
}

/// The truths of a predicate for a batch. A draw with a value that is not finite is outside every support.
pub(super) fn truths<const D: usize>(
    name: &str,
    x: &Tensor<D>,
    support: impl Fn(&Tensor<D>) -> Tensor<1, Bool>,
) -> Vec<bool> {
    let (rows, truths) = (x.dims()[0], support(x));
    let [found] = truths.dims();
    assert!(found == rows, "{name}: expected a truth for each of {rows} draws, found {found}");
    let finite = x.clone().is_finite().into_data().iter::<bool>().collect::<Vec<_>>();
    let finite = finite.chunks(event_len(x).max(1)).map(|row| row.iter().all(|finite| *finite));
    truths.into_data().iter::<bool>().zip(finite).map(|(inside, finite)| inside && finite).collect()
}

/// Returns an error that names the first value of a context that is not finite.
fn check_finite(context: &Tensor<2>) -> Result<()> {
    let values = context.to_data();
    let Some((at, value)) = values.iter::<f64>().enumerate().find(|(_, v)| !v.is_finite()) else {
        return Ok(());
    };
    let width = context.dims()[1];
    let reason = format!("row {}, column {} holds {value}", at / width, at % width);
    Err(Error::data("context of the proposal", reason))
}

/// The fewest proposals for a context in a round: a small batch takes about as long as this many rows.
const FEWEST: usize = 64;

/// More proposals than the estimated rate asks for, so that most calls need two rounds.
const MARGIN: f64 = 1.1;

/// When to stop.
pub(super) struct Rules {
    /// The number of draws for each context.
    pub(super) n: usize,
    /// The least number of proposals for each context, at least 1.
    pub(super) least: usize,
    pub(super) least_rate: f64,
    /// The width of a context, which is repeated for every proposal.
    pub(super) width: usize,
}

impl Rules {
    /// Calls `propose` with contexts and a number of proposals for each of them, until every context has enough. The
    /// accepted draws of the first context come first.
    pub(super) fn accepted<T: Rows>(
        &self,
        contexts: usize,
        noise: &mut Noise,
        mut propose: impl FnMut(&[usize], usize, &mut Noise) -> T,
        inside: impl Fn(&T) -> Vec<bool>,
    ) -> Result<(T, Vec<AcceptanceRate>)> {
        if contexts == 0 {
            return Ok((propose(&[], 0, noise), vec![]));
        }
        // A row that is dropped shows the shape of an event.
        let one = propose(&[0], 1, &mut Noise::seeded(0));
        let most = most_rows(one.elements() + self.width);
        let mut room = one.room(contexts * self.n);
        let mut rates = vec![AcceptanceRate::default(); contexts];
        let first = self.n.max(self.least).max(FEWEST).min(most);
        for group in blocks(contexts, (most / first).max(1)) {
            loop {
                let lacks = |k: &usize| self.lacks(&rates[*k]);
                let active: Vec<usize> = group.clone().filter(lacks).collect();
                let wanted = active.iter().map(|&k| self.wanted(&rates[k])).max();
                let Some(wanted) = wanted else { break };
                let count = wanted.clamp(FEWEST.min(most), (most / active.len()).max(1));
                let draws = propose(&active, count, noise);
                let inside = inside(&draws);
                for (truths, (at, &k)) in inside.chunks(count).zip(active.iter().enumerate()) {
                    let hits = (0..count).filter(|&row| truths[row]).map(|row| at * count + row);
                    let hits: Vec<usize> = hits.collect();
                    let filled = rates[k].accepted.min(self.n);
                    let new = hits.len().min(self.n - filled);
                    if new > 0 {
                        room = room.with(k * self.n + filled, draws.chosen(&hits[..new]));
                    }
                    rates[k].accepted += hits.len();
                    rates[k].proposals += count;
                    self.check(k, &rates[k])?;
                }
            }
        }
        Ok((room, rates))
    }

    fn lacks(&self, rate: &AcceptanceRate) -> bool {
        rate.accepted < self.n || rate.proposals < self.least
    }

    /// The number of proposals that are likely to be enough.
    fn wanted(&self, rate: &AcceptanceRate) -> usize {
        let proposals = self.least.saturating_sub(rate.proposals);
        if rate.proposals == 0 {
            return proposals.max(self.n);
        }
        // As if one more had been accepted, so that no rate is 0.
        let rate_of_one = (rate.accepted + 1) as f64 / (rate.proposals + 1) as f64;
        let draws = self.n.saturating_sub(rate.accepted) as f64;
        proposals.max((MARGIN * draws / rate_of_one).ceil() as usize)
    }

    fn check(&self, context: usize, found: &AcceptanceRate) -> Result<()> {
        let enough = found.proposals as f64 >= 10.0 / self.least_rate;
        if found.accepted >= self.n || !enough || found.rate() >= self.least_rate {
            return Ok(());
        }
        let (AcceptanceRate { accepted, proposals }, rate) = (*found, found.rate());
        let reason = format!(
            "context {context}: {accepted} of {proposals} proposals are in the support, a rate of {rate:.1e}, below \
             the least rate {:.1e}; widen the support, train the density inside the support, or lower the least rate",
            self.least_rate
        );
        Err(Error::data("rejection sampling", reason))
    }
}
