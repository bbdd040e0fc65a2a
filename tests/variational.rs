//! Variational dequantization: the bound it gives, how it trains, what it refuses.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use burn_flows::bijector::{ActNorm, ActNormConfig, Coupling, Logit};
use burn_flows::burn;
use burn_flows::conditioner::{ConvNet, ConvNetConfig, Mlp};
use burn_flows::prelude::*;
use burn_flows::train::{
    Dequantize, FitConfig, FitData, NoiseModel, UniformNoise, VariationalDequantize, bits_per_dim,
    fit, nll,
};

type Couplings = Vec<Coupling<Affine, Mlp>>;
type Unit = Flow<(Logit, Couplings), StandardNormal<2>>;
type Model = VariationalDequantize<Unit, Unit>;

const LEVELS: usize = 4;

/// A Real NVP on (0, 1)^2.
fn unit(alpha: f64, context: usize, dropout: f64) -> Unit {
    let mlp =
        MlpConfig::new(vec![32, 32]).with_activation(ActivationConfig::Silu).with_dropout(dropout);
    let config = RealNvpConfig::new(2).with_layers(4).with_mlp(mlp).with_context(context);
    let (couplings, base) = config.init(&Device::flex()).into_parts();
    Flow::new((Logit::new(alpha).unwrap(), couplings), base)
}

fn variational(dropout: f64) -> Model {
    VariationalDequantize::new(unit(0.01, 0, dropout), unit(0.0, 2, dropout), LEVELS).unwrap()
}

/// Weights drawn from a seed: those of a new module follow the device's generator, and those of its
/// last layers are zero.
fn fixed<M: Module>(module: M, seed: u64) -> M {
    struct Draw(Noise);
    impl ModuleMapper for Draw {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| {
                let dims = value.dims();
                let widest = dims.into_iter().max().unwrap_or(1) as f64;
                let step = if D < 2 { 0.3 } else { 1.0 / widest.sqrt() };
                self.0.normal(dims, &value.device()) * step
            })
        }
    }
    module.map(&mut Draw(Noise::seeded(seed)))
}

