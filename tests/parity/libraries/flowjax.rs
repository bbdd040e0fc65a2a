//! Files of FlowJAX.

use burn_flows::interop::flowjax;

use crate::compare;
use crate::reference::Reference;
use crate::report::Report;

fn flowjax_options(reference: &Reference) -> Result<flowjax::Options, String> {
    let options = flowjax::Options::new();
    let (width, slope) = (options.min_width, options.min_slope);
    let symmetric = reference.argument("interval").map(|end| [-end, end]);
    let interval = reference.pair("interval").or(symmetric);
    let relu = options.activation.clone();
    let activation = Reference::activation(reference.constructor())?.unwrap_or(relu);
    Ok(options
        .with_activation(activation)
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
    let slope = reference.argument("negative_slope");
    let options = flowjax::Options::new().with_negative_slope(slope);
    compare::flow::<2, _>(reference, |state, device| flowjax::planar_flow(state, &options, device))
}

pub fn flowjax_block_autoregressive(reference: &Reference) -> Result<Report, String> {
    compare::flow::<2, _>(reference, flowjax::block_neural_autoregressive_flow)
}
