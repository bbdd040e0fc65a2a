//! Training to a density that is known up to a constant, without data.
//!
//! loss     KL(q || p) - ln Z = E_q[ln q(x) - ln p~(x)]        p = p~ / Z,  x = f^-1(z),  z ~ base
//! full     d/dw [ln q_w(x_w) - ln p~(x_w)]
//! path     d/dx [ln q_v(x) - ln p~(x)] dx_w/dw   at v = w: without d ln q_v / dv, whose mean is 0
//!
//! Papers: Rezende, Mohamed (2015), arXiv:1505.05770; the path derivative: Roeder, Wu, Duvenaud
//! (2017), Sticking the landing, arXiv:1703.09194.

use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::adam::{adamw, check_precision, check_trains};
use super::config::within;
use super::failure::no_rate;
use super::fit::seed_draws;
use super::log_z::{LogZ, checked, log_z};
use super::statistics::Statistics;
use super::{Schedule, average, gradients, probe};
use crate::bijector::Bijector;
use crate::config::config;
use crate::crew::apart;
use crate::distribution::Distribution;
use crate::error::{Error, Result, at_least, count};
use crate::flow::Flow;
use crate::moments::mean_over_rows;
use crate::noise::Noise;

/// How the gradient of the reverse divergence is estimated. Both have the same mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Estimator {
    /// Differentiates through the draws and through the density. Costs one inverse pass.
    Full,
    /// Differentiates through the draws alone. Costs an inverse and a forward pass. If the flow equals the target,
    /// every draw has a gradient of zero, so the gradients have no noise near the optimum.
    PathDerivative,
}

/// The estimate `mean(ln q(x) - ln p~(x))` of `KL(q || p) - ln Z` in nats, shape `[1]`, over `n` draws of the flow. The
/// estimate has a graph if the flow has one.
///
/// `target` returns `ln p~`, one number for each row. It must use tensor operations, so that its gradient is known. For
/// a [`Distribution`] write `|x| p.log_prob(x, None)`. The path derivative takes the density from `Module::valid`, so
/// layers that behave differently in training (dropout, batch normalization) compute the density as in evaluation.
///
/// # Panics
///
/// If `n` is 0, or the target returns a number of values other than `n`.
///
/// # Example
///
/// ```
/// use burn::{module::Module, tensor::Device};
/// use burn_flows::prelude::*;
/// use burn_flows::train::{Estimator, reverse_kl};
///
/// let device = Device::flex();
/// let normal = StandardNormal::<2>::new([2], &device);
/// let flow = Flow::new(ActNormConfig::new(2).init(&device), normal.clone()).train();
/// let target = |x| normal.log_prob(x, None) + 3.0; // ln Z = 3
/// let loss = reverse_kl(&flow, &target, 8, &mut Noise::seeded(1), Estimator::PathDerivative);
/// assert!((loss.into_scalar::<f64>() + 3.0).abs() < 1e-5); // the flow is the target
/// ```
pub fn reverse_kl<B, P, const D: usize>(
    flow: &Flow<B, P>,
    target: &impl Fn(Tensor<D>) -> Tensor<1>,
    n: usize,
    noise: &mut Noise,
    estimator: Estimator,
) -> Tensor<1>
where
    B: Bijector<D>,
    P: Distribution<D>,
{
    let Draws { log_q, log_p, .. } = draws(flow, target, n, noise, estimator);
    let difference = log_q - log_p;
    let dtype = difference.dtype();
    mean_over_rows(difference).cast(dtype)
}

struct Draws<const D: usize> {
    x: Tensor<D>,
    log_q: Tensor<1>,
    log_p: Tensor<1>,
}

fn draws<B: Bijector<D>, P: Distribution<D>, const D: usize>(
    flow: &Flow<B, P>,
    target: &impl Fn(Tensor<D>) -> Tensor<1>,
    n: usize,
    noise: &mut Noise,
    estimator: Estimator,
) -> Draws<D> {
    assert!(n > 0, "reverse_kl: expected at least 1 draw, found 0");
    let (x, log_q) = match estimator {
        Estimator::Full => flow.draw_with_log_prob(n, noise),
        Estimator::PathDerivative => {
            let x = flow.draw(n, noise);
            // Plain parameters are constants, while the draws are in the graph.
            let log_q = flow.valid().log_prob(x.clone());
            (x, log_q)
        }
    };
    let log_p = checked(target(x.clone()), n);
    Draws { x, log_q, log_p }
}

