//! Every number of a training run: learning rates, clipping, averages, weight decay, the choice of
//! weights.

use burn::lr_scheduler::{LrSchedulerConfig, linear::LinearLrSchedulerConfig};
use burn::optim::SgdConfig;
use burn_flows::train::{Epoch, FitData, Report, Schedule, Stop, Training, fit, nll_gradients};

use super::*;

const START: Weights = [3.0, -0.7];

const BATCH: usize = 20;

/// Repeats the run of a configuration by hand on the recorded batches. An epoch has `steps` steps.
fn replayed(
    config: &FitConfig,
    batches: &[Vec<f64>],
    steps: usize,
    validation: &[f64],
) -> (Weights, Report) {
    let all = (config.epochs * steps) as f64;
    let scheduled = |step: f64| match config.schedule {
        Schedule::Cosine => {
            config.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * step / all).cos())
        }
        Schedule::Exponential { gamma } => config.learning_rate * gamma.powf(step),
        Schedule::Burn(_) => 0.2 - 0.19 * step / 30.0,
        _ => config.learning_rate,
    };
    let (mut weights, mut adam, mut mean) = (START, Adam::default(), START);
    let (mut best, mut report) = (START, Report::default());
    for (index, batches) in batches.chunks(steps).enumerate() {
        let (mut total, mut rows, mut rate) = (0.0, 0, 0.0);
        for batch in batches {
            let step = report.steps;
            report.steps += 1;
            rate = scheduled(step as f64);
            if step < config.warmup_steps {
                rate *= (step + 1) as f64 / config.warmup_steps as f64;
            }
            if batch.iter().any(|x| *x > 100.0) {
                report.skipped_steps += 1;
                continue;
            }
            total += batch.len() as f64 * mean_nll(weights, batch);
            rows += batch.len();
            let gradient = clipped(gradient(weights, batch), config.gradient_clip);
            adam.step(&mut weights, gradient, rate, config.weight_decay);
            if let Some(decay) = config.average {
                mean = moved_average(mean, weights, decay, step - report.skipped_steps);
            }
        }
        let judged = if config.average.is_some() { mean } else { weights };
        let found = mean_nll(judged, validation);
        report.epochs.push(Epoch {
            epoch: index + 1,
            train_loss: Some(total / rows as f64),
            validation_loss: Some(found),
            learning_rate: rate,
            metrics: Default::default(),
        });
        if report.best_validation_loss.is_none_or(|best| found < best) {
            best = judged;
            (report.best_epoch, report.best_validation_loss) = (index + 1, Some(found));
        } else if config.patience == Some(index + 1 - report.best_epoch) {
            report.stop = Stop::EarlyStopping;
            break;
        }
    }
    (best, report)
}

fn base() -> FitConfig {
    FitConfig::new()
        .with_epochs(6)
        .with_batch_size(BATCH)
        .with_learning_rate(0.05)
        .with_schedule(Schedule::Constant)
        .with_gradient_clip(None)
        .with_progress(false)
}

/// Fits a density, and repeats the run by hand. The weights move past the validation rows, which
/// are around 1, to the training rows, which are around -2.
#[track_caller]
fn assert_follows(config: &FitConfig, mark: Option<f64>) -> Report {
    let mut rows = normals(-2.0, 50, 1);
    if let Some(mark) = mark {
        rows[17] = mark;
    }
    let validation = normals(1.0, 30, 2);
    let data = FitData::new(column(&rows)).with_validation(column(&validation));
    let spy = Spy::new(START);
    let (fitted, found) = fit(spy.clone(), data, config).unwrap();
    assert!(!fitted.devices()[0].is_autodiff(), "the weights are on the plain device");

    let batches: Vec<Vec<f64>> = spy.calls(true).into_iter().map(|call| call.x).collect();
    let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    assert_eq!(sizes, [20, 20, 10].repeat(found.epochs.len()));
    let (best, expected) = replayed(config, &batches, 3, &validation);
    assert_all_near(&weights(&fitted), &best);
    let numbers = |report: &Report| {
        let numbers = report.epochs.iter().flat_map(|epoch| {
            [epoch.train_loss.unwrap(), epoch.validation_loss.unwrap(), epoch.learning_rate]
        });
        let numbers: Vec<f64> = numbers.chain(report.best_validation_loss).collect();
        numbers
    };
    assert_all_near(&numbers(&found), &numbers(&expected));
    let counts = |r: &Report| (r.epochs.len(), r.best_epoch, r.steps, r.skipped_steps, r.stop);
    assert_eq!(counts(&found), counts(&expected));
    let epochs: Vec<usize> = found.epochs.iter().map(|epoch| epoch.epoch).collect();
    assert_eq!(epochs, (1..=found.epochs.len()).collect::<Vec<_>>());
    assert!(found.seconds > 0.0 && found.resumed_from.is_none());
    found
}

