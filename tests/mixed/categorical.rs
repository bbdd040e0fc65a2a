//! Columns of categories.

use burn_flows::distribution::*;

use super::*;

const CATEGORIES: [usize; 3] = [3, 2, 4];

fn made(context: usize) -> CategoricalMade {
    let network = burn_flows::conditioner::MadeConfig::new(vec![20, 20])
        .with_activation(ActivationConfig::Silu)
        .with_zero_last(false);
    let config = CategoricalMadeConfig::new(CATEGORIES.to_vec()).with_made(network);
    let model = config.with_context(context).with_seed(4).init(&device());
    // Far from uniform.
    moved(moved(moved(model, 1), 2), 3)
}

/// All events.
fn table() -> Tensor<2> {
    let [a, b, c] = CATEGORIES;
    let rows = (0..a * b * c).flat_map(|i| [i / (b * c), i / c % b, i % c]);
    tensor(&rows.map(|k| k as f64).collect::<Vec<_>>(), [a * b * c, 3])
}

/// The probabilities of all events, in the order of the table.
fn probabilities(model: &CategoricalMade, c: Option<&Tensor<2>>) -> Vec<f64> {
    log_probs(model, &table(), c).iter().map(|l| l.exp()).collect()
}

#[test]
fn probabilities_sum_to_one_and_every_column_matters() {
    let model = made(0);
    let all = probabilities(&model, None);
    assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let uneven = all.iter().fold(0.0f64, |most, p| most.max(*p)) * 24.0;
    assert!(uneven > 1.2, "{uneven}");
    // The columns depend on each other: p(k_2 | k_1) differs between values of k_1, and p(k_3 | k_1, k_2) as well.
    let sum = |range: std::ops::Range<usize>| all[range].iter().sum::<f64>();
    let second = |first: usize| sum(8 * first..8 * first + 4) / sum(8 * first..8 * first + 8);
    assert!((second(0) - second(1)).abs() > 1e-4);
    let third = |pair: usize| all[4 * pair] / sum(4 * pair..4 * pair + 4);
    assert!((third(0) - third(1)).abs() > 1e-4 && (third(0) - third(2)).abs() > 1e-4);
}

