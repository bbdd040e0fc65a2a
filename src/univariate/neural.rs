//! Monotone network: non-negative weights, and activations that are convex or concave.

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation::relu};
use serde::Serialize;

use super::Univariate;
use super::curve::{self, Curve, Curved, FAR, tamed};
use super::stacked::{Rows, Stacked, check_widths};
use crate::config::{construct, seeded_config};
use crate::error::{Error, Result, count};
use crate::initial;
use crate::kernel::stacked_rows_times;

/// The least slope whose logarithm is taken. Only a network whose weights are all zero has a smaller
/// slope.
const LEAST_SLOPE: f64 = 1e-30;

seeded_config! {
/// Configuration of a [`Neural`].
///
/// ```
/// use burn_flows::univariate::NeuralConfig;
///
/// assert!(NeuralConfig::new().with_hidden(vec![16, 16]).validate().is_ok());
/// let error = NeuralConfig::new().with_hidden(vec![16, 1]).validate().unwrap_err();
/// assert_eq!(error.to_string(), "NeuralConfig.hidden: layer 1 must have at least 2 units, found 1");
/// ```
#[derive(PartialEq)]
pub struct NeuralConfig {
    /// Number of parameters of an element: the signal by which the conditioner controls the network.
    /// Raise it if the map depends strongly on other features.
    #[config(default = 16)]
    pub signal: usize,
    /// Widths of the hidden layers, each at least 2. Wider layers fit more complex maps at a higher
    /// cost.
    #[config(default = vec![64, 64])]
    pub hidden: Vec<usize>,
    /// Number of elements with a network each; it must equal the number of elements the layer
    /// transforms. 0 means one network that all elements share.
    #[config(default = 0)]
    pub elements: usize,
}
}

crate::store::checked! {
/// A monotone network, made by [`NeuralConfig::init`].
///
/// ```text
/// forward   h_1 = act(|w| x + |W_s| s + b_1),  h = act(|W| h + b) ..,  z = |W_n| h + b_n
///           act = elu(h) in the first half of a layer, -elu(-h) in the second
/// log-det   sum of ln dz/dx, carried along layer by layer
/// inverse   by search
/// ```
///
/// The layer owns the weights. The parameters of an element are the signal `s`, by which the features
/// before the element control the network.
///
/// Papers: Huang, Krueger, Lacoste, Courville (2018), Neural Autoregressive Flows, section 3,
/// arXiv:1804.00779; whose sigmoids are [`DeepSigmoidal`](super::DeepSigmoidal). The two-way
/// activation: Runje, Shankaranarayana (2023), Constrained Monotonic Neural Networks, arXiv:2205.11775.
/// Same numbers as zuko 1.6 `MonotonicMLP` in its `NAF`.
///
/// With a signal of zero a fresh map has value 0 and slope 1 at the origin. Its random weights make it
/// deviate from the identity elsewhere.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// Slopes are sums of products of positive numbers. Signals are clamped to `[-1e6, 1e6]`. For `|x|`
/// above a million the map is a straight line. Results are finite for every finite value and parameter.
///
/// # Panics
///
/// If the map has a network for each element, and the input has another number of elements.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{NeuralConfig, Univariate};
///
/// let device = Device::flex();
/// let map = NeuralConfig::new().with_signal(2).with_hidden(vec![8]).init(&device);
/// let x = Tensor::<2>::from_data([[-1.0, 0.0, 3.0]], &device);
/// let params = Tensor::<3>::from_data([[[0.0, 0.0, 0.5], [0.0, 0.0, -1.0]]], &device);
/// let (z, _) = map.forward(x.clone(), params.clone());
/// assert!(z.clone().into_data().iter::<f32>().nth(1).unwrap().abs() < 1e-6);
/// map.inverse(z, params).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Neural {
    layers: Vec<Stacked>,
}
}

impl Neural {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        super::stacked::check_chain("Neural", &self.layers)
    }
}

