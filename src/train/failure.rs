//! Errors of a run that trained nothing: the step, the row, the layer or the column that is the cause.

use burn::tensor::DType;

use super::gradients::first_non_finite;
use super::{FitData, scale};
use crate::distribution::Distribution;
use crate::error::{Error, Result};
use crate::math::event_len;

/// The error after `skipped` consecutive steps that were not finite, or after final weights that are not finite
/// (`skipped` 0). It names the column whose scale is the cause; without such a column it names the layer.
pub(super) fn of_steps<const D: usize>(
    data: &FitData<D>,
    integers: bool,
    [step, skipped]: [usize; 2],
    layer: String,
) -> Error {
    let stopped = Error::NonFinite { step, skipped, layer };
    match scale::furthest(data, integers) {
        Some((what, reason)) => Error::data(what, format!("{reason}; {stopped}")),
        None => stopped,
    }
}

/// An NLL in nats per element above that of any data. Data with a standard deviation of 3e38, the largest of f32, have
/// 90 nats per element; data with 1e308, the largest of f64, have 710.
const MOST_NATS: f64 = 100.0;
const MOST_NATS_F64: f64 = 1000.0;

/// Returns an error if training ended far from the data because of the scale of a column.
pub(super) fn check_reached<const D: usize>(
    data: &FitData<D>,
    integers: bool,
    nll: Option<f64>,
) -> Result<()> {
    let x = &data.train.rows.x;
    let most = if x.dtype() == DType::F64 { MOST_NATS_F64 } else { MOST_NATS };
    let Some(nll) = nll.filter(|nll| nll / event_len(x).max(1) as f64 > most) else {
        return Ok(());
    };
    let Some((what, reason)) = scale::furthest(data, integers) else { return Ok(()) };
    let ended = format!("training ended at an NLL of {nll:.3e} nats, far from the data");
    Err(Error::data(what, format!("{reason}; {ended}")))
}

/// The error of a run in which every step had a learning rate of 0.
pub(super) fn no_rate(config: &'static str) -> Error {
    let reason = "gives a learning rate of 0 in every step; choose another schedule";
    Error::config(config, "schedule", reason.to_string())
}

/// The error of a run in which every gradient was 0.
pub(super) fn of_gradients<const D: usize>(data: &FitData<D>, integers: bool) -> Error {
    if data.train.is_drawn() {
        let reason = "every gradient was 0, for example because all draws lie outside the spline \
                      bounds, or the flow already equals the target; choose a base whose draws lie \
                      inside the bounds, or other initial weights";
        return Error::data("training draws", reason);
    }
    let zero = "every gradient was 0, for example because all rows lie outside the spline bounds";
    match scale::furthest(data, integers) {
        Some((what, reason)) => Error::data(what, format!("{reason}; {zero}")),
        None => {
            let remedy = "choose bounds around the rows, or a model that depends on its weights";
            Error::data("training data", format!("{zero}; {remedy}"))
        }
    }
}

/// The error of a run in which no epoch had a finite validation loss, or, without validation rows, finite weights.
/// `weights` are the weights of the last epoch. If the loss is the NLL, the error names the first row in memory whose
/// NLL is not finite.
pub(super) fn of_validation<F: Distribution<D>, const D: usize>(
    weights: &F,
    data: &FitData<D>,
    nll: bool,
    batch: usize,
    [step, skipped]: [usize; 2],
) -> Error {
    if let Some(layer) = first_non_finite(weights, None) {
        return of_steps(data, weights.integer_levels().is_some(), [step, 0], layer);
    }
    let rows = match &data.validation {
        Some(part) if nll && part.is_in_memory() => &part.rows,
        Some(_) => {
            let reason = "no epoch had a finite loss; remove rows outside of the support of the \
                          model, or choose other layers or another base";
            return Error::data("validation data", reason);
        }
        None => return Error::NonFinite { step, skipped, layer: "the loss".to_string() },
    };
    let log_prob = weights.log_prob_batched(rows.x.clone(), rows.context.as_ref(), batch);
    let log_prob: Vec<f64> = log_prob.into_data().iter::<f64>().collect();
    let row = log_prob.iter().position(|value| !value.is_finite()).unwrap_or(0);
    let one = rows.select(&[row]);
    let layer = weights.first_non_finite(one.x, one.context.as_ref());
    let layer = layer.map(|layer| format!("; first non-finite: {layer}")).unwrap_or_default();
    let what = match data.held_out {
        true => "training data, held out for validation",
        false => "validation data",
    };
    let row_of_caller = rows.number(row);
    let reason = format!(
        "ln p of row {row_of_caller} is {} after the last epoch, and no epoch had a finite validation \
         NLL{layer}; remove the row, or choose layers and a base whose support contains the row",
        log_prob[row]
    );
    Error::data(what, reason)
}
