//! Rows of couplings of vectors: masks, scales, networks.

use burn::nn::PReluConfig;
use burn::nn::activation::ActivationConfig as BurnActivation;
use burn_flows::bijector::*;
use burn_flows::conditioner::MlpConfig;
use burn_flows::testing::Suite;
use burn_flows::univariate::{Additive, AnyUnivariateConfig, ScaleMap};

use crate::layers::*;
use crate::{DEVICE, built};

rows! {
    coupling_halves: affine(coupling(4, Mask::Halves)), [3, 4];
    coupling_halves_odd: affine(coupling(5, Mask::Halves)), [3, 5];
    coupling_halves_flipped: affine(coupling(5, Mask::Halves.flipped())), [3, 5];
    coupling_alternating: affine(coupling(5, Mask::Alternating)), [3, 5];
    coupling_alternating_flipped: affine(coupling(5, Mask::Alternating.flipped())), [3, 5];
    coupling_random: affine(coupling(7, Mask::Random(5))), [3, 7];
    coupling_random_flipped: affine(coupling(6, Mask::Random(5).flipped())), [3, 6];
    coupling_kept: affine(coupling(6, Mask::Kept(vec![4, 0]))), [3, 6];
    coupling_kept_last: affine(coupling(4, Mask::Kept(vec![3]))), [3, 4];
    coupling_kept_flipped: affine(coupling(6, Mask::Kept(vec![4, 0, 5]).flipped())), [3, 6];
    coupling_two_features: affine(coupling(2, Mask::Alternating)), [3, 2];
    coupling_context: affine(coupling(4, Mask::Halves).with_context(2)), Suite::new([3, 4]).with_context(2);
    coupling_additive: coupling(5, Mask::Alternating).init(Additive::default(), &DEVICE), [3, 5];
    coupling_additive_context: coupling(4, Mask::Kept(vec![2])).with_context(1).init(Additive::default(), &DEVICE), Suite::new([3, 4]).with_context(1);
    coupling_any_univariate: coupling(4, Mask::Halves).init(AnyUnivariateConfig::Affine(ScaleMap::Exp).init(), &DEVICE), Suite::new([3, 4]).with_domain(-4.0, 4.0).with_range(-4.0, 4.0);
    scale_soft_bound: scaled(ScaleMap::SoftBound { bound: 2.0 }), [3, 4];
    scale_exp: scaled(ScaleMap::Exp), Suite::new([3, 4]).with_domain(-4.0, 4.0).with_range(-4.0, 4.0);
    scale_sigmoid: scaled(ScaleMap::Sigmoid { offset: 2.0, floor: 1e-3 }), [3, 4];
    scale_sigmoid_no_floor: scaled(ScaleMap::Sigmoid { offset: 2.0, floor: 0.0 }), Suite::new([3, 4]).with_domain(-4.0, 4.0).with_range(-4.0, 4.0);
    scale_inverse_sigmoid: scaled(ScaleMap::InverseSigmoid { offset: 2.0 }), Suite::new([3, 4]).with_domain(-4.0, 4.0).with_range(-4.0, 4.0);
    scale_softplus: scaled(ScaleMap::Softplus { offset: 0.5413, floor: 1e-2 }), [3, 4];
    mlp_one_layer: affine(CouplingConfig::new(4).with_mlp(MlpConfig::new(vec![7]))), [3, 4];
    mlp_random_last: affine(CouplingConfig::new(4).with_mlp(mlp().with_zero_last(false))), [3, 4];
    mlp_residual: affine(CouplingConfig::new(4).with_mlp(residual())), [3, 4];
    mlp_residual_context: affine(CouplingConfig::new(4).with_mlp(residual()).with_context(3)), Suite::new([3, 4]).with_context(3);
    mlp_tanh: activated(BurnActivation::Tanh), [3, 4];
    mlp_gelu: activated(BurnActivation::Gelu), [3, 4];
    mlp_prelu: activated(BurnActivation::PRelu(PReluConfig::new())), [3, 4];
    mlp_relu: activated(BurnActivation::Relu), [3, 4];
}
