//! Training: what it learns, how it resumes, what it refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use burn_flows::bijector::{ActNorm, ActNormConfig, BatchNormConfig, Exp, LuLinearConfig};
use burn_flows::burn;
use burn_flows::distribution::DiagNormalConfig;
use burn_flows::model::RealNvp;
use burn_flows::prelude::*;
use burn_flows::train::{Dequantize, FitConfig, FitData, Schedule, Stop, fit, nll};

/// A banana: `x2` follows `x1^2`. Entropy `ln(2 pi e) + ln(2 * 0.3)` nats.
fn banana(rows: usize, seed: u64) -> Tensor<2> {
    let normal = Noise::seeded(seed).normal::<2>([rows, 2], &Device::flex());
    let x1 = normal.clone().narrow(1, 0, 1) * 2.0;
    let x2 = normal.narrow(1, 1, 1) * 0.3 + x1.clone() * x1.clone() * 0.5;
    Tensor::cat(vec![x1, x2], 1)
}

const BANANA_ENTROPY: f64 = 2.837_877_066_409_345 - 0.510_825_623_765_990_7;

fn small() -> RealNvpConfig {
    RealNvpConfig::new(2)
        .with_layers(4)
        .with_mlp(MlpConfig::new(vec![32, 32]).with_activation(ActivationConfig::Silu))
}

fn quick() -> FitConfig {
    FitConfig::new().with_epochs(6).with_batch_size(64).with_progress(false)
}

fn numbers<M: Distribution<2>>(module: &M, x: Tensor<2>) -> Vec<f32> {
    module.log_prob(x, None).into_data().try_to_vec_as::<f32>().unwrap()
}

#[test]
fn learns_a_curved_density_to_its_entropy() {
    let flow = small().with_layers(6).init(&Device::flex());
    let config = FitConfig::new()
        .with_epochs(30)
        .with_batch_size(128)
        .with_learning_rate(4e-3)
        .with_average(Some(0.99))
        .with_progress(false);
    let (flow, report) = fit(flow, banana(4000, 1), &config).unwrap();
    let test = nll(&flow, banana(4000, 2), None, 1024);
    assert!(test < BANANA_ENTROPY + 0.05, "{test} against {BANANA_ENTROPY}");
    assert!(test > BANANA_ENTROPY - 0.05, "no density beats the entropy: {test}");
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
    let found = nll(&normal, x, None, 512);
    assert!((found - closed).abs() < 2e-3, "{found} against {closed}");
    assert_eq!(report.best_validation_nll, None);
    assert_eq!(report.best_epoch, 60);
}

#[test]
fn the_same_seed_gives_the_same_weights_and_another_seed_others() {
    let flow = small().with_mlp(MlpConfig::new(vec![16]).with_dropout(0.3)).init(&Device::flex());
    let run = |seed| fit(flow.clone(), banana(300, 1), &quick().with_seed(seed)).unwrap().0;
    let x = banana(50, 9);
    assert_eq!(numbers(&run(1), x.clone()), numbers(&run(1), x.clone()));
    assert_ne!(numbers(&run(1), x.clone()), numbers(&run(2), x));
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
    let layers = (
        BatchNormConfig::new(2).init(&device),
        small().init(&device).into_parts().0,
        LuLinearConfig::new(2).init(&device),
    );
    let flow = Flow::new(layers, StandardNormal::<2>::new([2], &device));
    // Large batches: the tail of the banana makes the variance of 64 rows a poor estimate.
    let config = quick().with_epochs(60).with_batch_size(512).with_learning_rate(5e-3);
    let (flow, _) = fit(flow, banana(4000, 1) * 5.0 + 7.0, &config).unwrap();
    let test = nll(&flow, banana(2000, 2) * 5.0 + 7.0, None, 512);
    let entropy = BANANA_ENTROPY + 2.0 * 5f64.ln();
    assert!(test < entropy + 0.25, "{test} against {entropy}");
}

#[test]
fn a_context_is_learned() {
    let device = Device::flex();
    let context = Noise::seeded(5).uniform::<2>([3000, 1], &device) * 6.0 - 3.0;
    let x =
        Noise::seeded(6).normal::<2>([3000, 2], &device) * 0.1 + context.clone().expand([3000, 2]);
    let flow = small().with_context(1).init(&device);
    let config = quick().with_epochs(15).with_learning_rate(3e-3);
    let data = FitData::new(x).with_context(context);
    let (flow, _) = fit(flow, data, &config).unwrap();
    for c in [-2.0, 2.0] {
        let x = flow.sample_given(400, &Tensor::from_floats([[c]], &device));
        let mean = x.mean().into_scalar::<f64>();
        assert!((mean - c).abs() < 0.2, "context {c} gives mean {mean}");
    }
}

