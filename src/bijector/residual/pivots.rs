//! Elimination without row exchanges, for a batch of matrices `I + J` with a contractive `J`.
//!
//! The symmetric part of `I + J` is positive definite, so no pivot is zero in any order, and the determinant is
//! positive.

use burn::tensor::Tensor;

/// The pivot, the first column below it, the first row right of it, and the remaining matrix.
struct Split {
    pivot: Tensor<2>,
    column: Tensor<3>,
    row: Tensor<3>,
    rest: Tensor<3>,
}

/// Splits matrices `[batch, n, n]`, with `n` at least 2.
fn split(a: &Tensor<3>) -> Split {
    let [batch, n, _] = a.dims();
    let part = |rows: std::ops::Range<usize>, columns| a.clone().slice([0..batch, rows, columns]);
    Split {
        pivot: part(0..1, 0..1).reshape([batch, 1]),
        column: part(1..n, 0..1),
        row: part(0..1, 1..n),
        rest: part(1..n, 1..n),
    }
}

/// `ln |det A|` of each matrix, `[batch]`.
pub(super) fn log_abs_det(a: Tensor<3>) -> Tensor<1> {
    let [batch, n, _] = a.dims();
    let mut pivots = Vec::with_capacity(n);
    let mut a = a;
    for _ in 1..n {
        let Split { pivot, column, row, rest } = split(&a);
        pivots.push(pivot.clone());
        let share = row * pivot.recip().unsqueeze_dim(2);
        a = rest - column * share;
    }
    pivots.push(a.reshape([batch, 1]));
    Tensor::cat(pivots, 1).abs().log().sum_dim(1).reshape([batch])
}

/// Solves `x A = b` for each row; `x` is `[batch, n]`.
pub(super) fn solve_left(a: Tensor<3>, b: Tensor<2>) -> Tensor<2> {
    let [batch, n, _] = a.dims();
    let (mut a, mut b) = (a.transpose(), b);
    let mut reduced = Vec::with_capacity(n);
    for left in (2..=n).rev() {
        let Split { pivot, column, row, rest } = split(&a);
        let scale = pivot.recip();
        let row = row * scale.clone().unsqueeze_dim(2);
        let value = b.clone().narrow(1, 0, 1) * scale;
        let column_flat = column.clone().reshape([batch, left - 1]);
        b = b.narrow(1, 1, left - 1) - column_flat * value.clone();
        a = rest - column * row.clone();
        reduced.push((row.reshape([batch, left - 1]), value));
    }
    let mut x = b * a.reshape([batch, 1]).recip();
    for (row, value) in reduced.into_iter().rev() {
        let first = value - (row * x.clone()).sum_dim(1);
        x = Tensor::cat(vec![first, x], 1);
    }
    x
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;

    fn host<const D: usize>(x: Tensor<D>) -> Vec<f64> {
        x.into_data().try_to_vec_as().unwrap()
    }

    #[test]
    fn a_known_determinant_and_solution() {
        let options = (&Device::flex(), DType::F64);
        let rows = [[[2.0, 1.0, 0.5], [-0.5, 1.5, 0.2], [0.3, -0.4, 1.2]]];
        let a = Tensor::<3>::from_data(rows, options);
        // 2 (1.8 + 0.08) - 1 (-0.6 - 0.06) + 0.5 (0.2 - 0.45)
        let determinant: f64 = 2.0 * 1.88 + 0.66 - 0.125;
        assert!((host(log_abs_det(a.clone()))[0] - determinant.ln()).abs() < 1e-14);
        let x = Tensor::<2>::from_data([[0.7, -1.0, 2.0]], options);
        let b = x.clone().unsqueeze_dim::<3>(1).matmul(a.clone()).reshape([1, 3]);
        for (found, expected) in host(solve_left(a, b)).iter().zip(host(x)) {
            assert!((found - expected).abs() < 1e-14);
        }
    }
}
