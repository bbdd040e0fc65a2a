//! A run that trains nothing ends in an error that states the reason.

use burn::optim::{LearningRate, ModuleOptimizer, Optimizer, Sgd, SgdState};
use burn_flows::bijector::{ActNormConfig, Coupling, Logit};
use burn_flows::conditioner::Mlp;
use burn_flows::distribution::{Mixture, Uniform};
use burn_flows::model::NsfConfig;
use burn_flows::train::{
    Estimator, FitData, ReverseKl, Training, WarningKind, fit, fit_reverse_kl,
};
use burn_flows::univariate::Affine;

use super::*;

/// `log_prob` is infinite for the first `calls` calls.
#[derive(Module, Debug)]
struct Flicker<F> {
    inner: F,
    #[module(skip)]
    calls: Arc<AtomicUsize>,
}

impl<F: Distribution<2>> Distribution<2> for Flicker<F> {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let log_prob = self.inner.log_prob(x, context);
        let left = |calls: usize| calls.checked_sub(1);
        match self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left) {
            Ok(_) => log_prob * f32::INFINITY,
            Err(_) => log_prob,
        }
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

fn unit(rows: usize, seed: u64) -> Tensor<2> {
    Noise::seeded(seed).uniform::<2>([rows, 2], &Device::flex()) * 0.8 + 0.1
}

/// The rows with a 0 as one element of row `row`.
fn with_zero(x: Tensor<2>, row: usize) -> Tensor<2> {
    let zero = Tensor::zeros([1, 1], &Device::flex());
    x.slice_assign([row..row + 1, 1..2], zero)
}

type BehindLogit = Flow<(Logit, Vec<Coupling<Affine, Mlp>>), StandardNormal<2>>;

fn behind_logit() -> BehindLogit {
    let device = Device::flex();
    let (layers, base) = small().init(&device).into_parts();
    Flow::new((Logit::new(0.0).unwrap(), layers), base)
}

#[test]
fn a_validation_row_outside_the_support_is_named() {
    for reversible in [false, true] {
        let data = FitData::new(unit(100, 1)).with_validation(with_zero(unit(30, 2), 17));
        let config = quick().with_reversible(reversible).with_average(Some(0.9));
        let error = fit(behind_logit(), data, &config).unwrap_err();
        let Error::Data { what, reason } = error else { panic!("{error}") };
        assert_eq!(what, "validation data");
        assert_eq!(
            reason,
            "ln p of row 17 is -inf after the last epoch, and no epoch had a finite validation NLL; \
             first non-finite: bijector.0 (Logit); remove the row, or choose layers and a base whose \
             support contains the row"
        );
    }
}

#[test]
fn a_row_that_was_held_out_is_named_by_its_place_in_the_training_data() {
    let texts = (0..20).map(|seed| {
        let config = quick().with_validation_fraction(0.5).with_seed(seed);
        let data = with_zero(unit(40, 1), 7);
        fit(behind_logit(), data, &config).unwrap_err().to_string()
    });
    let texts: Vec<String> = texts.collect();
    let (held, trained): (Vec<_>, Vec<_>) = texts.iter().partition(|t| t.contains("held out"));
    assert!(!held.is_empty() && !trained.is_empty());
    for text in held {
        let start = "training data, held out for validation: ln p of row 7 is -inf";
        assert!(text.starts_with(start), "{text}");
    }
    for text in trained {
        assert!(text.ends_with("first non-finite: bijector.0 (Logit)"), "{text}");
    }
}

#[test]
fn a_resumed_run_without_trained_weights_is_an_error_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = quick().with_checkpoint(Some(folder.path().to_path_buf()));
    let data = FitData::new(unit(100, 1)).with_validation(with_zero(unit(30, 2), 17));
    let first = fit(behind_logit(), data.clone(), &config).unwrap_err().to_string();
    let again = fit(behind_logit(), data, &config).unwrap_err().to_string();
    assert!(first.contains("row 17"), "{first}");
    assert_eq!(first, again);
}