#[test]
fn early_stopping_returns_the_best_weights() {
    let flow = small().init(&Device::flex());
    let config = quick()
        .with_epochs(400)
        .with_patience(Some(5))
        .with_learning_rate(2e-2)
        .with_schedule(Schedule::Constant)
        .with_validation_fraction(0.5);
    let validation = banana(60, 8);
    let data = FitData::new(banana(60, 7)).with_validation(validation.clone(), None);
    let (flow, report) = fit(flow, data, &config).unwrap();
    assert_eq!(report.stop, Stop::EarlyStopping);
    assert_eq!(report.epochs.len(), report.best_epoch + 5);
    let best = report.best_validation_nll.unwrap();
    let least = report.epochs.iter().map(|e| e.validation_nll.unwrap()).fold(f64::MAX, f64::min);
    assert_eq!(best, least);
    assert!((nll(&flow, validation, None, 1024) - best).abs() < 1e-6);
}

/// A density that panics when its fuse has burnt down: a crash in the middle of an epoch.
#[derive(Module, Debug)]
struct Bomb<F> {
    inner: F,
    #[module(skip)]
    fuse: Arc<AtomicUsize>,
}

impl<F> Bomb<F> {
    fn new(inner: F, fuse: usize) -> Self {
        Self { inner, fuse: Arc::new(AtomicUsize::new(fuse)) }
    }
}

impl<F: Distribution<2>> Distribution<2> for Bomb<F> {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let left = self.fuse.fetch_sub(1, Ordering::Relaxed);
        assert!(left > 0, "the fuse has burnt down");
        self.inner.log_prob(x, context)
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

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let base = small().with_mlp(MlpConfig::new(vec![16, 16]).with_dropout(0.2));
    let flow = base.init(&Device::flex());
    let config = quick().with_epochs(8).with_average(Some(0.9)).with_weight_decay(0.01);
    let (whole, report) = fit(Bomb::new(flow.clone(), 1000), banana(300, 1), &config).unwrap();

    // 270 rows in batches of 64 are 5 steps and a validation an epoch; this dies in the sixth.
    let config = config.with_checkpoint(Some(folder.path().to_path_buf()));
    let crash = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        fit(Bomb::new(flow, 5 * 6 + 3), banana(300, 1), &config)
    }));
    assert!(crash.is_err());

    let fresh = Bomb::new(base.init(&Device::flex()), 1000);
    let (resumed, again) = fit(fresh, banana(300, 1), &config).unwrap();
    assert_eq!(again.resumed_from, Some(5));
    assert_eq!(again.epochs, report.epochs);
    let x = banana(100, 3);
    assert_eq!(numbers(&whole, x.clone()), numbers(&resumed, x));

    // A finished run resumes to its own end.
    let (finished, last) = fit(resumed.clone(), banana(300, 1), &config).unwrap();
    assert_eq!((last.resumed_from, last.epochs.len()), (Some(8), 8));
    assert_eq!(numbers(&finished, banana(9, 4)), numbers(&resumed, banana(9, 4)));
}

#[test]
fn a_checkpoint_of_other_data_or_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let flow = small().init(&Device::flex());
    let config = quick().with_epochs(1).with_checkpoint(Some(folder.path().to_path_buf()));
    fit(flow.clone(), banana(100, 1), &config).unwrap();
    let other_data = fit(flow.clone(), banana(100, 2), &config).unwrap_err();
    let other_config = fit(flow, banana(100, 1), &config.with_seed(5)).unwrap_err();
    for error in [other_data, other_config] {
        assert!(matches!(error, Error::Format { .. }));
        assert!(
            error.to_string().contains("belongs to another configuration or other data"),
            "{error}"
        );
    }
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let flow = small().init(&Device::flex());
    let config = quick().with_epochs(1).with_checkpoint(Some(folder.path().to_path_buf()));
    fit(flow.clone(), banana(100, 1), &config).unwrap();
    let file = folder.path().join("checkpoint.safetensors");
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    for bad in [&flipped[..], &whole[..whole.len() / 2], &[]] {
        std::fs::write(&file, bad).unwrap();
        let error = fit(flow.clone(), banana(100, 1), &config).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{error}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in the way");
    std::fs::write(&file, "a file, no folder").unwrap();
    let config = quick().with_epochs(1).with_checkpoint(Some(file));
    let error = fit(small().init(&Device::flex()), banana(100, 1), &config).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

/// Turns every parameter into NaN.
struct Spoil;

impl ModuleMapper for Spoil {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|t| t * f32::NAN)
    }
}

