//! Training without data: the properties of both estimators, the normalising constant, invalid
//! targets.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use burn_flows::bijector::{ActNorm, Coupling};
use burn_flows::burn;
use burn_flows::conditioner::Mlp;
use burn_flows::prelude::*;
use burn_flows::train::{
    Estimator, FitConfig, FitData, ReverseKl, Training, fit_reverse_kl, log_z, reverse_kl,
};

type Couplings = Flow<Vec<Coupling<Affine, Mlp>>, StandardNormal<2>>;

/// A Real NVP with weights from a seed.
fn flow(seed: u64) -> Couplings {
    struct Draw(Noise);
    impl ModuleMapper for Draw {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| self.0.normal(value.dims(), &value.device()) * 0.3)
        }
    }
    let mlp = MlpConfig::new(vec![8]).with_activation(ActivationConfig::Silu);
    let flow = RealNvpConfig::new(2).with_layers(2).with_mlp(mlp).init(&Device::flex());
    flow.map(&mut Draw(Noise::seeded(seed)))
}

/// All gradients of one estimate as one list.
fn gradient(
    flow: &Couplings,
    target: &impl Fn(Tensor<2>) -> Tensor<1>,
    n: usize,
    seed: u64,
    estimator: Estimator,
) -> Vec<f64> {
    struct Collect(GradientsParams, Vec<f64>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let grad = self.0.get::<D>(param.id).expect("a gradient for every parameter");
            self.1.extend(grad.into_data().iter::<f64>());
        }
    }
    let flow = flow.clone().train();
    let loss = reverse_kl(&flow, target, n, &mut Noise::seeded(seed), estimator);
    let mut collect = Collect(GradientsParams::from_grads(loss.backward(), &flow), vec![]);
    flow.visit(&mut collect);
    collect.1
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}

/// The target `exp(-|x|^2 / 2 + 1)` has `ln Z = ln 2 pi + 1`.
fn bell(x: Tensor<2>) -> Tensor<1> {
    let rows = x.dims()[0];
    x.square().sum_dim(1).reshape([rows]) * -0.5 + 1.0
}

const BELL: f64 = 2.837_877_066_409_345_5;

#[test]
fn at_the_target_each_draw_has_a_path_derivative_of_zero() {
    let flow = flow(1);
    let target = |x| flow.log_prob(x) + 2.0;
    for seed in 0..5 {
        let path = gradient(&flow, &target, 1, seed, Estimator::PathDerivative);
        assert!(largest(&path) < 1e-4, "{}", largest(&path));
        let full = gradient(&flow, &target, 1, seed, Estimator::Full);
        assert!(largest(&full) > 0.1, "{}", largest(&full));
    }
}

#[test]
fn both_estimators_have_the_same_value_and_the_same_mean_gradient() {
    let flow = flow(2);
    let loss = |estimator| {
        reverse_kl(&flow, &bell, 64, &mut Noise::seeded(3), estimator).into_scalar::<f64>()
    };
    assert!((loss(Estimator::Full) - loss(Estimator::PathDerivative)).abs() < 1e-4);

    // The difference of the estimators is the score, which has mean 0. Its standard error comes
    // from 40 blocks of 500 draws.
    let blocks = 40;
    let differences: Vec<Vec<f64>> = (0..blocks)
        .map(|seed| {
            let full = gradient(&flow, &bell, 500, seed, Estimator::Full);
            let path = gradient(&flow, &bell, 500, seed, Estimator::PathDerivative);
            full.iter().zip(&path).map(|(a, b)| a - b).collect()
        })
        .collect();
    let mut spread_somewhere = false;
    for k in 0..differences[0].len() {
        let column: Vec<f64> = differences.iter().map(|d| d[k]).collect();
        let mean = column.iter().sum::<f64>() / blocks as f64;
        let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (blocks - 1) as f64;
        let error = (variance / blocks as f64).sqrt();
        spread_somewhere |= error > 1e-3;
        assert!(mean.abs() < 5.0 * error + 1e-5, "parameter {k}: {mean} +- {error}");
    }
    assert!(spread_somewhere);
}

