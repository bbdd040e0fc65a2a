//! The rows that a run uses, at which step, and in which order.

use std::collections::BTreeSet;

use burn_flows::train::{Dequantize, FitData, Report, fit, nll};

use super::*;

const START: Weights = [0.4, -1.0];

fn run(data: FitData<2>, config: &FitConfig) -> (Spy, Report) {
    let spy = Spy::new(START);
    let (_, report) = fit(spy.clone(), data, config).unwrap();
    (spy, report)
}

/// Rows with different values in increasing order, each with a matching context.
fn numbered(rows: usize) -> FitData<2> {
    let values: Vec<f64> = (0..rows).map(|k| k as f64 / rows as f64).collect();
    let context: Vec<f64> = values.iter().map(|x| -x).collect();
    FitData::new(column(&values)).with_context(column(&context))
}

fn config() -> FitConfig {
    FitConfig::new().with_epochs(3).with_batch_size(25).with_progress(false)
}

/// The rows of all calls, as their indices among `count` rows.
fn rows(calls: &[Call], count: usize) -> Vec<usize> {
    calls.iter().flat_map(|call| &call.x).map(|x| (x * count as f64).round() as usize).collect()
}

#[test]
fn every_epoch_has_every_training_row_once_in_an_order_of_its_own() {
    // 12.6 of 100 rows are held out, rounded to 13, so 87 rows remain.
    let config = config().with_validation_fraction(0.126);
    let (spy, report) = run(numbered(100), &config);
    let calls = spy.calls(true);
    let sizes: Vec<usize> = calls.iter().map(|call| call.x.len()).collect();
    assert_eq!(sizes, [25, 25, 25, 12].repeat(3));
    assert_eq!(report.steps, 12);
    let epochs: Vec<Vec<usize>> = calls.chunks(4).map(|calls| rows(calls, 100)).collect();
    let train: BTreeSet<usize> = epochs[0].iter().copied().collect();
    for (k, epoch) in epochs.iter().enumerate() {
        assert_eq!(
            (epoch.len(), epoch.iter().copied().collect::<BTreeSet<_>>()),
            (87, train.clone())
        );
        assert!(epochs[..k].iter().all(|before| before != epoch));
        assert!(!epoch.is_sorted());
    }
    // The validation rows are the other rows, the same in every epoch.
    let held: BTreeSet<usize> = (0..100).filter(|row| !train.contains(row)).collect();
    assert_ne!(held, (87..100).collect());
    for call in spy.calls(false) {
        assert_eq!(rows(&[call], 100).into_iter().collect::<BTreeSet<_>>(), held);
    }
    assert_eq!(spy.calls(false).len(), 3);
    for call in spy.calls(true).into_iter().chain(spy.calls(false)) {
        assert_eq!(call.context, call.x.iter().map(|x| -x).collect::<Vec<_>>());
    }

    // The seed decides the order and the validation rows.
    let order =
        |seed| rows(&run(numbered(100), &config.clone().with_seed(seed)).0.calls(true), 100);
    assert_eq!(order(0), epochs.concat());
    let other = order(1);
    assert_ne!(other[..87].iter().copied().collect::<BTreeSet<_>>(), train);
}

#[test]
fn the_share_of_validation_rows_is_rounded() {
    let held = |rows: usize, fraction: f64| {
        let config = config().with_epochs(1).with_validation_fraction(fraction);
        let (spy, report) = run(numbered(rows), &config);
        assert_eq!(report.epochs[0].validation_loss.is_some(), !spy.calls(false).is_empty());
        spy.calls(false).first().map_or(0, |call| call.x.len())
    };
    assert_eq!(held(100, 0.124), 12);
    assert_eq!(held(100, 0.004), 0);
    assert_eq!(held(10, 0.8), 8);
    // If fewer than two training rows would remain, no rows are held out.
    assert_eq!(held(10, 0.9), 0);
    assert_eq!(held(2, 0.0), 0);
}

#[test]
fn a_last_batch_of_one_row_is_left_out() {
    for (rows, batch, sizes) in [
        (51, 25, &[25, 25][..]),
        (52, 25, &[25, 25, 2]),
        (50, 25, &[25, 25]),
        (3, 1, &[1, 1, 1]),
        (2, 25, &[2]),
    ] {
        let config = config().with_epochs(2).with_batch_size(batch).with_validation_fraction(0.0);
        let (spy, report) = run(numbered(rows), &config);
        let found: Vec<usize> = spy.calls(true).iter().map(|call| call.x.len()).collect();
        assert_eq!(found, sizes.repeat(2), "{rows} rows in batches of {batch}");
        assert_eq!(report.steps, found.len());
    }
}

