//! The same numbers on every backend: all layers and models of the conformance suite, distributions,
//! records and training, against `flex` in f64.
//!
//! What is compared is every enabled backend whose hardware is there, or the one that `BURN_DEVICE`
//! names. On a machine without the hardware the tests say so and pass, unless `BURN_FLOWS_NEED` names
//! the backend.

mod distributions;
mod half;
#[path = "../conformance/layers/mod.rs"]
mod layers;
mod places;
mod precision;
mod training;

use std::sync::{LazyLock, Mutex, PoisonError};

use burn::tensor::{DType, Device, FloatDType};
use burn_flows::burn;
use burn_flows::testing::Comparison;

use places::PLACES;

/// Where layers are made, and where they are computed in f64 to compare with.
static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let mut device = Device::flex();
    device.configure(FloatDType::F64).unwrap();
    device
});

/// Builds a layer from a fixed seed. A device has one generator for all threads, hence the lock.
fn built<B>(make: impl FnOnce() -> B) -> B {
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    DEVICE.seed(0);
    make()
}

/// A row of the conformance suite: its name, and its comparison on a device in a precision.
type Row = (&'static str, fn(&Device, DType) -> Comparison);

macro_rules! rows {
    ($($name:ident: $layer:expr, $suite:expr;)+) => {
        pub const ROWS: &[crate::Row] = &[$((stringify!($name), |device, dtype| {
            burn_flows::testing::Suite::from($suite)
                .on(&DEVICE)
                .compare(built(|| $layer), device, dtype)
        })),+];

        $(#[test]
        fn $name() {
            crate::agrees_everywhere(ROWS, stringify!($name));
        })+
    };
}

#[path = "../conformance/rows/mod.rs"]
mod rows;

fn agrees_everywhere(rows: &[Row], name: &str) {
    let (_, compare) = rows.iter().find(|(row, _)| *row == name).unwrap();
    for place in PLACES.iter() {
        for (dtype, allowed) in place.precisions() {
            let comparison = compare(&place.device, dtype);
            println!("{} {comparison}", place.name);
            assert!(comparison.largest() <= allowed, "{}, {name}: {comparison}", place.name);
        }
    }
}
