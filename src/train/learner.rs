//! A flow in burn-train's learner, with its interface, checkpointers and device strategies.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{ExecutionError, Tensor, TensorReadError};
use burn::train::metric::state::{FormatOptions, NumericMetricState};
use burn::train::metric::{
    Adaptor, ItemLazy, LossInput, Metric, MetricAttributes, MetricMetadata, MetricName, Numeric,
    NumericAttributes, NumericEntry, SerializedEntry,
};
use burn::train::{InferenceStep, TrainOutput, TrainStep};
use serde::{Deserialize, Serialize};

use super::gradients::Shares;
use super::{Batch, bits_per_dim};
use crate::distribution::Distribution;
use crate::param::unshared;

/// A density as a model of burn-train: training and inference steps on [`Batch`]es.
///
/// Pass it to `Learner::new(Trainee::new(flow), optimizer, schedule)`. Loaders are
/// [`FitData::batches`](super::FitData::batches) or your own. Weights of rows apply within a batch: a step divides by
/// the sum of the weights of its batch. After training, `result.model.into_inner()` is the trained flow.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn::train::InferenceStep;
/// use burn_flows::{model::RealNvpConfig, train::{Batch, Trainee}};
///
/// let device = Device::flex();
/// let trainee = Trainee::new(RealNvpConfig::new(2).init(&device));
/// let output = trainee.step(Batch::new(Tensor::<2>::zeros([3, 2], &device)));
/// assert_eq!(output.nll().dims(), [3]);
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
pub struct Trainee<F, const D: usize> {
    density: F,
}

impl<F, const D: usize> Trainee<F, D> {
    /// The model that trains `density`. Training does not change the running statistics of clones of `density`.
    pub fn new(density: F) -> Self
    where
        F: Module,
    {
        Self { density: unshared(density) }
    }

    /// Returns the density.
    pub fn into_inner(self) -> F {
        self.density
    }
}

impl<F: Distribution<D>, const D: usize> Trainee<F, D> {
    fn output(&self, batch: Batch<D>) -> NllOutput {
        let rows = batch.counted().into_owned();
        let dims = rows.x.dims()[1..].iter().product();
        let shares = Shares::of(&rows, rows.total_weight());
        NllOutput { nll: self.density.log_prob(rows.x, rows.context.as_ref()).neg(), shares, dims }
    }
}

impl<F: Distribution<D>, const D: usize> TrainStep for Trainee<F, D> {
    type Input = Batch<D>;
    type Output = NllOutput;

    fn step(&self, batch: Batch<D>) -> TrainOutput<NllOutput> {
        let output = self.output(batch);
        let loss = output.shares.sum(output.nll.clone());
        TrainOutput::new(self, loss.backward(), output)
    }
}

impl<F: Distribution<D>, const D: usize> InferenceStep for Trainee<F, D> {
    type Input = Batch<D>;
    type Output = NllOutput;

    fn step(&self, batch: Batch<D>) -> NllOutput {
        self.output(batch)
    }
}

/// The output of a step, from which metrics are computed.
#[derive(Debug, Clone)]
pub struct NllOutput {
    nll: Tensor<1>,
    shares: Shares,
    dims: usize,
}

impl NllOutput {
    /// The negative log-likelihood of every row, in nats.
    pub fn nll(&self) -> Tensor<1> {
        self.nll.clone()
    }
}

impl ItemLazy for NllOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        self.nll.device().flush()?;
        Ok(Self { nll: self.nll.without_autodiff(), ..self })
    }
}

impl Adaptor<LossInput> for NllOutput {
    fn adapt(&self) -> LossInput {
        LossInput::new(self.shares.rows(self.nll.clone()))
    }
}

impl Adaptor<NllOutput> for NllOutput {
    fn adapt(&self) -> NllOutput {
        self.clone()
    }
}

/// The mean negative log-likelihood in nats, or in bits per dimension of integers.
///
/// ```
/// use burn::train::metric::Metric;
/// use burn_flows::train::NllMetric;
///
/// assert_eq!(*NllMetric::nats().name(), "NLL");
/// assert_eq!(*NllMetric::bits_per_dim(256).name(), "Bits per dim");
/// ```
#[derive(Clone)]
pub struct NllMetric {
    name: Arc<String>,
    unit: &'static str,
    levels: Option<usize>,
    state: NumericMetricState,
}

impl NllMetric {
    /// The metric in nats.
    pub fn nats() -> Self {
        Self::new("NLL", "nats", None)
    }

    /// The metric in bits per dimension, for dequantized integers of this many levels.
    pub fn bits_per_dim(levels: usize) -> Self {
        Self::new("Bits per dim", "bits", Some(levels))
    }

    fn new(name: &str, unit: &'static str, levels: Option<usize>) -> Self {
        let name = Arc::new(name.to_string());
        Self { name, unit, levels, state: NumericMetricState::default() }
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(self.name()).unit(self.unit).precision(4)
    }
}

impl Metric for NllMetric {
    type Input = NllOutput;

    fn update(
        &mut self,
        output: &NllOutput,
        _metadata: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        let [rows] = output.nll.dims();
        let nll = output.shares.total(&output.nll.clone().try_into_data()?);
        let value = match self.levels {
            Some(levels) => bits_per_dim(nll, output.dims, levels),
            None => nll,
        };
        self.state.update(value, rows);
        Ok(self.state.compute_update(self.format()))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.state.compute_final(self.format()))
    }

    fn clear(&mut self) {
        self.state.reset();
    }

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: Some(self.unit.to_string()), higher_is_better: false }.into()
    }
}

impl Numeric for NllMetric {
    fn value(&self) -> Option<NumericEntry> {
        Some(self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}
