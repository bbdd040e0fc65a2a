//! Flows with weights of nflows, zuko, normflows and FlowJAX give the same numbers as these
//! libraries.
//!
//! The test reads every `*.safetensors` file below `tests/fixtures` and below the folder in the
//! environment variable `BURN_FLOWS_GOLDENS`. Both have the form `<library>/<case>.safetensors`
//! with a `<case>.json` next to it. It loads each file through the public `interop` API and
//! compares values, log-determinants, densities, inverses and gradients. `tests/fixtures/README.md`
//! describes the files.

mod compare;
mod families;
mod gradients;
mod harness;
mod libraries;
mod one_way;
mod pytorch;
mod reference;
mod report;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use burn_flows::burn::tensor::{Device, FloatDType};
use compare::F32_ABSOLUTE;
use families::Outcome;
use reference::Reference;
use report::Ratio;

/// The CPU in f64. The precision is a setting of the process, so every test uses this device.
static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let mut device = Device::flex();
    device.configure(FloatDType::F64).expect("configured before the first tensor");
    device
});

/// The environment variable of a further folder of reference files.
const FOLDER_VARIABLE: &str = "BURN_FLOWS_GOLDENS";

#[test]
fn parity() {
    let mut files = files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"));
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        files.extend(files_below(Path::new(&folder)));
    }
    let (mut passed, mut excluded, mut failed, mut ratios) = (0, 0, vec![], vec![]);
    for file in &files {
        let outcome = Reference::load(file).map_or_else(Outcome::Failed, |r| families::check(&r));
        let name = format!("{}/{}", reference::library_of(file), reference::case_of(file));
        match outcome {
            Outcome::Passed(detail, found) => {
                passed += 1;
                let of_file =
                    |ratio: Ratio| Ratio { what: format!("{name} {}", ratio.what), ..ratio };
                ratios.extend(found.into_iter().map(of_file));
                say(&format!("pass  {name:44} {detail}"));
            }
            Outcome::NotSupported(reason) => {
                excluded += 1;
                say(&format!("skip  {name:44} {reason}"));
            }
            Outcome::Failed(reason) => {
                say(&format!("FAIL  {name:44} {reason}"));
                failed.push(name);
            }
        }
    }
    single_precision(ratios);
    let count = failed.len();
    say(&format!("parity: {passed} passed, {count} failed, {excluded} not supported"));
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Compares the errors in single precision of this crate with those of the libraries.
fn single_precision(mut ratios: Vec<Ratio>) {
    // A comparison is not meaningful where the library has no error.
    ratios.retain(|ratio| ratio.stated > 0.0);
    ratios.sort_by(|a, b| a.value().total_cmp(&b.value()));
    let median = ratios.get(ratios.len() / 2).map_or(0.0, Ratio::value);
    let worst = ratios.iter().rfind(|ratio| ratio.error > F32_ABSOLUTE);
    let worst = worst.map_or("none".into(), |w| format!("{:.2} ({})", w.value(), w.what));
    let count = ratios.len();
    say(&format!("f32 errors / library errors: median {median:.2}, worst {worst}, of {count}"));
    assert!(median <= 1.0, "f32 errors are {median} times those of the libraries");
}

/// Prints even if the test runner captures the output, so that the lines are in every log.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("stdout is open");
}

/// The paths of all safetensors files below a folder.
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
