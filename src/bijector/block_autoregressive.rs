//! Block neural autoregressive layer: one masked network with positive diagonal blocks.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Bool, Device, Tensor, TensorData};
use serde::Serialize;

use super::{Bijector, check_weights};
use crate::conditioner::check_context;
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits, length, repeats};
use crate::initial;
use crate::kernel::{rows_times, stacked_rows_times};
use crate::math::{from_f64, softplus, wide};
use crate::rows::check_rows;
use crate::solve::{Bracket, solve};

/// The smallest weight on a feature's own path, and the smallest scale. Without this bound, weights underflow and the
/// layer is singular. The square of the bound is a normal number of f32.
const LEAST: f64 = 1e-12;

seeded_config! {
/// Configuration of a [`BlockNeuralAutoregressive`].
///
/// ```
/// use burn_flows::bijector::BlockNeuralAutoregressiveConfig;
///
/// let config = BlockNeuralAutoregressiveConfig::new(4).with_depth(2).with_context(3);
/// assert!(config.validate().is_ok());
/// assert!(BlockNeuralAutoregressiveConfig::new(4).with_leak(0.0).validate().is_err());
/// ```
pub struct BlockNeuralAutoregressiveConfig {
    /// Number of values of an event.
    pub features: usize,
    /// Number of hidden units per feature. More units model richer maps at a higher cost.
    #[config(default = 8)]
    pub block: usize,
    /// Number of hidden layers. With 0, the layer is a triangular linear map.
    #[config(default = 1)]
    pub depth: usize,
    /// Smallest slope of the activation `tanh(h) + leak h`, positive. A larger leak makes the
    /// activation closer to linear. The default is the default of FlowJAX.
    #[config(default = 0.01)]
    pub leak: f64,
    /// Width of the context, which is added to the first layer; 0 for none. Set it for a conditional flow.
    #[config(default = 0)]
    pub context: usize,
}
}

crate::store::checked! {
/// A masked linear layer with positive blocks on its diagonal. The weight is `[in, out]`, in blocks of `a` rows and `b`
/// columns.
#[derive(Module, Debug, Serialize)]
pub(crate) struct BlockLinear {
    #[serde(with = "crate::store::part")]
    weight: Param<Tensor<2>>,
    #[serde(with = "crate::store::part")]
    scale: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    bias: Param<Tensor<1>>,
}
}

impl BlockLinear {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let [_, outputs] = self.weight.dims();
        crate::store::shaped("BlockNeuralAutoregressive", "scale", &[outputs], self.scale.dims())?;
        crate::store::shaped("BlockNeuralAutoregressive", "bias", &[outputs], self.bias.dims())
    }
}

/// The weights of a [`BlockLinear`] as one call uses them.
struct Blocks {
    weight: Tensor<2>,
    bias: Tensor<1>,
    /// The blocks on the diagonal, `[features, a, b]`.
    diagonal: Tensor<3>,
}

crate::store::checked! {
/// A block neural autoregressive layer. The initial layer is a random map: no choice of weights gives the identity.
///
/// ```text
/// forward   z_i = (W_n a(.. a(W_1 x + b_1) ..) + b_n)_i,  blocks W[i, i] > 0,  W[i, j] = 0 for j > i
/// log-det   sum over i of ln(W_n[i, i] diag(a') .. diag(a') W_1[i, i]), by log-sum-exp
/// inverse   x_i from z_i and x_1 .. x_(i-1), one equation of one number after the other
/// ```
///
/// `a(h) = tanh(h) + leak h`. Each row of a `W` is `softplus(s) w / |w|`, where `w` is passed through softplus on the
/// diagonal blocks.
///
/// Paper: De Cao, Titov, Aziz (2019), Block Neural Autoregressive Flow, equations 6 to 12,
/// arXiv:1904.04676. The activation of the paper, tanh, has a bounded range; the leak makes the range the whole line.
/// Same numbers as FlowJAX 19 `BlockAutoregressiveNetwork`.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, event..]` with as many values per event
/// - context: `[batch, context]`, if the layer was built for a context
///
/// # Numerics
///
/// The inverse solves for one feature after the other, to the last digits, with the preceding features held fixed. Each
/// feature takes a few evaluations of a small network, not one pass through the whole network. The gradient of the
/// inverse is exact. The bracket of the search doubles at most 60 times. A latent outside that bracket gives the end of
/// the bracket.
///
/// # Panics
///
/// If the size of the event or of the context differs from the size that the layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{BlockNeuralAutoregressiveConfig, Bijector};
///
/// let device = Device::flex();
/// let layer = BlockNeuralAutoregressiveConfig::new(3).init(&device);
/// let x = Tensor::<2>::from_data([[0.3, -1.0, 0.5]], &device);
/// let (z, log_det) = layer.forward(x.clone(), None);
/// assert_eq!(log_det.dims(), [1]);
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct BlockNeuralAutoregressive {
    layers: Vec<BlockLinear>,
    #[serde(with = "crate::store::part")]
    context: Option<Linear>,
    features: usize,
    leak: f64,
}
}

