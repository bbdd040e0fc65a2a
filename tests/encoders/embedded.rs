//! A density under an encoded context.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::ModuleMapper;
use burn::nn::{Linear, LinearConfig};
use burn::optim::GradientsParams;
use burn::train::TrainStep;
use burn_flows::bijector::{ActNorm, ActNormConfig, Coupling, CouplingConfig};
use burn_flows::conditioner::{Mlp, MlpConfig};
use burn_flows::distribution::{Distribution, StandardNormal};
use burn_flows::encoder::Embedded;
use burn_flows::model::{MafConfig, RealNvp, RealNvpConfig};
use burn_flows::testing::{certify, moved};
use burn_flows::train::{Batch, FitConfig, Reversible, Trainee, fit, nll_gradients};
use burn_flows::univariate::Affine;
use burn_flows::{Flow, cast, store};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

fn flow() -> RealNvp {
    let network = MlpConfig::new(vec![8]);
    RealNvpConfig::new(2)
        .with_layers(2)
        .with_mlp(network)
        .with_context(3)
        .with_seed(6)
        .init(&device())
}

fn embedded() -> Embedded<SetEncoder, RealNvp> {
    moved(Embedded::new(set(), flow()), 2).valid()
}

/// A burn module as an encoder.
#[derive(Module, Debug)]
struct Own {
    linear: Linear,
}

impl Encoder for Own {
    fn encode(&self, context: Tensor<2>) -> Tensor<2> {
        self.linear.forward(context).tanh()
    }
    fn init_from_data(self, _context: Tensor<2>) -> Self {
        self
    }
    fn mixes_rows(&self) -> bool {
        false
    }
}

fn own(width: usize) -> Own {
    Own { linear: LinearConfig::new(width, 3).init(&device()) }
}

/// The density is that of the flow under the features.
#[test]
fn the_density_is_that_of_the_flow_under_the_features() {
    fn check<E: Encoder>(encoder: E, width: usize) {
        let model = moved(Embedded::new(encoder, flow()), 1).valid();
        let (x, c) = (normal(300, 2, 1), contexts(300, width));
        let features = model.encoder().encode(c.clone());
        assert_eq!(model.features(&c).into_data(), features.to_data());
        let given = model.given(&c);
        let expected = model.density().given(&features).log_prob(x.clone()).into_data();
        assert_eq!(given.log_prob(x.clone()).into_data(), expected);
        assert_eq!(given.log_prob_batched(x.clone(), 64).into_data(), expected);
        assert_eq!(Distribution::log_prob(&model, x.clone(), Some(&c)).into_data(), expected);
        // Another context gives another density.
        assert_ne!(model.given(&(c.clone() + 1.0)).log_prob(x.clone()).into_data(), expected);
        // Draws and latents.
        let of = model.density().given(&features);
        let drawn: Tensor<2> = given.sample_seeded(300, 5);
        assert_eq!(drawn.to_data(), of.sample_seeded::<2>(300, 5).into_data());
        let (x2, log_prob) = given.sample_with_log_prob_seeded::<2>(300, 5);
        assert_eq!(x2.to_data(), drawn.into_data());
        let again = (log_prob - given.log_prob(x2)).abs().max().into_scalar::<f64>();
        assert!(again < 1e-4, "{again}");
        let z = given.encode(x.clone());
        assert_eq!(z.to_data(), of.encode(x.clone()).into_data());
        assert!((given.decode(z) - x).abs().max().into_scalar::<f64>() < 1e-4);
        let drawn = given.draw::<2>(300, &mut Noise::seeded(8)).into_data();
        assert_eq!(drawn, given.draw_with_log_prob::<2>(300, &mut Noise::seeded(8)).0.into_data());
    }
    each_encoder!(check);
    check(own(6), 6);
}

