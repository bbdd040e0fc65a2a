//! Objectives: what a training minimises, as a loss for each row.
//!
//! | objective | loss of a row |
//! | --- | --- |
//! | [`Nll`] | the negative log-likelihood, the default of [`fit`](super::fit) |
//! | [`ReverseKl`] | a draw of the flow under a target known up to a constant, without data |
//! | [`Atomic`] | the cross-entropy of the right parameters among several, for parameters from a proposal |

mod atomic;
mod nll;
mod reverse_kl;

pub use atomic::Atomic;
pub use nll::Nll;
pub use reverse_kl::{Estimator, ReverseKl, reverse_kl};

use std::ops::Range;

use burn::tensor::Tensor;

use super::Batch;
use crate::bijector::layer_name;
use crate::distribution::Distribution;
use crate::error::{Error, Result};
use crate::noise::Noise;
use crate::rows::rows_of;

/// The values of a function at an example, to five digits.
fn values(function: Tensor<1>) -> String {
    let values = function.without_autodiff().into_data();
    values.iter::<f64>().map(|value| format!(" {value:.4e}")).collect()
}

/// A loss for each row, whose weighted mean a training minimises. [`Training::with_objective`](super::Training) sets it.
///
/// `fit` divides the rows of a step into blocks, which the cores share, and calls [`losses`](Self::losses) for each
/// block. The memory of a step is that of the blocks in progress. Schedules, clipping, averages, checkpoints, weights and
/// early stopping work with every objective.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::prelude::*;
/// use burn_flows::train::{Block, Objective, Training};
///
/// /// The NLL of rows with small noise, which smooths the density.
/// struct Smoothed(f64);
///
/// impl<F: Distribution<2>> Objective<F, 2> for Smoothed {
///     fn losses(&self, model: &F, block: &Block<'_, 2>, noise: &mut Noise) -> burn_flows::Result<Tensor<1>> {
///         let (x, context) = block.data()?;
///         let shift = noise.normal(x.dims(), &x.device()) * self.0;
///         Ok(model.log_prob(x + shift, context.as_ref()).neg())
///     }
/// }
///
/// let x = Noise::seeded(1).normal::<2>([300, 2], &Device::flex()) * 3.0;
/// let flow = RealNvpConfig::new(2).with_layers(2).init(&Device::flex());
/// let config = FitConfig::new().with_epochs(2);
/// let (_, report) = Training::new(flow, x, &config).with_objective(Smoothed(0.1)).run()?;
/// assert!(report.epochs[1].train_loss < report.epochs[0].train_loss);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub trait Objective<F, const D: usize>: Send + Sync {
    /// The loss of each row of a block, shape `[rows]`, in the graph of the model. Random numbers must come from `noise`.
    /// Each block of each step has its own stream. A resumed run uses the same streams.
    ///
    /// # Errors
    ///
    /// An error ends the training. A loss that is not finite does not: `fit` skips the step.
    fn losses(&self, model: &F, block: &Block<'_, D>, noise: &mut Noise) -> Result<Tensor<1>>;

    /// Whether the loss is the NLL of the model. Then training can be [reversible](super::FitConfig::reversible), and a
    /// final NLL far from the data is an error. Default: no.
    fn is_nll(&self) -> bool {
        false
    }

    /// The kind and the settings of the objective, by which a checkpoint of another objective is refused. `example` holds
    /// two events: a function that belongs to the objective can be told by its values there. Default: the name of the
    /// type, so a checkpoint resumes although a field of the objective differs.
    fn describe(&self, _example: &Tensor<D>) -> String {
        layer_name::<Self>().to_string()
    }

    /// The first part of a plain model that is not finite for a block, for the error of a failed training. Default: the
    /// search of [`Distribution::first_non_finite`] for the rows of data.
    fn first_non_finite(
        &self,
        model: &F,
        block: &Block<'_, D>,
        _noise: &mut Noise,
    ) -> Option<String>
    where
        F: Distribution<D>,
    {
        let (x, context) = block.data().ok()?;
        model.first_non_finite(x, context.as_ref())
    }
}

/// Some rows of a step, for an [`Objective`].
#[derive(Debug, Clone)]
pub struct Block<'a, const D: usize> {
    batch: Option<&'a Batch<D>>,
    rows: Range<usize>,
}

impl<'a, const D: usize> Block<'a, D> {
    pub(super) fn new(batch: Option<&'a Batch<D>>, rows: Range<usize>) -> Self {
        Self { batch, rows }
    }

    /// The number of rows of the block.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the block has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The places of the rows in the batch.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The whole batch of the step.
    ///
    /// # Errors
    ///
    /// If the training has no data ([`FitData::drawn`](super::FitData::drawn)).
    pub fn batch(&self) -> Result<&'a Batch<D>> {
        let reason = "the objective needs rows of data, found none; pass rows instead of `drawn`";
        self.batch.ok_or_else(|| Error::data("training data", reason))
    }

    /// The rows of the block and their context.
    ///
    /// # Errors
    ///
    /// The error of [`batch`](Self::batch).
    pub fn data(&self) -> Result<(Tensor<D>, Option<Tensor<2>>)> {
        let batch = self.batch()?;
        if self.rows == (0..batch.len()) {
            return Ok((batch.x.clone(), batch.context.clone()));
        }
        let context = batch.context.as_ref().map(|context| rows_of(context, self.rows()));
        Ok((batch.x.clone().slice([self.rows()]), context))
    }

    /// The losses of an objective, after a check of their number.
    pub(super) fn losses<F, O: Objective<F, D>>(
        &self,
        objective: &O,
        model: &F,
        noise: &mut Noise,
    ) -> Result<Tensor<1>> {
        let losses = objective.losses(model, self, noise)?;
        let (name, rows, [found]) = (layer_name::<O>(), self.len(), losses.dims());
        assert!(found == rows, "{name}: expected {rows} losses, one for each row, found {found}");
        Ok(losses)
    }
}
