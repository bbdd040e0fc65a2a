//! The bins of a spline on both axes, with sums by masks instead of indices.
//!
//! A gather and its scatter cost more than a masked sum over a few bins. Only the sums use tensors with
//! an axis of bins.

use burn::tensor::{Bool, Tensor, TensorData};

use crate::error::{Error, Result, least};

/// Returns an error unless there are at least two bins: one bin could only be the identity.
pub(super) fn check_bins(config: &'static str, bins: usize) -> Result<()> {
    crate::error::count(config, "bins", 2, bins)
}

/// Returns an error unless all bins together can have the least size.
pub(super) fn check_floor(
    config: &'static str,
    field: &'static str,
    floor: f64,
    bins: usize,
) -> Result<()> {
    if floor > 0.0 && floor * (bins as f64) < 1.0 {
        return least(config, field, floor);
    }
    let reason = format!("must be above 0 and below 1 / bins = 1 / {bins}, found {floor}");
    Err(Error::config(config, field, reason))
}

/// Returns an error unless a share is in (0, 1).
pub(super) fn check_share(config: &'static str, field: &'static str, share: f64) -> Result<()> {
    if share > 0.0 && share < 1.0 {
        return least(config, field, share);
    }
    Err(Error::config(config, field, format!("must be in (0, 1), found {share}")))
}

/// The largest factor or shift of raw parameters. The products of larger ones overflow f32.
pub(super) const LARGEST: f64 = 1e3;

/// Returns an error unless the factor of raw parameters is finite and at most [`LARGEST`].
pub(super) fn check_scale(config: &'static str, scale: f64) -> Result<()> {
    check_factor(config, "logit_scale", scale)
}

/// Returns an error unless the value of this field is finite and at most [`LARGEST`].
pub(super) fn check_factor(config: &'static str, field: &'static str, value: f64) -> Result<()> {
    let reason = if !value.is_finite() {
        format!("must be finite, found {value}")
    } else if value.abs() > LARGEST {
        format!("must be at most {LARGEST:e} in magnitude, found {value}")
    } else {
        return Ok(());
    };
    Err(Error::config(config, field, reason))
}

/// The axis that a value belongs to.
#[derive(Clone, Copy)]
pub(super) enum Axis {
    X = 0,
    Y = 1,
}

/// Unnormalized sizes of bins, `[batch, axes, bins, n]`: widths and heights, or one of them. Dividing
/// by the total, `[batch, axes, 1, n]`, gives shares.
pub(super) struct Bins {
    sizes: Tensor<4>,
    total: Tensor<4>,
}

/// The bins of values, outside any autodiff graph. `before` has ones for the bins before a value's bin,
/// `own` for the value's bin. Both are `[batch, bins, n]`.
pub(super) struct Found {
    pub before: Tensor<3>,
    pub own: Tensor<3>,
}

/// Left end and size of a bin on one axis, `[batch, n]`.
pub(super) struct Side {
    pub start: Tensor<2>,
    pub size: Tensor<2>,
}

impl Found {
    /// Finds the bins of values among bins of these sizes, both outside any autodiff graph.
    pub(super) fn among(sizes: Tensor<3>, at: &Tensor<2>) -> Self {
        let [batch, bins, n] = sizes.dims();
        let row = [batch, 1, n];
        let edges = sizes.narrow(1, 0, bins - 1).cumsum(1);
        let at = at.clone().without_autodiff().reshape(row);
        let dtype = at.dtype();
        let past = at.expand([batch, bins - 1, n]).greater_equal(edges).float().cast(dtype);
        let end = |value: f64| Tensor::full(row, value, (&past.device(), dtype));
        let before = Tensor::cat(vec![past.clone(), end(0.0)], 1);
        let own = Tensor::cat(vec![end(1.0), past], 1) - before.clone();
        Self { before, own }
    }

    /// The indices of the bins found, `[batch, n]`.
    pub(super) fn index(&self) -> Tensor<2> {
        let [batch, _, n] = self.before.dims();
        self.before.clone().sum_dim(1).reshape([batch, n])
    }

