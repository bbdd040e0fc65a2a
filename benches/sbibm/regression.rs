//! Least squares: the mean of `z` as a linear function of `c`, and the Cholesky factor of the residuals' covariance.

use serde::{Deserialize, Serialize};

/// Added to the diagonal of both covariances, relative to standardised columns, so that equal columns do no harm.
const RIDGE: f64 = 1e-6;

/// `z = A (1, c) + L e`, with `e` of mean 0 and covariance 1.
#[derive(Clone, Serialize, Deserialize)]
pub struct Regression {
    /// The matrix `A`; its first column is the mean for `c = 0`.
    slopes: Vec<Vec<f64>>,
    /// The lower triangular matrix `L`.
    factor: Vec<Vec<f64>>,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn with_one(c: &[f64]) -> Vec<f64> {
    std::iter::once(1.0).chain(c.iter().copied()).collect()
}

/// The mean of `a b^T` over the rows.
fn moments(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mean = |i: usize, j: usize| {
        a.iter().zip(b).map(|(a, b)| a[i] * b[j]).sum::<f64>() / a.len() as f64
    };
    (0..a[0].len()).map(|i| (0..b[0].len()).map(|j| mean(i, j)).collect()).collect()
}

/// The lower triangular `L` with `L L^T = a + RIDGE`.
fn cholesky(a: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut l: Vec<Vec<f64>> = vec![];
    for (i, row) in a.iter().enumerate() {
        let mut own = solve_lower(&l, &row[..i]);
        own.push((row[i] + RIDGE - dot(&own, &own)).sqrt());
        l.push(own);
    }
    l
}

/// The solution of `L y = b`.
fn solve_lower(l: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let mut y: Vec<f64> = vec![];
    for (row, b) in l.iter().zip(b) {
        y.push((b - dot(row, &y)) / row[y.len()]);
    }
    y
}

/// The solution of `L^T y = b`.
fn solve_upper(l: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let mut y = b.to_vec();
    for i in (0..y.len()).rev() {
        y[i] /= l[i][i];
        let (above, last) = (&mut y[..=i], i);
        let value = above[last];
        above[..last].iter_mut().zip(&l[last]).for_each(|(y, l)| *y -= l * value);
    }
    y
}

impl Regression {
    /// Fits the regression of the rows of `z` on those of `c`.
    pub fn fit(z: &[Vec<f64>], c: &[Vec<f64>]) -> Self {
        let c: Vec<Vec<f64>> = c.iter().map(|c| with_one(c)).collect();
        let gram = cholesky(&moments(&c, &c));
        let slopes: Vec<Vec<f64>> =
            moments(z, &c).iter().map(|b| solve_upper(&gram, &solve_lower(&gram, b))).collect();
        let residual = |(z, c): (&Vec<f64>, &Vec<f64>)| -> Vec<f64> {
            z.iter().zip(&slopes).map(|(z, slope)| z - dot(slope, c)).collect()
        };
        let residuals: Vec<Vec<f64>> = z.iter().zip(&c).map(residual).collect();
        let factor = cholesky(&moments(&residuals, &residuals));
        Self { slopes, factor }
    }

    fn mean(&self, c: &[f64]) -> Vec<f64> {
        let c = with_one(c);
        self.slopes.iter().map(|slope| dot(slope, &c)).collect()
    }

    /// `e = L^-1 (z - A (1, c))`.
    pub fn remove(&self, z: &[f64], c: &[f64]) -> Vec<f64> {
        let residual: Vec<f64> = z.iter().zip(self.mean(c)).map(|(z, mean)| z - mean).collect();
        solve_lower(&self.factor, &residual)
    }

    /// `z = A (1, c) + L e`.
    pub fn restore(&self, e: &[f64], c: &[f64]) -> Vec<f64> {
        self.mean(c).iter().zip(&self.factor).map(|(mean, row)| mean + dot(row, e)).collect()
    }

    /// `ln |det de/dz|`.
    pub fn log_slope(&self) -> f64 {
        -self.factor.iter().enumerate().map(|(i, row)| row[i].ln()).sum::<f64>()
    }
}
