//! Reads files of FlowJAX.

use burn_flows::burn::nn::activation::ActivationConfig as Burn;
use burn_flows::burn::tensor::Device;
use burn_flows::conditioner::ActivationConfig;
use burn_flows::interop::{StateDict, flowjax};
use burn_flows::univariate::ScaleMap;

use crate::compare;
use crate::one_way;
use crate::reference::Reference;
use crate::report::Report;

fn flowjax_options(reference: &Reference) -> Result<flowjax::Options, String> {
    let options = flowjax::Options::new();
    let (width, slope) = (options.min_width, options.min_slope);
    let symmetric = reference.argument("interval").map(|end| [-end, end]);
    let interval = reference.pair("interval").or(symmetric);
    let relu = options.activation.clone();
    let activation = match Reference::activation(reference.constructor())?.unwrap_or(relu) {
        // GELU in JAX is the approximation by tanh.
        ActivationConfig::Burn(Burn::Gelu) => ActivationConfig::Burn(Burn::GeluApproximate),
        activation => activation,
    };
    let scale_map = match reference.constructor().contains("transformer=Affine(") {
        // `Affine` only: its scale is the softplus of a raw zero, and it has no smallest scale.
        true => {
            let scale = reference.argument("scale").unwrap_or(1.0);
            ScaleMap::Softplus { offset: scale.exp_m1().ln(), floor: 0.0 }
        }
        false => options.scale_map,
    };
    Ok(options
        .with_scale_map(scale_map)
        .with_activation(activation)
        .with_negative_slope(reference.argument("negative_slope"))
        .with_interval(interval)
        .with_min_width(reference.argument("min_width").unwrap_or(width))
        .with_min_slope(reference.argument("min_derivative").unwrap_or(slope)))
}

pub fn flowjax_coupling(reference: &Reference) -> Result<Report, String> {
    let options = flowjax_options(reference)?;
    compare::flow::<2, _>(reference, |state, device| {
        flowjax::coupling_flow(state, &options, device)
    })
}

pub fn flowjax_triangular(reference: &Reference) -> Result<Report, String> {
    let (options, turn) = (flowjax_options(reference)?, reference.argument("tanh_max_val"));
    let turn = turn.unwrap_or(3.0);
    compare::flow::<2, _>(reference, |state, device| {
        flowjax::triangular_spline_flow(state, turn, &options, device)
    })
}

pub fn flowjax_maf(reference: &Reference) -> Result<Report, String> {
    let options = flowjax_options(reference)?;
    compare::flow::<2, _>(reference, |state, device| {
        flowjax::masked_autoregressive_flow(state, &options, device)
    })
}

pub fn flowjax_planar(reference: &Reference) -> Result<Report, String> {
    let options = flowjax_options(reference)?;
    let build = |state: &StateDict, device: &Device| flowjax::planar_flow(state, &options, device);
    // If the library computes one direction only, the file holds one direction only.
    match reference.tensors.contains("io.x") {
        true => compare::flow::<2, _>(reference, build),
        false => one_way::generator::<2, _>(reference, build),
    }
}

pub fn flowjax_block_autoregressive(reference: &Reference) -> Result<Report, String> {
    // Without a hidden layer these weights have no effect. A flow without them takes no context.
    let of_context = reference.state().names().any(|name| name.ends_with("cond_linear.weight"));
    if of_context != reference.tensors.contains("io.context") {
        return Err("a context without weights, or weights without a context".into());
    }
    compare::flow::<2, _>(reference, flowjax::block_neural_autoregressive_flow)
}
