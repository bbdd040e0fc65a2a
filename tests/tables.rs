//! The files that the example `tabular` reads: contents of valid files, errors of invalid files.

#[path = "../examples/common/presets.rs"]
mod presets;
#[path = "../examples/common/table.rs"]
mod table;

use std::path::Path;

use burn_flows::burn::tensor::Device;
use clap::ValueEnum;

use presets::{Network, Preset};
use table::Table;

fn refused<T: std::fmt::Debug>(result: Result<T, burn_flows::Error>, texts: &[&str]) {
    let error = result.expect_err("an error").to_string();
    for text in texts {
        assert!(error.contains(text), "{error}");
    }
}

/// Writes an NPY file with these bytes.
fn npy_of(path: &Path, descr: &str, fortran: &str, shape: &str, bytes: Vec<u8>) {
    let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}");
    let header = format!("{header:117}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes);
    std::fs::write(path, file).unwrap();
}

/// Writes a table whose value `i` is `start + i`.
fn npy(path: &Path, rows: usize, width: usize, start: f64) {
    let bytes = (0..rows * width).flat_map(|i| (start + i as f64).to_le_bytes()).collect();
    npy_of(path, "'<f8'", "False", &format!("({rows}, {width})"), bytes);
}

#[test]
fn npy_of_every_kind_of_number_in_either_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.npy");
    macro_rules! kinds {
        ($($descr:literal $number:ty, $bytes:ident;)+) => {
            vec![$(($descr, [1, 2, 3, 4, 5, 6].map(|v: i8| (v as $number).$bytes().to_vec()).concat())),+]
        };
    }
    let kinds = kinds! {
        "'<f8'" f64, to_le_bytes; "'>f8'" f64, to_be_bytes; "'<f4'" f32, to_le_bytes; "'>f4'" f32, to_be_bytes;
        "'|i1'" i8, to_le_bytes; "'<i2'" i16, to_le_bytes; "'<i4'" i32, to_le_bytes; "'<i8'" i64, to_le_bytes;
        "'>i4'" i32, to_be_bytes; "'|u1'" u8, to_le_bytes; "'<u2'" u16, to_le_bytes; "'<u4'" u32, to_le_bytes;
        "'<u8'" u64, to_le_bytes;
    };
    for (descr, bytes) in kinds {
        npy_of(&path, descr, "False", "(2, 3)", bytes.clone());
        assert_eq!(Table::read(&path).unwrap().values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "{descr}");
        // The same bytes, column by column.
        npy_of(&path, descr, "True", "(2, 3)", bytes);
        let table = Table::read(&path).unwrap();
        assert_eq!((table.rows(), table.width), (2, 3));
        assert_eq!(table.values, [1.0, 3.0, 5.0, 2.0, 4.0, 6.0], "{descr}");
    }
    npy_of(&path, "'|b1'", "False", "(2, 2)", vec![1, 0, 0, 1]);
    assert_eq!(Table::read(&path).unwrap().values, [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn what_npy_holds_beside_numbers_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.npy");
    let what = "which is not a real number; save it as float64, float32 or integers";
    for (descr, size) in
        [("'<f2'", 2), ("'<c8'", 8), ("'<U3'", 12), ("'|S4'", 4), ("[('a', '<f8')]", 8)]
    {
        npy_of(&path, descr, "False", "(1, 1)", vec![0; size]);
        refused(Table::read(&path), &["it.npy: holds ", what]);
    }
    npy_of(&path, "'<f8'", "False", "(2,)", vec![0; 16]);
    refused(
        Table::read(&path),
        &["it.npy: expected rows and columns, found an array of shape [2]"],
    );
    npy_of(&path, "'<f8'", "False", "(1, 1, 1)", vec![0; 8]);
    refused(Table::read(&path), &["found an array of shape [1, 1, 1]; reshape it to two axes"]);
    npy_of(&path, "'<i4'", "False", "(2, 3)", vec![0; 20]);
    refused(Table::read(&path), &["it.npy"]);
}

#[test]
fn three_files_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for (name, rows, start) in
        [("train.npy", 3, 0.5), ("val.npy", 2, 100.0), ("test.npy", 1, 200.0)]
    {
        npy(&folder.path().join(name), rows, 6, start);
    }
    // A file that belongs to no layout of POWER.
    npy(&folder.path().join("data.npy"), 30, 6, 0.0);
    let parts = Preset::Power.read(folder.path()).unwrap();
    let rows = [&parts.train, &parts.validation, &parts.test].map(Table::rows);
    assert_eq!((rows, parts.standardised), ([3, 2, 1], true));
    assert_eq!((parts.train.values[0], parts.validation.values[11]), (0.5, 111.0));
    let test = parts.test.tensor(&Device::flex());
    assert_eq!((test.dims(), test.max().into_scalar::<f32>()), ([1, 6], 205.0));
}

