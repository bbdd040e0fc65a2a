//! `fit` returns an error if data, model and configuration do not fit each other.

use burn::tensor::DType;
use burn_flows::bijector::BatchNormConfig;
use burn_flows::cast;
use burn_flows::train::{FitData, Reversible, fit, fit_reverse_kl, log_z, nll_gradients};

use super::*;

fn normal(rows: usize, width: usize) -> Tensor<2> {
    Noise::seeded(1).normal([rows, width], &Device::flex())
}

fn text<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => {
            assert!(matches!(error, Error::Data { .. } | Error::Config { .. }), "{error:?}");
            error.to_string()
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let device = Device::flex();
    let plain = small().init(&device);
    let given = small().with_context(2).init(&device);
    let context = |width| FitData::new(normal(50, 2)).with_context(normal(50, width));
    for (flow, data, shapes, reason) in [
        (&plain, FitData::new(normal(50, 3)), "[3] with no context", "found"),
        (
            &plain,
            context(2),
            "[2] with a context of width 2",
            "expected a context of width 0, found 2",
        ),
        (
            &given,
            normal(50, 2).into(),
            "[2] with no context",
            "expected a context of width 2, found none",
        ),
        (
            &given,
            context(3),
            "[2] with a context of width 3",
            "expected a context of width 2, found 3",
        ),
    ] {
        for reversible in [false, true] {
            let config = quick().with_reversible(reversible);
            let found = text(fit(flow.clone(), data.clone(), &config));
            let start = format!("training data: rows of shape {shapes} do not fit the model: ");
            assert!(found.starts_with(&start) && found.contains(reason), "{found}");
            assert!(
                found.ends_with(
                    "; pass rows and context of the shapes that the model was built for"
                ),
                "{found}"
            );
        }
    }
}

#[test]
fn precisions_that_do_not_fit_are_errors() {
    let device = Device::flex();
    let wide = normal(50, 2).cast(DType::F64);
    let ends =
        "training data: holds F64, but the model computes in F32; cast the data or the model";
    let found = text(fit(small().init(&device), wide.clone(), &quick()));
    assert_eq!(found, ends);
    let data = FitData::new(normal(50, 2)).with_context(wide.clone());
    let found = text(fit(small().with_context(2).init(&device), data, &quick()));
    assert_eq!(found, format!("context of the {ends}"));
    // If model and data are both in f64, training works.
    let flow = cast(small().init(&device), DType::F64);
    assert!(fit(flow, wide, &quick().with_epochs(1)).is_ok());
}

#[test]
fn validation_rows_of_another_kind_are_errors() {
    let (x, c) = (normal(50, 2), normal(50, 1));
    let plain = FitData::new(x.clone());
    let given = FitData::new(x.clone()).with_context(c.clone());
    let wide = x.clone().cast(DType::F64);
    for (data, found) in [
        (plain.clone().with_validation(normal(9, 3)), "rows of shape [3] in F32 with no context"),
        (
            plain.clone().with_validation((x.clone(), c)),
            "rows of shape [2] in F32 with a context of width 1 in F32",
        ),
        (given.clone().with_validation(x.clone()), "rows of shape [2] in F32 with no context"),
        (
            given.with_validation((x.clone(), x)),
            "rows of shape [2] in F32 with a context of width 2 in F32",
        ),
        (plain.with_validation(wide), "rows of shape [2] in F64 with no context"),
    ] {
        let error = text(data.check());
        assert!(
            error.starts_with(&format!("validation data: has {found}, but the training data has ")),
            "{error}"
        );
    }
}

#[test]
fn batch_normalization_needs_two_rows() {
    let device = Device::flex();
    let normed = BatchNormConfig::new(2).init(&device);
    let flow = Flow::new(normed, StandardNormal::<2>::new([2], &device));
    let reason = "batch_size: must be at least 2 for a model with batch normalization, found 1";
    let found = text(fit(flow.valid(), normal(50, 2), &quick().with_batch_size(1)));
    assert_eq!(found, format!("FitConfig.{reason}"));
    let target = |x: Tensor<2>| x.square().sum_dim(1).reshape([-1]) * -0.5;
    let found = text(fit_reverse_kl(flow, target, &quick().with_batch_size(1)));
    assert_eq!(found, format!("FitConfig.{reason}"));
    // Without batch normalization, batches of one row train.
    let config = quick().with_batch_size(1).with_epochs(1);
    assert!(fit(small().init(&device), normal(9, 2), &config).is_ok());
}

#[test]
fn patience_needs_validation_rows() {
    let flow = || small().init(&Device::flex());
    let config = quick().with_epochs(1).with_patience(Some(3));
    for (rows, fraction) in [(50, 0.0), (4, 0.1)] {
        let config = config.clone().with_validation_fraction(fraction);
        let found = text(fit(flow(), normal(rows, 2), &config));
        let start = "FitConfig.patience: needs validation rows, found none: ";
        assert!(found.starts_with(start), "{found}");
        let data = FitData::new(normal(rows, 2)).with_validation(normal(9, 2));
        assert!(fit(flow(), data, &config).is_ok());
    }
}

#[test]
fn a_reverse_kl_of_a_flow_that_needs_a_context_is_an_error() {
    let flow = small().with_context(1).init(&Device::flex());
    let target = |x: Tensor<2>| x.square().sum_dim(1).reshape([-1]) * -0.5;
    let reason = "draws of the flow fail: Mlp: expected a context of width 1, found none; ";
    let found = text(log_z(&flow, target, 10, 10, &mut Noise::seeded(1)));
    assert!(found.starts_with(&format!("log_z: {reason}")), "{found}");
    let found = text(fit_reverse_kl(flow, target, &quick()));
    assert!(found.starts_with(&format!("training draws: {reason}")), "{found}");
}

#[test]
fn gradients_of_a_model_that_does_not_train_panic_and_say_so() {
    let (flow, x) = (small().init(&Device::flex()), normal(50, 2));
    let frozen = flow.clone().train().freeze();
    for model in [flow.valid(), frozen] {
        let calls: [&dyn Fn(); 2] = [&|| drop(nll_gradients(&model, &x)), &|| {
            drop(Reversible::new().nll_gradients(&model, &x))
        }];
        for call in calls {
            let panic = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
            let text = panic.downcast_ref::<&str>().unwrap();
            let expected = "nll_gradients: expected a model with trained parameters, found none; call \
                            train() on the model, or unfreeze() a part";
            assert_eq!(*text, expected);
        }
    }
}

#[test]
fn atoms_are_reported_and_refused_where_asked() {
    let device = Device::flex();
    let zeros = Tensor::cat(vec![normal(300, 1), normal(300, 1).clamp_min(0.5)], 1);
    let (_, report) = fit(small().init(&device), zeros.clone(), &quick().with_epochs(1)).unwrap();
    let start = "training data: column 1 holds 0.5 in ";
    let warning = report.warnings[0].to_string();
    assert!(report.warnings.len() == 1 && warning.starts_with(start), "{warning}");
    let strict = quick().with_strict(true);
    assert_eq!(text(fit(small().init(&device), zeros.clone(), &strict)), warning);

    let data = FitData::new(normal(300, 2)).with_validation(zeros);
    let found = text(fit(small().init(&device), data, &strict));
    assert!(found.starts_with("validation data: column 1 holds 0.5 in "), "{found}");
    assert!(fit(small().init(&device), normal(300, 2), &strict.with_epochs(1)).is_ok());
}
