//! Singular values of a linear map that is only available as a function of vectors.

use std::iter::zip;

use crate::elimination::dot;

/// A remainder below this share of the largest length counts as rounding error.
const ROUNDING: f64 = 1e-14;

/// The Golub-Kahan bidiagonalisation, started at one unit vector `v`. In the orthonormal vectors that `J` and `J^T`
/// generate from `v` in turn, `J` is bidiagonal: `diagonal`, with `above` beside it.
///
/// The vectors are not reorthogonalised. Without reorthogonalisation, singular values occur repeatedly, which changes
/// neither their extremes nor the quadrature.
pub(super) struct Krylov {
    right: Vec<f64>,
    left: Vec<f64>,
    diagonal: Vec<f64>,
    above: Vec<f64>,
    done: bool,
}

impl Krylov {
    pub fn new(start: Vec<f64>) -> Self {
        let left = vec![0.0; start.len()];
        let mut this = Self { right: start, left, diagonal: vec![], above: vec![], done: false };
        normalise(&mut this.right);
        this
    }

    /// The vector to which `J` is applied next.
    pub fn right(&self) -> &[f64] {
        &self.right
    }

    /// Takes the product of `J` and [`right`](Self::right).
    pub fn step_left(&mut self, image: &[f64]) {
        let before = self.above.last().copied().unwrap_or(0.0);
        zip(&mut self.left, image).for_each(|(u, image)| *u = image - before * *u);
        self.keep(|this| (&mut this.left, &mut this.diagonal));
    }

    /// The vector to which `J^T` is applied next.
    pub fn left(&self) -> &[f64] {
        &self.left
    }

    /// Takes the product of `J^T` and [`left`](Self::left).
    pub fn step_right(&mut self, image: &[f64]) {
        let before = self.diagonal.last().copied().unwrap_or(0.0);
        zip(&mut self.right, image).for_each(|(v, image)| *v = image - before * *v);
        self.keep(|this| (&mut this.right, &mut this.above));
    }

    /// Performs both steps with an explicit map.
    pub fn step(
        &mut self,
        map: impl Fn(&[f64]) -> Vec<f64>,
        transposed: impl Fn(&[f64]) -> Vec<f64>,
    ) {
        self.step_left(&map(&self.right));
        self.step_right(&transposed(&self.left));
    }

    fn keep(&mut self, of: impl Fn(&mut Self) -> (&mut Vec<f64>, &mut Vec<f64>)) {
        if self.done {
            return;
        }
        let largest = self.diagonal.iter().fold(0.0, |most: f64, value| most.max(*value));
        let (vector, lengths) = of(self);
        let length = normalise(vector);
        lengths.push(length);
        // The iteration ends when all directions reachable from the first vector are found.
        self.done = length <= ROUNDING * largest;
    }

    /// The singular values found so far, each with the squared share of the first vector in its direction.
    pub fn values(&self) -> Vec<(f64, f64)> {
        let size = self.diagonal.len();
        let mut columns: Vec<Vec<f64>> = (0..size)
            .map(|k| {
                let mut column = vec![0.0; size];
                column[k] = self.diagonal[k];
                if k > 0 {
                    column[k - 1] = self.above[k - 1];
                }
                column
            })
            .collect();
        // The first row of the right singular vectors.
        let mut first: Vec<f64> = (0..size).map(|k| if k == 0 { 1.0 } else { 0.0 }).collect();
        orthogonalise(&mut columns, &mut first);
        zip(columns, first).map(|(column, t)| (dot(&column, &column).sqrt(), t * t)).collect()
    }
}

