//! The training loop.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;

use super::adam::check_trains;
use super::checkpoint::{Checkpoint, State};
use super::fingerprint::Fingerprint;
use super::gradients::{OBJECTIVE, Work};
use super::objective::{Block, Objective};
use super::part::Part;
use super::progress::Progress;
use super::source::each_batch;
use super::statistics::Statistics;
use super::training::{Hooks, Training};
use super::trial::Trial;
use super::{
    Batch, Epoch, FitConfig, FitData, Report, Reversible, Step, Stop, Warning, WarningKind,
    average, failure, gradients, probe,
};
use crate::distribution::Distribution;
use crate::draws;
use crate::error::{Error, Result};
use crate::flow::float_dtype;
use crate::math::event_len;
use crate::noise::Noise;

/// Runs all epochs of a training.
pub(super) fn run<F: Distribution<D>, O: Objective<F, D>, const D: usize>(
    training: Training<'_, F, O, D>,
    optimizer: ModuleOptimizer,
) -> Result<(F, Report)> {
    let started = Instant::now();
    let Training { model, data, config, objective, hooks, .. } = training;
    let config = &config;
    let levels = model.column_levels(data.elements());
    data.check_for(&levels)?;
    let data = data.counted();
    data.check_precision(float_dtype(&model))?;
    probe::check_batch("FitConfig", model.mixes_rows(), config.batch_size)?;
    probe::check_reversible(config, objective.is_nll())?;
    probe::check_rows(&model, &objective, &data, config.seed)?;
    let warnings = data.warnings_for(&levels);
    if let (true, Some(Warning { what, reason, .. })) = (config.strict, warnings.first()) {
        return Err(Error::data(what, reason));
    }
    let objective_text = match config.checkpoint {
        Some(_) => objective.describe(&probe::example(&model, &data)),
        None => String::new(),
    };
    let fingerprint = Fingerprint::of(config, &objective_text, objective.is_nll(), &data, &model);
    let data = data.split(config.validation_fraction, config.seed);
    probe::check_patience(config, &data)?;
    let settings = Settings { config, objective, data: &data, levels, started };
    let mut run = Run::start(model, settings, hooks, fingerprint, optimizer)?;
    let done = run.state.report.steps;
    let progress = Progress::new(run.planned, done, config.progress);
    warnings.iter().for_each(|warning| progress.say(&warning.to_string()));
    run.state.report.warnings = warnings;
    while !run.is_over() {
        run.epoch(&progress)?;
    }
    progress.finish();
    run.state.report.seconds = started.elapsed().as_secs_f64();
    run.finish()
}

/// What does not change in a run.
struct Settings<'a, O, const D: usize> {
    config: &'a FitConfig,
    objective: O,
    data: &'a FitData<D>,
    /// The levels of the columns that are integers to the model.
    levels: Vec<Option<usize>>,
    started: Instant,
}

/// A training run between two steps.
struct Run<'a, F, O, const D: usize> {
    settings: Settings<'a, O, D>,
    hooks: Hooks<'a, F>,
    device: Device,
    /// The steps of all epochs. With a loader it is an estimate.
    planned: usize,
    weights: F,
    average: Option<F>,
    best: F,
    optimizer: ModuleOptimizer,
    schedule: ModuleLrScheduler,
    rate: f64,
    state: State,
}

/// The steps of an epoch. A last batch of a single row is left out.
fn steps_per_epoch<const D: usize>(part: &Part<D>, config: &FitConfig) -> usize {
    let (rows, size) = (part.len(), part.batch_size(config.batch_size));
    (rows / size + usize::from(rows % size > 1)).max(1)
}

