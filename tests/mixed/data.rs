//! Training data with integer columns: checks, warnings, dequantization of chosen columns.

use burn_flows::distribution::{
    CategoricalMadeConfig, Chained, ConditionalNormalConfig, DiagNormalConfig, Mixture, Product,
};
use burn_flows::train::{Dequantize, DequantizeColumns};

use super::*;

/// A number, a count of 0 to 3 and a class of 0 to 2 in each row.
fn rows(n: usize) -> Tensor<2> {
    let mut noise = Noise::seeded(3);
    let number = noise.normal::<2>([n, 1], &device());
    let count = (noise.uniform::<2>([n, 1], &device()) * 4.0).floor();
    let class = (noise.uniform::<2>([n, 1], &device()) * 3.0).floor();
    Tensor::cat(vec![number, count, class], 1)
}

/// A density of columns 0 and 1, and categories in column 2.
fn model() -> impl Distribution<2> {
    let numbers = DiagNormalConfig::new(vec![2]).with_learned(true).init::<2>(&device());
    let class = CategoricalMadeConfig::new(vec![3]).with_seed(1).init(&device());
    Product::new(&Mask::Kept(vec![0, 1]), 3, numbers, class, &device()).unwrap()
}

fn config() -> FitConfig {
    FitConfig::new().with_epochs(1).with_progress(false).with_seed(1)
}

fn counts() -> DequantizeColumns {
    DequantizeColumns::new(vec![(1, 4)]).unwrap()
}

fn replaced(x: Tensor<2>, row: usize, column: usize, value: f64) -> Tensor<2> {
    x.slice_assign([row..row + 1, column..column + 1], tensor(&[value], [1, 1]))
}

fn constant(x: Tensor<2>, column: usize) -> Tensor<2> {
    let n = x.dims()[0];
    x.slice_assign([0..n, column..column + 1], Tensor::ones([n, 1], &device()))
}

#[test]
fn chosen_columns_are_spread_and_others_are_not() {
    let x = rows(500);
    let v = counts().apply(x.clone(), &mut Noise::seeded(1));
    for (v, x) in host(v.clone()).chunks(3).zip(host(x.clone()).chunks(3)) {
        assert_eq!((v[0], v[2]), (x[0], x[2]));
        assert!(v[1] > 0.0 && v[1] < 1.0 && (v[1] * 4.0).floor() == x[1], "{v:?} {x:?}");
    }
    assert_eq!(host(counts().restore(v.clone())), host(x.clone()));
    assert_ne!(host(counts().apply(x.clone(), &mut Noise::seeded(2))), host(v));
    let both = DequantizeColumns::new(vec![(2, 3), (1, 4)]).unwrap();
    assert!((both.log_volume() - 12f64.ln()).abs() < 1e-15);
    assert_eq!([0, 1, 2].map(|column| both.levels(column)), [None, Some(4), Some(3)]);
    let spread = host(both.apply(x, &mut Noise::seeded(1)));
    let means = [1, 2].map(|at| spread.iter().skip(at).step_by(3).sum::<f64>() / 500.0);
    assert!(means.iter().all(|mean| (mean - 0.5).abs() < 0.05), "{means:?}");
    let json = serde_json::to_string(&both).unwrap();
    assert_eq!(serde_json::from_str::<DequantizeColumns>(&json).unwrap(), both);
    assert!(serde_json::from_str::<DequantizeColumns>(&json.replace('1', "2")).is_err());
}

#[test]
fn an_epoch_dequantizes_anew() {
    let data = FitData::new(rows(20)).with_dequantization(counts());
    let epoch = |seed| {
        let all: Vec<_> = data.batches(20, seed, &device()).iter().map(|b| b.unwrap().x).collect();
        host(all[0].clone().narrow(1, 1, 1))
    };
    let (mut one, mut other) = (epoch(1), epoch(2));
    one.sort_by(f64::total_cmp);
    other.sort_by(f64::total_cmp);
    assert_ne!(one, other);
    assert!(one.iter().chain(&other).all(|v| *v > 0.0 && *v < 1.0));
}

