//! Columns given other columns.

use burn_flows::bijector::{ActNorm, ActNormConfig, Unconditional};
use burn_flows::conditioner::MadeConfig;
use burn_flows::distribution::*;
use burn_flows::model::{Maf, MafConfig};

use super::*;

fn class(context: usize) -> CategoricalMade {
    let made =
        MadeConfig::new(vec![10]).with_activation(ActivationConfig::Silu).with_zero_last(false);
    let config = CategoricalMadeConfig::new(vec![3]).with_made(made).with_context(context);
    moved(config.with_seed(1).init(&device()), 2)
}

fn number(context: usize) -> Maf {
    let made =
        MadeConfig::new(vec![10]).with_activation(ActivationConfig::Silu).with_zero_last(false);
    let config = MafConfig::new(1).with_layers(2).with_made(made).with_context(context);
    moved(config.with_seed(2).init(&device()), 3)
}

/// Column 1 is a class, column 0 a number given the class and a context of width 2.
fn class_first() -> Chained<CategoricalMade, Maf> {
    let mask = Mask::Kept(vec![1]);
    Chained::new(&mask, 2, class(2), number(5), &device())
        .unwrap()
        .with_one_hot(vec![Some(3)])
        .unwrap()
}

/// The class given the number.
fn class_last() -> Chained<Maf, CategoricalMade> {
    Chained::new(&Mask::Kept(vec![0]), 2, number(2), class(3), &device()).unwrap()
}

fn context() -> Tensor<2> {
    tensor(&[0.7, -1.2], [1, 2])
}

/// The densities of a grid of numbers for every class, and the width of a cell.
fn grid(model: &impl Distribution<2>) -> (Vec<Vec<f64>>, f64) {
    let (numbers, width) = midpoints(-40.0, 40.0, 16_000);
    let of_class = |class: f64| {
        let rows: Vec<f64> = numbers.iter().flat_map(|number| [*number, class]).collect();
        log_probs(model, &tensor(&rows, [numbers.len(), 2]), Some(&context()))
    };
    ([0.0, 1.0, 2.0].map(of_class).to_vec(), width)
}

#[test]
fn sums_and_integrals_are_one() {
    for (all, width) in [grid(&class_first()), grid(&class_last())] {
        let total: f64 = all.iter().map(|of| sum_exp(of) * width).sum();
        assert!((total - 1.0).abs() < 1e-6, "{total}");
    }
}

/// `p(a, b | c) = p(a | c) p(b | c, a)`: the marginal of the first columns is the first distribution, and the second
/// sees the context, then the one-hot class.
#[test]
fn the_parts_are_the_conditionals() {
    let model = class_first();
    let (all, width) = grid(&model);
    for (k, of) in all.iter().enumerate() {
        let class = tensor(&[k as f64], [1, 1]);
        let expected = log_probs(model.first(), &class, Some(&context()))[0].exp();
        assert!((sum_exp(of) * width - expected).abs() < 1e-6);
        let mut given = vec![0.7, -1.2, 0.0, 0.0, 0.0];
        given[2 + k] = 1.0;
        let x = tensor(&[0.3], [1, 1]);
        let inner = log_probs(model.second(), &x, Some(&tensor(&given, [1, 5])))[0];
        let whole = log_probs(&model, &tensor(&[0.3, k as f64], [1, 2]), Some(&context()))[0];
        assert!((whole - inner - expected.ln()).abs() < 1e-10, "{whole}");
    }
    // The number depends on the class, and the class on the number.
    let conditional = |of: &[f64], at: usize| of[at] - (sum_exp(of) * width).ln();
    assert!((conditional(&all[0], 8100) - conditional(&all[1], 8100)).abs() > 1e-3);
    let (all, _) = grid(&class_last());
    let share = |at: usize| all[0][at].exp() / all.iter().map(|of| of[at].exp()).sum::<f64>();
    assert!((share(7900) - share(8300)).abs() > 1e-4);
    let given = tensor(&[0.7, -1.2, 0.25], [1, 3]);
    let inner = log_probs(class_last().second(), &tensor(&[2.0], [1, 1]), Some(&given))[0];
    let first = log_probs(class_last().first(), &tensor(&[0.25], [1, 1]), Some(&context()))[0];
    let whole = log_probs(&class_last(), &tensor(&[0.25, 2.0], [1, 2]), Some(&context()))[0];
    assert!((whole - inner - first).abs() < 1e-10);
}

#[test]
fn draws_follow_both_parts() {
    let n = 20_000;
    let model = class_first();
    let x = draws(&model, n, Some(&context()));
    let (all, width) = grid(&model);
    let (numbers, _) = midpoints(-40.0, 40.0, 16_000);
    let rows = host(x.clone());
    for (k, of) in all.iter().enumerate() {
        let p = sum_exp(of) * width;
        let own: Vec<f64> =
            rows.chunks(2).filter(|row| row[1] == k as f64).map(|row| row[0]).collect();
        assert!((own.len() as f64 / n as f64 - p).abs() < 0.02);
        let mean = numbers.iter().zip(of).map(|(x, l)| x * l.exp()).sum::<f64>() * width / p;
        let found = own.iter().sum::<f64>() / own.len() as f64;
        assert!((found - mean).abs() < 0.1, "class {k}: {found}, expected {mean}");
    }
    assert!(log_probs(&model, &x, Some(&context())).iter().all(|l| l.is_finite()));
    assert_eq!(draws(&model, 0, Some(&context())).dims(), [0, 2]);
    assert_eq!(model.log_prob(Tensor::zeros([0, 2], &device()), Some(&context())).dims(), [0]);
}