#[test]
fn densities_integrate_to_one() {
    let model = embedded();
    let c = contexts(1, 9);
    let (n, half) = (160, 12.0);
    let side = 2.0 * half / n as f64;
    let at = |k: usize| -half + side * (k as f64 + 0.5);
    let values: Vec<f64> = (0..n * n).flat_map(|i| [at(i / n), at(i % n)]).collect();
    let model = cast(model, DType::F64);
    let log_prob = model.given(&c.cast(DType::F64)).log_prob(double(&values, [n * n, 2]));
    let mass = host(log_prob.exp().sum())[0] * side * side;
    assert!((mass - 1.0).abs() < 1e-3, "{mass}");
}

/// A module that counts the rows that it encodes.
#[derive(Module, Debug)]
struct Counting {
    linear: Linear,
}

static ROWS: AtomicUsize = AtomicUsize::new(0);

impl Encoder for Counting {
    fn encode(&self, context: Tensor<2>) -> Tensor<2> {
        ROWS.fetch_add(context.dims()[0], Ordering::Relaxed);
        self.linear.forward(context)
    }
    fn init_from_data(self, _context: Tensor<2>) -> Self {
        self
    }
    fn mixes_rows(&self) -> bool {
        true
    }
}

#[test]
fn one_row_of_context_is_encoded_once() {
    let counting = Counting { linear: LinearConfig::new(4, 3).init(&device()) };
    let model = moved(Embedded::new(counting, flow()), 1).valid();
    assert!(Distribution::<2>::mixes_rows(&model));
    let one = contexts(1, 4);
    let all = one.clone().repeat_dim(0, 700);
    let x = normal(700, 2, 1);
    let counted = |work: &dyn Fn() -> burn::tensor::TensorData| {
        ROWS.store(0, Ordering::Relaxed);
        let result = work();
        (result, ROWS.load(Ordering::Relaxed))
    };
    let (single, rows) = counted(&|| model.given(&one).log_prob(x.clone()).into_data());
    assert_eq!(rows, 1);
    let (each, rows) = counted(&|| model.given(&all).log_prob(x.clone()).into_data());
    assert_eq!(rows, 700);
    let pairs = single.iter::<f64>().zip(each.iter::<f64>());
    assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) < 1e-4);
    let (draws, rows) = counted(&|| model.given(&one).sample_seeded::<2>(700, 1).into_data());
    // One more row shows the shape of an event, before the draws.
    assert_eq!((rows, draws.shape().to_vec()), (2, vec![700, 2]));
    // `features` encodes a context once for many draws.
    let features = model.features(&one);
    let (draws, rows) = counted(&|| {
        model.density().given(&features).sample_each_seeded::<2, 3>(700, 1).into_data()
    });
    assert_eq!((rows, draws.shape().to_vec()), (0, vec![1, 700, 2]));
}

