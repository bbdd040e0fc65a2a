//! Reads files of zuko.

use burn_flows::bijector::{SmoothActivation, Solver};
use burn_flows::interop::zuko;

use super::{on_standard, row};
use crate::compare;
use crate::reference::Reference;
use crate::report::Report;

fn zuko_options(reference: &Reference) -> Result<zuko::Options, String> {
    let options = zuko::Options::new();
    // The slope is a keyword of the constructor or an entry in its dictionary of keywords.
    let slope = reference.argument("slope").or_else(|| reference.entry("slope"));
    let slope = slope.unwrap_or(options.slope);
    let text = reference.constructor();
    // The `network` of a monotone map has its own keywords.
    let (before, rest) = text.split_once("'network': {").unwrap_or((text, ""));
    let (network, behind) = rest.split_once('}').unwrap_or_default();
    let activation = Reference::activation(before)?.or(Reference::activation(behind)?);
    let integrand = Reference::activation(network)?;
    let (relu, elu) = (options.activation.clone(), options.integrand_activation.clone());
    Ok(options
        .with_slope(slope)
        .with_activation(activation.unwrap_or(relu))
        .with_integrand_activation(integrand.unwrap_or(elu))
        .with_adjacency(text.contains("adjacency")))
}

pub fn zuko_real_nvp(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference)?;
    compare::flow::<2, _>(reference, |state, device| zuko::real_nvp(state, &options, device))
}

pub fn zuko_maf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference)?;
    compare::flow::<2, _>(reference, |state, device| zuko::maf(state, &options, device))
}

pub fn zuko_nsf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference)?;
    compare::flow::<2, _>(reference, |state, device| zuko::nsf(state, &options, device))
}

pub fn zuko_ncsf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference)?;
    compare::flow::<2, _>(reference, |state, device| zuko::ncsf(state, &options, device))
}

/// An elementwise scalar map with free parameters.
pub fn zuko_elementwise(reference: &Reference, map: zuko::Univariate) -> Result<Report, String> {
    let (options, row) = (zuko_options(reference)?, row::<2>(reference)?);
    // A single tensor decides the width of the layer, so its width is checked against the data.
    let state = reference.state();
    for name in state.names() {
        let shape = state.get(name).map_err(|error| error.to_string())?.shape();
        if shape.first() != Some(&row[1]) {
            return Err(format!("`{name}` has shape {shape:?}, of events of {} features", row[1]));
        }
    }
    compare::flow::<2, _>(reference, |state, device| {
        Ok(on_standard(zuko::elementwise(state, "", &map, &options, device)?, row))
    })
}

pub fn zuko_spline(reference: &Reference) -> Result<Report, String> {
    let bound = reference.argument("bound").unwrap_or(5.0);
    zuko_elementwise(reference, zuko::Univariate::Spline { bound })
}

pub fn zuko_bernstein(reference: &Reference) -> Result<Report, String> {
    let bound = reference.argument("bound").unwrap_or(5.0);
    zuko_elementwise(reference, zuko::Univariate::Bernstein { bound })
}

pub fn zuko_sum_of_squares(reference: &Reference) -> Result<Report, String> {
    let powers = *reference.shape("a")?.last().ok_or("`a` has no axes")?;
    zuko_elementwise(reference, zuko::Univariate::SumOfSquares { degree: powers - 1 })
}

pub fn zuko_bpf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference)?;
    compare::flow::<2, _>(reference, |state, device| zuko::bpf(state, &options, device))
}

pub fn zuko_sospf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference)?;
    let degree = reference.argument("degree").or_else(|| reference.entry("degree"));
    let degree = degree.unwrap_or(4.0) as usize;
    compare::flow::<2, _>(reference, |state, device| zuko::sospf(state, degree, &options, device))
}

pub fn zuko_naf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference)?;
    compare::flow::<2, _>(reference, |state, device| zuko::naf(state, &options, device))
}

/// In evaluation mode, zuko computes no gradient of the integral with respect to the weights of the
/// integrand. Its files then hold only the gradient through the log-determinant.
pub fn zuko_unaf(reference: &Reference) -> Result<Report, String> {
    let (options, weights) = (zuko_options(reference)?, "univariate.integrand");
    let compare = |reference: &Reference| {
        compare::flow::<2, _>(reference, |state, device| zuko::unaf(state, &options, device))
    };
    if reference.case.ends_with("training") {
        return compare(reference);
    }
    let mut report = compare(&reference.without_gradients_of(weights))?;
    report.note(format!("gradients of {weights} are incomplete in the file, not compared"));
    Ok(report)
}

pub fn zuko_gf(reference: &Reference) -> Result<Report, String> {
    let options = zuko_options(reference)?;
    compare::flow::<2, _>(reference, |state, device| zuko::gf(state, &options, device))
}

/// A differential equation. This crate solves it far more accurately, so the tolerance is the error
/// of the library.
pub fn zuko_cnf(reference: &Reference) -> Result<Report, String> {
    let solver = Solver::DormandPrince { atol: 1e-11, rtol: 1e-11, limit: 10_000 };
    let text = reference.constructor();
    let activation = match text {
        _ if text.contains("Tanh") => SmoothActivation::Tanh,
        _ if text.contains("SiLU") => SmoothActivation::Silu,
        _ if text.contains("Softplus") => SmoothActivation::Softplus,
        _ => SmoothActivation::Elu,
    };
    let options = zuko::CnfOptions::new().with_solver(solver).with_activation(activation);
    compare::solution::<2, _>(reference, |state, device| zuko::cnf(state, &options, device))
}
