//! Trainable densities: mixtures, conditional and diagonal normals.

use super::*;

#[test]
fn gaussian_mixture_has_known_values() {
    // Values by mpmath at 30 digits.
    assert_values(
        &two_normals(),
        &[
            ([0.5, -0.25], -2.781_024_193_249_833),
            ([2.0, -1.0], -0.860_811_690_203_979_3),
            ([40.0, 40.0], -4_002.531_024_246_969), // every term of the mixture underflows
        ],
    );
}

#[test]
fn gaussian_mixture_of_one_is_a_normal() {
    let one = GaussianMixtureConfig::new(3, 1).with_seed(0).init(&device());
    let mean = Noise::seeded(0).normal::<2>([1, 3], &device()); // the configuration's initial mean
    let x = Noise::seeded(1).normal::<2>([20, 3], &device());
    let normal = StandardNormal::<2>::new([3], &device());
    let expected = log_probs(&normal, x.clone() - mean);
    for (a, b) in log_probs(&one, x).iter().zip(expected) {
        assert!((a - b).abs() < 1e-12);
    }
}

#[test]
fn gaussian_mixture_integrates_to_one_and_its_draws_follow() {
    let mixture = moved(GaussianMixtureConfig::new(2, 4).with_seed(3).init(&device()), 7);
    let (mass, entropy) = quadrature(&mixture, 16.0, 320);
    assert!((mass - 1.0).abs() < 1e-9, "{mass}");
    assert_sampler_follows(&mixture, entropy, 16.0);
    assert_seeded(&mixture, None);
}

#[test]
fn gaussian_mixture_draws_components_by_weight() {
    let means = tensor(&[-10.0, 0.0, 10.0], [3, 1]);
    let weights = tensor(&[0.1, 0.6, 0.3], [3]);
    let mixture = GaussianMixture::fixed(means.clone(), means.ones_like(), weights).unwrap();
    let draws = host(mixture.sample(DRAWS, None, &mut Noise::seeded(2), &device()));
    let share = |low: f64, high: f64| {
        draws.iter().filter(|x| (low..high).contains(*x)).count() as f64 / DRAWS as f64
    };
    for (found, weight) in [(share(-20.0, -5.0), 0.1), (share(-5.0, 5.0), 0.6)] {
        let error = (weight * (1.0 - weight) / DRAWS as f64).sqrt();
        assert!((found - weight).abs() < 4.0 * error, "{found}, expected {weight}");
    }
}

#[test]
fn gaussian_mixture_learns_every_parameter() {
    let mixture = moved(GaussianMixtureConfig::new(2, 3).init(&device().autodiff()), 3);
    let x = Noise::seeded(1).normal::<2>([50, 2], &device()) * 2.0;
    assert_all_learn(&mixture, mixture.log_prob(x, None).mean(), 3);
    let draws = mixture.sample(20, None, &mut Noise::seeded(1), &device());
    let found = gradients(&mixture, &draws.square().sum().backward());
    assert!(found[0].1 > Some(0.0) && found[1].1 > Some(0.0), "means and scales: {found:?}");
    assert_eq!(found[2].1, None, "a draw is not differentiable in the weights");
}

#[test]
fn gaussian_mixture_starts_from_data_once() {
    let eight = EightGaussians::default();
    let x = eight.sample(400, None, &mut Noise::seeded(1), &device());
    let config = GaussianMixtureConfig::new(2, 8).with_seed(0);
    let start = config.init(&device().autodiff());
    let nll = |m: &GaussianMixture| -host(m.valid().log_prob(x.clone(), None).mean())[0];
    let before = nll(&start);
    let started = start.init_from_data(x.clone(), None);
    assert!(started.is_initialized());
    assert!(nll(&started) < before.min(3.5), "{} after {before}", nll(&started));
    assert_all_learn(&started, started.log_prob(x.clone(), None).mean(), 3);

    // A trained mixture keeps its parameters if it is initialised again with other data.
    let trained = moved(started, 5);
    let kept = log_probs(&trained.valid(), x.clone());
    let again = trained.init_from_data(x.clone() * 3.0 + 1.0, None);
    assert_eq!(log_probs(&again.valid(), x.clone()), kept);

    // A mixture loaded from a record keeps its parameters, too.
    let record = again.valid().into_record();
    let loaded = config.with_seed(9).init(&device()).try_load_record(record).unwrap();
    assert!(loaded.is_initialized());
    let loaded = loaded.init_from_data(x.clone() * 3.0 + 1.0, None);
    assert_eq!(log_probs(&loaded, x), kept);
}

