//! What a row knows more than the shape of its batches.

use std::f64::consts::PI;

use burn_flows::testing::Suite;

/// Data and latents of a size at which a few autoregressive steps do not overflow.
pub fn near<const D: usize>(shape: [usize; D]) -> Suite<D> {
    Suite::new(shape).with_domain(-4.0, 4.0).with_range(-4.0, 4.0)
}

/// On the whole line, with values at the ends of an interval and just outside.
pub fn at_ends(bound: f64) -> Suite<2> {
    let edges = [bound, -bound, 1.0001 * bound, -1.0001 * bound, 1e30, -1e30];
    Suite::new([3, 4]).with_edges(&edges).with_range_edges(&edges)
}

/// On the whole line, with values where a map becomes straight, and far beyond.
pub fn straight_ends(bound: f64) -> Suite<2> {
    let edges = [bound, -bound, 1.0001 * bound, -1.0001 * bound, 1e10, -1e10];
    Suite::new([3, 4]).with_edges(&edges).with_range_edges(&edges)
}

/// For mixtures whose network sees data: far out it parts their kernels until nothing lies between
/// them, and what falls there has no way back.
pub fn kernels() -> Suite<2> {
    let edges = [1e6, -1e6, 1e10, -1e10];
    near([3, 4]).with_edges(&edges).with_range_edges(&edges)
}

/// Angles.
pub fn on_circle() -> Suite<2> {
    Suite::new([3, 4])
        .with_domain(-PI, PI)
        .with_range(-PI, PI)
        .with_edges(&[PI, -PI, 0.0, 40.0, 1e30])
}

/// On an interval, with its ends and values outside.
pub fn inside(low: f64, high: f64) -> Suite<2> {
    let edges = [low, high, low - 1e-6, high + 1e-6];
    let suite = Suite::new([3, 4]).with_domain(low, high).with_range(low, high);
    suite.with_edges(&edges).with_range_edges(&edges)
}