/// A flow whose second layer is broken by its weights.
#[test]
fn non_finite_training_stops_with_the_name_of_the_layer() {
    let device = Device::flex();
    let good = small().init(&device).into_parts().0;
    let bad = ActNorm::from_weights(Tensor::zeros([2], &device), Tensor::zeros([2], &device))
        .map(&mut Spoil);
    let flow = Flow::new((good, bad), StandardNormal::<2>::new([2], &device));
    let config = quick().with_max_skipped(3);
    let error = fit(flow, banana(600, 1), &config).unwrap_err();
    let Error::NonFinite { step, skipped, layer } = error else { panic!("{error}") };
    assert_eq!((step, skipped), (3, 4));
    assert_eq!(layer, "bijector.1.log_scale");
}

/// `exp` twice overflows on data that a single one could take.
#[test]
fn an_overflowing_layer_is_named() {
    let device = Device::flex();
    let layers = (
        ActNorm::from_weights(Tensor::ones([2], &device), Tensor::zeros([2], &device)),
        Exp {},
        Exp {},
    );
    let flow = Flow::new(layers, StandardNormal::<2>::new([2], &device));
    let error = fit(flow, banana(200, 1) + 10.0, &quick().with_max_skipped(0)).unwrap_err();
    let Error::NonFinite { layer, .. } = error else { panic!("{error}") };
    assert_eq!(layer, "bijector.2 (Exp)");
}

/// One batch in an epoch makes the loss infinite; the others train.
#[derive(Module, Debug)]
struct Hiccup {
    inner: RealNvp,
}

impl Distribution<2> for Hiccup {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let marked = x.clone().max().into_scalar::<f32>() > 100.0;
        let log_prob = Distribution::log_prob(&self.inner, x, context);
        if marked { log_prob * f32::INFINITY } else { log_prob }
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        Distribution::sample(&self.inner, n, context, noise, device)
    }
}

#[test]
fn a_rare_non_finite_step_is_skipped_and_counted() {
    let device = Device::flex();
    let mark = Tensor::<2>::from_floats([[1000.0, 0.0]], &device);
    let data = FitData::new(Tensor::cat(vec![banana(639, 1), mark], 0))
        .with_validation(banana(100, 2), None);
    let flow = Hiccup { inner: small().init(&device) };
    let (flow, report) = fit(flow, data, &quick().with_epochs(5)).unwrap();
    assert_eq!((report.steps, report.skipped_steps), (50, 5));
    assert!(report.epochs[4].validation_nll < report.epochs[0].validation_nll);
    assert!(numbers(&flow.inner, banana(10, 1)).iter().all(|v| v.is_finite()));
}

#[test]
fn integers_are_dequantized_anew_and_scored_in_bits() {
    let device = Device::flex();
    // Two pixels with four levels, the second a copy of the first: 2 bits in 2 dimensions.
    let mut noise = Noise::seeded(2);
    let values: Vec<f32> = (0..2000).flat_map(|_| [noise.next_below(4) as f32; 2]).collect();
    let x = Tensor::<2>::from_data(burn::tensor::TensorData::new(values, [2000, 2]), &device);
    let dequantize = Dequantize::new(4).unwrap();
    let layers = (
        burn_flows::bijector::Logit::new(0.01).unwrap(),
        RealNvpConfig::new(2)
            .with_layers(6)
            .with_mlp(MlpConfig::new(vec![64, 64]))
            .init(&device)
            .into_parts()
            .0,
    );
    let flow = Flow::new(layers, StandardNormal::<2>::new([2], &device));
    let data = FitData::new(x).with_dequantization(dequantize);
    let config = quick().with_epochs(30).with_learning_rate(3e-3);
    let (_, report) = fit(flow, data, &config).unwrap();
    let bits = burn_flows::train::bits_per_dim(report.best_validation_nll.unwrap(), 2, 4);
    assert!(bits < 1.6, "a uniform density has 2 bits, the truth 1: {bits}");
    assert!(bits > 1.0, "no density beats the truth: {bits}");
}