/// One row for all events has the bits of a row for each event.
#[test]
fn one_row_has_the_bits_of_a_row_for_each() {
    fn check<E: Encoder>(encoder: E, width: usize) {
        let model = moved(Embedded::new(encoder, flow()), 1).valid();
        let (x, one) = (normal(300, 2, 1), contexts(1, width));
        let all = one.clone().repeat_dim(0, 300);
        let single = model.given(&one).log_prob(x.clone()).into_data();
        assert_eq!(single, model.given(&all).log_prob(x.clone()).into_data());
        // A row of a batch has the bits of the row alone, on any number of threads.
        let c = contexts(300, width);
        let whole = host(model.given(&c).log_prob(x.clone()));
        for row in [0, 7, 299] {
            let c = c.clone().narrow(0, row, 1);
            assert_eq!(
                host(model.given(&c).log_prob(x.clone().narrow(0, row, 1))),
                whole[row..][..1]
            );
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let inside = pool.install(|| host(model.given(&c).log_prob(x.clone())));
        assert_eq!(inside, whole);
    }
    each_encoder!(check);
}

#[test]
fn an_empty_batch_gives_an_empty_result() {
    fn check<E: Encoder>(encoder: E, width: usize) {
        let model = Embedded::new(encoder, flow());
        for rows in [0, 1] {
            let c = contexts(1, width).slice([0..rows, 0..width]);
            let none = normal(1, 2, 1).slice([0..0, 0..2]);
            assert_eq!(model.given(&c).log_prob(none.clone()).dims(), [0]);
            assert_eq!(model.given(&c).sample::<2>(0).dims(), [0, 2]);
            assert_eq!(model.given(&c).encode(none).dims(), [0, 2]);
        }
    }
    each_encoder!(check);
}

/// Every encoder is restored bit for bit, with its scale, by `open` and by `load`.
#[test]
fn a_saved_model_gives_the_same_bits() {
    fn check<E: Encoder + Serialize + DeserializeOwned>(encoder: E, width: usize) {
        let folder = tempfile::tempdir().unwrap();
        let (x, c) = (normal(50, 2, 1), contexts(50, width) * 100.0 + 30.0);
        let new = Embedded::new(encoder, flow());
        let started = new.clone().init_from_data(x.clone(), Some(&c));
        let model = moved(started, 1).valid();
        let expected = model.given(&c).log_prob(x.clone()).into_data();
        for name in ["model.safetensors", "model.bpk"] {
            let path = folder.path().join(name);
            store::save(&model, &path).unwrap();
            let opened: Embedded<E, RealNvp> = store::open(&path, &device()).unwrap();
            assert_eq!(opened.given(&c).log_prob(x.clone()).into_data(), expected);
            let loaded = store::load(new.clone(), &path).unwrap();
            assert_eq!(loaded.given(&c).log_prob(x.clone()).into_data(), expected);
        }
    }
    each_encoder!(check);
    let c = normal(50, 3, 1) * 7.0 + 1000.0;
    let model = Embedded::standardized(moved(flow(), 1).valid(), &c).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.bpk");
    store::save(&model, &path).unwrap();
    type Standardized = Embedded<burn_flows::encoder::StandardizeContext, RealNvp>;
    let opened: Standardized = store::open(&path, &device()).unwrap();
    let log_prob = |model: &Standardized| model.given(&c).log_prob(normal(50, 2, 2)).into_data();
    assert_eq!(log_prob(&opened), log_prob(&model));
}

#[test]
fn both_precisions() {
    let (x, c) = (normal(50, 2, 1), contexts(50, 9));
    let model = embedded();
    let single = model.given(&c).log_prob(x.clone());
    assert_eq!(single.dtype(), DType::F32);
    let wide = cast(model.clone(), DType::F64);
    let [x64, c64] = [&x, &c].map(|t| t.clone().cast(DType::F64));
    let double = wide.given(&c64).log_prob(x64);
    assert_eq!(double.dtype(), DType::F64);
    assert!((double - single.cast(DType::F64)).abs().max().into_scalar::<f64>() < 1e-4);
    let text = "Embedded: expected a context of F32, found F64; cast the context or the model";
    assert_eq!(panic_of(|| model.given(&c64).log_prob(x)), text);
}

type Started = Flow<(ActNorm, Coupling<Affine, Mlp>), StandardNormal<2>>;

fn started() -> Started {
    let coupling = CouplingConfig::new(2).with_context(3).with_mlp(MlpConfig::new(vec![8]));
    let coupling = coupling.with_seed(1).init(Affine::default(), &device());
    Flow::new(
        (ActNormConfig::new(2).init(&device()), coupling),
        StandardNormal::new([2], &device()),
    )
}

#[test]
fn the_first_batch_reaches_the_encoder_and_the_density() {
    let (x, c) = (normal(200, 2, 1) * 5.0 + 100.0, contexts(200, 6) * 1000.0);
    for new in [Embedded::new(mlp(), started()), Embedded::new(mlp(), started()).train()] {
        assert!(!new.density().bijector().0.is_initialized());
        let model = new.init_from_data(x.clone(), Some(&c)).valid();
        assert!(model.density().bijector().0.is_initialized());
        let z = host(model.given(&c).encode(x.clone()));
        assert!(z.iter().sum::<f64>().abs() / 400.0 < 1e-3);
        let features = model.features(&c).abs().max().into_scalar::<f64>();
        let raw = mlp().encode(c.clone()).abs().max().into_scalar::<f64>();
        assert!(features < 10.0 && raw > 100.0, "{features} {raw}");
        // The density was started from features, whose scale its network has set.
        let by_hand = mlp().init_from_data(c.clone());
        let features = by_hand.encode(c.clone());
        let by_hand = Embedded::new(by_hand, started().init_from_data(x.clone(), Some(&features)));
        let of =
            |m: Embedded<MlpEncoder, Started>| moved(m, 1).valid().given(&c).log_prob(x.clone());
        assert_eq!(of(by_hand).into_data(), of(model).into_data());
    }
    // A sequence starts its second encoder from the results of the first.
    let both = (mlp(), narrow()).init_from_data(c.clone());
    let second = narrow().init_from_data(both.0.encode(c.clone()));
    assert_eq!(
        both.1.encode(normal(5, 3, 1)).into_data(),
        second.encode(normal(5, 3, 1)).into_data()
    );
}

#[test]
fn every_parameter_learns() {
    fn check<E: Encoder>(encoder: E, width: usize) {
        struct Trained(usize);
        impl ModuleVisitor for Trained {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0 += usize::from(param.val().is_require_grad());
            }
        }
        let model = moved(Embedded::new(encoder, flow()), 1);
        let batch = Batch::new(normal(50, 2, 1)).with_context(contexts(50, width));
        let mut trained = Trained(0);
        model.visit(&mut trained);
        let (loss, gradients) = nll_gradients(&model, &batch);
        assert_eq!(gradients.len(), trained.0);
        // Without stored activations, with the same loss and gradients.
        let (again, same) = Reversible::new().nll_gradients(&model, &batch);
        assert!((loss - again).abs() < 1e-6);
        assert_same(&model, &gradients, &same);
    }
    each_encoder!(check);
    check(own(6), 6);
}

