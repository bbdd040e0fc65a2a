//! Training without stored activations.

mod fingerprint;
mod step;

use std::collections::BTreeSet;

use burn::optim::GradientsParams;
use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use super::Batch;
use super::gradients::{self, Seed, Shares, Work};
use super::objective::Block;
use super::statistics::Statistics;
use crate::bijector::Recovery;
use crate::crew::apart;
use crate::distribution::Distribution;
use crate::error::{Result, not_negative};
use crate::noise::Noise;
use step::Step;

/// The largest allowed drift of a recovered input by default. Gradients may be off by several times the drift. With a
/// limit of 1e-5, one in twenty Glows of random weights had gradients off by more than 1e-5, some by 1e-3. With 2e-6,
/// gradients differ from those of ordinary training by no more than the rounding error of ordinary training, and a
/// layer of splines still stays within the limit.
const LIMIT_F32: f64 = 2e-6;
const LIMIT_F64: f64 = 1e-12;

/// Training steps as by [`nll_gradients`](super::nll_gradients), in the memory of one layer: the inputs of layers are
/// not stored, but recovered by the inverses of the layers.
///
/// ```text
/// z = f_n(.. f_1(x))         without a graph: nothing is kept
/// x_k = f_k^-1(x_(k+1))      from the latent back, one layer at a time
/// dL/dx_k, dL/dw_k           from the graph of that layer alone
/// ```
///
/// A step takes the memory of one layer's graph, whatever the number of layers. In exchange, every layer runs its
/// forward pass twice and its inverse once. Papers: Dinh, Krueger, Bengio (2015), NICE, arXiv:1410.8516; Gomez, Ren,
/// Urtasun, Grosse (2017), The Reversible Residual Network, section 3.2, arXiv:1707.04585.
///
/// A layer stores its input if its inverse is not a formula ([`Recovery`]). A layer also stores its input after its
/// recovered input has drifted beyond a limit; that step is repeated. This state belongs to the `Reversible`, so use
/// one `Reversible` for all steps of a training. [`layers`](Self::layers) reports the recovery and the drift of every
/// layer.
///
/// In a flow ([`Flow`](crate::Flow), [`MultiScale`](crate::MultiScale), a flow as the base of another flow) every layer
/// of the stack is differentiated separately. Any other distribution is differentiated as a whole: its gradients are
/// right, but it takes the memory of ordinary training.
///
/// # Numerics
///
/// The drift of a row is the distance between the true and the recovered input, relative to the norm of the row or to
/// the norm of the mean row, whichever is larger. The drift of a layer is the largest drift of its rows. The drift is
/// measured on every row, from a stored sum of its elements with random signs. In the mean over the signs, the squared
/// difference of two sums is the squared distance.
///
/// Gradients depend continuously on the inputs only if the networks do. A relu unit whose input is within the drift of
/// its kink may be active in one way of training and inactive in the other. The difference is the share of one row in
/// the gradient of one weight. Networks of silu have no such rows.
///
/// # Panics
///
/// The panics of [`Distribution::log_prob`]; also if the model has no trained parameter.
///
/// # Example
///
/// ```
/// use burn::{module::Module, optim::AdamConfig, tensor::Device};
/// use burn_flows::{Noise, bijector::Recovery, model::RealNvpConfig, train::Reversible};
///
/// let device = Device::flex();
/// let x = Noise::seeded(1).normal::<2>([200, 2], &device) * 3.0;
/// let mut flow = RealNvpConfig::new(2).init(&device).train();
/// let mut optimizer = AdamConfig::new().init();
/// let mut reversible = Reversible::new();
/// let (before, _) = reversible.nll_gradients(&flow, &x);
/// for _ in 0..20 {
///     let (_, gradients) = reversible.nll_gradients(&flow, &x);
///     flow = optimizer.step(1e-2, flow, gradients);
/// }
/// assert!(reversible.nll_gradients(&flow, &x).0 < before);
/// let kept = reversible.layers().iter().filter(|layer| layer.recovery != Recovery::Inverse);
/// assert_eq!(kept.count(), 0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Reversible {
    limit: Option<f64>,
    layers: Vec<LayerDrift>,
}

