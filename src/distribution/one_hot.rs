//! Columns of categories as blocks of zeros and ones.

use burn::tensor::Tensor;

use super::on_support;
use crate::math::{like, sum_event, wide};

/// The columns of a batch side by side. A column of `Some(k)` categories becomes a block of `k` columns, with a one at
/// its category and zeros elsewhere. A value that is no category becomes a block of zeros. Other columns are copied.
pub(super) fn one_hot(x: Tensor<2>, categories: &[Option<usize>]) -> Tensor<2> {
    let rows = x.dims()[0];
    if rows == 0 {
        let options = (&x.device().without_autodiff(), x.dtype());
        return Tensor::zeros([0, one_hot_width(categories)], options); // burn 0.22 expands nothing to no rows
    }
    let block = |(at, count): (usize, &Option<usize>)| {
        let column = x.clone().narrow(1, at, 1);
        let Some(count) = *count else { return column };
        let each = (0..count).map(|category| category as f64).collect();
        let each = like(each, &x).unsqueeze_dim::<2>(0);
        let column = column.without_autodiff().expand([rows, count]);
        column.equal(each.expand([rows, count])).float().cast(x.dtype())
    };
    Tensor::cat(categories.iter().enumerate().map(block).collect(), 1)
}

/// The number of columns of the result of [`one_hot`].
pub(super) fn one_hot_width(categories: &[Option<usize>]) -> usize {
    categories.iter().map(|count| count.unwrap_or(1)).sum()
}

/// 0 for a row of categories, `-inf` for a row with a value that is no category, NaN for a row with NaN.
pub(super) fn log_support(x: Tensor<2>, categories: &[usize]) -> Tensor<1> {
    let x = wide(x);
    let shape = x.dims();
    if shape[0] == 0 {
        return sum_event(x);
    }
    let last = categories.iter().map(|count| *count as f64 - 1.0).collect();
    let last = like(last, &x).unsqueeze_dim::<2>(0);
    // No comparison holds for a NaN.
    let outside = x.clone().lower_elem(0.0).bool_or(x.clone().greater(last.expand(shape)));
    let between = (x.clone() - x.clone().floor()).greater_elem(0.0);
    let zeros = x.zeros_like().detach();
    sum_event(on_support(x, outside.bool_or(between), zeros))
}
