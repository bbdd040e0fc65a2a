//! Rational-quadratic spline: between two knots a ratio of two quadratics.

mod config;
#[cfg(all(test, feature = "flex"))]
mod tests;

pub use config::{KnotMap, RationalQuadraticConfig};

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use super::bins::{Axis, Found, Side, pick};
use super::domain::{Placed, SplineDomain, held};
use super::unit::{self, UnitSpline};
use crate::kernel::LEAST_DISCRIMINANT;
use crate::univariate::{Kernel, Univariate};

crate::store::checked! {
/// A rational-quadratic spline, made by [`RationalQuadraticConfig::init`].
///
/// In the bin of width `w` and height `h` that starts at `(x_k, y_k)`, with `s = h / w`, the slopes
/// `d0` and `d1` at its ends, and `p = (x - x_k) / w`:
///
/// ```text
/// forward   z = y_k + h (s p^2 + d0 p (1 - p)) / D,   D = s + (d0 + d1 - 2 s) p (1 - p)
/// log-det   sum of ln( s^2 (d1 p^2 + 2 s p (1 - p) + d0 (1 - p)^2) / D^2 )
/// inverse   x = x_k + w p,   p the root of a p^2 + b p + c = 0 in [0, 1],
///           a = h (s - d0) + u v,  b = h d0 - u v,  c = -s u,
///           u = z - y_k,  v = d0 + d1 - 2 s
/// ```
///
/// Paper: Durkan, Bekasov, Murray, Papamakarios (2019), Neural Spline Flows, equations 4 to 8,
/// arXiv:1906.04032, after Gregory and Delbourgo (1982). On circles: Rezende et al. (2020),
/// Normalizing Flows on Tori and Spheres, arXiv:2002.02428.
/// Same numbers as nflows 0.14 `rational_quadratic_spline`, zuko 1.6 `MonotonicRQSTransform`, FlowJAX 19
/// `RationalQuadraticSpline`, with the [`KnotMap`] of each.
///
/// Parameters in this order: `bins` raw widths, `bins` raw heights, then the raw slopes at the
/// knots from left to right: `bins - 1` with linear tails, whose ends have slope 1; `bins + 1` on an
/// interval; `bins` on a circle, where the first slope serves both ends.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// Results are finite for every finite value and parameter, also in f32. A position is clamped into the
/// interval before the spline is evaluated. Bins and slopes have a least size, and no slope exceeds a
/// million. The inverse solves a quadratic equation by the formula without cancellation.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{RationalQuadraticConfig, Univariate};
///
/// let device = Device::flex();
/// let map = RationalQuadraticConfig::new().with_bins(2).init();
/// let x = Tensor::<2>::from_data([[-7.0, 0.0, 1.0]], &device);
/// let raw = [[1.0; 3], [0.0; 3], [0.0; 3], [0.5; 3], [0.2; 3]]; // widths, heights, one slope
/// let params = Tensor::<3>::from_data([raw], &device);
/// let (z, log_det) = map.forward(x.clone(), params.clone());
/// assert_eq!(z.clone().into_data().try_to_vec_as::<f32>().unwrap()[0], -7.0); // a tail
/// let (back, minus) = map.inverse_with_log_det(z, params);
/// back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// minus.neg().into_data().assert_approx_eq::<f32>(&log_det.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct RationalQuadratic {
    #[module(skip)]
    config: RationalQuadraticConfig,
}
}

impl RationalQuadratic {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> crate::error::Result<()> {
        self.config.validate()
    }
}

/// The sides of the bin of every value, and the slopes at its ends, all `[batch, n]`.
pub(in crate::univariate::spline) struct Piece {
    x: Side,
    y: Side,
    left: Tensor<2>,
    right: Tensor<2>,
}

impl RationalQuadratic {
    /// Finds the bins of values in the unit interval of an axis.
    fn piece(&self, unit: &Tensor<2>, axis: Axis, params: Tensor<3>) -> Piece {
        let bins = self.config.bins;
        let raw_slopes = params.dims()[1] - 2 * bins;
        let sizes = self.config.sizes(params.clone().narrow(1, 0, 2 * bins));
        let raw = params.narrow(1, 2 * bins, raw_slopes);
        let found = sizes.find(unit, axis);
        let [x, y] = sizes.sides(&found);
        let (left, right) = self.slopes(&raw, &found);
        Piece { x, y, left, right }
    }

    /// The slopes at both ends of the bins found.
    fn slopes(&self, raw: &Tensor<3>, found: &Found) -> (Tensor<2>, Tensor<2>) {
        let own = &found.own;
        let [_, bins, _] = own.dims();
        let part = |from, count| own.clone().narrow(1, from, count);
        let slope = |mask| self.config.slope(pick(raw, mask));
        if let SplineDomain::LinearTails { .. } = self.config.domain {
            let [batch, _, n] = raw.dims();
            let is = |k| part(k, 1).reshape([batch, n]).greater_elem(0.5);
            let left = slope(part(1, bins - 1)).mask_fill(is(0), 1.0);
            let right = slope(part(0, bins - 1)).mask_fill(is(bins - 1), 1.0);
            return (left, right);
        }
        let rest = match self.config.domain {
            SplineDomain::Circular { .. } => {
                let next = Tensor::cat(vec![part(bins - 1, 1), part(0, bins - 1)], 1);
                return (slope(own.clone()), slope(next));
            }
            _ => part(0, 1).zeros_like(),
        };
        let left = slope(Tensor::cat(vec![own.clone(), rest.clone()], 1));
        (left, slope(Tensor::cat(vec![rest, own.clone()], 1)))
    }
}

