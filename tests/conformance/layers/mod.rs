//! The layers of rows that take more than one line.

mod images;
mod maps;
mod models;
mod residual;
mod suites;

use burn::nn::activation::ActivationConfig as BurnActivation;
use burn::tensor::Tensor;
use burn_flows::Noise;
use burn_flows::bijector::*;
use burn_flows::conditioner::{ActivationConfig, Dependencies, MadeConfig, Mlp, MlpConfig};
use burn_flows::univariate::{Affine, AnyUnivariateConfig, ScaleMap, Univariate};

use crate::DEVICE;

pub use images::*;
pub use maps::*;
pub use models::*;
pub use residual::*;
pub use suites::*;

/// Repeats full passes until no value changes.
pub const PASSES: InverseMethod = InverseMethod::FixedPoint { tolerance: 0.0 };

pub fn tensor<const N: usize>(values: [f64; N]) -> Tensor<1> {
    Tensor::from_data(values, &*DEVICE)
}

pub fn mlp() -> MlpConfig {
    MlpConfig::new(vec![8, 6]).with_activation(ActivationConfig::Silu)
}

/// With SiLU: all six ReLU units of a block may be zero in every row, and then have no gradient.
pub fn residual() -> MlpConfig {
    MlpConfig::new(vec![6, 6, 6]).with_residual(true).with_activation(ActivationConfig::Silu)
}

pub fn coupling(features: usize, mask: Mask) -> CouplingConfig {
    CouplingConfig::new(features).with_mask(mask).with_mlp(mlp())
}

pub fn affine(config: CouplingConfig) -> Coupling<Affine, Mlp> {
    config.init(Affine::default(), &DEVICE)
}

pub fn scaled(scale_map: ScaleMap) -> Coupling<Affine, Mlp> {
    coupling(4, Mask::Alternating).init(Affine::new(scale_map).unwrap(), &DEVICE)
}

pub fn activated(activation: BurnActivation) -> Coupling<Affine, Mlp> {
    let mlp = MlpConfig::new(vec![8]).with_activation(ActivationConfig::Burn(activation));
    affine(CouplingConfig::new(4).with_mlp(mlp))
}

pub fn actnorm(features: usize) -> ActNorm {
    ActNormConfig::new(features).init(&DEVICE)
}

pub fn lu(features: usize) -> LuLinear {
    LuLinearConfig::new(features).init(&DEVICE)
}

/// A linear map whose diagonal has positive and negative entries.
pub fn signed_lu() -> LuLinear {
    let factors = Tensor::<2>::from_data([[9., 1., -2.], [0.5, 9., 1.], [-1., 0.3, 9.]], &*DEVICE);
    let sign = tensor([1.0, -1.0, -1.0]);
    let matrix = LuFactors::from_weights(factors, tensor([0.1, -0.4, 0.7]), Some(sign));
    LinearMap::new(matrix).with_bias(tensor([1.0, 0.0, -1.0]))
}

pub fn mixing(channels: usize, parameterisation: Conv1x1Matrix) -> InvertibleConv1x1 {
    let config = InvertibleConv1x1Config::new(channels).with_parameterisation(parameterisation);
    config.with_seed(5).init(&DEVICE)
}

/// A 1x1 convolution by LU factors with the permutation last, and with a bias.
pub fn permuted_last() -> InvertibleConv1x1 {
    let order = Permutation::given(&[1, 2, 0], &DEVICE).unwrap();
    let matrix = LuFactors::identity(3, &DEVICE).permuted_last(order);
    LinearMap::new(ChannelMatrix::Lu(matrix)).with_bias(Tensor::ones([3], &*DEVICE))
}

pub fn batch_norm(features: usize) -> BatchNorm {
    let mut noise = Noise::seeded(3);
    let mut vector = |from: f64| noise.uniform::<1>([features], &DEVICE) + from;
    BatchNormConfig::new(features).with_weights(vector(0.0), vector(0.0), vector(-1.0), vector(0.5))
}

pub fn standardize<const D: usize>(shape: [usize; D]) -> Standardize<D> {
    Standardize::from_data(Noise::seeded(2).normal(shape, &DEVICE) * 3.0 + 1.0).unwrap()
}

pub fn any(text: &str) -> AnyBijector {
    serde_json::from_str::<AnyBijectorConfig>(text).unwrap().init(&DEVICE)
}

pub fn any_coupling(context: usize) -> AnyBijector {
    let univariate = AnyUnivariateConfig::Affine(ScaleMap::default());
    let coupling = coupling(3, Mask::Halves).with_context(context);
    AnyBijectorConfig::Coupling { univariate, coupling }.init(&DEVICE)
}

pub fn made() -> MadeConfig {
    MadeConfig::new(vec![9, 8]).with_activation(ActivationConfig::Silu)
}

pub fn made_residual() -> MadeConfig {
    MadeConfig::new(vec![7, 7, 7])
        .with_residual(true)
        .with_activation(ActivationConfig::Burn(BurnActivation::Tanh))
}

/// Feature 0 has two parents, one of which has a parent. Feature 1 has no parent and no child.
pub fn graph() -> Dependencies {
    Dependencies::Parents(vec![vec![3, 2], vec![], vec![4], vec![], vec![]])
}

pub fn autoregressive(
    features: usize,
    made: MadeConfig,
    context: usize,
) -> MaskedAutoregressive<Affine> {
    let config = MaskedAutoregressiveConfig::new(features).with_made(made).with_context(context);
    config.init(Affine::default(), &DEVICE)
}

/// A masked layer of four features with a given scalar map.
pub fn masked<U: Univariate>(map: U, context: usize) -> MaskedAutoregressive<U> {
    let config = MaskedAutoregressiveConfig::new(4).with_made(made()).with_context(context);
    config.init(map, &DEVICE)
}

pub fn any_autoregressive() -> AnyBijector {
    let univariate = AnyUnivariateConfig::Affine(ScaleMap::default());
    let autoregressive = MaskedAutoregressiveConfig::new(3).with_made(made());
    AnyBijectorConfig::MaskedAutoregressive { univariate, autoregressive }.init(&DEVICE)
}
