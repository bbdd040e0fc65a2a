//! The variational bound compared with the probability, its noise, and its gradients.

use burn::module::{ModuleVisitor, ParamId};
use burn::optim::GradientsParams;
use burn_flows::bijector::ActNorm;
use burn_flows::train::{Dequantize, NoiseModel, bits_per_dim};

use super::*;

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
        // Bits per dimension of the integers equal those of the density.
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

/// For any noise, the mean of p / q equals the probability, within four standard errors.
#[test]
fn the_mean_over_draws_is_the_probability_under_any_noise() {
    let p = fixed(unit(0.01, 0, 0.0), 1);
    let exact = integrated(&p, pairs());
    assert!((exact.iter().sum::<f64>() - 1.0).abs() < 0.05, "{exact:?}");
    // Twice as wide as the standard normal, so that the noise covers all parts of a level.
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
        // Four couplings with three layers each, which have a weight and a bias.
        assert_eq!((count(model.density()), count(model.noise())), ((24, 24), (24, 24)));
    }
}

/// The gradient of the noise parameters agrees with finite differences of the bound.
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
    // The scales of both elements come before their shifts.
    assert!((first.1[2] - expected).abs() < 1e-2 * expected.abs(), "{:?} {expected}", first.1);
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
    // In f32 a `u` just below 1 may round up to 1, but not above it.
    let offset = v * LEVELS as f64 - x.clone();
    assert!(offset.clone().min().into_scalar::<f64>() >= 0.0);
    assert!(offset.max().into_scalar::<f64>() <= 1.0);
    assert!(numbers(log_q).iter().all(|l| l.is_finite()));
    // The same seed with other integers gives other noise.
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
    // A context of one row applies to all rows.
    assert_eq!(bound(&rows(1.0)), bound(&rows(1.0).narrow(0, 0, 1)));
    let noise = |c: f64| model.dequantize(pairs(), Some(&rows(c)), &mut Noise::seeded(1)).0;
    assert_ne!(noise(1.0).into_data(), noise(-1.0).into_data());
}

#[test]
#[should_panic(expected = "VariationalDequantize: expected at least 1 draw, found 0")]
fn a_bound_of_no_draws_panics() {
    variational(0.0).bound(pairs(), None, 0, &mut Noise::seeded(1));
}

#[test]
fn uniform_noise_has_the_precision_and_shape_of_its_integers() {
    let x = Tensor::<2>::zeros([3, 2], (&Device::flex(), burn::tensor::DType::F64));
    let (u, log_q) = UniformNoise {}.draw_for(&x, None, &mut Noise::seeded(1));
    assert_eq!((u.dims(), u.dtype(), log_q.dtype()), ([3, 2], x.dtype(), x.dtype()));
}