#[test]
fn a_context_changes_every_column() {
    let model = made(2);
    let context = |v: f64| tensor(&[v, -v], [1, 2]);
    let (one, other) =
        (probabilities(&model, Some(&context(0.0))), probabilities(&model, Some(&context(2.0))));
    for all in [&one, &other] {
        assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    let first = |all: &[f64]| all[..8].iter().sum::<f64>();
    assert!((first(&one) - first(&other)).abs() > 1e-4);
    let unknown = tensor(&[f64::NAN, 0.0], [1, 2]);
    assert!(log_probs(&model, &table(), Some(&unknown)).iter().all(|l| l.is_nan()));
}

#[test]
fn values_that_are_no_category() {
    let model = made(0);
    let at = |column: usize, value: f64| {
        let mut row = [1.0, 1.0, 1.0];
        row[column] = value;
        let x = tensor(&row, [1, 3]).autodiff().require_grad();
        let log_prob = model.log_prob(x.clone(), None);
        let gradient = x.grad(&log_prob.clone().sum().backward()).unwrap();
        assert_eq!(host(gradient), [0.0; 3]);
        host(log_prob)[0]
    };
    for value in [-1.0, 0.5, 2.0, 1.0 + 1e-9, 1e30, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(at(1, value), f64::NEG_INFINITY, "{value}");
    }
    assert!(at(1, 0.0).is_finite() && at(0, 2.0).is_finite() && at(2, 3.0).is_finite());
    assert!(at(0, f64::NAN).is_nan() && at(2, f64::NAN).is_nan());
}

/// The counts of draws against the probabilities.
#[test]
fn draws_follow_the_probabilities() {
    let n = 40_000;
    for context in [0, 2] {
        let model = made(context);
        let c = (context > 0).then(|| tensor(&[1.0, -1.0], [1, 2]));
        let drawn = draws(&model, n, c.as_ref());
        let mut counts = [0.0; 24];
        for row in host(drawn).chunks(3) {
            counts[(row[0] * 8.0 + row[1] * 4.0 + row[2]) as usize] += 1.0;
        }
        let expected = probabilities(&model, c.as_ref());
        let chi: f64 = counts
            .iter()
            .zip(expected)
            .map(|(count, p)| (count - p * n as f64).powi(2) / (p * n as f64))
            .sum();
        assert!(chi < 60.0, "{chi}"); // 23 degrees of freedom
    }
}

/// Row `i` is drawn under row `i` of the context.
#[test]
fn each_row_is_drawn_under_its_context() {
    let model = made(2);
    let n = 20_000;
    let c: Vec<f64> =
        (0..n).flat_map(|i| if i % 2 == 0 { [3.0, -3.0] } else { [-3.0, 3.0] }).collect();
    let drawn = host(draws(&model, n, Some(&tensor(&c, [n, 2]))));
    for (parity, value) in [(0, 3.0), (1, -3.0)] {
        let p = probabilities(&model, Some(&tensor(&[value, -value], [1, 2])));
        let expected = p[..8].iter().sum::<f64>();
        let rows = drawn.chunks(3).skip(parity).step_by(2);
        let share = rows.filter(|row| row[0] == 0.0).count() as f64 / (n / 2) as f64;
        assert!((share - expected).abs() < 0.02, "{share} {expected}");
    }
}

#[test]
fn every_parameter_learns_and_files_hold_everything() {
    let model = made(2);
    let c = Noise::seeded(1).normal::<2>([24, 2], &device());
    assert_eq!(assert_all_learn(&model, &table(), Some(&c)), 7);
    let opened = reopened(&model);
    assert_eq!(log_probs(&opened, &table(), Some(&c)), log_probs(&model, &table(), Some(&c)));
    let single = burn_flows::cast(model, DType::F32);
    let (x, c) = (table().cast(DType::F32), c.cast(DType::F32));
    assert_eq!(single.log_prob(x, Some(&c)).dtype(), DType::F32);
    assert_eq!(draws(&single, 3, Some(&c.narrow(0, 0, 3))).dtype(), DType::F32);
}

/// A row has the same bits alone and in a batch, and an empty batch has no rows.
#[test]
fn rows_are_independent() {
    let model = made(0);
    let all = log_probs(&model, &table(), None);
    for row in [0, 5, 23] {
        assert_eq!(log_probs(&model, &table().narrow(0, row, 1), None), [all[row]]);
    }
    assert!(log_probs(&model, &Tensor::zeros([0, 3], &device()), None).is_empty());
    assert_eq!(draws(&model, 0, None).dims(), [0, 3]);
    assert_eq!(draws(&model, 1, None).dims(), [1, 3]);
}

#[test]
fn levels_and_a_single_column() {
    assert_eq!(made(0).column_levels(3), [Some(3), Some(2), Some(4)]);
    assert_eq!(made(0).integer_levels(), None);
    let one = CategoricalMadeConfig::new(vec![5]).with_seed(1).init(&device());
    assert_eq!(one.integer_levels(), Some(5));
    let x = tensor(&[0.0, 1.0, 2.0, 3.0, 4.0], [5, 1]);
    assert!(log_probs(&one, &x, None).iter().all(|l| (l + 5f64.ln()).abs() < 1e-12));
    let even = CategoricalMadeConfig::new(vec![2, 2]).with_seed(1).init(&device());
    assert_eq!(even.integer_levels(), Some(2));
}

#[test]
fn configurations_are_checked() {
    let new =
        |categories: &[usize]| text(CategoricalMadeConfig::new(categories.to_vec()).validate());
    let field = "CategoricalMadeConfig.categories";
    assert_eq!(new(&[]), format!("{field}: must be at least 1, found 0"));
    assert_eq!(new(&[2, 0]), format!("{field}: must be at least 1, found 0"));
    assert_eq!(new(&[4000, 97]), format!("{field}: must be at most 4096 in sum, found 4097"));
    assert_eq!(new(&[usize::MAX, 2]).split(':').next().unwrap(), field);
    let made = burn_flows::conditioner::MadeConfig::new(vec![8]);
    let reversed = made.clone().with_dependencies(burn_flows::conditioner::Dependencies::Reversed);
    assert_eq!(
        text(CategoricalMadeConfig::new(vec![2, 2]).with_made(reversed).validate()),
        "CategoricalMadeConfig.made: `dependencies` must be Forward, because each column depends on the columns \
         before it"
    );
    let angles = made
        .with_periodic(Some(burn_flows::conditioner::Periodic { inputs: vec![0], period: 1.0 }));
    assert_eq!(
        text(CategoricalMadeConfig::new(vec![2, 2]).with_made(angles).validate()),
        "CategoricalMadeConfig.made: `periodic` must be None, because categories are no angles"
    );
}

#[test]
#[should_panic(expected = "CategoricalMade: expected a context of width 2, found none")]
fn a_missing_context_is_a_panic() {
    let _ = made(2).log_prob(table(), None);
}
