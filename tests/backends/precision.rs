//! Other precisions, and moves from one backend to another.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use burn_flows::model::{MafConfig, RealNvpConfig};
use burn_flows::testing::moved;
use burn_flows::{burn, cast, to_device};

use crate::layers::{made, mlp};
use crate::places::PLACES;
use crate::{DEVICE, built};

fn host(x: Tensor<1>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// In a precision that shaders can store but whose logarithm they lack, a flow panics. It returns
/// no number that looks like a density.
#[test]
fn a_precision_gives_its_numbers_or_none() {
    let flow =
        built(&DEVICE, |device| RealNvpConfig::new(3).with_layers(2).with_mlp(mlp()).init(device));
    let flow = moved(flow, 1).valid();
    let density = |device: &Device, dtype| {
        let flow = to_device(cast(flow.clone(), dtype), device);
        host(flow.log_prob(Tensor::ones([2, 3], (device, dtype))))
    };
    let expected = density(&DEVICE, DType::F64);
    for place in PLACES.iter() {
        for (dtype, allowed) in [(DType::F64, 1e-9), (DType::F16, 2e-2), (DType::BF16, 2e-1)] {
            let found = catch_unwind(AssertUnwindSafe(|| density(&place.device, dtype)));
            match found {
                Ok(found) => {
                    let near = |(f, e): (&f64, &f64)| (f - e).abs() <= allowed * e.abs();
                    let same = found.len() == 2 && found.iter().zip(&expected).all(near);
                    assert!(same, "{}, {dtype:?}: {found:?}, not {expected:?}", place.name);
                }
                // The backend may reject a precision that it does not claim to support.
                Err(panic) if place.device.supports_dtype(dtype) => {
                    let text = panic.downcast_ref::<String>().map_or("", String::as_str);
                    let told = text.contains("expected a supported precision, found");
                    assert!(told, "{}, {dtype:?}: {text}", place.name);
                }
                Err(_) => {}
            }
        }
    }
}

/// Checks masks and orders too, which backends store differently.
#[test]
fn a_flow_moves_to_every_backend_and_back() {
    let flow =
        built(&DEVICE, |device| MafConfig::new(3).with_layers(2).with_made(made()).init(device));
    let home = cast(moved(flow, 1).valid(), DType::F32);
    let x = |device: &Device| Tensor::<2>::ones([2, 3], (device, DType::F32));
    let expected = host(home.log_prob(x(&DEVICE)));
    for place in PLACES.iter() {
        let there = to_device(home.clone(), &place.device);
        let found = host(there.log_prob(x(&place.device)));
        let near = |(f, e): (&f64, &f64)| (f - e).abs() < 1e-4;
        assert!(found.iter().zip(&expected).all(near), "{}: {found:?}", place.name);
        let back = host(to_device(there, &DEVICE).log_prob(x(&DEVICE)));
        assert_eq!(back, expected, "{}", place.name);
    }
}
