//! Mean and deviation over the rows of data.
//!
//! burn-flex adds f32 in a running sum: the mean of a million rows near 2010 is off by the whole spread of the rows.
//! Statistics that no gradient passes are therefore computed on the host in f64, after subtracting a first value of the
//! column. Statistics inside a graph are computed in f64 on `flex`, and the rows are centred first on every device.

use burn::tensor::Tensor;

use crate::math::fine;

/// Mean and spread of every column, in f64.
pub(crate) struct Moments {
    /// The number of values in a column.
    count: usize,
    /// The mean of every column.
    pub mean: Vec<f64>,
    /// The sum of the squared distances from the mean of every column.
    squares: Vec<f64>,
    /// The difference between the largest and the smallest value of every column.
    pub span: Vec<f64>,
}

impl Moments {
    /// The moments of every element of an event, over the rows.
    pub fn of_elements<const D: usize>(x: &Tensor<D>) -> Self {
        let event = x.dims()[1..].iter().product();
        Self::of(x, event, 1)
    }

    /// The moments of every channel (axis 1), over the rows and the pixels.
    pub fn of_channels<const D: usize>(x: &Tensor<D>) -> Self {
        let dims = x.dims();
        Self::of(x, dims[1], dims[2..].iter().product())
    }

    /// The moments of columns, where value `i` belongs to column `i / stride % columns`.
    fn of<const D: usize>(x: &Tensor<D>, columns: usize, stride: usize) -> Self {
        let values: Vec<f64> = x.to_data().iter::<f64>().collect();
        let count = values.len() / columns.max(1);
        let each = || values.iter().enumerate().map(|(at, value)| (at / stride % columns, *value));
        // The distances from a value of the column are small, and exactly zero in a constant column.
        let near: Vec<f64> = (0..columns)
            .map(|column| values.get(column * stride).copied().unwrap_or(f64::NAN))
            .collect();
        let mut sum = vec![0.0; columns];
        let mut ends: Vec<(f64, f64)> = near.iter().map(|value| (*value, *value)).collect();
        for (column, value) in each() {
            sum[column] += value - near[column];
            let (least, most) = ends[column];
            ends[column] = (least.min(value), most.max(value));
        }
        let mean = near.iter().zip(sum).map(|(near, sum)| near + sum / count as f64);
        let mean: Vec<f64> = mean.collect();
        let mut squares = vec![0.0; columns];
        each().for_each(|(column, value)| squares[column] += (value - mean[column]).powi(2));
        let span = ends.iter().map(|(least, most)| most - least).collect();
        Self { count, mean, squares, span }
    }

    /// The standard deviations, from variances divided by the number of values.
    pub fn deviation(&self) -> Vec<f64> {
        self.roots(self.count)
    }

    /// The standard deviations, from unbiased variances; zero for a single value.
    pub fn unbiased_deviation(&self) -> Vec<f64> {
        self.roots(self.count.max(2) - 1)
    }

    fn roots(&self, degrees: usize) -> Vec<f64> {
        self.squares.iter().map(|squares| (squares / degrees as f64).sqrt()).collect()
    }
}

/// The mean over the rows, `[1, event..]`, in the graph of `x` and in the precision of [`fine`].
pub(crate) fn mean_over_rows<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let x = fine(x);
    let centre = x.clone().detach().mean_dim(0);
    (x - centre.clone()).mean_dim(0) + centre
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, TensorData};

    fn column(values: Vec<f32>) -> Tensor<2> {
        let rows = values.len();
        Tensor::from_data(TensorData::new(values, [rows, 1]), &Device::flex())
    }

    #[test]
    fn a_large_mean_over_many_rows() {
        let x = column((0..100_000).map(|row| 2005.0 + (row % 11) as f32).collect());
        let moments = Moments::of_elements(&x);
        // 100,000 is 10 more than a multiple of 11: the last year occurs once less than the others.
        assert!((moments.mean[0] - (2010.0 - 5.0 / 100_000.0)).abs() < 1e-9);
        assert!((moments.deviation()[0] - 10f64.sqrt()).abs() < 1e-4);
        assert_eq!(moments.span, [10.0]);
        let mean = mean_over_rows(x).into_scalar::<f64>();
        assert!((mean - moments.mean[0]).abs() < 1e-9, "{mean}");
    }

    #[test]
    fn a_constant_has_no_spread() {
        let moments = Moments::of_elements(&column(vec![0.1; 1000]));
        assert_eq!((moments.mean[0], moments.deviation()[0]), (0.1f32 as f64, 0.0));
        let single = Moments::of_elements(&column(vec![3.0]));
        assert_eq!((single.mean[0], single.unbiased_deviation()[0]), (3.0, 0.0));
    }

    #[test]
    fn channels_take_all_their_pixels() {
        let x =
            Tensor::<1>::from_data([1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0], &Device::flex());
        let moments = Moments::of_channels(&x.reshape([2, 2, 2]));
        assert_eq!(moments.mean, [2.5, 25.0]);
        assert!((moments.unbiased_deviation()[0] - (5f64 / 3.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn f64_is_not_narrowed() {
        let values: Vec<f64> = (0..1000).map(|row| 1e12 + (row % 2) as f64).collect();
        let data = TensorData::new(values, [1000, 1]);
        let x = Tensor::<2>::from_data(data, (&Device::flex(), DType::F64));
        let moments = Moments::of_elements(&x);
        assert_eq!((moments.mean[0] - 1e12, moments.deviation()[0]), (0.5, 0.5));
    }

    #[test]
    fn a_mean_inside_a_graph_has_its_gradient() {
        let x = column(vec![1.0, 2.0, 6.0]).autodiff().require_grad();
        let gradients = (mean_over_rows(x.clone()).cast(DType::F32) * 6.0).sum().backward();
        assert_eq!(
            x.grad(&gradients).unwrap().into_data().try_to_vec_as::<f32>().unwrap(),
            [2.0; 3]
        );
    }
}
