//! Eight round normals on a circle.

use std::f64::consts::PI;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Part, points, round_normals};
use crate::distribution::{Distribution, check_event};
use crate::noise::Noise;
use crate::rows::check_rows;

const COUNT: usize = 8;
const RADIUS: f64 = 2.0;
const STD: f64 = 0.2;

/// Eight normals of standard deviation 0.2, evenly on the circle of radius 2.
///
/// ```text
/// log p(x) = ln (1/8) sum_k N(x; m_k, 0.2^2),  m_k = 2 (cos(k pi / 4), sin(k pi / 4))
/// ```
///
/// # Panics
///
/// If the event is not of shape `[2]`.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::{Distribution, EightGaussians};
///
/// let at_centre = Tensor::<2>::from_data([[2.0, 0.0]], &Device::flex());
/// let log_prob = EightGaussians::default().log_prob(at_centre, None).into_scalar::<f32>();
/// let one_normal = -(8.0 * 2.0 * std::f32::consts::PI * 0.04).ln();
/// assert!((log_prob - one_normal).abs() < 1e-6);
/// ```
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[module(custom_display)]
pub struct EightGaussians {}

crate::display::display!(EightGaussians);

impl EightGaussians {
    /// The entropy in nats, by quadrature.
    pub const ENTROPY: f64 = 1.698_061_203_1;
}

/// The centre of normal `k`.
fn centre(k: usize) -> [f64; 2] {
    let (sin, cos) = (2.0 * PI * k as f64 / COUNT as f64).sin_cos();
    [RADIUS * cos, RADIUS * sin]
}

impl Distribution<2> for EightGaussians {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        check_event("EightGaussians", &[2], &x, context);
        let part = |k| Part { centre: centre(k), weight: 1.0 / COUNT as f64 };
        let parts: [_; COUNT] = std::array::from_fn(part);
        round_normals(x, &parts, STD)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        check_rows("EightGaussians", n, context);
        points(n, noise, device, |noise| {
            centre(noise.next_below(COUNT)).map(|c| c + STD * noise.next_normal())
        })
    }
}
