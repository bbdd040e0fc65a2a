//! Every backend computes the same numbers as `flex` in f64: all layers and models of the
//! conformance suite, distributions, records and training.
//!
//! The tests compare every enabled backend whose hardware is present, or the backend that
//! `BURN_DEVICE` names. On a machine without the hardware, the tests print a message and pass,
//! unless `BURN_FLOWS_NEED` names the backend.

#[path = "../common/built.rs"]
mod built;
mod distributions;
mod half;
#[path = "../conformance/layers/mod.rs"]
mod layers;
mod places;
mod precision;
mod training;

use std::sync::LazyLock;

use burn::tensor::{DType, Device, FloatDType};
use burn_flows::burn;
use burn_flows::testing::Comparison;

use built::built;
use places::PLACES;

/// The reference device: layers are created here, and computed here in f64.
static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let mut device = Device::flex();
    device.configure(FloatDType::F64).unwrap();
    device
});

/// A row of the conformance suite: its name, and a function that compares it on a device in a
/// precision.
type Row = (&'static str, fn(&Device, DType) -> Comparison);

macro_rules! rows {
    ($($name:ident: $layer:expr, $suite:expr;)+) => {
        pub const ROWS: &[crate::Row] = &[$((stringify!($name), |device, dtype| {
            burn_flows::testing::Suite::from($suite)
                .on(&DEVICE)
                .compare(built(&DEVICE, |_| $layer), device, dtype)
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