#[test]
fn a_plain_run_and_one_without_activations() {
    assert_follows(&base(), None);
    assert_follows(&base().with_reversible(true), None);
}

#[test]
fn every_schedule_and_the_warm_up() {
    for schedule in [
        Schedule::Cosine,
        Schedule::Exponential { gamma: 0.9 },
        Schedule::Burn(LrSchedulerConfig::Linear(LinearLrSchedulerConfig::new(0.2, 0.01, 30))),
    ] {
        assert_follows(&base().with_schedule(schedule.clone()), None);
        assert_follows(&base().with_schedule(schedule).with_warmup_steps(7), None);
    }
}

#[test]
fn the_moving_average_with_its_growing_decay() {
    // The increasing decay exceeds 0.3 in the fourth step, and never 0.99.
    for decay in [0.0, 0.3, 0.99] {
        assert_follows(&base().with_average(Some(decay)), None);
        // With a high learning rate, the average differs from the last weights.
        assert_follows(&base().with_average(Some(decay)).with_learning_rate(0.5), None);
    }
}

#[test]
fn clipping_and_weight_decay() {
    // The lengths of the gradients are between 0.1 and 20.
    for limit in [0.5, 5.0, 1e3] {
        assert_follows(&base().with_gradient_clip(Some(limit)), None);
    }
    assert_follows(&base().with_weight_decay(0.3), None);
}

#[test]
fn skipped_steps_change_neither_weights_nor_averages() {
    let config =
        base().with_average(Some(0.5)).with_warmup_steps(4).with_max_skipped(1).with_seed(7);
    for mark in [150.0, 250.0, 350.0] {
        assert_eq!(assert_follows(&config, Some(mark)).skipped_steps, 6);
    }
}

#[test]
fn the_best_weights_and_the_patience() {
    let config = base().with_epochs(60).with_learning_rate(0.1);
    let report = assert_follows(&config, None);
    assert!((2..30).contains(&report.best_epoch), "{}", report.best_epoch);
    for patience in [1, 4] {
        let report = assert_follows(&config.clone().with_patience(Some(patience)), None);
        assert_eq!(report.epochs.len(), report.best_epoch + patience);
        assert_eq!(report.stop, Stop::EarlyStopping);
    }
    assert_follows(&config.with_patience(Some(4)).with_average(Some(0.9)), None);
}

/// If several epochs have the same validation NLL, the first one is the best.
#[test]
fn an_epoch_that_is_no_better_is_not_the_best() {
    let config = base().with_learning_rate(1e-30).with_patience(Some(3)).with_epochs(9);
    let report = assert_follows(&config, None);
    assert_eq!((report.best_epoch, report.epochs.len()), (1, 4));
}

/// The running statistics of the best weights are those of the best epoch. They are averaged like
/// the weights.
#[test]
fn the_best_weights_keep_the_statistics_of_their_epoch() {
    let device = Device::flex();
    let rows = |values: Vec<f64>| column(&values).cast(DType::F32);
    let validation = rows(normals(0.0, 30, 2));
    for average in [None, Some(0.3)] {
        let layer = burn_flows::bijector::BatchNormConfig::new(1).init(&device);
        let start = burn_flows::distribution::DiagNormalConfig::new(vec![1]).init::<2>(&device);
        let data = FitData::new(rows(normals(-2.0, 50, 1))).with_validation(validation.clone());
        let config = base().with_epochs(20).with_learning_rate(0.01).with_average(average);
        let (fitted, report) = fit(Flow::new(layer, start), data, &config).unwrap();
        assert!(report.best_epoch < 15, "{}", report.best_epoch);
        let found = burn_flows::train::nll(&fitted, validation.clone(), 1024);
        let best = report.best_validation_loss.unwrap();
        assert!((found - best).abs() < 1e-6, "{average:?}: {found}, reported {best}");
    }
}

/// A schedule over all steps if an epoch has a single step; and a model that is already in training
/// mode.
#[test]
fn an_epoch_of_one_step_and_a_model_that_trains() {
    let rows = normals(-2.0, 50, 1);
    let config = base()
        .with_schedule(Schedule::Cosine)
        .with_batch_size(64)
        .with_epochs(4)
        .with_validation_fraction(0.0);
    let (fitted, report) = fit(normal(START), column(&rows), &config).unwrap();
    let rates: Vec<f64> = report.epochs.iter().map(|epoch| epoch.learning_rate).collect();
    let cosine = |step: f64| 0.025 * (1.0 + (std::f64::consts::PI * step / 4.0).cos());
    assert_all_near(&rates, &[0.0, 1.0, 2.0, 3.0].map(cosine));
    let (again, _) = fit(normal(START).train(), column(&rows), &config).unwrap();
    assert_eq!(weights(&again), weights(&fitted));
    assert!(!again.devices()[0].is_autodiff());
}

