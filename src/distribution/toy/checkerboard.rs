//! Uniform on the dark squares of a 4 x 4 board.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{columns, points};
use crate::distribution::{Distribution, check_event, on_support};
use crate::math::{sum_event, wide};
use crate::noise::Noise;
use crate::rows::check_rows;

/// The side of one square.
const SIDE: f64 = 2.0;
/// Squares in a row of the board, and half of them.
const SQUARES: usize = 4;
const HALF: f64 = 2.0;

/// Draws stay this share of a side below the upper edge. Without this margin, a draw that is rounded to
/// the precision of its tensor can land on the edge, which belongs to the next square.
fn edge(dtype: DType) -> f64 {
    // f64 uses the margin of f32, so that both precisions give the same draws.
    2.0 * dtype.finfo().expect("a float has these").epsilon.max(f64::from(f32::EPSILON))
}

/// Uniform on 8 squares of side 2 in `[-4, 4)^2`. One square has its lower left corner at the origin.
///
/// ```text
/// p(x) = 1/32 where -4 <= x_i < 4 and floor(x_1 / 2) + floor(x_2 / 2) is even, 0 elsewhere
/// ```
///
/// # Numerics
///
/// Outside the squares `log_prob` is `-inf`. The gradient is zero everywhere. A NaN in `x` gives NaN.
///
/// # Panics
///
/// If the event is not of shape `[2]`.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::{Checkerboard, Distribution};
///
/// let x = Tensor::<2>::from_data([[1.0, 1.0], [-1.0, 1.0]], &Device::flex());
/// let log_prob = Checkerboard::default().log_prob(x, None);
/// let log_prob = log_prob.into_data().try_to_vec_as::<f32>().unwrap();
/// assert!((log_prob[0] + 32f32.ln()).abs() < 1e-6);
/// assert_eq!(log_prob[1], f32::NEG_INFINITY);
/// ```
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Checkerboard {}

crate::display::display!(Checkerboard);

impl Checkerboard {
    /// The entropy in nats: `ln 32`, the logarithm of the dark area.
    pub const ENTROPY: f64 = 5.0 * std::f64::consts::LN_2;
}

/// The coordinate of a point in square `k` of an axis. `unit` is the distance of the point from the lower edge,
/// relative to the side. `edge` shortens the square, so that rounding keeps the point inside.
fn place(k: usize, unit: f64, edge: f64) -> f64 {
    SIDE * (k as f64 - HALF + unit * (1.0 - edge))
}

impl Distribution<2> for Checkerboard {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        check_event("Checkerboard", &[2], &x, context);
        let x = wide(x);
        let square = (x.clone().detach() / SIDE).floor();
        let off = square.clone().lower_elem(-HALF).bool_or(square.clone().greater_equal_elem(HALF));
        let (column, row) = columns(square);
        let half = (column + row) * 0.5;
        // The half of an even sum is an integer.
        let light = (half.clone() - half.floor()).greater_elem(0.25).expand(x.dims());
        let log_density = x.full_like(-0.5 * Self::ENTROPY);
        sum_event(on_support(x, off.bool_or(light), log_density))
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        check_rows("Checkerboard", n, context);
        let edge = edge(Tensor::<1>::empty([1], device).dtype());
        points(n, noise, device, |noise| {
            let column = noise.next_below(SQUARES);
            let row = 2 * noise.next_below(SQUARES / 2) + column % 2;
            [column, row].map(|k| place(k, noise.next_uniform(), edge))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_rounded_to_any_precision_stays_in_its_square() {
        let almost_one = 1.0 - f64::EPSILON / 2.0;
        for (dtype, near) in
            [(DType::F64, 1e-6), (DType::F32, 1e-6), (DType::F16, 6e-3), (DType::BF16, 5e-2)]
        {
            for k in 0..SQUARES {
                let low = SIDE * (k as f64 - HALF);
                assert_eq!(place(k, 0.0, edge(dtype)), low);
                let last = [place(k, almost_one, edge(dtype))];
                let last = Tensor::<1>::from_data(last, (&Device::flex(), dtype));
                let last = last.into_scalar::<f64>();
                assert!(last < low + SIDE && last > low + SIDE - near, "{dtype:?}: {last}");
            }
        }
    }
}
