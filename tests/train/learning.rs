//! What training learns, and the effect of its configuration.

use burn::tensor::{Device, Tensor};
use burn_flows::bijector::{ActNorm, ActNormConfig, BatchNormConfig, LuLinearConfig};
use burn_flows::distribution::DiagNormalConfig;
use burn_flows::train::{Dequantize, FitData, Schedule, Stop, fit, nll};

use super::*;

#[test]
fn learns_a_curved_density_to_its_entropy() {
    let flow = built(&Device::flex(), |device| small().with_layers(6).init(device));
    let config = FitConfig::new()
        .with_epochs(30)
        .with_batch_size(128)
        .with_learning_rate(4e-3)
        .with_average(Some(0.99))
        .with_progress(false);
    let (flow, report) = fit(flow, banana(4000, 1), &config).unwrap();
    let test = nll(&flow, banana(4000, 2), 1024);
    assert!(test < BANANA_ENTROPY + 0.05, "test NLL {test}, entropy {BANANA_ENTROPY}");
    assert!(test > BANANA_ENTROPY - 0.05, "test NLL {test} is below the entropy");
    assert_eq!(report.stop, Stop::Finished);
    assert_eq!((report.epochs.len(), report.skipped_steps), (30, 0));
}

#[test]
fn a_gaussian_with_parameters_fits_like_the_closed_form() {
    let x = Noise::seeded(3).normal::<2>([2000, 1], &Device::flex()) * 2.0 + 5.0;
    let normal = DiagNormalConfig::new(vec![1]).init::<2>(&Device::flex());
    let config = quick().with_epochs(60).with_learning_rate(5e-2).with_validation_fraction(0.0);
    let (normal, report) = fit(normal, x.clone(), &config).unwrap();
    let variance = x.clone().var(0).into_scalar::<f64>();
    let closed = 0.5 * (1.0 + (2.0 * std::f64::consts::PI * variance).ln());
    let found = nll(&normal, x, 512);
    assert!((found - closed).abs() < 2e-3, "{found}, expected {closed}");
    assert_eq!(report.best_validation_loss, None);
    assert_eq!(report.best_epoch, 60);
}

#[test]
fn the_same_seed_gives_the_same_weights_and_another_seed_others() {
    let config = small().with_mlp(MlpConfig::new(vec![16]).with_dropout(0.3));
    let flow = built(&Device::flex(), |device| config.init(device));
    let run = |seed| fit(flow.clone(), banana(300, 1), &quick().with_seed(seed)).unwrap().0;
    let x = banana(50, 9);
    assert_eq!(numbers(&run(1), x.clone()), numbers(&run(1), x.clone()));
    assert_ne!(numbers(&run(1), x.clone()), numbers(&run(2), x));
}

