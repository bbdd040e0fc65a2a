//! The training loop.

use std::time::Instant;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;

use super::adam::{adamw, check_precision, check_trains};
use super::checkpoint::{Checkpoint, State};
use super::fingerprint::Fingerprint;
use super::progress::Progress;
use super::statistics::Statistics;
use super::trial::Trial;
use super::{
    Batch, Epoch, FitConfig, FitData, Report, Reversible, Stop, Warning, average, failure,
    gradients, nll, probe,
};
use crate::crew::apart;
use crate::distribution::Distribution;
use crate::draws;
use crate::error::{Error, Result};
use crate::flow::float_dtype;
use crate::noise::Noise;

/// Fits a flow, or any other density with parameters, to data by maximum likelihood.
///
/// `fit` initialises data-dependent layers from a first batch, then minimises the mean negative log-likelihood with
/// AdamW. It returns a report and the weights of the epoch with the lowest validation NLL, on the plain device. Without
/// validation rows it returns the weights of the last epoch. Equal seeds and equal initial weights give equal final
/// weights on the same backend, also after an interruption and a resume from the checkpoint. A seed in the model's
/// configuration decides the initial weights.
///
/// A step whose loss or gradient is not finite is skipped and counted. A skipped step changes neither the weights nor
/// the running statistics. Training a flow does not change its clones, nor their running statistics.
///
/// # Errors
///
/// Returns an error if
///
/// - the configuration is invalid
/// - the flow has f16 weights
/// - the flow trains one parameter in two places, as clones of a flow in a mixture do
/// - the data cannot have a density ([`FitData::check`])
/// - a checkpoint cannot be written, or belongs to another configuration, other data or another optimizer
/// - more than `max_skipped` consecutive steps were not finite; the checkpoint then holds the last good weights
///
/// Weights that were not trained are never returned. It is an error if every step was skipped, if every gradient was 0,
/// or if no epoch had a finite validation NLL. The last of these errors names the first validation row whose NLL is not
/// finite.
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
/// assert!(report.epochs[1].train_nll < report.epochs[0].train_nll);
/// assert_eq!(flow.sample_seeded(3, 1).dims(), [3, 2]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn fit<F: Distribution<D>, const D: usize>(
    flow: F,
    data: impl Into<FitData<D>>,
    config: &FitConfig,
) -> Result<(F, Report)> {
    check_precision(&flow)?;
    fit_with(flow, data, config, adamw(config.weight_decay))
}

/// [`fit`] with an optimizer of your own. The field `weight_decay` of the configuration then has no effect.
///
/// # Errors
///
/// The errors of [`fit`]. A checkpoint identifies its optimizer by the steps that the optimizer makes on given weights
/// and gradients, to five digits. These steps depend on the kind of the optimizer, its settings, its parameter groups
/// and the frozen parameters.
///
/// # Example
///
/// ```
/// use burn::{optim::RmsPropConfig, tensor::Device};
/// use burn_flows::{Noise, model::NiceConfig, train::{FitConfig, fit_with}};
///
/// let x = Noise::seeded(1).normal::<2>([100, 2], &Device::flex());
/// let flow = NiceConfig::new(2).init(&Device::flex());
/// let config = FitConfig::new().with_epochs(1);
/// let (_, report) = fit_with(flow, x, &config, RmsPropConfig::new().init())?;
/// assert_eq!(report.steps, 1);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn fit_with<F: Distribution<D>, const D: usize>(
    flow: F,
    data: impl Into<FitData<D>>,
    config: &FitConfig,
    optimizer: ModuleOptimizer,
) -> Result<(F, Report)> {
    config.validate()?;
    let data = data.into();
    apart(&data.train.x.clone(), || run(flow, data, config, optimizer))
}

