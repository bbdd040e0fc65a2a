//! Non-finite steps, and errors of invalid data and configurations.

use burn::module::{ModuleMapper, Param};
use burn_flows::bijector::{ActNorm, BatchNormConfig, Exp};
use burn_flows::train::{Dequantize, FitData, fit};

use super::*;

/// Sets every parameter to NaN.
struct Spoil;

impl ModuleMapper for Spoil {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|t| t * f32::NAN)
    }
}

/// The weights of the second layer are NaN.
#[test]
fn non_finite_training_stops_with_the_name_of_the_layer() {
    let device = Device::flex();
    let good = small().init(&device).into_parts().0;
    let bad = ActNorm::from_weights(Tensor::zeros([2], &device), Tensor::zeros([2], &device))
        .map(&mut Spoil);
    let flow = Flow::new((good, bad), StandardNormal::<2>::new([2], &device));
    let config = quick().with_max_skipped(3);
    let error = fit(flow, banana(600, 1), &config).unwrap_err();
    let Error::NonFinite { step, skipped, layer } = error else { panic!("{error}") };
    assert_eq!((step, skipped), (3, 4));
    assert_eq!(layer, "bijector.1.log_scale");
}

/// Two `Exp` layers overflow on data on which one does not.
#[test]
fn an_overflowing_layer_is_named() {
    let device = Device::flex();
    let layers = (
        ActNorm::from_weights(Tensor::ones([2], &device), Tensor::zeros([2], &device)),
        Exp {},
        Exp {},
    );
    let flow = Flow::new(layers, StandardNormal::<2>::new([2], &device));
    let error = fit(flow, banana(200, 1) + 10.0, &quick().with_max_skipped(0)).unwrap_err();
    let Error::NonFinite { layer, .. } = error else { panic!("{error}") };
    assert_eq!(layer, "bijector.2 (Exp)");
}

#[test]
fn a_base_that_fails_is_named_with_its_latents() {
    let device = Device::flex();
    let scale =
        ActNorm::from_weights(Tensor::full([2], 60.0, &device), Tensor::zeros([2], &device));
    let flow = Flow::new(scale, StandardNormal::<2>::new([2], &device));
    let error = fit(flow, banana(200, 1), &quick().with_max_skipped(0)).unwrap_err();
    let Error::NonFinite { layer, .. } = error else { panic!("{error}") };
    let latents =
        layer.strip_prefix("base (StandardNormal), at latents of magnitude up to ").unwrap();
    let most = latents.parse::<f64>().unwrap();
    assert!(most > 1e26 && most < 1e28, "{most}");
}

#[test]
fn a_rare_non_finite_step_is_skipped_and_counted() {
    let device = Device::flex();
    let mark = Tensor::<2>::from_floats([[1000.0, 0.0]], &device);
    let data =
        FitData::new(Tensor::cat(vec![banana(639, 1), mark], 0)).with_validation(banana(100, 2));
    let flow = Hiccup { inner: small().init(&device) };
    let (flow, report) = fit(flow, data, &quick().with_epochs(5)).unwrap();
    assert_eq!((report.steps, report.skipped_steps), (50, 5));
    assert!(report.epochs[4].validation_loss < report.epochs[0].validation_loss);
    assert!(numbers(&flow.inner, banana(10, 1)).iter().all(|v| v.is_finite()));
}

#[test]
fn a_row_that_overflows_spoils_no_running_statistics() {
    let device = Device::flex();
    let norm = || BatchNormConfig::new(2).init(&device);
    let layers = || (norm(), small().init(&device).into_parts().0, norm());
    let flow = || Flow::new(layers(), StandardNormal::<2>::new([2], &device));
    // The square of the first value overflows in f32, that of the second does not.
    for far in [1e25, 1e15] {
        let row = Tensor::<2>::from_floats([[far, 0.0]], &device);
        let data =
            FitData::new(Tensor::cat(vec![banana(399, 1), row], 0)).with_validation(banana(100, 2));
        for reversible in [false, true] {
            let config = quick().with_reversible(reversible);
            let (_, report) = fit(Hiccup { inner: flow() }, data.clone(), &config).unwrap();
            assert_eq!(report.skipped_steps, 6);
            let nll = |epoch: usize| report.epochs[epoch].validation_loss.unwrap();
            assert!(nll(5) < nll(0) && nll(5) < 6.0, "{far:e}: {:?}", report.epochs);
        }
        if far > 1e20 {
            // A run without skipped steps.
            let (_, report) = fit(flow(), data, &quick()).unwrap();
            assert!(report.best_validation_loss.unwrap() < 6.0, "{:?}", report.epochs);
        }
    }
}

#[test]
fn hostile_data_are_errors_that_say_what_and_where() {
    let device = Device::flex();
    let tensor = |rows: &[[f32; 2]]| {
        let flat: Vec<f32> = rows.iter().flatten().copied().collect();
        Tensor::<2>::from_data(burn::tensor::TensorData::new(flat, [rows.len(), 2]), &device)
    };
    let flow = small().init(&device);
    let refused = |data: FitData<2>| fit(flow.clone(), data, &quick()).unwrap_err().to_string();
    let good = [[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]];
    assert_eq!(refused(tensor(&good[..1]).into()), "training data: needs at least 2 rows, found 1");
    assert_eq!(
        refused(tensor(&[[1.0, 2.0], [f32::INFINITY, 0.0]]).into()),
        "training data: row 1, column 0 holds inf; remove or impute it"
    );
    assert_eq!(
        refused(tensor(&[[1.0, 2.0], [1.0, 3.0]]).into()),
        "training data: column 0 is constant (1), its density is infinite; remove the column"
    );
    let dequantize = Dequantize::new(4).unwrap();
    assert_eq!(
        refused(FitData::new(tensor(&good)).with_dequantization(dequantize)),
        "integer data: row 1, column 1 holds 5, expected an integer from 0 to 3"
    );
    assert_eq!(
        refused(FitData::new(tensor(&good)).with_context(Tensor::zeros([2, 1], &device))),
        "training data: has 3 rows, but 2 rows of context"
    );
    assert_eq!(
        refused(FitData::new(tensor(&good)).with_validation(tensor(&[[f32::NAN, 0.0]]))),
        "validation data: row 0, column 0 holds NaN; remove or impute it"
    );
}

#[test]
fn hostile_configurations_name_the_field() {
    let text = |config: FitConfig| config.validate().unwrap_err().to_string();
    let base = FitConfig::new;
    assert_eq!(text(base().with_epochs(0)), "FitConfig.epochs: must be at least 1, found 0");
    assert_eq!(
        text(base().with_batch_size(0)),
        "FitConfig.batch_size: must be at least 1, found 0"
    );
    assert_eq!(
        text(base().with_learning_rate(f64::NAN)),
        "FitConfig.learning_rate: must be in (0, 1], found NaN"
    );
    assert_eq!(
        text(base().with_average(Some(1.0))),
        "FitConfig.average: must be in [0, 1), found 1"
    );
    assert_eq!(
        text(base().with_gradient_clip(Some(0.0))),
        "FitConfig.gradient_clip: must be positive, found 0"
    );
    assert_eq!(
        text(base().with_validation_fraction(1.0)),
        "FitConfig.validation_fraction: must be in [0, 1), found 1"
    );
}