#[test]
fn steps_that_were_all_skipped_are_an_error_however_few() {
    let data = with_zero(unit(40, 1), 7);
    let config = quick().with_epochs(2).with_validation_fraction(0.0);
    let error = fit(behind_logit(), data, &config).unwrap_err();
    let Error::NonFinite { step, skipped, layer } = error else { panic!("{error}") };
    assert_eq!((step, skipped, layer.as_str()), (2, 2, "bijector.0 (Logit)"));

    let target = |x: Tensor<2>| x.sum_dim(1).reshape([-1]) * f32::NAN;
    let flow = Flow::new(
        ActNormConfig::new(2).init(&Device::flex()),
        StandardNormal::<2>::new([2], &Device::flex()),
    );
    assert!(fit_reverse_kl(flow, target, &quick().with_epochs(1)).is_err());
}

#[test]
fn the_first_weights_are_never_the_best() {
    let device = Device::flex();
    let start = small().init(&device);
    // Two steps per epoch. Those of the first epoch are skipped, then a high learning rate makes
    // the weights worse.
    let data = || FitData::new(banana(128, 1)).with_validation(banana(60, 2));
    // `fit` first tries rows in three calls. The fifth call searches for the row whose loss is not finite, the sixth
    // for the layer of the first step.
    let flow = Flicker { inner: start.clone(), calls: Arc::new(AtomicUsize::new(7)) };
    let config = quick().with_epochs(2).with_learning_rate(1.0).with_average(Some(0.999));
    let (flow, report) = fit(flow, data(), &config).unwrap();
    assert_eq!((report.skipped_steps, report.best_epoch), (2, 2));
    assert_eq!(report.epochs[0].train_loss, None);
    assert!(report.best_validation_loss > report.epochs[0].validation_loss);
    assert_ne!(numbers(&flow.inner, banana(9, 3)), numbers(&start, banana(9, 3)));
}

#[test]
fn gradients_of_zero_are_an_error_that_names_the_column() {
    let outside = Noise::seeded(1).normal::<2>([200, 2], &Device::flex()) * 0.1 + 50.0;
    let far = outside.clone() + Tensor::<2>::from_data([[0.0, 1e6]], &Device::flex());
    for (data, start) in [
        (far, "training data: column 1 has mean 1.000e6 and standard deviation"),
        (outside, "training data: every gradient was 0, for example because all rows lie outside"),
    ] {
        let flow = NsfConfig::new(2).with_layers(2).init(&Device::flex());
        let error = fit(flow, data, &quick()).unwrap_err().to_string();
        assert!(error.starts_with(start), "{error}");
        assert!(error.contains("every gradient was 0"), "{error}");
    }
}

