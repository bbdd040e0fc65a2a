//! Training without data, and the normalising constant: every loss, weight and estimate of a run.

use std::ops::ControlFlow;

use burn_flows::bijector::ActNorm;
use burn_flows::train::{
    Estimator, FitData, LogZ, ReverseKl, Schedule, Training, log_z, reverse_kl,
};

use super::*;

type Family = Flow<Vec<ActNorm>, DiagNormal<2>>;

const START: Weights = [-1.0, 0.4];

const STEPS: usize = 12;

fn family(weights: Weights) -> Family {
    Flow::new(vec![], normal(weights))
}

/// The target: `ln p` is `0.3 - ((x - 1.5) / 2)^2 / 2`.
fn target(x: Tensor<2>) -> Tensor<1> {
    (x - 1.5).square().reshape([-1]) * -0.125 + 0.3
}

fn log_target(x: f64) -> f64 {
    0.3 - ((x - 1.5) / 2.0).powi(2) / 2.0
}

fn log_family([mean, log_scale]: Weights, x: f64) -> f64 {
    -0.5 * (((x - mean) * (-log_scale).exp()).powi(2) + LN_2PI) - log_scale
}

/// The loss over these draws, and its gradient by the formula of the estimator.
fn divergence(weights: Weights, x: &[f64], estimator: Estimator) -> (f64, Weights) {
    let [mean, log_scale] = weights;
    let loss = average(x.iter().map(|&x| log_family(weights, x) - log_target(x)));
    let by_row = |&x: &f64| {
        let (scale, downhill) = (log_scale.exp(), (x - 1.5) / 4.0);
        let z = (x - mean) / scale;
        match estimator {
            Estimator::Full => [downhill, downhill * z * scale - 1.0],
            Estimator::PathDerivative => [downhill - z / scale, downhill * z * scale - z * z],
            _ => unreachable!("a formula for every estimator"),
        }
    };
    let rows: Vec<Weights> = x.iter().map(by_row).collect();
    (loss, [0, 1].map(|k| average(rows.iter().map(|row| row[k]))))
}

/// The estimate of `ln Z` from draws of a flow.
fn estimate(weights: Weights, x: &[f64], log_target: impl Fn(f64) -> f64) -> LogZ {
    let ratios: Vec<f64> =
        x.iter().map(|&x| (log_target(x) - log_family(weights, x)).exp()).collect();
    let n = ratios.len() as f64;
    let mean = average(ratios.iter().copied());
    let variance = ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let squares: f64 = ratios.iter().map(|r| r * r).sum();
    LogZ {
        estimate: mean.ln(),
        standard_error: (variance / n).sqrt() / mean,
        effective_draws: (n * mean).powi(2) / squares,
        draws: ratios.len(),
    }
}

#[track_caller]
fn assert_same_estimate(found: LogZ, expected: LogZ) {
    let numbers = |z: LogZ| [z.estimate, z.standard_error, z.effective_draws, z.draws as f64];
    assert_all_near(&numbers(found), &numbers(expected));
}

/// Fits a flow, and repeats the run by hand on the draws that the target received. In step `broken`
/// the target has no finite gradient.
fn assert_follows(config: &FitConfig, estimator: Estimator, broken: Option<usize>) {
    let draws: Mutex<Vec<(bool, Vec<f64>)>> = Mutex::default();
    let spied = |x: Tensor<2>| {
        let values = x.to_data().iter::<f64>().collect();
        let mut draws = draws.lock().unwrap();
        draws.push((x.device().is_autodiff(), values));
        let log_p = target(x);
        // The first call is that of the check before the training.
        match broken.is_some_and(|broken| broken + 2 == draws.len()) {
            true => log_p.clone() + (log_p.clone() - log_p.detach()).sqrt(),
            false => log_p,
        }
    };
    let mut losses = vec![];
    let (fitted, report) =
        Training::new(family(START), FitData::drawn(STEPS * 30).unwrap(), config)
            .with_objective(ReverseKl::new(&spied).with_estimator(estimator))
            .on_step(|step, _| {
                losses.push(step.loss);
                ControlFlow::Continue(())
            })
            .run()
            .unwrap();
    let evaluated = log_z(&fitted, spied, 500, 200, &mut Noise::seeded(9)).unwrap();
    let draws = draws.into_inner().unwrap();
    let (steps, evaluations) = draws[1..].split_at(STEPS);
    assert!(steps.iter().all(|(tracked, x)| *tracked && x.len() == 30));
    let sizes: Vec<usize> = evaluations.iter().map(|(_, x)| x.len()).collect();
    // One draw is that of a check of `log_z`.
    assert_eq!(sizes, [200, 200, 100]);

    let (mut weights, mut adam, mut mean) = (START, Adam::default(), START);
    let mut units: Vec<f64> = vec![];
    for (step, (_, x)) in steps.iter().enumerate() {
        units.extend(x.iter().map(|x| (x - weights[0]) * (-weights[1]).exp()));
        if broken == Some(step) {
            assert_eq!(losses[step], None);
            continue;
        }
        let (loss, gradient) = divergence(weights, x, estimator);
        assert_near(losses[step].unwrap(), loss);
        let part = step as f64 / STEPS as f64;
        let rate = match config.schedule {
            Schedule::Constant => 0.05,
            _ => 0.025 * (1.0 + (std::f64::consts::PI * part).cos()),
        };
        adam.step(&mut weights, clipped(gradient, config.gradient_clip), rate, 0.0);
        // A skipped step does not count for the average.
        let taken = step - usize::from(broken.is_some_and(|broken| broken < step));
        mean = moved_average(mean, weights, config.average.unwrap_or(0.0), taken);
    }
    let last = if config.average.is_some() { mean } else { weights };
    assert_all_near(&super::weights(&fitted), &last);
    assert!(!fitted.devices()[0].is_autodiff(), "the weights are on the plain device");
    let skipped = usize::from(broken.is_some());
    assert_eq!((report.steps, report.skipped_steps), (STEPS, skipped));
    assert!(report.seconds > 0.0);

    let x: Vec<f64> = evaluations.iter().flat_map(|(_, x)| x.clone()).collect();
    assert_same_estimate(evaluated, estimate(last, &x, log_target));
    // All steps and evaluations use different draws.
    units.extend(x.iter().map(|x| (x - last[0]) * (-last[1]).exp()));
    let n = units.len() as f64;
    let (first, second) = (average(units.iter().copied()), average(units.iter().map(|z| z * z)));
    assert!(first.abs() < 4.0 / n.sqrt() && (second - 1.0).abs() < 4.0 * (2.0 / n).sqrt());
    units.sort_by(f64::total_cmp);
    assert!(units.windows(2).all(|pair| pair[1] - pair[0] > 1e-12));
}

