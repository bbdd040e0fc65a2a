//! The progress bar: NLL and time left, silent where output is not a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Epoch;

/// A bar over the steps of all epochs.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Shows `steps` steps, of which `done` are done, on standard error.
    pub fn new(steps: usize, done: usize, shown: bool) -> Self {
        let target =
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
        let style =
            ProgressStyle::with_template("{bar:30} {percent:>3}% {msg} [{elapsed} < {eta}]")
                .expect("the template is a constant");
        bar.set_style(style);
        bar.set_position(done as u64);
        bar.reset_eta();
        Self(bar)
    }

    /// A line above the bar.
    pub fn say(&self, text: &str) {
        self.0.println(text);
    }

    /// One step is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// One epoch is done.
    pub fn epoch(&self, epoch: &Epoch, best: Option<f64>) {
        let mut text = format!("epoch {}", epoch.epoch);
        if let Some(train) = epoch.train_nll {
            text += &format!(" nll {train:.3}");
        }
        if let (Some(validation), Some(best)) = (epoch.validation_nll, best) {
            text += &format!(" validation {validation:.3} best {best:.3}");
        }
        self.0.set_message(text);
    }

    /// Training is over.
    pub fn finish(&self) {
        self.0.finish();
    }
}