#[test]
fn columns_are_checked_for_what_they_are() {
    let fitted = |data: FitData<2>| fit(model(), data, &config()).map(drop);
    let whole = |x: Tensor<2>| FitData::new(x).with_dequantization(counts());
    assert!(fitted(whole(rows(100))).is_ok());
    // A constant class and a constant count have a probability.
    assert!(fitted(whole(constant(rows(100), 2))).is_ok());
    assert!(fitted(whole(constant(rows(100), 1))).is_ok());
    assert_eq!(
        text(fitted(whole(constant(rows(100), 0)))),
        "training data: column 0 is constant (1), its density is infinite; remove the column"
    );
    assert_eq!(
        text(fitted(whole(replaced(rows(100), 7, 1, 4.0)))),
        "integer data: row 7, column 1 holds 4, expected an integer from 0 to 3"
    );
    assert_eq!(
        text(fitted(whole(replaced(rows(100), 7, 2, 3.0)))),
        "integer data: row 7, column 2 holds 3, expected an integer from 0 to 2"
    );
    assert_eq!(
        text(fitted(whole(rows(100)).with_validation(replaced(rows(9), 4, 2, 0.5)))),
        "integer data: row 4, column 2 holds 0.5, expected an integer from 0 to 2"
    );
    let twice = DequantizeColumns::new(vec![(2, 3)]).unwrap();
    assert_eq!(
        text(fitted(FitData::new(rows(100)).with_dequantization(twice))),
        "integer data: the model takes integers in column 2; dequantize other columns only"
    );
    assert_eq!(
        text(fitted(FitData::new(rows(100)).with_dequantization(Dequantize::new(4).unwrap()))),
        "integer data: the model takes integers in column 2; dequantize other columns only"
    );
    let far = DequantizeColumns::new(vec![(3, 4)]).unwrap();
    let reason = "integer data: column 3 is to be dequantized, but an event has 3 columns";
    assert_eq!(text(fitted(FitData::new(rows(100)).with_dequantization(far.clone()))), reason);
    assert_eq!(text(far.check(&rows(3))), reason);
    assert!(counts().check(&rows(30)).is_ok());
    // Rows of another width than the model's.
    let found = text(fitted(FitData::new(rows(100).narrow(1, 0, 2))));
    assert!(found.contains("do not fit the model"), "{found}");
}

#[test]
fn only_columns_of_real_numbers_are_warned_about() {
    let warned = |data: FitData<2>| {
        let (_, report) = fit(model(), data, &config()).unwrap();
        report.warnings.iter().map(|warning| warning.columns.clone()).collect::<Vec<_>>()
    };
    let data = FitData::new(rows(400));
    assert_eq!(warned(data.clone()), [[1]]); // the count, which is not dequantized
    assert!(warned(data.clone().with_dequantization(counts())).is_empty());
    // Without the model, the class is a column of real numbers.
    let columns: Vec<_> = data.warnings().into_iter().map(|warning| warning.columns).collect();
    assert_eq!(columns, [[1, 2]]);
    let columns = data.clone().with_dequantization(counts()).warnings();
    assert_eq!(columns[0].columns, [2]);
    // Validation rows of the user's own must already be dequantized.
    let data = data.with_dequantization(counts()).with_validation(rows(300));
    assert_eq!(warned(data), [[1]]);
    assert!(
        text(fit(model(), FitData::new(rows(400)), &config().with_strict(true)))
            .contains("column 1")
    );
}

#[test]
fn compositions_know_their_integers() {
    let class = || CategoricalMadeConfig::new(vec![3]).with_seed(1).init(&device());
    let normal = || DiagNormalConfig::new(vec![1]).init::<2>(&device());
    let product = || Product::new(&Mask::Kept(vec![1]), 2, class(), normal(), &device()).unwrap();
    assert_eq!(product().column_levels(2), [None, Some(3)]);
    assert_eq!(product().integer_levels(), None);
    let both = Product::new(&Mask::Kept(vec![0]), 2, class(), class(), &device()).unwrap();
    assert_eq!((both.integer_levels(), both.column_levels(2)), (Some(3), vec![Some(3); 2]));
    let mixture = Mixture::new(vec![product(), product()], &device()).unwrap();
    assert_eq!(mixture.column_levels(2), [None, Some(3)]);
    let nested = Product::new(&Mask::Kept(vec![1]), 3, normal(), product(), &device()).unwrap();
    assert_eq!(nested.column_levels(3), [None, None, Some(3)]);
    let given = ConditionalNormalConfig::new(vec![1], 2, mlp()).init::<2>(&device());
    let chain = Chained::new(&Mask::Kept(vec![0, 2]), 3, product(), given, &device()).unwrap();
    assert_eq!(chain.column_levels(3), [None, None, Some(3)]);
    assert_eq!(normal().column_levels(1), [None]);
}

#[test]
fn constructors_are_checked() {
    let new = |columns: &[(usize, usize)]| text(DequantizeColumns::new(columns.to_vec()));
    assert_eq!(new(&[]), "DequantizeColumns.columns: must be at least 1, found 0");
    assert_eq!(
        new(&[(2, 3), (2, 4)]),
        "DequantizeColumns.columns: must list each column once, found column 2 twice"
    );
    assert_eq!(new(&[(0, 1)]), "DequantizeColumns.levels: must be between 2 and 16777216, found 1");
}
