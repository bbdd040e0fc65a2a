//! The enabled backends whose hardware is present.

use std::io::Write;
use std::sync::LazyLock;

use burn::tensor::{DType, Device, DeviceType, FloatDType};
use burn_flows::burn;

use crate::DEVICE;

/// The environment variable that lists required backends, separated by commas.
const NEED: &str = "BURN_FLOWS_NEED";

/// A backend, with its name in `BURN_DEVICE`.
pub struct Place {
    pub name: &'static str,
    pub device: Device,
}

impl Place {
    /// The precisions f64 and f32, as far as the backend supports them, with the tolerance of each.
    pub fn precisions(&self) -> impl Iterator<Item = (DType, f64)> {
        let all = [(DType::F64, F64), (DType::F32, F32)];
        all.into_iter().filter(|(dtype, _)| *dtype == DType::F32 || DOUBLE.contains(&self.name))
    }
}

/// Backends that compute in f64. Shader languages have no exponential and no logarithm in f64.
const DOUBLE: [&str; 4] = ["flex", "ndarray", "cuda", "rocm"];

/// Tolerances for the difference from f64. The comparison includes gradients, and differential
/// equations whose solution is a sum of a hundred steps.
const F64: f64 = 1e-9;
const F32: f64 = 1e-4;

/// The compiled backends.
fn enabled() -> Vec<(&'static str, DeviceType)> {
    Vec::from([
        ("flex", DeviceType::Flex),
        #[cfg(feature = "ndarray")]
        ("ndarray", DeviceType::NdArray),
        #[cfg(feature = "wgpu-unfused")]
        ("wgpu", DeviceType::Wgpu),
        #[cfg(feature = "vulkan")]
        ("vulkan", DeviceType::Vulkan),
        #[cfg(feature = "metal")]
        ("metal", DeviceType::Metal),
        #[cfg(feature = "webgpu")]
        ("webgpu", DeviceType::WebGpu),
        #[cfg(feature = "cuda")]
        ("cuda", DeviceType::Cuda),
        #[cfg(feature = "rocm")]
        ("rocm", DeviceType::Rocm),
    ])
}

/// The backends to compare. A message names the other backends. It is printed even if the test
/// harness captures the output.
pub static PLACES: LazyLock<Vec<Place>> = LazyLock::new(|| {
    let wanted = std::env::var("BURN_DEVICE").ok();
    let mut places = Vec::new();
    for (name, kind) in enabled() {
        if wanted.as_ref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(name)) {
            continue;
        }
        // Enumerating devices opens none. A machine without a device returns an empty list.
        match Device::enumerate(kind).iter().next() {
            Some(device) => {
                let mut device = device.clone();
                // In f64, like the reference: a base without weights draws in the precision of the
                // device.
                if DOUBLE.contains(&name) && device != *DEVICE {
                    device.configure(FloatDType::F64).unwrap();
                }
                places.push(Place { name, device });
            }
            None => say(&format!("{name}: no device on this machine, not compared")),
        }
    }
    let names: Vec<_> = places.iter().map(|place| place.name).collect();
    say(&format!("compared with flex in f64: {}", names.join(", ")));
    places
});

fn say(text: &str) {
    // An error is ignored, because no test depends on this output.
    let _ = writeln!(std::io::stderr(), "backends: {text}");
}

/// Fails if a required backend is missing.
#[test]
fn every_needed_backend_is_there() {
    let need = std::env::var(NEED).unwrap_or_default();
    for name in need.split(',').filter(|name| !name.is_empty()) {
        assert!(PLACES.iter().any(|place| place.name == name), "{name} is required but missing");
    }
    assert!(!PLACES.is_empty(), "BURN_DEVICE names no backend that is compiled and available");
}
