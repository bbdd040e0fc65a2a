//! Jacobians of single rows by finite differences: entry by entry, or along directions.

use std::iter::zip;

use burn::tensor::{DType, Tensor, TensorData};

use super::krylov::Krylov;
use crate::elimination::{Elimination, dot};
use crate::noise::Noise;
use crate::testing::host;
use crate::trace::Trace;

/// Half the distance of a finite difference in f64. Its truncation error is `STEP^2` times the third derivative, and
/// its rounding error is `1e-16 / STEP` times the values.
const STEP: f64 = 1e-5;

/// The number of steps towards the extreme singular values of an explicit matrix. For a well-conditioned matrix, the
/// result is accurate to one percent.
const STEPS: usize = 32;

/// The quantities computed from the Jacobian of one row.
pub(super) struct Seen {
    /// The index of the row.
    pub row: usize,
    /// The log-determinant of the Jacobian.
    pub log_det: f64,
    /// The standard error of `log_det`.
    pub error: f64,
    /// The largest singular value over the smallest.
    pub condition: f64,
}

/// A layer on a batch that repeats its first rows in turn.
pub(super) struct Rows<'a> {
    layer: &'a Trace<'a>,
    /// The number of distinct rows.
    pub distinct: usize,
    /// Number of elements of an event.
    pub size: usize,
    batch: usize,
    input: Vec<f64>,
}

impl<'a> Rows<'a> {
    pub fn new(layer: &'a Trace<'a>, distinct: usize) -> Self {
        let (batch, input) = (layer.input.dims()[0], host(layer.input.clone()));
        Self { layer, distinct, size: input.len() / batch, batch, input }
    }

    fn tensor(&self, values: Vec<f64>, like: &Tensor<2>) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, like.dims()), (&like.device(), DType::F64))
    }

    /// The derivative of each row along its own direction.
    pub fn along(&self, directions: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let rows = || zip(self.input.chunks(self.size), directions);
        // No element moves further than `STEP`, relative to the element where the element exceeds 1.
        let steps: Vec<f64> = rows()
            .map(|(x, way)| {
                let relative = zip(x, way).map(|(x, way)| way.abs() / x.abs().max(1.0));
                STEP / relative.fold(f64::MIN_POSITIVE, f64::max)
            })
            .collect();
        let [ahead, behind] = [1.0, -1.0].map(|sign| {
            let moved = zip(rows(), &steps).flat_map(|((x, way), step)| {
                zip(x, way).map(move |(x, way)| x + sign * step * way)
            });
            host((self.layer.forward)(self.tensor(moved.collect(), &self.layer.input)).0)
        });
        let rows = zip(ahead.chunks(self.size), behind.chunks(self.size));
        let slope = |((ahead, behind), step): ((&[f64], &[f64]), &f64)| {
            zip(ahead, behind).map(|(a, b)| (a - b) / (2.0 * step)).collect()
        };
        zip(rows, &steps).map(slope).collect()
    }

    /// The transposed Jacobian of each row times its own vector, by a backward pass. Returns `None` if the layer has no
    /// gradient.
    pub fn transposed(&self, vectors: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
        let leaf = self.layer.input.clone().autodiff().require_grad();
        let (output, _) = (self.layer.forward)(leaf.clone());
        let vectors = self.tensor(vectors.concat(), &self.layer.output);
        let gradients = (output * vectors).sum().backward();
        let gradient = host(leaf.grad(&gradients)?);
        Some(gradient.chunks(self.size).map(<[f64]>::to_vec).collect())
    }

    /// The whole Jacobian of each distinct row. One batch computes as many columns as it repeats the row.
    pub fn exact(&self) -> Vec<Seen> {
        let copies = self.batch / self.distinct;
        let mut columns = vec![vec![]; self.distinct];
        for first in (0..self.size).step_by(copies) {
            let unit = |row: usize| {
                let mut unit = vec![0.0; self.size];
                // Indices past the last column are ignored.
                unit.get_mut(first + row / self.distinct).into_iter().for_each(|one| *one = 1.0);
                unit
            };
            let found = self.along(&(0..self.batch).map(unit).collect::<Vec<_>>());
            let found = found.into_iter().take(self.distinct * (self.size - first).min(copies));
            found.enumerate().for_each(|(at, column)| columns[at % self.distinct].push(column));
        }
        let seen = |(row, columns)| {
            let (log_det, condition) = of_matrix(columns);
            Seen { row, log_det, error: 0.0, condition }
        };
        columns.into_iter().enumerate().map(seen).collect()
    }
}

/// The log-determinant and the condition number of a matrix.
fn of_matrix(rows: Vec<Vec<f64>>) -> (f64, f64) {
    let lu = Elimination::of(rows.clone());
    let size = rows.len();
    let mut noise = Noise::seeded(0);
    let start: Vec<f64> = (0..size).map(|_| noise.next_normal()).collect();
    let times = |v: &[f64]| rows.iter().map(|row| dot(row, v)).collect();
    let times_transposed = |u: &[f64]| {
        let mut sum = vec![0.0; size];
        zip(&rows, u).for_each(|(row, u)| zip(&mut sum, row).for_each(|(sum, v)| *sum += u * v));
        sum
    };
    let largest = |mut krylov: Krylov, step: &dyn Fn(&mut Krylov)| {
        (0..STEPS.min(size)).for_each(|_| step(&mut krylov));
        krylov.values().into_iter().fold(0.0, |most: f64, (value, _)| most.max(value))
    };
    let stretched = largest(Krylov::new(start.clone()), &|k| k.step(times, times_transposed));
    let inverse: &dyn Fn(&mut Krylov) = &|k| k.step(|v| lu.solve(v), |u| lu.solve_transposed(u));
    let (log_det, shrunk) = (lu.log_abs_det(), largest(Krylov::new(start), inverse));
    let condition = if log_det.is_finite() { stretched * shrunk } else { f64::INFINITY };
    (log_det, condition)
}
