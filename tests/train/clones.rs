//! A clone of a flow does not change the original, including its running statistics.

use burn::module::{Module, ModuleVisitor, Param, RunningState};
use burn::tensor::{DType, Device, Tensor};
use burn_flows::bijector::{
    ActNorm, ActNormConfig, BatchNorm, BatchNormConfig, Bijector, Standardize,
};
use burn_flows::distribution::{Distribution, StandardNormal};
use burn_flows::train::{
    Batch, FitConfig, Reversible, Trainee, fit, fit_reverse_kl, nll_gradients,
};
use burn_flows::{Flow, Noise, cast, store, to_device};

/// A custom layer that subtracts the running mean of its batches.
#[derive(Module, Debug, serde::Serialize)]
struct Centre {
    #[serde(with = "burn_flows::store::part")]
    mean: RunningState<Tensor<1>>,
}

impl Bijector<2> for Centre {
    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        let zeros = Tensor::zeros([x.dims()[0]], (&x.device(), x.dtype()));
        let mean = self.mean.value_sync();
        if mean.is_autodiff() {
            let batch = x.clone().without_autodiff().mean_dim(0).reshape([2]).autodiff();
            self.mean.update(mean.clone() * 0.5 + batch * 0.5);
            self.mean.value_sync();
        }
        (x - mean.unsqueeze(), zeros)
    }

    fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
        z + self.mean.value_sync().unsqueeze()
    }

    fn mixes_rows(&self) -> bool {
        true
    }
}

type Normalized = Flow<(BatchNorm, Centre), StandardNormal<2>>;

fn rows(seed: u64) -> Tensor<2> {
    Noise::seeded(seed).normal::<2>([300, 2], &Device::flex()) * 3.0 + 1.0
}

/// A flow in evaluation mode with running statistics of a few batches.
fn flow() -> Normalized {
    let device = Device::flex();
    let mean = RunningState::new(Tensor::zeros([2], &device));
    let layers = (BatchNormConfig::new(2).init(&device), Centre { mean });
    let flow = Flow::new(layers, StandardNormal::new([2], &device)).train();
    (1..4).for_each(|seed| drop(nll_gradients(&flow, rows(seed))));
    flow.valid()
}

/// The bits of every float, its precision, and whether it is on an autodiff device.
fn bits<M: Module>(module: &M) -> Vec<(Vec<u64>, DType, bool)> {
    struct Bits(Vec<(Vec<u64>, DType, bool)>);
    impl ModuleVisitor for Bits {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            let bits = value.to_data().iter::<f64>().map(f64::to_bits).collect();
            self.0.push((bits, value.dtype(), value.is_autodiff()));
        }
    }
    let mut bits = Bits(vec![]);
    module.visit(&mut bits);
    bits.0
}

/// Checks that `change` on a clone does not change the original, in evaluation and in training
/// mode.
fn stays(change: impl Fn(Normalized)) {
    for original in [flow(), flow().train()] {
        let before = bits(&original);
        let log_prob = original.valid().log_prob(rows(9)).into_data();
        change(original.clone());
        assert_eq!(bits(&original), before);
        // Twice, because pending running statistics appear in the second call.
        for _ in 0..2 {
            assert_eq!(original.valid().log_prob(rows(9)).into_data(), log_prob);
        }
    }
}

fn config() -> FitConfig {
    FitConfig::new().with_epochs(2).with_batch_size(100)
}

#[test]
fn cast_of_a_clone() {
    stays(|clone| {
        let log_prob = cast(clone, DType::F64).valid().log_prob(rows(9).cast(DType::F64));
        assert_eq!(log_prob.dtype(), DType::F64);
    });
}

#[test]
fn to_device_of_a_clone() {
    stays(|clone| drop(to_device(clone.clone(), &Device::flex())));
    stays(|clone| drop(to_device(clone, &Device::flex().autodiff())));
}