fn assert_same(model: &impl Module, a: &GradientsParams, b: &GradientsParams) {
    struct Same<'a>([&'a GradientsParams; 2]);
    impl ModuleVisitor for Same<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let [a, b] = self.0.map(|g| g.get::<D>(param.id).expect("a gradient"));
            assert!(a.clone().abs().max().into_scalar::<f64>() > 1e-9, "{}", param.id);
            assert!((a - b).abs().max().into_scalar::<f64>() < 1e-5);
        }
    }
    model.visit(&mut Same([a, b]));
}

#[test]
fn the_learner_takes_an_embedded_flow() {
    let batch = Batch::new(normal(50, 2, 1)).with_context(contexts(50, 9));
    let trainee = Trainee::new(moved(Embedded::new(set(), flow()), 1));
    let output = TrainStep::step(&trainee, batch.clone());
    assert_eq!(output.item.nll().dims(), [50]);
    let model = trainee.into_inner();
    assert_same(&model, &output.grads, &nll_gradients(&model, &batch).1);
}

/// Reversible training by `fit`, and the own encoder of a user.
#[test]
fn fit_trains_an_encoder_of_ones_own() {
    let c = normal(400, 6, 1);
    let x = c.clone().narrow(1, 2, 2) + normal(400, 2, 2) * 0.3;
    let new = Embedded::new(own(6), flow());
    let before = host(new.given(&c).log_prob(x.clone()).mean())[0];
    for reversible in [false, true] {
        let config = FitConfig::new().with_epochs(10).with_batch_size(32).with_learning_rate(1e-2);
        let config = config.with_seed(1).with_reversible(reversible);
        let (model, _) = fit(new.clone(), (x.clone(), c.clone()), &config).unwrap();
        let after = host(model.given(&c).log_prob(x.clone()).mean())[0];
        assert!(after > before + 1.0, "{after} {before}");
        assert_ne!(weights(model.encoder()), weights(new.encoder()));
    }
}

