//! Checks that a model accepts its training data, before training starts.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::module::Module;

use super::fit::seed_draws;
use super::{FitConfig, FitData};
use crate::bijector::Bijector;
use crate::distribution::Distribution;
use crate::error::{Error, Result};
use crate::flow::Flow;
use crate::noise::Noise;

/// Returns an error if the first row, or its context, does not fit the model.
///
/// Layers check their own widths and panic, as burn does; there is no list of the widths. So the model is evaluated on
/// one row, and the panic of a layer becomes the reason of the error.
pub(super) fn check_rows<F: Distribution<D>, const D: usize>(
    flow: &F,
    data: &FitData<D>,
    seed: u64,
) -> Result<()> {
    seed_draws(seed, TRIED);
    let device = flow.devices().into_iter().next().unwrap_or_default().without_autodiff();
    let row = data.train.select(&[0]);
    let x = row.x.to_device(&device);
    let context = row.context.map(|context| context.to_device(&device));
    let plain = flow.valid();
    let Err(reason) = tried(|| plain.log_prob(x.clone(), context.as_ref())) else { return Ok(()) };
    let context = match &data.train.context {
        Some(context) => format!("a context of width {}", context.dims()[1]),
        None => "no context".to_string(),
    };
    let event = &data.train.x.dims()[1..];
    let reason = format!(
        "rows of shape {event:?} with {context} do not fit the model: {reason}; pass rows and \
         context of the shapes that the model was built for"
    );
    Err(Error::data("training data", reason))
}

/// The stream of the model's own draws for that row.
const TRIED: u64 = u64::MAX - 2;

/// Returns an error if a draw of the flow fails, for example because the flow needs a context.
pub(super) fn check_draws<B: Bijector<D>, P: Distribution<D>, const D: usize>(
    what: &str,
    flow: &Flow<B, P>,
) -> Result<()> {
    let plain = flow.valid();
    tried(|| plain.draw_with_log_prob::<D>(1, &mut Noise::seeded(0))).map(|_| ()).map_err(
        |reason| {
            let remedy = "use a flow without a context, whose layers and base have fitting shapes";
            Error::data(what, format!("draws of the flow fail: {reason}; {remedy}"))
        },
    )
}

/// Returns an error if the batch size is too small for a model whose rows depend on each other in training.
pub(super) fn check_batch(config: &'static str, mixes_rows: bool, batch: usize) -> Result<()> {
    if !mixes_rows || batch > 1 {
        return Ok(());
    }
    let reason = "must be at least 2 for a model with batch normalization, found 1";
    Err(Error::config(config, "batch_size", reason.to_string()))
}

/// Returns an error if the configuration has a patience but there are no validation rows.
pub(super) fn check_patience<const D: usize>(config: &FitConfig, data: &FitData<D>) -> Result<()> {
    if config.patience.is_none() || data.validation.is_some() {
        return Ok(());
    }
    let reason = format!(
        "needs validation rows, found none: {} rows with a validation_fraction of {}; raise the \
         fraction, pass rows to with_validation, or remove patience",
        data.train.len(),
        config.validation_fraction
    );
    Err(Error::config("FitConfig", "patience", reason))
}

/// The result of a call, or the message of its panic.
fn tried<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("panic without a message").trim().to_string()
    })
}
