//! Rows of the layers of every model.

use std::f64::consts::PI;

use burn_flows::bijector::*;
use burn_flows::model::{
    AutoregressiveNsfConfig, AutoregressiveStep, ChannelMixing, CircularNsfConfig,
    GaussianizationFlowConfig, MafConfig, MafMogConfig, Masks, NiceConfig, NsfConfig, NsfStep,
    Orders, PlanarFlowConfig, RealNvpConfig, ResidualFlowConfig, ResidualFlowStep, StepNorm,
};
use burn_flows::testing::{Check, Suite};
use burn_flows::univariate::{AnyUnivariate, GaussianizationConfig};

use crate::layers::*;
use crate::{DEVICE, built};

rows! {
    glow_convolution: glow_level(ChannelMixing::Convolution(Conv1x1Matrix::Lu), 0), Suite::new([2, 1, 2, 4]).with_domain(-3.0, 3.0).with_range(-3.0, 3.0).without(Check::EventWidth);
    glow_qr: glow_level(ChannelMixing::Convolution(Conv1x1Matrix::Qr), 0), Suite::new([2, 1, 2, 2]).with_domain(-3.0, 3.0).with_range(-3.0, 3.0).without(Check::EventWidth);
    glow_shuffle_context: glow_level(ChannelMixing::Shuffle, 2), Suite::new([2, 1, 4, 2]).with_context(2).with_domain(-3.0, 3.0).with_range(-3.0, 3.0).without(Check::EventWidth);
    glow_reverse: glow_level(ChannelMixing::Reverse, 0), Suite::new([2, 1, 2, 2]).with_domain(-3.0, 3.0).with_range(-3.0, 3.0).without(Check::EventWidth);
    real_nvp_image: real_nvp_level(), Suite::new([2, 1, 2, 4]).with_domain(-3.0, 3.0).with_range(-3.0, 3.0).without(Check::EventWidth);
    contracting_flow: ResidualFlowConfig::new(3).with_layers(2).with_hidden(vec![6]).init(&DEVICE).into_parts().0, [4, 3];
    contracting_flow_steps: Vec::<ResidualFlowStep>::new(), [3, 4];
    planar_flow: PlanarFlowConfig::new(3).with_layers(3).init(&DEVICE).into_parts().0, [4, 3];
    planar_flow_context: PlanarFlowConfig::new(3).with_layers(2).with_mlp(mlp()).with_context(2).init_inverse(&DEVICE).into_parts().0, Suite::new([4, 3]).with_context(2);
    nsf: NsfConfig::new(4).with_layers(2).with_mlp(mlp()).with_elementwise(Some(rqs(3, TAILS))).init(&DEVICE).into_parts().0, at_ends(5.0);
    nsf_linear_context: NsfConfig::new(3).with_layers(2).with_mlp(mlp()).with_masks(Masks::Halves).with_linear(true).with_context(2).init(&DEVICE).into_parts().0, Suite::new([3, 3]).with_context(2);
    nsf_steps: Vec::<NsfStep>::new(), [3, 4];
    nsf_autoregressive: masked_nsf(AutoregressiveNsfConfig::new(4).with_elementwise(Some(rqs(3, TAILS)))), at_ends(5.0);
    nsf_autoregressive_linear_context: masked_nsf(AutoregressiveNsfConfig::new(3).with_orders(Orders::Random(2)).with_linear(true).with_context(2)), Suite::new([3, 3]).with_context(2);
    nsf_autoregressive_steps: Vec::<AutoregressiveStep<AnyUnivariate>>::new(), [3, 4];
    naf: naf_steps(false, 0), near([3, 4]);
    naf_shared_context: naf_steps(true, 2), near([3, 4]).with_context(2);
    unaf: unaf_steps(false, 0), near([3, 4]);
    unaf_shared_context: unaf_steps(true, 2), near([3, 4]).with_context(2);
    bpf: bpf_steps(0), at_ends(5.0);
    bpf_context: bpf_steps(2), at_ends(5.0).with_context(2);
    sospf: sospf_steps(0), near([3, 4]);
    sospf_context: sospf_steps(2), near([3, 4]).with_context(2);
    gf: GaussianizationFlowConfig::new(4).with_kernels(GaussianizationConfig::new().with_components(3)).init(&DEVICE).into_parts().0, near([3, 4]);
    gf_context: gf_steps(2), near([3, 4]).with_context(2);
    nsf_circular: angles(CircularNsfConfig::new(4)), at_ends(PI);
    nsf_circular_context: angles(CircularNsfConfig::new(4).with_orders(Orders::Random(1)).with_context(2)), inside(-PI, PI).with_context(2);
    nice: NiceConfig::new(4).with_mlp(mlp()).init(&DEVICE).into_parts().0, [3, 4];
    nice_context: NiceConfig::new(3).with_mlp(mlp()).with_masks(Masks::Halves).with_context(2).init(&DEVICE).into_parts().0, Suite::new([3, 3]).with_context(2);
    maf: maf_steps(StepNorm::None, Orders::Alternating, false, 0), near([3, 4]);
    maf_actnorm: maf_steps(StepNorm::ActNorm, Orders::Alternating, false, 0), near([4, 4]);
    maf_batch_norm: maf_steps(StepNorm::BatchNorm, Orders::Random(1), false, 0), near([4, 4]);
    maf_linear_context: maf_steps(StepNorm::ActNorm, Orders::Random(2), true, 2), near([4, 4]).with_context(2);
    maf_one_feature: MafConfig::new(1).with_made(made()).with_layers(2).init(&DEVICE).into_parts().0, near([4, 1]).without(Check::Gradients);
    maf_mog: MafMogConfig::new(MafConfig::new(3).with_made(made()).with_layers(1), 2).init(&DEVICE).into_parts().0, near([4, 3]);
    iaf: iaf_steps(Orders::Alternating, false, 0), near([3, 3]);
    iaf_linear_context: iaf_steps(Orders::Random(3), true, 2), near([3, 3]).with_context(2);
    real_nvp: RealNvpConfig::new(4).with_layers(3).with_mlp(mlp()).init(&DEVICE).into_parts().0, Suite::new([3, 4]).with_domain(-9.0, 9.0).with_range(-9.0, 9.0);
    real_nvp_random: RealNvpConfig::new(5).with_layers(4).with_masks(Masks::Random(1)).with_mlp(residual()).with_context(2).init(&DEVICE).into_parts().0, Suite::new([3, 5]).with_context(2).with_domain(-3.0, 3.0).with_range(-3.0, 3.0);
}
