//! Five arms of a spiral.

use std::f64::consts::PI;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{columns, constants, points, radius};
use crate::distribution::{Distribution, check_event};
use crate::math::{LN_2PI, log_sum_exp, wide};
use crate::noise::Noise;
use crate::rows::check_rows;

const ARMS: usize = 5;
const RADIAL_STD: f64 = 0.3;
const TANGENTIAL_STD: f64 = 0.1;
/// Angle of the twist per unit of radius.
const TWIST: f64 = 0.75;
const SCALE: f64 = 2.0;

/// Five arms. Each arm is a normal with standard deviations 0.3 along and 0.1 across, at distance 1
/// from the origin. Points are turned by 0.75 times their radius and then multiplied by 2.
///
/// ```text
/// p(x) = (1/5) sum_k N(y_1; 1, 0.3^2) N(y_2; 0, 0.1^2) / 4        x = 2 y turned by the angle
/// a_k(r) = 2 pi k / 5 + 0.75 r,  r = |y|
/// ```
///
/// The twist turns each circle around the origin onto itself, because its angle depends on the radius
/// alone. So it preserves areas, and the opposite turn inverts it.
///
/// After the pinwheel of Johnson, Duvenaud, Wiltschko, Datta, Adams (2016), Composing graphical
/// models with neural networks, arXiv:1603.06277. There the angle depends on a coordinate, and the
/// density has no closed form.
///
/// # Panics
///
/// If the event is not of shape `[2]`.
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{Noise, distribution::{Distribution, Pinwheel}};
///
/// let pinwheel = Pinwheel::default();
/// let x = pinwheel.sample(2000, None, &mut Noise::seeded(1), &Device::flex());
/// let nll = -pinwheel.log_prob(x, None).mean().into_scalar::<f64>();
/// assert!((nll - Pinwheel::ENTROPY).abs() < 0.1);
/// ```
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Pinwheel {}

crate::display::display!(Pinwheel);

impl Pinwheel {
    /// The entropy in nats, by quadrature.
    pub const ENTROPY: f64 = 2.320_588_485_0;
}

/// The direction of arm `k` before the twist.
fn arm(k: usize) -> f64 {
    2.0 * PI * k as f64 / ARMS as f64
}

/// The point of arm `k` for two standard normal numbers, one along and one across.
fn place(k: usize, u: f64, v: f64) -> [f64; 2] {
    let (along, across) = (1.0 + RADIAL_STD * u, TANGENTIAL_STD * v);
    let (sin, cos) = (arm(k) + TWIST * along.hypot(across)).sin_cos();
    [SCALE * (along * cos - across * sin), SCALE * (along * sin + across * cos)]
}

impl Distribution<2> for Pinwheel {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        check_event("Pinwheel", &[2], &x, context);
        let batch = x.dims()[0];
        // The sine of an infinite angle is NaN.
        let infinite = x.clone().is_inf();
        let nowhere = infinite.clone().any_dim(1).reshape([batch]);
        let y = wide(x.mask_fill(infinite, 0.0)) / SCALE;
        let arms = constants((0..ARMS).map(arm).collect(), [1, ARMS], &y);
        let angle = radius(y.clone()) * TWIST + arms;
        let (y1, y2) = columns(y);
        let (sin, cos) = (angle.clone().sin(), angle.cos());
        let along = y1.clone() * cos.clone() + y2.clone() * sin.clone();
        let across = y2 * cos - y1 * sin;
        let square = ((along - 1.0) / RADIAL_STD).square() + (across / TANGENTIAL_STD).square();
        let area = ARMS as f64 * SCALE * SCALE * RADIAL_STD * TANGENTIAL_STD;
        let log_prob = log_sum_exp(square * -0.5, 1).reshape([batch]) - (LN_2PI + area.ln());
        log_prob.mask_fill(nowhere, f64::NEG_INFINITY)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        check_rows("Pinwheel", n, context);
        points(n, noise, device, |noise| {
            let k = noise.next_below(ARMS);
            place(k, noise.next_normal(), noise.next_normal())
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, TensorData};

    use super::*;

    #[test]
    fn the_density_undoes_what_the_sampler_does() {
        // Only one arm contributes at these points, so the density is that of its two normal numbers.
        for k in 0..ARMS {
            for (u, v) in [(0.0, 0.0), (1.5, -2.0), (3.0, 3.0)] {
                let data = TensorData::new(place(k, u, v).to_vec(), [1, 2]);
                let x = Tensor::<2>::from_data(data, (&Device::flex(), DType::F64));
                let found = Pinwheel::default().log_prob(x, None).into_scalar::<f64>();
                let area = 5.0 * 4.0 * 0.3 * 0.1 * 2.0 * PI;
                let expected = -0.5 * (u * u + v * v) - f64::ln(area);
                assert!((found - expected).abs() < 1e-6, "arm {k} at {u} {v}: {found} {expected}");
            }
        }
    }
}
