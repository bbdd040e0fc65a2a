//! Shared code of the maps without an inverse formula: a curve, its straight ends, the search.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use crate::error::{Error, Result};
use crate::math::sum_event;
use crate::solve::{Bracket, solve};

/// The largest raw parameter. Without a bound, squares and products of parameters overflow f32. No map
/// needs a parameter of this size.
pub(super) const LARGEST_RAW: f64 = 1e6;

/// The largest raw log-scale: scales from 3e-7 to 3e6.
const LARGEST_LOG_SCALE: f64 = 15.0;

/// From this distance on a map of kernels is a straight line. Beyond it, squares overflow f32.
pub(super) const FAR: f64 = 1e6;

/// The largest absolute log-slope of a straight end, `ln 1000`. A polynomial may be steeper, and then
/// values overflow f32. It may also be so flat that the map does not reach some values.
const STEEPEST_END: f64 = 6.907_755_278_982_137;

/// The largest constant, and the largest first guess of the search. The search finds larger values by
/// doubling its bracket.
const LARGEST_GUESS: f64 = 1e30;

/// The scalar maps of all elements of a batch, with their parameters computed.
pub(super) trait Curve {
    /// For `|x|` beyond this limit, the map is a straight line with a slope from 1/1000 to 1000.
    fn limit(&self) -> f64;

    /// `f(x)` and `ln f'(x)`, for `|x|` up to the limit.
    fn at(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>);

    /// A bracket around the solution of `f(x) = z`.
    fn bracket(&self, z: &Tensor<2>) -> Bracket {
        Bracket::near(z)
    }
}

/// A scalar map that is evaluated as a [`Curve`].
pub(super) trait Curved: Module {
    type Curve: Curve;

    /// The curves for parameters `[batch, P, n]`.
    fn curve(&self, params: Tensor<3>) -> Self::Curve;

    /// Whether the map owns weights that are in an autodiff graph.
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

/// Raw log-scales clamped so that no scale makes a later step overflow.
pub(super) fn tamed_log_scale(raw: Tensor<3>) -> Tensor<3> {
    raw.clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE)
}

/// `count` evenly spaced numbers between `-spread` and `spread`, `[1, count, 1]`.
///
/// Kernels with equal parameters get equal gradients and stay equal. If the last layer of the network
/// before them starts at zero, only these offsets make the kernels differ.
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

/// The value and the log-slope at any `x`, including the straight ends.
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

/// A bracket from the least to the largest guess along axis 1, one guess per kernel, plus a margin for
/// rounding.
pub(super) fn between(guesses: Tensor<3>) -> Bracket {
    let [batch, _, n] = guesses.dims();
    let guesses = guesses.clamp(-LARGEST_GUESS, LARGEST_GUESS);
    let low = guesses.clone().min_dim(1).reshape([batch, n]);
    let high = guesses.max_dim(1).reshape([batch, n]);
    let center = low.clone() * 0.5 + high.clone() * 0.5;
    let slack = center.clone().abs().clamp_min(1.0) * 1e-5;
    Bracket::Around { center, radius: (high - low) * 0.5 + slack }
}
