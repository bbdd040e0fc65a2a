//! The entry points of a training: `fit`, and `Training` with everything that can be set beside the configuration.

use std::ops::ControlFlow;

use burn::optim::ModuleOptimizer;
use burn::tensor::Tensor;

use super::adam::{adamw, check_precision};
use super::objective::{Nll, Objective, ReverseKl};
use super::run::run;
use super::{Epoch, FitConfig, FitData, Report, Step};
use crate::bijector::Bijector;
use crate::crew::apart;
use crate::distribution::Distribution;
use crate::error::Result;
use crate::flow::Flow;

/// Fits a flow, or any other density with parameters, to data by maximum likelihood.
///
/// `fit` initialises data-dependent layers from a first batch, then minimises the mean negative log-likelihood with
/// AdamW. It returns a report and the weights of the epoch with the lowest validation loss, on the plain device. Without
/// validation rows it returns the weights of the last epoch. Equal seeds and equal initial weights give equal final
/// weights on the same backend, also after an interruption and a resume from the checkpoint. A seed in the model's
/// configuration decides the initial weights.
///
/// A step whose loss or gradient is not finite is skipped and counted. A skipped step changes neither the weights nor
/// the running statistics. Training a flow does not change its clones, nor their running statistics.
///
/// [`Training`] is the same with an objective, an optimizer, callbacks and metrics of your own. [`FitData`] describes
/// the sources of rows: tensors, and data sets and loaders of burn.
///
/// # Errors
///
/// Returns an error if
///
/// - the configuration is invalid
/// - the flow has f16 weights
/// - the flow trains one parameter in two places, as clones of a flow in a mixture do
/// - the data cannot have a density ([`FitData::check`])
/// - a part of the model mixes rows or is initialised from data, and a wrapper around it does not pass `mixes_rows` or
///   `init_from_data` on
/// - a checkpoint cannot be written, or belongs to another configuration, other data or another optimizer
/// - more than `max_skipped` consecutive steps were not finite; the checkpoint then holds the last good weights
///
/// A second fit of the same flow keeps the shifts and scales that data-dependent layers took from the first data. Build
/// a new flow for data of another scale.
///
/// Weights that were not trained are never returned. It is an error if every step was skipped, if every gradient was 0,
/// or if no epoch had a finite validation loss. The last of these errors names the first validation row in memory whose
/// NLL is not finite.
///
/// Columns of a bad scale can make training fail. A column has a bad scale if its mean or its deviation is beyond 100,
/// its deviation is below 0.01, or one of its values is beyond 30 deviations. The rows and the context are both
/// examined. If such a column exists, the error of a failed training names the column and advises to standardise it.
/// Otherwise the error names the first layer that was not finite. With such a column it is also an error if the final
/// NLL is above 100 nats per element (1000 in f64).
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{Noise, model::RealNvpConfig, train::{FitConfig, fit}};
///
/// let device = Device::flex();
/// let x = Noise::seeded(1).normal::<2>([256, 2], &device) * 3.0 + 1.0;
/// let flow = RealNvpConfig::new(2).with_layers(2).with_seed(1).init(&device);
/// let (flow, report) = fit(flow, x, &FitConfig::new().with_epochs(2))?;
/// assert_eq!(report.epochs.len(), 2);
/// assert!(report.epochs[1].train_loss < report.epochs[0].train_loss);
/// assert_eq!(flow.sample_seeded(3, 1).dims(), [3, 2]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn fit<F: Distribution<D>, const D: usize>(
    flow: F,
    data: impl Into<FitData<D>>,
    config: &FitConfig,
) -> Result<(F, Report)> {
    Training::new(flow, data, config).run()
}

/// Fits a flow to a target that is known up to a constant, without data: [`fit`] with the objective [`ReverseKl`]. An
/// epoch has 100 batches of `batch_size` draws, of which `validation_fraction` validate. [`log_z`](super::log_z) estimates the constant afterwards.
///
/// For epochs of another length write `Training::new(flow, FitData::drawn(draws)?, &config)` with the objective. The
/// validation draws have the same noise in all epochs, and decide which epoch is the best.
///
/// # Errors
///
/// The errors of [`fit`]; also if the flow needs a context, or the target is not finite at a finite draw.
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
/// use burn_flows::train::{fit_reverse_kl, log_z};
///
/// let device = Device::flex();
/// let normal = StandardNormal::<2>::new([2], &device);
/// let flow = Flow::new(ActNormConfig::new(2).init(&device), normal);
/// // exp(-(x - 1)^2 / 2) in two dimensions: Z = 2 pi.
/// let target = |x: Tensor<2>| (x - 1.0).square().sum_dim(1).reshape([-1]) * -0.5;
/// let config = FitConfig::new().with_epochs(1).with_learning_rate(0.05);
/// let (flow, _) = fit_reverse_kl(flow, target, &config)?;
/// let found = log_z(&flow, target, 10_000, 1024, &mut Noise::seeded(1))?;
/// assert!((found.estimate - (2.0 * std::f64::consts::PI).ln()).abs() < 0.05);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn fit_reverse_kl<B, P, const D: usize>(
    flow: Flow<B, P>,
    target: impl Fn(Tensor<D>) -> Tensor<1> + Send + Sync,
    config: &FitConfig,
) -> Result<(Flow<B, P>, Report)>
where
    B: Bijector<D>,
    P: Distribution<D>,
{
    config.validate()?;
    let draws = FitData::drawn(config.batch_size.saturating_mul(BATCHES))?;
    Training::new(flow, draws, config).with_objective(ReverseKl::new(target)).run()
}

/// The batches of an epoch of [`fit_reverse_kl`].
const BATCHES: usize = 100;

