//! Shared code of all splines: a map of the unit interval onto itself, and its placement in a domain.

use burn::tensor::Tensor;

use super::domain::{Placed, SplineDomain};
use crate::math::sum_event;

/// A spline of the unit interval onto itself; values are `[batch, n]`.
pub(super) trait UnitSpline {
    /// The bin of every value, and the position of the value in the bin.
    type Found;

    /// The interval on which the spline acts.
    fn domain(&self) -> SplineDomain;

    /// Places every value in the domain.
    fn place(&self, x: Tensor<2>) -> Placed {
        self.domain().place(x)
    }

    /// The values of the spline at positions in `[0, 1]`.
    fn rise(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Self::Found);

    /// The positions in `[0, 1]` at which the spline has these values.
    fn solve(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Self::Found);

    /// The logarithm of the slope of [`rise`](Self::rise).
    fn log_slope(&self, found: &Self::Found) -> Tensor<2>;
}

/// The map, and the sum of its log-slopes over each row.
pub(super) fn forward<S: UnitSpline>(
    spline: &S,
    x: Tensor<2>,
    params: Tensor<3>,
) -> (Tensor<2>, Tensor<1>) {
    let (domain, placed) = (spline.domain(), spline.place(x));
    let (value, found) = spline.rise(&placed.unit, params);
    let log_slope = domain.log_slope(&placed, spline.log_slope(&found));
    (domain.value(&placed, value), sum_event(log_slope))
}

/// The inverse of the map.
pub(super) fn inverse<S: UnitSpline>(spline: &S, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
    let placed = spline.place(z);
    let (position, _) = spline.solve(&placed.unit, params);
    spline.domain().value(&placed, position)
}

/// The inverse of the map, and the sum of the log-slopes of the inverse over each row.
pub(super) fn inverse_with_log_det<S: UnitSpline>(
    spline: &S,
    z: Tensor<2>,
    params: Tensor<3>,
) -> (Tensor<2>, Tensor<1>) {
    let (domain, placed) = (spline.domain(), spline.place(z));
    let (position, found) = spline.solve(&placed.unit, params);
    let log_slope = domain.log_slope(&placed, spline.log_slope(&found).neg());
    (domain.value(&placed, position), sum_event(log_slope))
}