/// The recovery and the drift of one layer in training without activations, from [`Reversible::layers`].
///
/// ```
/// use burn::{module::Module, tensor::Device};
/// use burn_flows::{Noise, model::NiceConfig, train::Reversible};
///
/// let flow = NiceConfig::new(2).init(&Device::flex()).train();
/// let x = Noise::seeded(1).normal::<2>([50, 2], &Device::flex());
/// let mut reversible = Reversible::new();
/// reversible.nll_gradients(&flow, &x);
/// assert!(reversible.layers().iter().all(|layer| layer.drift.unwrap() < 2e-6));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerDrift {
    /// The path of the layer, as in the names of its parameters: `bijector.1.0`.
    pub path: String,
    /// The layer's type, without its parameters.
    pub name: String,
    /// How the input of the layer is recovered.
    pub recovery: Recovery,
    /// The largest drift of a recovered input so far; `None` if no input was recovered.
    pub drift: Option<f64>,
}

impl Reversible {
    /// Uses the default limit of the drift for the precision: 2e-6 in f32, 1e-12 in f64.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets another limit of the drift; 0 allows no drift.
    ///
    /// # Errors
    ///
    /// If the limit is negative or not finite.
    pub fn with_limit(self, limit: f64) -> Result<Self> {
        not_negative("Reversible", "limit", limit)?;
        Ok(Self { limit: Some(limit), ..self })
    }

    /// The records of all layers, from which [`resumed`](Self::resumed) continues.
    pub(super) fn into_layers(self) -> Vec<LayerDrift> {
        self.layers
    }

    /// Continues from the records of another run.
    pub(super) fn resumed(layers: Vec<LayerDrift>) -> Self {
        Self { limit: None, layers }
    }

    /// The records of all layers so far, from the latent back.
    pub fn layers(&self) -> &[LayerDrift] {
        &self.layers
    }

    /// The mean negative log-likelihood of a batch in nats, and its gradients, as
    /// [`nll_gradients`](super::nll_gradients). That page also describes how the cores share the rows.
    ///
    /// No gradient passes beyond the model: a graph of `x` or of the context is ignored.
    pub fn nll_gradients<F: Distribution<D>, const D: usize>(
        &mut self,
        model: &F,
        rows: impl Into<Batch<D>>,
    ) -> (f64, GradientsParams) {
        let rows = rows.into().plain();
        let rows = rows.counted();
        let work = Work::of(&rows, rows.total_weight());
        apart(model, || gradients::seeded(|seed| self.of_nll(model, &work, seed)))
    }

    /// [`of_objective`](gradients::of_objective) for the NLL without activations, for rows without a graph.
    pub(super) fn of_nll<F: Distribution<D>, const D: usize>(
        &mut self,
        model: &F,
        work: &Work<'_, D>,
        seed: &Seed,
    ) -> (f64, GradientsParams) {
        let limit = match work.batch.map(|batch| batch.x.dtype()) {
            Some(DType::F64) => LIMIT_F64,
            _ => LIMIT_F32,
        };
        let limit = self.limit.unwrap_or(limit);
        let statistics = Statistics::of(model);
        loop {
            let kept = self.layers.iter().filter(|layer| layer.recovery != Recovery::Inverse);
            let kept: BTreeSet<&str> = kept.map(|layer| layer.path.as_str()).collect();
            let step = |model: &F, block: Block<'_, D>, shares: &Shares, _: &mut Noise| {
                let (x, context) = block.data()?;
                Ok(Step::new(&kept, shares).run(model, x, context.as_ref()))
            };
            let (value, gradients, blocks) =
                gradients::by_blocks(model, work, seed, step).expect("the rows are data");
            // If the loss is not finite, the measured drifts have no meaning.
            let whole = value.is_finite();
            let lost = |lost, block| self.note(block, limit) || lost;
            if !(whole && blocks.into_iter().fold(false, lost)) {
                return (value, gradients);
            }
            statistics.restore(model);
        }
    }

    /// Records the measurements of a block, up to the first layer beyond the limit. Returns whether there is such a
    /// layer.
    fn note(&mut self, block: Vec<LayerDrift>, limit: f64) -> bool {
        for mut layer in block {
            let lost = layer.drift.is_some_and(|drift| drift > limit);
            if lost {
                layer.recovery = Recovery::Input;
            }
            match self.layers.iter_mut().find(|known| known.path == layer.path) {
                Some(known) => known.add(layer),
                None => self.layers.push(layer),
            }
            if lost {
                return true;
            }
        }
        false
    }
}

impl LayerDrift {
    /// Merges a measurement of the same layer from another block or step.
    fn add(&mut self, other: Self) {
        if other.recovery != Recovery::Inverse {
            self.recovery = other.recovery;
        }
        self.drift = match (self.drift, other.drift) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }
}
