//! Unconstrained monotonic network: the integral of a positive network.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use super::curve::{self, Curve, Curved, tamed, tamed_constant};
use super::stacked::{Rows, Stacked, check_widths};
use super::{Univariate, param};
use crate::conditioner::{Activation, ActivationConfig};
use crate::config::{construct, seeded_config};
use crate::error::{Error, Result, count, least, repeats};
use crate::initial;
use crate::kernel::stacked_rows_times;
use crate::quadrature::gauss_legendre;

/// Bound of the log-slope. Without a bound, one bad batch drives the slope to infinity. Value from
/// zuko.
const LOG_SLOPE_BOUND: f64 = 7.0;

seeded_config! {
/// Configuration of an [`UnconstrainedMonotonic`].
///
/// ```
/// use burn_flows::univariate::UnconstrainedMonotonicConfig;
///
/// let config = UnconstrainedMonotonicConfig::new().with_hidden(vec![32, 32]).with_nodes(16);
/// assert!(config.validate().is_ok());
/// let error = config.with_nodes(0).validate().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "UnconstrainedMonotonicConfig.nodes: must be at least 1, found 0"
/// );
/// ```
pub struct UnconstrainedMonotonicConfig {
    /// Number of signals of an element, by which the conditioner controls the network. An element has
    /// `signal + 1` parameters.
    #[config(default = 16)]
    pub signal: usize,
    /// Widths of the hidden layers of the integrated network. Wider layers fit more complex maps at a
    /// higher cost.
    #[config(default = vec![64, 64])]
    pub hidden: Vec<usize>,
    /// The activation between layers; it must work element by element. Smoother activations make the
    /// quadrature more accurate; zuko has an ELU.
    #[config(default = ActivationConfig::Silu)]
    pub activation: ActivationConfig,
    /// Number of nodes of the quadrature. More nodes are more accurate and cost more evaluations of the
    /// network.
    #[config(default = 32)]
    pub nodes: usize,
    /// Up to this distance from zero the network is integrated; beyond it the map is a straight line.
    /// Choose it so that the data lie inside.
    #[config(default = 20.0)]
    pub bound: f64,
    /// Number of elements with a network each; it must equal the number of elements the layer
    /// transforms. 0 means one network that all elements share.
    #[config(default = 0)]
    pub elements: usize,
}
}

crate::store::checked! {
/// An integrated positive network, made by [`UnconstrainedMonotonicConfig::init`].
///
/// ```text
/// forward   z = c + integral from 0 to x of g(u; s) du,   g = exp(h / (1 + |h / 7|)),  h = net(u, s)
/// log-det   sum of ln g(x; s)
/// inverse   by search
/// ```
///
/// The layer owns the weights of the network. The parameters of an element are the signal `s`, by which
/// the features before the element control the network, and the constant `c`.
///
/// Paper: Wehenkel, Louppe (2019), Unconstrained Monotonic Neural Networks, sections 2 and 3,
/// arXiv:1908.05164, with Gauss-Legendre in the place of Clenshaw-Curtis quadrature.
/// Same numbers as zuko 1.6 `UMNN` in its `UNAF`, with an ELU for activation.
///
/// Parameters in this order: `signal` signals, then the constant. A fresh map is `x + c`, because the
/// last layer of its network starts at zero.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// The log-slope and the gradient in `x` are those of the integral. The value is the integral up
/// to the error of the quadrature. A smooth activation makes this error small (12 digits with the
/// defaults on weights of ordinary size). The slope stays between 1/1000 and 1000. Signals are clamped
/// to `[-1e6, 1e6]`.
///
/// # Panics
///
/// If the map has a network for each element, and the input has another number of elements.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{UnconstrainedMonotonicConfig, Univariate};
///
/// let device = Device::flex();
/// let config = UnconstrainedMonotonicConfig::new().with_signal(2).with_hidden(vec![8]);
/// let map = burn_flows::testing::moved(config.init(&device), 1);
/// let x = Tensor::<2>::from_data([[-1.0, 0.0, 3.0]], &device);
/// let params = Tensor::<3>::from_data([[[0.0, 0.0, 0.5], [0.0, 0.0, -1.0], [2.0; 3]]], &device);
/// let (z, _) = map.forward(x.clone(), params.clone());
/// assert_eq!(z.clone().into_data().iter::<f32>().nth(1), Some(2.0)); // an empty integral
/// map.inverse(z, params).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct UnconstrainedMonotonic {
    layers: Vec<Stacked>,
    activation: Activation,
    nodes: usize,
    bound: f64,
}
}

impl UnconstrainedMonotonic {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        super::stacked::check_chain("UnconstrainedMonotonic", &self.layers)?;
        let activation = self.activation.is_elementwise();
        let reason = || "must be elementwise".to_string();
        crate::store::require("UnconstrainedMonotonic", "activation", activation, reason)?;
        repeats("UnconstrainedMonotonic", "nodes", 1, self.nodes)?;
        let bound = self.bound > 0.0 && self.bound <= curve::FAR;
        let reason = || format!("must be in (0, {:e}], found {}", curve::FAR, self.bound);
        crate::store::require("UnconstrainedMonotonic", "bound", bound, reason)
    }
}

impl UnconstrainedMonotonicConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "UnconstrainedMonotonicConfig";
        count(NAME, "signal", 1, self.signal)?;
        repeats(NAME, "nodes", 1, self.nodes)?;
        if !self.activation.is_elementwise() {
            let reason = "must be elementwise, so that a layer keeps its number of units";
            return Err(Error::config(NAME, "activation", reason.to_string()));
        }
        if !(self.bound > 0.0 && self.bound <= curve::FAR) {
            let reason = format!("must be in (0, {:e}], found {}", curve::FAR, self.bound);
            return Err(Error::config(NAME, "bound", reason));
        }
        least(NAME, "bound", self.bound)?;
        if self.hidden.is_empty() || self.hidden.contains(&0) {
            let reason = format!("needs layers of at least 1 unit, found {:?}", self.hidden);
            return Err(Error::config(NAME, "hidden", reason));
        }
        check_widths(NAME, self.elements, self.signal, &self.hidden)
    }

    construct! {
        /// Builds the map with random weights.
        seeded(device: &Device) -> UnconstrainedMonotonic
    }

    fn build(&self, device: &Device) -> UnconstrainedMonotonic {
        let widths = [&[1 + self.signal], &self.hidden[..], &[1]].concat();
        let chain = || Stacked::chain(self.elements.max(1), &widths, device);
        let mut layers = initial::scope(self.seed, chain);
        let last = layers.pop().expect("at least two");
        layers.push(last.zeroed());
        self.with_layers(layers, device)
    }

    /// The map with these layers, whose inputs are `u` and then the signal.
    pub(crate) fn with_layers(
        &self,
        layers: Vec<Stacked>,
        device: &Device,
    ) -> UnconstrainedMonotonic {
        let activation = self.activation.init(device);
        UnconstrainedMonotonic { layers, activation, nodes: self.nodes, bound: self.bound }
    }
}

/// The integrand with the signals of a batch applied.
pub(super) struct Integrand {
    rows: Rows,
    /// The weight from `u` to the first layer, `[S, 1, units]`.
    entry: Tensor<3>,
    /// The contribution of the signals to the first layer.
    steered: Tensor<3>,
    constant: Tensor<2>,
    map: UnconstrainedMonotonic,
}

impl Integrand {
    /// `ln g` at values `[S, rows, nodes]`, with the shape of the values.
    fn log_slope(&self, u: Tensor<3>) -> Tensor<3> {
        let [stack, rows, nodes] = u.dims();
        let units = self.entry.dims()[2];
        let entry = self.entry.clone().reshape([stack, 1, 1, units]);
        let steered = self.steered.clone().reshape([stack, rows, 1, units]);
        let h: Tensor<4> = u.reshape([stack, rows, nodes, 1]) * entry + steered;
        let mut h: Tensor<3> = h.reshape([stack, rows * nodes, units]);
        for layer in &self.map.layers[1..] {
            h = stacked_rows_times(self.map.activation.forward(h), layer.weight()) + layer.bias();
        }
        // Not `/ bound`: burn 0.22 rounds the gradient of a division by a number to f32.
        let h = h.clone() / (h.abs() * LOG_SLOPE_BOUND.recip() + 1.0);
        h.reshape([stack, rows, nodes])
    }
}

impl Curve for Integrand {
    fn limit(&self) -> f64 {
        self.map.bound
    }

    fn at(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (nodes, weights) = gauss_legendre(self.map.nodes);
        let options = (&x.device().without_autodiff(), x.dtype());
        let rule = |values: Vec<f64>| {
            let count = values.len();
            Tensor::<3>::from_data(TensorData::new(values, [1, 1, count]), options)
        };
        let x = self.rows.values(x);
        let plain = x.clone().without_autodiff();
        let g = self.log_slope(plain.clone() * rule(nodes)).exp();
        let area = (g * rule(weights)).sum_dim(2) * plain.clone();
        let log_slope = self.log_slope(x.clone());
        // The gradient in `x` is the integrand, not the gradient of the quadrature.
        let area = (x - plain) * log_slope.clone().without_autodiff().exp() + area;
        (self.rows.back(area) + self.constant.clone(), self.rows.back(log_slope))
    }
}

impl Curved for UnconstrainedMonotonic {
    type Curve = Integrand;

    fn curve(&self, params: Tensor<3>) -> Integrand {
        let [batch, width, n] = params.dims();
        let signal = width - 1;
        let [stack, ..] = self.layers[0].dims();
        let rows = Rows::new("UnconstrainedMonotonic", stack, [batch, n]);
        let weight = self.layers[0].weight();
        let steer = weight.clone().narrow(1, 1, signal);
        let signals = rows.params(tamed(params.clone().narrow(1, 0, signal)));
        let steered = signals.matmul(steer) + self.layers[0].bias();
        let entry = weight.narrow(1, 0, 1);
        let constant = tamed_constant(param(&params, signal));
        Integrand { rows, entry, steered, constant, map: self.clone() }
    }

    fn in_graph(&self) -> bool {
        self.layers[0].weight().is_autodiff()
    }
}

impl Univariate for UnconstrainedMonotonic {
    fn params_per_element(&self) -> usize {
        self.layers[0].dims()[1]
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        curve::forward(self, x, params)
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        curve::inverse(self, z, params)
    }

    fn elements(&self) -> Option<usize> {
        let [stack, ..] = self.layers[0].dims();
        (stack > 1).then_some(stack)
    }

    fn of_elements(&self, elements: &[usize]) -> Option<Self> {
        let own = self.layers[0].dims()[0] > 1;
        own.then(|| Self {
            layers: self.layers.iter().map(|l| l.of(elements)).collect(),
            ..self.clone()
        })
    }
}