#[test]
fn no_class_has_density_zero() {
    let x = tensor(&[0.1, 1.5, 0.1, 3.0, 0.1, f64::NAN, 0.1, 1.0], [4, 2]);
    for found in [
        log_probs(&class_first(), &x, Some(&context())),
        log_probs(&class_last(), &x, Some(&context())),
    ] {
        assert_eq!(found[..2], [f64::NEG_INFINITY; 2]);
        assert!(found[2].is_nan() && found[3].is_finite(), "{found:?}");
    }
}

#[test]
fn every_parameter_learns_and_files_hold_everything() {
    let model = class_first();
    let x = draws(&model, 60, Some(&context()));
    let c = Noise::seeded(1).normal::<2>([60, 2], &device());
    // The networks see a single column, which nothing depends on: their first weights are masked.
    let none = learned(&model, &x, Some(&c)).into_iter().filter(|gradient| *gradient < 1e-9);
    assert_eq!(none.count(), 3);
    let two = CategoricalMadeConfig::new(vec![3, 2]).with_context(2);
    let two = moved(two.with_seed(1).init(&device()), 2);
    let numbers = MafConfig::new(2).with_layers(1).with_context(7).with_seed(2);
    let numbers = moved(numbers.init(&device()), 3);
    let mask = Mask::Kept(vec![1, 3]);
    let whole = Chained::new(&mask, 4, two, numbers, &device()).unwrap();
    let whole = whole.with_one_hot(vec![Some(3), Some(2)]).unwrap();
    assert!(assert_all_learn(&whole, &draws(&whole, 60, Some(&c)), Some(&c)) > 10);
    let opened = reopened(&model);
    assert_eq!(log_probs(&opened, &x, Some(&c)), log_probs(&model, &x, Some(&c)));
    // A row alone has the bits of a row in a batch.
    let one = log_probs(&model, &x.clone().narrow(0, 7, 1), Some(&c.clone().narrow(0, 7, 1)));
    assert_eq!(one[0], log_probs(&model, &x, Some(&c))[7]);
}

type Started = Flow<Unconditional<ActNorm>, StandardNormal<2>>;

/// The second part is initialised from its own columns, and a failing layer is found in its part.
#[test]
fn parts_are_initialised_and_searched() {
    let started = |n: usize| -> Started {
        let norm = Unconditional::new(ActNormConfig::new(n).init(&device()));
        Flow::new(norm, StandardNormal::new([n], &device()))
    };
    let mask = Mask::Kept(vec![0]);
    let model = Chained::new(&mask, 3, started(1), started(2), &device()).unwrap();
    let means = tensor(&[5.0, -40.0, 300.0], [1, 3]);
    let x = Noise::seeded(1).normal::<2>([500, 3], &device()) + means;
    let model = model.init_from_data(x.clone(), None);
    let z = model.first().encode(x.clone().narrow(1, 0, 1));
    assert!(z.mean().into_scalar::<f64>().abs() < 1e-10);
    let z = model.second().encode(x.clone().narrow(1, 1, 2));
    assert!(host(z.mean_dim(0)).iter().all(|mean| mean.abs() < 1e-10));
    assert_eq!(model.first_non_finite(x.clone(), None), None);
    let broken = x.slice_assign([0..1, 2..3], tensor(&[f64::INFINITY], [1, 1]));
    let found = model.first_non_finite(broken, None).unwrap();
    assert!(found.starts_with("second.bijector"), "{found}");
}

#[test]
fn wrong_groups_and_codes_are_refused() {
    let new = |kept: &[usize]| {
        let mask = Mask::Kept(kept.to_vec());
        text(Chained::new(&mask, 2, class(2), number(5), &device()))
    };
    assert_eq!(new(&[0, 0]), "Chained.mask: must list each kept index once, found [0, 0]");
    assert_eq!(new(&[2]), "Chained.mask: must keep indices below 2, found 2");
    assert_eq!(new(&[0, 1]), "Chained.mask: must move at least 1 index of event [2], found 0");
    assert_eq!(
        text(class_first().with_one_hot(vec![Some(3), None])),
        "Chained.code: needs an entry for each of 1 first columns, found 2"
    );
    assert_eq!(
        text(class_first().with_one_hot(vec![Some(0)])),
        "Chained.code: must be at least 1, found 0"
    );
    assert_eq!(
        text(class_first().with_one_hot(vec![Some(2)])),
        "Chained.code: must be 3 for first column 0, found 2"
    );
    assert_eq!(class_first().column_levels(2), [None, Some(3)]);
    assert_eq!(class_last().column_levels(2), [None, Some(3)]);
}

#[test]
#[should_panic(expected = "expected a context of width 4, found 3")]
fn a_code_of_another_width_is_a_panic() {
    let second = ConditionalNormalConfig::new(vec![1], 4, mlp()).init::<2>(&device());
    let model = Chained::new(&Mask::Kept(vec![1]), 2, class(0), second, &device()).unwrap();
    let model = model.with_one_hot(vec![Some(3)]).unwrap();
    let _ = model.log_prob(tensor(&[0.0, 1.0], [1, 2]), None);
}
