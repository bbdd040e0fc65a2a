//! What all splines share: a map of the unit interval onto itself, and its place in a domain.

use burn::tensor::Tensor;

use super::domain::{Placed, SplineDomain};
use crate::math::sum_event;

/// A spline of the unit interval onto itself; values are `[batch, n]`.
pub(super) trait UnitSpline {
    /// The bin of every value, and where in it the value lies.
    type Found;

    /// Where the spline acts.
    fn domain(&self) -> SplineDomain;

    /// The place of every value in the domain.
    fn place(&self, x: Tensor<2>) -> Placed {
        self.domain().place(x)
    }

    /// The values that positions rise to.
    fn rise(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Self::Found);

    /// The positions that rise to these values.
    fn solve(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Self::Found);

    /// The logarithm of the slope of [`rise`](Self::rise).
    fn log_slope(&self, found: &Self::Found) -> Tensor<2>;
}

/// The map, and the sums of its log-slopes over rows.
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

/// Its inverse.
pub(super) fn inverse<S: UnitSpline>(spline: &S, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
    let placed = spline.place(z);
    let (position, _) = spline.solve(&placed.unit, params);
    spline.domain().value(&placed, position)
}

/// Its inverse, and the sums of the log-slopes of that.
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
