//! Calibration, coverage and importance weights, against values that are known.

use burn::tensor::{Device, Tensor, TensorData};
use burn_flows::burn;
use burn_flows::inference::{ImportanceWeights, Ranks, expected_coverage, tarp};
use burn_flows::prelude::*;

fn tensor<const D: usize>(values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
    let options = (&Device::flex(), burn::tensor::DType::F64);
    Tensor::from_data(TensorData::new(values, shape), options)
}

/// Log-weights whose tail is exactly that of a Pareto distribution of this shape.
fn pareto(count: usize, shape: f64) -> Vec<f64> {
    let share = |at: usize| (at as f64 + 0.5) / count as f64;
    // In an order that is not sorted.
    (0..count).map(|at| -shape * (-share(at * 7919 % count)).ln_1p()).collect()
}

/// `arviz.psislw` of arviz 0.22 for the same log-weights.
#[test]
fn pareto_k_is_that_of_arviz() {
    for (count, shape, expected) in PARETO_K {
        let weights = ImportanceWeights::new(tensor(pareto(count, shape), [count])).unwrap();
        let found = weights.pareto_k().unwrap();
        assert!((found - expected).abs() < 1e-9, "{count} {shape}: {found} {expected}");
    }
}

/// The sum of the squared normalised weights after smoothing, of arviz 0.22.
#[test]
fn smoothed_weights_are_those_of_arviz() {
    for (count, shape, expected) in SMOOTHED {
        let weights = ImportanceWeights::new(tensor(pareto(count, shape), [count])).unwrap();
        let found: f64 = weights.smoothed().normalized().iter().map(|w| w * w).sum();
        assert!((found / expected - 1.0).abs() < 1e-9, "{count} {shape}: {found} {expected}");
    }
}

/// Draws, shape, and the result of arviz.
const PARETO_K: [(usize, f64, f64); 6] = [
    (100, 0.3, 0.37726986816579655),
    (1000, 0.1, 0.14996426749948955),
    (1000, 0.5, 0.49708596126252175),
    (1000, 0.9, 0.8442664334030683),
    (5000, 0.7, 0.686253457863705),
    (333, 1.5, 1.2850779863367954),
];
/// Draws, shape, and the result of arviz.
const SMOOTHED: [(usize, f64, f64); 6] = [
    (100, 0.3, 0.01166451761741261),
    (1000, 0.1, 0.0010126928052280441),
    (1000, 0.5, 0.00225117084985961),
    (1000, 0.9, 0.02621625841329392),
    (5000, 0.7, 0.002745564917905839),
    (333, 1.5, 0.257607362442053),
];

#[test]
fn a_large_constant_changes_nothing() {
    let weights = |shift: f64| {
        let logs = pareto(500, 0.4).into_iter().map(|log| log + shift).collect();
        ImportanceWeights::new(tensor(logs, [500])).unwrap()
    };
    let (near, far) = (weights(0.0), weights(1e6));
    assert!((near.effective_draws() - far.effective_draws()).abs() < 1e-6);
    assert!((near.pareto_k().unwrap() - far.pareto_k().unwrap()).abs() < 1e-6);
}

#[test]
fn equal_weights_are_worth_all_draws() {
    let weights = ImportanceWeights::new(tensor(vec![-3.0; 100], [100])).unwrap();
    assert!((weights.effective_draws() - 100.0).abs() < 1e-12);
    assert_eq!(weights.pareto_k(), None);
    assert_eq!(weights.smoothed(), weights);
    let k = |count: usize| {
        let logs = (0..count).map(|at| (at as f64).sqrt()).collect();
        ImportanceWeights::new(tensor(logs, [count])).unwrap().pareto_k()
    };
    assert!(k(20).is_none() && k(21).is_some());
    let mut one = vec![f64::NEG_INFINITY; 100];
    one[7] = 2.0;
    let one = ImportanceWeights::new(tensor(one, [100])).unwrap();
    assert!((one.effective_draws() - 1.0).abs() < 1e-12);
}

