//! The log-determinant of a large Jacobian, estimated along random directions.
//!
//! `ln |det J| = tr ln (J^T J) / 2`, and a trace is the mean of `v^T ln(J^T J) v` over random signs `v`.
//! Each `v^T ln(J^T J) v` is a sum over singular values: the squared share of `v` times the logarithm of the singular
//! value. A bidiagonalisation that starts at `v` finds the shares and singular values. This is the quadrature of Golub
//! and Kahan (1965) and Golub and Meurant (1994), on the random probes of Hutchinson (1990); Ubaru, Chen, Saad (2017),
//! "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature". A step takes the forward pass of the layer, for `J
//! v`, and one backward pass, for `J^T u`.
//!
//! Random signs measure the diagonal of `ln(J^T J)` without error. For a layer that acts on each element separately, or
//! that rotates the event, only the error of the quadrature remains.

use super::jacobian::{Rows, Seen};
use super::krylov::Krylov;
use crate::elimination::dot;
use crate::noise::Noise;

/// The number of steps between two tests for convergence, and the largest number of steps.
const LOOK: usize = 8;
const STEPS: usize = 64;

/// The quadrature has converged if its last steps changed it by less than `SHARE` times the standard error of the
/// probes, or by less than `SETTLED` times the log-determinant.
const SHARE: f64 = 0.1;
const SETTLED: f64 = 1e-7;

/// The tolerated relative difference between `<J^T u, v>` and `<u, J v>`. It is larger than the effect of kinks within
/// a step.
const ADJOINT: f64 = 1e-3;

/// The estimate for the single row that the batch repeats, with one probe for each copy. Returns `None` if the gradient
/// of the layer does not match its values.
pub(super) fn estimate(rows: &Rows<'_>, probes: usize) -> Option<Seen> {
    let mut noise = Noise::seeded(0);
    let mut sign = || if noise.next_u64() & 1 == 0 { 1.0 } else { -1.0 };
    let mut all: Vec<Krylov> =
        (0..probes).map(|_| Krylov::new((0..rows.size).map(|_| sign()).collect())).collect();
    let mut last = f64::NAN;
    for step in 1.. {
        let right: Vec<Vec<f64>> = all.iter().map(|krylov| krylov.right().to_vec()).collect();
        let images = rows.along(&right);
        all.iter_mut().zip(&images).for_each(|(krylov, image)| krylov.step_left(image));
        let left: Vec<Vec<f64>> = all.iter().map(|krylov| krylov.left().to_vec()).collect();
        let back = rows.transposed(&left)?;
        let adjoint = |probe: usize| {
            let (one, other) =
                (dot(&back[probe], &right[probe]), dot(&left[probe], &images[probe]));
            (one - other).abs() <= ADJOINT * other.abs().max(one.abs())
        };
        if step == 1 && !(0..probes).all(adjoint) {
            return None;
        }
        all.iter_mut().zip(&back).for_each(|(krylov, image)| krylov.step_right(image));
        if step % LOOK != 0 {
            continue;
        }
        let (mean, spread, condition) = quadrature(&all, rows.size as f64);
        let changed = (mean - last).abs();
        last = mean;
        if step >= STEPS || changed <= (SHARE * spread).max(SETTLED * mean.abs().max(1.0)) {
            return Some(Seen { row: 0, log_det: mean, error: spread + changed, condition });
        }
    }
    None
}

/// The mean over the probes, its standard error, and a lower bound of the condition number.
fn quadrature(all: &[Krylov], size: f64) -> (f64, f64, f64) {
    let (mut most, mut least, mut traces) = (0.0f64, f64::INFINITY, vec![]);
    for krylov in all {
        let mut trace = 0.0;
        for (value, share) in krylov.values() {
            (most, least) = (most.max(value), least.min(value));
            trace += if share > 0.0 { size * share * value.ln() } else { 0.0 };
        }
        traces.push(trace);
    }
    let count = traces.len() as f64;
    let mean = traces.iter().sum::<f64>() / count;
    let squares: f64 = traces.iter().map(|trace| (trace - mean).powi(2)).sum();
    (mean, (squares / (count * (count - 1.0))).sqrt(), most / least)
}
