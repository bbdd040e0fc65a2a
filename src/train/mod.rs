//! Training by exact maximum likelihood, and to densities without data.
//!
//! [`fit`] is the whole training loop, on burn's optimizers, schedules and data loaders. It splits off validation rows,
//! shuffles batches, initialises data-dependent layers, clips gradients by their global norm, averages the weights,
//! stops early at the best weights and writes whole checkpoints. [`Training`] adds an [`Objective`], an optimizer,
//! metrics and callbacks of your own. The `learner` feature trains a flow in burn-train's learner instead, which
//! supports several devices.
//!
//! [`FitData`] holds tensors, or reads rows from a data set or a loader of burn, in memory of a few batches.
//!
//! [`FitConfig::reversible`] trains a deep flow in the memory of one layer. [`Reversible`] does so in a training loop
//! of your own.
//!
//! Integer data, such as pixels, need a density that is spread over each integer. [`Dequantize`] spreads it by uniform
//! noise, [`DequantizeColumns`] in chosen columns only, [`VariationalDequantize`] by learned noise. [`ReduceBits`] keeps
//! the highest bits of images, [`bits_per_dim`] scores images.
//!
//! [`fit_reverse_kl`] trains a flow without data, to a density that is known up to a constant. [`log_z`] estimates that
//! constant.

mod adam;
mod average;
mod batch;
mod check;
mod checkpoint;
mod config;
mod data;
mod dequantize;
mod dequantize_columns;
mod failure;
mod fingerprint;
mod gradients;
#[cfg(feature = "learner")]
mod learner;
mod log_z;
mod noise_model;
mod objective;
mod order;
mod outliers;
mod part;
mod probe;
mod progress;
mod reduce_bits;
mod report;
mod reversible;
mod run;
mod scale;
#[cfg(feature = "learner")]
pub mod scaling;
mod schedule;
mod source;
mod statistics;
mod ties;
mod training;
mod trial;
mod variational;
mod warning;

pub use adam::adamw;
pub use batch::Batch;
pub use config::FitConfig;
pub use data::FitData;
pub use dequantize::{Dequantize, bits_per_dim};
pub use dequantize_columns::{Dequantization, DequantizeColumns};
pub use gradients::nll_gradients;
#[cfg(feature = "learner")]
pub use learner::{NllMetric, NllOutput, Trainee};
pub use log_z::{LogZ, log_z};
pub use noise_model::{NoiseModel, UniformNoise};
pub use objective::{Atomic, Block, Estimator, Nll, Objective, ReverseKl, reverse_kl};
pub use reduce_bits::ReduceBits;
pub use report::{Epoch, Report, Step, Stop};
pub use reversible::{LayerDrift, Reversible};
pub use schedule::Schedule;
pub use training::{Training, fit, fit_reverse_kl};
pub use variational::VariationalDequantize;
pub use warning::{Warning, WarningKind};

use crate::distribution::Distribution;
use gradients::Shares;

/// The mean negative log-likelihood of the rows in nats, computed without a graph, `batch` rows per pass. The rows are
/// a tensor, a pair of rows and context, or a [`Batch`], whose weights apply to the mean.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{distribution::StandardNormal, train::nll};
///
/// let device = Device::flex();
/// let normal = StandardNormal::<2>::new([2], &device);
/// let at_zero = nll(&normal, Tensor::zeros([5, 2], &device), 2);
/// assert!((at_zero - (2.0 * std::f64::consts::PI).ln()).abs() < 1e-6);
/// ```
pub fn nll<const D: usize, P: Distribution<D>>(
    density: &P,
    rows: impl Into<Batch<D>>,
    batch: usize,
) -> f64 {
    let rows = rows.into();
    let rows = rows.counted();
    let log_prob = density.log_prob_batched(rows.x.clone(), rows.context.as_ref(), batch);
    -Shares::of(&rows, rows.total_weight()).total(&log_prob.into_data())
}
