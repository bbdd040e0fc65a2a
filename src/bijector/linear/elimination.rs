//! Small matrices on the host, in f64: elimination with pivots, inverses, random rotations.

use crate::initial::orthonormal;
use crate::noise::Noise;

/// `W = L U P`: L below and U on and above the diagonal of `factors`, `(P x)_i = x_{order[i]}`.
pub(super) struct Elimination {
    pub(super) order: Vec<usize>,
    pub(super) factors: Vec<Vec<f64>>,
}

impl Elimination {
    /// Elimination with the largest pivot of every row, so that columns are reordered. A pivot that
    /// is nothing but rounding counts as zero.
    pub(super) fn of(mut rows: Vec<Vec<f64>>) -> Self {
        let size = rows.len();
        // What elimination leaves of a pivot that is zero is rounding of this size.
        let least = size as f64 * f64::EPSILON * norm(&rows);
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
            let top = rows[k].clone();
            for row in &mut rows[k + 1..] {
                let factor = row[k] / top[k];
                row[k] = factor;
                row[k + 1..].iter_mut().zip(&top[k + 1..]).for_each(|(v, t)| *v -= factor * t);
            }
        }
        Self { order, factors: rows }
    }

    /// The diagonal of U.
    pub(super) fn pivots(&self) -> impl Iterator<Item = f64> {
        self.factors.iter().enumerate().map(|(k, row)| row[k])
    }

    /// `ln |det W|`; minus infinity if it is singular.
    pub(super) fn log_abs_det(&self) -> f64 {
        self.pivots().map(|pivot| pivot.abs().ln()).sum()
    }

    /// `W^-1` by rows, a column at a time; nothing if it is singular.
    pub(super) fn inverse(&self) -> Option<Vec<Vec<f64>>> {
        if !self.pivots().all(|pivot| pivot != 0.0) {
            return None;
        }
        let (size, factors) = (self.factors.len(), &self.factors);
        let mut inverse = vec![vec![0.0; size]; size];
        for column in 0..size {
            let mut y = vec![0.0; size];
            y[column] = 1.0;
            for i in column + 1..size {
                y[i] -= (column..i).map(|j| factors[i][j] * y[j]).sum::<f64>();
            }
            for i in (0..size).rev() {
                let known: f64 = (i + 1..size).map(|j| factors[i][j] * y[j]).sum();
                y[i] = (y[i] - known) / factors[i][i];
            }
            self.order.iter().zip(y).for_each(|(&row, value)| inverse[row][column] = value);
        }
        Some(inverse)
    }
}

/// The root of the sum of squares.
pub(super) fn norm(rows: &[Vec<f64>]) -> f64 {
    rows.iter().flatten().map(|v| v * v).sum::<f64>().sqrt()
}

/// A random rotation (perhaps with a reflection).
pub(super) fn rotation(size: usize, seed: u64) -> Vec<Vec<f64>> {
    orthonormal(size, size, &mut Noise::seeded(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let of = |rows: [[f64; 2]; 2]| Elimination::of(rows.map(Vec::from).to_vec());
        assert!((of([[2.0, 3.0], [4.0, 1.0]]).log_abs_det() - 10f64.ln()).abs() < 1e-15);
        for rows in [[[0.0, 0.0], [0.0, 0.0]], [[0.1, 0.3], [0.2, 0.6]], [[0.0, 0.0], [1.0, 2.0]]] {
            assert_eq!(of(rows).log_abs_det(), f64::NEG_INFINITY);
            assert!(of(rows).inverse().is_none());
        }
    }

    #[test]
    fn rotations_keep_lengths() {
        for size in 1..9 {
            let rows = rotation(size, 3);
            for (i, a) in rows.iter().enumerate() {
                for (j, b) in rows.iter().enumerate() {
                    let along: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    assert!((along - f64::from(i == j)).abs() < 1e-14);
                }
            }
        }
    }
}
