//! What the maps without an inverse formula share: a curve, its straight ends, the search.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use crate::error::{Error, Result};
use crate::math::sum_event;
use crate::solve::{Bracket, solve};

/// The largest raw parameter. Without it squares and products of parameters overflow f32; no map
/// needs a number of this size.
pub(super) const LARGEST_RAW: f64 = 1e6;

/// The largest raw log-scale: scales from 3e-7 to 3e6.
const LARGEST_LOG_SCALE: f64 = 15.0;

/// Where kernels of any scale end and their map goes on straight: beyond it squares overflow f32.
pub(super) const FAR: f64 = 1e6;

/// The steepest and the flattest log-slope of a straight end, `ln 1000`: a polynomial may reach any,
/// by which values of f32 would overflow, or none, by which the map would miss some.
const STEEPEST_END: f64 = 6.907_755_278_982_137;

/// The largest constant, and the largest first guess: what lies beyond is found by doubling.
const LARGEST_GUESS: f64 = 1e30;

/// A scalar map of every element, with its parameters worked out.
pub(super) trait Curve {
    /// From this distance to zero on, the map is a straight line, of a slope between 1/1000 and 1000.
    fn limit(&self) -> f64;

    /// `f(x)` and `ln f'(x)`, for `|x|` up to the limit.
    fn at(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>);

    /// Where `f(x) = z` is.
    fn bracket(&self, z: &Tensor<2>) -> Bracket {
        Bracket::near(z)
    }
}

/// A map of this kind.
pub(super) trait Curved: Module {
    type Curve: Curve;

    /// The curves of `[batch, P, n]` parameters.
    fn curve(&self, params: Tensor<3>) -> Self::Curve;

    /// Whether weights of its own are in a graph.
    fn in_graph(&self) -> bool {
        false
    }
}

/// Raw parameters clamped so that no later step overflows.
pub(super) fn tamed(raw: Tensor<3>) -> Tensor<3> {
    raw.clamp(-LARGEST_RAW, LARGEST_RAW)
}

/// Constants clamped so that no later step overflows.
pub(super) fn tamed_constant(raw: Tensor<2>) -> Tensor<2> {
    raw.clamp(-LARGEST_GUESS, LARGEST_GUESS)
}

/// Raw log-scales, the scales of which nothing overflows by.
pub(super) fn tamed_log_scale(raw: Tensor<3>) -> Tensor<3> {
    raw.clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)
}

/// `count` numbers from `-spread` to `spread`, at equal distances, `[1, count, 1]`.
///
/// Kernels that are alike get the same gradient and stay alike: behind a network whose last layer
/// starts at zero, this is all that tells them apart.
pub(super) fn offsets(count: usize, spread: f64, like: &Tensor<3>) -> Tensor<3> {
    let place = |k: usize| spread * ((2 * k + 1) as f64 / count as f64 - 1.0);
    let data = TensorData::new((0..count).map(place).collect::<Vec<_>>(), [1, count, 1]);
    Tensor::from_data(data, (&like.device().without_autodiff(), like.dtype()))
}

/// Returns an error unless a `spread` is valid.
pub(super) fn check_spread(config: &'static str, spread: f64) -> Result<()> {
    if (0.0..=10.0).contains(&spread) {
        return Ok(());
    }
    Err(Error::config(config, "spread", format!("must be in [0, 10], found {spread}")))
}

/// Value and log-slope anywhere.
fn along(curve: &impl Curve, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let limit = curve.limit();
    let inside = x.clone().clamp(-limit, limit);
    let (value, log_slope) = curve.at(inside.clone());
    let straight = log_slope.clone().clamp(-STEEPEST_END, STEEPEST_END);
    let outside = x.clone().without_autodiff().abs().greater_elem(limit);
    let beyond = (x - inside) * straight.clone().exp();
    (value + beyond, log_slope.mask_where(outside, straight))
}

/// [`Univariate::forward`](super::Univariate::forward).
pub(super) fn forward(
    map: &impl Curved,
    x: Tensor<2>,
    params: Tensor<3>,
) -> (Tensor<2>, Tensor<1>) {
    let (z, log_slope) = along(&map.curve(params), x);
    (z, sum_event(log_slope))
}

/// [`Univariate::inverse`](super::Univariate::inverse).
pub(super) fn inverse<M: Curved>(map: &M, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
    let plain = map.valid().curve(params.clone().without_autodiff());
    let bracket = plain.bracket(&z.clone().without_autodiff());
    let root = solve(&z, bracket, |x| {
        let (value, log_slope) = along(&plain, x);
        (value, log_slope.exp())
    });
    if z.is_autodiff() || params.is_autodiff() || map.in_graph() {
        return root.in_graph(z, |x| along(&map.curve(params), x).0);
    }
    root.value()
}

/// From the least to the largest along axis 1, one guess per kernel, and what rounding adds.
pub(super) fn between(guesses: Tensor<3>) -> Bracket {
    let [batch, _, n] = guesses.dims();
    let guesses = guesses.clamp(-LARGEST_GUESS, LARGEST_GUESS);
    let low = guesses.clone().min_dim(1).reshape([batch, n]);
    let high = guesses.max_dim(1).reshape([batch, n]);
    let center = low.clone() * 0.5 + high.clone() * 0.5;
    let slack = center.clone().abs().clamp_min(1.0) * 1e-5;
    Bracket::Around { center, radius: (high - low) * 0.5 + slack }
}