/// Draws of weight 0 may have any value.
#[test]
fn a_weighted_mean_by_hand() {
    let weights = tensor(vec![0.0, 3f64.ln(), f64::NEG_INFINITY], [3]);
    let weights = ImportanceWeights::new(weights).unwrap();
    let values = tensor(vec![1.0, 10.0, 5.0, -10.0, f64::NAN, f64::INFINITY], [3, 2]);
    let found = weights.mean(values);
    assert!((found[0].mean - 4.0).abs() < 1e-12 && (found[1].mean + 5.0).abs() < 1e-12);
    // Shares 1/4 and 3/4 at distances 3 and 1.
    let expected = ((0.25f64 * 3.0).powi(2) + (0.75f64 * 1.0).powi(2)).sqrt();
    assert!((found[0].standard_error - expected).abs() < 1e-12);
}

/// Every draw is chosen as often as its share says, rounded down or up, and never with the weight 0.
#[test]
fn resampling_follows_the_weights() {
    let mut logs = pareto(200, 0.5);
    logs[0] = f64::NEG_INFINITY;
    logs[199] = f64::NEG_INFINITY;
    let weights = ImportanceWeights::new(tensor(logs, [200])).unwrap();
    let shares = weights.normalized();
    let mut noise = Noise::seeded(3);
    let (n, runs) = (50, 4000);
    let mut total = [0; 200];
    for _ in 0..runs {
        let chosen = weights.resample(n, &mut noise);
        assert!(chosen.len() == n && chosen.is_sorted());
        let mut counts = [0; 200];
        chosen.iter().for_each(|&at| counts[at] += 1);
        for (at, (&count, share)) in counts.iter().zip(&shares).enumerate() {
            let expected = share * n as f64;
            assert!((count as f64 - expected).abs() < 1.0, "{at}: {count} {expected}");
            total[at] += count;
        }
    }
    assert!(total[0] == 0 && total[199] == 0);
    for (count, share) in total.iter().zip(shares) {
        let expected = share * n as f64;
        // A count that is rounded up with probability p has the variance p (1 - p), at most 1/4.
        let bound = 5.0 * 0.5 / f64::sqrt(runs as f64);
        assert!((*count as f64 / runs as f64 - expected).abs() < bound, "{count} {expected}");
    }
    assert!(weights.resample(0, &mut noise).is_empty());
}

/// Draws of N(0, 1.5^2) for the target N(0, 1): the standard error says how far estimates are from the truth.
#[test]
fn standard_errors_hold_the_truth() {
    let mut inside = 0;
    let (mut worth, runs) = (0.0, 300);
    for seed in 0..runs {
        let x = Noise::seeded(seed).normal::<2>([500, 1], &Device::flex()) * 1.5;
        let log = x.clone().square().reshape([-1]) * (0.5 / 2.25 - 0.5);
        let weights = ImportanceWeights::new(log).unwrap();
        let found = weights.mean(x.square())[0];
        inside += usize::from((found.mean - 1.0).abs() < 1.96 * found.standard_error);
        worth += weights.effective_draws() / 500.0 / runs as f64;
    }
    let share = inside as f64 / runs as f64;
    assert!((0.90..=0.99).contains(&share), "{share}");
    // (E w)^2 / E w^2 of these two normals.
    let expected = (2.0 * 2.25f64 - 1.0).sqrt() / 2.25;
    assert!((worth - expected).abs() < 0.01, "{worth} {expected}");
}

#[test]
fn log_weights_that_cannot_be_are_errors() {
    let text = |values: Vec<f64>| {
        let count = values.len();
        ImportanceWeights::new(tensor(values, [count])).unwrap_err().to_string()
    };
    let finite = "must be finite or -inf, found";
    assert_eq!(text(vec![0.0, f64::NAN]), format!("log-weights: draw 1 {finite} NaN"));
    assert_eq!(text(vec![f64::INFINITY]), format!("log-weights: draw 0 {finite} inf"));
    assert!(
        text(vec![f64::NEG_INFINITY; 2]).starts_with("log-weights: all 2 draws have the weight 0")
    );
}