/// A training with more settings than [`fit`]: an objective, an optimizer, callbacks, metrics. [`run`](Self::run) does
/// what [`fit`] does.
///
/// # Example
///
/// ```
/// use burn::{optim::RmsPropConfig, tensor::Device};
/// use burn_flows::prelude::*;
/// use burn_flows::train::{Stop, Training};
/// use std::ops::ControlFlow;
///
/// let x = Noise::seeded(1).normal::<2>([400, 2], &Device::flex()) * 3.0;
/// let flow = RealNvpConfig::new(2).with_layers(2).with_seed(1).init(&Device::flex());
/// let config = FitConfig::new().with_epochs(50);
/// let (_, report) = Training::new(flow, x, &config)
///     .with_optimizer(RmsPropConfig::new().init())
///     .with_metric("spread", |flow| flow.sample_seeded::<2>(1000, 1).var(0).sum().into_scalar())
///     .on_epoch(|epoch, _flow| match epoch.metrics["spread"] > 4.0 {
///         true => ControlFlow::Break(()),
///         false => ControlFlow::Continue(()),
///     })
///     .run()?;
/// assert_eq!(report.stop, Stop::Callback);
/// assert!(report.to_csv().starts_with("epoch,train_loss,validation_loss,learning_rate,spread\n1,"));
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[must_use = "call `run`"]
pub struct Training<'a, F, O, const D: usize> {
    pub(super) model: F,
    pub(super) data: FitData<D>,
    pub(super) config: FitConfig,
    pub(super) objective: O,
    pub(super) optimizer: Option<ModuleOptimizer>,
    pub(super) hooks: Hooks<'a, F>,
}

/// What a caller wants to see of a training.
pub(super) struct Hooks<'a, F> {
    pub metrics: Vec<(String, Metric<'a, F>)>,
    pub epoch: Option<Callback<'a, Epoch, F>>,
    pub step: Option<Callback<'a, Step, F>>,
}

type Metric<'a, F> = Box<dyn FnMut(&F) -> f64 + Send + 'a>;

type Callback<'a, T, F> = Box<dyn FnMut(&T, &F) -> ControlFlow<()> + Send + 'a>;

impl<'a, F: Distribution<D>, const D: usize> Training<'a, F, Nll, D> {
    /// A training by maximum likelihood, as [`fit`].
    pub fn new(model: F, data: impl Into<FitData<D>>, config: &FitConfig) -> Self {
        let hooks = Hooks { metrics: vec![], epoch: None, step: None };
        let (data, config) = (data.into(), config.clone());
        Self { model, data, config, objective: Nll, optimizer: None, hooks }
    }
}

impl<'a, F: Distribution<D>, O, const D: usize> Training<'a, F, O, D> {
    /// Sets the loss of a row: [`Nll`], [`ReverseKl`], [`Atomic`](super::Atomic), or an [`Objective`] of your own.
    pub fn with_objective<P>(self, objective: P) -> Training<'a, F, P, D> {
        let Self { model, data, config, optimizer, hooks, .. } = self;
        Training { model, data, config, objective, optimizer, hooks }
    }

    /// Sets an optimizer of burn instead of AdamW. The field `weight_decay` of the configuration then has no effect. A
    /// checkpoint identifies its optimizer by the steps that the optimizer makes on given weights and gradients, to five
    /// digits. These steps depend on the kind of the optimizer, its settings, its parameter groups and the frozen
    /// parameters.
    pub fn with_optimizer(self, optimizer: ModuleOptimizer) -> Self {
        Self { optimizer: Some(optimizer), ..self }
    }

    /// Adds a number that is computed after each epoch from the current model on the plain device, the averaged one if
    /// the configuration asks for an average. The report has it as [`Epoch::metrics`](super::Epoch::metrics). A second
    /// metric of a name replaces the first one.
    pub fn with_metric(
        mut self,
        name: impl Into<String>,
        metric: impl FnMut(&F) -> f64 + Send + 'a,
    ) -> Self {
        let name = name.into();
        self.hooks.metrics.retain(|(other, _)| *other != name);
        self.hooks.metrics.push((name, Box::new(metric)));
        self
    }

    /// Calls `callback` after each epoch with its report and the current model on the plain device, the averaged one if
    /// the configuration asks for an average. `ControlFlow::Break(())` ends the training; a later run with the same
    /// checkpoint continues it. A second callback replaces the first one.
    pub fn on_epoch(
        mut self,
        callback: impl FnMut(&Epoch, &F) -> ControlFlow<()> + Send + 'a,
    ) -> Self {
        self.hooks.epoch = Some(Box::new(callback));
        self
    }

    /// Calls `callback` after each step with its numbers and the model that trains, which is on the autodiff device: call
    /// `valid()` before an evaluation. `ControlFlow::Break(())` ends the training at once. The unfinished epoch is
    /// validated and reported, and a resumed run continues from the last checkpoint. A second callback replaces the first
    /// one.
    pub fn on_step(
        mut self,
        callback: impl FnMut(&Step, &F) -> ControlFlow<()> + Send + 'a,
    ) -> Self {
        self.hooks.step = Some(Box::new(callback));
        self
    }

    /// Trains the model and returns it on the plain device, with a report.
    ///
    /// # Errors
    ///
    /// The errors of [`fit`], and those of the objective.
    pub fn run(mut self) -> Result<(F, Report)>
    where
        O: Objective<F, D>,
    {
        self.config.validate()?;
        let optimizer = match self.optimizer.take() {
            Some(optimizer) => optimizer,
            None => {
                check_precision(&self.model)?;
                adamw(self.config.weight_decay)
            }
        };
        apart(&self.data.train.rows.x.clone(), || run(self, optimizer))
    }
}
