//! Where the numbers are compared: the enabled backends whose hardware is there.

use std::io::Write;
use std::sync::LazyLock;

use burn::tensor::{DType, Device, DeviceType, FloatDType};
use burn_flows::burn;

use crate::DEVICE;

/// Backends that must be there, as names with commas between them.
const NEED: &str = "BURN_FLOWS_NEED";

/// A backend, by the name that `BURN_DEVICE` knows it by.
pub struct Place {
    pub name: &'static str,
    pub device: Device,
}

impl Place {
    /// Which of the two usual precisions it computes in, with what passes in each.
    pub fn precisions(&self) -> impl Iterator<Item = (DType, f64)> {
        let all = [(DType::F64, F64), (DType::F32, F32)];
        all.into_iter().filter(|(dtype, _)| *dtype == DType::F32 || DOUBLE.contains(&self.name))
    }
}

/// Backends that compute in f64. Shaders know no exponential and no logarithm of it.
const DOUBLE: [&str; 4] = ["flex", "ndarray", "cuda", "rocm"];

/// What numbers may differ from those of f64. Gradients are among them, and equations whose solution is
/// a sum of a hundred steps.
const F64: f64 = 1e-9;
const F32: f64 = 1e-4;

/// The backends that are compiled in.
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

/// The places to compare. The others are named on the way, past the capture of the test harness.
pub static PLACES: LazyLock<Vec<Place>> = LazyLock::new(|| {
    let wanted = std::env::var("BURN_DEVICE").ok();
    let mut places = Vec::new();
    for (name, kind) in enabled() {
        if wanted.as_ref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(name)) {
            continue;
        }
        // Listing devices opens none: a machine without one has an empty list.
        match Device::enumerate(kind).iter().next() {
            Some(device) => {
                let mut device = device.clone();
                // As the reference: a base without weights draws in the device's precision.
                if DOUBLE.contains(&name) && device != *DEVICE {
                    device.configure(FloatDType::F64).unwrap();
                }
                places.push(Place { name, device });
            }
            None => say(&format!("{name}: no such device on this machine, nothing was compared")),
        }
    }
    let names: Vec<_> = places.iter().map(|place| place.name).collect();
    say(&format!("compared with flex in f64: {}", names.join(", ")));
    places
});

fn say(text: &str) {
    // No test depends on whether anyone reads it.
    let _ = writeln!(std::io::stderr(), "backends: {text}");
}

/// What a run must not leave out, it has not left out.
#[test]
fn every_needed_backend_is_there() {
    let need = std::env::var(NEED).unwrap_or_default();
    for name in need.split(',').filter(|name| !name.is_empty()) {
        assert!(PLACES.iter().any(|place| place.name == name), "{name} is needed and not here");
    }
    assert!(!PLACES.is_empty(), "BURN_DEVICE names no backend that is compiled in and here");
}