#[test]
fn hostile_data_are_errors_that_say_what_and_where() {
    let device = Device::flex();
    let tensor = |rows: &[[f32; 2]]| {
        let flat: Vec<f32> = rows.iter().flatten().copied().collect();
        Tensor::<2>::from_data(burn::tensor::TensorData::new(flat, [rows.len(), 2]), &device)
    };
    let flow = small().init(&device);
    let refused = |data: FitData<2>| fit(flow.clone(), data, &quick()).unwrap_err().to_string();
    let good = [[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]];
    assert_eq!(refused(tensor(&good[..1]).into()), "training data: needs at least 2 rows, found 1");
    assert_eq!(
        refused(tensor(&[[1.0, 2.0], [f32::INFINITY, 0.0]]).into()),
        "training data: row 1 holds inf"
    );
    assert_eq!(
        refused(tensor(&[[1.0, 2.0], [1.0, 3.0]]).into()),
        "training data: column 0 is constant (1), its density is infinite; leave it out"
    );
    let dequantize = Dequantize::new(4).unwrap();
    assert_eq!(
        refused(FitData::new(tensor(&good)).with_dequantization(dequantize)),
        "integer data: row 1 holds 5, expected an integer below 4 levels"
    );
    assert_eq!(
        refused(FitData::new(tensor(&good)).with_context(Tensor::zeros([2, 1], &device))),
        "training data: 3 rows, but 2 rows of context"
    );
    assert_eq!(
        refused(FitData::new(tensor(&good)).with_validation(tensor(&[[f32::NAN, 0.0]]), None)),
        "validation data: row 0 holds NaN"
    );
}

#[test]
fn hostile_configurations_name_the_field() {
    let text = |config: FitConfig| config.validate().unwrap_err().to_string();
    let base = FitConfig::new;
    assert_eq!(text(base().with_epochs(0)), "FitConfig.epochs: must be at least 1, found 0");
    assert_eq!(
        text(base().with_batch_size(0)),
        "FitConfig.batch_size: must be at least 1, found 0"
    );
    assert_eq!(
        text(base().with_learning_rate(f64::NAN)),
        "FitConfig.learning_rate: must be in (0, 1], found NaN"
    );
    assert_eq!(
        text(base().with_average(Some(1.0))),
        "FitConfig.average: must be in [0, 1), found 1"
    );
    assert_eq!(
        text(base().with_gradient_clip(Some(0.0))),
        "FitConfig.gradient_clip: must be positive, found 0"
    );
    assert_eq!(
        text(base().with_validation_fraction(1.0)),
        "FitConfig.validation_fraction: must be in [0, 1), found 1"
    );
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
    // 115 rows are 2 steps an epoch, so the last steps of the epochs are 1, 3 and 5 of 6.
    let expected =
        [1.0, 3.0, 5.0].map(|t: f64| 5e-3 * (1.0 + (std::f64::consts::PI * t / 6.0).cos()));
    cosine.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{a} {b}"));
    let exponential = rates(Schedule::Exponential { gamma: 0.5 });
    assert!((exponential[0] / exponential[2] - 16.0).abs() < 1e-9, "{exponential:?}");
}

/// Epochs without a single good step are reported as such, and a run resumes over them.
#[test]
fn epochs_that_were_skipped_whole_survive_a_checkpoint() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let mark = Tensor::<2>::from_floats([[1000.0, 0.0]], &device);
    let data = FitData::new(Tensor::cat(vec![banana(59, 1), mark], 0))
        .with_validation(banana(20, 2), None);
    let config = quick().with_epochs(3).with_checkpoint(Some(folder.path().to_path_buf()));
    let hiccup = || Hiccup { inner: small().init(&device) };
    let (_, report) = fit(hiccup(), data.clone(), &config).unwrap();
    assert!(report.epochs.iter().all(|epoch| epoch.train_nll.is_none()));
    assert_eq!((report.steps, report.skipped_steps), (3, 3));
    let (_, again) = fit(hiccup(), data, &config).unwrap();
    assert_eq!((again.resumed_from, again.epochs), (Some(3), report.epochs));
}
