//! Invertible residual block: a contractive network, added to its input.

use burn::module::{Flag, Module, Param};
use burn::nn::Linear;
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::fixed_point::Lengths;
use super::log_det::plus_identity;
use super::pivots;
use super::spectral::SpectralLinear;
use super::{FixedPoint, LogDet, flat};
use crate::bijector::Bijector;
use crate::bijector::linearised::Linearised;
use crate::conditioner::{check_context, linear};
use crate::config::{construct, seeded_config};
use crate::error::{Error, Result, chain, count, least};
use crate::math::{sigmoid, softplus, wide};
use crate::rows::spread;

/// The slope of `h sigmoid(h)` is at most 1.0998.
const SWISH_SLOPE: f64 = 1.1;

/// The initial raw value (before softplus) of `b`. The value is that of the authors' code.
const FIRST_SHARPNESS: f64 = 0.5;

/// Number of steps between two checks whether all rows are done. Each check waits for the device.
const LOOK_EVERY: usize = 4;

/// The smallest tolerance, in units in the last place.
const LEAST_UNITS: f64 = 4.0;

seeded_config! {
/// Configuration of a [`Residual`].
///
/// ```
/// use burn_flows::bijector::{LogDet, ResidualConfig};
///
/// let config = ResidualConfig::new(64)
///     .with_hidden(vec![256, 256])
///     .with_training(LogDet::Series { terms: 2, roulette: Some(0.5), probes: 1 });
/// assert!(config.validate().is_ok());
/// assert!(ResidualConfig::new(2).with_lipschitz(1.0).validate().is_err());
/// ```
pub struct ResidualConfig {
    /// Number of values of an event.
    pub features: usize,
    /// Widths of the hidden layers. Wider layers model richer maps at a higher cost.
    #[config(default = vec![128, 128])]
    pub hidden: Vec<usize>,
    /// The Lipschitz bound `L` of the network, in (0, 1), shared evenly by its layers. A bound nearer to 1 makes the
    /// layer more expressive, and its inverse takes more steps.
    #[config(default = 0.95)]
    pub lipschitz: f64,
    /// Whether to apply an activation also before the first layer.
    #[config(default = false)]
    pub activate_input: bool,
    /// Width of the context, which is added after the first layer; 0 for none. Set it for a conditional flow.
    #[config(default = 0)]
    pub context: usize,
    /// How the log-determinant is computed in training. [`LogDet::Series`] is cheaper for events with many features.
    #[config(default = LogDet::Exact)]
    pub training: LogDet,
    /// How the log-determinant is computed in evaluation. Keep [`LogDet::Exact`] for densities without sampling error.
    #[config(default = LogDet::Exact)]
    pub evaluation: LogDet,
    /// Tolerance and step limit of the inverse. Raise the limit if rows of an inverse become NaN.
    #[config(default = FixedPoint::default())]
    pub fixed_point: FixedPoint,
}
}