impl BlockNeuralAutoregressive {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let (features, mut width) = (self.features, self.features);
        let fits = self.layers.iter().all(|layer| {
            let [inputs, outputs] = layer.weight.dims();
            let follows = inputs == std::mem::replace(&mut width, outputs);
            follows && outputs > 0 && features > 0 && outputs.is_multiple_of(features)
        });
        let reason =
            || format!("must map {features} features to {features}, in blocks of equal width");
        let round = !self.layers.is_empty() && width == features;
        crate::store::require("BlockNeuralAutoregressive", "layers", fits && round, reason)?;
        length("BlockNeuralAutoregressive", "leak", self.leak)
    }
}

impl BlockNeuralAutoregressiveConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("BlockNeuralAutoregressiveConfig", "features", 1, self.features)?;
        count("BlockNeuralAutoregressiveConfig", "block", 1, self.block)?;
        repeats("BlockNeuralAutoregressiveConfig", "depth", 0, self.depth)?;
        count("BlockNeuralAutoregressiveConfig", "context", 0, self.context)?;
        let hidden = self.block * self.features;
        fits("BlockNeuralAutoregressiveConfig", "block", &[hidden, hidden])?;
        fits("BlockNeuralAutoregressiveConfig", "context", &[self.context, hidden])?;
        length("BlockNeuralAutoregressiveConfig", "leak", self.leak)
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> BlockNeuralAutoregressive
    }

    fn build(&self, device: &Device) -> BlockNeuralAutoregressive {
        let mut noise = initial::noise(device);
        let hidden = std::iter::repeat_n(self.block, self.depth);
        let widths: Vec<usize> = [1].into_iter().chain(hidden).chain([1]).collect();
        let layers = widths.windows(2).map(|ends| {
            let [inputs, outputs] = [ends[0], ends[1]].map(|units| units * self.features);
            let spread = (inputs as f64).sqrt().recip();
            let values = (0..inputs * outputs).map(|_| noise.next_normal() * spread).collect();
            // The own weights of a unit are positive. Rows of this length, not of length 1, keep the sum of these
            // weights, and so the slope, near 1.
            let length = (ends[0] as f64).sqrt().recip();
            let scale = Tensor::full([outputs], length.exp_m1().ln(), device);
            let weight = from_f64(values, [inputs, outputs], device);
            BlockLinear::from_weights(weight, scale, Tensor::zeros([outputs], device))
        });
        let layers: Vec<_> = layers.collect();
        let first = layers[0].bias.lazy_shape()[0];
        let unbiased = || initial::linear([self.context, first], false, &initial::USUAL, device);
        let context = (self.context > 0).then(unbiased);
        BlockNeuralAutoregressive { layers, context, features: self.features, leak: self.leak }
    }
}

impl BlockLinear {
    /// Builds a layer from raw weights `[in, out]`, raw scales and biases `[out]`.
    ///
    /// # Panics
    ///
    /// If the shapes are not consistent.
    pub(crate) fn from_weights(weight: Tensor<2>, scale: Tensor<1>, bias: Tensor<1>) -> Self {
        let outputs = [weight.dims()[1]];
        check_weights("BlockNeuralAutoregressive", "scale", outputs, &scale);
        check_weights("BlockNeuralAutoregressive", "bias", outputs, &bias);
        Self {
            weight: Param::from_tensor(weight),
            scale: Param::from_tensor(scale),
            bias: Param::from_tensor(bias),
        }
    }

