//! Rows in parallel: evaluation and training give the same bits for every number of threads and for
//! every calling thread.

#[path = "../common/built.rs"]
mod built;
mod callers;
mod draws;
mod rows;
#[path = "../common/whole.rs"]
mod whole;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use built::built;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use burn_flows::bijector::*;
use burn_flows::conditioner::ConvNetConfig;
use burn_flows::model::{Glow, GlowConfig, RealNvp};
use burn_flows::prelude::*;
use burn_flows::testing::moved;
use burn_flows::train::{FitConfig, FitData, fit, nll_gradients};
use burn_flows::{burn, set_threads};
use whole::Whole;

/// The number of threads is a setting of the process, so these tests run one at a time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The results of `compute` with 1, 2 and 5 threads.
fn with_threads<T>(compute: impl Fn() -> T) -> [T; 3] {
    let _turn = turn();
    let results = [1, 2, 5].map(|threads| {
        set_threads(threads);
        compute()
    });
    set_threads(0);
    results
}

fn assert_same(compute: impl Fn() -> Vec<TensorData>) {
    let [one, two, five] = with_threads(compute);
    assert!(one.iter().all(|data| data.iter::<f32>().all(f32::is_finite)));
    assert_eq!(one, two);
    assert_eq!(one, five);
}

fn vectors(context: usize) -> RealNvp {
    let config = RealNvpConfig::new(5).with_layers(3).with_context(context);
    let mlp = MlpConfig::new(vec![16, 16]);
    moved(built(&Device::flex(), |device| config.with_mlp(mlp).init(device)), 3).valid()
}

fn images(dropout: f64) -> Glow {
    let network = ConvNetConfig::new(8).with_dropout(dropout);
    let config = GlowConfig::new([1, 8, 8], 2).with_steps(2).with_network(network);
    moved(built(&Device::flex(), |device| config.init(device)), 4).valid()
}

fn normal<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    Noise::seeded(seed).normal(shape, &Device::flex())
}

#[test]
fn vectors_are_evaluated_and_drawn_alike() {
    let (flow, x) = (vectors(0), normal([1111, 5], 1));
    assert_same(|| {
        let z = flow.encode(x.clone());
        let (drawn, log_prob) = flow.draw_with_log_prob(700, &mut Noise::seeded(2));
        let tensors = [flow.decode(z.clone()), z, flow.sample_seeded(1300, 3), drawn];
        let mut found = tensors.map(Tensor::into_data).to_vec();
        found.extend([flow.log_prob(x.clone()), log_prob].map(Tensor::into_data));
        found
    });
}

/// A batch of few rows is split if the model has many parameters.
#[test]
fn small_batches_of_a_large_model_are_alike() {
    let flow = moved(RealNvpConfig::new(64).init(&Device::flex()), 3).valid();
    let trainee = flow.clone().train();
    assert_same(|| {
        let mut found = vec![];
        for rows in [31, 32, 64, 100, 210, 400] {
            let x = normal([rows, 64], rows as u64);
            found.push(flow.log_prob(x.clone()).into_data());
            found.push(flow.sample_seeded(rows, 1).into_data());
            let (_, gradients) = nll_gradients(&trainee, &x);
            let gradients = flat(&trainee, &gradients);
            found.push(TensorData::new(gradients.clone(), [gradients.len()]));
        }
        found
    });
}

#[test]
fn every_row_keeps_its_own_context() {
    let (flow, x, context) = (vectors(2), normal([900, 5], 1), normal([900, 2], 2));
    assert_same(|| vec![flow.given(&context).log_prob(x.clone()).into_data()]);
    let rows = [0, 449, 450, 899].map(|row| {
        let one = |t: &Tensor<2>| t.clone().narrow(0, row as usize, 1);
        flow.given(&one(&context)).log_prob(one(&x)).into_scalar::<f32>()
    });
    let whole = flow.given(&context).log_prob(x).into_data();
    let whole: Vec<f32> = whole.iter().collect();
    for (row, alone) in [0, 449, 450, 899].into_iter().zip(rows) {
        assert!((whole[row] - alone).abs() < 1e-4, "row {row}: {} and {alone}", whole[row]);
    }
}

#[test]
fn images_are_evaluated_and_drawn_alike() {
    let (flow, x) = (images(0.0), normal([150, 1, 8, 8], 1));
    assert_same(|| {
        let parts = flow.encode(x.clone());
        let mut found = vec![flow.log_prob(x.clone()).into_data()];
        found.push(flow.decode(parts.clone()).into_data());
        found.push(flow.sample_seeded(200, 3).into_data());
        found.extend(parts.into_iter().map(Tensor::into_data));
        found
    });
}

/// All parameters as one list.
fn weights<M: Module>(module: &M) -> Vec<f32> {
    use burn::module::{ModuleVisitor, Param};
    struct All(Vec<f32>);
    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let mut all = All(Vec::new());
    module.visit(&mut all);
    all.0
}

