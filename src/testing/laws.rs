//! Checks of the numbers of a layer: invertibility, agreement between methods, independence of rows.

use burn::tensor::{DType, Tensor};

use super::probe::Worst;
use super::run::{OUTPUTS, Run, outputs};
use super::{Suite, host};

impl<const D: usize> Run<'_, D> {
    pub fn check_shapes(&self) -> Worst {
        let mut worst = Worst::default();
        let Suite { shape, latent_shape, .. } = *self.suite;
        let (rows, c) = (shape[0], self.context.as_ref());
        let dtype = self.source.dtype;
        let mut same = |what: &str, found: &[usize], expected: &[usize], precision: DType| {
            if found != expected {
                worst.violation(format!("{what}: expected shape {expected:?}, found {found:?}"));
            }
            if precision != dtype {
                worst.violation(format!("{what}: expected {dtype:?}, found {precision:?}"));
            }
        };
        let (z, log_det) = self.plain.forward(self.x.clone(), c);
        same("z of forward", &z.dims(), &latent_shape, z.dtype());
        same("log-det of forward", &log_det.dims(), &[rows], log_det.dtype());
        let log_det = self.plain.log_det_jacobian(self.x.clone(), c);
        same("log_det_jacobian", &log_det.dims(), &[rows], log_det.dtype());
        let x = self.plain.inverse(self.z.clone(), c);
        same("x of inverse", &x.dims(), &shape, x.dtype());
        let (x, log_det) = self.plain.inverse_with_log_det(self.z.clone(), c);
        same("x of inverse_with_log_det", &x.dims(), &shape, x.dtype());
        same("log-det of inverse", &log_det.dims(), &[rows], log_det.dtype());
        worst
    }

    pub fn check_finite(&self) -> Worst {
        let mut worst = Worst::default();
        let c = self.context.as_ref();
        let (z, log_det) = self.forward(&self.x, c);
        let (x, inverse_log_det) = self.plain.inverse_with_log_det(self.z.clone(), c);
        let all = [("z", z), ("log-det", log_det), ("x", host(x))];
        for (what, values) in all.into_iter().chain([("inverse log-det", host(inverse_log_det))]) {
            let bad = values.iter().filter(|v| !v.is_finite()).count();
            if bad > 0 {
                worst.violation(format!("{bad} of {} {what} values not finite", values.len()));
            }
        }
        worst
    }

    fn there_and_back(&self, what: &str, x: &Tensor<D>) -> Worst {
        let c = self.context.as_ref();
        let (z, _) = self.plain.forward(x.clone(), c);
        let mut worst = Worst::default();
        worst.compare(what, &host(self.plain.inverse(z, c)), &host(x.clone()));
        worst
    }

    pub fn check_round_trip(&self) -> Worst {
        self.there_and_back("x", &self.x)
    }

    pub fn check_round_trip_far(&self) -> Option<Worst> {
        self.far().map(|x| self.there_and_back("far x", &x))
    }

    pub fn check_round_trip_latent(&self) -> Worst {
        let c = self.context.as_ref();
        let x = self.plain.inverse(self.z.clone(), c);
        let mut worst = Worst::default();
        worst.compare("z", &self.forward(&x, c).0, &host(self.z.clone()));
        worst
    }

    pub fn check_inverse_agrees(&self) -> Worst {
        let c = self.context.as_ref();
        let (found, _) = self.plain.inverse_with_log_det(self.z.clone(), c);
        let mut worst = Worst::default();
        worst.compare("x", &host(found), &host(self.plain.inverse(self.z.clone(), c)));
        worst
    }

    pub fn check_log_det_agrees(&self) -> Worst {
        let c = self.context.as_ref();
        let found = host(self.plain.log_det_jacobian(self.x.clone(), c));
        let mut worst = Worst::default();
        worst.compare("log-det", &found, &self.forward(&self.x, c).1);
        worst
    }

    pub fn check_log_dets_cancel(&self) -> Worst {
        let c = self.context.as_ref();
        let (z, log_det) = self.plain.forward(self.x.clone(), c);
        let (_, back) = self.plain.inverse_with_log_det(z, c);
        let mut worst = Worst::default();
        worst.compare("inverse log-det", &host(back), &host(log_det.neg()));
        worst
    }

    /// Compares one row of the expected outputs with row `at` of the outputs found.
    fn compare_row(&self, worst: &mut Worst, row: usize, found: &[Vec<f64>; 3], at: usize) {
        let expected = self.expected();
        for (name, (found, expected)) in OUTPUTS.iter().zip(found.iter().zip(&expected)) {
            let width = expected.len() / self.suite.shape[0];
            let of = |values: &[f64], row: usize| values[row * width..(row + 1) * width].to_vec();
            worst.compare(&format!("{name} of row {row}"), &of(found, at), &of(expected, row));
        }
    }

    pub fn check_batch_of_one(&self) -> Worst {
        let mut worst = Worst::default();
        for row in 0..self.suite.shape[0] {
            let c = self.context.clone().map(|c| c.slice(row..row + 1));
            let (x, z) = (self.x.clone().slice(row..row + 1), self.z.clone().slice(row..row + 1));
            self.compare_row(&mut worst, row, &outputs(&*self.plain, x, z, c.as_ref()), 0);
        }
        worst
    }

    pub fn check_rows_independent(&self) -> Worst {
        let mut worst = Worst::default();
        let mut layers = vec![self.plain.evaluated()];
        if !self.plain.mixes_rows() {
            layers.push(self.plain.training());
        }
        for row in [0, self.suite.shape[0] - 1] {
            let c = self.context.as_ref().zip(self.other_context.as_ref());
            let c = c.map(|(c, other)| with_row(other, c, row));
            let x = with_row(&self.other_x, &self.x, row);
            let z = with_row(&self.other_z, &self.z, row);
            for layer in &layers {
                let found = outputs(&**layer, x.clone(), z.clone(), c.as_ref());
                self.compare_row(&mut worst, row, &found, row);
            }
        }
        worst
    }
}

/// Replaces one row of `others` by the row of `of`.
fn with_row<const D: usize>(others: &Tensor<D>, of: &Tensor<D>, row: usize) -> Tensor<D> {
    others.clone().slice_assign(row..row + 1, of.clone().slice(row..row + 1))
}