#[test]
fn every_step_of_either_estimator_and_the_last_estimate() {
    let base = FitConfig::new()
        .with_epochs(1)
        .with_batch_size(30)
        .with_learning_rate(0.05)
        .with_validation_fraction(0.0);
    for estimator in [Estimator::Full, Estimator::PathDerivative] {
        let follows = |config: FitConfig| assert_follows(&config, estimator, None);
        follows(base.clone());
        follows(base.clone().with_schedule(Schedule::Constant).with_seed(3));
        follows(base.clone().with_gradient_clip(Some(0.1)));
        follows(base.clone().with_gradient_clip(None).with_average(Some(0.3)));
        follows(base.clone().with_average(Some(0.99)));
        assert_follows(&base.clone().with_average(Some(0.5)), estimator, Some(4));
    }
}

#[test]
fn the_loss_is_the_mean_over_the_draws_for_either_estimator() {
    for estimator in [Estimator::Full, Estimator::PathDerivative] {
        let flow = family(START).train();
        let x = flow.valid().draw(40, &mut Noise::seeded(6));
        let x: Vec<f64> = x.into_data().iter::<f64>().collect();
        let loss = reverse_kl(&flow, &target, 40, &mut Noise::seeded(6), estimator);
        let (expected, slope) = divergence(START, &x, estimator);
        assert_near(loss.clone().into_scalar::<f64>(), expected);
        let gradients = GradientsParams::from_grads(loss.backward(), &flow);
        assert_all_near(&gathered(&flow, gradients), &slope);
    }
}

#[test]
fn an_estimate_is_that_of_its_draws_however_they_are_parted() {
    let flow = family(START);
    let x = flow.draw(50, &mut Noise::seeded(2));
    let x: Vec<f64> = x.into_data().iter::<f64>().collect();
    for batch in [1, 7, 50, 1000] {
        let found = log_z(&flow, target, 50, batch, &mut Noise::seeded(2)).unwrap();
        assert_same_estimate(found, estimate(START, &x, log_target));
    }
    // Draws at which the target is zero count in the mean.
    let left = |x: f64| if x < 0.0 { f64::NEG_INFINITY } else { log_target(x) };
    let masked = |x: Tensor<2>| {
        let below = x.clone().lower_elem(0.0).reshape([-1]);
        target(x).mask_fill(below, f64::NEG_INFINITY)
    };
    let found = log_z(&flow, masked, 50, 50, &mut Noise::seeded(2)).unwrap();
    let expected = estimate(START, &x, left);
    assert!(expected.effective_draws < 25.0);
    assert_same_estimate(found, expected);
    // If all weights are equal, the effective number of draws is the number of draws, for any
    // constant.
    let shifted = |x: Tensor<2>| flow.log_prob(x) + 900.0;
    let found = log_z(&flow, shifted, 50, 50, &mut Noise::seeded(2)).unwrap();
    assert_near(found.estimate, 900.0);
    assert_near(found.effective_draws, 50.0);
    assert!(found.standard_error < 1e-6, "{found:?}");
}
