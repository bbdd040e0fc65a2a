//! Columns of atoms: values that repeat so often that a density on them has no meaning.
//!
//! A density can rise without bound over a value of positive probability. Its likelihood then rewards a narrow peak
//! instead of a good model, also on held-out rows.

use burn::tensor::Tensor;

use super::scale::place;
use super::{Warning, WarningKind};

/// A column has an atom from this share of rows with one value on. Continuous data that are rounded to a tenth of their
/// deviation reach 4 % at most.
const TIED_SHARE: f64 = 0.05;

/// Fewer rows with one value than this may be due to chance or to a small data set.
const TIED_ROWS: usize = 10;

/// A column of at most this many different values is a list of levels: the levels of a byte.
const FEW_VALUES: usize = 256;

/// The least average number of rows per value of such a list.
const ROWS_PER_VALUE: usize = 10;

/// Integers repeat if their different values per row are below this. Integers with fewer repetitions are large and as
/// good as continuous.
const INTEGERS_REPEAT: f64 = 0.9;

/// Limits of the rows and of the elements that are examined. More take longer and give the same warnings.
const MOST_ROWS: usize = 10_000;
const MOST_ELEMENTS: usize = 1 << 24;

/// The warnings about these rows, at most one of each kind. Columns that `skips` holds for are not examined.
pub(super) fn warnings<const D: usize>(
    what: &str,
    x: &Tensor<D>,
    skips: impl Fn(usize) -> bool,
) -> Vec<Warning> {
    let (rows, event) = (x.dims()[0], x.dims()[1..].to_vec());
    let columns = event.iter().product::<usize>();
    let values: Vec<f64> = x.to_data().iter::<f64>().collect();
    if values.is_empty() {
        return vec![];
    }
    // Rows spread evenly over the data, because the rows may be sorted.
    let looked_at = MOST_ROWS.min(MOST_ELEMENTS / columns.max(1)).max(1);
    let stride = rows.div_ceil(looked_at).max(1);
    let mut found: Vec<(Warning, &'static str)> = vec![];
    for at in (0..columns).filter(|at| !skips(*at)) {
        let column = values[at..].iter().step_by(columns).step_by(stride).copied();
        let Some((kind, reason, remedy)) = atoms(column.collect(), &place(at, &event)) else {
            continue;
        };
        match found.iter_mut().find(|(warning, _)| warning.kind == kind) {
            Some((warning, _)) => warning.columns.push(at),
            None => {
                let what = what.to_string();
                found.push((Warning { kind, what, columns: vec![at], reason }, remedy));
            }
        }
    }
    found.into_iter().map(|(warning, remedy)| warning.counted(remedy)).collect()
}

const REPEATED: &str = "repeated values have no density: dequantize integers with \
                        with_dequantization, add uniform noise of the rounding width, or encode the \
                        value as a category in the context";
const WHOLE: &str = "integers have no density: dequantize the integers with with_dequantization, or \
                     add uniform noise";
const FEW: &str = "so few values have no density: add uniform noise of the rounding width, or pass \
                   integers and with_dequantization";

/// The first kind of warning that applies to a column, with its reason and a remedy.
fn atoms(mut values: Vec<f64>, place: &str) -> Option<(WarningKind, String, &'static str)> {
    let rows = values.len();
    values.sort_unstable_by(f64::total_cmp);
    let runs = || values.chunk_by(|a, b| a == b);
    let distinct = runs().count();
    let most = runs().max_by_key(|run| run.len())?;
    let (value, ties) = (most[0], most.len());
    let few = distinct <= FEW_VALUES && distinct * ROWS_PER_VALUE <= rows;
    let repeats = (distinct as f64) < INTEGERS_REPEAT * rows as f64;
    if ties >= TIED_ROWS && ties as f64 >= TIED_SHARE * rows as f64 {
        let reason = format!("{place} holds {value} in {ties} of {rows} rows");
        return Some((WarningKind::Ties, reason, REPEATED));
    }
    if rows >= TIED_ROWS && repeats && values.iter().all(|value| value.fract() == 0.0) {
        let reason =
            format!("{place} holds only integers, {distinct} distinct values in {rows} rows");
        return Some((WarningKind::Integers, reason, WHOLE));
    }
    let reason = format!("{place} holds only {distinct} distinct values in {rows} rows");
    few.then_some((WarningKind::FewValues, reason, FEW))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::noise::Noise;

    fn kinds(rows: usize, value: impl Fn(&mut Noise, usize) -> f64) -> Vec<WarningKind> {
        let mut noise = Noise::seeded(1);
        let values: Vec<f64> = (0..rows).map(|row| value(&mut noise, row)).collect();
        let x = Tensor::<2>::from_data(TensorData::new(values, [rows, 1]), &Device::flex());
        warnings("training data", &x, |_| false).into_iter().map(|warning| warning.kind).collect()
    }

    #[test]
    fn continuous_data_have_no_atoms() {
        for rows in [2, 9, 100, 1000, 30_000] {
            assert_eq!(kinds(rows, |noise, _| noise.next_normal()), [], "{rows}");
            assert_eq!(kinds(rows, |noise, _| noise.next_uniform() * 1e8 + 1e9), [], "{rows}");
            let rounded = |noise: &mut Noise, _| (noise.next_normal() * 100.0).round() / 100.0;
            assert_eq!(kinds(rows, rounded), [], "{rows}");
        }
        // Large integers hardly ever repeat.
        assert_eq!(kinds(1000, |noise, _| (noise.next_uniform() * 1e6).floor()), []);
        // A few rows that happen to be equal.
        assert_eq!(kinds(20, |noise, row| if row < 5 { 0.5 } else { noise.next_normal() }), []);
    }

    #[test]
    fn atoms_are_found() {
        let zeros = |noise: &mut Noise, row| if row % 10 < 3 { 0.0 } else { noise.next_normal() };
        for rows in [40, 1000, 30_000] {
            assert_eq!(kinds(rows, zeros), [WarningKind::Ties], "{rows}");
            let byte = |noise: &mut Noise, _| (noise.next_uniform() * 256.0).floor();
            let found = kinds(rows.max(100), byte);
            assert_eq!(found, [WarningKind::Integers], "{rows}");
        }
        let scaled = |noise: &mut Noise, _| (noise.next_uniform() * 256.0).floor() / 255.0;
        assert_eq!(kinds(5000, scaled), [WarningKind::FewValues]);
        // The examined rows are spread evenly over sorted rows.
        assert_eq!(
            kinds(50_000, |_, row| (row as f64 / 10.0).max(1500.0) + 0.5),
            [WarningKind::Ties]
        );
    }

    #[test]
    fn no_rows_have_no_warnings() {
        let x = Tensor::<2>::zeros([0, 2], &Device::flex());
        assert_eq!(warnings("training data", &x, |_| false), []);
    }

    #[test]
    fn one_warning_speaks_for_all_columns_of_its_kind() {
        let mut noise = Noise::seeded(2);
        let pixels: Tensor<4> = (noise.uniform([200, 2, 3, 3], &Device::flex()) * 4.0).floor();
        let found = warnings("validation data", &pixels, |_| false);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].columns, (0..18).collect::<Vec<_>>());
        let text = found[0].to_string();
        assert!(text.starts_with("validation data: element [0, 0, 0] holds "), "{text}");
        assert!(text.contains(" of 200 rows (17 more such columns); repeated values"), "{text}");
    }
}
