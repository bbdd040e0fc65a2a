//! The report of a training run.

use std::collections::{BTreeMap, BTreeSet};

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
    /// The time limit passed.
    TimeLimit,
    /// A callback asked for the end.
    Callback,
}

/// The report of one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The number of the epoch, counted from 1.
    pub epoch: usize,
    /// The mean loss over the training batches; `None` if every step of the epoch was skipped. The loss of
    /// [`fit`](super::fit) is the negative log-likelihood in nats.
    #[serde(with = "numbers::optional")]
    pub train_loss: Option<f64>,
    /// The mean loss of the validation rows. It is computed with the averaged weights if the configuration asks for an
    /// average.
    #[serde(with = "numbers::optional")]
    pub validation_loss: Option<f64>,
    /// The learning rate of the last step.
    pub learning_rate: f64,
    /// The numbers of [`Training::with_metric`](super::Training::with_metric), by name.
    #[serde(default, with = "numbers::named")]
    pub metrics: BTreeMap<String, f64>,
}

/// The report of one optimizer step, for [`Training::on_step`](super::Training::on_step).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// The number of the step, counted from 1 over all epochs.
    pub step: usize,
    /// The mean loss of the rows; `None` if the step was skipped, because its loss or gradient was not finite.
    pub loss: Option<f64>,
    /// The global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// The learning rate.
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
    /// The validation loss of the best epoch.
    #[serde(with = "numbers::optional")]
    pub best_validation_loss: Option<f64>,
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
            best_validation_loss: None,
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

impl Report {
    /// The whole report as JSON. A loss or a metric that is not finite is text: `"NaN"`, `"inf"` or `"-inf"`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has a JSON form")
    }

    /// The epochs as CSV: a header, and a row for each epoch, with a column for each metric. A missing number is an empty
    /// field.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use burn_flows::{Noise, model::NiceConfig, train::{FitConfig, fit}};
    ///
    /// let x = Noise::seeded(1).normal::<2>([100, 2], &Device::flex());
    /// let (_, report) = fit(NiceConfig::new(2).init(&Device::flex()), x, &FitConfig::new().with_epochs(3))?;
    /// let csv = report.to_csv(); // for `std::fs::write`
    /// assert_eq!(csv.lines().next(), Some("epoch,train_loss,validation_loss,learning_rate"));
    /// assert_eq!(csv.lines().count(), 4);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn to_csv(&self) -> String {
        let metrics = self.epochs.iter().flat_map(|epoch| epoch.metrics.keys());
        let metrics: BTreeSet<&String> = metrics.collect();
        let names = ["epoch", "train_loss", "validation_loss", "learning_rate"];
        let names = names.into_iter().map(quoted).chain(metrics.iter().map(|name| quoted(name)));
        let mut csv = names.collect::<Vec<_>>().join(",") + "\n";
        for epoch in &self.epochs {
            let number =
                |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
            let losses = [epoch.train_loss, epoch.validation_loss, Some(epoch.learning_rate)];
            let own = metrics.iter().map(|name| epoch.metrics.get(*name).copied());
            let row = losses.into_iter().chain(own).map(number);
            let row: Vec<String> = std::iter::once(epoch.epoch.to_string()).chain(row).collect();
            csv += &(row.join(",") + "\n");
        }
        csv
    }
}

/// A field of a CSV file, in quotes if its text needs them (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}

/// Numbers that JSON does not have, as text. JSON would make them `null`, which is no number to read back.
mod numbers {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Number {
        Finite(f64),
        Text(String),
    }

    impl From<f64> for Number {
        fn from(value: f64) -> Self {
            if value.is_finite() { Self::Finite(value) } else { Self::Text(value.to_string()) }
        }
    }

    impl TryFrom<Number> for f64 {
        type Error = std::num::ParseFloatError;

        fn try_from(number: Number) -> Result<Self, Self::Error> {
            match number {
                Number::Finite(value) => Ok(value),
                Number::Text(text) => text.parse(),
            }
        }
    }

    pub mod optional {
        use serde::de::Error;
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        use super::Number;

        pub fn serialize<S: Serializer>(value: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
            value.map(Number::from).serialize(s)
        }

        pub fn deserialize<'a, D: Deserializer<'a>>(d: D) -> Result<Option<f64>, D::Error> {
            let number = Option::<Number>::deserialize(d)?;
            number.map(f64::try_from).transpose().map_err(D::Error::custom)
        }
    }

    pub mod named {
        use std::collections::BTreeMap;

        use serde::de::Error;
        use serde::{Deserialize, Deserializer, Serializer};

        use super::Number;

        type Named = BTreeMap<String, f64>;

        pub fn serialize<S: Serializer>(values: &Named, s: S) -> Result<S::Ok, S::Error> {
            s.collect_map(values.iter().map(|(name, value)| (name, Number::from(*value))))
        }

        pub fn deserialize<'a, D: Deserializer<'a>>(d: D) -> Result<Named, D::Error> {
            let numbers = BTreeMap::<String, Number>::deserialize(d)?;
            let value = |(name, number)| f64::try_from(number).map(|value| (name, value));
            numbers.into_iter().map(value).collect::<Result<_, _>>().map_err(D::Error::custom)
        }
    }
}