impl<'a, F: Distribution<D>, O: Objective<F, D>, const D: usize> Run<'a, F, O, D> {
    fn start(
        flow: F,
        settings: Settings<'a, O, D>,
        hooks: Hooks<'a, F>,
        fingerprint: Fingerprint,
        optimizer: ModuleOptimizer,
    ) -> Result<Self> {
        let (config, data) = (settings.config, settings.data);
        let device = flow.devices().into_iter().next().unwrap_or_default().without_autodiff();
        let per_epoch = steps_per_epoch(&data.train, config);
        let planned = config.epochs.saturating_mul(per_epoch);
        let flow = flow.train();
        let trains = check_trains(&flow);
        let schedule = config.schedule.init("FitConfig", config.learning_rate, planned)?;
        let averaged = config.average.is_some();
        let trial = match config.checkpoint {
            Some(_) => Trial::of(&optimizer, &flow),
            None => Trial::default(),
        };
        let state = State::new(fingerprint, trial, config.evaluation_batch);
        let exact = (!data.train.is_loader()).then_some(per_epoch);
        let resumed = config.checkpoint.as_ref().map(|folder| {
            let refuse = |saved: &State| saved.refuse(&state, config, exact);
            Checkpoint::load(folder, &flow, averaged, optimizer.clone(), refuse)
        });
        if let (Some(checkpoint), Some(folder)) =
            (resumed.transpose()?.flatten(), &config.checkpoint)
        {
            let own = state;
            let Checkpoint { state, weights, average, best, optimizer } = checkpoint;
            let again = || validated(&best, &settings, &device, state.evaluation_batch).ok()?;
            state.check_settings(&own, folder, again)?;
            trains?;
            let weights = weights.train();
            let rate = config.learning_rate;
            let mut run = Self {
                settings,
                hooks,
                device,
                planned,
                weights,
                average,
                best,
                optimizer,
                schedule,
                rate,
                state,
            };
            let report = &mut run.state.report;
            report.resumed_from = Some(report.epochs.len());
            report.stop = stop(report, config);
            (0..run.state.report.steps).for_each(|step| run.next_rate(step));
            let epochs = run.state.report.epochs.len();
            data.train.skip_epochs(epochs)?;
            return Ok(run);
        }
        trains?;
        let weights = first_weights(flow, &settings, &device)?;
        Ok(Self {
            settings,
            hooks,
            device,
            planned,
            average: averaged.then(|| average::start(&weights)),
            best: weights.valid(),
            weights,
            optimizer,
            schedule,
            rate: config.learning_rate,
            state,
        })
    }

    /// Sets the learning rate of a step. Beyond the planned steps, which a loader may exceed, the rate stays: a cosine
    /// would rise again.
    fn next_rate(&mut self, step: usize) {
        if step < self.planned {
            self.rate = self.schedule.step().base();
        }
    }

    fn is_over(&self) -> bool {
        let report = &self.state.report;
        report.epochs.len() >= self.settings.config.epochs || report.stop != Stop::Finished
    }

    fn epoch(&mut self, progress: &Progress) -> Result<()> {
        let (config, data) = (self.settings.config, self.settings.data);
        let number = self.state.report.epochs.len() + 1;
        let steps = steps_per_epoch(&data.train, config);
        let mut sums = Sums::default();
        if data.train.is_drawn() {
            let (rows, size) = (data.train.len(), config.batch_size);
            for at in 0..steps {
                let work = Work::drawn(size.min(rows - at * size));
                if !self.counted_step(&work, &mut sums, progress)? {
                    break;
                }
            }
        } else {
            let order = Noise::stream(config.seed, number as u64).next_u64();
            let loader = data.batches(config.batch_size, order, &self.device);
            let most = if data.train.is_loader() { usize::MAX } else { steps };
            let ahead = !data.train.is_in_memory();
            each_batch(&*loader, "training data", ahead, |at, batch| {
                let what = || format!("training data, batch {at} of epoch {number}");
                let batch = data.train.checked(what, batch, &self.settings.levels)?;
                let batch = batch.to_device(&self.device);
                // A batch of a loader may hold no row or a single one.
                if batch.is_empty() || batch.len() < 2 && self.weights.mixes_rows() {
                    return Ok(at + 1 < most);
                }
                let mean_weight = data.train.rows.mean_weight() / batch.largest;
                let work = Work::of(&batch, batch.len() as f64 * mean_weight);
                let go_on = self.counted_step(&work, &mut sums, progress)?;
                Ok(go_on && at + 1 < most)
            })?;
        }
        if sums.steps == 0 {
            let reason = format!("the loader returned no batch of rows in epoch {number}");
            return Err(Error::data("training data", reason));
        }
        self.end_epoch(number, &sums, progress)
    }

