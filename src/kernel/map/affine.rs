//! An affine map with a softly bounded log-scale.
//!
//! forward   z = x exp(s) + t,   log-det  sum of s        s = a / (1 + |a| / bound)
//! inverse   x = (z - t) exp(-s)
//!
//! An autoregressive layer computes few elements at a time, and a small batch has few rows. The overhead of an
//! operation then exceeds its arithmetic, and this kernel is one operation instead of a dozen.

use super::{Extent, Pass};
use crate::kernel::elementary::{Elementary, vectorized};
use crate::kernel::matrix::Scratch;

/// The largest bound that the kernel supports; `exp` of it is far from overflow in f32.
pub(super) const LARGEST_BOUND: f64 = 80.0;

/// `1 + |a| / bound`.
#[inline(always)]
fn divisor<T: Elementary>(raw: T, per_bound: T) -> T {
    raw.abs() * per_bound + T::one()
}

/// Applies the map or its inverse to all rows. A row of the output has `columns` numbers; an extra last column holds
/// the sum of the log-scales. The arithmetic is in f64 and rounded once.
#[inline(always)]
fn run<T: Elementary, const INVERSE: bool>(
    per_bound: f64,
    n: usize,
    [x, params]: [&[T]; 2],
    out: &mut [T],
    columns: usize,
) {
    let mut log_scales = Scratch::<f64>::new(n);
    let rows = x.chunks_exact(n).zip(params.chunks_exact(2 * n));
    for ((x, params), out) in rows.zip(out.chunks_exact_mut(columns)) {
        let (shift, raw) = params.split_at(n);
        for (log_scale, &raw) in log_scales.iter_mut().zip(raw) {
            let raw = raw.widened();
            let forward = raw / divisor(raw, per_bound);
            *log_scale = if INVERSE { -forward } else { forward };
        }
        let numbers = x.iter().zip(shift).zip(log_scales.iter());
        for (out, ((&x, &shift), &log_scale)) in out.iter_mut().zip(numbers) {
            let (x, shift) = (x.widened(), shift.widened());
            *out = T::nearest(match INVERSE {
                true => (x - shift) * log_scale.fast_exp(),
                false => x * log_scale.fast_exp() + shift,
            });
        }
        if let Some(sum) = out.get_mut(n) {
            *sum = T::nearest(log_scales.iter().sum());
        }
    }
}

/// Writes the result of a pass to `out`.
pub(super) fn apply<T: Elementary>(
    bound: f64,
    pass: Pass,
    extent: Extent,
    inputs: [&[T]; 2],
    out: &mut [T],
) {
    let (n, columns) = (extent.n, pass.columns(extent.n));
    let per_bound = bound.recip();
    vectorized(
        #[inline(always)]
        || match pass.is_inverse() {
            true => run::<T, true>(per_bound, n, inputs, out, columns),
            false => run::<T, false>(per_bound, n, inputs, out, columns),
        },
    );
}

/// Writes the gradients with respect to values and parameters, from the gradient of a forward pass.
pub(super) fn gradients<T: Elementary>(
    bound: f64,
    extent: Extent,
    [x, params, gradient]: [&[T]; 3],
    [by_x, by_params]: [&mut [T]; 2],
) {
    let n = extent.n;
    let per_bound = T::from(bound.recip()).expect("a float holds it");
    vectorized(
        #[inline(always)]
        || {
            for row in 0..extent.batch {
                let x = &x[row * n..][..n];
                let raw = &params[(2 * row + 1) * n..][..n];
                let (by_z, by_log_det) = gradient[row * (n + 1)..][..n + 1].split_at(n);
                let by_log_det = by_log_det[0];
                let by_x = &mut by_x[row * n..][..n];
                let (by_shift, by_raw) = by_params[2 * row * n..][..2 * n].split_at_mut(n);
                by_shift.copy_from_slice(by_z);
                for i in 0..n {
                    let divisor = divisor(raw[i], per_bound);
                    let moved = by_z[i] * (raw[i] / divisor).fast_exp();
                    by_x[i] = moved;
                    by_raw[i] = (moved * x[i] + by_log_det) / (divisor * divisor);
                }
            }
        },
    );
}
