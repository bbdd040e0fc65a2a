//! The configuration of a training run.

use std::path::PathBuf;

use super::Schedule;
use crate::config::config;
use crate::error::{Error, Result, at_least, count};

config! {
/// Configuration of [`fit`](super::fit).
///
/// ```
/// use burn_flows::train::FitConfig;
///
/// let config = FitConfig::new().with_epochs(20).with_average(Some(0.99)).with_seed(7);
/// assert!(config.validate().is_ok());
/// let error = FitConfig::new().with_epochs(0).validate().unwrap_err();
/// assert_eq!(error.to_string(), "FitConfig.epochs: must be at least 1, found 0");
/// ```
pub struct FitConfig {
    /// Passes over the training rows, at most 16777216. Raise it if the validation NLL still falls at the end. A
    /// resumed run may have more epochs than its checkpoint was configured for, but not fewer than were already run.
    #[config(default = 100)]
    pub epochs: usize,
    /// Rows per optimizer step. A last batch of a single row is left out. A larger batch gives gradients with less
    /// noise and fewer steps per epoch.
    #[config(default = 128)]
    pub batch_size: usize,
    /// The peak learning rate, in (0, 1]. Lower it if the loss jumps or steps are skipped.
    #[config(default = 1e-3)]
    pub learning_rate: f64,
    /// How the learning rate changes from step to step. The cosine runs over all steps. If a resumed run has more
    /// `epochs`, the cosine is stretched over the new number of steps, so the learning rate of a finished run rises
    /// again.
    #[config(default = Schedule::Cosine)]
    pub schedule: Schedule,
    /// Steps over which the learning rate rises linearly to the value of the schedule. Set it if the first steps are
    /// unstable.
    #[config(default = 0)]
    pub warmup_steps: usize,
    /// Decoupled weight decay (AdamW), in [0, 1). Set it if the validation NLL rises while the training NLL falls.
    #[config(default = 0.0)]
    pub weight_decay: f64,
    /// Limit of the global norm of the gradients. With `None` the limit is 1e18, whose square f32 still holds.
    #[config(default = Some(10.0))]
    pub gradient_clip: Option<f64>,
    /// Decay of an exponential moving average of the weights, in [0, 1). With an average, the averaged weights are
    /// validated and returned.
    #[config(default = None)]
    pub average: Option<f64>,
    /// Epochs without a lower validation loss after which training stops. Requires validation rows.
    #[config(default = None)]
    pub patience: Option<usize>,
    /// Share of the training rows that is split off for validation, in [0, 1). Without effect if the data have
    /// validation rows of their own, or come from a loader. Nothing is split off if the share is below half a row, or
    /// would leave fewer than two training rows.
    #[config(default = 0.1)]
    pub validation_fraction: f64,
    /// Seconds after which training stops, checked after each step. The unfinished epoch is validated and reported. A
    /// resumed run continues from the last checkpoint, after a whole epoch.
    #[config(default = None)]
    pub time_limit: Option<f64>,
    /// Seed of the validation split, the order of the rows, the dequantization and dropout.
    #[config(default = 0)]
    pub seed: u64,
    /// Consecutive steps that may be skipped because their loss or gradient is not finite. One more is an error.
    #[config(default = 20)]
    pub max_skipped: usize,
    /// Batch size of the validation. Lower it if validation runs out of memory.
    #[config(default = 1024)]
    pub evaluation_batch: usize,
    /// Trains in the memory of one layer, as [`Reversible`](super::Reversible) does. Each step takes longer. Set it if
    /// a deep flow does not fit into memory. Requires the objective [`Nll`](super::Nll).
    #[config(default = false)]
    pub reversible: bool,
    /// Shows a progress bar if standard error is a terminal.
    #[config(default = true)]
    pub progress: bool,
    /// A folder for checkpoints. If the folder holds a checkpoint, training resumes from it, and the weights of the
    /// checkpoint replace those of the model: give every member of an ensemble a folder of its own.
    ///
    /// A resumed run requires the data, model, objective, optimizer and settings that wrote the checkpoint. Only
    /// `epochs`, `patience`, `time_limit`, `evaluation_batch`, `max_skipped`, `progress`, `checkpoint_every` and
    /// `strict` may differ. An objective of your own is told by its type, and by its settings if it has a
    /// [`describe`](super::Objective::describe).
    #[config(default = None)]
    pub checkpoint: Option<PathBuf>,
    /// Epochs between two checkpoints.
    #[config(default = 1)]
    pub checkpoint_every: usize,
    /// Turns the first [warning](super::FitData::warnings) about the data into an error.
    #[config(default = false)]
    pub strict: bool,
}
}

impl FitConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("FitConfig", "epochs", 1, self.epochs)?;
        for (field, value) in [
            ("batch_size", self.batch_size),
            ("evaluation_batch", self.evaluation_batch),
            ("checkpoint_every", self.checkpoint_every),
        ] {
            at_least("FitConfig", field, 1, value)?;
        }
        let within = |field, value, fits, range| within("FitConfig", field, value, fits, range);
        let rate = self.learning_rate;
        within("learning_rate", rate, rate > 0.0 && rate <= 1.0, "in (0, 1]")?;
        let decay = self.weight_decay;
        within("weight_decay", decay, (0.0..1.0).contains(&decay), "in [0, 1)")?;
        let clip = self.gradient_clip.unwrap_or(1.0);
        within("gradient_clip", clip, clip > 0.0, "positive")?;
        let average = self.average.unwrap_or(0.0);
        within("average", average, (0.0..1.0).contains(&average), "in [0, 1)")?;
        let limit = self.time_limit.unwrap_or(1.0);
        within("time_limit", limit, limit > 0.0, "positive")?;
        let fraction = self.validation_fraction;
        within("validation_fraction", fraction, (0.0..1.0).contains(&fraction), "in [0, 1)")?;
        self.schedule.init("FitConfig", self.learning_rate, 1).map(|_| ())
    }
}

/// Returns an error that names the field and its range, unless `fits` is true.
pub(super) fn within(
    config: &'static str,
    field: &'static str,
    value: f64,
    fits: bool,
    range: &str,
) -> Result<()> {
    if fits {
        return Ok(());
    }
    Err(Error::config(config, field, format!("must be {range}, found {value}")))
}