impl UnitSpline for RationalQuadratic {
    type Found = (Piece, Tensor<2>);

    fn domain(&self) -> SplineDomain {
        self.config.domain
    }

    fn place(&self, x: Tensor<2>) -> Placed {
        self.config.place(x)
    }

    fn rise(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Self::Found) {
        let piece = self.piece(unit, Axis::X, params);
        let (h, s) = (&piece.y.size, piece.y.size.clone() / piece.x.size.clone());
        let p = held((unit.clone() - piece.x.start.clone()) / piece.x.size.clone());
        let p = at_end(unit, p);
        let both = p.clone() * (p.clone().neg() + 1.0);
        let rise = s.clone() * p.clone() * p.clone() + piece.left.clone() * both.clone();
        let value = h.clone() * rise / denominator(&piece, &s, both) + piece.y.start.clone();
        (value, (piece, p))
    }

    fn solve(&self, unit: &Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Self::Found) {
        let piece = self.piece(unit, Axis::Y, params);
        let (h, d0) = (&piece.y.size, &piece.left);
        let s = h.clone() / piece.x.size.clone();
        let up = held(unit.clone() - piece.y.start.clone());
        let bend = up.clone() * (d0.clone() + piece.right.clone() - s.clone() * 2.0);
        let a = h.clone() * (s.clone() - d0.clone()) + bend.clone();
        let b = h.clone() * d0.clone() - bend;
        let minus_c = s * up;
        let discriminant = b.clone() * b.clone() + a.clone() * minus_c.clone() * 4.0;
        let root = discriminant.clamp_min(LEAST_DISCRIMINANT).sqrt();
        // Two forms of one root. Where one form subtracts nearly equal numbers, the other adds them.
        let negative = b.clone().without_autodiff().lower_elem(0.0);
        let above = (minus_c * 2.0).mask_where(negative.clone(), root.clone() - b.clone());
        let below = (root + b).mask_where(negative, a * 2.0);
        let p = at_end(unit, held(above / below.clamp_min(LEAST_DISCRIMINANT)));
        (p.clone() * piece.x.size.clone() + piece.x.start.clone(), (piece, p))
    }

    fn log_slope(&self, (piece, p): &Self::Found) -> Tensor<2> {
        let s = piece.y.size.clone() / piece.x.size.clone();
        let q = p.clone().neg() + 1.0;
        let both = p.clone() * q.clone();
        let ends = piece.right.clone() * p.clone() * p.clone() + piece.left.clone() * q.clone() * q;
        let above = ends + both.clone() * s.clone() * 2.0;
        let below = denominator(piece, &s, both);
        above.log() + (s.log() - below.log()) * 2.0
    }
}

/// A position in a bin, with its gradient. At the end of the unit interval the position is the end of
/// the last bin. Rounding of the start and the size of the bin would otherwise leave the position short
/// of the end.
fn at_end(unit: &Tensor<2>, position: Tensor<2>) -> Tensor<2> {
    let plain = position.clone().without_autodiff();
    let short = plain.clone().neg() + 1.0;
    let ended = unit.clone().without_autodiff().equal_elem(1.0);
    position + plain.zeros_like().mask_where(ended, short)
}

/// `D` of the formulas above, without a difference: `s (1 - 2 p (1 - p)) + (d0 + d1) p (1 - p)`.
fn denominator(piece: &Piece, s: &Tensor<2>, both: Tensor<2>) -> Tensor<2> {
    let ends = piece.left.clone() + piece.right.clone();
    s.clone() * (both.clone() * -2.0 + 1.0) + ends * both
}

impl Univariate for RationalQuadratic {
    fn params_per_element(&self) -> usize {
        let bins = self.config.bins;
        match self.config.domain {
            SplineDomain::LinearTails { .. } => 3 * bins - 1,
            SplineDomain::Circular { .. } => 3 * bins,
            SplineDomain::Interval { .. } => 3 * bins + 1,
        }
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let done = self.config.kernel().forward(&x, &params);
        done.unwrap_or_else(|| unit::forward(self, x, params))
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        let done = self.config.kernel().inverse(&z, &params);
        done.unwrap_or_else(|| unit::inverse(self, z, params))
    }

    fn inverse_with_log_det(&self, z: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let done = self.config.kernel().inverse_with_log_det(&z, &params);
        done.unwrap_or_else(|| unit::inverse_with_log_det(self, z, params))
    }

    fn has_inverse_formula(&self) -> bool {
        true
    }

    fn kernel(&self) -> Option<Kernel> {
        Some(Kernel(self.config.kernel()))
    }
}