config! {
/// Configuration of [`fit_reverse_kl`].
///
/// ```
/// use burn_flows::train::{Estimator, ReverseKlConfig};
///
/// let config = ReverseKlConfig::new().with_steps(500).with_estimator(Estimator::Full);
/// assert!(config.validate().is_ok());
/// let error = config.with_batch_size(0).validate().unwrap_err();
/// assert_eq!(error.to_string(), "ReverseKlConfig.batch_size: must be at least 1, found 0");
/// ```
pub struct ReverseKlConfig {
    /// Optimizer steps. Raise it if the losses in the report still fall at the end.
    #[config(default = 1000)]
    pub steps: usize,
    /// Draws per step. More draws give gradients with less noise.
    #[config(default = 256)]
    pub batch_size: usize,
    /// The peak learning rate, in (0, 1]. Lower it if the loss jumps or steps are skipped.
    #[config(default = 1e-3)]
    pub learning_rate: f64,
    /// How the learning rate changes from step to step.
    #[config(default = Schedule::Cosine)]
    pub schedule: Schedule,
    /// Limit of the global norm of the gradients. With `None` the limit is 1e18.
    #[config(default = Some(10.0))]
    pub gradient_clip: Option<f64>,
    /// Decay of an exponential moving average of the weights, in [0, 1). With an average, the averaged weights are
    /// returned.
    #[config(default = None)]
    pub average: Option<f64>,
    /// How the gradient of the reverse divergence is estimated.
    #[config(default = Estimator::PathDerivative)]
    pub estimator: Estimator,
    /// Seed of the draws and of dropout.
    #[config(default = 0)]
    pub seed: u64,
    /// Consecutive steps that may be skipped because their loss or gradient is not finite. One more is an error.
    #[config(default = 20)]
    pub max_skipped: usize,
    /// Draws of the final estimate of `ln Z`, between 2 and 16777216. More draws give a smaller standard error.
    #[config(default = 10_000)]
    pub evaluation_draws: usize,
    /// Draws per pass of the final estimate. Lower it if the estimate runs out of memory.
    #[config(default = 1024)]
    pub evaluation_batch: usize,
}
}

impl ReverseKlConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "ReverseKlConfig";
        at_least(NAME, "steps", 1, self.steps)?;
        at_least(NAME, "batch_size", 1, self.batch_size)?;
        count(NAME, "evaluation_draws", 2, self.evaluation_draws)?;
        at_least(NAME, "evaluation_batch", 1, self.evaluation_batch)?;
        let rate = self.learning_rate;
        within(NAME, "learning_rate", rate, rate > 0.0 && rate <= 1.0, "in (0, 1]")?;
        let clip = self.gradient_clip.unwrap_or(1.0);
        within(NAME, "gradient_clip", clip, clip > 0.0, "positive")?;
        let average = self.average.unwrap_or(0.0);
        within(NAME, "average", average, (0.0..1.0).contains(&average), "in [0, 1)")?;
        self.schedule.init(NAME, rate, 1).map(|_| ())
    }
}

/// The report of [`fit_reverse_kl`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReverseKlReport {
    /// The estimate of `KL(q || p) - ln Z` of every step, in nats; `None` for a skipped step.
    pub losses: Vec<Option<f64>>,
    /// Steps that were skipped because their loss or gradient was not finite.
    pub skipped_steps: usize,
    /// `ln Z` by importance sampling from the returned weights.
    pub log_z: LogZ,
    /// The duration of the call in seconds.
    pub seconds: f64,
}

