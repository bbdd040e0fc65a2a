//! Concentric rings.

use std::f64::consts::{PI, SQRT_2};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{constants, points, radius};
use crate::distribution::{Distribution, check_event};
use crate::math::{log_sum_exp, wide};
use crate::noise::Noise;
use crate::rows::check_rows;

const RADII: [f64; 4] = [0.75, 1.5, 2.25, 3.0];
const STD: f64 = 0.1;

/// Four rings of radius 0.75, 1.5, 2.25 and 3, equally probable, with a normal profile of standard
/// deviation 0.1 across.
///
/// ```text
/// p(x) = (1/4) sum_k exp(-(r - R_k)^2 / (2 s^2)) / C_k        r = |x|
/// C_k = 2 pi (s^2 exp(-R_k^2 / (2 s^2)) + R_k s sqrt(2 pi) Phi(R_k / s))
/// sample     a ring, an angle, and r with density proportional to r exp(-(r - R)^2 / (2 s^2))
/// ```
///
/// `C` is the integral of the ring over the plane; `Phi` is the normal distribution function.
///
/// # Panics
///
/// If the event is not of shape `[2]`.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::{Distribution, Rings};
///
/// let x = Tensor::<2>::from_data([[1.5, 0.0], [0.0, -1.5], [1.0, 0.5]], &Device::flex());
/// let log_prob = Rings::default().log_prob(x, None).into_data().try_to_vec_as::<f32>().unwrap();
/// assert!((log_prob[0] - log_prob[1]).abs() < 1e-6 && log_prob[2] < log_prob[0] - 3.0);
/// ```
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Rings {}

crate::display::display!(Rings);

impl Rings {
    /// The entropy in nats, by quadrature.
    pub const ENTROPY: f64 = 2.846_954_703_0;
}

/// `C`, the integral of a ring over the plane.
fn mass(ring: f64) -> f64 {
    let y = ring / STD;
    let below = 0.5 * libm::erfc(-y / SQRT_2);
    2.0 * PI * STD * (STD * (-0.5 * y * y).exp() + ring * (2.0 * PI).sqrt() * below)
}

/// A radius of a ring: rejection from a normal around `R + s^2 / R`.
///
/// `r <= R exp(r / R - 1)`, with equality at `R`, bounds the density by that normal. So a proposal is
/// accepted with probability `r / R exp(1 - r / R)`, which is close to 1.
fn draw_radius(ring: f64, noise: &mut Noise) -> f64 {
    loop {
        let ratio = (ring + STD * (STD / ring + noise.next_normal())) / ring;
        if noise.next_uniform() < ratio * (1.0 - ratio).exp() {
            return ratio * ring;
        }
    }
}

impl Distribution<2> for Rings {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        check_event("Rings", &[2], &x, context);
        let (batch, x) = (x.dims()[0], wide(x));
        let shape = [1, RADII.len()];
        let rings = constants(RADII.to_vec(), shape, &x);
        let masses = RADII.map(|ring| (mass(ring) * RADII.len() as f64).ln());
        let log_mass = constants(masses.to_vec(), shape, &x);
        let standard = (radius(x) - rings) / STD;
        log_sum_exp(standard.square() * -0.5 - log_mass, 1).reshape([batch])
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        check_rows("Rings", n, context);
        points(n, noise, device, |noise| {
            let r = draw_radius(RADII[noise.next_below(RADII.len())], noise);
            let (sin, cos) = (2.0 * PI * noise.next_uniform()).sin_cos();
            [r * cos, r * sin]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integral of `f(r)` times the profile of a ring over the radius, by midpoints.
    fn integral(ring: f64, f: impl Fn(f64) -> f64) -> f64 {
        let step = 1e-4;
        let at = |k: i32| step * (f64::from(k) + 0.5);
        let term = |r: f64| f(r) * (-0.5 * ((r - ring) / STD).powi(2)).exp() * step;
        (0..50_000).map(|k| term(at(k))).sum()
    }

    #[test]
    fn the_mass_is_the_integral_over_the_plane() {
        for ring in [0.05, 0.1, 0.75, 3.0] {
            let expected = integral(ring, |r| 2.0 * PI * r);
            assert!((mass(ring) - expected).abs() < 1e-7 * expected, "{ring}");
        }
    }

    #[test]
    fn a_radius_has_the_moments_of_its_density_even_where_many_are_rejected() {
        let ring = STD; // as wide as its radius
        let mut noise = Noise::seeded(1);
        let n = 40_000;
        let draws: Vec<f64> = (0..n).map(|_| draw_radius(ring, &mut noise)).collect();
        for power in [1, 2] {
            let found = draws.iter().map(|r| r.powi(power)).sum::<f64>() / f64::from(n);
            let moment = |p: i32| integral(ring, |r| r.powi(p + 1)) / integral(ring, |r| r);
            let expected = moment(power);
            let error = ((moment(2 * power) - expected * expected) / f64::from(n)).sqrt();
            assert!((found - expected).abs() < 4.0 * error, "{found} against {expected}");
        }
    }
}