impl NeuralConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "NeuralConfig";
        count(NAME, "signal", 1, self.signal)?;
        if self.hidden.is_empty() {
            return Err(Error::config(NAME, "hidden", "needs at least 1 layer, found none".into()));
        }
        match self.hidden.iter().position(|width| *width < 2) {
            None => check_widths(NAME, self.elements, self.signal, &self.hidden),
            Some(at) => {
                let width = self.hidden[at];
                let reason = format!("layer {at} must have at least 2 units, found {width}");
                Err(Error::config(NAME, "hidden", reason))
            }
        }
    }

    construct! {
        /// Builds the map with random weights.
        seeded(device: &Device) -> Neural
    }

    fn build(&self, device: &Device) -> Neural {
        let stack = self.elements.max(1);
        let widths = [&[1 + self.signal], &self.hidden[..], &[1]].concat();
        let chain = || Stacked::chain(stack, &widths, device);
        let map = Neural { layers: initial::scope(self.seed, chain) };
        let plain = device.clone().without_autodiff();
        let signal = Tensor::zeros([1, self.signal, stack], &plain);
        let origin = Tensor::zeros([1, stack], &plain);
        let (value, log_slope) = map.valid().curve(signal).at(origin);
        let per_element = |x: Tensor<2>| x.reshape([stack, 1, 1]);
        let scale = per_element(log_slope).neg().exp();
        let shift = per_element(value).neg() * scale.clone();
        map.with_last_scaled(scale, shift)
    }
}

impl Neural {
    /// The map with these layers, whose inputs are `x` and then the signal.
    #[cfg(feature = "interop")]
    pub(crate) fn from_layers(layers: Vec<Stacked>) -> Self {
        Self { layers }
    }

    fn with_last_scaled(mut self, scale: Tensor<3>, shift: Tensor<3>) -> Self {
        let last = self.layers.pop().expect("at least two");
        self.layers.push(last.scaled(scale, shift));
        self
    }

    fn stack(&self) -> usize {
        self.layers[0].dims()[0]
    }
}

/// The value and the slope of the activation, over both halves of the units.
fn two_way(h: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
    let width = h.dims()[2];
    let first = width.div_ceil(2);
    let elu = |h: Tensor<3>| {
        let slope = h.clone().clamp_max(0.0).exp();
        (relu(h) + slope.clone() - 1.0, slope)
    };
    let (up, up_slope) = elu(h.clone().narrow(2, 0, first));
    let (down, down_slope) = elu(h.narrow(2, first, width - first).neg());
    (Tensor::cat(vec![up, down.neg()], 2), Tensor::cat(vec![up_slope, down_slope], 2))
}

/// The network with the signals of a batch applied.
pub(super) struct Network {
    rows: Rows,
    /// The weight from `x` to the first layer, `[S, 1, units]`.
    entry: Tensor<3>,
    /// The contribution of the signals to the first layer.
    steered: Tensor<3>,
    /// Absolute weights and the biases of the layers after the first.
    rest: Vec<(Tensor<3>, Tensor<3>)>,
}

impl Curve for Network {
    fn limit(&self) -> f64 {
        FAR
    }

    fn at(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let x = self.rows.values(x);
        let (mut h, mut slope) =
            (x * self.entry.clone() + self.steered.clone(), self.entry.clone());
        for (weight, bias) in &self.rest {
            let (value, bend) = two_way(h);
            h = stacked_rows_times(value, weight.clone()) + bias.clone();
            slope = stacked_rows_times(slope * bend, weight.clone());
        }
        let log_slope = slope.clamp_min(LEAST_SLOPE).log();
        (self.rows.back(h), self.rows.back(log_slope))
    }
}

impl Curved for Neural {
    type Curve = Network;

    fn curve(&self, params: Tensor<3>) -> Network {
        let [batch, signal, n] = params.dims();
        let rows = Rows::new("Neural", self.stack(), [batch, n]);
        let (first, rest) = self.layers.split_first().expect("at least two");
        let weight = first.weight().abs();
        let steer = weight.clone().narrow(1, 1, signal);
        let steered = rows.params(tamed(params)).matmul(steer) + first.bias();
        let rest = rest.iter().map(|layer| (layer.weight().abs(), layer.bias()));
        Network { rows, entry: weight.narrow(1, 0, 1), steered, rest: rest.collect() }
    }

    fn in_graph(&self) -> bool {
        self.layers[0].weight().is_autodiff()
    }
}

impl Univariate for Neural {
    fn params_per_element(&self) -> usize {
        self.layers[0].dims()[1] - 1
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        curve::forward(self, x, params)
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        curve::inverse(self, z, params)
    }

    fn elements(&self) -> Option<usize> {
        (self.stack() > 1).then(|| self.stack())
    }

    fn of_elements(&self, elements: &[usize]) -> Option<Self> {
        let own = self.stack() > 1;
        own.then(|| Self { layers: self.layers.iter().map(|l| l.of(elements)).collect() })
    }
}