crate::store::checked! {
/// An invertible residual block. The initial block is the identity.
///
/// ```text
/// forward   z = x + g(x, c)              |g(x) - g(y)| <= L |x - y|,  L < 1
/// log-det   ln |det(I + dg/dx)|          see [`LogDet`]
/// inverse   x = z - g(x, c), from x = z until nothing moves
/// ```
///
/// `g` consists of dense layers, each within its share of `L` (spectral normalization). The activation between them is
/// `a(h) = h sigmoid(b h) / 1.1`, with a slope below 1.
///
/// Papers: Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen (2019), Invertible Residual Networks,
/// algorithm 1 and equation 4, arXiv:1811.00995; Chen, Behrmann, Duvenaud, Jacobsen (2019), Residual
/// Flows for Invertible Generative Modeling, section 3 (LipSwish), arXiv:1906.02735.
/// Same numbers as normflows 1.7 `Residual` with `LipschitzMLP`.
///
/// The layer is in training if its parameters are on an autodiff device and it is not frozen. With [`LogDet::Exact`]
/// for both, training and evaluation give the same numbers.
///
/// The bound holds for every weight that training can reach. Each change of a weight also updates its largest singular
/// vectors, which are part of the record.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, event..]` with as many values per event
/// - context: `[batch, context]`, if the layer was built for a context
///
/// # Numerics
///
/// The inverse keeps only the graph of its end in memory. Its gradient follows from the implicit function theorem and
/// needs the Jacobian of `g`, whichever [`LogDet`] is chosen.
///
/// # Panics
///
/// If the size of the event or of the context differs from the size that the layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::{Bijector, ResidualConfig}, testing::moved};
///
/// let device = Device::flex();
/// let layer = moved(ResidualConfig::new(3).with_hidden(vec![16]).init(&device), 1);
/// let x = Tensor::<2>::from_data([[0.3, -1.0, 0.5]], &device);
/// let (z, _) = layer.forward(x.clone(), None);
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Residual {
    layers: Vec<SpectralLinear>,
    /// The raw value (before softplus) of `b` for each activation.
    #[serde(with = "crate::store::part")]
    sharpness: Vec<Param<Tensor<1>>>,
    #[serde(with = "crate::store::part")]
    context: Option<Linear>,
    #[serde(with = "crate::store::part")]
    training: Param<Flag>,
    #[module(skip)]
    log_dets: LogDets,
    #[module(skip)]
    fixed_point: FixedPoint,
}
}

impl Residual {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let ends: Vec<[usize; 2]> = self.layers.iter().map(SpectralLinear::dims).collect();
        let chain = ends.windows(2).all(|pair| pair[0][1] == pair[1][0]);
        let round = ends.first().zip(ends.last()).is_some_and(|(first, last)| first[0] == last[1]);
        let reason = || format!("must map the features to the features, found shapes {ends:?}");
        crate::store::require("Residual", "layers", chain && round, reason)?;
        let (count, active) = (self.layers.len(), self.sharpness.len());
        let reason = || format!("must hold {} or {count} values, found {active}", count - 1);
        crate::store::require(
            "Residual",
            "sharpness",
            active == count || active + 1 == count,
            reason,
        )?;
        for sharpness in &self.sharpness {
            crate::store::shaped("Residual", "sharpness", &[1], sharpness.dims())?;
        }
        self.log_dets.training.validate()?;
        self.log_dets.evaluation.validate()?;
        self.fixed_point.validate()
    }
}

/// How the log-determinant is computed in training and in evaluation.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct LogDets {
    training: LogDet,
    evaluation: LogDet,
}

impl ResidualConfig {
    fn widths(&self) -> Vec<usize> {
        let ends = [self.features];
        [&ends[..], &self.hidden, &ends].concat()
    }

    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("ResidualConfig", "features", 1, self.features)?;
        count("ResidualConfig", "hidden", 1, self.hidden.len())?;
        for &width in &self.hidden {
            count("ResidualConfig", "hidden", 1, width)?;
        }
        count("ResidualConfig", "context", 0, self.context)?;
        chain("ResidualConfig", "hidden", &self.widths())?;
        chain("ResidualConfig", "context", &[self.context, self.hidden[0]])?;
        if !(self.lipschitz > 0.0 && self.lipschitz < 1.0) {
            let reason = format!("must be in (0, 1), found {}", self.lipschitz);
            return Err(Error::config("ResidualConfig", "lipschitz", reason));
        }
        least("ResidualConfig", "lipschitz", self.lipschitz)?;
        self.training.validate()?;
        self.evaluation.validate()?;
        self.fixed_point.validate()
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> Residual
    }

    fn build(&self, device: &Device) -> Residual {
        let widths = self.widths();
        let count = widths.len() - 1;
        let bound = self.lipschitz.powf((count as f64).recip());
        let layers = widths.windows(2).enumerate().map(|(index, ends)| {
            let last = index + 1 == count;
            SpectralLinear::new(linear(ends[0], ends[1], last, device), bound)
        });
        let active = count - 1 + usize::from(self.activate_input);
        let sharpness = || Param::from_tensor(Tensor::full([1], FIRST_SHARPNESS, device));
        let first = self.hidden[0];
        Residual {
            layers: layers.collect(),
            sharpness: (0..active).map(|_| sharpness()).collect(),
            context: (self.context > 0).then(|| linear(self.context, first, false, device)),
            training: Param::from_bool(true),
            log_dets: LogDets { training: self.training, evaluation: self.evaluation },
            fixed_point: self.fixed_point,
        }
    }
}

