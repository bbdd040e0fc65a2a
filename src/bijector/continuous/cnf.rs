//! Continuous normalizing flow (FFJORD): a point follows a velocity field for one unit of time.

use burn::module::{Flag, Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::field::Field;
use super::{Divergence, SmoothActivation, Solver};
use crate::bijector::Bijector;
use crate::bijector::residual::flat;
use crate::conditioner::{check_context, linear};
use crate::config::{construct, seeded_config};
use crate::error::{Result, chain, count};
use crate::initial;
use crate::kernel::rows_times;
use crate::math::{from_f64, wide};
use crate::rows::check_rows;

/// Weight of the log-determinant's error in the choice of a step: it may be ten times the error of `x`. The trace is
/// less smooth than the velocity. With equal weight it would halve the steps.
const LOG_DET_WEIGHT: f64 = 0.1;

seeded_config! {
/// Configuration of a [`Cnf`].
///
/// ```
/// use burn_flows::bijector::{CnfConfig, Divergence, Solver};
///
/// let config = CnfConfig::new(64)
///     .with_hidden(vec![128, 128])
///     .with_training(Divergence::Hutchinson { probes: 1 })
///     .with_solver(Solver::Rk4 { steps: 16 });
/// assert!(config.validate().is_ok());
/// assert!(CnfConfig::new(0).validate().is_err());
/// ```
pub struct CnfConfig {
    /// Number of values of an event.
    pub features: usize,
    /// Widths of the hidden layers. Wider layers model richer velocity fields at a higher cost.
    #[config(default = vec![64, 64])]
    pub hidden: Vec<usize>,
    /// The activation between layers.
    #[config(default = SmoothActivation::Tanh)]
    pub activation: SmoothActivation,
    /// Number of frequencies, multiples of pi, of the time features that the network receives. More frequencies let the
    /// velocity change faster in time.
    #[config(default = 3)]
    pub frequencies: usize,
    /// Width of the context; 0 for none. Set it for a conditional flow.
    #[config(default = 0)]
    pub context: usize,
    /// How the differential equation is solved. Fixed steps fix the cost; adaptive steps control the error.
    #[config(default = Solver::default())]
    pub solver: Solver,
    /// How the trace is computed in training. [`Divergence::Hutchinson`] is cheaper for events with many features.
    #[config(default = Divergence::Exact)]
    pub training: Divergence,
    /// How the trace is computed in evaluation. Keep [`Divergence::Exact`] for densities without sampling error.
    #[config(default = Divergence::Exact)]
    pub evaluation: Divergence,
}
}

crate::store::checked! {
/// A continuous layer. The initial layer is the identity.
///
/// ```text
/// forward   x' = f(x, t, c) from t = 0 to 1,  z = x(1)
/// log-det   the integral of tr(df/dx) along the way
/// inverse   the same from t = 1 to 0
/// ```
///
/// `f` is a dense network of `cos(w t)`, `sin(w t)`, `x` and `c`.
///
/// Training differentiates the trace, which is itself a derivative, and burn has no second derivatives. The trace is
/// therefore built of operations that burn can differentiate: the layer carries a tangent of `x` forward through the
/// network, beside the values, and backward goes through both. Backward differentiates the solver with the steps that
/// it took (discretise, then optimise). The gradient is that of the returned numbers. The price is memory for every
/// stage.
///
/// Papers: Chen, Rubanova, Bettencourt, Duvenaud (2018), Neural Ordinary Differential Equations,
/// theorem 1, arXiv:1806.07366; Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud (2019), FFJORD,
/// equations 4 and 8, arXiv:1810.01367; Onken, Ruthotto (2020), Discretize-Optimize vs.
/// Optimize-Discretize for Time-Series Regression and Continuous Normalizing Flows, arXiv:2005.13420.
/// Same numbers as zuko 1.6 `CNF`, to the tolerance of its solver.
///
/// The layer is in training if its parameters are on an autodiff device and it is not frozen. With
/// [`Divergence::Exact`] for both, training and evaluation give the same numbers.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, event..]` with as many values per event
/// - context: `[batch, context]`, if the layer was built for a context
///
/// # Numerics
///
/// The error of both directions, and of a round trip, is the error of the solver's steps. The adaptive solver chooses
/// the steps of each row separately, so no row depends on the others. When the log-determinant is computed, its error
/// also controls the steps. `inverse` and `inverse_with_log_det` therefore take different steps, and agree to the
/// tolerance. A row that needs more steps than the solver's `limit` is NaN in value and log-determinant. The default
/// limit suffices for layers of ordinary weights.
///
/// Training can exploit the error of a solver. With too few fixed steps, the computed log-determinant is not that of
/// the map, and the loss may fall without end. Check a trained layer with a more accurate solver
/// ([`with_solver`](Self::with_solver)).
///
/// # Panics
///
/// If the size of the event or of the context differs from the size that the layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::{Bijector, CnfConfig}, testing::moved};
///
/// let device = Device::flex();
/// let layer = moved(CnfConfig::new(2).with_hidden(vec![8]).with_seed(0).init(&device), 1);
/// let x = Tensor::<2>::from_data([[0.3, -1.0]], &device);
/// let (z, log_det) = layer.forward(x.clone(), None);
/// let (back, minus) = layer.inverse_with_log_det(z, None);
/// assert!((back - x).abs().max().into_scalar::<f32>() < 1e-4);
/// assert!((log_det + minus).abs().into_scalar::<f32>() < 1e-4);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Cnf {
    #[serde(with = "crate::store::part")]
    layers: Vec<Linear>,
    #[serde(with = "crate::store::part")]
    frequencies: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    training: Param<Flag>,
    #[module(skip)]
    activation: SmoothActivation,
    #[module(skip)]
    solver: Solver,
    #[module(skip)]
    traces: Traces,
}
}

