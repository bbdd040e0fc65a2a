//! Loads the files of each library through the public API.

mod flowjax;
mod nflows;
mod normflows;
mod zuko;

use burn_flows::Flow;
use burn_flows::bijector::{ActNormConfig, Bijector};
use burn_flows::burn::tensor::Tensor;
use burn_flows::distribution::DiagNormal;

use crate::DEVICE;
use crate::compare::{VALUE, flatten};
use crate::reference::Reference;
use crate::report::Report;

pub use flowjax::*;
pub use nflows::*;
pub use normflows::*;
pub use zuko::*;

/// A flow of a single layer and the standard normal base that its file names, in the shape of one
/// row.
fn on_standard<const D: usize, B: Bijector<D>>(
    layer: B,
    row: [usize; D],
) -> Flow<B, DiagNormal<D>> {
    let device = &*DEVICE;
    let base = DiagNormal::fixed(Tensor::zeros(row, device), Tensor::ones(row, device));
    Flow::new(layer, base.expect("zeros and ones"))
}

/// The shape of one row of the data in a file.
fn row<const D: usize>(reference: &Reference) -> Result<[usize; D], String> {
    let shape = reference.shape("io.x")?;
    let mut row = <[usize; D]>::try_from(shape.as_slice())
        .map_err(|_| format!("`io.x` has shape {shape:?}, expected {D} axes"))?;
    row[0] = 1;
    Ok(row)
}

/// Whether the events of a file are images.
fn of_images(reference: &Reference) -> Result<bool, String> {
    Ok(reference.shape("io.x")?.len() == 4)
}

/// Compares an ActNorm, initialised with the library's first batch, with the parameters in the
/// file.
fn data_init(
    reference: &Reference,
    log_scale: Vec<f64>,
    shift: Vec<f64>,
    report: &mut Report,
) -> Result<(), String> {
    let x = "extra.data_init.x";
    let layer = ActNormConfig::new(log_scale.len()).init(&DEVICE);
    let layer = if reference.shape(x)?.len() == 4 {
        layer.init_from_data(reference.tensor::<4>(x, &DEVICE)?, None).0
    } else {
        layer.init_from_data(reference.tensor::<2>(x, &DEVICE)?, None).0
    };
    let found = flatten(&layer);
    let (found_scale, found_shift) = found.split_at(log_scale.len());
    report.values("initial log_scale", found_scale, &log_scale, VALUE);
    report.values("initial shift", found_shift, &shift, VALUE);
    Ok(())
}