#[test]
#[should_panic(expected = "ImportanceWeights: expected values of 2 rows, found 3")]
fn values_of_other_draws_panic() {
    let weights = ImportanceWeights::new(tensor(vec![0.0, 1.0], [2])).unwrap();
    weights.mean(tensor(vec![0.0; 3], [3, 1]));
}

/// Truths N(0, 1) and draws N(shift, scale^2), in two parameters of which the second is calibrated.
fn pairs(count: usize, draws: usize, shift: f64, scale: f64) -> (Tensor<2>, Tensor<3>) {
    let mut noise = Noise::seeded(3);
    let truth = noise.normal::<2>([count, 2], &Device::flex());
    let good = noise.normal::<3>([count, draws, 1], &Device::flex());
    let bad = noise.normal::<3>([count, draws, 1], &Device::flex()) * scale + shift;
    (truth, Tensor::cat(vec![bad, good], 2))
}

/// `P(|N(0, 1)| < z)`.
fn within(z: f64) -> f64 {
    libm_erf(z / 2f64.sqrt())
}

/// The error function by its series, exact to rounding for small arguments.
fn libm_erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

#[test]
fn ranks_tell_a_wrong_parameter_from_a_right_one() {
    for (shift, scale) in [(0.0, 1.0), (0.5, 1.0), (0.0, 0.6), (0.0, 1.7)] {
        let (truth, draws) = pairs(1000, 99, shift, scale);
        let ranks = Ranks::new(truth, draws).unwrap();
        let p = ranks.p_values();
        assert!(p[1] > 0.01, "{p:?}");
        assert_eq!(p[0] > 0.01, (shift, scale) == (0.0, 1.0), "{shift} {scale}: {p:?}");
        assert_eq!(ranks.draws(), 99);
        for (level, z) in [(0.5, 0.674_489_75), (0.9, 1.644_853_6)] {
            let found = ranks.coverage(level).unwrap();
            assert!((found[1] - level).abs() < 0.05, "{level}: {found:?}");
            if shift == 0.0 {
                assert!((found[0] - within(scale * z)).abs() < 0.05, "{scale} {level}: {found:?}");
            }
        }
        let histogram = ranks.histogram(1, 10);
        assert_eq!(histogram.iter().sum::<usize>(), 1000);
        assert!(histogram.iter().all(|count| (60..=140).contains(count)), "{histogram:?}");
    }
}

/// Under the hypothesis the p-values are uniform.
#[test]
fn p_values_are_uniform() {
    let mut small = 0;
    for seed in 0..400 {
        let mut noise = Noise::seeded(seed);
        let truth = noise.normal::<2>([60, 1], &Device::flex());
        let draws = noise.normal::<3>([60, 400, 1], &Device::flex());
        small += usize::from(Ranks::new(truth, draws).unwrap().p_values()[0] < 0.1);
    }
    assert!((20..=60).contains(&small), "{small} of 400 below 0.1");
}

#[test]
fn ranks_by_hand() {
    let truth = tensor(vec![0.5, 2.0], [2, 1]);
    let draws = tensor(vec![0.0, 1.0, 2.0, 0.0, 1.0, 3.0], [2, 3, 1]);
    let ranks = Ranks::new(truth, draws).unwrap();
    assert_eq!(ranks.of(0), [1, 2]);
    assert_eq!(ranks.histogram(0, 4), [0, 1, 1, 0]);
}

