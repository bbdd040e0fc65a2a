//! Reversible training runs: draws, running statistics, checkpoints, threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use burn::optim::SgdConfig;
use burn_flows::bijector::{
    BatchNormConfig, CnfConfig, Coupling, CouplingConfig, Divergence, LogDet, Logit, Place,
    ResidualConfig, Walk,
};
use burn_flows::conditioner::{ConvNetConfig, MadeConfig, Mlp};
use burn_flows::model::*;
use burn_flows::set_threads;
use burn_flows::train::{
    FitConfig, FitData, Report, Schedule, Training, UniformNoise, VariationalDequantize, fit,
};

use super::drift::blurred_flow;
use super::*;

/// All parameters and running statistics as one list.
fn weights<M: Module>(module: &M) -> Vec<f64> {
    struct All(Vec<f64>);
    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f64>());
        }
    }
    let mut all = All(Vec::new());
    module.visit(&mut all);
    all.0
}

fn quick() -> FitConfig {
    FitConfig::new().with_epochs(3).with_batch_size(64).with_progress(false)
}

/// One step of gradient descent with a learning rate of 1, in f64, with the same draws. The change
/// of the weights is the gradient. `Running` statistics are part of the weights.
fn assert_same_step<F: Distribution<D>, const D: usize>(model: F, x: Tensor<D>) -> Vec<LayerDrift> {
    let config = quick().with_epochs(1).with_batch_size(x.dims()[0]).with_validation_fraction(0.0);
    let config = config.with_gradient_clip(None).with_learning_rate(1.0);
    let config = config.with_schedule(Schedule::Constant);
    let x = x.cast(DType::F64);
    // Each run gets its own copy, because clones share the values of running statistics.
    let model = cast(moved(model, 3), DType::F64).valid();
    let start = Distribution::init_from_data(model, x.clone(), None);
    let step = |config: &FitConfig| {
        let (model, report) = Training::new(start.valid(), x.clone(), config)
            .with_optimizer(SgdConfig::new().init())
            .run()
            .unwrap();
        let moves = weights(&model).into_iter().zip(weights(&start)).map(|(a, b)| a - b);
        (moves.collect::<Vec<_>>(), report)
    };
    let (ordinary, _) = step(&config);
    let (found, report) = step(&config.clone().with_reversible(true));
    let scale = norm(ordinary.iter().copied());
    let far = norm(ordinary.iter().zip(&found).map(|(a, b)| a - b)) / scale;
    println!("{far:.1e}, largest drift {:.1e}", largest(&report.layers));
    assert!(scale > 0.0 && far < 1e-10, "{far:e}");
    report.layers
}

#[test]
fn dropout_is_the_same_in_all_passes() {
    let mlp = MlpConfig::new(vec![16, 16]).with_dropout(0.3);
    let flow = RealNvpConfig::new(4).with_mlp(mlp).init(&Device::flex());
    let layers = assert_same_step(flow, normal([600, 4], 1));
    assert!(layers.iter().all(|layer| layer.recovery == Recovery::Inverse), "{layers:?}");
    let made = MadeConfig::new(vec![16, 16]).with_dropout(0.3);
    let flow = MafConfig::new(4).with_made(made).init(&Device::flex());
    assert_same_step(flow, normal([600, 4], 1));
    let network = ConvNetConfig::new(8).with_dropout(0.3);
    let glow = GlowConfig::new([1, 8, 8], 2).with_steps(2).with_network(network);
    let layers = assert_same_step(glow.init(&Device::flex()), normal([60, 1, 8, 8], 1));
    assert!(layers.iter().all(|layer| layer.recovery == Recovery::Inverse), "{layers:?}");
}

#[test]
fn estimated_log_determinants_are_the_same_in_both_passes() {
    let device = Device::flex();
    let series = LogDet::Series { terms: 2, roulette: Some(0.5), probes: 1 };
    let config = ResidualFlowConfig::new(4).with_layers(3).with_hidden(vec![16]);
    let flow = config.with_training(series).init(&device);
    assert_same_step(flow, normal([200, 4], 1));
    let cnf = CnfConfig::new(4).with_hidden(vec![8]);
    let cnf = cnf.with_training(Divergence::Hutchinson { probes: 1 }).init(&device);
    let coupling = CouplingConfig::new(4).init(Affine::default(), &device);
    let block = ResidualConfig::new(4).with_hidden(vec![8]).with_training(series).init(&device);
    let flow = Flow::new((coupling, cnf, block), StandardNormal::<2>::new([4], &device));
    assert_same_step(flow, normal([60, 4], 1));
}

#[test]
fn running_statistics_move_once_in_a_step() {
    let device = Device::flex();
    let coupling = || CouplingConfig::new(4).init(Affine::default(), &device);
    let norm = || BatchNormConfig::new(4).init(&device);
    let layers = vec![(coupling(), norm()), (coupling(), norm())];
    let flow = Flow::new(layers, StandardNormal::<2>::new([4], &device));
    let layers = assert_same_step(flow, normal([600, 4], 1) * 2.0 + 1.0);
    assert_eq!(layers[0].recovery, Recovery::Graph);
}

fn small() -> RealNvp {
    let mlp = MlpConfig::new(vec![16, 16]);
    RealNvpConfig::new(2).with_layers(4).with_mlp(mlp).init(&Device::flex())
}