/// Runs all epochs of [`fit_with`].
fn run<F: Distribution<D>, const D: usize>(
    flow: F,
    data: FitData<D>,
    config: &FitConfig,
    optimizer: ModuleOptimizer,
) -> Result<(F, Report)> {
    let levels = flow.column_levels(data.elements());
    data.check_for(&levels)?;
    let data = data.counted();
    data.check_precision(float_dtype(&flow))?;
    probe::check_batch("FitConfig", flow.mixes_rows(), config.batch_size)?;
    probe::check_rows(&flow, &data, config.seed)?;
    let warnings = data.warnings_for(&levels);
    if let (true, Some(Warning { what, reason, .. })) = (config.strict, warnings.first()) {
        return Err(Error::data(what, reason));
    }
    let started = Instant::now();
    let fingerprint = Fingerprint::of(config, &data, &flow);
    let data = data.split(config.validation_fraction, config.seed);
    probe::check_patience(config, &data)?;
    let mut run = Run::start(flow, &data, config, fingerprint, optimizer)?;
    let done = run.state.report.steps;
    let progress =
        Progress::new(config.epochs.saturating_mul(run.steps_per_epoch), done, config.progress);
    warnings.iter().for_each(|warning| progress.say(&warning.to_string()));
    run.state.report.warnings = warnings;
    while !run.is_over() {
        run.epoch(&data, &progress)?;
    }
    progress.finish();
    run.state.report.seconds = started.elapsed().as_secs_f64();
    run.finish(&data)
}

/// A training run between two epochs.
struct Run<'a, F> {
    config: &'a FitConfig,
    device: Device,
    steps_per_epoch: usize,
    weights: F,
    average: Option<F>,
    best: F,
    optimizer: ModuleOptimizer,
    schedule: ModuleLrScheduler,
    state: State,
}

impl<'a, F> Run<'a, F> {
    fn start<const D: usize>(
        flow: F,
        data: &FitData<D>,
        config: &'a FitConfig,
        fingerprint: Fingerprint,
        optimizer: ModuleOptimizer,
    ) -> Result<Self>
    where
        F: Distribution<D>,
    {
        let device = flow.devices().into_iter().next().unwrap_or_default().without_autodiff();
        let rows = data.train.len();
        let full = rows / config.batch_size;
        let steps_per_epoch = (full + usize::from(rows % config.batch_size > 1)).max(1);
        let flow = flow.train();
        let trains = check_trains(&flow);
        let mut schedule = config.schedule.init(
            "FitConfig",
            config.learning_rate,
            config.epochs.saturating_mul(steps_per_epoch),
        )?;
        let averaged = config.average.is_some();
        let trial = match config.checkpoint {
            Some(_) => Trial::of(&optimizer, &flow),
            None => Trial::default(),
        };
        let state = State::new(fingerprint, trial, config.evaluation_batch);
        let resumed = config.checkpoint.as_ref().map(|folder| {
            let refuse = |saved: &State| saved.refuse(&state, config, steps_per_epoch);
            Checkpoint::load(folder, &flow, averaged, optimizer.clone(), refuse)
        });
        if let (Some(checkpoint), Some(folder)) =
            (resumed.transpose()?.flatten(), &config.checkpoint)
        {
            let own = state;
            let Checkpoint { mut state, weights, average, best, optimizer } = checkpoint;
            let again = || validated(&best, data, config.seed, state.evaluation_batch);
            state.check_settings(&own, folder, again)?;
            trains?;
            (0..state.report.steps).for_each(|_| drop(schedule.step()));
            state.report.resumed_from = Some(state.report.epochs.len());
            state.report.stop = stop(&state.report, config);
            let weights = weights.train();
            return Ok(Self {
                config,
                device,
                steps_per_epoch,
                weights,
                average,
                best,
                optimizer,
                schedule,
                state,
            });
        }
        trains?;
        let event = data.train.x.dims()[1..].iter().product::<usize>().max(1);
        let start = (START_ELEMENTS / event).clamp(LEAST_START, MOST_START);
        let first = data.batches(config.batch_size.max(start), config.seed, &device);
        let first = first.iter().next().expect("the data were checked to have rows");
        let first = first.map_err(unreadable)?.repeated(MOST_START);
        seed_draws(config.seed, START);
        let weights = flow.init_from_data(first.x, first.context.as_ref());
        let plain = weights.valid();
        Ok(Self {
            config,
            device,
            steps_per_epoch,
            average: averaged.then(|| average::start(&weights)),
            weights,
            best: plain,
            optimizer,
            schedule,
            state,
        })
    }

    fn is_over(&self) -> bool {
        let report = &self.state.report;
        report.epochs.len() >= self.config.epochs || report.stop == Stop::EarlyStopping
    }