#[test]
fn expected_coverage_is_that_of_two_normals() {
    let (count, draws) = (2000, 200);
    let mut noise = Noise::seeded(5);
    for scale in [0.6, 1.0, 1.7] {
        let log = |x: Tensor<2>| (x / scale).square() * -0.5;
        let truth = log(noise.normal::<2>([count, 1], &Device::flex())).reshape([count]);
        let draws = log(noise.normal::<2>([count, draws], &Device::flex()) * scale);
        let found = expected_coverage(truth, draws, &[0.5, 0.9]).unwrap();
        for (found, z) in found.iter().zip([0.674_489_75, 1.644_853_6]) {
            assert!((found - within(scale * z)).abs() < 0.03, "{scale}: {found}");
        }
    }
}

#[test]
fn tarp_tells_a_wrong_posterior_from_a_right_one() {
    let levels = [0.25, 0.5, 0.75];
    let apart = |shift: f64, scale: f64| {
        let (truth, draws) = pairs(2000, 100, shift, scale);
        let found = tarp(truth, draws, &levels, 1).unwrap();
        let gaps = found.iter().zip(levels).map(|(found, level)| (found - level).abs());
        gaps.fold(0.0, f64::max)
    };
    assert!(apart(0.0, 1.0) < 0.04);
    assert!(apart(0.0, 0.5) > 0.05);
    assert!(apart(1.0, 1.0) > 0.05);
    let (truth, draws) = pairs(50, 10, 0.0, 1.0);
    let run = |seed| tarp(truth.clone(), draws.clone(), &levels, seed).unwrap();
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn shapes_and_numbers_that_cannot_be_are_errors() {
    let (truth, draws) = pairs(5, 4, 0.0, 1.0);
    let wrong = draws.clone().narrow(0, 0, 3);
    let text = "draws: expected shape [5, draws, 2] for that of the truth, found [3, 4, 2]";
    assert_eq!(Ranks::new(truth.clone(), wrong.clone()).unwrap_err().to_string(), text);
    assert_eq!(tarp(truth.clone(), wrong, &[0.5], 1).unwrap_err().to_string(), text);
    let nan = truth.clone() * f64::NAN;
    let text = "truth: element 0 is NaN";
    assert_eq!(Ranks::new(nan, draws.clone()).unwrap_err().to_string(), text);
    for level in [0.0, 1.0, f64::NAN] {
        let error = tarp(truth.clone(), draws.clone(), &[level], 1).unwrap_err().to_string();
        assert_eq!(error, format!("level: must be in (0, 1), found {level}"));
        let ranks = Ranks::new(truth.clone(), draws.clone()).unwrap();
        assert_eq!(ranks.coverage(level).unwrap_err().to_string(), error);
    }
    let none = expected_coverage(tensor(vec![], [0]), tensor(vec![], [0, 3]), &[0.5]).unwrap_err();
    assert_eq!(none.to_string(), "truth: expected at least 1 pair, found none");
    let none = Ranks::new(truth.clone(), Tensor::zeros([5, 0, 2], &Device::flex())).unwrap_err();
    assert_eq!(none.to_string(), "draws: expected at least 1 draw, found none");
    let none = ImportanceWeights::new(tensor(vec![], [0])).unwrap_err();
    assert_eq!(none.to_string(), "log-weights: expected at least 1 draw, found none");
    let same = tarp(Tensor::full([5, 2], 0.7, &Device::flex()), pairs(5, 4, 0.0, 1.0).1, &[0.5], 1);
    let text = "truth: parameter 0 has the same value in all 5 pairs; remove it";
    assert_eq!(same.unwrap_err().to_string(), text);
}

/// Whatever the bulk is: equal weights, weights that underflow, or weights of 0.
#[test]
fn a_few_draws_that_decide_have_an_infinite_k() {
    let bulk = |value: f64, outliers: &[f64]| {
        let mut logs = vec![value; 1000];
        logs.iter_mut().step_by(300).zip(outliers).for_each(|(log, outlier)| *log = *outlier);
        logs
    };
    let steep: Vec<f64> = (0..1000).map(|at| -1000.0 * f64::from(at)).collect();
    for logs in [
        bulk(0.0, &[10.0]),
        bulk(0.0, &[20.0, 21.0, 22.0]),
        bulk(f64::NEG_INFINITY, &[1.0, 2.0, 3.0]),
        steep,
    ] {
        let weights = ImportanceWeights::new(tensor(logs, [1000])).unwrap();
        assert_eq!(weights.pareto_k(), Some(f64::INFINITY));
        assert!(weights.effective_draws() < 4.0);
        assert_eq!(weights.smoothed(), weights);
    }
    let mut calls = 0;
    for seed in 0..100 {
        let logs = Noise::seeded(seed).normal::<1>([1000], &Device::flex()) * 500.0;
        let weights = ImportanceWeights::new(logs).unwrap();
        calls += usize::from(weights.pareto_k().is_none_or(|k| k < 0.7));
        let smoothed = weights.smoothed().effective_draws();
        assert!((1.0..=1000.0).contains(&smoothed), "{smoothed}");
    }
    assert_eq!(calls, 0, "of 100 targets were called reliable");
}

/// A target of 0 outside (2, 2.3), of which few draws of N(0, 1) are inside.
#[test]
fn smoothing_gives_no_weight_to_draws_outside_the_target() {
    let x: Vec<f64> =
        Noise::seeded(1).normal::<1>([4000], &Device::flex()).into_data().iter().collect();
    let inside = |x: &f64| (2.0..2.3).contains(x);
    let logs = x.iter().map(|x| if inside(x) { 0.5 * x * x } else { f64::NEG_INFINITY }).collect();
    let weights = ImportanceWeights::new(tensor(logs, [4000])).unwrap().smoothed();
    for (weight, x) in weights.normalized().iter().zip(&x) {
        assert_eq!(*weight > 0.0, inside(x), "{x}");
    }
}

/// The levels that few draws cannot tell apart count in part.
#[test]
fn coverage_is_calibrated_with_any_number_of_draws() {
    let mut noise = Noise::seeded(9);
    for draws in [1, 3, 10] {
        let truth = noise.normal::<2>([10_000, 1], &Device::flex());
        let others = noise.normal::<3>([10_000, draws, 1], &Device::flex());
        let log = |x: Tensor<2>| x.square() * -0.5;
        let levels = [0.1, 0.5, 0.9, 0.95];
        let flat = others.clone().reshape([10_000, draws]);
        let regions =
            expected_coverage(log(truth.clone()).reshape([10_000]), log(flat), &levels).unwrap();
        let points = tarp(truth.clone(), others.clone(), &levels, 1).unwrap();
        let ranks = Ranks::new(truth, others).unwrap();
        for (at, level) in levels.into_iter().enumerate() {
            let found = [regions[at], points[at], ranks.coverage(level).unwrap()[0]];
            assert!(
                found.iter().all(|found| (found - level).abs() < 0.02),
                "{draws} {level}: {found:?}"
            );
        }
    }
}

#[test]
fn flat_densities_have_the_coverage_of_their_level() {
    let zeros = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &Device::flex());
    let found = expected_coverage(zeros([100, 1]).reshape([100]), zeros([100, 50]), &[0.05, 0.95]);
    found
        .unwrap()
        .iter()
        .zip([0.05, 0.95])
        .for_each(|(found, level)| assert!((found - level).abs() < 1e-9));
}

#[test]
fn tarp_does_not_depend_on_units() {
    let (truth, draws) = pairs(300, 20, 0.3, 1.0);
    let run = |unit: f64| {
        let scaled = |values: Vec<f64>| values.into_iter().map(|value| value * unit).collect();
        let values = [truth.to_data(), draws.to_data()].map(|data| data.iter::<f64>().collect());
        let [truth, draws] = values.map(scaled);
        tarp(tensor(truth, [300, 2]), tensor(draws, [300, 20, 2]), &[0.3, 0.6], 1).unwrap()
    };
    let expected = run(1.0);
    for unit in [2f64.powi(700), 2f64.powi(-700)] {
        assert_eq!(run(unit), expected);
    }
}
