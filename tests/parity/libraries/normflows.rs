//! Reads files of normflows.

use burn_flows::Flow;
use burn_flows::bijector::{AnyBijector, RidgeActivation};
use burn_flows::burn::nn::LeakyReluConfig;
use burn_flows::burn::nn::activation::ActivationConfig as Burn;
use burn_flows::burn::tensor::Device;
use burn_flows::conditioner::ActivationConfig;
use burn_flows::interop::StateDict;
use burn_flows::interop::normflows::{self, GlowOptions, Layer, SplitMode};
use burn_flows::univariate::{ScaleMap, SplineDomain};

use super::{data_init, of_images, on_standard, row};
use crate::compare;
use crate::one_way;
use crate::reference::Reference;
use crate::report::Report;

pub fn normflows_actnorm(reference: &Reference) -> Result<Report, String> {
    let mut report = if of_images(reference)? {
        let row = row(reference)?;
        compare::flow::<4, _>(reference, |state, device| {
            Ok(on_standard(normflows::act_norm(state, "", device)?, row))
        })?
    } else {
        normflows_layer(reference, Layer::ActNorm)?
    };
    // normflows scales and shifts from latent to data: z = (x - t) exp(-s).
    let (s, t) = (reference.floats("extra.data_init.s")?, reference.floats("extra.data_init.t")?);
    let log_scale = s.iter().map(|s| -s).collect();
    let shift = s.iter().zip(t).map(|(s, t)| -t * (-s).exp()).collect();
    data_init(reference, log_scale, shift, &mut report)?;
    Ok(report)
}

/// A single layer whose tensors are at the top level of the file.
pub fn normflows_layer(reference: &Reference, layer: Layer) -> Result<Report, String> {
    let (activation, row) = (activation(reference)?, row(reference)?);
    compare::flow::<2, Flow<AnyBijector, _>>(reference, |state, device| {
        Ok(on_standard(normflows::layer(state, "", &layer, &activation, device)?, row))
    })
}

fn normflows_stack(reference: &Reference, layers: &[Layer]) -> Result<Report, String> {
    let activation = activation(reference)?;
    compare::flow::<2, _>(reference, |state, device| {
        normflows::flow(state, layers, &activation, device)
    })
}

/// The activation of the networks: a ReLU with the slope `leaky`, or the one that the constructor
/// names.
fn activation(reference: &Reference) -> Result<ActivationConfig, String> {
    if let Some(slope) = reference.argument("leaky") {
        let leaky = LeakyReluConfig::new().with_negative_slope(slope);
        return Ok(ActivationConfig::Burn(Burn::LeakyRelu(leaky)));
    }
    Ok(Reference::activation(reference.constructor())?.unwrap_or(ActivationConfig::Relu))
}

pub fn normflows_masked(reference: &Reference) -> Result<Report, String> {
    let layers = vec![Layer::MaskedAffine; numbered_flows(&reference.state())];
    normflows_stack(reference, &layers)
}

/// The scale of a block. It is `default` if the case does not name one.
fn normflows_scale(reference: &Reference, default: ScaleMap) -> Option<ScaleMap> {
    let text = said(reference);
    match &text {
        text if text.contains("additive") || text.contains("scale=False") => None,
        text if text.contains("sigmoid_inv") => Some(normflows::SIGMOID_INV),
        text if text.contains("sigmoid") => Some(normflows::SIGMOID),
        text if text.contains("exp") => Some(ScaleMap::Exp),
        _ => Some(default),
    }
}

/// The name of a case and its constructor.
fn said(reference: &Reference) -> String {
    format!("{} {}", reference.case, reference.constructor())
}

/// Alternating blocks and swaps. Swaps have no tensors, so the file does not state their number.
pub fn normflows_blocks(reference: &Reference) -> Result<Report, String> {
    let scale_map = normflows_scale(reference, ScaleMap::Exp);
    let split_mode = split_mode(reference);
    normflows_swapped(reference, Layer::AffineCouplingBlock { scale_map, split_mode })
}

pub fn normflows_maf(reference: &Reference) -> Result<Report, String> {
    normflows_swapped(reference, Layer::MaskedAutoregressive)
}

/// Alternating layers and swaps.
fn normflows_swapped(reference: &Reference, layer: Layer) -> Result<Report, String> {
    let features = row::<2>(reference)?[1];
    let pair = [layer, Layer::PermuteSwap { features }];
    let count = 2 * numbered_flows(&reference.state());
    let layers: Vec<Layer> = pair.into_iter().cycle().take(count).collect();
    normflows_stack(reference, &layers)
}

