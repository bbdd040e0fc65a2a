//! Measures how far a recovered batch is from the true one, from one stored number per row.

use burn::tensor::{Device, Tensor, TensorData};

use crate::math::event_len;
use crate::noise::Noise;

/// The seed of the signs.
const SEED: u64 = 0x7369_676e;

/// Avoids a division by zero for a batch of zeros.
const LEAST_NORM: f64 = 1e-30;

/// The sum of the elements of every row, each multiplied by a random sign, `[rows]`.
///
/// In the mean over the signs, the squared difference of two such sums is the squared distance of the rows. Paper:
/// Alon, Matias, Szegedy (1996), The space complexity of approximating the frequency moments, section 2.2.
pub(super) struct Fingerprint(Tensor<1>);

impl Fingerprint {
    pub(super) fn of<const D: usize>(x: &Tensor<D>) -> Self {
        let (rows, n) = (x.dims()[0], event_len(x));
        let signs = signs(n, &x.device()).cast(x.dtype());
        Self(x.clone().reshape([rows, n]).matmul(signs).reshape([rows]))
    }

    /// The largest distance between a row of `x` and its true row, relative to the larger of its norm and the mean
    /// norm, `[1]`. Infinite if the distance is NaN.
    pub(super) fn drift<const D: usize>(&self, x: &Tensor<D>) -> Tensor<1> {
        let (rows, n) = (x.dims()[0], event_len(x));
        let apart = (Self::of(x).0 - self.0.clone()).abs();
        let x = x.clone().reshape([rows, n]);
        // Squares of 1e20 are infinite in f32, and every drift would then be 0.
        let largest = x.clone().abs().max_dim(1).clamp_min(LEAST_NORM);
        let norms = (x / largest.clone()).square().sum_dim(1).sqrt() * largest;
        let norms = norms.reshape([rows]);
        let typical = (norms.clone() * (rows as f64).recip()).sum().expand([rows]);
        let drift = apart / norms.max_pair(typical).clamp_min(LEAST_NORM);
        let lost = drift.clone().is_nan();
        drift.mask_fill(lost, f64::INFINITY).max()
    }
}

/// Random signs, one for every element, `[n, 1]`.
fn signs(n: usize, device: &Device) -> Tensor<2> {
    let mut noise = Noise::seeded(SEED);
    let sign = |_| if noise.next_u64() & 1 == 0 { 1.0 } else { -1.0 };
    let signs: Vec<f64> = (0..n).map(sign).collect();
    Tensor::from_data(TensorData::new(signs, [n, 1]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(x: &Tensor<2>, recovered: &Tensor<2>) -> f64 {
        Fingerprint::of(x).drift(recovered).into_scalar::<f64>()
    }

    #[test]
    fn one_element_of_one_row_shows() {
        let x = Noise::seeded(1).normal::<2>([100, 6], &Device::flex());
        assert_eq!(drift(&x, &x), 0.0);
        let row = x.clone().narrow(0, 70, 1);
        let bent = Tensor::<2>::from_data([[0.0, 0.0, 1e-3, 0.0, 0.0, 0.0]], &Device::flex());
        let wrong = x.clone().slice_assign([70..71, 0..6], row + bent);
        // Relative to a norm of about the root of 6.
        let found = drift(&x, &wrong);
        assert!(found > 1e-4 && found < 1e-3, "{found}");
    }

    /// The drift is relative to the norm of the row if it exceeds the mean norm, else to the mean norm.
    #[test]
    fn the_drift_of_a_row_is_relative_to_the_larger_norm() {
        let rows = |rows: [[f32; 2]; 2]| Tensor::<2>::from_data(rows, &Device::flex());
        // Norms 6 and 2, with a mean of 4.
        let x = rows([[0.0, 6.0], [2.0, 0.0]]);
        for (changed, expected) in
            [([[0.6, 6.0], [2.0, 0.0]], 0.6 / 36.36f64.sqrt()), ([[0.0, 6.0], [2.0, 0.4]], 0.1)]
        {
            let found = drift(&x, &rows(changed));
            assert!((found - expected).abs() < 2e-3, "{found}, expected {expected}");
        }
    }

    /// Errors that cancel in a plain sum do not cancel with random signs.
    #[test]
    fn signs_are_of_either_kind_in_equal_numbers() {
        let signs: Vec<f64> = signs(1000, &Device::flex()).into_data().iter::<f64>().collect();
        assert!(signs.iter().all(|sign| sign.abs() == 1.0));
        // Within four standard deviations, for single signs and for products of neighbours.
        let sum = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>().abs();
        assert!(sum(&mut signs.iter().copied()) < 4.0 * 1000f64.sqrt());
        assert!(sum(&mut signs.windows(2).map(|pair| pair[0] * pair[1])) < 4.0 * 1000f64.sqrt());
    }

    #[test]
    fn the_scale_of_the_rows_does_not_matter() {
        let x = Noise::seeded(1).normal::<2>([100, 6], &Device::flex());
        let wrong = x.clone() + Noise::seeded(2).normal::<2>([100, 6], &Device::flex()) * 1e-3;
        let wanted = drift(&x, &wrong);
        for scale in [1e-25, 1e25, 1e36] {
            let found = drift(&(x.clone() * scale), &(wrong.clone() * scale));
            assert!((found / wanted - 1.0).abs() < 1e-3, "{scale:e}: {found} {wanted}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_lost() {
        let x = Tensor::<2>::ones([3, 2], &Device::flex());
        assert_eq!(drift(&x, &(x.clone() * f32::NAN)), f64::INFINITY);
        assert_eq!(drift(&x, &(x.clone() * f32::INFINITY)), f64::INFINITY);
        assert_eq!(drift(&x.zeros_like(), &x.zeros_like()), 0.0);
    }
}