#[test]
fn gaussian_mixture_starts_from_hostile_data() {
    // Fewer rows than components, one row, and a constant column.
    for rows in [1, 2] {
        let x = tensor(&[1.0, 5.0, 2.0, 5.0][..2 * rows], [rows, 2]);
        let start = GaussianMixtureConfig::new(2, 4).init(&device().autodiff());
        let mixture = start.init_from_data(x.clone(), None);
        assert!(log_probs(&mixture.valid(), x.clone()).iter().all(|l| l.is_finite()));
        // Components initialised on the same row differ, so their gradients differ.
        let gradients = mixture.log_prob(x, None).sum().backward();
        struct Means(Gradients, Vec<f64>);
        impl ModuleVisitor for Means {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if self.1.is_empty() {
                    self.1 = host(param.val().grad(&self.0).unwrap());
                }
            }
        }
        let mut means = Means(gradients, vec![]);
        mixture.visit(&mut means);
        let row = |k: usize| means.1[2 * k..2 * k + 2].to_vec();
        assert_ne!(row(0), row(rows), "two components on the same row");
    }
}

#[test]
fn gaussian_mixture_refuses_impossible_parts() {
    let text = |config: GaussianMixtureConfig| config.validate().unwrap_err().to_string();
    let features = text(GaussianMixtureConfig::new(0, 2));
    assert_eq!(features, "GaussianMixtureConfig.features: must be at least 1, found 0");
    let one = |v: f64| tensor(&[v], [1, 1]);
    let fixed = |mean, scale, weight| {
        let mixture = GaussianMixture::fixed(one(mean), one(scale), tensor(&[weight], [1]));
        mixture.unwrap_err().to_string()
    };
    assert_eq!(fixed(f64::NAN, 1.0, 1.0), "GaussianMixture.means: must be finite, found NaN");
    let scale = fixed(0.0, 0.0, 1.0);
    assert_eq!(scale, "GaussianMixture.scales: must be positive and finite, found 0");
    let weight = fixed(0.0, 1.0, -2.0);
    assert_eq!(weight, "GaussianMixture.weights: must be positive and finite, found -2");
}

#[test]
#[should_panic(
    expected = "GaussianMixture: expected scales of shape [2, 2] and weights of shape [2]"
)]
fn gaussian_mixture_panics_on_parts_that_do_not_fit() {
    let two = tensor(&[1.0; 4], [2, 2]);
    let _ = GaussianMixture::fixed(two.clone(), two, tensor(&[1.0; 3], [3]));
}

#[test]
#[should_panic(expected = "GaussianMixture: expected an event of shape [2] after the batch axis")]
fn gaussian_mixture_panics_on_another_width() {
    two_normals().log_prob(tensor(&[0.5; 3], [1, 3]), None);
}

fn conditional(device: &Device) -> ConditionalNormal<2> {
    let mlp = MlpConfig::new(vec![8]).with_activation(ActivationConfig::Silu);
    moved(ConditionalNormalConfig::new(vec![2], 3, mlp).init(device), 4)
}

#[test]
fn conditional_normal_starts_as_the_standard_normal() {
    let config = ConditionalNormalConfig::new(vec![2, 2], 3, MlpConfig::new(vec![8]));
    let normal = config.init::<3>(&device());
    let x = Noise::seeded(1).normal::<3>([5, 2, 2], &device());
    let context = Noise::seeded(2).normal::<2>([5, 3], &device());
    let expected = log_probs(&StandardNormal::<3>::new([2, 2], &device()), x.clone());
    let found = host(normal.log_prob(x, Some(&context)));
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-13);
    }
}

#[test]
fn conditional_normal_follows_its_context() {
    let normal = conditional(&device());
    let rows = Noise::seeded(2).normal::<2>([2, 3], &device());
    let (first, second) = (rows.clone().narrow(0, 0, 1), rows.narrow(0, 1, 1));
    let draw = |c: &Tensor<2>| {
        let draws = normal.sample(DRAWS, Some(c), &mut Noise::seeded(3), &device());
        let mean = draws.clone().mean_dim(0);
        let std = (draws.clone() - mean.clone()).square().mean_dim(0).sqrt();
        (draws, mean, std)
    };
    let (draws, mean, std) = draw(&first);
    let (_, other, _) = draw(&second);
    assert!((mean.clone() - other).abs().max().into_scalar::<f64>() > 0.05);

    // The density under one context is the normal that the draws follow.
    let shown = StandardNormal::<2>::new([2], &device());
    let standard = (draws.clone() - mean) / std.clone();
    let expected = shown.log_prob(standard, None) - std.log().sum();
    let found = normal.log_prob(draws.clone(), Some(&first));
    let error = (found.clone() - expected).mean().abs().into_scalar::<f64>();
    assert!(error < 2e-3, "{error}");

    // A context of one row gives the same numbers as that row repeated for every row.
    let all = first.clone().expand([DRAWS, 3]);
    assert_eq!(host(normal.log_prob(draws.clone(), Some(&all))), host(found));
    assert_ne!(
        host(normal.log_prob(draws.clone(), Some(&second))),
        host(normal.log_prob(draws, Some(&first)))
    );
    assert_seeded(&normal, Some(&first));
}