    /// Makes a step and counts its loss. Returns whether the epoch goes on.
    fn counted_step(
        &mut self,
        work: &Work<'_, D>,
        sums: &mut Sums,
        progress: &Progress,
    ) -> Result<bool> {
        let step = self.step(work, progress)?;
        if let Some(loss) = step.loss {
            sums.total += loss * work.rows as f64;
            sums.rows += work.rows;
        }
        sums.rate = step.learning_rate;
        sums.steps += 1;
        progress.step();
        if let Some(callback) = &mut self.hooks.step
            && callback(&step, &self.weights).is_break()
        {
            self.state.report.stop = Stop::Callback;
        } else if self.settings.is_late() {
            self.state.report.stop = Stop::TimeLimit;
        }
        Ok(self.state.report.stop == Stop::Finished)
    }

    fn end_epoch(&mut self, number: usize, sums: &Sums, progress: &Progress) -> Result<()> {
        let config = self.settings.config;
        let whole = self.state.report.stop == Stop::Finished;
        let weights = self.judged();
        let size = config.evaluation_batch;
        let validation_loss = validated(&weights, &self.settings, &self.device, size)?;
        let metrics = self.hooks.metrics.iter_mut();
        let epoch = Epoch {
            epoch: number,
            train_loss: (sums.rows > 0).then(|| sums.total / sums.rows as f64),
            validation_loss,
            learning_rate: sums.rate,
            metrics: metrics.map(|(name, metric)| (name.clone(), metric(&weights))).collect(),
        };
        let asked = self.hooks.epoch.as_mut();
        let go_on = asked.map_or(ControlFlow::Continue(()), |callback| callback(&epoch, &weights));
        self.judge(&epoch, weights);
        progress.epoch(&epoch, self.state.report.best_validation_loss);
        self.state.report.epochs.push(epoch);
        if whole {
            self.state.report.stop = match go_on {
                ControlFlow::Break(()) => Stop::Callback,
                ControlFlow::Continue(()) => stop(&self.state.report, config),
            };
            // A resumed run repeats an epoch that was not finished.
            if number.is_multiple_of(config.checkpoint_every) || self.is_over() {
                self.save()?;
            }
        }
        Ok(())
    }

    /// Keeps the weights if this epoch is the best one. Weights that were never trained or are not finite are not kept.
    fn judge(&mut self, epoch: &Epoch, weights: F) {
        let report = &mut self.state.report;
        let sound = match epoch.validation_loss {
            Some(loss) => loss.is_finite(),
            None => gradients::first_non_finite(&weights, None).is_none(),
        };
        let lower = match (epoch.validation_loss, report.best_validation_loss) {
            (Some(new), Some(best)) => new < best,
            _ => true,
        };
        if sound && lower && self.state.trained > 0 {
            // `valid` makes an independent copy; clones share the values of their running statistics.
            self.best = weights.valid();
            report.best_epoch = epoch.epoch;
            report.best_validation_loss = epoch.validation_loss;
            self.state.evaluation_batch = self.settings.config.evaluation_batch;
        }
    }

    /// Makes one optimizer step.
    fn step(&mut self, work: &Work<'_, D>, progress: &Progress) -> Result<Step> {
        let config = self.settings.config;
        let step = self.state.report.steps;
        self.state.report.steps += 1;
        self.next_rate(step);
        let warm = ((step + 1) as f64 / config.warmup_steps.max(1) as f64).min(1.0);
        let rate = self.rate * warm;
        let statistics = Statistics::of(&self.weights);
        let seed = |block| self.settings.noise(step as u64 | block << BLOCK_BITS);
        let (value, mut grads) = if config.reversible {
            let mut reversible = Reversible::resumed(std::mem::take(&mut self.state.report.layers));
            let result = reversible.of_nll(&self.weights, work, &seed);
            self.state.report.layers = reversible.into_layers();
            result
        } else {
            gradients::of_objective(&self.weights, &self.settings.objective, work, &seed)?
        };
        let norm = gradients::global_norm(&self.weights, &grads);
        let finite = value.is_finite() && norm.is_finite();
        let report = Step {
            step: step + 1,
            loss: finite.then_some(value),
            gradient_norm: norm,
            learning_rate: rate,
        };
        if !finite {
            statistics.restore(&self.weights);
            self.skip(step, work, &grads, progress)?;
            return Ok(report);
        }
        self.state.streak = 0;
        let taken = step + 1 - self.state.report.skipped_steps;
        if norm > 0.0 && rate > 0.0 {
            self.state.trained += 1;
        }
        gradients::clip(&self.weights, &mut grads, norm, config.gradient_clip);
        self.weights = self.optimizer.step(rate, self.weights.clone(), grads);
        if let Some(decay) = config.average {
            let average = self.average.take().expect("there is an average to update");
            self.average = Some(average::update(average, &self.weights, decay, taken - 1));
        }
        Ok(report)
    }