fn tensor<const D: usize>(values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// Every pair of levels.
fn pairs() -> Tensor<2> {
    let values = (0..LEVELS * LEVELS).flat_map(|i| [(i / LEVELS) as f64, (i % LEVELS) as f64]);
    tensor(values.collect(), [LEVELS * LEVELS, 2])
}

/// The second pixel is one above the first, round the ends, in four of five rows; else uniform.
fn neighbours(rows: usize, seed: u64) -> Tensor<2> {
    let mut noise = Noise::seeded(seed);
    let values = (0..rows).flat_map(|_| {
        let first = noise.next_below(LEVELS);
        let follows = noise.next_uniform() < 0.8;
        let second = if follows { (first + 1) % LEVELS } else { noise.next_below(LEVELS) };
        [first as f64, second as f64]
    });
    tensor(values.collect(), [rows, 2])
}

/// Bits per dimension of [`neighbours`]: log2 4 for the first pixel; of the second, one level has
/// 0.8 + 0.05 and three have 0.05.
fn entropy() -> f64 {
    (2.0 - 0.85 * 0.85f64.log2() - 3.0 * 0.05 * 0.05f64.log2()) / 2.0
}

fn numbers(x: Tensor<1>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

fn mean(x: Tensor<1>) -> f64 {
    let values = numbers(x);
    values.iter().sum::<f64>() / values.len() as f64
}

fn quick() -> FitConfig {
    FitConfig::new().with_epochs(6).with_batch_size(64).with_progress(false)
}

#[test]
fn uniform_noise_is_uniform_dequantization() {
    let flow = fixed(unit(0.01, 0, 0.0), 1);
    let x = neighbours(50, 3);
    for levels in [4, 17] {
        let v = Dequantize::new(levels).unwrap().apply(x.clone(), &mut Noise::seeded(7));
        let density = flow.log_prob(v);
        let model = VariationalDequantize::new(flow.clone(), UniformNoise {}, levels).unwrap();
        let bound = model.bound(x.clone(), None, 1, &mut Noise::seeded(7));
        let log_volume = 2.0 * (levels as f64).ln();
        assert_eq!(numbers(bound.clone()), numbers(density.clone() - log_volume));
        // The same bits in both conventions.
        let of_integers = bits_per_dim(-mean(bound), 2, 1);
        let of_density = bits_per_dim(-mean(density), 2, levels);
        assert!((of_integers - of_density).abs() < 1e-6, "{of_integers} {of_density}");
    }
}

/// `P(x)` by the midpoint rule over the square of values that round down to `x`.
fn integrated(flow: &Unit, x: Tensor<2>) -> Vec<f64> {
    const STEPS: usize = 200;
    let rows = x.dims()[0];
    let offset = |i: usize| (i as f64 + 0.5) / STEPS as f64;
    let grid = (0..STEPS * STEPS).flat_map(|i| [offset(i / STEPS), offset(i % STEPS)]);
    let grid = tensor(grid.collect(), [STEPS * STEPS, 2]);
    (0..rows)
        .map(|row| {
            let v = (x.clone().narrow(0, row, 1).expand([STEPS * STEPS, 2]) + grid.clone())
                / LEVELS as f64;
            let total: f64 = numbers(flow.log_prob(v)).into_iter().map(f64::exp).sum();
            total / (STEPS * STEPS * LEVELS * LEVELS) as f64
        })
        .collect()
}

/// Whatever the noise is, the mean of p over q is the probability itself, within four standard
/// errors.
#[test]
fn the_mean_over_draws_is_the_probability_under_any_noise() {
    let p = fixed(unit(0.01, 0, 0.0), 1);
    let exact = integrated(&p, pairs());
    assert!((exact.iter().sum::<f64>() - 1.0).abs() < 0.05, "{exact:?}");
    // Twice as wide as the standard normal, so that no part of a level is rare.
    let device = Device::flex();
    let log_scale = Tensor::full([2], 0.5f64.ln(), &device);
    let wide = ActNorm::from_weights(log_scale, Tensor::zeros([2], &device));
    let couplings = RealNvpConfig::new(2).with_layers(2).with_context(2).init(&device);
    let (couplings, base) = fixed(couplings, 2).into_parts();
    let q = Flow::new((Logit::new(0.0).unwrap(), (wide, couplings)), base);
    let uniform = VariationalDequantize::new(p.clone(), UniformNoise {}, LEVELS).unwrap();
    let learned = VariationalDequantize::new(p, q, LEVELS).unwrap();
    const DRAWS: usize = 10_000;
    for (row, exact) in exact.into_iter().enumerate() {
        let x = pairs().narrow(0, row, 1).expand([DRAWS, 2]);
        let noise = &mut Noise::seeded(row as u64);
        for bound in [uniform.bound(x.clone(), None, 1, noise), learned.bound(x, None, 1, noise)] {
            let ratios: Vec<f64> = numbers(bound).into_iter().map(f64::exp).collect();
            let mean = ratios.iter().sum::<f64>() / DRAWS as f64;
            let square = ratios.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>();
            let error = square.sqrt() / DRAWS as f64;
            assert!(error < 0.1 * exact, "row {row}: error {error} of {exact}");
            assert!((mean - exact).abs() < 4.0 * error, "row {row}: {mean} +- {error}, {exact}");
        }
    }
}

#[test]
fn more_draws_tighten_the_bound() {
    let p = fixed(unit(0.01, 0, 0.0), 1);
    let q = fixed(unit(0.0, 2, 0.0), 2);
    let model = VariationalDequantize::new(p.clone(), q, LEVELS).unwrap();
    let x = Tensor::cat(vec![pairs(); 64], 0);
    let bound = |draws| mean(model.bound(x.clone(), None, draws, &mut Noise::seeded(9)));
    let exact = integrated(&p, pairs());
    let exact = exact.iter().map(|p| p.ln()).sum::<f64>() / exact.len() as f64;
    let found = [bound(1), bound(2), bound(8), bound(64), exact];
    for pair in found.windows(2) {
        assert!(pair[1] > pair[0] + 2e-3, "{found:?}");
    }
}

#[test]
fn learned_noise_needs_fewer_bits_than_uniform_and_never_fewer_than_the_truth() {
    let config = quick().with_epochs(40).with_learning_rate(5e-3).with_average(Some(0.98));
    let data = || neighbours(3000, 1);
    let test = neighbours(4000, 2);
    let (learned, _) = fit(variational(0.0), data(), &config).unwrap();
    let uniform = VariationalDequantize::new(unit(0.01, 0, 0.0), UniformNoise {}, LEVELS).unwrap();
    let (uniform, _) = fit(uniform, data(), &config).unwrap();
    let bits = |nll| bits_per_dim(nll, 2, 1);
    let one = bits(nll(&learned, test.clone(), None, 1000));
    let uniform = bits(nll(&uniform, test.clone(), None, 1000));
    let many = bits(-mean(learned.bound(test, None, 32, &mut Noise::seeded(3))));
    println!("uniform {uniform}, learned {one}, of 32 draws {many}, entropy {}", entropy());
    assert!(one < uniform - 0.02, "learned noise {one}, uniform {uniform}");
    assert!(many < one, "{many} of 32 draws, {one} of one");
    // 4000 rows know their entropy to about 0.01 bits.
    assert!(many > entropy() - 0.02, "{many} against the entropy {}", entropy());
    assert!(one < entropy() + 0.15, "{one} against the entropy {}", entropy());
}

/// The largest gradient of every parameter.
struct Largest<'a> {
    grads: &'a GradientsParams,
    found: Vec<(ParamId, Option<f64>)>,
}

impl ModuleVisitor for Largest<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let largest =
            self.grads.get::<D>(param.id).map(|grad| grad.abs().max().into_scalar::<f64>());
        self.found.push((param.id, largest));
    }
}