#[test]
fn training_finds_the_constant_of_a_normal_with_either_estimator() {
    for estimator in [Estimator::Full, Estimator::PathDerivative] {
        let config = FitConfig::new()
            .with_epochs(3)
            .with_batch_size(256)
            .with_learning_rate(1e-2)
            .with_average(Some(0.9));
        let run = || {
            let draws = FitData::drawn(25_600).unwrap();
            let objective = ReverseKl::new(bell).with_estimator(estimator);
            Training::new(flow(4), draws, &config).with_objective(objective).run().unwrap()
        };
        let (fitted, report) = run();
        // A tenth of the draws validate.
        assert_eq!(report.steps, 270);
        let before = log_z(&flow(4), bell, 10_000, 1024, &mut Noise::seeded(1)).unwrap();
        let found = log_z(&fitted, bell, 10_000, 1024, &mut Noise::seeded(2)).unwrap();
        assert!(found.effective_draws > 9000.0, "{found:?}");
        assert!(before.effective_draws < found.effective_draws, "{before:?} {found:?}");
        assert!((found.estimate - BELL).abs() < 4.0 * found.standard_error + 1e-4, "{found:?}");
        let last = report.best_validation_loss.unwrap();
        assert!((last + BELL).abs() < 0.02, "{last}");
        assert!(report.epochs[0].train_loss.unwrap() > last);
        // The same seed gives the same weights.
        let (again, _) = run();
        let draw = |flow: &Couplings| flow.sample_seeded::<2>(3, 1).into_data();
        assert_eq!(draw(&fitted), draw(&again));
    }
}

#[test]
fn the_standard_error_is_that_of_many_repetitions() {
    let flow = flow(5);
    let repeated = |seed| log_z(&flow, bell, 2000, 700, &mut Noise::seeded(seed)).unwrap();
    let runs: Vec<_> = (0..100).map(repeated).collect();
    let mean = runs.iter().map(|r| r.estimate).sum::<f64>() / 100.0;
    let spread = (runs.iter().map(|r| (r.estimate - mean).powi(2)).sum::<f64>() / 99.0).sqrt();
    let claimed = runs.iter().map(|r| r.standard_error).sum::<f64>() / 100.0;
    assert!((0.7..1.4).contains(&(spread / claimed)), "spread {spread}, stated {claimed}");
    assert!((mean - BELL).abs() < 5.0 * spread / 10.0 + spread * spread, "{mean}");
}

#[test]
fn targets_that_are_not_finite_are_errors() {
    let config = FitConfig::new().with_epochs(1).with_batch_size(4);
    for (bad, name) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
        let target = move |x| bell(x) * 0.0 + bad;
        let error = fit_reverse_kl(flow(1), target, &config).unwrap_err().to_string();
        let expected = format!("reverse KL target: ln p of draw 0 must be finite, found {name}");
        assert_eq!(error, expected);
        let error = log_z(&flow(1), target, 7, 4, &mut Noise::seeded(1)).unwrap_err().to_string();
        let expected = match name {
            "-inf" => "log_z target: is 0 at all 7 draws; train the flow first".to_string(),
            _ => {
                format!("log_z target: ln p - ln q of draw 0 must be finite or -inf, found {name}")
            }
        };
        assert_eq!(error, expected);
    }
}

#[test]
fn more_epochs_than_anyone_trains_are_an_error() {
    let error = FitConfig::new().with_epochs(usize::MAX).validate().unwrap_err().to_string();
    assert_eq!(error, format!("FitConfig.epochs: must be at most 16777216, found {}", usize::MAX));
}

#[test]
fn a_target_that_is_zero_on_half_the_plane_has_half_the_constant() {
    let half = |x: Tensor<2>| {
        let rows = x.dims()[0];
        let left = x.clone().slice([0..rows, 0..1]).lower_elem(0.0).reshape([rows]);
        bell(x).mask_fill(left, f64::NEG_INFINITY)
    };
    let found = log_z(&flow(5), half, 20_000, 1024, &mut Noise::seeded(1)).unwrap();
    let expected = BELL - std::f64::consts::LN_2;
    assert!((found.estimate - expected).abs() < 5.0 * found.standard_error, "{found:?}");
}

#[test]
fn a_broken_layer_is_named() {
    let device = Device::flex();
    let broken = ActNorm::from_weights(
        Tensor::from_floats([f32::NAN, 0.0], &device),
        Tensor::zeros([2], &device),
    );
    let flow = Flow::new(vec![broken], StandardNormal::<2>::new([2], &device));
    let config = FitConfig::new().with_max_skipped(2);
    let error = fit_reverse_kl(flow, bell, &config).unwrap_err().to_string();
    let start = "training stopped at step 2: 3 consecutive steps had a non-finite loss or gradient; first non-finite: ";
    assert!(error.starts_with(&format!("{start}bijector.")), "{error}");
}

#[test]
#[should_panic(expected = "target: expected 4 values, one for each draw, found 1")]
fn a_target_of_another_length_panics() {
    reverse_kl(&flow(1), &|x| bell(x).mean(), 4, &mut Noise::seeded(1), Estimator::Full);
}

#[test]
#[should_panic(expected = "reverse_kl: expected at least 1 draw, found 0")]
fn no_draws_panic() {
    reverse_kl(&flow(1), &bell, 0, &mut Noise::seeded(1), Estimator::Full);
}
