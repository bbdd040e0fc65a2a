//! One row per layer. `testing::Suite` checks every row in f64, and once more in f32.
//!
//! A row is a name, a layer, and the shape of its batches or a `Suite` with more settings.

#[path = "../common/built.rs"]
mod fresh;

use std::collections::HashSet;
use std::process::Command;
use std::sync::LazyLock;

use burn::module::Module;
use burn::tensor::{Device, FloatDType};
use burn_flows::{burn, store};
use serde::{Serialize, de::DeserializeOwned};

/// The environment variable by which [`every_row_in_f32`] sets the precision of the process it
/// starts.
const SINGLE: &str = "BURN_FLOWS_CONFORMANCE_F32";

/// The device, with the precision of the process.
static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let single = std::env::var_os(SINGLE).is_some();
    let mut device = Device::flex();
    device.configure(if single { FloatDType::F32 } else { FloatDType::F64 }).unwrap();
    device
});

/// Builds a layer, saves it, opens it from this file alone and saves it again. Both files are
/// equal.
fn built<M: Module + Serialize + DeserializeOwned>(
    device: &Device,
    make: impl FnOnce(&Device) -> M,
) -> M {
    let folder = tempfile::tempdir().unwrap();
    let format = if std::env::var_os(SINGLE).is_some() { "bpk" } else { "safetensors" };
    let [path, again] =
        ["first", "again"].map(|name| folder.path().join(name).with_extension(format));
    store::save(&fresh::built(device, make), &path).unwrap();
    let opened: M = store::open(&path, device).unwrap();
    store::save(&opened, &again).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), std::fs::read(again).unwrap());
    opened
}

macro_rules! rows {
    ($($name:ident: $layer:expr, $suite:expr;)+) => {
        $(#[test]
        fn $name() {
            let layer = built(&DEVICE, |_| $layer);
            burn_flows::testing::Suite::from($suite).on(&DEVICE).check(layer).assert_ok();
        })+
    };
}

mod layers;
mod rows;

/// Checks the rows in f32, the default precision of burn. This needs another process, because the
/// default precision is a setting of the process.
#[test]
fn every_row_in_f32() {
    let mut tests = Command::new(std::env::current_exe().unwrap());
    let run = tests.args(["--skip", "every_"]).env(SINGLE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}");
    assert!(text.contains("test rows::linear::lu_size_3 ... ok"), "{text}");
}

/// A new public layer, map, network or model needs a row.
#[test]
fn every_public_name_has_a_row() {
    let words = |text: &'static str| text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let texts = [
        include_str!("layers/mod.rs"),
        include_str!("layers/images.rs"),
        include_str!("layers/maps.rs"),
        include_str!("layers/models.rs"),
        include_str!("layers/residual.rs"),
        include_str!("layers/suites.rs"),
        include_str!("rows/autoregressive.rs"),
        include_str!("rows/coupling.rs"),
        include_str!("rows/elementwise.rs"),
        include_str!("rows/images.rs"),
        include_str!("rows/linear.rs"),
        include_str!("rows/models.rs"),
        include_str!("rows/monotone.rs"),
        include_str!("rows/residual.rs"),
        include_str!("rows/splines.rs"),
        include_str!("rows/stacks.rs"),
    ];
    // A name in a `use` declaration is not a row.
    let bodies = texts.map(|text| text.rsplit_once("\nuse ").map_or(text, |(_, body)| body));
    let rows: HashSet<&str> = bodies.into_iter().flat_map(words).collect();
    // Parts of layers that need no row of their own.
    let parts = [
        "Activation",
        "AnyUnivariate",
        "Carried",
        "Dropout",
        "InvertibleMatrix",
        "MaskedLinear",
        "Mix",
        "Place",
        "QrFactors",
        "Recovery",
        "ResidualBlock",
        "Split",
        "SvdFactors",
        "Walk",
    ];
    let exports = [
        include_str!("../../src/bijector/mod.rs"),
        include_str!("../../src/univariate/mod.rs"),
        include_str!("../../src/conditioner/mod.rs"),
        include_str!("../../src/model/mod.rs"),
    ];
    let has_row = |name: &str| rows.contains(name) || rows.contains(&*format!("{name}Config"));
    for text in exports.iter().flat_map(|text| text.split("pub use ").skip(1)) {
        let (names, _) = text.split_once(';').unwrap();
        for name in words(names).filter(|name| name.starts_with(char::is_uppercase)) {
            // The row of the model covers its steps, levels and layers.
            let part = ["Step", "Level", "Layers"].iter().any(|end| name.ends_with(end));
            assert!(part || parts.contains(&name) || has_row(name), "{name} has no row");
        }
    }
}
