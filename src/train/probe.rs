//! Checks that a model accepts its training data, before training starts.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, Device, Tensor};

use super::gradients::{OBJECTIVE, trains};
use super::objective::{Block, Objective};
use super::run::seed_draws;
use super::statistics::Statistics;
use super::{Batch, FitConfig, FitData};
use crate::bijector::Bijector;
use crate::distribution::Distribution;
use crate::error::{Error, Result};
use crate::flow::Flow;
use crate::noise::Noise;

/// Returns an error if the first rows, or their context, do not fit the model or the objective.
///
/// Layers check their own widths and panic, as burn does; there is no list of the widths. So the losses of two rows are
/// computed, and the panic of a layer becomes the reason of the error.
pub(super) fn check_rows<F: Distribution<D>, O: Objective<F, D>, const D: usize>(
    flow: &F,
    objective: &O,
    data: &FitData<D>,
    seed: u64,
) -> Result<()> {
    seed_draws(seed, TRIED);
    let device = flow.devices().into_iter().next().unwrap_or_default().without_autodiff();
    let all = &data.train.rows;
    let rows = match data.train.is_drawn() {
        true => None,
        false => Some(all.select(&[0, 1.min(all.len() - 1)]).to_device(&device)),
    };
    let block = Block::new(rows.as_ref(), 0..2);
    let mut noise = Noise::stream(seed ^ OBJECTIVE, TRIED);
    let plain = flow.valid();
    let reason = match tried(|| block.losses(objective, &plain, &mut noise)) {
        Ok(losses) => return losses.and_then(|_| check_mixes(flow, all, seed, &device)),
        Err(reason) => reason,
    };
    if data.train.is_drawn() {
        let remedy = "use a flow without a context, whose layers and base have fitting shapes";
        return Err(Error::data(
            "training draws",
            format!("draws of the flow fail: {reason}; {remedy}"),
        ));
    }
    let context = match &all.context {
        Some(context) => format!("a context of width {}", context.dims()[1]),
        None => "no context".to_string(),
    };
    let event = &all.x.dims()[1..];
    let reason = format!(
        "rows of shape {event:?} with {context} do not fit the model: {reason}; pass rows and \
         context of the shapes that the model was built for"
    );
    Err(Error::data("training data", reason))
}

/// Returns an error if the model mixes rows in training, but `mixes_rows` denies it: a wrapper that does not pass the
/// call on. Blocks of rows would then have statistics of their own, without a word.
fn check_mixes<F: Distribution<D>, const D: usize>(
    flow: &F,
    rows: &Batch<D>,
    seed: u64,
    device: &Device,
) -> Result<()> {
    let trained = flow.clone().train();
    if flow.mixes_rows() || rows.len() < 3 || !trains(&trained) {
        return Ok(());
    }
    let statistics = Statistics::of(&trained);
    let first = |second: usize| {
        seed_draws(seed, TRIED);
        let pair = rows.select(&[0, second]).to_device(device);
        let log_prob = trained.log_prob(pair.x, pair.context.as_ref());
        let value = log_prob.clone().without_autodiff().into_data().iter::<f64>().next();
        // burn frees a graph in `backward` only.
        drop(log_prob.sum().backward());
        value.unwrap_or(f64::NAN)
    };
    let (one, other) = (first(1), first(rows.len() - 1));
    statistics.restore(&trained);
    let measured = one.is_finite() && other.is_finite();
    if measured && (one - other).abs() > ROUNDING * one.abs().max(1.0) {
        let reason = "ln p of a row depends on the other rows in training, but `mixes_rows` returns \
                      false; a wrapper must pass the call of `mixes_rows` on to its parts";
        return Err(Error::config("fit", "flow", reason.to_string()));
    }
    Ok(())
}

/// The largest difference between two evaluations of a row, relative to its size: a GPU may add in another order.
const ROUNDING: f64 = 1e-4;

/// Returns an error if an ActNorm was not initialised from data: a wrapper that does not pass `init_from_data` on.
pub(super) fn check_initialized<M: Module>(model: &M) -> Result<()> {
    #[derive(Default)]
    struct Find {
        path: Vec<String>,
        is_flag: bool,
        found: Option<String>,
    }
    impl ModuleVisitor for Find {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.is_flag = name == "initialized" && container == "Struct:ActNorm";
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
            if self.is_flag && self.found.is_none() && !param.val().all().into_scalar::<bool>() {
                self.found = Some(self.path[..self.path.len() - 1].join("."));
            }
        }
    }
    let mut find = Find::default();
    model.visit(&mut find);
    let Some(path) = find.found else { return Ok(()) };
    let reason = format!(
        "the ActNorm at `{path}` was not initialised from the data; a wrapper must pass the call of \
         `init_from_data` on to its parts"
    );
    Err(Error::config("fit", "flow", reason))
}

/// Two events of the shape of the data, or of the draws of the model, by which a checkpoint tells objectives apart.
pub(super) fn example<F: Distribution<D>, const D: usize>(
    flow: &F,
    data: &FitData<D>,
) -> Tensor<D> {
    let device = flow.devices().into_iter().next().unwrap_or_default().without_autodiff();
    let noise = &mut Noise::seeded(TRIED);
    match data.train.is_drawn() {
        false => data.train.rows.select(&[0, 1]).to_device(&device).x,
        true => {
            let drawn = flow.valid().sample(2, None, noise, &device);
            noise.normal(drawn.dims(), &device).cast(drawn.dtype())
        }
    }
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

/// Returns an error if training is to be reversible for a loss that is not the NLL.
pub(super) fn check_reversible(config: &FitConfig, nll: bool) -> Result<()> {
    if !config.reversible || nll {
        return Ok(());
    }
    let reason = "needs the objective Nll, found another one; set it to false";
    Err(Error::config("FitConfig", "reversible", reason.to_string()))
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
