//! The same numbers as nflows, zuko, normflows and FlowJAX, from their own weights.
//!
//! Walks every `*.safetensors` below `tests/fixtures`, and below the folder that the environment
//! variable `BURN_FLOWS_GOLDENS` names, which has the same form: `<library>/<case>.safetensors` with
//! a `<case>.json` beside it. Each file goes through the public `interop` API and is compared in
//! value, log-determinant, density, inverse and gradient. `tests/fixtures/README.md` describes the
//! files.

mod compare;
mod families;
mod gradients;
mod harness;
mod libraries;
mod one_way;
mod reference;
mod report;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use burn_flows::burn::tensor::{Device, FloatDType};
use families::Outcome;
use reference::Reference;

/// The CPU, in double precision. The precision is that of the process, so every test asks here.
static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let mut device = Device::flex();
    device.configure(FloatDType::F64).expect("configured before the first tensor");
    device
});

/// Names a further folder of reference files.
const FOLDER_VARIABLE: &str = "BURN_FLOWS_GOLDENS";

#[test]
fn parity() {
    let mut files = files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"));
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        files.extend(files_below(Path::new(&folder)));
    }
    let (mut passed, mut failed) = (0, vec![]);
    for file in &files {
        let outcome = Reference::load(file).map_or_else(Outcome::Failed, |r| families::check(&r));
        let name = format!("{}/{}", reference::library_of(file), reference::case_of(file));
        match outcome {
            Outcome::Passed(detail) => {
                passed += 1;
                say(&format!("pass  {name:44} {detail}"));
            }
            Outcome::Failed(reason) => {
                say(&format!("FAIL  {name:44} {reason}"));
                failed.push(name);
            }
        }
    }
    let count = failed.len();
    say(&format!("parity: {passed} passed, {count} failed"));
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Prints past the test runner's capture, so that the lines stand in every log.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("stdout is open");
}

/// Every safetensors file below a folder, by path.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "safetensors") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "no reference files below {}", folder.display());
    files.sort();
    files
}