    fn blocks(&self, features: usize) -> Blocks {
        let raw = wide(self.weight.val());
        let dims = raw.dims();
        let [a, b] = dims.map(|width| width / features);
        let device = raw.device().without_autodiff();
        let mask = |keep: fn(usize, usize) -> bool| {
            let open = |at: usize| keep(at / dims[1] / a, at % dims[1] / b);
            let open: Vec<bool> = (0..dims[0] * dims[1]).map(open).collect();
            Tensor::<2, Bool>::from_data(TensorData::new(open, dims), &device)
        };
        let own = mask(|from, to| from == to);
        let positive = softplus(raw.clone()).clamp_min(LEAST);
        let weight =
            raw.mask_fill(mask(|from, to| from > to), 0.0).mask_where(own.clone(), positive);
        let length = weight.clone().square().sum_dim(0).sqrt();
        let scale = softplus(wide(self.scale.val())).clamp_min(LEAST).unsqueeze_dim(0);
        let weight = weight * (scale * length.recip());
        let diagonal = weight.clone().mask_fill(own.bool_not(), 0.0);
        let diagonal = diagonal.reshape([features, a, features, b]).sum_dim(2);
        Blocks { weight, bias: wide(self.bias.val()), diagonal: diagonal.reshape([features, a, b]) }
    }
}

impl Blocks {
    fn without_autodiff(&self) -> Self {
        Self {
            weight: self.weight.clone().without_autodiff(),
            bias: self.bias.clone().without_autodiff(),
            diagonal: self.diagonal.clone().without_autodiff(),
        }
    }

    /// The diagonal block of one feature, `[a, b]`.
    fn own(&self, feature: usize) -> Tensor<2> {
        let [_, a, b] = self.diagonal.dims();
        self.diagonal.clone().narrow(0, feature, 1).reshape([a, b])
    }

    /// The contribution of the preceding features, whose units are `before`, to the units of one feature.
    fn carried(&self, feature: usize, before: Option<&Tensor<2>>) -> Tensor<2> {
        let [_, a, b] = self.diagonal.dims();
        let bias = self.bias.clone().narrow(0, feature * b, b).unsqueeze_dim(0);
        let Some(before) = before else { return bias };
        let rows = self.weight.clone().narrow(1, feature * b, b).narrow(0, 0, feature * a);
        rows_times(before.clone(), rows) + bias
    }
}

/// `tanh(h) + leak h` and its slope.
fn activate(h: Tensor<2>, leak: f64) -> (Tensor<2>, Tensor<2>) {
    let bent = h.clone().tanh();
    let slope = bent.clone().square().neg() + (1.0 + leak);
    (bent + h * leak, slope)
}

/// The path of one feature: for each layer, the diagonal block, and the term that is added to its product.
type Path = Vec<(Tensor<2>, Tensor<2>)>;

/// The units of all layers on one feature's path. The last unit is the latent of the feature.
fn units(path: &Path, x: Tensor<2>, leak: f64) -> Vec<Tensor<2>> {
    let mut all: Vec<Tensor<2>> = vec![];
    for (own, carried) in path {
        let before = match all.last() {
            Some(h) => activate(h.clone(), leak).0,
            None => x.clone(),
        };
        all.push(rows_times(before, own.clone()) + carried.clone());
    }
    all
}

/// A feature's latent, and the derivative of the latent in the feature, `[batch, 1]` each.
fn latent(path: &Path, x: Tensor<2>, leak: f64) -> (Tensor<2>, Tensor<2>) {
    let mut slope = x.ones_like();
    let mut h = x;
    for (index, (own, carried)) in path.iter().enumerate() {
        if index > 0 {
            let (bent, rise) = activate(h, leak);
            h = bent;
            slope = slope * rise;
        }
        h = rows_times(h, own.clone()) + carried.clone();
        slope = rows_times(slope, own.clone());
    }
    (h, slope)
}