/// Fits a flow to a target that is known up to a constant. Minimises the reverse divergence ([`reverse_kl`]) with Adam,
/// then estimates the constant ([`log_z`]).
///
/// Returns the last weights, or their average, on the plain device. Equal seeds and equal initial weights give equal
/// results on the same backend. The reverse divergence seeks modes: a flow that starts at one of several distant modes
/// may never reach the other modes, and `ln Z` then lacks their share.
///
/// # Errors
///
/// Returns an error if
///
/// - the configuration is invalid
/// - the flow needs a context
/// - the flow has no parameter to train, or trains one parameter in two places
/// - the target is not finite at finite draws
/// - more than `max_skipped` consecutive steps, or all steps, were not finite for another reason, or the last weights
///   are not finite; the error names the layer
/// - no step changed the weights, because every gradient or every learning rate was 0
///
/// # Panics
///
/// If the target returns a number of values that differs from the number of rows it was given.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::prelude::*;
/// use burn_flows::train::{ReverseKlConfig, fit_reverse_kl};
///
/// let device = Device::flex();
/// let normal = StandardNormal::<2>::new([2], &device);
/// let flow = Flow::new(ActNormConfig::new(2).init(&device), normal);
/// // exp(-(x - 1)^2 / 2) in two dimensions: Z = 2 pi.
/// let target = |x: Tensor<2>| (x - 1.0).square().sum_dim(1).reshape([-1]) * -0.5;
/// let config = ReverseKlConfig::new().with_steps(100).with_learning_rate(0.05);
/// let (_, report) = fit_reverse_kl(flow, target, &config)?;
/// assert!((report.log_z.estimate - (2.0 * std::f64::consts::PI).ln()).abs() < 0.05);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn fit_reverse_kl<B, P, const D: usize>(
    flow: Flow<B, P>,
    target: impl Fn(Tensor<D>) -> Tensor<1>,
    config: &ReverseKlConfig,
) -> Result<(Flow<B, P>, ReverseKlReport)>
where
    B: Bijector<D>,
    P: Distribution<D>,
{
    config.validate()?;
    check_precision(&flow)?;
    let mixes_rows = Distribution::<D>::mixes_rows(&flow);
    probe::check_batch("ReverseKlConfig", mixes_rows, config.batch_size)?;
    probe::check_draws::<B, P, D>("fit_reverse_kl", &flow)?;
    let started = Instant::now();
    let mut schedule =
        config.schedule.init("ReverseKlConfig", config.learning_rate, config.steps)?;
    let mut optimizer = adamw(0.0);
    let mut weights = flow.train();
    check_trains(&weights)?;
    let mut averaged = config.average.map(|_| average::start(&weights));
    let (mut losses, mut skipped_steps, mut streak) = (vec![], 0, 0);
    let (mut trained, mut any_rate, mut culprit) = (false, false, None);
    for step in 0..config.steps {
        let rate = schedule.step().base();
        any_rate |= rate > 0.0;
        let statistics = Statistics::of(&weights);
        seed_draws(config.seed, step as u64);
        let mut noise = Noise::stream(config.seed, step as u64);
        let Draws { x, log_q, log_p } =
            draws(&weights, &target, config.batch_size, &mut noise, config.estimator);
        let x = x.without_autodiff();
        let drawn = x.clone().is_finite().all().into_scalar::<bool>();
        if drawn {
            finite_target(&log_p, step)?;
        }
        let loss = mean_over_rows(log_q - log_p);
        let value = loss.clone().into_scalar::<f64>();
        let back = || GradientsParams::from_grads(loss.backward(), &weights);
        let mut grads = apart(&weights, back);
        let norm = gradients::global_norm(&weights, &grads);
        if !(value.is_finite() && norm.is_finite()) {
            statistics.restore(&weights);
            (skipped_steps, streak) = (skipped_steps + 1, streak + 1);
            let over = streak > config.max_skipped;
            if over || !trained && culprit.is_none() {
                let inside = |plain: &Flow<B, P>| match drawn {
                    true => plain.first_non_finite(x, None),
                    false => Some("the draws".to_string()),
                };
                let layer = gradients::culprit(&weights, &grads, inside);
                if over {
                    return Err(Error::NonFinite { step, skipped: streak, layer });
                }
                culprit = Some(layer);
            }
            losses.push(None);
            continue;
        }
        streak = 0;
        trained |= norm > 0.0 && rate > 0.0;
        gradients::clip(&weights, &mut grads, norm, config.gradient_clip);
        weights = apart(&x, || optimizer.step(rate, weights, grads));
        averaged = averaged.zip(config.average).map(|(average, decay)| {
            average::update(average, &weights, decay, step - skipped_steps)
        });
        losses.push(Some(value));
    }
    if !trained {
        return Err(untrained(culprit, any_rate, [config.steps, skipped_steps]));
    }
    let flow = match averaged {
        Some(average) => average::rounded(&average, &weights),
        None => weights.valid(),
    };
    if let Some(layer) = gradients::first_non_finite(&flow, None) {
        return Err(Error::NonFinite { step: config.steps, skipped: 0, layer });
    }
    let mut noise = Noise::stream(config.seed, u64::MAX);
    let log_z = log_z(&flow, target, config.evaluation_draws, config.evaluation_batch, &mut noise)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok((flow, ReverseKlReport { losses, skipped_steps, log_z, seconds }))
}

/// The error of a run in which no step changed the weights: all steps were skipped, had a rate of 0, or had gradients
/// of 0.
fn untrained(culprit: Option<String>, any_rate: bool, [step, skipped]: [usize; 2]) -> Error {
    if let Some(layer) = culprit {
        return Error::NonFinite { step, skipped, layer };
    }
    if !any_rate {
        return no_rate("ReverseKlConfig");
    }
    let reason = "every gradient was 0, for example because all draws lie outside the spline \
                  bounds, or the flow already equals the target; choose a base whose draws lie \
                  inside the bounds, or other initial weights";
    Error::data("reverse KL target", reason)
}

/// Returns an error if a target has no finite log-density at a finite draw: no gradient leads away from such a draw.
fn finite_target(log_p: &Tensor<1>, step: usize) -> Result<()> {
    let plain = log_p.clone().without_autodiff();
    if plain.clone().is_finite().all().into_scalar::<bool>() {
        return Ok(());
    }
    let values = plain.into_data();
    let bad = values.iter::<f64>().enumerate().find(|(_, value)| !value.is_finite());
    let (row, value) = bad.expect("one is not finite");
    let reason = format!("ln p of draw {row} in step {step} must be finite, found {value}");
    Err(Error::data("reverse KL target", reason))
}