    /// True where the bin with this index was found.
    pub(super) fn is(&self, bin: usize) -> Tensor<2, Bool> {
        let [batch, _, n] = self.own.dims();
        self.own.clone().narrow(1, bin, 1).reshape([batch, n]).greater_elem(0.5)
    }

    /// A mask of the bin that is `by` bins before the one found, around the circle.
    pub(super) fn turned(&self, by: usize) -> Tensor<3> {
        let bins = self.own.dims()[1];
        let part = |from, count| self.own.clone().narrow(1, from, count);
        Tensor::cat(vec![part(by, bins - by), part(0, by)], 1)
    }
}

impl Bins {
    /// Softmax of `[batch, axes bins, n]`, widths then heights, with a least share for each axis.
    pub(super) fn new<const AXES: usize>(raw: Tensor<3>, floors: [f64; AXES]) -> Self {
        let [batch, all, n] = raw.dims();
        let bins = all / AXES;
        let raw: Tensor<4> = raw.reshape([batch, AXES, bins, n]);
        let max = raw.clone().detach().max_dim(2);
        let sizes = (raw - max).exp();
        let sum = sizes.clone().sum_dim(2);
        // share = floor + (1 - bins floor) e / sum, times sum / (1 - bins floor).
        let per_sum = floors.map(|floor| floor / (1.0 - bins as f64 * floor));
        let options = (&sum.device().without_autodiff(), sum.dtype());
        let per_sum =
            Tensor::from_data(TensorData::new(per_sum.to_vec(), [1, AXES, 1, 1]), options);
        let floor = sum.clone() * per_sum;
        let total = sum + floor.clone() * bins as f64;
        Self { sizes: sizes + floor, total }
    }

    /// Finds the bins of values in the unit interval of an axis.
    pub(super) fn find(&self, unit: &Tensor<2>, axis: Axis) -> Found {
        let [batch, _, bins, n] = self.sizes.dims();
        let axis = axis as usize;
        let sizes = self.sizes.clone().without_autodiff().narrow(1, axis, 1);
        let total = self.total.clone().without_autodiff().narrow(1, axis, 1);
        let at = unit.clone().without_autodiff() * total.reshape([batch, n]);
        Found::among(sizes.reshape([batch, bins, n]), &at)
    }

    /// The shares of the bins of one axis, `[batch, bins, n]`.
    pub(super) fn shares(&self, axis: usize) -> Tensor<3> {
        let [batch, _, bins, n] = self.sizes.dims();
        let sizes = self.sizes.clone().narrow(1, axis, 1);
        let total = self.total.clone().narrow(1, axis, 1);
        (sizes / total).reshape([batch, bins, n])
    }

    /// Left end and size, on both axes, of the bins found.
    pub(super) fn sides(&self, found: &Found) -> [Side; 2] {
        let starts = self.sum(&found.before);
        let sizes = self.sum(&found.own);
        let mut pairs = starts.into_iter().zip(sizes).map(|(start, size)| Side { start, size });
        [pairs.next().expect("two axes"), pairs.next().expect("two axes")]
    }

    /// The sum of the shares of the bins that a mask `[batch, bins, n]` marks, on both axes.
    pub(super) fn sum(&self, mask: &Tensor<3>) -> [Tensor<2>; 2] {
        let [batch, _, bins, n] = self.sizes.dims();
        let mask = mask.clone().reshape([batch, 1, bins, n]);
        let shares = (self.sizes.clone() * mask).sum_dim(2) / self.total.clone();
        [0, 1].map(|axis| shares.clone().narrow(1, axis, 1).reshape([batch, n]))
    }
}

/// The sum of the values that a mask marks, over the axis of bins: `[batch, bins, n] -> [batch, n]`.
pub(super) fn pick(values: &Tensor<3>, mask: Tensor<3>) -> Tensor<2> {
    let [batch, _, n] = values.dims();
    (values.clone() * mask).sum_dim(1).reshape([batch, n])
}
