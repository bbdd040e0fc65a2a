//! The progress bar: loss and remaining time, hidden if standard error is not a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Epoch;

/// A progress bar over the steps of all epochs.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Shows a bar of `steps` steps on standard error, of which `done` are done.
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

    /// Prints a line above the bar.
    pub fn say(&self, text: &str) {
        self.0.println(text);
    }

    /// Advances the bar by one step.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// Shows the losses of a finished epoch.
    pub fn epoch(&self, epoch: &Epoch, best: Option<f64>) {
        let mut text = format!("epoch {}", epoch.epoch);
        if let Some(train) = epoch.train_loss {
            text += &format!(" loss {train:.3}");
        }
        if let (Some(validation), Some(best)) = (epoch.validation_loss, best) {
            text += &format!(" validation {validation:.3} best {best:.3}");
        }
        self.0.set_message(text);
    }

    /// Ends the bar.
    pub fn finish(&self) {
        self.0.finish();
    }
}