impl Cnf {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let ends: Vec<[usize; 2]> = self.layers.iter().map(|layer| layer.weight.dims()).collect();
        let chain = ends.windows(2).all(|pair| pair[0][1] == pair[1][0]);
        let [times] = self.frequencies.dims();
        let needed = ends.last().map(|last| last[1] + 2 * times);
        let enough = ends.first().zip(needed).is_some_and(|(first, needed)| first[0] >= needed);
        let reason = || format!("must map time and features to features, found shapes {ends:?}");
        crate::store::require("Cnf", "layers", chain && enough, reason)?;
        self.solver.validate()?;
        self.traces.training.validate()?;
        self.traces.evaluation.validate()
    }
}

/// How the trace is computed in training and in evaluation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Traces {
    training: Divergence,
    evaluation: Divergence,
}

impl CnfConfig {
    fn widths(&self) -> Vec<usize> {
        let inputs = 2 * self.frequencies + self.features + self.context;
        [&[inputs], &self.hidden[..], &[self.features]].concat()
    }

    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("CnfConfig", "features", 1, self.features)?;
        count("CnfConfig", "hidden", 1, self.hidden.len())?;
        for &width in &self.hidden {
            count("CnfConfig", "hidden", 1, width)?;
        }
        count("CnfConfig", "frequencies", 1, self.frequencies)?;
        count("CnfConfig", "context", 0, self.context)?;
        chain("CnfConfig", "hidden", &self.widths())?;
        self.solver.validate()?;
        self.training.validate()?;
        self.evaluation.validate()
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> Cnf
    }

    fn build(&self, device: &Device) -> Cnf {
        let widths = self.widths();
        let count = widths.len() - 1;
        let layer = |(k, ends): (usize, &[usize])| linear(ends[0], ends[1], k + 1 == count, device);
        let layers =
            initial::scope(self.seed, || widths.windows(2).enumerate().map(layer).collect());
        let multiples = (1..=self.frequencies).map(|k| k as f64 * std::f64::consts::PI).collect();
        let frequencies = from_f64(multiples, [self.frequencies], device);
        let layer = Cnf::from_layers(layers, frequencies, self.activation, self.solver);
        Cnf { traces: Traces { training: self.training, evaluation: self.evaluation }, ..layer }
    }
}

impl Cnf {
    /// Builds the layer from given linear layers. The first layer takes the features of the time, the event and the
    /// context, in this order.
    pub(crate) fn from_layers(
        layers: Vec<Linear>,
        frequencies: Tensor<1>,
        activation: SmoothActivation,
        solver: Solver,
    ) -> Self {
        Self {
            layers,
            frequencies: Param::from_tensor(frequencies).set_require_grad(false),
            training: Param::from_bool(true),
            activation,
            solver,
            traces: Traces { training: Divergence::Exact, evaluation: Divergence::Exact },
        }
    }

