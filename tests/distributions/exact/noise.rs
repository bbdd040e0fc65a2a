//! The generator of all draws: ranges, moments, streams.

use super::*;

#[test]
fn uniform_numbers_fill_the_unit_interval_evenly() {
    let mut noise = Noise::seeded(1);
    let values: Vec<f64> = (0..DRAWS).map(|_| noise.next_uniform()).collect();
    assert!(values.iter().all(|u| (0.0..1.0).contains(u)));
    let n = DRAWS as f64;
    let mut counts = [0.0; 50];
    values.iter().for_each(|u| counts[(u * 50.0) as usize] += 1.0);
    let statistic: f64 = counts.iter().map(|c: &f64| (c - n / 50.0).powi(2) / (n / 50.0)).sum();
    assert!(statistic < 49.0 + 4.0 * 98f64.sqrt(), "chi-squared {statistic} of 49");
    // The numbers are multiples of 2^-53, not of 2^-52 only.
    let scaled = |bits: i32| values.iter().map(move |u| u * 2f64.powi(bits));
    assert!(scaled(53).all(|v| v.fract() == 0.0) && scaled(52).any(|v| v.fract() != 0.0));
}

#[test]
fn normal_numbers_have_the_first_four_moments() {
    let values = host(normal::<1>([100_000], 2));
    for (power, moment, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)]
    {
        let found = values.iter().map(|v| v.powi(power)).sum::<f64>() / 1e5;
        assert!((found - moment).abs() < 4.0 * f64::sqrt(variance / 1e5), "{power}: {found}");
    }
}

#[test]
fn integers_below_a_bound_are_equally_likely() {
    let mut noise = Noise::seeded(3);
    for bound in [1, 2, 7, 100] {
        let mut counts = vec![0.0; bound];
        (0..DRAWS).for_each(|_| counts[noise.next_below(bound)] += 1.0);
        let each = DRAWS as f64 / bound as f64;
        let statistic: f64 = counts.iter().map(|c: &f64| (c - each).powi(2) / each).sum();
        let freedom = bound as f64 - 1.0;
        assert!(statistic <= freedom + 4.0 * (2.0 * freedom).sqrt(), "{bound}: {statistic}");
    }
    let large: Vec<usize> = (0..100).map(|_| noise.next_below(usize::MAX)).collect();
    assert!(large.iter().any(|v| *v > usize::MAX / 2) && large.iter().any(|v| *v < usize::MAX / 2));
}

#[test]
fn orders_are_equally_likely() {
    let mut noise = Noise::seeded(4);
    let mut counts = std::collections::BTreeMap::new();
    (0..DRAWS).for_each(|_| *counts.entry(noise.permutation(4)).or_insert(0.0) += 1.0);
    assert_eq!(counts.len(), 24);
    let each = DRAWS as f64 / 24.0;
    let statistic: f64 = counts.values().map(|c: &f64| (c - each).powi(2) / each).sum();
    assert!(statistic < 23.0 + 4.0 * 46f64.sqrt(), "chi-squared {statistic} of 23");
    assert_eq!(noise.permutation(0), Vec::<usize>::new());
    assert_eq!(noise.permutation(1), [0]);
}

#[test]
fn tensors_are_filled_row_by_row_from_the_same_source() {
    let mut one = Noise::seeded(5);
    let by_number: Vec<f64> = (0..6).map(|_| one.next_normal()).collect();
    let mut other = Noise::seeded(5);
    assert_eq!(host(other.normal::<2>([2, 3], &device())), by_number);
    let by_number: Vec<f64> = (0..6).map(|_| one.next_uniform()).collect();
    assert_eq!(host(other.uniform::<2>([3, 2], &device())), by_number);
    assert_eq!(one.next_u64(), other.next_u64());
}

#[test]
fn streams_and_seeds_share_no_numbers() {
    let first = |mut noise: Noise| noise.next_u64();
    let mut all = vec![];
    for seed in 0..20 {
        all.extend((0..20).map(|stream| first(Noise::stream(seed, stream))));
    }
    all.extend([first(Noise::stream(0, u64::MAX)), first(Noise::stream(u64::MAX, 0))]);
    all.extend([first(Noise::from_entropy()), first(Noise::from_entropy())]);
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    // A seed without a stream is stream 0.
    assert_eq!(first(Noise::seeded(7)), first(Noise::stream(7, 0)));
    assert_eq!(first(Noise::stream(7, 3)), first(Noise::stream(7, 3)));
}
