//! The maps of parameters and data to the units of the flows.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

use burn_flows::burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::regression::Regression;

/// ```text
/// t = (theta - mean) / std                                 what the likelihood is conditioned on
/// e = (x - mean) / std, or L^-1 ((x - mean) / std - A (1, t))     its events, without or with a regression
/// u = (f - mean) / std,  f = theta or Phi^-1((theta + b) / 2b)    the events of the proposal
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct Units {
    /// The bound `b` of a uniform prior.
    bound: Option<f64>,
    theta: Standard,
    free: Standard,
    x: Standard,
    regression: Option<Regression>,
}

/// Mean and standard deviation of every column.
#[derive(Clone, Serialize, Deserialize)]
struct Standard(Vec<[f64; 2]>);

impl Standard {
    fn of(rows: &[Vec<f64>]) -> Self {
        let count = rows.len() as f64;
        let column = |at: usize| {
            let mean = rows.iter().map(|row| row[at]).sum::<f64>() / count;
            let variance = rows.iter().map(|row| (row[at] - mean).powi(2)).sum::<f64>() / count;
            [mean, variance.sqrt()]
        };
        Self((0..rows[0].len()).map(column).collect())
    }

    fn apply(&self, row: &[f64]) -> Vec<f64> {
        row.iter().zip(&self.0).map(|(value, [mean, std])| (value - mean) / std).collect()
    }

    fn undo(&self, row: &[f64]) -> Vec<f64> {
        row.iter().zip(&self.0).map(|(value, [mean, std])| value * std + mean).collect()
    }

    fn log_slope(&self) -> f64 {
        self.0.iter().map(|[_, std]| -std.ln()).sum()
    }
}

/// The distribution function of the standard normal.
fn share(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// The inverse of [`share`], by bisection.
fn quantile(p: f64) -> f64 {
    let [mut low, mut high] = [-9.0, 9.0];
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if share(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

impl Units {
    /// The units of these pairs.
    pub fn new(regression: bool, bound: Option<f64>, theta: &[Vec<f64>], x: &[Vec<f64>]) -> Self {
        let none = Standard(vec![]);
        let (own, data) = (Standard::of(theta), Standard::of(x));
        let mut units = Self { bound, theta: own, free: none, x: data, regression: None };
        let free: Vec<_> = theta.iter().map(|theta| units.free(theta)).collect();
        units.free = Standard::of(&free);
        if regression {
            let (x, theta): (Vec<_>, Vec<_>) = x
                .iter()
                .zip(theta)
                .map(|(x, theta)| (units.data(x), units.parameters(theta)))
                .unzip();
            units.regression = Some(Regression::fit(&x, &theta));
        }
        units
    }

    /// Whether the data are the residuals of a regression.
    pub fn regresses(&self) -> bool {
        self.regression.is_some()
    }

    /// `(x - mean) / std`.
    pub fn data(&self, x: &[f64]) -> Vec<f64> {
        self.x.apply(x)
    }

    /// `t`.
    pub fn parameters(&self, theta: &[f64]) -> Vec<f64> {
        self.theta.apply(theta)
    }

    /// `e`, from `(x - mean) / std` and `t`.
    pub fn residual(&self, data: Vec<f64>, parameters: &[f64]) -> Vec<f64> {
        match &self.regression {
            None => data,
            Some(regression) => regression.remove(&data, parameters),
        }
    }

    /// `(x - mean) / std`, from `e` and `t`.
    pub fn restored(&self, residual: Vec<f64>, parameters: &[f64]) -> Vec<f64> {
        match &self.regression {
            None => residual,
            Some(regression) => regression.restore(&residual, parameters),
        }
    }

    /// `ln |det de/dx|`.
    pub fn log_slope(&self) -> f64 {
        self.x.log_slope() + self.regression.as_ref().map_or(0.0, Regression::log_slope)
    }

    /// Parameters without bounds.
    fn free(&self, theta: &[f64]) -> Vec<f64> {
        let Some(bound) = self.bound else { return theta.to_vec() };
        theta.iter().map(|theta| quantile(0.5 * (theta / bound + 1.0))).collect()
    }

    /// `u`.
    pub fn event(&self, theta: &[f64]) -> Vec<f64> {
        self.free.apply(&self.free(theta))
    }

    /// The parameters of an event `u`, and `ln |det du/dtheta|`.
    pub fn parameters_of(&self, event: &[f64]) -> (Vec<f64>, f64) {
        let free = self.free.undo(event);
        let log_slope = self.free.log_slope();
        let Some(bound) = self.bound else { return (free, log_slope) };
        let one = |z: &f64| 0.5 * (z * z + TAU.ln()) - (2.0 * bound).ln();
        let log_slope = log_slope + free.iter().map(one).sum::<f64>();
        (free.iter().map(|z| bound * (2.0 * share(*z) - 1.0)).collect(), log_slope)
    }
}

/// Rows as a tensor of f32.
pub fn tensor(rows: &[Vec<f64>]) -> Tensor<2> {
    let values: Vec<f32> = rows.iter().flatten().map(|value| *value as f32).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), rows[0].len()]), &Device::flex())
}

/// The rows of a tensor.
pub fn rows(tensor: Tensor<2>) -> Vec<Vec<f64>> {
    let width = tensor.dims()[1];
    let values: Vec<f64> = tensor.into_data().iter::<f64>().collect();
    values.chunks(width).map(<[f64]>::to_vec).collect()
}