    /// Sets the solver. For example, train with few steps and evaluate with many.
    ///
    /// # Errors
    ///
    /// If [`Solver::validate`] fails.
    pub fn with_solver(self, solver: Solver) -> Result<Self> {
        solver.validate()?;
        Ok(Self { solver, ..self })
    }

    fn width(&self) -> usize {
        let last = &self.layers[self.layers.len() - 1];
        last.weight.lazy_shape()[1]
    }

    fn field(&self, context: Option<&Tensor<2>>) -> Field {
        let first = wide(self.layers[0].weight.val());
        let (times, features) = (2 * self.frequencies.lazy_shape()[0], self.width());
        let width = first.dims()[0] - times - features;
        check_context("Cnf", width, context);
        let part = |from: usize, count: usize| first.clone().narrow(0, from, count);
        let bias = |layer: &Linear| layer.bias.as_ref().map(|bias| wide(bias.val()));
        Field {
            of_time: part(0, times),
            of_x: part(times, features),
            term: context
                .filter(|_| width > 0)
                .map(|c| rows_times(wide(c.clone()), part(times + features, width))),
            first_bias: bias(&self.layers[0]),
            rest: self.layers[1..].iter().map(|l| (wide(l.weight.val()), bias(l))).collect(),
            frequencies: wide(self.frequencies.val()).unsqueeze_dim(0),
            activation: self.activation,
        }
    }

    /// Moves `x` from one time to another, and computes the log-determinant if `with_log_det`.
    fn moved(
        &self,
        x: Tensor<2>,
        context: Option<&Tensor<2>>,
        way: [f64; 2],
        with_log_det: bool,
    ) -> (Tensor<2>, Option<Tensor<1>>) {
        let [rows, features] = x.dims();
        check_rows("Cnf", rows, context);
        let field = self.field(context);
        let plain = field.without_autodiff();
        let training = self.training.is_enabled() && field.of_x.is_autodiff();
        let Traces { training: trained, evaluation } = self.traces;
        let divergence = if training { trained } else { evaluation };
        let probes = if with_log_det { divergence.draw(&x, training) } else { None };
        let rate = |field: &Field, t, state| match with_log_det {
            true => field.augmented(t, state, probes.as_ref()),
            false => field.velocity(t, state),
        };
        let options = (&x.device().without_autodiff(), x.dtype());
        let mut weights = Tensor::ones([1, features], options);
        let mut state = x;
        if with_log_det {
            let column = |rows: usize, value: f64| Tensor::full([rows, 1], value, options);
            state = Tensor::cat(vec![state, column(rows, 0.0)], 1);
            weights = Tensor::cat(vec![weights, column(1, LOG_DET_WEIGHT)], 1);
        }
        let in_graph = state.is_autodiff() || field.of_x.is_autodiff() || context_tracked(&field);
        let start = state.clone().without_autodiff();
        let (mut end, steps) =
            self.solver.run(way, start, weights, |t, state| rate(&plain, t, state));
        if in_graph {
            end = self.solver.follow(&steps, state, |t, state| rate(&field, t, state));
        }
        let log_det = with_log_det.then(|| end.clone().narrow(1, features, 1).reshape([rows]));
        (end.narrow(1, 0, features), log_det)
    }
}

fn context_tracked(field: &Field) -> bool {
    field.term.as_ref().is_some_and(Tensor::is_autodiff)
}

/// Start and end time of the two directions: data to latent, latent to data.
const AHEAD: [f64; 2] = [0.0, 1.0];
const BACK: [f64; 2] = [1.0, 0.0];

impl<const D: usize> Bijector<D> for Cnf {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        let (dims, dtype) = (x.dims(), x.dtype());
        let x = flat("Cnf", self.width(), x);
        let (z, log_det) = self.moved(x, context, AHEAD, true);
        (z.cast(dtype).reshape(dims), log_det.expect("asked for"))
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        let (dims, dtype) = (z.dims(), z.dtype());
        let z = flat("Cnf", self.width(), z);
        self.moved(z, context, BACK, false).0.cast(dtype).reshape(dims)
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        let (dims, dtype) = (z.dims(), z.dtype());
        let z = flat("Cnf", self.width(), z);
        let (x, log_det) = self.moved(z, context, BACK, true);
        (x.cast(dtype).reshape(dims), log_det.expect("asked for"))
    }
}
