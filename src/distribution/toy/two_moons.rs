//! Two interleaved half circles with normal noise.

use std::f64::consts::PI;
use std::sync::LazyLock;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Part, points, round_normals};
use crate::distribution::{Distribution, check_event};
use crate::noise::Noise;
use crate::quadrature::gauss_legendre;
use crate::rows::check_rows;

const STD: f64 = 0.1;

/// Number of quadrature nodes over the angle of one moon. 96 nodes give the density near the moons all
/// its digits. The additional nodes serve distant points, where the integrand is narrower.
const NODES: usize = 128;

/// Two moons: half circles of radius 1 around (0, 0) and (1, 0.5), the second mirrored, with
/// normal noise of standard deviation 0.1.
///
/// ```text
/// log p(x) = ln (1/2) sum over moons (1/pi) int_0^pi N(x; m(t), 0.1^2) dt
/// m(t) = (cos t, sin t)  and  (1 - cos t, 0.5 - sin t)
/// sample     a moon, t uniform on [0, pi], m(t) + 0.1 * noise
/// ```
///
/// The shape is that of scikit-learn's `make_moons`. There the angles form a grid; here they are
/// uniform.
///
/// # Numerics
///
/// The density is an integral over the angle, evaluated with 128 Gauss-Legendre nodes per moon. Within
/// 3.5 of the middle, (0.5, 0.25), the relative error of the density is below 1e-12; `log_prob` goes
/// down to -500 there. Farther away, the relative error of `log_prob` is at most 1e-9 up to a distance
/// of 8 and 1e-6 up to a distance of 40. One row takes memory for 256 numbers.
///
/// # Panics
///
/// If the event is not of shape `[2]`.
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::{Noise, distribution::{Distribution, TwoMoons}};
///
/// let moons = TwoMoons::default();
/// let x = moons.sample(2000, None, &mut Noise::seeded(1), &Device::flex());
/// let nll = -moons.log_prob(x, None).mean().into_scalar::<f64>();
/// assert!((nll - TwoMoons::ENTROPY).abs() < 0.05);
/// ```
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[module(custom_display)]
pub struct TwoMoons {}

crate::display::display!(TwoMoons);

impl TwoMoons {
    /// The entropy in nats, by quadrature.
    pub const ENTROPY: f64 = 1.007_584_834_8;
}

/// The point of a moon at the angle `t`.
fn moon(second: bool, t: f64) -> [f64; 2] {
    let (sin, cos) = t.sin_cos();
    if second { [1.0 - cos, 0.5 - sin] } else { [cos, sin] }
}

/// The moons as a mixture of small normals, one for each node of the quadrature.
fn nodes(count: usize) -> Vec<Part> {
    let (nodes, weights) = gauss_legendre(count);
    let part = |second: bool, (u, weight): (f64, f64)| Part {
        centre: moon(second, PI * u),
        weight: 0.5 * weight,
    };
    let rule = nodes.into_iter().zip(weights);
    rule.flat_map(|node| [part(false, node), part(true, node)]).collect()
}

impl Distribution<2> for TwoMoons {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        static PARTS: LazyLock<Vec<Part>> = LazyLock::new(|| nodes(NODES));
        check_event("TwoMoons", &[2], &x, context);
        round_normals(x, &PARTS, STD)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        check_rows("TwoMoons", n, context);
        points(n, noise, device, |noise| {
            let second = noise.next_below(2) == 1;
            moon(second, PI * noise.next_uniform()).map(|c| c + STD * noise.next_normal())
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, TensorData};

    use super::*;

    #[test]
    fn the_parts_weigh_one() {
        let weights: f64 = nodes(NODES).iter().map(|part| part.weight).sum();
        assert!((weights - 1.0).abs() < 1e-14);
    }

    /// The log-densities of points around (0.5, 0.25) at these distances, with 128 and with 1024 nodes.
    fn both_rules(distances: [f64; 3]) -> (Vec<f64>, Vec<f64>) {
        let values: Vec<f64> = distances
            .iter()
            .flat_map(|r| (0..60).map(move |k| (r, f64::from(k) * PI / 30.0)))
            .flat_map(|(r, t)| [0.5 + r * t.cos(), 0.25 + r * t.sin()])
            .collect();
        let data = TensorData::new(values, [180, 2]);
        let x = Tensor::<2>::from_data(data, (&Device::flex(), DType::F64));
        let host = |t: Tensor<1>| t.into_data().try_to_vec_as::<f64>().unwrap();
        let fine = round_normals(x.clone(), &nodes(1024), STD);
        (host(TwoMoons::default().log_prob(x, None)), host(fine))
    }

    #[test]
    fn more_nodes_change_nothing_near_the_moons() {
        let (found, fine) = both_rules([0.3, 1.2, 3.5]);
        for (a, b) in found.iter().zip(&fine) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn far_away_the_error_stays_as_small_as_documented() {
        for (distances, limit) in [([4.0, 6.0, 8.0], 1e-9), ([10.0, 20.0, 40.0], 1e-6)] {
            let (found, fine) = both_rules(distances);
            for (a, b) in found.iter().zip(&fine) {
                assert!((a - b).abs() < limit * b.abs(), "{a} {b}");
            }
        }
    }
}
