//! Couplings of images.

use burn_flows::bijector::*;
use burn_flows::conditioner::{
    ActivationConfig, ConvNet, ConvNetConfig, Normalization, ResidualConvNet, ResidualConvNetConfig,
};
use burn_flows::univariate::{Affine, Univariate};

use crate::DEVICE;

pub fn glow_net(normalization: Normalization, context: usize) -> Coupling<Affine, ConvNet> {
    let config = ConvNetConfig::new(5)
        .with_normalization(normalization)
        .with_activation(ActivationConfig::Silu);
    let network = |from, to| config.init(from, to, context, &DEVICE);
    Coupling::new(&Mask::Halves, &[4, 2, 2], Affine::default(), network, &DEVICE).unwrap()
}

pub fn residual_image(
    normalization: Normalization,
    mask: Mask,
    context: usize,
) -> Coupling<Affine, ResidualConvNet> {
    let config = ResidualConvNetConfig::new(4)
        .with_normalization(normalization)
        .with_activation(ActivationConfig::Silu);
    let network = |from, to| config.init(from, to, context, &DEVICE);
    Coupling::new(&mask, &[2, 2, 2], Affine::default(), network, &DEVICE).unwrap()
}

pub fn image<U: Univariate>(
    univariate: U,
    mask: Mask,
    event: [usize; 3],
    context: usize,
) -> Coupling<U, ConvNet> {
    let network = |from, to| ConvNetConfig::new(5).init(from, to, context, &DEVICE);
    Coupling::new(&mask, &event, univariate, network, &DEVICE).unwrap()
}