/// One-sided Jacobi method: rotates pairs of columns until all are orthogonal, and rotates `row` with them. The lengths
/// of the columns are then the singular values; small singular values are as accurate as large ones.
fn orthogonalise(columns: &mut [Vec<f64>], row: &mut [f64]) {
    const SWEEPS: usize = 40;
    for _ in 0..SWEEPS {
        let mut turned = false;
        for q in 1..columns.len() {
            for p in 0..q {
                let (before, behind) = columns.split_at_mut(q);
                let (a, b) = (&mut before[p], &mut behind[0]);
                let (aa, bb, ab) = (dot(a, a), dot(b, b), dot(a, b));
                if ab.abs() <= f64::EPSILON * (aa * bb).sqrt() {
                    continue;
                }
                turned = true;
                let zeta = (bb - aa) / (2.0 * ab);
                let tan = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let cos = tan.hypot(1.0).recip();
                let turn = |a: &mut f64, b: &mut f64| {
                    (*a, *b) = (cos * (*a - tan * *b), cos * (*b + tan * *a));
                };
                zip(a, b).for_each(|(a, b)| turn(a, b));
                let (before, behind) = row.split_at_mut(q);
                turn(&mut before[p], &mut behind[0]);
            }
        }
        if !turned {
            return;
        }
    }
}

/// Divides the vector by its length and returns the length. A zero vector is left unchanged.
fn normalise(vector: &mut [f64]) -> f64 {
    let length = dot(vector, vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elimination::Elimination;
    use crate::noise::Noise;

    fn matrix(size: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut noise = Noise::seeded(seed);
        (0..size).map(|_| (0..size).map(|_| noise.next_normal()).collect()).collect()
    }

    fn times(rows: &[Vec<f64>], v: &[f64]) -> Vec<f64> {
        rows.iter().map(|row| dot(row, v)).collect()
    }

    fn transposed(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        (0..rows.len()).map(|j| rows.iter().map(|row| row[j]).collect()).collect()
    }

    fn of(rows: &[Vec<f64>], start: Vec<f64>, steps: usize) -> Vec<(f64, f64)> {
        let (mut krylov, back) = (Krylov::new(start), transposed(rows));
        (0..steps).for_each(|_| krylov.step(|v| times(rows, v), |u| times(&back, u)));
        krylov.values()
    }

    #[test]
    fn as_many_steps_as_directions_find_all_singular_values() {
        for size in 1..9 {
            let rows = matrix(size, size as u64);
            let values = of(&rows, vec![1.0; size], size);
            let product: f64 = values.iter().map(|(value, _)| value.ln()).sum();
            assert!(
                (product - Elimination::of(rows.clone()).log_abs_det()).abs() < 1e-9,
                "size {size}"
            );
            let squares: f64 = values.iter().map(|(value, _)| value * value).sum();
            let expected: f64 = rows.iter().map(|row| dot(row, row)).sum();
            assert!((squares - expected).abs() < 1e-9 * expected, "size {size}");
            let shares: f64 = values.iter().map(|(_, share)| share).sum();
            assert!((shares - 1.0).abs() < 1e-12);
        }
    }

    /// The shares reproduce `v^T (J^T J) v`: a quadrature is exact for squares.
    #[test]
    fn shares_are_those_of_the_first_vector() {
        let (rows, start) = (matrix(12, 3), (1..13).map(f64::from).collect::<Vec<_>>());
        let image = times(&rows, &start);
        let expected = dot(&image, &image) / dot(&start, &start);
        let found: f64 =
            of(&rows, start, 5).iter().map(|(value, share)| value * value * share).sum();
        assert!((found - expected).abs() < 1e-12 * expected);
    }

    #[test]
    fn it_ends_where_no_direction_is_left() {
        let twice: Vec<Vec<f64>> =
            (0..4).map(|i| (0..4).map(|j| if i == j { 2.0 } else { 0.0 }).collect()).collect();
        let values = of(&twice, vec![1.0; 4], 9);
        assert_eq!(values.len(), 1);
        assert!((values[0].0 - 2.0).abs() < 1e-15 && (values[0].1 - 1.0).abs() < 1e-15);
        assert_eq!(of(&vec![vec![0.0; 3]; 3], vec![1.0; 3], 9), [(0.0, 1.0)]);
    }

    #[test]
    fn small_singular_values_are_as_exact_as_large_ones() {
        let (mut columns, mut row) = (vec![vec![1e8, 0.0], vec![1.0, 1e-8]], vec![1.0, 0.0]);
        orthogonalise(&mut columns, &mut row);
        let [a, b] = [&columns[0], &columns[1]].map(|column| dot(column, column).sqrt());
        assert!((a / 1e8 - 1.0).abs() < 1e-15 && (b / 1e-8 - 1.0).abs() < 1e-15, "{a} {b}");
    }
}
