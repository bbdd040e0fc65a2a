//! Which precisions a device computes in.

use std::sync::{Mutex, PoisonError};

use burn::tensor::{DType, Device, Tensor};

use crate::parallel::is_flex;

/// Devices and precisions that were tested before, with the results.
static KNOWN: Mutex<Vec<(Device, DType, bool)>> = Mutex::new(Vec::new());

/// Panics if a backend silently computes wrong numbers in this precision. Shaders store and add f64, but have no
/// exponential and no logarithm of it; bf16 often supports storage only.
pub(crate) fn expect_computed(device: &Device, dtype: DType) {
    if dtype == DType::F32 || is_flex(device) {
        return;
    }
    let device = device.clone().without_autodiff();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let before = known.iter().find(|(of, precision, _)| *of == device && *precision == dtype);
    let computes = before.map(|(_, _, computes)| *computes).unwrap_or_else(|| {
        let computes = device.supports_dtype(dtype) && exponential_is_right(&device, dtype);
        known.push((device.clone(), dtype, computes));
        computes
    });
    drop(known);
    assert!(computes, "{device:?}: expected a supported precision, found {dtype:?}; use F32");
}

/// Whether the device computes correct exponentials and logarithms.
fn exponential_is_right(device: &Device, dtype: DType) -> bool {
    let allowed = match dtype {
        DType::F64 => 1e-12,
        DType::BF16 => 3e-2,
        _ => 3e-3,
    };
    let x = Tensor::<1>::from_data([0.5, 1.0, 2.0], (device, dtype));
    let found = Tensor::cat(vec![x.clone().exp(), x.log()], 0).into_data();
    let numbers = [0.5f64, 1.0, 2.0];
    let expected = numbers.map(f64::exp).into_iter().chain(numbers.map(f64::ln));
    found.iter::<f64>().zip(expected).all(|(f, e)| (f - e).abs() <= allowed * e.abs().max(1.0))
}