    /// The warning about a skipped step, with its first row whose loss is not finite.
    fn skipped(&self, step: usize, work: &Work<'_, D>) -> Option<Warning> {
        let batch = work.batch?;
        let block = Block::new(Some(batch), 0..work.rows);
        let mut noise = self.settings.noise(step as u64);
        let plain = self.weights.valid();
        let losses = block.losses(&self.settings.objective, &plain, &mut noise).ok()?;
        let losses = losses.into_data().iter::<f64>().collect::<Vec<_>>();
        let row = losses.iter().position(|loss| !loss.is_finite())?;
        let values = batch.x.clone().slice(row..row + 1).into_data();
        let values: Vec<f64> = values.iter::<f64>().take(SHOWN).collect();
        let more = if event_len(&batch.x) > SHOWN { " .." } else { "" };
        Some(Warning {
            kind: WarningKind::NotFinite,
            what: "training data".to_string(),
            columns: vec![],
            reason: format!(
                "step {} was skipped, because the loss of a row is {}; the values of the row are \
                 {values:?}{more}; remove rows outside of the support of the model, or choose layers \
                 and a base whose support contains them",
                step + 1,
                losses[row]
            ),
        })
    }

    /// Counts a step that was not finite, and notes the cause of the first one.
    fn skip(
        &mut self,
        step: usize,
        work: &Work<'_, D>,
        grads: &burn::optim::GradientsParams,
        progress: &Progress,
    ) -> Result<()> {
        self.state.report.skipped_steps += 1;
        self.state.streak += 1;
        let known = |warning: &Warning| warning.kind == WarningKind::NotFinite;
        if !self.state.report.warnings.iter().any(known)
            && let Some(warning) = self.skipped(step, work)
        {
            progress.say(&warning.to_string());
            self.state.report.warnings.push(warning);
        }
        let over = self.state.streak > self.settings.config.max_skipped;
        if over || self.state.trained == 0 && self.state.culprit.is_none() {
            let inside = |plain: &F| {
                let block = Block::new(work.batch, 0..work.rows);
                let mut noise = self.settings.noise(step as u64);
                self.settings.objective.first_non_finite(plain, &block, &mut noise)
            };
            let layer = gradients::culprit(&self.weights, grads, inside);
            if over {
                let counts = [step, self.state.streak];
                return Err(failure::of_steps(self.settings.data, self.integers(), counts, layer));
            }
            self.state.culprit = Some(layer);
        }
        Ok(())
    }

    /// Whether the events of the model are integers.
    fn integers(&self) -> bool {
        self.weights.integer_levels().is_some()
    }

    /// The weights that are validated: the average where there is one.
    fn judged(&self) -> F {
        match &self.average {
            Some(average) => average::rounded(average, &self.weights),
            None => self.weights.valid(),
        }
    }

    /// Returns the best weights and the report, or an error that says why no weights were trained.
    fn finish(self) -> Result<(F, Report)> {
        let (report, data) = (&self.state.report, self.settings.data);
        let counts = [report.steps, report.skipped_steps];
        if report.best_epoch > 0 {
            let last = report.epochs.last().and_then(|epoch| epoch.train_loss);
            let nll = report.best_validation_loss.or(last);
            let nll = nll.filter(|_| self.settings.objective.is_nll());
            failure::check_reached(data, self.integers(), nll)?;
            return Ok((self.best, self.state.report));
        }
        if self.state.trained > 0 {
            let weights = self.judged();
            self.settings.noise(VALIDATION);
            let size = self.settings.config.evaluation_batch;
            let nll = self.settings.objective.is_nll();
            return Err(failure::of_validation(&weights, data, nll, size, counts));
        }
        if let Some(layer) = self.state.culprit.clone() {
            return Err(failure::of_steps(data, self.integers(), counts, layer));
        }
        if report.epochs.iter().all(|epoch| epoch.learning_rate == 0.0) {
            return Err(failure::no_rate("FitConfig"));
        }
        Err(failure::of_gradients(data, self.integers()))
    }