/// A certificate visits the layers of the flow under the features.
#[test]
fn an_embedded_flow_has_a_certificate() {
    let (model, x, c) = (embedded(), normal(20, 2, 1), contexts(20, 9));
    let found = certify(&model, &x, &c);
    let paths: Vec<&str> = found.layers().iter().map(|layer| layer.path.as_str()).collect();
    assert_eq!(paths, ["density.bijector.0", "density.bijector.1"]);
    assert!(found.lost().is_none() && found.wrong().is_none(), "{found}");
}

struct Times(f64);

impl ModuleMapper for Times {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| value * self.0)
    }
}

#[test]
fn the_part_that_is_not_finite_is_named() {
    let (x, c) = (normal(20, 2, 1), contexts(20, 9));
    let model = embedded();
    assert_eq!(model.first_non_finite(x.clone(), Some(&c)), None);
    let (encoder, flow) = model.into_parts();
    let broken = Embedded::new(encoder.clone().map(&mut Times(1e30)), flow.clone());
    let found = broken.first_non_finite(x.clone(), Some(&c)).unwrap();
    assert!(found.starts_with("encoder (SetEncoder)"), "{found}");
    let unknown = c.clone().slice_assign([3..4, 2..3], Tensor::full([1, 1], f32::NAN, &device()));
    let model = Embedded::new(encoder, flow);
    let found = model.first_non_finite(x.clone(), Some(&unknown)).unwrap();
    assert!(found.starts_with("encoder (SetEncoder)"), "{found}");
    let found = model.first_non_finite(x.clone() / 0.0, Some(&c)).unwrap();
    assert!(found.starts_with("density.bijector.0"), "{found}");
    // The mask of an absent element that is NaN gives finite features, but no density.
    let log_prob = host(model.given(&unknown).log_prob(x.clone()));
    assert!(log_prob[3].is_nan() && log_prob.iter().filter(|v| v.is_finite()).count() == 19);
    let sampled = host(model.given(&unknown).sample_seeded::<2>(20, 1));
    assert!(sampled[6..8].iter().all(|v| v.is_nan()), "{sampled:?}");
}

/// Contexts of wrong shapes, and an encoder that loses rows.
#[test]
fn wrong_contexts_are_refused() {
    #[derive(Module, Debug)]
    struct First {}
    impl Encoder for First {
        fn encode(&self, context: Tensor<2>) -> Tensor<2> {
            context.narrow(0, 0, 1)
        }
        fn init_from_data(self, _context: Tensor<2>) -> Self {
            self
        }
        fn mixes_rows(&self) -> bool {
            true
        }
    }
    let (model, x) = (embedded(), || normal(4, 2, 1));
    let log_prob = |c: Option<&Tensor<2>>| panic_of(|| Distribution::log_prob(&model, x(), c));
    assert_eq!(log_prob(None), "Embedded: expected a context, found none");
    let narrow = contexts(4, 8);
    let text = "SetEncoder: expected a context of width 9, found 8";
    assert_eq!(log_prob(Some(&narrow)), text);
    let few = contexts(3, 9);
    assert_eq!(log_prob(Some(&few)), "Embedded: expected a context of 1 or 4 rows, found 3");
    let text = "Embedded: expected a context of 1 or 5 rows, found 3";
    assert_eq!(panic_of(|| model.given(&few).sample::<2>(5)), text);
    assert_eq!(
        panic_of(|| model.given(None).encode(x())),
        "Embedded: expected a context, found none"
    );
    let flow = MafConfig::new(2).with_layers(1).with_context(4).init(&device());
    let wide = Embedded::new(set(), flow);
    let text = "Made: expected a context of width 4, found 3";
    assert_eq!(panic_of(|| wide.given(&contexts(4, 9)).log_prob(x())), text);
    let first = Embedded::new(First {}, self::flow());
    let text = "Embedded: expected 4 rows from the encoder, found shape [1, 3]";
    assert_eq!(panic_of(|| first.given(&contexts(4, 3)).log_prob(x())), text);
}
