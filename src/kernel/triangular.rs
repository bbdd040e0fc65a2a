//! The inverse of a triangular matrix.
//!
//! [[A, 0], [B, C]]^-1 = [[A^-1, 0], [-C^-1 B A^-1, C^-1]],   d M^-1 = -M^-1 dM M^-1

use burn::tensor::{Tensor, TensorData};

use crate::parallel::is_flex;

/// The largest number of rows for which a matrix on `flex` is inverted on the host at once, in f64. The recursion takes
/// dozens of operations on tiny tensors, which cost many times as much.
const HOST_ROWS: usize = 64;

/// The inverse of a lower triangular matrix.
pub(crate) fn invert_lower(matrix: Tensor<2>) -> Tensor<2> {
    let [n, _] = matrix.dims();
    if n <= HOST_ROWS && is_flex(&matrix.device()) {
        return on_host(matrix);
    }
    by_halves(matrix, invert_lower)
}

/// The inverse of an upper triangular matrix.
pub(crate) fn invert_upper(matrix: Tensor<2>) -> Tensor<2> {
    invert_lower(matrix.transpose()).transpose()
}

/// The inverse, computed from the inverses of the two diagonal blocks.
fn by_halves(matrix: Tensor<2>, invert: fn(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
    let [n, _] = matrix.dims();
    if n == 1 {
        return matrix.recip();
    }
    let half = n / 2;
    let rest = n - half;
    let a = invert(matrix.clone().slice([0..half, 0..half]));
    let b = matrix.clone().slice([half..n, 0..half]);
    let c = invert(matrix.slice([half..n, half..n]));
    let corner = c.clone().matmul(b).matmul(a.clone()).neg();
    let zeros = Tensor::zeros([half, rest], (&a.device().without_autodiff(), a.dtype()));
    Tensor::cat(vec![Tensor::cat(vec![a, zeros], 1), Tensor::cat(vec![corner, c], 1)], 0)
}

/// Forward substitution, one row at a time.
fn on_host(matrix: Tensor<2>) -> Tensor<2> {
    let [n, _] = matrix.dims();
    let entries: Vec<f64> = matrix.to_data().iter::<f64>().collect();
    let mut inverse = vec![0.0; n * n];
    for row in 0..n {
        let (done, rest) = inverse.split_at_mut(row * n);
        let (new, entries) = (&mut rest[..n], &entries[row * n..][..=row]);
        for (known, &entry) in done.chunks(n).zip(entries) {
            new.iter_mut().zip(known).for_each(|(new, known)| *new -= entry * known);
        }
        new[row] = 1.0;
        new.iter_mut().for_each(|new| *new /= entries[row]);
    }
    let options = (&matrix.device().without_autodiff(), matrix.dtype());
    let inverse = Tensor::<2>::from_data(TensorData::new(inverse, [n, n]), options);
    if !matrix.is_autodiff() {
        return inverse;
    }
    // The change is zero, but it carries the gradient of the matrix.
    let change = (matrix.clone() - matrix.detach()).tril(0);
    inverse.clone() - inverse.clone().matmul(change).matmul(inverse)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::noise::Noise;

    fn lower(n: usize) -> Tensor<2> {
        let noise = Noise::seeded(n as u64).normal::<2>([n, n], &Device::flex());
        let eye = Tensor::<2>::eye(n, &Device::flex()).cast(DType::F64);
        (noise.cast(DType::F64) / (n as f64).sqrt()).tril(-1) + eye * 1.5
    }

    fn largest(x: Tensor<2>) -> f64 {
        x.abs().max().into_scalar::<f64>()
    }

    #[test]
    fn inverses_of_every_size() {
        for n in [1, 2, 3, 4, 5, 6, 7, 8, 9, 63, 64, 65, 130] {
            let lower = lower(n);
            let upper = lower.clone().transpose();
            let eye = Tensor::<2>::eye(n, &Device::flex()).cast(DType::F64);
            let products = [
                lower.clone().matmul(invert_lower(lower.clone())),
                upper.clone().matmul(invert_upper(upper)),
            ];
            for product in products {
                let error = largest(product - eye.clone());
                assert!(error < 1e-12, "size {n}: {error:e}");
            }
            // The inverse of a lower triangular matrix has only zeros above the diagonal.
            assert_eq!(largest(invert_lower(lower).triu(1)), 0.0);
        }
    }

    #[test]
    fn the_host_has_the_values_and_gradients_of_the_halves() {
        fn halves(matrix: Tensor<2>) -> Tensor<2> {
            by_halves(matrix, halves)
        }
        for n in [1, 2, 5, 24] {
            let functional = Noise::seeded(9).normal::<2>([n, n], &Device::flex());
            let functional = functional.cast(DType::F64).autodiff();
            let [(value, gradient), (wanted, wanted_gradient)] =
                [on_host as fn(Tensor<2>) -> Tensor<2>, halves].map(|invert| {
                    let matrix = lower(n).autodiff().require_grad();
                    let inverse = invert(matrix.clone());
                    let gradients = (inverse.clone() * functional.clone()).sum().backward();
                    (inverse.without_autodiff(), matrix.grad(&gradients).expect("tracked"))
                });
            assert!(largest(value - wanted) < 1e-12);
            assert!(largest(gradient - wanted_gradient) < 1e-11);
        }
    }
}