#[test]
fn data_dependent_layers_start_from_4096_rows_at_the_least() {
    for (rows, batch, expected) in [(400, 30, 400), (5000, 30, 4096), (5000, 4500, 4500)] {
        let config = config().with_epochs(1).with_batch_size(batch).with_validation_fraction(0.0);
        let (spy, _) = run(numbered(rows), &config);
        assert_eq!(spy.started.load(Ordering::Relaxed), expected);
    }
}

#[test]
fn an_evaluation_takes_its_rows_by_parts_and_weighs_them_alike() {
    let config = config().with_epochs(1).with_evaluation_batch(4).with_validation_fraction(0.13);
    let (spy, report) = run(numbered(100), &config);
    let calls = spy.calls(false);
    let sizes: Vec<usize> = calls.iter().map(|call| call.x.len()).collect();
    assert_eq!(sizes, [4, 4, 4, 1]);
    let rows: Vec<f64> = calls.into_iter().flat_map(|call| call.x).collect();
    let (fitted, _) = fit(Spy::new(START), numbered(100), &config).unwrap();
    let weights = weights(&fitted);
    let expected = mean_nll([weights[0], weights[1]], &rows);
    assert_near(report.epochs[0].validation_loss.unwrap(), expected);
    for batch in [1, 5, 13, 1000] {
        assert_near(nll(&fitted, column(&rows), batch), expected);
    }
}

/// The noise added to the integers `0..8`, and the integers.
fn spread(call: &Call) -> (Vec<f64>, Vec<usize>) {
    let levels = call.x.iter().map(|v| v * 8.0);
    levels.map(|v| (v.fract(), v as usize)).unzip()
}

#[test]
fn training_rows_are_dequantized_anew_and_validation_rows_once() {
    let integers: Vec<f64> = (0..60).map(|k| f64::from(k % 8)).collect();
    let data = || {
        let data = FitData::new(column(&integers));
        data.with_dequantization(Dequantize::new(8).unwrap())
    };
    let config = config().with_validation_fraction(0.2);
    let (spy, _) = run(data(), &config);
    let (noise, mut found): (Vec<f64>, Vec<usize>) = {
        let parts = spy.calls(true).iter().map(spread).collect::<Vec<_>>();
        (
            parts.iter().flat_map(|p| p.0.clone()).collect(),
            parts.into_iter().flat_map(|p| p.1).collect(),
        )
    };
    let calls = spy.calls(false);
    let (held_noise, held) = spread(&calls[0]);
    assert!(calls.iter().all(|call| call.x == calls[0].x));
    // 48 rows in three epochs, and 12 validation rows. All draws of 53 bits are different.
    let bits: BTreeSet<u64> = noise.iter().chain(&held_noise).map(|u| u.to_bits()).collect();
    assert_eq!((noise.len(), bits.len()), (144, 156));
    // Uniform on [0, 1): mean 1/2, variance 1/12. The tolerance is four standard errors.
    let mean = average(noise.iter().copied());
    let variance = average(noise.iter().map(|u| (u - 0.5).powi(2)));
    assert!((mean - 0.5).abs() < 4.0 * (1.0 / (12.0 * 144.0f64)).sqrt(), "{mean}");
    assert!((variance - 1.0 / 12.0).abs() < 4.0 * (1.0 / (180.0 * 144.0f64)).sqrt(), "{variance}");
    // Every epoch uses the integers of all training rows. Together with the validation rows these
    // are all integers.
    (0..3).for_each(|_| found.extend(&held));
    found.sort_unstable();
    let mut expected: Vec<usize> =
        integers.iter().map(|v| *v as usize).collect::<Vec<_>>().repeat(3);
    expected.sort_unstable();
    assert_eq!(found, expected);

    let again = run(data(), &config).0;
    let values =
        |spy: &Spy| spy.calls(true).into_iter().flat_map(|call| call.x).collect::<Vec<_>>();
    assert_eq!(values(&again), values(&spy));
    assert_ne!(values(&run(data(), &config.with_seed(4)).0), values(&spy));
}