#[test]
fn a_flow_without_a_trained_parameter_is_refused() {
    let text = "fit.flow: has no parameter to train; unfreeze a part, or choose a model that has \
                parameters";
    let (layers, base) = small().init(&Device::flex()).into_parts();
    let frozen = Flow::new(layers.freeze(), base.clone());
    assert_eq!(fit(base, banana(50, 1), &quick()).unwrap_err().to_string(), text);
    assert_eq!(fit(frozen.clone(), banana(50, 1), &quick()).unwrap_err().to_string(), text);
    let target = |x: Tensor<2>| x.square().sum_dim(1).reshape([-1]) * -0.5;
    let error = fit_reverse_kl(frozen, target, &quick().with_epochs(1)).unwrap_err();
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_learning_rate_of_zero_trains_nothing() {
    use burn::lr_scheduler::LrSchedulerConfig;
    use burn_flows::train::Schedule;

    let rates = LrSchedulerConfig::Constant(0.0);
    let config = quick().with_schedule(Schedule::Burn(rates));
    let error = fit(small().init(&Device::flex()), banana(50, 1), &config).unwrap_err();
    assert!(matches!(error, Error::Config { field: "schedule", .. }), "{error}");
}

#[test]
fn a_reverse_kl_whose_rates_or_gradients_are_zero_is_an_error() {
    use burn::lr_scheduler::LrSchedulerConfig;
    use burn_flows::train::Schedule;

    let device = Device::flex();
    let target = |x: Tensor<2>| (x - 1.0).square().sum_dim(1).reshape([-1]) * -0.5;
    let config = quick().with_epochs(1).with_batch_size(10);
    let rates = Schedule::Burn(LrSchedulerConfig::Constant(0.0));
    let still = config.clone().with_schedule(rates);
    let error = fit_reverse_kl(small().init(&device), target, &still).unwrap_err();
    let text =
        "FitConfig.schedule: gives a learning rate of 0 in every step; choose another schedule";
    assert_eq!(error.to_string(), text);

    let (splines, _) = NsfConfig::new(2).with_layers(2).init(&device).into_parts();
    let [low, high] = [50.0, 60.0].map(|end| Tensor::<2>::full([1, 2], end, &device));
    let flow = Flow::new(splines, Uniform::new(low, high).unwrap());
    for estimator in [Estimator::Full, Estimator::PathDerivative] {
        let objective = ReverseKl::new(target).with_estimator(estimator);
        let draws = FitData::drawn(30).unwrap();
        let training = Training::new(flow.clone(), draws, &config).with_objective(objective);
        let error = training.run().unwrap_err().to_string();
        assert!(error.starts_with("training draws: every gradient was 0, for example"), "{error}");
    }
}

#[test]
fn clones_in_one_model_are_refused() {
    let device = Device::flex();
    let flow = small().with_layers(1).init(&device);
    let twice = Mixture::new(vec![flow.clone(), flow.clone()], &device).unwrap();
    let reason = "has one trained parameter in two places, \
                  `components.0.bijector.0.conditioner.input.weight` and \
                  `components.1.bijector.0.conditioner.input.weight`, because clones share parameters; \
                  build each part with its own call of `init`";
    let error = fit(twice, banana(50, 1), &quick()).unwrap_err().to_string();
    assert_eq!(error, format!("fit.flow: {reason}"));
    let (mut layers, base) = flow.into_parts();
    layers.extend(layers.clone());
    let target = |x: Tensor<2>| x.square().sum_dim(1).reshape([-1]) * -0.5;
    let stacked = Flow::new(layers, base);
    let error = fit_reverse_kl(stacked, target, &quick()).unwrap_err().to_string();
    assert!(error.contains("`bijector.0.conditioner.input.weight` and `bijector.1."), "{error}");

    // Frozen clones are not trained, and separately built parts share no parameter.
    let frozen = small().with_layers(1).init(&device).no_grad();
    let parts = vec![frozen.clone(), frozen, small().with_layers(1).init(&device)];
    let mixture = Mixture::new(parts, &device).unwrap();
    assert!(fit(mixture, banana(50, 1), &quick().with_epochs(1)).is_ok());
}

/// Sets all weights to NaN.
#[derive(Clone)]
struct Spoiler;

impl Optimizer for Spoiler {
    type State<const D: usize> = SgdState<D>;

    fn step<const D: usize>(
        &self,
        _rate: LearningRate,
        weight: Tensor<D>,
        _gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        (weight * f32::NAN, state)
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        Sgd::to_device(state, device)
    }
}

#[test]
fn weights_that_are_not_finite_are_not_returned() {
    for fraction in [0.0, 0.3] {
        let config = quick().with_epochs(1).with_validation_fraction(fraction);
        let optimizer = ModuleOptimizer::from(Spoiler);
        let flow = small().init(&Device::flex());
        let training = Training::new(flow, banana(50, 1), &config).with_optimizer(optimizer);
        let error = training.run().unwrap_err();
        let text = "training stopped at step 1: the weights are not finite; first non-finite: \
                    bijector.0.conditioner.input.weight";
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_skipped_step_names_its_row() {
    let data = FitData::new(with_zero(unit(60, 1), 7)).with_validation(unit(30, 2));
    let config = quick().with_epochs(3).with_batch_size(16);
    let (_, report) = fit(behind_logit(), data, &config).unwrap();
    assert_eq!(report.skipped_steps, 3);
    let [warning] = &report.warnings[..] else { panic!("{:?}", report.warnings) };
    assert_eq!(warning.kind, WarningKind::NotFinite);
    let text = warning.to_string();
    assert!(text.contains("was skipped, because the loss of a row is "), "{text}");
    assert!(text.contains(", 0.0]; remove rows outside of the support of the model"), "{text}");
}

#[test]
fn an_objective_without_data_refuses_rows() {
    let target = |x: Tensor<2>| x.square().sum_dim(1).reshape([-1]) * -0.5;
    let training = Training::new(small().init(&Device::flex()), banana(100, 1), &quick());
    let error = training.with_objective(ReverseKl::new(target)).run().unwrap_err().to_string();
    let wanted = "training data: ReverseKl draws its rows, found rows of data; pass FitData::drawn";
    assert_eq!(error, wanted);
}
