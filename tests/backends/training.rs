//! Training gives the same losses in every epoch on every backend.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use burn_flows::model::RealNvpConfig;
use burn_flows::testing::moved;
use burn_flows::train::{FitConfig, fit};
use burn_flows::{Noise, burn, cast, to_device};

use crate::layers::mlp;
use crate::places::PLACES;
use crate::{DEVICE, built};

#[test]
fn a_flow_trains_to_the_same_losses_everywhere() {
    let rows = Noise::seeded(1).normal::<2>([96, 3], &DEVICE) * 2.0 + 1.0;
    let start =
        built(&DEVICE, |device| RealNvpConfig::new(3).with_layers(2).with_mlp(mlp()).init(device));
    let start = moved(start, 1);
    let config = FitConfig::new().with_epochs(3).with_batch_size(16).with_learning_rate(1e-2);
    let losses = |device: &Device, dtype: DType| -> Vec<f64> {
        let flow = to_device(cast(start.valid(), dtype), device);
        let x = Tensor::from_data(rows.clone().into_data(), (device, dtype));
        let (_, report) = fit(flow, x, &config).unwrap();
        report.epochs.iter().filter_map(|epoch| epoch.train_loss).collect()
    };
    let expected = losses(&DEVICE, DType::F64);
    assert!(expected.len() == 3 && expected[2] < expected[0] - 0.5, "{expected:?}");
    for place in PLACES.iter() {
        let found = losses(&place.device, DType::F32);
        for (f, e) in found.iter().zip(&expected) {
            assert!((f - e).abs() < 1e-3, "{}: {found:?}, expected {expected:?}", place.name);
        }
        assert_eq!(found.len(), 3);
    }
}

/// The gradients of f32 log-densities reach weights in half precision, and an optimizer updates
/// them.
#[test]
fn a_flow_trains_in_half_precision() {
    let rows = Noise::seeded(1).normal::<2>([96, 3], &DEVICE) * 2.0 + 1.0;
    let start =
        built(&DEVICE, |device| RealNvpConfig::new(3).with_layers(2).with_mlp(mlp()).init(device));
    let config = FitConfig::new().with_epochs(3).with_batch_size(16).with_learning_rate(1e-2);
    let last = |dtype: DType| -> f64 {
        let (_, report) =
            fit(cast(start.clone(), dtype), rows.clone().cast(dtype), &config).unwrap();
        assert_eq!(report.skipped_steps, 0, "{dtype:?}");
        report.epochs.last().and_then(|epoch| epoch.train_loss).unwrap()
    };
    let (found, expected) = (last(DType::BF16), last(DType::F64));
    assert!((found - expected).abs() < 0.1, "{found}, expected {expected}");

    let refused = fit(cast(start.clone(), DType::F16), rows.clone().cast(DType::F16), &config);
    let text = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(text.starts_with("fit.flow: has f16 weights"), "{text}");
}