#[test]
fn load_into_a_clone() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let mean = RunningState::new(Tensor::ones([2], &device));
    let layers = (BatchNormConfig::new(2).init(&device), Centre { mean });
    let other = Flow::new(layers, StandardNormal::<2>::new([2], &device));
    for name in ["flow.safetensors", "flow.bpk"] {
        let path = folder.path().join(name);
        store::save(&other, &path).unwrap();
        stays(|clone| {
            let loaded = store::load(clone, &path).unwrap();
            let [found, expected] = [&loaded, &other].map(|f| f.valid().log_prob(rows(9)));
            assert_eq!(found.into_data(), expected.into_data());
        });
    }
}

#[test]
fn fit_of_a_clone() {
    stays(|clone| drop(fit(clone, rows(5), &config()).unwrap()));
    stays(|clone| drop(fit(clone, rows(5), &config().with_reversible(true)).unwrap()));
}

#[test]
fn fit_of_a_clone_with_a_checkpoint() {
    stays(|clone| {
        let folder = tempfile::tempdir().unwrap();
        let first = config().with_checkpoint(Some(folder.path().into()));
        let (_, _) = fit(clone.clone(), rows(5), &first).unwrap();
        let (_, report) = fit(clone, rows(5), &first).unwrap();
        assert_eq!(report.resumed_from, Some(2));
    });
}

#[test]
fn fit_reverse_kl_of_a_clone() {
    let target = |x: Tensor<2>| x.square().sum_dim(1).reshape([-1]) * -0.5;
    let config = FitConfig::new().with_epochs(1).with_batch_size(4);
    stays(|clone| drop(fit_reverse_kl(clone, target, &config).unwrap()));
}

#[test]
fn init_from_data_of_a_clone() {
    stays(|clone| drop(Distribution::init_from_data(clone, rows(5), None)));
}

#[test]
fn a_clone_in_a_training_loop() {
    stays(|clone| drop(nll_gradients(&clone.train(), rows(5))));
    stays(|clone| drop(Reversible::new().nll_gradients(&clone.train(), rows(5))));
}

#[test]
fn a_clone_in_the_learner() {
    use burn::train::TrainStep;
    stays(|clone| {
        let trainee = Trainee::<_, 2>::new(clone).train();
        trainee.step(Batch::new(rows(5)));
    });
    // A flow in training mode stays in training mode, with its own statistics.
    let original = flow().train();
    let before = bits(&original);
    let trainee = Trainee::<_, 2>::new(original.clone());
    trainee.step(Batch::new(rows(5)));
    assert_eq!(bits(&original), before);
    assert_ne!(bits(&trainee.into_inner()), before);
}

#[test]
fn what_is_frozen_or_trains_stays_so() {
    let device = Device::flex();
    let plain = BatchNormConfig::new(2).init(&device);
    let trains = |layer: BatchNorm| {
        let before = bits(&layer);
        layer.forward(rows(5), None);
        bits(&layer) != before
    };
    // Cast before training mode, cast in training mode, evaluation mode, frozen.
    assert!(trains(cast(plain.clone(), DType::F32).train()));
    assert!(trains(cast(plain.clone().train(), DType::F32)));
    assert!(!trains(cast(plain.clone().train().valid(), DType::F32)));
    assert!(trains(cast(plain.clone().train().valid(), DType::F32).train()));
    assert!(!trains(cast(plain.train().freeze(), DType::F32)));
}

#[test]
fn what_is_outside_a_graph_stays_outside() {
    let device = Device::flex();
    let standardize = Standardize::from_data(rows(1)).unwrap();
    let layers = (standardize, ActNormConfig::new(2).init(&device.clone().autodiff()));
    let autodiff = |(first, second): &(Standardize<2>, ActNorm)| {
        [bits(first), bits(second)].map(|bits| bits.iter().map(|(.., on)| *on).collect::<Vec<_>>())
    };
    let expected = [vec![false; 3], vec![true; 2]];
    assert_eq!(autodiff(&layers), expected);
    assert_eq!(autodiff(&cast(layers.clone(), DType::F64)), expected);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layers.bpk");
    store::save(&layers, &path).unwrap();
    assert_eq!(autodiff(&store::load(layers, &path).unwrap()), expected);
}
