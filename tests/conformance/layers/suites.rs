//! Suites for rows that need more than the shape of the batch.

use std::f64::consts::PI;

use burn_flows::testing::Suite;

/// Data and latents in a range in which a few autoregressive layers do not overflow.
pub fn near<const D: usize>(shape: [usize; D]) -> Suite<D> {
    Suite::new(shape).with_domain(-4.0, 4.0).with_range(-4.0, 4.0)
}

/// Data and latents on the real line, at the ends of an interval and just outside of it.
pub fn at_ends(bound: f64) -> Suite<2> {
    let edges = [bound, -bound, 1.0001 * bound, -1.0001 * bound, 1e30, -1e30];
    Suite::new([3, 4]).with_edges(&edges).with_range_edges(&edges)
}

/// Data and latents on the real line, at the points where a map becomes linear and far outside.
pub fn straight_ends(bound: f64) -> Suite<2> {
    let edges = [bound, -bound, 1.0001 * bound, -1.0001 * bound, 1e10, -1e10];
    Suite::new([3, 4]).with_edges(&edges).with_range_edges(&edges)
}

/// For mixtures whose network reads the data. Large inputs separate the kernels so far that points
/// between them have no inverse.
pub fn kernels() -> Suite<2> {
    let edges = [1e6, -1e6, 1e10, -1e10];
    near([3, 4]).with_edges(&edges).with_range_edges(&edges)
}

/// Data and latents are angles.
pub fn on_circle() -> Suite<2> {
    Suite::new([3, 4])
        .with_domain(-PI, PI)
        .with_range(-PI, PI)
        .with_edges(&[PI, -PI, 0.0, 40.0, 1e30])
}

/// Data and latents on an interval, at its ends and outside of it.
pub fn inside(low: f64, high: f64) -> Suite<2> {
    let edges = [low, high, low - 1e-6, high + 1e-6];
    let suite = Suite::new([3, 4]).with_domain(low, high).with_range(low, high);
    suite.with_edges(&edges).with_range_edges(&edges)
}