/// Spline layers, and the layers between them, which the names of the tensors show.
pub fn normflows_splines(reference: &Reference) -> Result<Report, String> {
    let state = reference.state();
    let bound = reference.argument("tail_bound").unwrap_or(3.0);
    let of_tails = || {
        let tails = reference.constructor().split_once("tails=[")?.1.split_once(']')?.0;
        let circular = tails.split(',').enumerate().filter(|(_, tail)| tail.contains("circular"));
        Some(circular.map(|(feature, _)| feature).collect())
    };
    let circular = reference.list("ind_circ").or_else(of_tails);
    let domain = match &said(reference) {
        text if text.contains("tails='circular'") => SplineDomain::Circular { bound },
        text if text.contains("tails=None") => SplineDomain::Interval { low: 0.0, high: 1.0 },
        _ => SplineDomain::LinearTails { bound },
    };
    let layer = |index: usize| {
        let has = |part: &str| {
            let start = format!("flows.{index}.{part}.");
            state.names().any(|name| name.starts_with(&start))
        };
        match (has("prqct"), has("mprqat"), circular.clone()) {
            (true, _, Some(circular)) => Layer::CircularCoupledSpline { circular, bound },
            (true, _, None) => Layer::CoupledSpline { domain },
            (_, true, Some(circular)) => Layer::CircularAutoregressiveSpline { circular, bound },
            (_, true, None) => Layer::AutoregressiveSpline { bound },
            _ => Layer::LuLinearPermute,
        }
    };
    let layers: Vec<Layer> = (0..numbered_flows(&state)).map(layer).collect();
    normflows_stack(reference, &layers)
}

pub fn normflows_swap(reference: &Reference) -> Result<Report, String> {
    let features = row::<2>(reference)?[1];
    normflows_layer(reference, Layer::PermuteSwap { features })
}

/// The number of different `flows.k` that have tensors.
fn numbered_flows(state: &StateDict) -> usize {
    let number = |name: &str| name.strip_prefix("flows.")?.split('.').next()?.parse::<usize>().ok();
    state.names().filter_map(number).collect::<std::collections::BTreeSet<_>>().len()
}

fn split_mode(reference: &Reference) -> SplitMode {
    match &said(reference) {
        text if text.contains("checkerboard_inv") => SplitMode::CheckerboardInv,
        text if text.contains("checkerboard") => SplitMode::Checkerboard,
        text if text.contains("channel_inv") => SplitMode::ChannelInv,
        _ => SplitMode::Channel,
    }
}

fn glow_options(reference: &Reference) -> Result<GlowOptions, String> {
    let [_, _, height, width] = row(reference)?;
    let options = GlowOptions::new([height, width]);
    let factor = reference.argument("logscale_factor").unwrap_or(options.log_scale_factor);
    Ok(options
        .with_scale_map(normflows_scale(reference, normflows::SIGMOID))
        .with_split_mode(split_mode(reference))
        .with_log_scale_factor(factor)
        .with_activation(activation(reference)?))
}

pub fn normflows_glow_block(reference: &Reference) -> Result<Report, String> {
    let (options, row) = (glow_options(reference)?, row(reference)?);
    compare::flow::<4, _>(reference, |state, device| {
        Ok(on_standard(normflows::glow_block(state, "", &options, device)?, row))
    })
}

pub fn normflows_glow(reference: &Reference) -> Result<Report, String> {
    let options = glow_options(reference)?;
    compare::flow::<4, _>(reference, |state, device| normflows::multiscale(state, &options, device))
}

pub fn normflows_conv(reference: &Reference) -> Result<Report, String> {
    let row = row(reference)?;
    compare::flow::<4, _>(reference, |state, device| {
        Ok(on_standard(normflows::invertible_conv(state, "", device)?, row))
    })
}

/// A sequence of `Planar` layers with the activation that the case names.
pub fn normflows_planar(reference: &Reference) -> Result<Report, String> {
    let text = said(reference);
    let activation = match text.contains("leaky_relu") {
        true => RidgeActivation::LeakyRelu { slope: 0.2 },
        false => RidgeActivation::Tanh,
    };
    normflows_equal(reference, Layer::Planar { activation })
}

pub fn normflows_radial(reference: &Reference) -> Result<Report, String> {
    normflows_equal(reference, Layer::Radial)
}

pub fn normflows_residual(reference: &Reference) -> Result<Report, String> {
    let lipschitz = reference.argument("lipschitz_const").unwrap_or(0.97);
    let reverse = !said(reference).contains("reverse=False");
    normflows_equal(reference, Layer::Residual { lipschitz, reverse })
}

/// A sequence of layers of one kind, as many as the file numbers.
fn normflows_equal(reference: &Reference, layer: Layer) -> Result<Report, String> {
    let layers = vec![layer; numbered_flows(&reference.state()).max(1)];
    let build = |state: &StateDict, device: &Device| {
        normflows::flow(state, &layers, &ActivationConfig::Relu, device)
    };
    // If the library computes one direction only, the file holds one direction only.
    match reference.tensors.contains("io.x") {
        true => compare::flow::<2, _>(reference, build),
        false => one_way::generator::<2, _>(reference, build),
    }
}