    fn epoch<const D: usize>(&mut self, data: &FitData<D>, progress: &Progress) -> Result<()>
    where
        F: Distribution<D>,
    {
        let number = self.state.report.epochs.len() + 1;
        let order = Noise::stream(self.config.seed, number as u64).next_u64();
        let batches = data.batches(self.config.batch_size, order, &self.device);
        let (mut total, mut counted, mut rate) = (0.0, 0, 0.0);
        for batch in batches.iter().take(self.steps_per_epoch) {
            let batch = batch.map_err(unreadable)?;
            let rows = batch.len();
            let loss;
            (loss, rate) = self.step(data, batch)?;
            if let Some(loss) = loss {
                total += loss * rows as f64;
                counted += rows;
            }
            progress.step();
        }
        let weights = self.judged();
        let batch = self.config.evaluation_batch;
        let validation_nll = validated(&weights, data, self.config.seed, batch);
        let epoch = Epoch {
            epoch: number,
            train_nll: (counted > 0).then(|| total / counted as f64),
            validation_nll,
            learning_rate: rate,
        };
        self.judge(&epoch, weights);
        progress.epoch(&epoch, self.state.report.best_validation_nll);
        self.state.report.epochs.push(epoch);
        self.state.report.stop = stop(&self.state.report, self.config);
        if number.is_multiple_of(self.config.checkpoint_every) || self.is_over() {
            self.save()?;
        }
        Ok(())
    }

    /// Keeps the weights if this epoch is the best one. Weights that were never trained or are not finite are not kept.
    fn judge<const D: usize>(&mut self, epoch: &Epoch, weights: F)
    where
        F: Distribution<D>,
    {
        let report = &mut self.state.report;
        let sound = match epoch.validation_nll {
            Some(nll) => nll.is_finite(),
            None => gradients::first_non_finite(&weights, None).is_none(),
        };
        let lower = match (epoch.validation_nll, report.best_validation_nll) {
            (Some(new), Some(best)) => new < best,
            _ => true,
        };
        if sound && lower && self.state.trained > 0 {
            // `valid` makes an independent copy; clones share the values of their running statistics.
            self.best = weights.valid();
            report.best_epoch = epoch.epoch;
            report.best_validation_nll = epoch.validation_nll;
            self.state.evaluation_batch = self.config.evaluation_batch;
        }
    }

    /// Makes one optimizer step. Returns its loss in nats (`None` if the step was skipped) and its learning rate.
    fn step<const D: usize>(
        &mut self,
        data: &FitData<D>,
        batch: Batch<D>,
    ) -> Result<(Option<f64>, f64)>
    where
        F: Distribution<D>,
    {
        let step = self.state.report.steps;
        self.state.report.steps += 1;
        let warm = ((step + 1) as f64 / self.config.warmup_steps.max(1) as f64).min(1.0);
        let rate = self.schedule.step().base() * warm;
        let total = batch.len() as f64 * data.train.total_weight() / data.train.len() as f64;
        let statistics = Statistics::of(&self.weights);
        let seed = |block| seed_draws(self.config.seed, step as u64 | block << BLOCK_BITS);
        let (value, mut grads) = if self.config.reversible {
            let mut reversible = Reversible::resumed(std::mem::take(&mut self.state.report.layers));
            let result = reversible.of_nll(&self.weights, &batch, total, &seed);
            self.state.report.layers = reversible.into_layers();
            result
        } else {
            gradients::of_nll(&self.weights, &batch, total, &seed)
        };
        let norm = gradients::global_norm(&self.weights, &grads);
        if !(value.is_finite() && norm.is_finite()) {
            statistics.restore(&self.weights);
            self.state.report.skipped_steps += 1;
            self.state.streak += 1;
            let over = self.state.streak > self.config.max_skipped;
            if over || self.state.trained == 0 && self.state.culprit.is_none() {
                let inside = |plain: &F| plain.first_non_finite(batch.x, batch.context.as_ref());
                let layer = gradients::culprit(&self.weights, &grads, inside);
                if over {
                    let counts = [step, self.state.streak];
                    return Err(failure::of_steps(data, self.integers(), counts, layer));
                }
                self.state.culprit = Some(layer);
            }
            return Ok((None, rate));
        }
        self.state.streak = 0;
        let taken = step + 1 - self.state.report.skipped_steps;
        if norm > 0.0 && rate > 0.0 {
            self.state.trained += 1;
        }
        gradients::clip(&self.weights, &mut grads, norm, self.config.gradient_clip);
        self.weights = self.optimizer.step(rate, self.weights.clone(), grads);
        if let Some(decay) = self.config.average {
            let average = self.average.take().expect("there is an average to update");
            self.average = Some(average::update(average, &self.weights, decay, taken - 1));
        }
        Ok((Some(value), rate))
    }