#[test]
fn fit_learns_the_same() {
    let x = normal([300, 2], 1) * 3.0 + 1.0;
    let flow = moved(small(), 3);
    let (_, ordinary) = fit(flow.clone(), x.clone(), &quick()).unwrap();
    let (_, found) = fit(flow, x, &quick().with_reversible(true)).unwrap();
    assert!(ordinary.layers.is_empty() && found.layers.len() == 4);
    for (a, b) in ordinary.epochs.iter().zip(&found.epochs) {
        let [a, b] =
            [a, b].map(|epoch| (epoch.train_loss.unwrap(), epoch.validation_loss.unwrap()));
        assert!((a.0 - b.0).abs() < 1e-3 && (a.1 - b.1).abs() < 1e-3, "{a:?} {b:?}");
    }
    assert!(ordinary.epochs[2].train_loss < ordinary.epochs[0].train_loss);
}

/// A flow that panics after a number of calls: a crash in the middle of an epoch.
#[derive(Module, Debug)]
struct Bomb<F> {
    flow: F,
    #[module(skip)]
    fuse: Arc<AtomicUsize>,
}

impl<F: Distribution<2>> Distribution<2> for Bomb<F> {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        Distribution::log_prob(&self.flow, x, context)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        Distribution::sample(&self.flow, n, context, noise, device)
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, x: Tensor<2>) -> Tensor<2> {
        let left = self.fuse.fetch_sub(1, Ordering::Relaxed);
        assert!(left > 0, "no calls are left");
        self.flow.walk(walk, &at.part("flow"), x)
    }
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let flow =
        Flow::new((blurred_flow().into_parts().0, dropped_out()), blurred_flow().into_parts().1);
    let bomb = |fuse| Bomb { flow: flow.clone(), fuse: Arc::new(AtomicUsize::new(fuse)) };
    let x = normal([300, 4], 1);
    let config = quick().with_epochs(6).with_reversible(true);
    let (whole, report) = fit(bomb(1000), x.clone(), &config).unwrap();
    let keeps = |report: &Report| report.layers.iter().any(|l| l.recovery == Recovery::Input);
    assert!(keeps(&report), "{report:?}");

    // 270 rows in batches of 64 are 5 steps per epoch, and the first step runs twice. This run
    // panics in the fourth epoch.
    let config = config.with_checkpoint(Some(folder.path().to_path_buf()));
    let crash = || fit(bomb(5 * 3 + 3), x.clone(), &config);
    assert!(catch_unwind(AssertUnwindSafe(crash)).is_err());

    let (resumed, again) = fit(bomb(1000), x.clone(), &config).unwrap();
    assert_eq!(again.resumed_from, Some(3));
    assert_eq!(again.epochs, report.epochs);
    assert_eq!(again.layers, report.layers);
    assert_eq!(weights(&whole), weights(&resumed));

    // A run without the option has another configuration.
    let other = fit(bomb(1000), x, &config.with_reversible(false)).unwrap_err();
    assert!(other.to_string().contains("belongs to a run with another configuration"), "{other}");
}

fn dropped_out() -> Coupling<Affine, Mlp> {
    let mlp = MlpConfig::new(vec![16]).with_dropout(0.2);
    CouplingConfig::new(4).with_mlp(mlp).init(Affine::default(), &Device::flex())
}

/// The number of threads is a setting of the process.
static TURN: Mutex<()> = Mutex::new(());

/// Asserts that `compute` returns the same with 1, 2 and 5 threads.
fn assert_same_on_threads<T: PartialEq + std::fmt::Debug>(compute: impl Fn() -> T) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let [one, two, five] = [1, 2, 5].map(|threads| {
        set_threads(threads);
        compute()
    });
    set_threads(0);
    assert_eq!(one, two);
    assert_eq!(one, five);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let x = normal([1500, 4], 1);
    let (stack, base) = blurred_flow().into_parts();
    let start = Flow::new((stack, dropped_out()), base);
    let config = quick().with_epochs(1).with_batch_size(1000).with_reversible(true);
    assert_same_on_threads(|| {
        let (model, report) = fit(start.clone(), x.clone(), &config).unwrap();
        assert!(report.layers.iter().any(|layer| layer.recovery == Recovery::Input));
        (weights(&model), report.layers)
    });
    let glow = GlowConfig::new([1, 8, 8], 2).with_steps(2).with_network(ConvNetConfig::new(8));
    let glow = moved(glow.init(&Device::flex()), 3).train();
    let images = normal([150, 1, 8, 8], 1);
    assert_same_on_threads(|| {
        let mut reversible = Reversible::new();
        let (value, gradients) = reversible.nll_gradients(&glow, &images);
        (value, flat(&glow, &gradients), reversible.layers().to_vec())
    });
}

#[test]
fn integers_with_noise_of_their_own_are_fitted() {
    let device = Device::flex();
    let coupling = CouplingConfig::new(4).init(Affine::default(), &device);
    let stack = (Logit::new(0.01).unwrap(), coupling);
    let flow = Flow::new(stack, StandardNormal::<2>::new([4], &device));
    let model = VariationalDequantize::new(flow, UniformNoise {}, 8).unwrap();
    let x = (Noise::seeded(1).uniform::<2>([300, 4], &device) * 8.0).floor();
    // This model is not a flow, so it is differentiated as a whole.
    assert!(assert_same_step(model, x).is_empty());
}

#[test]
fn data_with_a_context_are_fitted() {
    let (x, context) = (normal([300, 2], 1), normal([300, 3], 2));
    let flow = RealNvpConfig::new(2).with_layers(2).with_context(3).init(&Device::flex());
    let data = FitData::new(x).with_context(context);
    let (_, report) = fit(flow, data, &quick().with_reversible(true)).unwrap();
    assert_eq!(report.epochs.len(), 3);
}
