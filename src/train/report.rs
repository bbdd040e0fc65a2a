//! The report of a training run.

use serde::{Deserialize, Serialize};

use super::{LayerDrift, Warning};

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Stop {
    /// All epochs were run.
    Finished,
    /// Validation did not improve for `patience` epochs.
    EarlyStopping,
}

/// The report of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The number of the epoch, counted from 1.
    pub epoch: usize,
    /// Mean negative log-likelihood over the training batches, in nats; `None` if every step of the epoch was skipped.
    pub train_nll: Option<f64>,
    /// Mean negative log-likelihood of the validation rows, in nats. It is computed with the averaged weights if the
    /// configuration asks for an average.
    pub validation_nll: Option<f64>,
    /// The learning rate of the last step.
    pub learning_rate: f64,
}

/// The report of [`fit`](super::fit).
///
/// ```
/// use burn_flows::train::{Report, Stop};
///
/// let report = Report::default();
/// assert_eq!(report.stop, Stop::Finished);
/// assert!(report.epochs.is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// All epochs, including those before an interruption.
    pub epochs: Vec<Epoch>,
    /// The epoch whose weights were returned.
    pub best_epoch: usize,
    /// The validation NLL of the best epoch, in nats.
    pub best_validation_nll: Option<f64>,
    /// Optimizer steps, including skipped ones.
    pub steps: usize,
    /// Steps that were skipped because their loss or gradient was not finite.
    pub skipped_steps: usize,
    /// Recovery and drift of every layer, for training without stored activations ([`Reversible`](super::Reversible)).
    pub layers: Vec<LayerDrift>,
    /// The warnings about the data, from [`FitData::warnings`](super::FitData::warnings).
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// The duration of this call in seconds.
    pub seconds: f64,
    /// The epoch after which this run resumed from a checkpoint; `None` for a run that did not resume.
    pub resumed_from: Option<usize>,
    /// Why training ended.
    pub stop: Stop,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            epochs: vec![],
            best_epoch: 0,
            best_validation_nll: None,
            steps: 0,
            skipped_steps: 0,
            layers: vec![],
            warnings: vec![],
            seconds: 0.0,
            resumed_from: None,
            stop: Stop::Finished,
        }
    }
}