    /// Whether the events of the model are integers.
    fn integers<const D: usize>(&self) -> bool
    where
        F: Distribution<D>,
    {
        self.weights.integer_levels().is_some()
    }

    /// The weights that are validated: the average where there is one.
    fn judged(&self) -> F
    where
        F: Module,
    {
        match &self.average {
            Some(average) => average::rounded(average, &self.weights),
            None => self.weights.valid(),
        }
    }

    /// Returns the best weights and the report, or an error that says why no weights were trained.
    fn finish<const D: usize>(self, data: &FitData<D>) -> Result<(F, Report)>
    where
        F: Distribution<D>,
    {
        let report = &self.state.report;
        let counts = [report.steps, report.skipped_steps];
        if report.best_epoch > 0 {
            let last = report.epochs.last().and_then(|epoch| epoch.train_nll);
            let nll = report.best_validation_nll.or(last);
            failure::check_reached(data, self.integers(), nll)?;
            return Ok((self.best, self.state.report));
        }
        if self.state.trained > 0 {
            let weights = self.judged();
            seed_draws(self.config.seed, VALIDATION);
            return Err(failure::of_validation(
                &weights,
                data,
                self.config.evaluation_batch,
                counts,
            ));
        }
        if let Some(layer) = self.state.culprit.clone() {
            return Err(failure::of_steps(data, self.integers(), counts, layer));
        }
        if report.epochs.iter().all(|epoch| epoch.learning_rate == 0.0) {
            return Err(failure::no_rate("FitConfig"));
        }
        Err(failure::of_gradients(data, self.integers()))
    }

    fn save(&self) -> Result<()>
    where
        F: Module,
    {
        let Some(folder) = &self.config.checkpoint else { return Ok(()) };
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            weights: self.weights.clone(),
            average: self.average.clone(),
            best: self.best.clone(),
            optimizer: self.optimizer.clone(),
        };
        checkpoint.save(folder)
    }
}

/// The validation NLL, `None` without validation rows. Every call uses the same draws.
fn validated<F: Distribution<D>, const D: usize>(
    weights: &F,
    data: &FitData<D>,
    seed: u64,
    batch: usize,
) -> Option<f64> {
    seed_draws(seed, VALIDATION);
    Some(nll(weights, data.validation.as_ref()?, batch))
}

/// Whether the best epoch is at least `patience` epochs ago.
fn stop(report: &Report, config: &FitConfig) -> Stop {
    let since = report.epochs.len() - report.best_epoch;
    match config.patience.is_some_and(|patience| since > 0 && since >= patience) {
        true => Stop::EarlyStopping,
        false => Stop::Finished,
    }
}

/// Seeds the draws of the model itself, such as dropout masks. Every step has its own stream; the constants below are
/// further streams.
pub(super) fn seed_draws(seed: u64, stream: u64) {
    draws::seed(Noise::stream(seed ^ DRAWS, stream));
}

/// Bits of the step number in a stream number. The bits above them hold the block number within a step.
const BLOCK_BITS: u32 = 40;

/// Separates the streams of the model's own draws from the streams of the epochs.
const DRAWS: u64 = 0x6d61_736b;

/// The stream of data-dependent initialisation.
const START: u64 = u64::MAX;

/// The stream of every validation, so that all epochs are judged on the same draws.
const VALIDATION: u64 = u64::MAX - 1;

/// The least number of rows in the first batch, from which data-dependent layers are initialised. A smaller batch gives
/// them inaccurate statistics.
const LEAST_START: usize = 256;

/// The greatest number of rows in the first batch. In 4096 rows a flag that is set in one row of a thousand is not
/// constant; a layer would divide by the deviation of a constant.
const MOST_START: usize = 4096;

/// The number of elements of the first batch between these limits; a batch of large images has fewer rows.
const START_ELEMENTS: usize = 1 << 20;

fn unreadable(error: burn::data::dataset::DatasetError) -> Error {
    Error::data("training data", error.to_string())
}
