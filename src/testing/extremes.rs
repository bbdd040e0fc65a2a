//! Checks of extreme inputs: numbers that are not finite, or whose square overflows.

use burn::tensor::Tensor;

use super::probe::Worst;
use super::run::Run;
use super::{Suite, host};

/// The values that have no density.
const NO_NUMBERS: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// Values so large that their square overflows f32.
const FAR_OUT: [f64; 2] = [1e30, -1e30];

impl<const D: usize> Run<'_, D> {
    pub fn check_non_finite(&self) -> Worst {
        let mut worst = Worst::default();
        let c = self.context.as_ref();
        let (z, log_det) = self.forward(&self.x, c);
        for (at, value) in self.places() {
            let (found_z, found_log_det) = self.forward(&with(&self.x, at, value), c);
            let (row, others) = found_z.split_at(self.elements());
            let what = format!("{value} as element {at}");
            let none = found_log_det[0].is_nan() || found_log_det[0] == f64::NEG_INFINITY;
            if !none && row.iter().all(|v| v.is_finite()) {
                worst.violation(format!("{what}: z {row:?} and log-det {}", found_log_det[0]));
            }
            worst.compare(&format!("with {what}, z of other rows"), others, &z[self.elements()..]);
            worst.compare("log-dets of other rows", &found_log_det[1..], &log_det[1..]);
        }
        let x = host(self.plain.inverse(self.z.clone(), c));
        for (at, value) in self.places() {
            let found = host(self.plain.inverse(with(&self.z, at, value), c));
            let others = self.elements();
            worst.compare("with non-finite z, x of other rows", &found[others..], &x[others..]);
        }
        worst
    }

    pub fn check_overflow(&self) -> Option<Worst> {
        let Suite { domain, .. } = *self.suite;
        let inside = FAR_OUT.into_iter().filter(|value| domain.contains(*value));
        let values: Vec<f64> = inside.collect();
        let mut worst = Worst::default();
        for value in &values {
            for at in self.elements_tried() {
                let x = with(&self.x, at, *value);
                let (z, log_det) = self.forward(&x, self.context.as_ref());
                let z = &z[..self.elements()];
                // The log-density under a standard normal base.
                let log_prob = z.iter().map(|z| -z * z / 2.0).sum::<f64>() + log_det[0];
                if log_prob.is_nan() || log_prob == f64::INFINITY {
                    let note = format!("{value} as element {at}: z {z:?}, log-det {}", log_det[0]);
                    worst.violation(note);
                }
            }
        }
        (!values.is_empty()).then_some(worst)
    }

    /// The indices of the first, a middle and the last element of an event.
    fn elements_tried(&self) -> Vec<usize> {
        let mut all = vec![0, self.elements() / 2, self.elements() - 1];
        all.dedup();
        all
    }

    fn places(&self) -> Vec<(usize, f64)> {
        let all = self.elements_tried().into_iter();
        all.flat_map(|at| NO_NUMBERS.map(|value| (at, value))).collect()
    }
}

/// A batch with one element of its first row replaced.
fn with<const D: usize>(batch: &Tensor<D>, at: usize, value: f64) -> Tensor<D> {
    let dims = batch.dims();
    let flat = [dims[0], dims[1..].iter().product()];
    let batch: Tensor<2> = batch.clone().reshape(flat);
    let options = (&batch.device(), batch.dtype());
    let one = Tensor::<2>::full([1, 1], value, options);
    batch.slice_assign([0..1, at..at + 1], one).reshape(dims)
}
