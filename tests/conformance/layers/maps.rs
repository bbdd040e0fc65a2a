//! Scalar maps, and layers of them.

use std::f64::consts::PI;

use burn_flows::bijector::*;
use burn_flows::conditioner::{Dependencies, MadeConfig, Mlp, Periodic};
use burn_flows::univariate::{
    AnyUnivariate, CubicSpline, CubicSplineConfig, KnotMap, LinearSpline, LinearSplineConfig,
    Neural, NeuralConfig, PerElement, QuadraticSpline, QuadraticSplineConfig, RationalQuadratic,
    RationalQuadraticConfig, SplineDomain, UnconstrainedMonotonic, UnconstrainedMonotonicConfig,
    Univariate,
};

use super::{coupling, made, mlp};
use crate::DEVICE;

/// Four elements, each with its own parameters.
pub fn free<U: Univariate>(map: U) -> Elementwise<U> {
    Elementwise::new(map, 4, &DEVICE).unwrap()
}

/// A map with a separate network for each of `elements` elements. With 0, all elements share one
/// network.
pub fn neural(elements: usize) -> Neural {
    let config = NeuralConfig::new().with_signal(3).with_hidden(vec![6, 5]);
    config.with_elements(elements).init(&DEVICE)
}

pub fn unconstrained(elements: usize) -> UnconstrainedMonotonic {
    // More nodes than the default, because the gradient of the inverse is only as accurate as the
    // quadrature.
    let config =
        UnconstrainedMonotonicConfig::new().with_signal(3).with_hidden(vec![6, 5]).with_nodes(64);
    config.with_elements(elements).init(&DEVICE)
}

pub fn any_neural() -> AnyUnivariate {
    AnyUnivariate::Neural(neural(4))
}

pub const TAILS: SplineDomain = SplineDomain::LinearTails { bound: 3.0 };
pub const UNIT: SplineDomain = SplineDomain::Interval { low: 0.0, high: 1.0 };
pub const CIRCLE: SplineDomain = SplineDomain::Circular { bound: PI };
pub const ANGLE: SplineDomain = SplineDomain::LinearTails { bound: PI };
pub const ZUKO: KnotMap = KnotMap::SoftBound { bound: 6.9 };

pub fn rqs(bins: usize, domain: SplineDomain) -> RationalQuadraticConfig {
    RationalQuadraticConfig::new().with_bins(bins).with_domain(domain)
}

pub fn linear(bins: usize, domain: SplineDomain) -> LinearSpline {
    LinearSplineConfig::new().with_bins(bins).with_domain(domain).init()
}

pub fn quadratic(bins: usize, domain: SplineDomain) -> QuadraticSpline {
    QuadraticSplineConfig::new().with_bins(bins).with_domain(domain).init()
}

pub fn cubic(bins: usize, domain: SplineDomain) -> CubicSpline {
    CubicSplineConfig::new().with_bins(bins).with_domain(domain).init()
}

pub fn spline<U: Univariate>(map: U) -> Coupling<U, Mlp> {
    coupling(4, Mask::Alternating).init(map, &DEVICE)
}

pub fn masked_spline<U: Univariate>(
    features: usize,
    context: usize,
    map: U,
) -> MaskedAutoregressive<U> {
    let config = MaskedAutoregressiveConfig::new(features).with_made(made()).with_context(context);
    config.init(map, &DEVICE)
}

/// Four features with three kinds of splines: an angle, the real line twice, an interval.
pub fn mixed() -> PerElement<RationalQuadratic> {
    let domains = [CIRCLE, TAILS, SplineDomain::Interval { low: -3.0, high: 3.0 }];
    PerElement::new(domains.map(|domain| rqs(3, domain).init()).to_vec(), vec![0, 1, 2, 1]).unwrap()
}

/// Splines with different bounds and the same number of parameters.
pub fn bounds() -> PerElement<RationalQuadratic> {
    let map = |bound| rqs(3, SplineDomain::LinearTails { bound }).init();
    PerElement::new(vec![map(3.0), map(1.0)], vec![0, 1, 1, 0]).unwrap()
}

/// A coupling whose network has an angle as input.
pub fn with_angle(context: usize) -> Coupling<RationalQuadratic, Mlp> {
    let angle = Periodic { inputs: vec![1], period: 2.0 * PI };
    let config = coupling(4, Mask::Alternating).with_mlp(mlp().with_periodic(Some(angle)));
    config.with_context(context).init(rqs(3, TAILS).init(), &DEVICE)
}

/// A masked layer whose network has angles as inputs.
pub fn with_angles<U: Univariate>(made: MadeConfig, map: U) -> MaskedAutoregressive<U> {
    let angles = Periodic { inputs: vec![3, 0], period: 2.0 * PI };
    let made = made.with_periodic(Some(angles)).with_dependencies(Dependencies::Reversed);
    MaskedAutoregressiveConfig::new(4).with_made(made).init(map, &DEVICE)
}
