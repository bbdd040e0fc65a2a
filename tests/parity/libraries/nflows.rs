//! Reads files of nflows.

use burn_flows::Flow;
use burn_flows::bijector::Bijector;
use burn_flows::burn::nn::activation::ActivationConfig as Burn;
use burn_flows::burn::tensor::Tensor;
use burn_flows::conditioner::ActivationConfig;
use burn_flows::distribution::Uniform;
use burn_flows::interop::nflows;
use burn_flows::univariate::SplineDomain;

use super::{data_init, of_images, on_standard, row};
use crate::DEVICE;
use crate::compare::{self, VALUE, flatten, numbers};
use crate::reference::Reference;
use crate::report::Report;

fn nflows_options(reference: &Reference) -> Result<nflows::Options, String> {
    let options = nflows::Options::new();
    let (epsilon, momentum) = (options.epsilon, options.momentum);
    let activation = Reference::activation(reference.constructor())?;
    let text = reference.constructor();
    // A residual network without blocks has no activation, so its file does not state one.
    let bare = text.contains("num_blocks=0, use_residual_blocks=True");
    let activation = if bare { Some(ActivationConfig::Burn(Burn::Identity)) } else { activation };
    let options = match activation {
        Some(activation) => options.with_activation(activation),
        None => options,
    };
    let options = match reference.argument("tail_bound") {
        Some(bound) => options.with_spline_domain(SplineDomain::LinearTails { bound }),
        None => options,
    };
    let spline = [
        ("PiecewiseLinear", nflows::Spline::Linear),
        ("PiecewiseQuadratic", nflows::Spline::Quadratic),
        ("PiecewiseCubic", nflows::Spline::Cubic),
    ];
    let spline = spline.into_iter().find(|(name, _)| reference.constructor().contains(name));
    let options = options.with_spline(spline.map(|(_, spline)| spline).unwrap_or_default());
    let least = |key, default| reference.argument(key).unwrap_or(default);
    let (width, height, slope) = (options.min_width, options.min_height, options.min_slope);
    Ok(options
        .with_min_width(least("min_bin_width", width))
        .with_min_height(least("min_bin_height", height))
        .with_min_slope(least("min_derivative", slope))
        .with_epsilon(reference.argument("eps").unwrap_or(epsilon))
        .with_momentum(reference.argument("momentum").unwrap_or(momentum)))
}

pub fn nflows_stack(reference: &Reference) -> Result<Report, String> {
    let options = nflows_options(reference)?;
    if reference.base().contains("uniform on [0,1]") {
        let row = row::<2>(reference)?;
        let base = Uniform::new(Tensor::zeros(row, &*DEVICE), Tensor::ones(row, &*DEVICE));
        let base = base.map_err(|error| error.to_string())?;
        return compare::flow::<2, _>(reference, |state, device| {
            Ok(Flow::new(nflows::transform(state, "", &options, device)?, base.clone()))
        });
    }
    compare::flow::<2, _>(reference, |state, device| nflows::flow(state, &options, device))
}

/// A single tensor decides the width of the layer, so its width is checked against the data.
pub fn nflows_householder(reference: &Reference) -> Result<Report, String> {
    let (features, shape) = (row::<2>(reference)?[1], reference.shape("q_vectors")?);
    if shape.last() != Some(&features) {
        return Err(format!("`q_vectors` has shape {shape:?}, of events of {features} features"));
    }
    nflows_stack(reference)
}

pub fn nflows_actnorm(reference: &Reference) -> Result<Report, String> {
    let mut report = if of_images(reference)? {
        let row = row(reference)?;
        compare::flow::<4, _>(reference, |state, device| {
            Ok(on_standard(nflows::act_norm(state, "", device)?, row))
        })?
    } else {
        nflows_stack(reference)?
    };
    if reference.tensors.contains("extra.data_init.x") {
        let log_scale = reference.floats("extra.data_init.log_scale")?;
        let shift = reference.floats("extra.data_init.shift")?;
        // nflows divides by the standard deviation, this crate by the standard deviation plus 1e-6.
        let std = || log_scale.iter().map(|s| (-s).exp());
        let floored = std().map(|std| -(std + 1e-6).ln()).collect();
        let shift = shift.iter().zip(std()).map(|(t, std)| t * std / (std + 1e-6)).collect();
        data_init(reference, floored, shift, &mut report)?;
    }
    Ok(report)
}

/// One step in training mode: its outputs, and the running statistics after it.
pub fn nflows_train_step(reference: &Reference) -> Result<Report, String> {
    let mut report = nflows_stack(reference)?;
    let options = nflows_options(reference)?;
    let tracked = DEVICE.clone().autodiff();
    let read = |part: &str, device| {
        nflows::batch_norm(&reference.tensors, part, &options, device).map_err(|e| e.to_string())
    };
    let layer = read("extra.before", &tracked)?;
    let x = reference.tensor::<2>("extra.train.x", &DEVICE)?;
    let (z, log_det) = layer.forward(x, None);
    report.values("training z", &numbers(z), reference.floats("extra.train.z")?, VALUE);
    let expected = reference.floats("extra.train.logabsdet")?;
    report.values("training log_det", &numbers(log_det), expected, VALUE);
    let after = flatten(&read("extra.after", &DEVICE)?);
    report.values("weights and running statistics", &flatten(&layer), &after, VALUE);
    Ok(report)
}

pub fn nflows_conv(reference: &Reference) -> Result<Report, String> {
    let row = row(reference)?;
    compare::flow::<4, _>(reference, |state, device| {
        Ok(on_standard(nflows::one_by_one_convolution(state, "", device)?, row))
    })
}

pub fn nflows_glow(reference: &Reference) -> Result<Report, String> {
    let (options, [_, _, height, width]) = (nflows_options(reference)?, row(reference)?);
    compare::flow::<4, _>(reference, |state, device| {
        nflows::glow(state, [height, width], &options, device)
    })
}
