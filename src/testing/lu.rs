//! A matrix on the host taken apart, in f64: its determinant, and what its inverse does to a vector.

use std::iter::zip;

/// `P A = L U` by elimination with partial pivoting: `L` below and `U` on and above the diagonal of
/// `rows`, `(P A)_i = A_{order[i]}`.
pub(super) struct Lu {
    rows: Vec<Vec<f64>>,
    order: Vec<usize>,
}

impl Lu {
    /// Of a square matrix given row by row.
    pub fn of(mut rows: Vec<Vec<f64>>) -> Self {
        let n = rows.len();
        let mut order: Vec<usize> = (0..n).collect();
        for k in 0..n {
            let size = |row: &usize| rows[*row][k].abs();
            let pivot = (k..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(k);
            rows.swap(k, pivot);
            order.swap(k, pivot);
            let (done, rest) = rows.split_at_mut(k + 1);
            let top = &done[k][k..];
            // Without a pivot the column is zero already.
            for row in rest.iter_mut().filter(|_| top[0] != 0.0) {
                let factor = row[k] / top[0];
                row[k] = factor;
                zip(&mut row[k + 1..], &top[1..])
                    .for_each(|(entry, above)| *entry -= factor * above);
            }
        }
        Self { rows, order }
    }

    /// `ln |det A|`. Minus infinity if it is singular, NaN if an entry is.
    pub fn log_abs_det(&self) -> f64 {
        self.rows.iter().enumerate().map(|(k, row)| row[k].abs().ln()).sum()
    }

    /// `A^-1 b`; not finite if it is singular.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x: Vec<f64> = self.order.iter().map(|&row| b[row]).collect();
        for (i, row) in self.rows.iter().enumerate() {
            x[i] -= dot(&row[..i], &x[..i]);
        }
        for (i, row) in self.rows.iter().enumerate().rev() {
            x[i] = (x[i] - dot(&row[i + 1..], &x[i + 1..])) / row[i];
        }
        x
    }

    /// `(A^T)^-1 b`.
    pub fn solve_transposed(&self, b: &[f64]) -> Vec<f64> {
        let mut y = b.to_vec();
        for (i, row) in self.rows.iter().enumerate() {
            let (_, rest) = y.split_at_mut(i);
            rest[0] /= row[i];
            let (known, rest) = rest.split_at_mut(1);
            zip(rest, &row[i + 1..]).for_each(|(value, entry)| *value -= entry * known[0]);
        }
        for (i, row) in self.rows.iter().enumerate().rev() {
            let (rest, known) = y.split_at_mut(i);
            zip(rest, &row[..i]).for_each(|(value, entry)| *value -= entry * known[0]);
        }
        let mut x = vec![0.0; y.len()];
        zip(&self.order, y).for_each(|(&row, value)| x[row] = value);
        x
    }
}

/// The scalar product.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    zip(a, b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    fn log_abs_det(rows: Vec<Vec<f64>>) -> f64 {
        Lu::of(rows).log_abs_det()
    }

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

    #[test]
    fn what_is_solved_leads_back() {
        for size in 1..9 {
            let mut noise = Noise::seeded(size as u64);
            let mut draw = || (0..size).map(|_| noise.next_normal()).collect::<Vec<_>>();
            let (rows, b): (Vec<_>, _) = ((0..size).map(|_| draw()).collect(), draw());
            let columns = |j: usize| rows.iter().map(|row: &Vec<f64>| row[j]).collect::<Vec<_>>();
            let lu = Lu::of(rows.clone());
            let (x, y) = (lu.solve(&b), lu.solve_transposed(&b));
            for i in 0..size {
                assert!((dot(&rows[i], &x) - b[i]).abs() < 1e-10, "size {size}");
                assert!((dot(&columns(i), &y) - b[i]).abs() < 1e-10, "transposed, size {size}");
            }
        }
    }
}