#[test]
fn gradients_reach_the_density_and_the_noise() {
    let model = fixed(variational(0.0), 4).train();
    for draws in [1, 3] {
        let loss = model.bound(neighbours(64, 1), None, draws, &mut Noise::seeded(2)).mean().neg();
        let grads = GradientsParams::from_grads(loss.backward(), &model);
        let count = |module: &Unit| {
            let mut largest = Largest { grads: &grads, found: vec![] };
            module.visit(&mut largest);
            let reached = largest.found.iter().filter(|(_, g)| g.is_some_and(|g| g > 1e-9));
            (reached.count(), largest.found.len())
        };
        // Four couplings of three layers with weight and bias.
        assert_eq!((count(model.density()), count(model.noise())), ((24, 24), (24, 24)));
    }
}

/// The gradient of the noise parameters against finite differences of the bound.
#[test]
fn the_gradient_of_the_noise_is_that_of_the_bound() {
    let p = fixed(unit(0.01, 0, 0.0), 1);
    let x = pairs();
    let device = Device::flex();
    let model = |shift: f64| {
        let layer = ActNorm::from_weights(
            Tensor::from_floats([0.3, -0.2], &device),
            Tensor::from_floats([shift, 0.1], &device),
        );
        let q =
            Flow::new((Logit::new(0.0).unwrap(), layer), StandardNormal::<2>::new([2], &device));
        VariationalDequantize::new(p.clone(), q, LEVELS).unwrap()
    };
    let bound = |shift| model(shift).bound(x.clone(), None, 1, &mut Noise::seeded(3)).mean();
    let expected = (bound(0.41) - bound(0.39)).into_scalar::<f64>() / 0.02;
    let trained = model(0.4).train();
    let loss = trained.bound(x.clone(), None, 1, &mut Noise::seeded(3)).mean();
    let grads = GradientsParams::from_grads(loss.backward(), &trained);
    struct First<'a>(&'a GradientsParams, Vec<f64>);
    impl ModuleVisitor for First<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                self.1.extend(grad.into_data().iter::<f64>());
            }
        }
    }
    let mut first = First(&grads, vec![]);
    trained.noise().visit(&mut first);
    // Scale of both elements, then their shifts.
    assert!((first.1[2] - expected).abs() < 1e-2 * expected.abs(), "{:?} {expected}", first.1);
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let start = variational(0.2);
    let config = quick().with_average(Some(0.9));
    let (straight, report) = fit(start.clone(), neighbours(300, 1), &config).unwrap();

    // Stopped after three epochs: a density that panics stands for a power cut.
    let config = config.with_checkpoint(Some(folder.path().to_path_buf()));
    let crash = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let fuse = Fuse { inner: start.density().clone(), left: Default::default() };
        // 270 rows are 5 steps and a validation an epoch.
        fuse.left.store(6 * 3 + 2, std::sync::atomic::Ordering::Relaxed);
        let noise = start.noise().clone();
        fit(VariationalDequantize::new(fuse, noise, LEVELS).unwrap(), neighbours(300, 1), &config)
    }));
    assert!(crash.is_err());
    let fuse = Fuse { inner: unit(0.01, 0, 0.2), left: Default::default() };
    fuse.left.store(1000, std::sync::atomic::Ordering::Relaxed);
    let fresh = VariationalDequantize::new(fuse, unit(0.0, 2, 0.2), LEVELS).unwrap();
    let (resumed, again) = fit(fresh, neighbours(300, 1), &config).unwrap();
    assert_eq!(again.resumed_from, Some(3));
    assert_eq!(again.epochs, report.epochs);
    let x = neighbours(40, 9);
    let whole = |seed| numbers(straight.bound(x.clone(), None, 2, &mut Noise::seeded(seed)));
    let parts = |seed| numbers(resumed.bound(x.clone(), None, 2, &mut Noise::seeded(seed)));
    assert_eq!(whole(1), parts(1));
    assert_ne!(whole(1), parts(2));
}

