//! Weights of rows: a weight of 2 is the row twice, a weight of 0 is no row.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor};
use burn_flows::burn;
use burn_flows::distribution::DiagNormalConfig;
use burn_flows::prelude::*;
use burn_flows::train::{Batch, FitConfig, FitData, Reversible, Training, fit, nll, nll_gradients};
use burn_flows::{Error, set_threads};

use crate::{banana, quick, small};

fn tensor(values: &[f64]) -> Tensor<1> {
    Tensor::from_data(values, &Device::flex())
}

fn rows<const D: usize>(x: &Tensor<D>, numbers: &[usize]) -> Tensor<D> {
    let numbers: Vec<i64> = numbers.iter().map(|&number| number as i64).collect();
    let numbers = Tensor::<1, burn::tensor::Int>::from_data(numbers.as_slice(), &x.device());
    x.clone().select(0, numbers)
}

/// Weights 0, 1, 2, 1, 0, 3 and so on, and the numbers of the rows that stand for them.
fn whole(count: usize) -> (Vec<f64>, Vec<usize>) {
    let weights: Vec<f64> = (0..count).map(|row| [0.0, 1.0, 2.0, 1.0, 0.0, 3.0][row % 6]).collect();
    let times = weights.iter().enumerate();
    let numbers = times.flat_map(|(row, weight)| vec![row; *weight as usize]).collect();
    (weights, numbers)
}

/// All gradients in the order of the parameters.
fn flat<M: Module>(model: &M, gradients: &GradientsParams) -> Vec<f64> {
    struct Collect<'a>(&'a GradientsParams, Vec<f64>);
    impl ModuleVisitor for Collect<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                self.1.extend(gradient.into_data().iter::<f64>());
            }
        }
    }
    let mut collect = Collect(gradients, vec![]);
    model.visit(&mut collect);
    assert!(!collect.1.is_empty());
    collect.1
}