impl BlockNeuralAutoregressive {
    /// Builds the layer from given layers.
    #[cfg(feature = "interop")]
    pub(crate) fn from_layers(
        layers: Vec<BlockLinear>,
        context: Option<Linear>,
        features: usize,
        leak: f64,
    ) -> Self {
        Self { layers, context, features, leak }
    }

    fn flat<const D: usize>(&self, x: Tensor<D>) -> Tensor<2> {
        super::residual::flat("BlockNeuralAutoregressive", self.features, x)
    }

    /// The term that the context adds to the first layer.
    fn term(&self, rows: usize, context: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let width = self.context.as_ref().map_or(0, |layer| layer.weight.lazy_shape()[0]);
        check_context("BlockNeuralAutoregressive", width, context);
        check_rows("BlockNeuralAutoregressive", rows, context);
        Some(wide(self.context.as_ref()?.forward(context?.clone())))
    }

    fn blocks(&self) -> Vec<Blocks> {
        self.layers.iter().map(|layer| layer.blocks(self.features)).collect()
    }

    fn solved(&self, z: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        let (term, leak) = (self.term(z.dims()[0], context), self.leak);
        let blocks = self.blocks();
        let plain: Vec<Blocks> = blocks.iter().map(Blocks::without_autodiff).collect();
        // For each layer, the inputs that belong to the features solved so far.
        let mut known: Vec<Option<Tensor<2>>> = vec![None; blocks.len()];
        for feature in 0..self.features {
            let mut path: Path = vec![];
            for (index, (layer, before)) in blocks.iter().zip(&known).enumerate() {
                let mut carried = layer.carried(feature, before.as_ref());
                if let (0, Some(term)) = (index, &term) {
                    let units = carried.dims()[1];
                    carried = carried + term.clone().narrow(1, feature * units, units);
                }
                path.push((layer.own(feature), carried));
            }
            let fixed: Path = plain
                .iter()
                .zip(&path)
                .map(|(layer, (_, carried))| {
                    (layer.own(feature), carried.clone().without_autodiff())
                })
                .collect();
            let target = z.clone().narrow(1, feature, 1);
            let root = solve(&target, Bracket::near(&target), |x| latent(&fixed, x, leak));
            let x = root.in_graph(target, |x| latent(&path, x, leak).0);
            let inside = units(&path, x.clone(), leak).into_iter().map(|h| activate(h, leak).0);
            for (known, new) in known.iter_mut().zip([x].into_iter().chain(inside)) {
                *known = Some(match known.take() {
                    Some(old) => Tensor::cat(vec![old, new], 1),
                    None => new,
                });
            }
        }
        known.swap_remove(0).unwrap_or(z)
    }
}

impl<const D: usize> Bijector<D> for BlockNeuralAutoregressive {
    fn forward(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        let (dims, dtype) = (x.dims(), x.dtype());
        let (batch, features) = (dims[0], self.features);
        let mut h = self.flat(x);
        let term = self.term(batch, context);
        // The derivatives of a feature's units in the feature: `exp(shift) * slope`, `[features, batch, units]`.
        let mut slope = Tensor::<3>::ones([features, batch, 1], (&h.device(), h.dtype()));
        let mut shift = slope.clone().zeros_like().without_autodiff();
        for (index, blocks) in self.blocks().into_iter().enumerate() {
            if index > 0 {
                let (bent, rise) = activate(h, self.leak);
                h = bent;
                let units = h.dims()[1] / features;
                slope = slope * rise.reshape([batch, features, units]).swap_dims(0, 1);
            }
            h = rows_times(h, blocks.weight) + blocks.bias.unsqueeze_dim(0);
            if let (0, Some(term)) = (index, &term) {
                h = h + term.clone();
            }
            slope = stacked_rows_times(slope, blocks.diagonal);
            let largest = slope.clone().without_autodiff().max_dim(2);
            shift = shift + largest.clone().log();
            slope = slope * largest.recip();
        }
        let log_det = (slope.log() + shift).sum_dim(0).reshape([batch]);
        (h.cast(dtype).reshape(dims), log_det)
    }

    fn inverse(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D> {
        let (dims, dtype) = (z.dims(), z.dtype());
        let z = self.flat(z);
        self.solved(z, context).cast(dtype).reshape(dims)
    }
}