#[test]
fn conditional_normal_integrates_to_one() {
    let normal = conditional(&device());
    let context = Noise::seeded(2).normal::<2>([1, 3], &device());
    let (points, area) = grid(12.0, 300);
    let density = normal.log_prob(points, Some(&context)).exp().sum() * area;
    assert!((density.into_scalar::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn conditional_normal_learns_every_parameter() {
    let normal = conditional(&device().autodiff());
    let x = Noise::seeded(1).normal::<2>([9, 2], &device());
    let context = Noise::seeded(2).normal::<2>([9, 3], &device());
    assert_all_learn(&normal, normal.log_prob(x, Some(&context)).mean(), 4);
    let draws = normal.sample(9, Some(&context), &mut Noise::seeded(1), &device());
    assert_all_learn(&normal, draws.square().sum(), 4);
}

#[test]
fn conditional_normal_keeps_its_scale_bounded() {
    let normal = conditional(&device());
    let context = tensor(&[1e6, -1e6, 1e6], [1, 3]);
    let draws = normal.sample(100, Some(&context), &mut Noise::seeded(1), &device());
    let mean = draws.clone().mean_dim(0);
    let spread = host((draws - mean).square().mean_dim(0).sqrt());
    assert!(spread.iter().all(|s| (5e-4..2e3).contains(s)), "{spread:?}");
}

#[test]
fn conditional_normal_refuses_impossible_configurations() {
    let text = |event: Vec<usize>, context, hidden| {
        let config = ConditionalNormalConfig::new(event, context, MlpConfig::new(hidden));
        config.validate().unwrap_err().to_string()
    };
    let event = text(vec![2, 0], 3, vec![8]);
    assert_eq!(event, "ConditionalNormalConfig.event: must be at least 1, found 0");
    let context = text(vec![2], 0, vec![8]);
    assert_eq!(context, "ConditionalNormalConfig.context: must be at least 1, found 0");
    assert!(text(vec![2], 3, vec![]).starts_with("MlpConfig.hidden:"));
}

#[test]
#[should_panic(expected = "ConditionalNormal: expected a context of width 3, found none")]
fn conditional_normal_panics_without_a_context() {
    conditional(&device()).log_prob(tensor(&[0.5; 2], [1, 2]), None);
}

#[test]
#[should_panic(expected = "ConditionalNormal: expected a context of width 3, found 2")]
fn conditional_normal_panics_on_another_context() {
    let context = tensor(&[0.5; 2], [1, 2]);
    conditional(&device()).log_prob(context.clone(), Some(&context));
}

#[test]
#[should_panic(expected = "ConditionalNormal: expected a context of 1 or 4 rows, found 2")]
fn conditional_normal_panics_on_another_number_of_rows() {
    let context = tensor(&[0.5; 6], [2, 3]);
    conditional(&device()).log_prob(tensor(&[0.5; 8], [4, 2]), Some(&context));
}

#[test]
#[should_panic(expected = "ConditionalNormal: expected an event of shape [2] after the batch axis")]
fn conditional_normal_panics_on_another_width() {
    let context = tensor(&[0.5; 3], [1, 3]);
    conditional(&device()).log_prob(tensor(&[0.5; 3], [1, 3]), Some(&context));
}

#[test]
fn diag_normal_integrates_to_one_and_its_draws_follow() {
    let normal = moved(DiagNormalConfig::new(vec![2]).init::<2>(&device()), 6);
    let (mass, entropy) = quadrature(&normal, 12.0, 240);
    assert!((mass - 1.0).abs() < 1e-9, "{mass}");
    assert_sampler_follows(&normal, entropy, 12.0);
}

/// Normals as a mixture of distributions. With a second scale of 2 and 0.125 it equals
/// [`two_normals`].
fn mixed_normals(second: [f64; 2]) -> Mixture<DiagNormal<2>> {
    let normal = |mean: [f64; 2], scale: [f64; 2]| {
        DiagNormal::fixed(tensor(&mean, [1, 2]), tensor(&scale, [1, 2])).unwrap()
    };
    let parts = vec![normal([0.0, 0.0], [1.0, 0.5]), normal([3.0, -1.0], second)];
    Mixture::new(parts, &device()).unwrap().with_weights(tensor(&[1.0, 3.0], [2])).unwrap()
}

#[test]
fn mixture_of_normals_is_a_gaussian_mixture() {
    let x = Noise::seeded(1).normal::<2>([50, 2], &device()) * 4.0;
    let expected = log_probs(&two_normals(), x.clone());
    for (found, expected) in log_probs(&mixed_normals([2.0, 0.125]), x).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
    }
}

#[test]
fn mixture_of_normals_integrates_to_one_and_its_draws_follow() {
    let mixture = mixed_normals([1.5, 0.8]);
    let (mass, entropy) = quadrature(&mixture, 10.0, 320);
    assert!((mass - 1.0).abs() < 1e-5, "{mass}"); // a few parts per million lie outside
    assert_sampler_follows(&mixture, entropy, 10.0);
    assert_seeded(&mixture, None);
    assert_eq!(mixture.sample(0, None, &mut Noise::seeded(1), &device()).dims(), [0, 2]);
}

/// A mixture of two planar flows.
fn mixed_flows(context: usize) -> Mixture<PlanarFlow> {
    let flow = |seed| {
        let config = PlanarFlowConfig::new(2).with_layers(2).with_seed(seed);
        config.with_context(context).init(&device().autodiff())
    };
    Mixture::new(vec![flow(1), flow(7)], &device().autodiff()).unwrap()
}

#[test]
fn mixture_of_flows_integrates_to_one_and_learns_every_parameter() {
    let mixture = moved(mixed_flows(0), 3);
    let (mass, entropy) = quadrature(&mixture.valid(), 12.0, 640);
    assert!((mass - 1.0).abs() < 1e-5, "{mass}");
    assert_sampler_follows(&mixture.valid(), entropy, 12.0);
    let x = Noise::seeded(1).normal::<2>([50, 2], &device());
    assert_all_learn(&mixture, mixture.log_prob(x, None).mean(), 5);
}

#[test]
fn mixture_weighs_and_draws_by_context() {
    let mlp = MlpConfig::new(vec![8]).with_zero_last(false);
    let mixture = mixed_flows(1).with_context(1, &mlp, &device().autodiff()).unwrap();
    let mixture = moved(mixture, 5).valid();
    let x = tensor(&[0.3, -0.2, 0.3, -0.2], [2, 2]);
    let both = host(mixture.log_prob(x.clone(), Some(&tensor(&[-1.0, 2.0], [2, 1]))));
    assert!((both[0] - both[1]).abs() > 1e-3, "the context has no effect");
    for (row, c) in [-1.0, 2.0].into_iter().enumerate() {
        let alone = mixture.log_prob(x.clone().slice(row..row + 1), Some(&tensor(&[c], [1, 1])));
        assert!((host(alone)[0] - both[row]).abs() < 1e-12);
    }
    // One context row for all draws, and this row repeated for each draw, give the same draws.
    let draw = |context: Tensor<2>| {
        host(mixture.sample(6, Some(&context), &mut Noise::seeded(1), &device()))
    };
    assert_eq!(draw(tensor(&[2.0], [1, 1])), draw(tensor(&[2.0; 6], [6, 1])));
    assert_ne!(draw(tensor(&[-1.0], [1, 1])), draw(tensor(&[2.0], [1, 1])));
}

#[test]
fn mixture_of_nothing_or_by_weights_of_nothing_is_an_error() {
    let none = Mixture::<DiagNormal<2>>::new(vec![], &device()).unwrap_err();
    assert_eq!(none.to_string(), "Mixture.components: must be at least 1, found 0");
    let weights = mixed_normals([1.0, 1.0]).with_weights(tensor(&[1.0, 0.0], [2])).unwrap_err();
    assert_eq!(weights.to_string(), "Mixture.weights: must be positive and finite, found 0");
    let width =
        mixed_normals([1.0, 1.0]).with_context(0, &MlpConfig::new(vec![4]), &device()).unwrap_err();
    assert_eq!(width.to_string(), "Mixture.context: must be at least 1, found 0");
}