/// All weights of a model.
fn values<M: Module>(model: &M) -> Vec<f64> {
    struct Collect(Vec<f64>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f64>());
        }
    }
    let mut collect = Collect(vec![]);
    model.visit(&mut collect);
    collect.0
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let size = b.iter().fold(1e-3, |most: f64, value| most.max(value.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size
}

/// A flow whose weights are not those of the start.
fn trained(context: usize) -> RealNvp {
    let config = small().with_context(context).with_seed(3);
    let flow = config.init(&Device::flex());
    let x = banana(400, 1);
    let context = (context > 0).then(|| x.clone().narrow(1, 0, context) * 0.5);
    let data = FitData::new((x, context));
    fit(flow, data, &quick().with_epochs(2)).unwrap().0
}

/// Rows, of which those of weight 0 hold NaN.
fn holed(count: usize, weights: &[f64]) -> Tensor<2> {
    let x = banana(count, 2);
    let none: Vec<f64> = weights.iter().map(|weight| f64::from(u8::from(*weight == 0.0))).collect();
    let none = tensor(&none).reshape([count, 1]).expand([count, 2]).greater_elem(0.5);
    x.mask_fill(none, f64::NAN)
}

#[test]
fn the_nll_counts_rows_by_their_weights() {
    let (weights, numbers) = whole(900);
    let x = holed(900, &weights);
    let context = banana(900, 5).narrow(1, 0, 1);
    for width in [0, 1] {
        let flow = trained(width);
        let context = (width > 0).then(|| context.clone());
        let weighted = Batch::from((x.clone(), context.clone())).with_weights(tensor(&weights));
        let weighted = nll(&flow, weighted.unwrap(), 100);
        let repeated = context.map(|context| rows(&context, &numbers));
        let repeated = nll(&flow, (rows(&x, &numbers), repeated), 100);
        assert!((weighted - repeated).abs() < 1e-6 * repeated.abs(), "{weighted} {repeated}");
    }
}

#[test]
fn any_weights_are_a_weighted_mean() {
    let flow = trained(0);
    let x = banana(50, 3);
    let weights: Vec<f64> = (0..50).map(|row| (f64::from(row) * 0.7).sin().abs() * 1e-3).collect();
    let each: Vec<f64> = flow.log_prob(x.clone()).into_data().iter::<f64>().collect();
    let total: f64 = weights.iter().sum();
    let expected: f64 =
        each.iter().zip(&weights).map(|(value, weight)| -value * weight / total).sum();
    let batch = Batch::new(x).with_weights(tensor(&weights)).unwrap();
    let (value, _) = nll_gradients(&flow.clone().train(), &batch);
    for found in [nll(&flow, &batch, 7), value] {
        assert!((found - expected).abs() < 1e-6 * expected.abs(), "{found} {expected}");
    }
}

/// In one block and in several, as ordinary and as reversible training.
#[test]
fn gradients_count_rows_by_their_weights() {
    for (count, width) in [(60, 0), (1500, 0), (1500, 1)] {
        let flow = trained(width).train();
        let (weights, numbers) = whole(count);
        let x = holed(count, &weights);
        let context = (width > 0).then(|| banana(count, 5).narrow(1, 0, 1));
        let batch =
            Batch::from((x.clone(), context.clone())).with_weights(tensor(&weights)).unwrap();
        let context = context.map(|context| rows(&context, &numbers));
        let repeated = Batch::from((rows(&x, &numbers), context));
        let (expected, gradients) = nll_gradients(&flow, &repeated);
        let expected_gradients = flat(&flow, &gradients);
        let ordinary = nll_gradients(&flow, &batch);
        let reversible = Reversible::new().nll_gradients(&flow, &batch);
        for (value, gradients) in [ordinary, reversible] {
            assert!((value - expected).abs() < 1e-6 * expected.abs(), "{value} {expected}");
            let apart = distance(&flat(&flow, &gradients), &expected_gradients);
            assert!(apart < 2e-5, "{count} rows, context {width}: {apart:e}");
        }
    }
}

#[test]
fn weighted_gradients_have_the_same_bits_on_any_number_of_threads() {
    let flow = trained(0).train();
    let weights: Vec<f64> = (0..1500).map(|row| 0.1 + f64::from(row % 13)).collect();
    let batch = Batch::new(banana(1500, 2)).with_weights(tensor(&weights)).unwrap();
    let run = |threads| {
        set_threads(threads);
        let (value, gradients) = nll_gradients(&flow, &batch);
        (value, flat(&flow, &gradients))
    };
    let found = [1, 2].map(run);
    set_threads(0);
    assert_eq!(found[0], found[1]);
}

#[test]
fn only_ratios_of_weights_matter() {
    let flow = trained(0).train();
    let weights: Vec<f64> = (0..60).map(|row| 0.1 + f64::from(row % 13)).collect();
    let run = |factor: f64| {
        let scaled: Vec<f64> = weights.iter().map(|weight| weight * factor).collect();
        let data = burn::tensor::TensorData::new(scaled, [60]);
        let scaled = Tensor::from_data(data, (&Device::flex(), burn::tensor::DType::F64));
        let batch = Batch::new(banana(60, 2)).with_weights(scaled).unwrap();
        let (value, gradients) = nll_gradients(&flow, &batch);
        (value, flat(&flow, &gradients))
    };
    let expected = run(1.0);
    for factor in [2f64.powi(1000), 2f64.powi(-900)] {
        assert_eq!(run(factor), expected);
    }
}

/// One batch holds all rows, so only the order of sums differs.
fn one_batch() -> FitConfig {
    quick().with_epochs(8).with_batch_size(4096).with_learning_rate(1e-2)
}

#[test]
fn fit_counts_rows_by_their_weights() {
    let (weights, numbers) = whole(240);
    let (x, validation) = (holed(240, &weights), holed(240, &weights));
    for config in [one_batch(), one_batch().with_reversible(true)] {
        // ActNorm is initialised from the first batch.
        let config_of_flow = MafConfig::new(2).with_layers(2).with_seed(5);
        let flow = || config_of_flow.init(&Device::flex());
        let fitted = |data: FitData<2>| {
            Training::new(flow(), data, &config).with_optimizer(SgdConfig::new().init()).run()
        };
        let weighted = Batch::new(validation.clone()).with_weights(tensor(&weights)).unwrap();
        let data = FitData::new(x.clone()).with_weights(tensor(&weights)).unwrap();
        // Adam would turn a gradient of rounding errors into a whole step.
        let data = data.with_validation(weighted);
        let (one, report) = fitted(data).unwrap();
        let data = FitData::new(rows(&x, &numbers));
        let data = data.with_validation(rows(&validation, &numbers));
        let (other, repeated) = fitted(data).unwrap();
        let start = distance(&values(&flow()), &values(&other));
        assert!(start > 1e-2, "nothing was trained");
        let apart = distance(&values(&one), &values(&other));
        assert!(apart < 2e-5, "{apart:e}");
        for (a, b) in report.epochs.iter().zip(&repeated.epochs) {
            let near = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 1e-5;
            assert!(near(a.train_loss, b.train_loss), "{a:?} {b:?}");
            assert!(near(a.validation_loss, b.validation_loss), "{a:?} {b:?}");
        }
    }
}

#[test]
fn rows_of_weight_zero_are_left_out_bit_for_bit() {
    let weights: Vec<f64> = (0..300).map(|row| f64::from(u8::from(row % 3 > 0))).collect();
    let numbers: Vec<usize> = (0..300).filter(|row| row % 3 > 0).collect();
    let x = holed(300, &weights);
    let flow = || small().with_seed(5).init(&Device::flex());
    let data = FitData::new(x.clone()).with_weights(tensor(&weights)).unwrap();
    let (one, _) = fit(flow(), data, &quick()).unwrap();
    let (other, _) = fit(flow(), rows(&x, &numbers), &quick()).unwrap();
    assert_eq!(values(&one), values(&other));
}

/// Three quarters of the rows lie near -2 and a quarter near 2; the weights turn the shares around.
#[test]
fn weights_decide_the_density_that_is_learned() {
    let count = 4000;
    let noise = Noise::seeded(1).normal::<2>([count, 1], &Device::flex()) * 0.5;
    let left: Vec<f64> = (0..count).map(|row| if row % 4 > 0 { -2.0 } else { 2.0 }).collect();
    let weights: Vec<f64> = left.iter().map(|at| if *at < 0.0 { 1.0 } else { 9.0 }).collect();
    let x = noise + tensor(&left).reshape([count, 1]);
    let data = FitData::new(x).with_weights(tensor(&weights)).unwrap();
    let config = quick().with_epochs(30).with_learning_rate(3e-2);
    let model = DiagNormalConfig::new(vec![1]).init::<2>(&Device::flex());
    let (fitted, _) = fit(model, data, &config).unwrap();
    let draws = fitted.sample(20_000, None, &mut Noise::seeded(2), &Device::flex());
    let draws: Vec<f64> = draws.into_data().iter::<f64>().collect();
    let mean = draws.iter().sum::<f64>() / draws.len() as f64;
    let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
    // Shares 1/4 and 3/4 of -2 and 2: mean 1, variance 4 - 1 + 0.25.
    assert!((mean - 1.0).abs() < 0.1, "{mean}");
    assert!((variance - 3.25).abs() < 0.3, "{variance}");
}

#[test]
fn weights_that_cannot_be_are_errors() {
    let text = |weights: &[f64]| {
        let error = Batch::new(banana(3, 1)).with_weights(tensor(weights)).unwrap_err();
        assert!(matches!(error, Error::Data { .. }));
        error.to_string()
    };
    let finite = "expected a finite number from 0 on";
    assert_eq!(text(&[1.0, -1.0, 1.0]), format!("weights: row 1 holds -1, {finite}"));
    assert_eq!(text(&[f64::NAN, 1.0, 1.0]), format!("weights: row 0 holds NaN, {finite}"));
    assert_eq!(text(&[1.0, 1.0, f64::INFINITY]), format!("weights: row 2 holds inf, {finite}"));
    assert_eq!(text(&[0.0; 3]), "weights: all are 0, expected a positive weight in at least 1 row");
    assert_eq!(text(&[1.0; 4]), "weights: expected 1 weight for each of 3 rows, found 4");
    let one = FitData::new(banana(3, 1)).with_weights(tensor(&[0.0, 1.0, 0.0])).unwrap();
    let error = fit(small().init(&Device::flex()), one, &quick()).unwrap_err();
    assert_eq!(error.to_string(), "training data: needs at least 2 rows, found 1");
}

/// The rows before it have weight 0, and the caller counts them.
#[test]
fn errors_name_the_row_of_the_caller() {
    let x = banana(50, 1);
    let bad = x.clone().slice_assign([7..8, 1..2], Tensor::full([1, 1], f64::NAN, &x.device()));
    let weights: Vec<f64> = (0..50).map(|row| f64::from(u8::from(row > 4))).collect();
    let data = FitData::new(bad).with_weights(tensor(&weights)).unwrap();
    let error = data.check().unwrap_err().to_string();
    assert_eq!(error, "training data: row 7, column 1 holds NaN; remove or impute it");
}

#[test]
fn a_run_with_other_weights_does_not_resume() {
    let folder = tempfile::tempdir().unwrap();
    let config = quick().with_epochs(2).with_checkpoint(Some(folder.path().join("run")));
    let run = |last: f64| {
        let mut weights = vec![1.0; 200];
        weights[199] = last;
        let data = FitData::new(banana(200, 1)).with_weights(tensor(&weights)).unwrap();
        fit(small().with_seed(1).init(&Device::flex()), data, &config)
    };
    run(1.0).unwrap();
    let error = run(2.0).unwrap_err().to_string();
    assert!(error.contains("weights of the training data"), "{error}");
}

/// A caller may replace the rows or the context after the weights were set.
#[test]
fn rows_that_do_not_belong_to_their_weights_are_refused() {
    let flow = small().with_context(1).init(&Device::flex());
    let text = |call: &dyn Fn()| {
        let panic = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        let owned = panic.downcast_ref::<String>().cloned();
        owned.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap()
    };
    let context = |rows| banana(rows, 2).narrow(1, 0, 1);
    let batch = |rows| {
        let batch = Batch::new(banana(4, 1)).with_context(context(rows));
        batch.with_weights(tensor(&[1.0, 2.0, 0.0, 4.0])).unwrap()
    };
    let trained = flow.clone().train();
    let expected = "Batch: expected a context of 1 or 4 rows, found 8";
    assert_eq!(
        text(&|| {
            nll(&flow, batch(8), 10);
        }),
        expected
    );
    assert_eq!(text(&|| drop(nll_gradients(&trained, batch(8)))), expected);
    assert_eq!(
        text(&|| drop(Reversible::new().nll_gradients(&trained, batch(2)))),
        expected.replace("8", "2")
    );
    assert!(nll(&flow, batch(1), 10).is_finite());
    let mut other = batch(4);
    (other.x, other.context) = (banana(2, 1), Some(context(2)));
    let expected = "Batch: expected 1 weight for each of 2 rows, found 4";
    assert_eq!(
        text(&|| {
            nll(&flow, &other, 10);
        }),
        expected
    );
    let error = fit(flow.clone(), FitData::new(&other), &quick()).unwrap_err().to_string();
    assert_eq!(error, "training data: has 2 rows, but 4 weights");
    let good = FitData::new((banana(4, 1), context(4)));
    let error = fit(flow, good.with_validation(&other), &quick()).unwrap_err().to_string();
    assert_eq!(error, "validation data: has 2 rows, but 4 weights");
    let none = Tensor::<2>::zeros([0, 2], &Device::flex());
    let trained = small().init(&Device::flex()).train();
    let expected = "nll_gradients: expected at least 1 row, found 0";
    assert_eq!(text(&|| drop(nll_gradients(&trained, &none))), expected);
    assert_eq!(text(&|| drop(Reversible::new().nll_gradients(&trained, &none))), expected);
}

/// One row with almost all of the weight, and rows with almost none: ActNorm would divide by the deviation of copies.
#[test]
fn weights_of_any_range_train_data_dependent_layers() {
    let x = banana(400, 1);
    for (large, least) in [(1e6, 1.0), (1.0, 1e-307), (1.0, 5e-324), (1e300, 1e-300)] {
        let weights: Vec<f64> = (0..400)
            .map(|row| {
                if row == 3 {
                    large
                } else if row == 7 {
                    least
                } else {
                    1.0f64.min(large)
                }
            })
            .collect();
        let data = burn::tensor::TensorData::new(weights, [400]);
        let weights = Tensor::from_data(data, (&Device::flex(), burn::tensor::DType::F64));
        let data =
            FitData::new(x.clone()).with_weights(weights).unwrap().with_validation(x.clone());
        let flow = MafConfig::new(2).with_layers(2).with_seed(5).init(&Device::flex());
        match fit(flow, data, &quick()) {
            Ok((flow, _)) => {
                let found = nll(&flow, x.clone(), 100);
                assert!(found < 10.0, "{large:e} {least:e}: {found}");
            }
            Err(error) => {
                assert_eq!(error.to_string(), "training data: needs at least 2 rows, found 1")
            }
        }
    }
}
