//! The bins of a spline on both axes, and sums over them with masks in place of indices.
//!
//! A gather and its scatter cost more than a masked sum over a handful of bins, and every number
//! of an element but the sums stands in tensors without the axis of bins.

use burn::tensor::{Tensor, TensorData};

use crate::error::{Error, Result};

/// Fails unless there are at least two bins: one could only be the identity.
pub(super) fn check_bins(config: &'static str, bins: usize) -> Result<()> {
    crate::error::at_least(config, "bins", 2, bins)
}

/// Fails unless every one of the bins can have the least size.
pub(super) fn check_floor(
    config: &'static str,
    field: &'static str,
    floor: f64,
    bins: usize,
) -> Result<()> {
    if floor > 0.0 && floor * (bins as f64) < 1.0 {
        return Ok(());
    }
    let reason = format!("must be above 0 and below 1 / bins = 1 / {bins}, found {floor}");
    Err(Error::config(config, field, reason))
}

/// Which axis a value belongs to.
#[derive(Clone, Copy)]
pub(super) enum Axis {
    X = 0,
    Y = 1,
}

/// Sizes of bins, `[batch, 2, bins, n]`, widths and heights, before they are divided by their total
/// `[batch, 2, 1, n]`.
pub(super) struct Bins {
    sizes: Tensor<4>,
    total: Tensor<4>,
}

/// Where values lie, outside any graph: ones for the bins before theirs, and for theirs, each
/// `[batch, bins, n]`.
pub(super) struct Found {
    before: Tensor<3>,
    pub own: Tensor<3>,
}

/// Left end and size of a bin on one axis, `[batch, n]`.
pub(super) struct Side {
    pub start: Tensor<2>,
    pub size: Tensor<2>,
}

impl Bins {
    /// Softmax of `[batch, 2 bins, n]`, widths then heights, with a least share per axis.
    pub(super) fn new(raw: Tensor<3>, floors: [f64; 2]) -> Self {
        let [batch, double, n] = raw.dims();
        let bins = double / 2;
        let raw: Tensor<4> = raw.reshape([batch, 2, bins, n]);
        let max = raw.clone().detach().max_dim(2);
        let sizes = (raw - max).exp();
        let sum = sizes.clone().sum_dim(2);
        // share = floor + (1 - bins floor) e / sum, times sum / (1 - bins floor).
        let per_sum = floors.map(|floor| floor / (1.0 - bins as f64 * floor));
        let options = (&sum.device().without_autodiff(), sum.dtype());
        let per_sum = Tensor::from_data(TensorData::new(per_sum.to_vec(), [1, 2, 1, 1]), options);
        let floor = sum.clone() * per_sum;
        let total = sum + floor.clone() * bins as f64;
        Self { sizes: sizes + floor, total }
    }

    /// The bins of values in the unit interval of an axis.
    pub(super) fn find(&self, unit: &Tensor<2>, axis: Axis) -> Found {
        let [batch, _, bins, n] = self.sizes.dims();
        let (axis, row) = (axis as usize, [batch, 1, n]);
        let sizes = self.sizes.clone().without_autodiff().narrow(1, axis, 1);
        let total = self.total.clone().without_autodiff().narrow(1, axis, 1);
        let edges = sizes.reshape([batch, bins, n]).narrow(1, 0, bins - 1).cumsum(1);
        let at = unit.clone().without_autodiff().reshape(row) * total.reshape(row);
        let past = at.expand([batch, bins - 1, n]).greater_equal(edges).float().cast(unit.dtype());
        let end = |value: f64| Tensor::full(row, value, (&past.device(), past.dtype()));
        let before = Tensor::cat(vec![past.clone(), end(0.0)], 1);
        let own = Tensor::cat(vec![end(1.0), past], 1) - before.clone();
        Found { before, own }
    }

    /// The sides of the bins found.
    pub(super) fn sides(&self, found: &Found) -> [Side; 2] {
        let starts = self.sum(&found.before);
        let sizes = self.sum(&found.own);
        let mut pairs = starts.into_iter().zip(sizes).map(|(start, size)| Side { start, size });
        [pairs.next().expect("two axes"), pairs.next().expect("two axes")]
    }

    /// Shares of the bins that a mask `[batch, bins, n]` marks, on both axes.
    pub(super) fn sum(&self, mask: &Tensor<3>) -> [Tensor<2>; 2] {
        let [batch, _, bins, n] = self.sizes.dims();
        let mask = mask.clone().reshape([batch, 1, bins, n]);
        let shares = (self.sizes.clone() * mask).sum_dim(2) / self.total.clone();
        [0, 1].map(|axis| shares.clone().narrow(1, axis, 1).reshape([batch, n]))
    }
}

/// Sum over the axis of bins of what a mask marks, `[batch, bins, n] -> [batch, n]`.
pub(super) fn pick(values: &Tensor<3>, mask: Tensor<3>) -> Tensor<2> {
    let [batch, _, n] = values.dims();
    (values.clone() * mask).sum_dim(1).reshape([batch, n])
}
