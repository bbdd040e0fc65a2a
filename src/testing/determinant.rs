//! `ln |det|` of a small matrix on the host, in f64.

/// `ln |det|` of a square matrix given row by row, by elimination with partial pivoting. Minus
/// infinity if it is singular, NaN if an entry is.
pub(super) fn log_abs_det(mut matrix: Vec<Vec<f64>>) -> f64 {
    let n = matrix.len();
    let mut total = 0.0;
    for column in 0..n {
        let size = |row: &usize| matrix[*row][column].abs();
        let pivot = (column..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(column);
        matrix.swap(column, pivot);
        let (done, rest) = matrix.split_at_mut(column + 1);
        let top = &done[column];
        total += top[column].abs().ln();
        for row in rest {
            let factor = row[column] / top[column];
            for (entry, above) in row.iter_mut().zip(top).skip(column) {
                *entry -= factor * above;
            }
        }
        if total == f64::NEG_INFINITY {
            return total;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::log_abs_det;

    #[test]
    fn known_determinants() {
        let close = |rows: &[&[f64]], det: f64| {
            let found = log_abs_det(rows.iter().map(|row| row.to_vec()).collect());
            assert!((found - det.abs().ln()).abs() < 1e-14, "{found} for {det}");
        };
        close(&[&[-3.0]], -3.0);
        close(&[&[0.0, 2.0], &[5.0, 7.0]], -10.0); // needs a pivot
        close(&[&[2.0, -1.0, 0.0], &[1.0, 3.0, 4.0], &[0.5, 1.0, -2.0]], -24.0);
        // The Hilbert matrix of order 4 has determinant 1 / 6048000.
        let hilbert = (0..4).map(|i| (0..4).map(|j| 1.0 / f64::from(i + j + 1)).collect());
        assert!((log_abs_det(hilbert.collect()) + 6_048_000f64.ln()).abs() < 1e-11);
    }

    #[test]
    fn no_overflow_where_the_product_has_one() {
        let diagonal = |v: f64| {
            (0..6).map(|i| (0..6).map(|j| if i == j { v } else { 0.0 }).collect()).collect()
        };
        assert!((log_abs_det(diagonal(1e200)) - 1200.0 * 10f64.ln()).abs() < 1e-9);
        assert!((log_abs_det(diagonal(1e-200)) + 1200.0 * 10f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn singular_is_minus_infinity_and_nan_stays() {
        assert_eq!(log_abs_det(vec![vec![1.0, 2.0], vec![2.0, 4.0]]), f64::NEG_INFINITY);
        assert_eq!(log_abs_det(vec![vec![0.0, 0.0], vec![0.0, 1.0]]), f64::NEG_INFINITY);
        assert!(log_abs_det(vec![vec![f64::NAN, 1.0], vec![1.0, 1.0]]).is_nan());
    }
}
