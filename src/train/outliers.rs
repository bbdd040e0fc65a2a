//! Values so far from the others that they spoil a standardisation.

use burn::tensor::Tensor;

use super::scale::place;
use super::{Batch, Warning, WarningKind};

/// A value further from the median than this many interquartile ranges is an outlier. Normal data never have one, and
/// data of Student's t with 3 degrees of freedom have one in millions of rows.
const FAR: f64 = 100.0;

/// The number of rows from which the quartiles are taken.
const MOST_ROWS: usize = 10_000;

/// The warning about the outliers of the events or of the contexts `x` of these rows. Columns that `skips` holds for are
/// not examined, and neither are images and columns with one value in half of the rows.
pub(super) fn warning<const E: usize, const D: usize>(
    what: &str,
    x: &Tensor<E>,
    rows: &Batch<D>,
    skips: impl Fn(usize) -> bool,
) -> Option<Warning> {
    if E > 2 {
        return None;
    }
    let columns = x.dims()[1];
    let values: Vec<f64> = x.to_data().iter::<f64>().collect();
    let stride = x.dims()[0].div_ceil(MOST_ROWS).max(1);
    let mut found: Option<Warning> = None;
    for at in (0..columns).filter(|at| !skips(*at)) {
        let column = || values[at..].iter().step_by(columns).copied();
        let Some([low, median, high]) = quartiles(column().step_by(stride).collect()) else {
            continue;
        };
        let distance = |value: f64| (value - median).abs() / (high - low);
        let (row, value) = column().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
        if high <= low || distance(value).is_nan() || distance(value) <= FAR {
            continue;
        }
        match &mut found {
            Some(warning) => warning.columns.push(at),
            None => {
                let reason = format!(
                    "{} holds {value:.3e} in row {}, {:.1e} interquartile ranges from the median \
                     {median:.3e}",
                    place(at, &x.dims()[1..]),
                    rows.number(row),
                    distance(value)
                );
                let (kind, what) = (WarningKind::Outliers, what.to_string());
                found = Some(Warning { kind, what, columns: vec![at], reason });
            }
        }
    }
    found.map(|warning| warning.counted(REMEDY))
}

const REMEDY: &str = "a standardisation by such values leaves the other rows no room: remove the row, \
                      clip the value, or take the logarithm of the column";

/// The quartiles of at least four values.
fn quartiles(mut values: Vec<f64>) -> Option<[f64; 3]> {
    let count = values.len();
    (count >= 4).then(|| {
        values.sort_unstable_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| values[quarter * count / 4])
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::noise::Noise;

    fn with(value: f32, count: usize) -> Batch<2> {
        let x = Noise::seeded(1).normal::<2>([count, 3], &Device::flex());
        let row = Tensor::<2>::from_data([[0.0, value, 0.0]], &Device::flex());
        Batch::new(Tensor::cat(vec![x, row], 0))
    }

    fn found(rows: &Batch<2>) -> Option<Warning> {
        warning("training data", &rows.x, rows, |_| false)
    }

    #[test]
    fn one_far_value_is_named_with_its_row() {
        for count in [20, 500, 20_000] {
            for value in [1e3, -1e6, 1e30] {
                let warning = found(&with(value, count)).unwrap();
                assert_eq!((warning.kind, warning.columns), (WarningKind::Outliers, vec![1]));
                let named = format!("column 1 holds {value:.3e} in row {count}, ");
                assert!(warning.reason.starts_with(&named), "{}", warning.reason);
            }
            assert_eq!(found(&with(8.0, count)), None);
        }
    }

    #[test]
    fn a_flag_and_a_far_mean_are_no_outliers() {
        let rows = with(1.0, 500);
        assert_eq!(found(&Batch::new(rows.x.clone() + 1e6)), None);
        let flag = rows.x.greater_elem(2.5).float() * 1e6;
        assert_eq!(found(&Batch::new(flag)), None);
        assert!(warning("training data", &with(1e9, 9).x, &with(1e9, 9), |at| at == 1).is_none());
    }
}
