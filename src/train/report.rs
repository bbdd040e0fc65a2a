//! What training reports.

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

/// One epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean negative log-likelihood over the training batches, in nats; `None` where every step was
    /// skipped.
    pub train_nll: Option<f64>,
    /// Mean negative log-likelihood of the validation rows, in nats; of the averaged weights where
    /// there is an average.
    pub validation_nll: Option<f64>,
    /// The learning rate of the last step.
    pub learning_rate: f64,
}

/// What [`fit`](super::fit) did.
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
    /// Every epoch, those before an interruption included.
    pub epochs: Vec<Epoch>,
    /// The epoch whose weights were returned.
    pub best_epoch: usize,
    /// Its validation NLL, in nats.
    pub best_validation_nll: Option<f64>,
    /// Optimizer steps, skipped ones included.
    pub steps: usize,
    /// Steps that were skipped because their loss or gradient was not finite.
    pub skipped_steps: usize,
    /// What every layer did, where training was without the activations in memory.
    pub layers: Vec<LayerDrift>,
    /// What [`FitData::warnings`](super::FitData::warnings) says about the data.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// Seconds of this call.
    pub seconds: f64,
    /// The epoch after which a checkpoint was taken up.
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
