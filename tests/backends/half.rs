//! Half precision: the measured errors of every family of layers agree with the documentation of
//! `cast`.

use burn::tensor::DType;
use burn_flows::burn;

use crate::{DEVICE, Row, rows};

/// The rows of each family.
const FAMILIES: [(&str, &[Row]); 10] = [
    ("linear maps, permutations", rows::linear::ROWS),
    ("elementwise maps, normalization", rows::elementwise::ROWS),
    ("couplings of affine and additive maps", rows::coupling::ROWS),
    ("the same, autoregressive", rows::autoregressive::ROWS),
    ("splines", rows::splines::ROWS),
    ("maps inverted by a search", rows::monotone::ROWS),
    ("residual, block autoregressive, continuous", rows::residual::ROWS),
    ("images", rows::images::ROWS),
    ("stacks", rows::stacks::ROWS),
    ("models", rows::models::ROWS),
];

/// Rows whose values exceed the largest number of f16, which is 65504.
const BEYOND: [&str; 7] = [
    "exp",
    "exp_image",
    "exp_inverse",
    "bounded_above",
    "bounded_below",
    "block_autoregressive_deep",
    "block_autoregressive_context",
];

/// The factor by which a measured error may exceed the documented one. A median may also be smaller
/// by this factor only. Other processors round differently.
const APART: f64 = 3.0;

/// Smaller errors count as this value.
const LEAST: f64 = 1e-5;

/// The median and the largest of these errors.
fn summary(mut losses: Vec<f64>) -> [f64; 2] {
    losses.sort_by(f64::total_cmp);
    [losses[losses.len() / 2], losses[losses.len() - 1]].map(|loss| loss.max(LEAST))
}

/// The measured table: errors of z, of the log-determinant, of x and of the gradients.
fn measured(dtype: DType) -> Vec<(&'static str, [[f64; 2]; 4])> {
    let family = |(family, rows): &(&'static str, &[Row])| {
        let mut losses = [(); 4].map(|()| vec![]);
        for (name, compare) in *rows {
            if dtype == DType::F16 && BEYOND.contains(name) {
                continue;
            }
            let loss = compare(&DEVICE, dtype);
            assert!(loss.largest().is_finite(), "{name}: {loss}");
            let all = [loss.z, loss.log_det, loss.x, loss.gradient];
            losses.iter_mut().zip(all).for_each(|(of, loss)| of.push(loss));
        }
        (*family, losses.map(summary))
    };
    FAMILIES.iter().map(family).collect()
}

/// The rows of the table for this precision in the documentation.
fn told(dtype: DType) -> Vec<(String, [[f64; 2]; 4])> {
    let text = include_str!("../../src/param.rs");
    let (_, table) =
        text.split_once(&format!("/// | {dtype:?} |")).expect("a table of this precision");
    let lines = table.lines().skip(2).take_while(|line| line.starts_with("/// | "));
    let cell = |cell: &str| -> [f64; 2] {
        let (median, largest) = cell.split_once(" to ").expect("two numbers separated by ` to `");
        [median, largest].map(|number| number.trim().parse().expect("a number"))
    };
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        (cells[1].to_string(), [2, 3, 4, 5].map(|at| cell(cells[at])))
    };
    lines.map(row).collect()
}

fn compare_with_documentation(dtype: DType) {
    let found = measured(dtype);
    for (family, losses) in &found {
        let cells = losses.map(|[median, largest]| format!("{median:.0e} to {largest:.0e}"));
        println!("/// | {family} | {} |", cells.join(" | "));
    }
    let told = told(dtype);
    assert_eq!(told.len(), found.len(), "families in the table of {dtype:?}");
    for ((family, losses), (name, told)) in found.iter().zip(&told) {
        assert_eq!(family, name);
        for ([median, largest], [told_median, told_largest]) in losses.iter().zip(told) {
            let near = *median <= told_median * APART && *told_median <= median * APART;
            let within = *largest <= told_largest * APART;
            assert!(near && within, "{family} in {dtype:?}: error differs from docs, see output");
        }
    }
}

#[test]
fn f16_loses_what_the_documentation_says() {
    compare_with_documentation(DType::F16);
}

#[test]
fn bf16_loses_what_the_documentation_says() {
    compare_with_documentation(DType::BF16);
}
