//! Small matrices on the host, in f64: elimination with pivots, determinants, inverses.

use std::iter::zip;

/// `W = L U P`: L below and U on and above the diagonal of `factors`, `(P x)_i = x_{order[i]}`.
pub(crate) struct Elimination {
    pub(crate) order: Vec<usize>,
    pub(crate) factors: Vec<Vec<f64>>,
}

impl Elimination {
    /// Elimination with the largest pivot of every row, so that columns are reordered.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn of(rows: Vec<Vec<f64>>) -> Self {
        Self::above(0.0, rows)
    }

    /// Elimination with the largest pivot of every row. A pivot within rounding error counts as zero.
    pub(crate) fn above_rounding(rows: Vec<Vec<f64>>) -> Self {
        // Elimination leaves rounding errors of this size in place of a zero pivot.
        Self::above(rows.len() as f64 * f64::EPSILON * norm(&rows), rows)
    }

    fn above(least: f64, mut rows: Vec<Vec<f64>>) -> Self {
        let size = rows.len();
        let mut order: Vec<usize> = (0..size).collect();
        for k in 0..size {
            let largest = |a: &usize, b: &usize| rows[k][*a].abs().total_cmp(&rows[k][*b].abs());
            let pivot = (k..size).max_by(largest).unwrap_or(k);
            order.swap(k, pivot);
            rows.iter_mut().for_each(|row| row.swap(k, pivot));
            if rows[k][k].abs() <= least {
                rows[k][k] = 0.0;
                continue;
            }
            let (done, rest) = rows.split_at_mut(k + 1);
            let top = &done[k][k..];
            for row in rest {
                let factor = row[k] / top[0];
                row[k] = factor;
                zip(&mut row[k + 1..], &top[1..]).for_each(|(v, t)| *v -= factor * t);
            }
        }
        Self { order, factors: rows }
    }

    /// The diagonal of U.
    pub(crate) fn pivots(&self) -> impl Iterator<Item = f64> {
        self.factors.iter().enumerate().map(|(k, row)| row[k])
    }

    /// `ln |det W|`. Minus infinity if W is singular, NaN if an entry of W is NaN.
    pub(crate) fn log_abs_det(&self) -> f64 {
        self.pivots().map(|pivot| pivot.abs().ln()).sum()
    }

    /// `W^-1 b`; not finite if W is singular.
    pub(crate) fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut y = b.to_vec();
        for (i, row) in self.factors.iter().enumerate() {
            y[i] -= dot(&row[..i], &y[..i]);
        }
        for (i, row) in self.factors.iter().enumerate().rev() {
            y[i] = (y[i] - dot(&row[i + 1..], &y[i + 1..])) / row[i];
        }
        let mut x = vec![0.0; y.len()];
        zip(&self.order, y).for_each(|(&place, value)| x[place] = value);
        x
    }

    /// `(W^T)^-1 b`; not finite if W is singular.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn solve_transposed(&self, b: &[f64]) -> Vec<f64> {
        let mut y: Vec<f64> = self.order.iter().map(|&place| b[place]).collect();
        for (i, row) in self.factors.iter().enumerate() {
            let (known, rest) = y[i..].split_at_mut(1);
            known[0] /= row[i];
            zip(rest, &row[i + 1..]).for_each(|(value, entry)| *value -= entry * known[0]);
        }
        for (i, row) in self.factors.iter().enumerate().rev() {
            let (rest, known) = y.split_at_mut(i);
            zip(rest, &row[..i]).for_each(|(value, entry)| *value -= entry * known[0]);
        }
        y
    }

    /// `W^-1` by rows; `None` if W is singular.
    pub(crate) fn inverse(&self) -> Option<Vec<Vec<f64>>> {
        if !self.pivots().all(|pivot| pivot != 0.0) {
            return None;
        }
        let size = self.factors.len();
        let mut inverse = vec![vec![0.0; size]; size];
        for column in 0..size {
            let mut unit = vec![0.0; size];
            unit[column] = 1.0;
            zip(&mut inverse, self.solve(&unit)).for_each(|(row, value)| row[column] = value);
        }
        Some(inverse)
    }
}

/// The root of the sum of squares.
pub(crate) fn norm(rows: &[Vec<f64>]) -> f64 {
    rows.iter().flatten().map(|v| v * v).sum::<f64>().sqrt()
}

/// The scalar product.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    zip(a, b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    fn product(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let entry =
            |row: &Vec<f64>, k: usize| row.iter().zip(b).map(|(v, other)| v * other[k]).sum();
        a.iter().map(|row| (0..b.len()).map(|k| entry(row, k)).collect()).collect()
    }

    #[test]
    fn inverses_of_every_size() {
        for size in 1..9 {
            let mut noise = Noise::seeded(size as u64);
            let rows: Vec<Vec<f64>> =
                (0..size).map(|_| (0..size).map(|_| noise.next_normal()).collect()).collect();
            let inverse = Elimination::of(rows.clone()).inverse().expect("regular");
            for (i, row) in product(&rows, &inverse).iter().enumerate() {
                for (j, value) in row.iter().enumerate() {
                    assert!((value - f64::from(i == j)).abs() < 1e-11, "size {size}: {value}");
                }
            }
        }
    }

    #[test]
    fn determinants_by_hand() {
        let of = |rows: [[f64; 2]; 2]| Elimination::above_rounding(rows.map(Vec::from).to_vec());
        assert!((of([[2.0, 3.0], [4.0, 1.0]]).log_abs_det() - 10f64.ln()).abs() < 1e-15);
        for rows in [[[0.0, 0.0], [0.0, 0.0]], [[0.1, 0.3], [0.2, 0.6]], [[0.0, 0.0], [1.0, 2.0]]] {
            assert_eq!(of(rows).log_abs_det(), f64::NEG_INFINITY);
            assert!(of(rows).inverse().is_none());
        }
    }

    fn log_abs_det(rows: Vec<Vec<f64>>) -> f64 {
        Elimination::of(rows).log_abs_det()
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
            let matrix = Elimination::of(rows.clone());
            let (x, y) = (matrix.solve(&b), matrix.solve_transposed(&b));
            for i in 0..size {
                assert!((dot(&rows[i], &x) - b[i]).abs() < 1e-10, "size {size}");
                assert!((dot(&columns(i), &y) - b[i]).abs() < 1e-10, "transposed, size {size}");
            }
        }
    }
}
