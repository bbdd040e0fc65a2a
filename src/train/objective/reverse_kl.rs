//! The divergence from a density that is known up to a constant, without data.
//!
//! loss     ln q(x) - ln p~(x), whose mean is KL(q || p) - ln Z        p = p~ / Z,  x = f^-1(z),  z ~ base
//! full     d/dw [ln q_w(x_w) - ln p~(x_w)]
//! path     d/dx [ln q_v(x) - ln p~(x)] dx_w/dw   at v = w: without d ln q_v / dv, whose mean is 0
//!
//! Papers: Rezende, Mohamed (2015), arXiv:1505.05770; the path derivative: Roeder, Wu, Duvenaud
//! (2017), Sticking the landing, arXiv:1703.09194.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Block, Objective, values};
use crate::bijector::Bijector;
use crate::distribution::Distribution;
use crate::error::{Error, Result};
use crate::flow::Flow;
use crate::moments::mean_over_rows;
use crate::noise::Noise;
use crate::train::log_z::checked;

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

/// The reverse divergence `KL(q || p)` from a flow `q` to a target `p~ = Z p` that is known up to a constant. It needs no
/// data: each row of a step is a draw of the flow.
///
/// ```text
/// loss of a draw  ln q(x) - ln p~(x)        mean: KL(q || p) - ln Z, in nats
/// ```
///
/// Papers: Rezende, Mohamed (2015), arXiv:1505.05770; the default gradient: Roeder, Wu, Duvenaud (2017),
/// arXiv:1703.09194.
///
/// `target` returns `ln p~`, one number for each row. It must use tensor operations, so that its gradient is known. For
/// a [`Distribution`] write `|x| p.log_prob(x, None)`. The path derivative takes the density from `Module::valid`, so
/// layers that behave differently in training (dropout, batch normalization) compute the density as in evaluation.
///
/// The reverse divergence seeks modes: a flow that starts at one of several distant modes may never reach the others.
///
/// # Errors
///
/// Training ends with an error if the target is not finite at a finite draw: the target has no gradient there. Also if the
/// training has rows of data.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::prelude::*;
/// use burn_flows::train::{FitData, ReverseKl, Training};
///
/// let device = Device::flex();
/// let flow = Flow::new(ActNormConfig::new(2).init(&device), StandardNormal::<2>::new([2], &device));
/// // exp(-(x - 1)^2 / 2) in two dimensions.
/// let target = |x: Tensor<2>| (x - 1.0).square().sum_dim(1).reshape([-1]) * -0.5;
/// let config = FitConfig::new().with_epochs(10).with_learning_rate(0.05);
/// let draws = FitData::drawn(1280)?; // ten steps of 128 draws in an epoch
/// let (_, report) = Training::new(flow, draws, &config).with_objective(ReverseKl::new(target)).run()?;
/// let log_z = (2.0 * std::f64::consts::PI).ln(); // the least loss is -ln Z
/// assert!((report.best_validation_loss.unwrap() + log_z).abs() < 0.05);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ReverseKl<T> {
    target: T,
    estimator: Estimator,
}

impl<T> ReverseKl<T> {
    /// The reverse divergence to the target `ln p~`, with the path derivative.
    pub fn new(target: T) -> Self {
        Self { target, estimator: Estimator::PathDerivative }
    }

    /// Sets how the gradient is estimated.
    pub fn with_estimator(self, estimator: Estimator) -> Self {
        Self { estimator, ..self }
    }
}

impl<B, P, T, const D: usize> Objective<Flow<B, P>, D> for ReverseKl<T>
where
    B: Bijector<D>,
    P: Distribution<D>,
    T: Fn(Tensor<D>) -> Tensor<1> + Send + Sync,
{
    fn losses(
        &self,
        flow: &Flow<B, P>,
        block: &Block<'_, D>,
        noise: &mut Noise,
    ) -> Result<Tensor<1>> {
        if block.batch().is_ok() {
            let reason = "ReverseKl draws its rows, found rows of data; pass FitData::drawn";
            return Err(Error::data("training data", reason));
        }
        let Draws { x, log_q, log_p } =
            draws(flow, &self.target, block.len(), noise, self.estimator);
        if x.without_autodiff().is_finite().all().into_scalar::<bool>() {
            finite_target(&log_p, block.rows().start)?;
        }
        Ok(log_q - log_p)
    }

    fn describe(&self, example: &Tensor<D>) -> String {
        format!("ReverseKl, {:?}, target{}", self.estimator, values((self.target)(example.clone())))
    }

    fn first_non_finite(
        &self,
        flow: &Flow<B, P>,
        block: &Block<'_, D>,
        noise: &mut Noise,
    ) -> Option<String> {
        let x = flow.draw(block.len(), noise);
        match x.clone().is_finite().all().into_scalar::<bool>() {
            true => Distribution::first_non_finite(flow, x, None),
            false => Some("the draws".to_string()),
        }
    }
}

/// The estimate `mean(ln q(x) - ln p~(x))` of `KL(q || p) - ln Z` in nats, shape `[1]`, over `n` draws of the flow: the
/// loss of [`ReverseKl`] in a training loop of your own. The estimate has a graph if the flow has one.
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
    assert!(n > 0, "reverse_kl: expected at least 1 draw, found 0");
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

/// Returns an error if a target has no finite log-density at a finite draw. The first draw has the number `first`.
fn finite_target(log_p: &Tensor<1>, first: usize) -> Result<()> {
    let values = log_p.clone().without_autodiff().into_data();
    let Some((row, value)) = values.iter::<f64>().enumerate().find(|(_, value)| !value.is_finite())
    else {
        return Ok(());
    };
    let reason = format!("ln p of draw {} must be finite, found {value}", first + row);
    Err(Error::data("reverse KL target", reason))
}
