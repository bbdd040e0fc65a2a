//! The layers of models.

use burn_flows::bijector::*;
use burn_flows::conditioner::{ActivationConfig, ConvNetConfig, ResidualConvNetConfig};
use burn_flows::model::{
    AutoregressiveNsfConfig, AutoregressiveStep, BernsteinFlowConfig, ChannelMixing,
    CircularNsfConfig, GaussianizationFlowConfig, GaussianizationFlowStep, Glow, GlowConfig,
    GlowLevel, IafConfig, MafConfig, MafStep, NeuralAutoregressiveFlowConfig, NsfLayers, Orders,
    RealNvpImage, RealNvpImageConfig, RealNvpImageLevel, StepNorm, SumOfSquaresFlowConfig,
    UnconstrainedAutoregressiveFlowConfig,
};
use burn_flows::univariate::{
    AnyUnivariate, Bernstein, GaussianizationConfig, Neural, NeuralConfig, SumOfSquares,
    UnconstrainedMonotonic, UnconstrainedMonotonicConfig,
};

use super::{made, mlp};
use crate::DEVICE;

/// A level of Glow, followed by an inverse squeeze to the shape of the image.
pub fn glow_level(mixing: ChannelMixing, context: usize) -> (GlowLevel, Inverse<Squeeze>) {
    let network = ConvNetConfig::new(4).with_activation(ActivationConfig::Silu);
    let config = GlowConfig::new([1, 2, 2], 1)
        .with_steps(2)
        .with_network(network)
        .with_mixing(mixing)
        .with_context(context);
    let glow: Glow = config.init(&DEVICE);
    (glow.levels()[0].clone(), Inverse::new(Squeeze::default()))
}

/// A level of Real NVP for images, followed by an inverse squeeze to the shape of the image.
pub fn real_nvp_level() -> (RealNvpImageLevel, Inverse<Squeeze>) {
    let network =
        ResidualConvNetConfig::new(3).with_blocks(1).with_activation(ActivationConfig::Silu);
    let flow: RealNvpImage =
        RealNvpImageConfig::new([1, 2, 4], 1).with_network(network).init(&DEVICE);
    (flow.levels()[0].clone(), Inverse::new(Squeeze::default()))
}

/// Three layers of MAF.
pub fn maf_steps(norm: StepNorm, orders: Orders, linear: bool, context: usize) -> Vec<MafStep> {
    let config = MafConfig::new(4).with_layers(3).with_made(made()).with_orders(orders);
    let config = config.with_norm(norm).with_linear(linear).with_context(context);
    config.init(&DEVICE).into_parts().0
}

/// Two layers of IAF.
pub fn iaf_steps(
    orders: Orders,
    linear: bool,
    context: usize,
) -> Inverse<Vec<AutoregressiveStep<AnyUnivariate>>> {
    let config = IafConfig::new(3).with_layers(2).with_made(made()).with_orders(orders);
    config.with_linear(linear).with_context(context).init(&DEVICE).into_parts().0
}

/// Two layers of an autoregressive neural spline flow, with the configured layers before them.
pub fn masked_nsf(config: AutoregressiveNsfConfig) -> NsfLayers<AutoregressiveStep<AnyUnivariate>> {
    let config = config.with_layers(2).with_made(made());
    config.init(&DEVICE).into_parts().0
}

pub fn naf_steps(shared: bool, context: usize) -> Vec<AutoregressiveStep<Neural>> {
    let network = NeuralConfig::new().with_signal(3).with_hidden(vec![6, 5]);
    let config = NeuralAutoregressiveFlowConfig::new(4)
        .with_layers(2)
        .with_made(made())
        .with_network(network);
    config.with_shared(shared).with_context(context).init(&DEVICE).into_parts().0
}

pub fn unaf_steps(shared: bool, context: usize) -> Vec<AutoregressiveStep<UnconstrainedMonotonic>> {
    let network = UnconstrainedMonotonicConfig::new().with_signal(3).with_hidden(vec![6, 5]);
    let config = UnconstrainedAutoregressiveFlowConfig::new(4)
        .with_layers(2)
        .with_made(made())
        .with_network(network);
    config.with_shared(shared).with_context(context).init(&DEVICE).into_parts().0
}

pub fn bpf_steps(context: usize) -> Vec<AutoregressiveStep<Bernstein>> {
    let config = BernsteinFlowConfig::new(4).with_layers(2).with_made(made()).with_linear(true);
    config.with_context(context).init(&DEVICE).into_parts().0
}

pub fn sospf_steps(context: usize) -> Vec<AutoregressiveStep<SumOfSquares>> {
    let config = SumOfSquaresFlowConfig::new(4).with_layers(2).with_made(made()).with_linear(true);
    config.with_context(context).init(&DEVICE).into_parts().0
}

pub fn gf_steps(context: usize) -> Vec<GaussianizationFlowStep> {
    let kernels = GaussianizationConfig::new().with_components(3);
    let config =
        GaussianizationFlowConfig::new(4).with_layers(2).with_kernels(kernels).with_mlp(mlp());
    config.with_context(context).init(&DEVICE).into_parts().0
}

pub fn angles(config: CircularNsfConfig) -> Vec<AutoregressiveStep<AnyUnivariate>> {
    config.with_layers(2).with_made(made()).init(&DEVICE).into_parts().0
}