#[test]
fn seeds_of_the_weights_and_of_the_training_decide_the_model() {
    let run = |weights| {
        let flow = RealNvpConfig::new(2).with_layers(3).with_mlp(MlpConfig::new(vec![16]));
        let flow = flow.with_seed(weights).init(&Device::flex());
        let (flow, report) = fit(flow, banana(300, 1), &quick().with_seed(1)).unwrap();
        (numbers(&flow, banana(50, 9)), report.epochs, report.best_epoch)
    };
    let first = run(1);
    assert_eq!(run(1), first);
    let threads = std::thread::scope(|scope| {
        let threads = [1, 2].map(|weights| scope.spawn(move || run(weights)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(threads[0], first);
    assert_ne!(threads[1].0, first.0);
}

#[test]
fn data_dependent_layers_start_from_data_and_trained_ones_stay() {
    let device = Device::flex();
    let flow = |layer: ActNorm| Flow::new(layer, StandardNormal::<2>::new([2], &device));
    let config = quick().with_epochs(1).with_learning_rate(1e-9);
    let fresh = ActNormConfig::new(2).init(&device);
    let data = banana(500, 1);
    let (started, _) = fit(flow(fresh), data.clone(), &config).unwrap();
    let z = started.encode(data.clone());
    assert!(z.clone().mean_dim(0).abs().max().into_scalar::<f32>() < 0.2);
    assert!((z.var(0).mean().into_scalar::<f32>() - 1.0).abs() < 0.2);

    let trained = ActNorm::from_weights(
        Tensor::from_floats([0.5, -0.5], &device),
        Tensor::from_floats([3.0, -3.0], &device),
    );
    let before = flow(trained.clone()).encode(data.clone());
    let (after, _) = fit(flow(trained), data.clone(), &config).unwrap();
    let moved = (after.encode(data) - before).abs().max().into_scalar::<f32>();
    assert!(moved < 1e-4, "a trained layer was initialised again: {moved}");
}

#[test]
fn batch_normalization_trains_and_evaluates_by_running_statistics() {
    let device = Device::flex();
    let layers = built(&device, |device| {
        let couplings = small().init(device).into_parts().0;
        (BatchNormConfig::new(2).init(device), couplings, LuLinearConfig::new(2).init(device))
    });
    let flow = Flow::new(layers, StandardNormal::<2>::new([2], &device));
    // Large batches, because the tail of the banana makes the variance of 64 rows a poor estimate.
    let config = quick().with_epochs(60).with_batch_size(512).with_learning_rate(5e-3);
    let (flow, _) = fit(flow, banana(4000, 1) * 5.0 + 7.0, &config).unwrap();
    let test = nll(&flow, banana(2000, 2) * 5.0 + 7.0, 512);
    let entropy = BANANA_ENTROPY + 2.0 * 5f64.ln();
    assert!(test < entropy + 0.25, "test NLL {test}, entropy {entropy}");
}

#[test]
fn a_context_is_learned() {
    let device = Device::flex();
    let context = Noise::seeded(5).uniform::<2>([3000, 1], &device) * 6.0 - 3.0;
    let x =
        Noise::seeded(6).normal::<2>([3000, 2], &device) * 0.1 + context.clone().expand([3000, 2]);
    let flow = built(&device, |device| small().with_context(1).init(device));
    let config = quick().with_epochs(15).with_learning_rate(3e-3);
    let data = FitData::new(x).with_context(context);
    let (flow, _) = fit(flow, data, &config).unwrap();
    for c in [-2.0, 2.0] {
        let x = flow.given(&Tensor::from_floats([[c]], &device)).sample(400);
        let mean = x.mean().into_scalar::<f64>();
        assert!((mean - c).abs() < 0.2, "context {c} gives mean {mean}");
    }
}

#[test]
fn early_stopping_returns_the_best_weights() {
    let flow = built(&Device::flex(), |device| small().init(device));
    let config = quick()
        .with_epochs(400)
        .with_patience(Some(5))
        .with_learning_rate(2e-2)
        .with_schedule(Schedule::Constant)
        .with_validation_fraction(0.5);
    let validation = banana(60, 8);
    let data = FitData::new(banana(60, 7)).with_validation(validation.clone());
    let (flow, report) = fit(flow, data, &config).unwrap();
    assert_eq!(report.stop, Stop::EarlyStopping);
    assert_eq!(report.epochs.len(), report.best_epoch + 5);
    let best = report.best_validation_loss.unwrap();
    let least = report.epochs.iter().map(|e| e.validation_loss.unwrap()).fold(f64::MAX, f64::min);
    assert_eq!(best, least);
    assert!((nll(&flow, validation, 1024) - best).abs() < 1e-6);
}

#[test]
fn integers_are_dequantized_anew_and_scored_in_bits() {
    let device = Device::flex();
    // Two pixels with four levels. The second pixel is a copy of the first, so an image has 2 bits
    // in 2 dimensions.
    let mut noise = Noise::seeded(2);
    let values: Vec<f32> = (0..2000).flat_map(|_| [noise.next_below(4) as f32; 2]).collect();
    let x = Tensor::<2>::from_data(burn::tensor::TensorData::new(values, [2000, 2]), &device);
    let dequantize = Dequantize::new(4).unwrap();
    let config = RealNvpConfig::new(2).with_layers(6).with_mlp(MlpConfig::new(vec![64, 64]));
    let flow = built(&device, |device| {
        let logit = burn_flows::bijector::Logit::new(0.01).unwrap();
        let layers = (logit, config.init(device).into_parts().0);
        Flow::new(layers, StandardNormal::<2>::new([2], device))
    });
    let data = FitData::new(x).with_dequantization(dequantize);
    let config = quick().with_epochs(30).with_learning_rate(3e-3);
    let (_, report) = fit(flow, data, &config).unwrap();
    let bits = burn_flows::train::bits_per_dim(report.best_validation_loss.unwrap(), 2, 4);
    assert!(bits < 1.6, "{bits} bits/dim, a uniform density has 2, the true one 1");
    assert!(bits > 1.0, "{bits} bits/dim is below the true value 1");
}

#[test]
fn every_schedule_is_followed() {
    let rates = |schedule| {
        let config = quick().with_epochs(3).with_schedule(schedule).with_learning_rate(1e-2);
        let (_, report) = fit(small().init(&Device::flex()), banana(128, 1), &config).unwrap();
        report.epochs.iter().map(|e| e.learning_rate).collect::<Vec<_>>()
    };
    assert_eq!(rates(Schedule::Constant), [1e-2; 3]);
    let cosine = rates(Schedule::Cosine);
    // 115 rows are 2 steps per epoch, so the last steps of the epochs are 1, 3 and 5 of 6.
    let expected =
        [1.0, 3.0, 5.0].map(|t: f64| 5e-3 * (1.0 + (std::f64::consts::PI * t / 6.0).cos()));
    cosine.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{a} {b}"));
    let exponential = rates(Schedule::Exponential { gamma: 0.5 });
    assert!((exponential[0] / exponential[2] - 16.0).abs() < 1e-9, "{exponential:?}");
}