#[test]
fn dequantized_values_are_the_integers_and_the_noise_over_the_levels() {
    let x = column(&[0.0, 3.0, 16.0]);
    let u = |seed| Noise::seeded(seed).uniform::<2>([3, 1], &Device::flex());
    let found = Dequantize::new(17).unwrap().apply(x, &mut Noise::seeded(3));
    let noise: Vec<f64> = u(3).into_data().iter::<f64>().collect();
    let found: Vec<f64> = found.into_data().iter::<f64>().collect();
    for ((found, u), x) in found.iter().zip(noise).zip([0.0, 3.0, 16.0]) {
        assert!((found - (x + u) / 17.0).abs() < 1e-7, "{found}");
    }
}

#[test]
fn integers_outside_their_levels_are_refused() {
    let check = |v: f64| Dequantize::new(4).unwrap().check(&column(&[1.0, v]));
    for good in [0.0, 3.0] {
        assert!(check(good).is_ok());
    }
    for bad in [-1.0, 4.0, 0.5, f64::NAN] {
        let text = check(bad).unwrap_err().to_string();
        assert!(text.contains(&format!("row 1, column 0 holds {bad}, ")), "{text}");
    }
    // The index counts events, not elements.
    let wide = column(&[0.0, 1.0, 2.0, 3.0, 7.0, 0.0]).reshape([3, 2]);
    let text = Dequantize::new(4).unwrap().check(&wide).unwrap_err().to_string();
    assert!(text.contains("row 2, column 0 holds 7, "), "{text}");
    for (levels, fits) in [(1, false), (2, true), (1 << 24, true), ((1 << 24) + 1, false)] {
        assert_eq!(Dequantize::new(levels).is_ok(), fits, "{levels} levels");
    }
}

/// Data on an autodiff device lose their graph.
#[test]
fn batches_hold_no_graph() {
    let x = || column(&[0.1, 0.2, 0.3, 0.4]).autodiff();
    let data = FitData::new(x()).with_context(x()).with_validation((x(), x()));
    for batch in data.batches(2, 1, &Device::flex().autodiff()).iter() {
        let batch = batch.unwrap();
        assert!(!batch.x.is_autodiff() && !batch.context.unwrap().is_autodiff());
    }
    let (spy, _) = run(data, &config());
    assert_eq!(spy.calls(false).len(), 3);
}

/// A checkpoint after every third epoch, and one at the end.
#[test]
fn checkpoints_are_as_far_apart_as_configured() {
    let folder = tempfile::tempdir().unwrap();
    let config = config()
        .with_epochs(7)
        .with_checkpoint_every(3)
        .with_checkpoint(Some(folder.path().to_path_buf()));
    let (whole, straight) =
        fit(Spy::new(START), numbered(100), &config.clone().with_checkpoint(None)).unwrap();
    // 90 rows are 4 steps and a validation per epoch. This run panics in the sixth epoch.
    crashes(|| fit(Bomb::new(Spy::new(START), 5 * 5 + 2), numbered(100), &config));
    let (resumed, report) = fit(Bomb::new(Spy::new(START), 1000), numbered(100), &config).unwrap();
    assert_eq!((report.resumed_from, report.epochs), (Some(3), straight.epochs));
    // A checkpoint keeps all 64 bits of the weights of a model in f64.
    assert_eq!(weights(&resumed), weights(&whole));
    let (_, report) = fit(Bomb::new(Spy::new(START), 1000), numbered(100), &config).unwrap();
    assert_eq!(report.resumed_from, Some(7));
}

#[test]
fn one_validation_row_is_enough_and_none_is_an_error() {
    let rows = |count: usize| column(&[0.3, 0.6]).narrow(0, 0, count);
    let check = |rows| FitData::new(column(&[0.1, 0.2])).with_validation(rows).check();
    assert!(check(rows(1)).is_ok());
    let none = Tensor::zeros([0, 1], (&Device::flex(), DType::F64));
    assert!(check(none).unwrap_err().to_string().starts_with("validation data: needs at least 1"));
    let batch = |count: usize| burn_flows::train::Batch::new(rows(count));
    assert_eq!((batch(2).len(), batch(2).is_empty(), batch(1).is_empty()), (2, false, false));
}

/// Errors count rows and columns also for events of one element.
#[test]
fn a_column_alone_is_checked_row_by_row() {
    let check = |values: &[f64]| FitData::new(column(values)).check();
    assert!(check(&[1.0, 1.0, 2.0, 1.0, 2.0]).is_ok());
    let text = check(&[1.0, 1.0, 2.0, f64::NAN, 2.0]).unwrap_err().to_string();
    assert!(text.contains("row 3") && text.contains("NaN"), "{text}");
    let text = check(&[4.0; 5]).unwrap_err().to_string();
    assert!(text.contains("column 0 is constant"), "{text}");
}
