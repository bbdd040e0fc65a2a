//! Training without the activations in memory.

mod fingerprint;
mod step;

use std::collections::BTreeSet;

use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::gradients;
use super::statistics::Statistics;
use crate::bijector::Recovery;
use crate::crew::apart;
use crate::distribution::Distribution;
use crate::error::{Result, not_negative};
use step::Step;

/// The most that a recovered input may be off, where no limit is given. Gradients may be off by several
/// times as much: where a drift of 1e-5 is let pass, those of one Glow of random weights in twenty are
/// off by more than that, and of some by 1e-3. With 2e-6 they are as close to those of ordinary training
/// as rounding lets the latter be to the true ones, and a layer of splines still passes.
const LIMIT_F32: f64 = 2e-6;
const LIMIT_F64: f64 = 1e-12;

/// The same step as [`nll_gradients`](super::nll_gradients) in the memory of one layer: inputs of layers
/// are not kept but recovered by their inverses.
///
/// ```text
/// z = f_n(.. f_1(x))         without a graph: nothing is kept
/// x_k = f_k^-1(x_(k+1))      from the latent back, one layer at a time
/// dL/dx_k, dL/dw_k           from the graph of that layer alone
/// ```
///
/// The memory of a step is that of one layer's graph, whatever the number of layers; for it a layer's
/// forward runs twice, and its inverse once. Papers: Dinh, Krueger, Bengio (2015), NICE,
/// arXiv:1410.8516; Gomez, Ren, Urtasun, Grosse (2017), The Reversible Residual Network, section 3.2,
/// arXiv:1707.04585.
///
/// A layer keeps its input where its inverse is not a formula ([`Recovery`]), and from the step on in
/// which what was recovered drifted further from the truth than a limit; that step is done again. So
/// a `Reversible` is kept over the steps of a training. [`layers`](Self::layers) reports what every
/// layer does, and how far it drifted.
///
/// Of a flow ([`Flow`](crate::Flow), [`MultiScale`](crate::MultiScale), one as the base of another) every
/// layer of its stack goes by itself. Any other distribution is differentiated as a whole: the
/// gradients are right, the memory is the ordinary one.
///
/// # Numerics
///
/// The drift of a row is the distance between the input and what was recovered, relative to the norm
/// of the row or of the mean row, whichever is larger; that of a layer is its largest. It is measured
/// on every row, by a sum with random signs that is kept of each; the square of the difference of
/// two sums is, in the mean, the square of the distance.
///
/// Gradients follow continuously from inputs where the networks do: a relu unit that is within the drift
/// of its kink may be on in one way of training and off in the other, which shows as one row's share of
/// one weight's gradient. Networks of silu have no such rows.
///
/// # Panics
///
/// As [`Distribution::log_prob`], and if the model has no trained parameter.
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
/// let (before, _) = reversible.nll_gradients(&flow, &x, None);
/// for _ in 0..20 {
///     let (_, gradients) = reversible.nll_gradients(&flow, &x, None);
///     flow = optimizer.step(1e-2, flow, gradients);
/// }
/// assert!(reversible.nll_gradients(&flow, &x, None).0 < before);
/// let kept = reversible.layers().iter().filter(|layer| layer.recovery != Recovery::Inverse);
/// assert_eq!(kept.count(), 0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Reversible {
    limit: Option<f64>,
    layers: Vec<LayerDrift>,
}

/// What a layer does in training without activations, as [`Reversible::layers`] reports it.
///
/// ```
/// use burn::{module::Module, tensor::Device};
/// use burn_flows::{Noise, model::NiceConfig, train::Reversible};
///
/// let flow = NiceConfig::new(2).init(&Device::flex()).train();
/// let x = Noise::seeded(1).normal::<2>([50, 2], &Device::flex());
/// let mut reversible = Reversible::new();
/// reversible.nll_gradients(&flow, &x, None);
/// assert!(reversible.layers().iter().all(|layer| layer.drift.unwrap() < 2e-6));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerDrift {
    /// Where the layer stands, as in the names of its parameters: `bijector.1.0`.
    pub path: String,
    /// The layer's type, without its parameters.
    pub name: String,
    /// How its input comes back.
    pub recovery: Recovery,
    /// The furthest that a recovered input was off so far; `None` where none was ever recovered.
    pub drift: Option<f64>,
}

impl Reversible {
    /// With the limit of the precision: 2e-6 in f32, 1e-12 in f64.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another limit of the drift; 0 for none that is allowed.
    ///
    /// # Errors
    ///
    /// If the limit is negative or not finite.
    pub fn with_limit(self, limit: f64) -> Result<Self> {
        not_negative("Reversible", "limit", limit)?;
        Ok(Self { limit: Some(limit), ..self })
    }

    /// What every layer did, for [`resumed`](Self::resumed).
    pub(super) fn into_layers(self) -> Vec<LayerDrift> {
        self.layers
    }

    /// One that goes on where another stopped.
    pub(super) fn resumed(layers: Vec<LayerDrift>) -> Self {
        Self { limit: None, layers }
    }

    /// What every layer did so far, from the latent back.
    pub fn layers(&self) -> &[LayerDrift] {
        &self.layers
    }

    /// The mean negative log-likelihood of a batch in nats, and its gradients, as
    /// [`nll_gradients`](super::nll_gradients), which also says how rows are shared among the cores.
    ///
    /// No gradient goes beyond the model: a graph that `x` or the context has is left alone.
    pub fn nll_gradients<F: Distribution<D>, const D: usize>(
        &mut self,
        model: &F,
        x: &Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (f64, GradientsParams) {
        apart(model, || gradients::seeded(|seed| self.of_mean_nll(model, x, context, seed)))
    }

    /// [`nll_gradients`](Self::nll_gradients); `seed` is called before every block with its number.
    pub(super) fn of_mean_nll<F: Distribution<D>, const D: usize>(
        &mut self,
        model: &F,
        x: &Tensor<D>,
        context: Option<&Tensor<2>>,
        seed: &(dyn Fn(u64) + Sync),
    ) -> (f64, GradientsParams) {
        let x = x.clone().without_autodiff();
        let context = context.map(|context| context.clone().without_autodiff());
        let limit = match x.dtype() {
            DType::F64 => LIMIT_F64,
            _ => LIMIT_F32,
        };
        let limit = self.limit.unwrap_or(limit);
        let statistics = Statistics::of(model);
        loop {
            let kept = self.layers.iter().filter(|layer| layer.recovery != Recovery::Inverse);
            let kept: BTreeSet<&str> = kept.map(|layer| layer.path.as_str()).collect();
            let (value, gradients, blocks) = gradients::by_blocks(
                model,
                &x,
                context.as_ref(),
                seed,
                |model, x, context, weight| Step::new(&kept, weight).run(model, x, context),
            );
            // Where the loss is not finite, nothing that was measured means anything.
            let whole = value.is_finite();
            let lost = |lost, block| self.note(block, limit) || lost;
            if !(whole && blocks.into_iter().fold(false, lost)) {
                return (value, gradients);
            }
            statistics.restore(model);
        }
    }

    /// Takes in what a block measured, up to the first layer that lost its input; whether there is one.
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
    /// Takes in what another block or step measured at the same layer.
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