/// All gradients as one list.
fn flat<M: Module>(module: &M, gradients: &GradientsParams) -> Vec<f32> {
    use burn::module::{ModuleVisitor, Param};
    struct All<'a>(&'a GradientsParams, Vec<f32>);
    impl ModuleVisitor for All<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.0.get::<D>(param.id).expect("a gradient for every parameter");
            self.1.extend(gradient.into_data().iter::<f32>());
        }
    }
    let mut all = All(gradients, Vec::new());
    module.visit(&mut all);
    all.1
}

/// The weights after two epochs, and the training losses.
fn trained<F: Distribution<D>, const D: usize>(
    flow: &F,
    data: impl Fn() -> FitData<D>,
    batch: usize,
) -> (Vec<f32>, Vec<f64>) {
    let config = FitConfig::new().with_epochs(2).with_batch_size(batch).with_progress(false);
    let (fitted, report) = fit(flow.clone(), data(), &config).unwrap();
    let losses = report.epochs.iter().map(|epoch| epoch.train_loss.unwrap()).collect();
    (weights(&fitted), losses)
}

fn assert_trains_alike<F: Distribution<D>, const D: usize>(
    flow: &F,
    data: impl Fn() -> FitData<D>,
    batch: usize,
) {
    let [one, two, five] = with_threads(|| trained(flow, &data, batch));
    assert_ne!(one.0, weights(flow));
    assert_eq!(one, two);
    assert_eq!(one, five);
}

#[test]
fn training_ends_with_the_same_weights() {
    let x = normal([1200, 5], 1) * 2.0 + 1.0;
    assert_trains_alike(&vectors(0), || FitData::new(x.clone()), 1000);
}

#[test]
fn dropout_of_images_follows_the_seed_on_every_number_of_threads() {
    let x = normal([300, 1, 8, 8], 1);
    assert_trains_alike(&images(0.3), || FitData::new(x.clone()), 150);
}

#[test]
fn a_gradient_by_blocks_is_that_of_the_whole_batch() {
    let (flow, x) = (vectors(0), normal([1000, 5], 1) * 2.0 + 1.0);
    let whole = Whole { flow: flow.clone() };
    let _turn = turn();
    let config = FitConfig::new().with_epochs(2).with_batch_size(1000).with_progress(false);
    let [divided, undivided] = [
        weights(&fit(flow, x.clone(), &config).unwrap().0),
        weights(&fit(whole, x, &config).unwrap().0),
    ];
    let far = divided.iter().zip(&undivided).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-4, "{far}");
}

#[test]
fn one_row_of_context_serves_every_block_of_a_gradient() {
    let (flow, x, row) = (vectors(2).train(), normal([600, 5], 1), normal([1, 2], 2));
    let _turn = turn();
    let (value, gradients) = nll_gradients(&flow, (x.clone(), row.clone()));
    let (repeated, same) = nll_gradients(&flow, (x.clone(), row.clone().repeat_dim(0, 600)));
    assert_eq!(value, repeated);
    assert_eq!(flat(&flow, &gradients), flat(&flow, &same));
    // The gradient equals that of the mean of `-log_prob`.
    let loss = flow.given(&row).log_prob(x.clone()).mean().neg();
    assert!((loss.clone().into_scalar::<f64>() - value).abs() < 1e-4);
    let whole = flat(&flow, &GradientsParams::from_grads(loss.backward(), &flow));
    let pairs = flat(&flow, &gradients).into_iter().zip(whole);
    let far = pairs.map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
    assert!(far < 1e-4, "{far}");
    // Data with an autodiff graph are evaluated as one block.
    let (alone, _) = nll_gradients(&flow, (x.autodiff(), row.clone()));
    assert!((alone - value).abs() < 1e-4);
}

#[test]
fn a_batch_that_mixes_its_rows_stays_whole() {
    let device = Device::flex();
    let layers = (BatchNormConfig::new(5).init(&device), ActNormConfig::new(5).init(&device));
    let flow = Flow::new(layers, StandardNormal::<2>::new([5], &device));
    assert!(Distribution::<2>::mixes_rows(&flow));
    let x = normal([800, 5], 1) * 2.0 + 1.0;
    assert_trains_alike(&flow, || FitData::new(x.clone()), 800);
    // Batch normalization updates its statistics with all 800 rows.
    let _turn = turn();
    let batch_norm = BatchNormConfig::new(5).init(&device).train();
    let (z, _) = batch_norm.forward(x.autodiff(), None);
    assert!(z.without_autodiff().mean().into_scalar::<f32>().abs() < 1e-5);
}

#[test]
fn a_panic_of_a_worker_reaches_the_caller_with_its_text() {
    let flow = vectors(0);
    let texts = with_threads(|| {
        let call = AssertUnwindSafe(|| flow.log_prob(normal([1024, 4], 1)));
        *catch_unwind(call).unwrap_err().downcast::<String>().unwrap()
    });
    assert!(texts[0].contains("expected shape") && texts[0].contains("4"), "{}", texts[0]);
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    // A panic does not end the worker threads.
    assert_eq!(flow.log_prob(normal([1024, 5], 1)).dims(), [1024]);
}