/// `g` with the weights and the context of one call.
struct Network {
    layers: Vec<(Tensor<2>, Option<Tensor<1>>)>,
    sharpness: Vec<Tensor<2>>,
    term: Option<Tensor<2>>,
}

impl Network {
    fn run(&self, x: Tensor<2>, derivative: bool) -> Linearised {
        let mut h = Linearised::at(x, derivative);
        let idle = self.layers.len() - self.sharpness.len();
        for (index, (weight, bias)) in self.layers.iter().enumerate() {
            if let Some(b) = index.checked_sub(idle).map(|at| &self.sharpness[at]) {
                h = h.then(|h, slope| lip_swish(h, b, slope));
            }
            h = h.linear(weight, bias.as_ref());
            if let (0, Some(term)) = (index, &self.term) {
                h = h.plus(term.clone());
            }
        }
        h
    }

    fn without_autodiff(&self) -> Self {
        let layer = |(weight, bias): &(Tensor<2>, Option<Tensor<1>>)| {
            (weight.clone().without_autodiff(), bias.clone().map(Tensor::without_autodiff))
        };
        Self {
            layers: self.layers.iter().map(layer).collect(),
            sharpness: self.sharpness.iter().map(|b| b.clone().without_autodiff()).collect(),
            term: self.term.clone().map(Tensor::without_autodiff),
        }
    }

    fn is_autodiff(&self) -> bool {
        self.layers[0].0.is_autodiff() || self.term.as_ref().is_some_and(Tensor::is_autodiff)
    }
}

/// `h sigmoid(b h) / 1.1`, and its slope if `slope`.
fn lip_swish(h: Tensor<2>, b: &Tensor<2>, slope: bool) -> (Tensor<2>, Option<Tensor<2>>) {
    let scaled = h.clone() * b.clone();
    let gate = sigmoid(scaled.clone());
    let slope = slope.then(|| {
        let rise = scaled * (gate.clone().neg() + 1.0) + 1.0;
        gate.clone() * rise * SWISH_SLOPE.recip()
    });
    (h * gate * SWISH_SLOPE.recip(), slope)
}

impl Residual {
    /// Builds the layer from linear layers, each with the bound `bound`. With as many activations as layers, the first
    /// activation precedes the first layer; with one activation fewer, it follows the first layer.
    #[cfg(feature = "interop")]
    pub(crate) fn from_layers(
        layers: Vec<(Linear, Tensor<1>, Tensor<1>)>,
        sharpness: Vec<Tensor<1>>,
        bound: f64,
    ) -> Self {
        let layer =
            |(linear, right, left)| SpectralLinear::from_weights(linear, right, left, bound);
        Self {
            layers: layers.into_iter().map(layer).collect(),
            sharpness: sharpness.into_iter().map(Param::from_tensor).collect(),
            context: None,
            training: Param::from_bool(true),
            log_dets: LogDets { training: LogDet::Exact, evaluation: LogDet::Exact },
            fixed_point: FixedPoint::default(),
        }
    }

    fn width(&self) -> usize {
        self.layers[0].dims()[0]
    }