/// A density that panics when its fuse has burnt down.
#[derive(Module, Debug)]
struct Fuse {
    inner: Unit,
    #[module(skip)]
    left: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Distribution<2> for Fuse {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let left = self.left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        assert!(left > 0, "the fuse has burnt down");
        Distribution::log_prob(&self.inner, x, context)
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
fn samples_are_integers_of_every_level_and_none_outside() {
    let model = fixed(variational(0.0), 3);
    let samples = model.sample(2000, None, &mut Noise::seeded(1), &Device::flex());
    Dequantize::new(LEVELS).unwrap().check(&samples).unwrap();
    let found: std::collections::BTreeSet<_> =
        samples.into_data().iter::<f64>().map(|v| v as usize).collect();
    assert_eq!(found.len(), LEVELS);
}

#[test]
fn noise_stays_inside_its_level_and_follows_the_integers() {
    let model = fixed(variational(0.0), 3);
    let x = Tensor::cat(vec![pairs(); 50], 0);
    let (v, log_q) = model.dequantize(x.clone(), None, &mut Noise::seeded(1));
    // In f32 a u just below 1 may round up to it, never further.
    let offset = v * LEVELS as f64 - x.clone();
    assert!(offset.clone().min().into_scalar::<f64>() >= 0.0);
    assert!(offset.max().into_scalar::<f64>() <= 1.0);
    assert!(numbers(log_q).iter().all(|l| l.is_finite()));
    // The same noise under other integers is other noise.
    let u = |x: Tensor<2>| {
        let (v, _) = model.dequantize(x.clone(), None, &mut Noise::seeded(1));
        v * LEVELS as f64 - x
    };
    let change = (u(x.clone()) - u(x * 0.0)).abs().max().into_scalar::<f64>();
    assert!(change > 0.01, "{change}");
}

#[test]
fn a_context_reaches_the_density_and_the_noise() {
    let p = fixed(unit(0.01, 1, 0.0), 1);
    let q = fixed(unit(0.0, 3, 0.0), 2);
    let model = VariationalDequantize::new(p, q, LEVELS).unwrap();
    let rows = |c: f64| Tensor::<2>::full([16, 1], c, &Device::flex());
    let bound = |context: &Tensor<2>| {
        numbers(model.bound(pairs(), Some(context), 1, &mut Noise::seeded(1)))
    };
    assert_ne!(bound(&rows(1.0)), bound(&rows(-1.0)));
    // One row serves all.
    assert_eq!(bound(&rows(1.0)), bound(&rows(1.0).narrow(0, 0, 1)));
    let noise = |c: f64| model.dequantize(pairs(), Some(&rows(c)), &mut Noise::seeded(1)).0;
    assert_ne!(noise(1.0).into_data(), noise(-1.0).into_data());
}

/// Data-dependent layers of both parts start: the noise near uniform, the density from its values.
#[test]
fn data_dependent_layers_start_from_a_batch() {
    let device = Device::flex();
    let part = |alpha| {
        let layers = (Logit::new(alpha).unwrap(), ActNormConfig::new(2).init(&device));
        Flow::new(layers, StandardNormal::<2>::new([2], &device))
    };
    let model = VariationalDequantize::new(part(0.01), part(0.0), LEVELS).unwrap();
    let x = neighbours(4000, 1);
    let model = model.init_from_data(x.clone(), None);
    let (v, _) = model.dequantize(x.clone(), None, &mut Noise::seeded(2));
    let z = model.density().encode(v.clone());
    assert!(z.clone().mean_dim(0).abs().max().into_scalar::<f64>() < 0.1);
    assert!((z.var(0) - 1.0).abs().max().into_scalar::<f64>() < 0.1);
    // Uniform noise has a mean of 1/2 and a variance of 1/12.
    let u = v * LEVELS as f64 - x;
    let (mean, variance) = (u.clone().mean(), u.var(0).mean());
    assert!((mean.into_scalar::<f64>() - 0.5).abs() < 0.03);
    assert!((variance.into_scalar::<f64>() - 1.0 / 12.0).abs() < 0.015);
}

/// A network of images that sees the integers as an image beside what the coupling keeps.
#[derive(Module, Debug)]
struct SeesImage {
    network: ConvNet,
    channels: usize,
}

impl Conditioner<4> for SeesImage {
    fn forward(&self, kept: Tensor<4>, context: Option<&Tensor<2>>) -> Tensor<4> {
        let [batch, _, height, width] = kept.dims();
        let x = context.expect("the integers").clone();
        let x = x.reshape([batch, self.channels, height, width]);
        self.network.forward(Tensor::cat(vec![kept, x], 1), None)
    }
}

#[test]
fn images_are_dequantized_by_a_network_that_sees_the_image() {
    let device = Device::flex();
    let event = [2, 4, 4];
    let coupling = |mask: Mask, channels: usize| {
        let network = |c_in, c_out| SeesImage {
            network: ConvNetConfig::new(8).init(c_in + channels, c_out, 0, &device),
            channels,
        };
        Coupling::new(&mask, &event, Affine::default(), network, &device).unwrap()
    };
    let layers =
        (Logit::new(0.0).unwrap(), coupling(Mask::Halves, 2), coupling(Mask::Checkerboard, 2));
    let q = fixed(Flow::new(layers, StandardNormal::<4>::new(event, &device)), 3);
    let p = Flow::new(Logit::new(0.01).unwrap(), StandardNormal::<4>::new(event, &device));
    let model = VariationalDequantize::new(p, q, 8).unwrap();
    let x = (Noise::seeded(1).uniform::<4>([40, 2, 4, 4], &device) * 8.0).floor();
    let before = mean(model.bound(x.clone(), None, 4, &mut Noise::seeded(2)));
    let config = quick().with_epochs(30).with_learning_rate(1e-2).with_validation_fraction(0.0);
    let (model, _) = fit(model, x.clone(), &config).unwrap();
    let after = mean(model.bound(x.clone(), None, 4, &mut Noise::seeded(2)));
    assert!(after > before + 1.0, "{before} to {after}");
    // Many draws come near the truth of this density, which no noise takes it above.
    let uniform = VariationalDequantize::new(model.density().clone(), UniformNoise {}, 8).unwrap();
    let many = mean(uniform.bound(x, None, 64, &mut Noise::seeded(4)));
    assert!(after < many + 1.0, "{after} against {many}");
}

#[test]
fn integers_of_one_value_are_data_for_it() {
    // A corner that is always 0 has no density, but a probability.
    let x = neighbours(200, 1).slice_assign([0..200, 0..1], tensor(vec![0.0; 200], [200, 1]));
    let density = fit(unit(0.01, 0, 0.0), x.clone(), &quick()).unwrap_err();
    assert!(density.to_string().contains("column 0 is constant"), "{density}");
    let (_, report) = fit(variational(0.0), x, &quick()).unwrap();
    assert!(report.epochs[5].train_nll < report.epochs[0].train_nll);
}

#[test]
fn data_it_cannot_take_are_errors() {
    let refused = |data: FitData<2>| fit(variational(0.0), data, &quick()).unwrap_err().to_string();
    let x = neighbours(20, 1);
    assert_eq!(
        refused((x.clone() * 0.0 + 4.0).into()),
        "integer data: row 0 holds 4, expected an integer below 4 levels"
    );
    assert_eq!(
        refused(FitData::new(x.clone()).with_validation(x.clone() + 0.5, None)),
        format!(
            "integer data: row 0 holds {}, expected an integer below 4 levels",
            x.clone().slice([0..1, 0..1]).into_scalar::<f64>() + 0.5
        )
    );
    assert_eq!(
        refused(FitData::new(x).with_dequantization(Dequantize::new(4).unwrap())),
        "integer data: the model takes integers; leave with_dequantization out"
    );
    let levels = VariationalDequantize::new(unit(0.0, 0, 0.0), UniformNoise {}, 1).unwrap_err();
    assert_eq!(levels.to_string(), "Dequantize.levels: must be between 2 and 16777216, found 1");
}

#[test]
#[should_panic(expected = "VariationalDequantize: expected at least 1 draw, found 0")]
fn a_bound_of_no_draws_panics() {
    variational(0.0).bound(pairs(), None, 0, &mut Noise::seeded(1));
}

#[test]
fn a_broken_part_is_named() {
    let device = Device::flex();
    let broken = ActNorm::from_weights(
        Tensor::from_floats([f32::NAN, 0.0], &device),
        Tensor::zeros([2], &device),
    );
    let normal = || StandardNormal::<2>::new([2], &device);
    let q = Flow::new((Logit::new(0.0).unwrap(), broken.clone()), normal());
    let model = VariationalDequantize::new(unit(0.01, 0, 0.0), q, LEVELS).unwrap();
    assert_eq!(model.first_non_finite(pairs(), None).as_deref(), Some("noise"));
    let p = Flow::new((Logit::new(0.01).unwrap(), broken), normal());
    let model = VariationalDequantize::new(p, UniformNoise {}, LEVELS).unwrap();
    let found = model.first_non_finite(pairs(), None);
    assert_eq!(found.as_deref(), Some("density.bijector.1 (ActNorm)"));
}

#[test]
fn uniform_noise_has_the_precision_and_shape_of_its_integers() {
    let x = Tensor::<2>::zeros([3, 2], (&Device::flex(), burn::tensor::DType::F64));
    let (u, log_q) = UniformNoise {}.draw_given(&x, None, &mut Noise::seeded(1));
    assert_eq!((u.dims(), u.dtype(), log_q.dtype()), ([3, 2], x.dtype(), x.dtype()));
}