#[test]
fn one_file_of_miniboone_is_split_from_its_end() {
    let folder = tempfile::tempdir().unwrap();
    npy(&folder.path().join("data.npy"), 29, 43, 0.0);
    let parts = Preset::Miniboone.read(folder.path()).unwrap();
    // The test set takes 2 of 29 rows, the validation set 2 of the other 27.
    let rows = [&parts.train, &parts.validation, &parts.test].map(Table::rows);
    assert_eq!((rows, parts.standardised), ([25, 2, 2], false));
    assert_eq!(parts.train.values[0], 0.0);
    assert_eq!(parts.validation.values[0], 25.0 * 43.0);
    assert_eq!(parts.test.values[0], 27.0 * 43.0);

    npy(&folder.path().join("data.npy"), 9, 43, 0.0);
    refused(Preset::Miniboone.read(folder.path()), &["data.npy: 9 rows are too few"]);
}

#[test]
fn a_missing_or_other_file_is_named_with_the_layout() {
    let folder = tempfile::tempdir().unwrap();
    let parts = "train.npy, val.npy and test.npy, split and standardised, of";
    refused(
        Preset::Miniboone.read(folder.path()),
        &["train.npy: is missing; expected", parts, "of 43 columns, or one data.npy of all rows"],
    );
    npy(&folder.path().join("train.npy"), 3, 8, 0.0);
    refused(Preset::Gas.read(folder.path()), &["val.npy: is missing; expected", parts]);
    npy(&folder.path().join("val.npy"), 3, 7, 0.0);
    npy(&folder.path().join("test.npy"), 3, 8, 0.0);
    refused(Preset::Gas.read(folder.path()), &["val.npy: expected 8 columns for Gas, found 7"]);
    std::fs::write(folder.path().join("val.npy"), b"no numbers").unwrap();
    refused(Preset::Gas.read(folder.path()), &["val.npy"]);
    npy(&folder.path().join("val.npy"), 3, 8, f64::INFINITY);
    refused(Preset::Gas.read(folder.path()), &["val.npy: row 0 holds inf"]);
}

#[test]
fn the_networks_are_those_of_the_paper() {
    let found: Vec<_> = Preset::value_variants().iter().map(|p| p.network()).collect();
    let network = |hidden, tanh| Network { hidden, tanh };
    let wide = || network(512, false);
    assert_eq!(found, [network(100, false), network(100, true), wide(), wide(), wide()]);
    let columns: Vec<_> = Preset::value_variants().iter().map(|p| p.columns()).collect();
    assert_eq!(columns, [6, 8, 21, 43, 63]);
}

#[test]
fn a_bad_line_of_a_csv_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.csv");
    for (text, reason) in [
        ("a,b\n1,2\n3\n", "line 3: 1 columns, expected 2"),
        ("1,2\n3,x\n", "line 2: column 1: not a number: \"x\""),
        ("1,2\n3,NaN\n", "row 1 holds NaN"),
        ("a,b\n", "holds no rows"),
    ] {
        std::fs::write(&path, text).unwrap();
        refused(Table::read(&path), &["it.csv", reason]);
    }
}
