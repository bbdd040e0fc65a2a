//! Rows of splines, in every structure.

use std::f64::consts::PI;

use burn_flows::bijector::*;
use burn_flows::testing::Check;
use burn_flows::univariate::{
    Affine, AnyUnivariateConfig, CubicSplineConfig, HalfTurn, KnotMap, LinearSplineConfig,
    PerElement, QuadraticSplineConfig, RationalQuadratic, SplineDomain, TailSlope,
};

use crate::layers::*;
use crate::{DEVICE, built};

rows! {
    rqs_coupling: spline(rqs(8, TAILS).init()), at_ends(3.0);
    rqs_coupling_two_bins: spline(rqs(2, TAILS).init()), at_ends(3.0);
    rqs_coupling_context: coupling(4, Mask::Halves).with_context(2).init(rqs(5, TAILS).init(), &DEVICE), at_ends(3.0).with_context(2);
    rqs_coupling_unit: spline(rqs(6, UNIT).init()), inside(0.0, 1.0);
    rqs_coupling_interval: spline(rqs(3, SplineDomain::Interval { low: -2.0, high: 5.0 }).init()), inside(-2.0, 5.0);
    rqs_coupling_circle: spline(rqs(5, CIRCLE).init()), at_ends(PI);
    rqs_coupling_soft_bound: spline(rqs(5, TAILS).with_knot_map(ZUKO).init()), at_ends(3.0);
    rqs_coupling_free_ends: spline(rqs(4, SplineDomain::Interval { low: -3.0, high: 3.0 }).init()), at_ends(3.0);
    rqs_coupling_scaled: spline(rqs(4, TAILS).with_knot_map(KnotMap::Softmax { logit_scale: 0.25, slope_offset: Some(0.0) }).init()), at_ends(3.0);
    rqs_image: image(rqs(4, TAILS).init(), Mask::Checkerboard, [1, 2, 3], 0), [2, 1, 2, 3];
    rqs_elementwise: Elementwise::<RationalQuadratic>::new(rqs(8, TAILS).init(), 4, &DEVICE).unwrap(), at_ends(3.0).without(Check::Gradients); // a slope changes values in its two bins only
    rqs_elementwise_circle: Elementwise::new(rqs(2, CIRCLE).init(), 4, &DEVICE).unwrap(), at_ends(PI);
    rqs_elementwise_unit: Elementwise::new(rqs(2, UNIT).init(), 4, &DEVICE).unwrap(), inside(0.0, 1.0);
    half_turn: spline(HalfTurn::new(rqs(4, ANGLE).init(), PI).unwrap()), on_circle();
    half_turn_any: spline(AnyUnivariateConfig::HalfTurn { bound: PI, spline: rqs(3, ANGLE).with_knot_map(ZUKO) }.init()), on_circle();
    rqs_autoregressive: masked_spline(4, 0, rqs(5, TAILS).init()), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_context: masked_spline(4, 2, rqs(3, TAILS).init()), at_ends(3.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_passes: masked_spline(4, 0, rqs(4, TAILS).init()).with_inverse(PASSES).unwrap(), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_unit: masked_spline(4, 0, rqs(6, UNIT).init()), inside(0.0, 1.0).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_unit_passes: masked_spline(4, 0, rqs(3, UNIT).init()).with_inverse(PASSES).unwrap(), inside(0.0, 1.0).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_circle: masked_spline(4, 0, rqs(4, CIRCLE).init()), at_ends(PI).autoregressive(&[0, 1, 2, 3]);
    rqs_autoregressive_circle_passes: masked_spline(4, 1, rqs(4, CIRCLE).init()).with_inverse(PASSES).unwrap(), at_ends(PI).with_context(1).autoregressive(&[0, 1, 2, 3]);
    linear_spline_coupling: spline(linear(8, TAILS)), at_ends(3.0);
    linear_spline_coupling_two_bins: spline(linear(2, TAILS)), at_ends(3.0);
    linear_spline_coupling_unit: spline(linear(6, UNIT)), inside(0.0, 1.0);
    linear_spline_coupling_circle: spline(linear(5, CIRCLE)), at_ends(PI);
    linear_spline_coupling_no_floor: spline(LinearSplineConfig::new().with_bins(5).with_domain(UNIT).with_min_height(0.0).init()), inside(0.0, 1.0);
    linear_spline_autoregressive: masked_spline(4, 0, linear(5, TAILS)), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    linear_spline_autoregressive_unit: masked_spline(4, 2, linear(3, UNIT)), inside(0.0, 1.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    linear_spline_elementwise: Elementwise::new(linear(4, TAILS), 4, &DEVICE).unwrap(), at_ends(3.0);
    linear_spline_any: spline(AnyUnivariateConfig::LinearSpline(LinearSplineConfig::new()).init()), at_ends(5.0);
    quadratic_spline_coupling: spline(quadratic(8, TAILS)), at_ends(3.0);
    quadratic_spline_coupling_two_bins: spline(quadratic(2, TAILS)), at_ends(3.0);
    quadratic_spline_coupling_unit: spline(quadratic(6, UNIT)), inside(0.0, 1.0);
    quadratic_spline_coupling_circle: spline(quadratic(5, CIRCLE)), at_ends(PI);
    quadratic_spline_coupling_as_nflows: spline(QuadraticSplineConfig::new().with_bins(5).with_domain(TAILS).with_tail_slope(TailSlope::Nflows).with_logit_scale(0.5).init()), at_ends(3.0);
    quadratic_spline_autoregressive: masked_spline(4, 0, quadratic(5, TAILS)), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    quadratic_spline_autoregressive_unit: masked_spline(4, 2, quadratic(3, UNIT)), inside(0.0, 1.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    quadratic_spline_elementwise: Elementwise::new(quadratic(3, CIRCLE), 4, &DEVICE).unwrap(), at_ends(PI);
    quadratic_spline_any: spline(AnyUnivariateConfig::QuadraticSpline(QuadraticSplineConfig::new()).init()), at_ends(5.0);
    cubic_spline_coupling: spline(cubic(8, TAILS)), at_ends(3.0);
    cubic_spline_coupling_two_bins: spline(cubic(2, TAILS)), at_ends(3.0);
    cubic_spline_coupling_unit: spline(cubic(6, UNIT)), inside(0.0, 1.0);
    cubic_spline_coupling_circle: spline(cubic(5, CIRCLE)), at_ends(PI);
    cubic_spline_coupling_two_bins_circle: spline(cubic(2, CIRCLE)), at_ends(PI);
    cubic_spline_coupling_as_nflows: spline(CubicSplineConfig::new().with_bins(5).with_domain(TAILS).with_min_slope(0.0).with_end_offset(Some(0.0)).with_logit_scale(0.5).init()), at_ends(3.0);
    cubic_spline_autoregressive: masked_spline(4, 0, cubic(5, TAILS)), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    cubic_spline_autoregressive_unit: masked_spline(4, 2, cubic(3, UNIT)), inside(0.0, 1.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    cubic_spline_elementwise: Elementwise::new(cubic(2, UNIT), 4, &DEVICE).unwrap(), inside(0.0, 1.0);
    cubic_spline_any: spline(AnyUnivariateConfig::CubicSpline(CubicSplineConfig::new()).init()), at_ends(5.0);
    per_element: Elementwise::new(mixed(), 4, &DEVICE).unwrap(), at_ends(3.0).without(Check::Gradients); // only the third map uses all parameters
    per_element_bounds: Elementwise::new(bounds(), 4, &DEVICE).unwrap(), at_ends(3.0).without(Check::Gradients); // a slope changes values in its two bins only
    per_element_coupling: spline(PerElement::new(vec![rqs(3, TAILS).init(), rqs(2, TAILS).init()], vec![1, 1]).unwrap()), at_ends(3.0).without(Check::Gradients); // no element uses the larger map
    per_element_masked: masked_spline(4, 0, bounds()), at_ends(3.0).autoregressive(&[0, 1, 2, 3]);
    per_element_masked_context: masked_spline(4, 1, bounds()), at_ends(3.0).with_context(1);
    per_element_masked_kinds: masked_spline(4, 0, mixed()), at_ends(3.0).without(Check::Gradients);
    per_element_passes: masked_spline(4, 0, bounds()).with_inverse(PASSES).unwrap(), at_ends(3.0);
    per_element_half_turn: with_angles(made(), HalfTurn::new(PerElement::new(vec![rqs(3, ANGLE).init(), rqs(3, ANGLE).with_knot_map(ZUKO).init()], vec![1, 0, 1, 1]).unwrap(), PI).unwrap()), on_circle();
    periodic_coupling: with_angle(0), at_ends(3.0);
    periodic_coupling_context: with_angle(2), at_ends(3.0).with_context(2);
    periodic_masked: with_angles(made(), rqs(3, CIRCLE).init()), at_ends(PI).autoregressive(&[3, 2, 1, 0]);
    periodic_masked_residual: with_angles(made_residual(), rqs(3, CIRCLE).init()), at_ends(PI);
    periodic_masked_passes: with_angles(made(), Affine::default()).with_inverse(PASSES).unwrap(), near([3, 4]);
    rqs_any: spline(AnyUnivariateConfig::RationalQuadratic(rqs(4, TAILS)).init()), at_ends(3.0);
}
