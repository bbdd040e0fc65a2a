//! Rows of masked autoregressive layers of affine maps.

use burn::nn::PReluConfig;
use burn::nn::activation::ActivationConfig as BurnActivation;
use burn_flows::Noise;
use burn_flows::bijector::*;
use burn_flows::conditioner::{ActivationConfig, Degrees, Dependencies, MadeConfig};
use burn_flows::testing::Check;
use burn_flows::univariate::Additive;

use crate::layers::*;
use crate::{DEVICE, built};

rows! {
    autoregressive_forward: autoregressive(5, made(), 0), near([3, 5]).autoregressive(&[0, 1, 2, 3, 4]);
    autoregressive_reversed: autoregressive(5, made().with_dependencies(Dependencies::Reversed), 0), near([3, 5]).autoregressive(&[4, 3, 2, 1, 0]);
    autoregressive_order: autoregressive(4, made().with_dependencies(Dependencies::Order(vec![2, 0, 3, 1])), 0), near([3, 4]).autoregressive(&[2, 0, 3, 1]);
    autoregressive_random: autoregressive(6, made().with_dependencies(Dependencies::Random(3)).with_degrees(Degrees::Random(1)), 0), near([3, 6]).autoregressive(&Noise::seeded(3).permutation(6));
    autoregressive_many_steps: autoregressive(19, MadeConfig::new(vec![40, 41]).with_degrees(Degrees::Random(2)), 0), near([2, 19]).autoregressive(&(0..19).collect::<Vec<_>>());
    autoregressive_context: autoregressive(4, made(), 2), near([3, 4]).with_context(2).autoregressive(&[0, 1, 2, 3]);
    autoregressive_one_layer: autoregressive(3, MadeConfig::new(vec![4]), 0), near([3, 3]).autoregressive(&[0, 1, 2]);
    autoregressive_random_last: autoregressive(4, made().with_zero_last(false), 0), near([3, 4]).autoregressive(&[0, 1, 2, 3]);
    autoregressive_residual: autoregressive(5, made_residual(), 0), near([3, 5]).autoregressive(&[0, 1, 2, 3, 4]);
    autoregressive_residual_random: autoregressive(6, made_residual().with_dependencies(Dependencies::Random(8)).with_degrees(Degrees::Random(5)), 2), near([3, 6]).with_context(2).autoregressive(&Noise::seeded(8).permutation(6));
    autoregressive_residual_many_steps: autoregressive(17, MadeConfig::new(vec![36, 36]).with_residual(true), 1), near([2, 17]).with_context(1).autoregressive(&(0..17).collect::<Vec<_>>());
    autoregressive_graph: autoregressive(5, made().with_dependencies(graph()), 0), near([3, 5]).autoregressive(&[1, 3, 4, 2, 0]);
    autoregressive_graph_residual: autoregressive(5, made_residual().with_dependencies(graph()), 1), near([3, 5]).with_context(1).autoregressive(&[4, 2, 3, 0, 1]);
    autoregressive_adjacency: autoregressive(3, made().with_dependencies(Dependencies::Adjacency(vec![vec![false, true, true], vec![false; 3], vec![false; 3]])), 0), near([3, 3]).autoregressive(&[2, 1, 0]);
    // A single feature has no inputs, so the first layer of its network has no gradient.
    autoregressive_one_feature: autoregressive(1, made(), 0), near([3, 1]).without(Check::Gradients);
    autoregressive_one_feature_context: autoregressive(1, made_residual(), 2), near([3, 1]).with_context(2).without(Check::Gradients);
    autoregressive_two_features: autoregressive(2, made(), 0), near([3, 2]).autoregressive(&[0, 1]);
    autoregressive_passes: autoregressive(4, made(), 1).with_inverse(PASSES).unwrap(), near([3, 4]).with_context(1).autoregressive(&[0, 1, 2, 3]);
    autoregressive_fixed_point: autoregressive(4, made_residual(), 0).with_inverse(InverseMethod::FixedPoint { tolerance: 1e-13 }).unwrap(), near([3, 4]).autoregressive(&[0, 1, 2, 3]);
    autoregressive_additive: MaskedAutoregressiveConfig::new(4).with_made(made()).init(Additive::default(), &DEVICE), near([3, 4]).autoregressive(&[0, 1, 2, 3]);
    autoregressive_image: autoregressive(8, made(), 0), near([2, 2, 2, 2]).autoregressive(&[0, 1, 2, 3, 4, 5, 6, 7]);
    autoregressive_inverse: Inverse::new(autoregressive(4, made_residual(), 1)), near([3, 4]).with_context(1);
    autoregressive_any: any_autoregressive(), near([3, 3]).autoregressive(&[0, 1, 2]);
    autoregressive_prelu: autoregressive(3, MadeConfig::new(vec![5]).with_activation(ActivationConfig::Burn(BurnActivation::PRelu(PReluConfig::new()))), 0), near([3, 3]);
}
