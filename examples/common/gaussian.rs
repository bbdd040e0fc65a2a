//! A baseline density: a Gaussian with full covariance, fitted by maximum likelihood.

use burn_flows::burn::tensor::Tensor;

/// Mean and Cholesky factor of the covariance.
pub struct Gaussian {
    mean: Vec<f64>,
    factor: Vec<Vec<f64>>,
}

/// Added to the diagonal of the covariance. Without it, two perfectly correlated columns have no
/// Cholesky factor.
const RIDGE: f64 = 1e-9;

fn rows(x: Tensor<2>) -> Vec<Vec<f64>> {
    let width = x.dims()[1];
    let values: Vec<f64> = x.into_data().iter::<f64>().collect();
    values.chunks(width).map(<[f64]>::to_vec).collect()
}

impl Gaussian {
    /// The Gaussian of maximum likelihood for these rows.
    pub fn fit(x: Tensor<2>) -> Self {
        let rows = rows(x);
        let (n, width) = (rows.len() as f64, rows[0].len());
        let mean: Vec<f64> =
            (0..width).map(|j| rows.iter().map(|r| r[j]).sum::<f64>() / n).collect();
        let covariance = |i: usize, j: usize| {
            let sum: f64 = rows.iter().map(|r| (r[i] - mean[i]) * (r[j] - mean[j])).sum();
            sum / n + if i == j { RIDGE } else { 0.0 }
        };
        let mut factor = vec![vec![0.0; width]; width];
        for i in 0..width {
            for j in 0..=i {
                let inner: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
                let rest = covariance(i, j) - inner;
                factor[i][j] = if i == j { rest.sqrt() } else { rest / factor[j][j] };
            }
        }
        Self { mean, factor }
    }

    /// The mean negative log-likelihood of the rows, in nats.
    pub fn nll(&self, x: Tensor<2>) -> f64 {
        let rows = rows(x);
        let log_det: f64 = self.factor.iter().enumerate().map(|(i, row)| row[i].ln()).sum();
        let constant = 0.5 * self.mean.len() as f64 * (2.0 * std::f64::consts::PI).ln();
        let squares: f64 = rows.iter().map(|row| self.distance(row)).sum();
        0.5 * squares / rows.len() as f64 + log_det + constant
    }

    /// The squared Mahalanobis distance of one row, by forward substitution.
    fn distance(&self, row: &[f64]) -> f64 {
        let mut solved: Vec<f64> = Vec::with_capacity(row.len());
        for (i, factor) in self.factor.iter().enumerate() {
            let inner: f64 = factor.iter().zip(&solved).map(|(f, s)| f * s).sum();
            solved.push((row[i] - self.mean[i] - inner) / factor[i]);
        }
        solved.iter().map(|s| s * s).sum()
    }
}