    fn network(&self, rows: usize, context: Option<&Tensor<2>>) -> Network {
        let width = self.context.as_ref().map_or(0, |layer| layer.weight.lazy_shape()[0]);
        check_context("Residual", width, context);
        let context = spread("Residual", rows, context);
        let term = self.context.as_ref().zip(context).map(|(layer, c)| wide(layer.forward(c)));
        let sharpness = |raw: &Param<Tensor<1>>| softplus(wide(raw.val())).unsqueeze_dim(0);
        Network {
            layers: self.layers.iter().map(|layer| (layer.weight(), layer.bias())).collect(),
            sharpness: self.sharpness.iter().map(sharpness).collect(),
            term,
        }
    }

    fn log_det(&self, g: &Linearised, network: &Network) -> Tensor<1> {
        let training = self.training.is_enabled() && network.layers[0].0.is_autodiff();
        let LogDets { training: trained, evaluation } = self.log_dets;
        if training { trained.of(g, true) } else { evaluation.of(g, false) }
    }

    /// The fixed point, outside any graph.
    fn search(&self, network: &Network, z: Tensor<2>) -> Tensor<2> {
        let unit = if z.dtype() == DType::F64 { f64::EPSILON } else { f32::EPSILON.into() };
        let tolerance = self.fixed_point.tolerance.max(LEAST_UNITS * unit);
        let mut x = z.clone();
        let mut done = z.clone().narrow(1, 0, 1).is_nan();
        let mut lengths = Lengths::new(&z);
        for count in 1..=self.fixed_point.limit {
            let next = z.clone() - network.run(x.clone(), false).value();
            lengths.add(next.clone() - x.clone());
            let next = next.mask_where(done.clone().expand(z.dims()), x.clone());
            let step = (next.clone() - x).abs().max_dim(1);
            let size = next.clone().abs().max_dim(1).clamp_min(1.0) * tolerance;
            // A row with NaN counts as arrived.
            done = done.bool_or(step.greater(size).bool_not());
            x = next;
            if count % LOOK_EVERY == 0 && done.clone().all().into_scalar::<bool>() {
                break;
            }
        }
        let lost = done.bool_or(lengths.settled).bool_not();
        x.mask_fill(lost.expand(z.dims()), f64::NAN)
    }

    /// The inverse, as a function of `z`, of the weights and of the context.
    fn invert(&self, network: &Network, z: Tensor<2>) -> Tensor<2> {
        let plain = network.without_autodiff();
        let x = self.search(&plain, z.clone().without_autodiff());
        if !z.is_autodiff() && !network.is_autodiff() {
            return x;
        }
        // `dz = dx (I + J) + dg`. The change of `z - x - g(x)` through `z` and the weights therefore determines the
        // change of `x` by a linear system. The value remains the fixed point.
        let rest = z - x.clone() - network.run(x.clone(), false).value();
        let change = rest.clone() - rest.without_autodiff();
        let jacobian = plus_identity(plain.run(x.clone(), true).jacobian());
        pivots::solve_left(jacobian, change) + x
    }
}

impl<const D: usize> Bijector<D> for Residual {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        let (dims, dtype) = (x.dims(), x.dtype());
        let x = flat("Residual", self.width(), x);
        let network = self.network(dims[0], context);
        let g = network.run(x.clone(), true);
        ((x + g.value()).cast(dtype).reshape(dims), self.log_det(&g, &network))
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        let (dims, dtype) = (z.dims(), z.dtype());
        let z = flat("Residual", self.width(), z);
        self.invert(&self.network(dims[0], context), z).cast(dtype).reshape(dims)
    }

    fn inverse_with_log_det(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>) {
        let (dims, dtype) = (z.dims(), z.dtype());
        let z = flat("Residual", self.width(), z);
        let network = self.network(dims[0], context);
        let x = self.invert(&network, z);
        let log_det = self.log_det(&network.run(x.clone(), true), &network);
        (x.cast(dtype).reshape(dims), log_det.neg())
    }
}
