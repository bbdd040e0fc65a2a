//! Learning rate schedules, by burn's schedulers.

use burn::lr_scheduler::{
    LrSchedulerConfig,
    cosine::CosineAnnealingLrSchedulerConfig,
    exponential::ExponentialLrSchedulerConfig,
    module_lr_scheduler::{ModuleLrScheduler, ModuleLrSchedulerConfig},
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the learning rate changes over training.
///
/// ```
/// use burn_flows::train::{FitConfig, Schedule};
///
/// assert!(FitConfig::new().with_schedule(Schedule::Constant).validate().is_ok());
/// let schedule = Schedule::Exponential { gamma: 2.0 };
/// assert!(FitConfig::new().with_schedule(schedule).validate().is_err());
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub enum Schedule {
    /// A constant learning rate.
    Constant,
    /// A cosine from the full rate to 0 over all steps.
    Cosine,
    /// The rate is multiplied by `gamma` after every step.
    Exponential {
        /// The factor per step, in (0, 1].
        gamma: f64,
    },
    /// One of burn's schedulers. It sets the learning rates itself, so the configured `learning_rate` has no effect.
    Burn(LrSchedulerConfig),
}

impl Schedule {
    /// Builds burn's scheduler for this many steps. An error names `config`.
    pub(super) fn init(
        &self,
        config: &'static str,
        rate: f64,
        steps: usize,
    ) -> Result<ModuleLrScheduler> {
        let wrong = |reason: String| Error::config(config, "schedule", reason);
        match self {
            Self::Constant => Ok(ModuleLrScheduler::new(rate)),
            Self::Cosine => {
                CosineAnnealingLrSchedulerConfig::new(rate, steps.max(1)).init().map_err(wrong)
            }
            Self::Exponential { gamma } => {
                ExponentialLrSchedulerConfig::new(rate, *gamma).init().map_err(wrong)
            }
            Self::Burn(burn) => ModuleLrSchedulerConfig::new(burn.clone()).init().map_err(wrong),
        }
    }
}
