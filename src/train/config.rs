//! What decides a training run.

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
    /// Passes over the training rows. A checkpoint goes on with more of them, never with fewer than
    /// were run. At most 16777216.
    #[config(default = 100)]
    pub epochs: usize,
    /// Rows of a step. A last batch of a single row is left out.
    #[config(default = 128)]
    pub batch_size: usize,
    /// The full learning rate.
    #[config(default = 1e-3)]
    pub learning_rate: f64,
    /// How the learning rate changes. A schedule over all steps, as the cosine, follows the new number of
    /// `epochs` where a checkpoint goes on with more of them, from the step that was reached: the rate of
    /// a finished run rises again.
    #[config(default = Schedule::Cosine)]
    pub schedule: Schedule,
    /// Steps over which the learning rate rises to what the schedule says.
    #[config(default = 0)]
    pub warmup_steps: usize,
    /// Decoupled weight decay (AdamW).
    #[config(default = 0.0)]
    pub weight_decay: f64,
    /// Limit of the global norm of the gradients; without one, 1e18, whose square f32 still holds.
    #[config(default = Some(10.0))]
    pub gradient_clip: Option<f64>,
    /// Decay of an exponential moving average of the weights, which is then what is validated and
    /// returned.
    #[config(default = None)]
    pub average: Option<f64>,
    /// Epochs without a better validation NLL before training stops. It needs validation rows.
    #[config(default = None)]
    pub patience: Option<usize>,
    /// Share of the rows held out for validation, where the data bring none.
    #[config(default = 0.1)]
    pub validation_fraction: f64,
    /// Decides the split, the order of the rows, dequantization and dropout.
    #[config(default = 0)]
    pub seed: u64,
    /// Steps in a row that may be skipped for not being finite.
    #[config(default = 20)]
    pub max_skipped: usize,
    /// Rows per pass of an evaluation.
    #[config(default = 1024)]
    pub evaluation_batch: usize,
    /// Training in the memory of one layer, as [`Reversible`](super::Reversible), which takes longer.
    #[config(default = false)]
    pub reversible: bool,
    /// Shows a progress bar where standard error is a terminal.
    #[config(default = true)]
    pub progress: bool,
    /// A folder for checkpoints; where it holds one, training goes on from there. Data, model, optimizer
    /// and configuration must be those of the checkpoint, but for `epochs`, `patience`,
    /// `evaluation_batch`, `max_skipped`, `progress`, `checkpoint_every` and `strict`.
    #[config(default = None)]
    pub checkpoint: Option<PathBuf>,
    /// Epochs between checkpoints.
    #[config(default = 1)]
    pub checkpoint_every: usize,
    /// Makes an error of the first [warning](super::FitData::warnings) about the data.
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
        let fraction = self.validation_fraction;
        within("validation_fraction", fraction, (0.0..1.0).contains(&fraction), "in [0, 1)")?;
        self.schedule.init("FitConfig", self.learning_rate, 1).map(|_| ())
    }
}

/// `Err` naming the field and its range unless it fits.
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
