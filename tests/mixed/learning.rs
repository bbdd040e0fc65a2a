//! Mixed data with a known entropy are learned.

use std::f64::consts::{E, PI};

use burn_flows::bijector::Bound;
use burn_flows::conditioner::MadeConfig;
use burn_flows::distribution::*;
use burn_flows::model::{AutoregressiveNsfConfig, MafConfig, NsfConfig};
use burn_flows::train::DequantizeColumns;

use super::*;

const SHARES: [f64; 3] = [0.5, 0.3, 0.2];
const MEANS: [f64; 3] = [-4.0, 1.0, 8.0];
const SCALES: [f64; 3] = [0.5, 2.0, 1.0];

/// A number and its class.
fn classes(n: usize, seed: u64) -> Tensor<2> {
    let mut noise = Noise::seeded(seed);
    let rows = (0..n).flat_map(|_| {
        let at = noise.next_uniform();
        let class = if at < 0.5 {
            0
        } else if at < 0.8 {
            1
        } else {
            2
        };
        [MEANS[class] + SCALES[class] * noise.next_normal(), class as f64]
    });
    let rows: Vec<f64> = rows.collect();
    tensor(&rows, [n, 2])
}

/// The entropy of a row, in nats.
fn entropy() -> f64 {
    let of = |(share, scale): (&f64, &f64)| {
        share * (0.5 * (2.0 * PI * E).ln() + scale.ln() - share.ln())
    };
    SHARES.iter().zip(&SCALES).map(of).sum()
}

fn config(epochs: usize) -> FitConfig {
    FitConfig::new()
        .with_epochs(epochs)
        .with_batch_size(128)
        .with_learning_rate(5e-3)
        .with_progress(false)
        .with_strict(true)
        .with_seed(1)
}

/// The gap to the entropy of the test rows, whose own mean surprise has an error of about 0.01 nats.
fn gap(model: impl Distribution<2>) -> f64 {
    let (model, report) = fit(model, classes(4000, 1), &config(30)).unwrap();
    assert!(report.warnings.is_empty());
    let found = nll(&model, classes(20_000, 2), 4096);
    println!("{found:.4} of {:.4} nats", entropy());
    found - entropy()
}

#[test]
fn a_number_given_its_class() {
    let class = CategoricalMadeConfig::new(vec![3]).with_seed(1).init(&device());
    let number = MafConfig::new(1).with_layers(1).with_context(3).with_seed(2);
    let number = number.with_made(MadeConfig::new(vec![16])).init(&device());
    let model = Chained::new(&Mask::Kept(vec![1]), 2, class, number, &device()).unwrap();
    let gap = gap(model.with_one_hot(vec![Some(3)]).unwrap());
    assert!(gap.abs() < 0.05, "{gap}");
}

#[test]
fn a_class_given_its_number() {
    let made = MadeConfig::new(vec![16, 16]);
    let number = AutoregressiveNsfConfig::new(1).with_layers(2).with_made(made.clone());
    let number = number
        .with_seed(2)
        .init(&device())
        .standardized(&classes(4000, 1).narrow(1, 0, 1))
        .unwrap();
    let class = CategoricalMadeConfig::new(vec![3]).with_made(made).with_context(1).with_seed(1);
    let class = class.init(&device());
    let model = Chained::new(&Mask::Kept(vec![0]), 2, number, class, &device()).unwrap();
    let gap = gap(model);
    assert!(gap.abs() < 0.08, "{gap}");
}

/// Two columns of categories with a known joint distribution.
#[test]
fn categories_that_depend_on_each_other() {
    let joint = [0.30, 0.05, 0.05, 0.05, 0.10, 0.45];
    let rows = |n: usize, seed| {
        let mut noise = Noise::seeded(seed);
        let rows = (0..n).flat_map(|_| {
            let (at, mut sum) = (noise.next_uniform(), 0.0);
            let k = joint
                .iter()
                .position(|p| {
                    sum += p;
                    at < sum
                })
                .unwrap_or(5);
            [(k / 3) as f64, (k % 3) as f64]
        });
        tensor(&rows.collect::<Vec<f64>>(), [n, 2])
    };
    let model = CategoricalMadeConfig::new(vec![2, 3]).with_seed(1).init(&device());
    let (model, _) = fit(model, rows(20_000, 1), &config(15)).unwrap();
    let table: Vec<f64> = (0..6).flat_map(|k| [(k / 3) as f64, (k % 3) as f64]).collect();
    let found = log_probs(&model, &tensor(&table, [6, 2]), None);
    for (found, p) in found.iter().zip(joint) {
        assert!((found.exp() - p).abs() < 0.02, "{:.3}, expected {p}", found.exp());
    }
}

/// The NLL of counts and numbers is at most the NLL of the dequantized rows plus the log-volume, and comes close.
#[test]
fn counts_beside_numbers_are_bounded_by_the_dequantized_rows() {
    // The count is 0 to 3 with these probabilities, and the number has the count as its mean.
    let counts = [0.1, 0.2, 0.3, 0.4];
    let rows = |n: usize, seed| {
        let mut noise = Noise::seeded(seed);
        let rows = (0..n).flat_map(|_| {
            let (at, mut sum) = (noise.next_uniform(), 0.0);
            let k = counts
                .iter()
                .position(|p| {
                    sum += p;
                    at < sum
                })
                .unwrap_or(3) as f64;
            [k + 0.5 * noise.next_normal(), k]
        });
        tensor(&rows.collect::<Vec<f64>>(), [n, 2])
    };
    let entropy =
        0.5 * (2.0 * PI * E).ln() + 0.5f64.ln() - counts.iter().map(|p| p * p.ln()).sum::<f64>();
    let dequantize = DequantizeColumns::new(vec![(1, 4)]).unwrap();
    let x = rows(4000, 1);
    let spread = dequantize.apply(x.clone(), &mut Noise::seeded(9));
    let network = MlpConfig::new(vec![32, 32]);
    let flow = NsfConfig::new(2).with_layers(4).with_mlp(network).with_seed(1).init(&device());
    let flow =
        flow.standardized_within(vec![Bound::Free, Bound::Between(0.0, 1.0)], &spread).unwrap();
    let data = FitData::new(x).with_dequantization(dequantize.clone());
    let (flow, _) = fit(flow, data, &config(25)).unwrap();
    let test = dequantize.apply(rows(10_000, 2), &mut Noise::seeded(10));
    let bound = nll(&flow, test, 4096) + dequantize.log_volume();
    println!("{bound:.4} of {entropy:.4} nats");
    assert!(bound > entropy - 0.03 && bound < entropy + 0.15, "{bound}, entropy {entropy}");
    let drawn = host(dequantize.restore(flow.sample_seeded::<2>(4000, 3)));
    for (k, p) in counts.iter().enumerate() {
        let share =
            drawn.iter().skip(1).step_by(2).filter(|v| **v == k as f64).count() as f64 / 4000.0;
        assert!((share - p).abs() < 0.05, "{k}: {share}, expected {p}");
    }
}
