//! Rows of monotone maps without a closed-form inverse, in every structure.

use burn_flows::bijector::*;
use burn_flows::conditioner::Dependencies;
use burn_flows::testing::Suite;
use burn_flows::univariate::{
    AnyUnivariateConfig, BernsteinConfig, DeepSigmoidalConfig, GaussianizationConfig,
    MixtureOfLogisticsConfig, SumOfSquaresConfig,
};

use crate::layers::*;
use crate::{DEVICE, built};

rows! {
    bernstein_coupling: spline(BernsteinConfig::new().init()), at_ends(5.0);
    bernstein_coupling_context: coupling(4, Mask::Halves).with_context(2).init(BernsteinConfig::new().with_degree(6).with_bound(2.0).init(), &DEVICE), at_ends(2.0).with_context(2);
    bernstein_autoregressive: masked(BernsteinConfig::new().with_degree(9).init(), 0), at_ends(5.0).autoregressive(&[0, 1, 2, 3]);
    bernstein_free: free(BernsteinConfig::new().with_degree(8).with_min_rise(0.0).init()), at_ends(5.0);
    bernstein_any: spline(AnyUnivariateConfig::Bernstein(BernsteinConfig::new()).init()), at_ends(5.0);
    sum_of_squares_coupling: spline(SumOfSquaresConfig::new().init()), straight_ends(100.0);
    sum_of_squares_autoregressive: masked(SumOfSquaresConfig::new().with_degree(2).with_bound(3.0).init(), 2), straight_ends(30.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    sum_of_squares_free: free(SumOfSquaresConfig::new().with_degree(7).with_polynomials(1).with_spread(0.0).init()), straight_ends(100.0);
    sum_of_squares_any: spline(AnyUnivariateConfig::SumOfSquares(SumOfSquaresConfig::new()).init()), straight_ends(100.0);
    gaussianization_coupling: spline(GaussianizationConfig::new().init()), kernels();
    gaussianization_coupling_one: spline(GaussianizationConfig::new().with_components(1).with_spread(0.0).init()), kernels();
    gaussianization_autoregressive: masked(GaussianizationConfig::new().with_components(3).init(), 2), kernels().with_context(2).autoregressive(&[0, 1, 2, 3]);
    gaussianization_free: free(GaussianizationConfig::new().with_components(4).with_spread(3.0).init()), straight_ends(1e6);
    gaussianization_floor: free(GaussianizationConfig::new().with_components(4).with_floor(1e-6).init()), Suite::new([3, 4]).with_domain(-3.0, 3.0).with_range(-2.5, 2.5);
    gaussianization_any: spline(AnyUnivariateConfig::Gaussianization(GaussianizationConfig::new()).init()), kernels();
    mixture_of_logistics_coupling: spline(MixtureOfLogisticsConfig::new().init()), kernels();
    mixture_of_logistics_autoregressive: masked(MixtureOfLogisticsConfig::new().with_components(3).init(), 2), kernels().with_context(2).autoregressive(&[0, 1, 2, 3]);
    mixture_of_logistics_free: free(MixtureOfLogisticsConfig::new().with_components(2).with_spread(4.0).init()), straight_ends(1e6);
    mixture_of_logistics_image: image(MixtureOfLogisticsConfig::new().with_components(2).init(), Mask::Checkerboard, [1, 2, 3], 0), [2, 1, 2, 3];
    mixture_of_logistics_any: spline(AnyUnivariateConfig::MixtureOfLogistics(MixtureOfLogisticsConfig::new()).init()), kernels();
    deep_sigmoidal_coupling: spline(DeepSigmoidalConfig::new().init()), kernels();
    deep_sigmoidal_deep: spline(DeepSigmoidalConfig::new().with_units(3).with_layers(3).init()), kernels();
    deep_sigmoidal_autoregressive: masked(DeepSigmoidalConfig::new().with_units(2).with_layers(2).init(), 2), kernels().with_context(2).autoregressive(&[0, 1, 2, 3]);
    deep_sigmoidal_free: free(DeepSigmoidalConfig::new().with_units(5).init()), straight_ends(1e6);
    deep_sigmoidal_any: spline(AnyUnivariateConfig::DeepSigmoidal(DeepSigmoidalConfig::new()).init()), kernels();
    neural_coupling: spline(neural(0)), straight_ends(1e6);
    neural_coupling_each: spline(neural(2)), straight_ends(1e6);
    neural_autoregressive: masked(neural(0), 2), straight_ends(1e6).with_context(2).autoregressive(&[0, 1, 2, 3]);
    neural_autoregressive_each: masked(neural(4), 2), straight_ends(1e6).with_context(2).autoregressive(&[0, 1, 2, 3]);
    neural_reversed: MaskedAutoregressiveConfig::new(4).with_made(made().with_dependencies(Dependencies::Reversed)).init(neural(4), &DEVICE), straight_ends(1e6).autoregressive(&[3, 2, 1, 0]);
    neural_free: free(neural(4)), straight_ends(1e6);
    neural_any: masked(any_neural(), 0), straight_ends(1e6).autoregressive(&[0, 1, 2, 3]);
    unconstrained_coupling: spline(unconstrained(0)), straight_ends(20.0);
    unconstrained_coupling_each: spline(unconstrained(2)), straight_ends(20.0);
    unconstrained_autoregressive: masked(unconstrained(0), 2), straight_ends(20.0).with_context(2).autoregressive(&[0, 1, 2, 3]);
    unconstrained_autoregressive_each: masked(unconstrained(4), 0), straight_ends(20.0).autoregressive(&[0, 1, 2, 3]);
    unconstrained_free: free(unconstrained(4)), straight_ends(20.0);
    neural_passes: masked(neural(4), 0).with_inverse(PASSES).unwrap(), near([3, 4]).autoregressive(&[0, 1, 2, 3]);
    unconstrained_fixed_point: masked(unconstrained(4), 0).with_inverse(InverseMethod::FixedPoint { tolerance: 1e-13 }).unwrap(), near([3, 4]).autoregressive(&[0, 1, 2, 3]);
    // In the inverted layer, the gradients of parameters pass through the search.
    inverse_bernstein: Inverse::new(spline(BernsteinConfig::new().with_degree(8).init())), near([3, 4]);
    inverse_sum_of_squares: Inverse::new(masked(SumOfSquaresConfig::new().init(), 2)), near([3, 4]).with_context(2);
    inverse_gaussianization: Inverse::new(masked(GaussianizationConfig::new().with_components(3).init(), 0)), near([3, 4]);
    inverse_mixture_of_logistics: Inverse::new(spline(MixtureOfLogisticsConfig::new().with_components(3).init())), near([3, 4]);
    inverse_deep_sigmoidal: Inverse::new(masked(DeepSigmoidalConfig::new().with_units(3).with_layers(2).init(), 0)), near([3, 4]);
    inverse_neural: Inverse::new(masked(neural(4), 0)), near([3, 4]);
    inverse_neural_shared: Inverse::new(spline(neural(0))), near([3, 4]);
    inverse_unconstrained: Inverse::new(masked(unconstrained(4), 2)), near([3, 4]).with_context(2);
    inverse_free: Inverse::new(free(neural(4))), near([3, 4]);
}