    fn save(&self) -> Result<()> {
        let Some(folder) = &self.settings.config.checkpoint else { return Ok(()) };
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

/// The sums of an epoch.
#[derive(Default)]
struct Sums {
    total: f64,
    rows: usize,
    steps: usize,
    rate: f64,
}

impl<O, const D: usize> Settings<'_, O, D> {
    /// Seeds the draws of the model, and returns the noise of the objective.
    fn noise(&self, stream: u64) -> Noise {
        seed_draws(self.config.seed, stream);
        Noise::stream(self.config.seed ^ OBJECTIVE, stream)
    }

    /// Whether the time limit has passed.
    fn is_late(&self) -> bool {
        self.config.time_limit.is_some_and(|limit| self.started.elapsed().as_secs_f64() >= limit)
    }
}

/// The weights of the first step: those of the model, with data-dependent layers initialised from a first batch.
fn first_weights<F: Distribution<D>, O, const D: usize>(
    flow: F,
    settings: &Settings<'_, O, D>,
    device: &Device,
) -> Result<F> {
    let (config, part) = (settings.config, &settings.data.train);
    if part.is_drawn() {
        return Ok(flow);
    }
    let start = (START_ELEMENTS / part.rows.elements_of_row()).clamp(LEAST_START, MOST_START);
    let size = config.batch_size.max(start);
    let first = match part.is_loader() {
        true => {
            let rows = part.rows.part(0..size.min(part.rows.len())).to_device(device);
            match &settings.data.dequantize {
                Some(dequantize) => {
                    let noise = &mut Noise::stream(config.seed ^ OBJECTIVE, START);
                    Batch { x: dequantize.apply(rows.x.clone(), noise), ..rows }
                }
                None => rows,
            }
        }
        false => {
            let mut first = None;
            let loader = settings.data.batches(size, config.seed, device);
            each_batch(&*loader, "training data", false, |_, batch| {
                let what = || "training data".to_string();
                first = Some(part.checked(what, batch, &settings.levels)?);
                Ok(false)
            })?;
            first.expect("the data were checked to have rows")
        }
    };
    let first = first.repeated(MOST_START);
    seed_draws(config.seed, START);
    let flow = flow.init_from_data(first.x, first.context.as_ref());
    probe::check_initialized(&flow)?;
    Ok(flow)
}

/// The validation loss, `None` without validation rows. Every call uses the same draws.
fn validated<F: Distribution<D>, O: Objective<F, D>, const D: usize>(
    weights: &F,
    settings: &Settings<'_, O, D>,
    device: &Device,
    size: usize,
) -> Result<Option<f64>> {
    let Some(part) = &settings.data.validation else { return Ok(None) };
    let mut noise = settings.noise(VALIDATION);
    let (mut sum, mut total) = (0.0, 0.0);
    let mut add = |work: Work<'_, D>| {
        let block = Block::new(work.batch, 0..work.rows);
        let losses = block.losses(&settings.objective, weights, &mut noise)?;
        let largest = work.batch.map_or(1.0, |batch| batch.largest);
        sum += work.shares().total(&losses.into_data()) * largest;
        total += work.batch.map_or(work.rows as f64, Batch::total_weight) * largest;
        Ok(true)
    };
    // Batches of about equal size: an objective over a whole batch would lose by a last one of few rows.
    let size = part.len().div_ceil(part.len().div_ceil(size).max(1)).max(1);
    if part.is_drawn() {
        for start in (0..part.len()).step_by(size) {
            // The shares divide by 1 here, and by the total below.
            add(Work { total: 1.0, ..Work::drawn(size.min(part.len() - start)) })?;
        }
    } else {
        let loader = settings.data.validation_batches(part, size, settings.config.seed, device);
        each_batch(&*loader, "validation data", !part.is_in_memory(), |at, batch| {
            let what = || format!("validation data, batch {at}");
            let batch = part.checked(what, batch, &settings.levels)?.to_device(device);
            if batch.is_empty() { Ok(true) } else { add(Work::of(&batch, 1.0)) }
        })?;
    }
    if total == 0.0 {
        return Err(Error::data("validation data", "the loader returned no batch of rows"));
    }
    Ok(Some(sum / total))
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

/// The number of values of a row that a warning shows.
const SHOWN: usize = 8;

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