/// A step of plain gradient descent is the learning rate times the clipped gradient.
#[test]
fn a_clipped_step_has_the_length_of_the_limit_and_the_direction_of_the_gradient() {
    let rows = normals(-2.0, 50, 1);
    let slope = gradient(START, &rows);
    let norm = slope[0].hypot(slope[1]);
    assert!(norm > 10.0, "{norm}");
    let config = base().with_epochs(1).with_batch_size(64).with_validation_fraction(0.0);
    for limit in [None, Some(0.01), Some(1.0), Some(0.99 * norm), Some(1.01 * norm)] {
        let config = config.clone().with_gradient_clip(limit);
        let training = Training::new(normal(START), column(&rows), &config);
        let (fitted, _) = training.with_optimizer(SgdConfig::new().init()).run().unwrap();
        let factor = 0.05 * limit.map_or(1.0, |limit| limit.min(norm) / norm);
        let expected = [START[0] - factor * slope[0], START[1] - factor * slope[1]];
        assert_all_near(&weights(&fitted), &expected);
    }
}

/// Clipping uses the norm over all elements of all parameters together.
#[test]
fn a_step_is_clipped_by_the_norm_over_every_element() {
    let starts = [[3.0, -0.7], [1.0, 0.2], [-2.0, 0.4]];
    let rows: Vec<Vec<f64>> = (0..3).map(|k| normals(-1.0, 40, k)).collect();
    let slopes: Vec<Weights> = starts.iter().zip(&rows).map(|(w, x)| gradient(*w, x)).collect();
    let norm = slopes.concat().iter().map(|g| g * g).sum::<f64>().sqrt();
    let part = |k: usize| {
        let values: Vec<f64> = starts.iter().map(|start| start[k]).collect();
        column(&values).reshape([1, 3])
    };
    let columns = rows.iter().map(|x| column(x)).collect();
    let data = Tensor::cat(columns, 1);
    let config = base().with_epochs(1).with_batch_size(64).with_validation_fraction(0.0);
    for share in [0.1, 0.6, 0.9, 1.1] {
        let config = config.clone().with_gradient_clip(Some(share * norm));
        let flow = DiagNormal::from_weights(part(0), part(1));
        let training = Training::new(flow, data.clone(), &config);
        let (fitted, _) = training.with_optimizer(SgdConfig::new().init()).run().unwrap();
        let rate = 0.05 * f64::min(share, 1.0);
        let moved = |k: usize| starts.iter().zip(&slopes).map(move |(w, g)| w[k] - rate * g[k]);
        assert_all_near(&weights(&fitted), &moved(0).chain(moved(1)).collect::<Vec<_>>());
    }
}

/// Every block of a batch uses the matching rows of the context.
#[test]
fn rows_of_a_context_go_with_their_blocks() {
    /// A density of the difference between event and context.
    #[derive(Module, Debug)]
    struct Shifted {
        inner: DiagNormal<2>,
    }
    impl Distribution<2> for Shifted {
        fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
            let context = context.expect("a context").clone();
            self.inner.log_prob(x - context, None)
        }

        fn sample(
            &self,
            n: usize,
            context: Option<&Tensor<2>>,
            noise: &mut Noise,
            device: &Device,
        ) -> Tensor<2> {
            self.inner.sample(n, context, noise, device)
        }
    }
    let model = Shifted { inner: normal(START) }.train();
    let (x, context) = (normals(0.5, 700, 1), normals(9.0, 700, 2));
    let shifted = column(&x) + column(&context);
    let (value, gradients) = nll_gradients(&model, (shifted.clone(), column(&context)));
    assert_near(value, mean_nll(START, &x));
    assert_all_near(&gathered(&model, gradients), &gradient(START, &x));
}

/// The gradients of blocks of one batch, of equal or different lengths, add up to the mean over all
/// rows.
#[test]
fn a_gradient_of_any_number_of_rows_is_the_mean_over_them() {
    let model = normal(START).train();
    for rows in [1, 2, 255, 256, 257, 511, 512, 513, 700, 1025] {
        let x = normals(0.5, rows, rows as u64);
        let (value, gradients) = nll_gradients(&model, column(&x));
        assert_near(value, mean_nll(START, &x));
        assert_all_near(&gathered(&model, gradients), &gradient(START, &x));
    }
}
