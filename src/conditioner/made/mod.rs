//! MADE: a network whose output for a feature depends on earlier features only.

mod config;
mod levels;
mod stepwise;
mod unroll;

pub use config::{Degrees, Dependencies, MadeConfig};

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Bool, DType, Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use self::levels::{BlockMasks, HostMask, Masks};
use super::activation::forward_linear;
use super::periodic::PeriodicFeatures;
use super::{
    Activation, ActivationConfig, Conditioner, ContextScale, Dense, Dropout, MaskedLinear,
    check_context,
};
use crate::error::Result;
use crate::kernel::{Curve, DenseNetwork};
use crate::math::sigmoid;
use crate::param::{host_indices, index_param};
use crate::rows::spread;

crate::store::checked! {
/// A masked dense network, made by [`MadeConfig::init`].
///
/// ```text
/// plain      h = act(W0 x + V c),  h = act(W h) ..,  out = Wn h
/// residual   h = W0 x + V c,  h = h + W2 act(W1 act(h) + V' c) ..,  out = Wn h
///            a block of a loaded network may begin with h = Wp h, to another width (zuko)
/// ```
///
/// Every W is masked: a unit that sees the features S is connected to a unit that may see the features
/// T only if S is a subset of T. For a total order these masks are those of the paper's degrees.
///
/// Papers: Germain, Gregor, Murray, Larochelle (2015), MADE: Masked Autoencoder for Distribution
/// Estimation, section 4, arXiv:1502.03509; residual blocks: Durkan, Nash (2019), Autoregressive
/// Energy Machines, section 3, arXiv:1904.05626.
/// Same numbers as nflows 0.14 and normflows 1.7 `MADE`, zuko 1.6 `MaskedMLP`, FlowJAX 19
/// `masked_autoregressive_mlp`.
///
/// The context is added after the first layer and inside every residual block. Units that see no
/// feature pass the context to the features without dependencies.
///
/// # Shapes
///
/// - input `[batch, features]`, context `[batch, context]`
/// - output `[batch, outputs * features]`: parameter `p` of feature `i` at `p * features + i`
///
/// # Panics
///
/// If the input or the context has another width than the network was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::conditioner::{Conditioner, MadeConfig};
///
/// let device = Device::flex();
/// let net = MadeConfig::new(vec![16]).with_zero_last(false).init(3, 1, 0, &device);
/// let at = |x: [[f32; 3]; 1]| {
///     net.forward(Tensor::<2>::from_data(x, &device), None).into_data().try_to_vec_as::<f32>().unwrap()
/// };
/// let (before, after) = (at([[0.0, 0.0, 0.0]]), at([[0.0, 9.0, 9.0]]));
/// assert_eq!(before[..2], after[..2]); // outputs 0 and 1 do not see features 1 and 2
/// assert_ne!(before[2], after[2]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Made {
    periodic: Option<PeriodicFeatures>,
    input: MaskedLinear,
    #[serde(with = "crate::store::part")]
    context: Option<Linear>,
    hidden: Vec<MaskedLinear>,
    blocks: Vec<MaskedBlock>,
    output: MaskedLinear,
    /// The step of every feature, then of the units of every hidden layer. The steps are saved like the
    /// masks, because the masks of a record can differ from those drawn here.
    #[serde(with = "crate::store::fixed")]
    steps: Vec<Param<Tensor<1, Int>>>,
    activation: Activation,
    dropout: Dropout,
    context_scale: Option<ContextScale>,
    features: usize,
    #[module(skip)]
    style: Style,
}
}

impl Made {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let elementwise = self.activation.is_elementwise();
        let reason = || "must be elementwise, because a masked network must not mix units".into();
        crate::store::require("Made", "activation", elementwise, reason)?;
        let part = |holds: bool, field| {
            crate::store::require("Made", field, holds, || {
                format!("does not fit {} features", self.features)
            })
        };
        let dims = |layer: &MaskedLinear| layer.mask().dims();
        let [inputs, mut width] = dims(&self.input);
        part(self.features > 0 && inputs == self.features, "input")?;
        for layer in &self.hidden {
            let [inputs, outputs] = dims(layer);
            part(inputs == width, "hidden")?;
            width = outputs;
        }
        for MaskedBlock { widen, first, second, context } in &self.blocks {
            let given = context.as_ref().map(|context| context.weight.dims()[0]);
            part(given.is_none_or(|given| given == self.context_width()), "blocks")?;
            if let Some([from, to]) = widen.as_ref().map(dims) {
                part(from == width, "blocks")?;
                width = to;
            }
            let ([from, inner], [again, to]) = (dims(first), dims(second));
            part(from == width && inner == again && to == width, "blocks")?;
        }
        let [inputs, outputs] = dims(&self.output);
        let whole = outputs > 0 && outputs.is_multiple_of(self.features);
        part(inputs == width && whole, "output")?;
        let steps: Vec<Vec<usize>> = self.steps.iter().map(host_indices).collect();
        part(self.masks().levels(self.features)? == steps, "steps")?;
        ContextScale::sound_for(&self.context_scale, "Made", self.context_width())
    }
}

/// Two pre-activated masked layers with a skip connection. A context is added between the layers, or
/// gates their output.
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub(crate) struct MaskedBlock {
    /// A layer before the block, without an activation, to a stream of another width.
    pub(crate) widen: Option<MaskedLinear>,
    pub(crate) first: MaskedLinear,
    pub(crate) second: MaskedLinear,
    #[serde(with = "crate::store::part")]
    pub(crate) context: Option<Linear>,
}

crate::display::display!(MaskedBlock);

/// The layers of a [`Made`].
pub(crate) struct Layers {
    pub(crate) input: MaskedLinear,
    pub(crate) context: Option<Linear>,
    pub(crate) hidden: Vec<MaskedLinear>,
    pub(crate) blocks: Vec<MaskedBlock>,
    pub(crate) output: MaskedLinear,
}

/// Differences between other libraries' networks and those of this crate.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Style {
    /// The context passes the activation before it is added to the first layer (nflows).
    pub(crate) activated_context: bool,
    /// Residual blocks begin without an activation (zuko).
    pub(crate) bare_blocks: bool,
    /// The context gates the output of a block, instead of being added inside the block (normflows).
    pub(crate) gated_context: bool,
    /// No activation follows the first layer, even if no residual block follows it (normflows).
    #[serde(default)]
    pub(crate) linear_input: bool,
}

impl Made {
    /// Builds the network from these layers.
    ///
    /// # Errors
    ///
    /// If features depend on each other.
    pub(crate) fn new(
        layers: Layers,
        features: usize,
        activation: &ActivationConfig,
        style: Style,
        device: &Device,
    ) -> Result<Self> {
        let Layers { input, context, hidden, blocks, output } = layers;
        let (activation, dropout) = (activation.init(device), Dropout::checked(0.0));
        let made = Self {
            periodic: None,
            input,
            context,
            hidden,
            blocks,
            output,
            steps: vec![],
            activation,
            dropout,
            context_scale: None,
            features,
            style,
        };
        let steps = made.masks().levels(features)?;
        let steps = steps.iter().map(|steps| index_param(steps, device)).collect();
        Ok(Self { steps, ..made })
    }

    fn masks(&self) -> Masks {
        Masks {
            input: host_mask(&self.input),
            hidden: self.hidden.iter().map(host_mask).collect(),
            blocks: self.blocks.iter().map(BlockMasks::of).collect(),
            output: host_mask(&self.output),
        }
    }

    /// The network with periodic features for features that are angles.
    pub(crate) fn with_periodic(self, periodic: Option<PeriodicFeatures>) -> Self {
        Self { periodic, ..self }
    }

    /// The network with a context that is standardised at the data-dependent initialisation.
    fn with_context_scale(self, device: &Device) -> Self {
        Self { context_scale: ContextScale::new(self.context_width(), device), ..self }
    }

    /// The context as the layers see it, after standardisation.
    fn seen(&self, context: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        check_context("Made", self.context_width(), context);
        ContextScale::seen(&self.context_scale, context)
    }

    fn with_dropout(self, probability: f64) -> Self {
        Self { dropout: Dropout::checked(probability), ..self }
    }

    /// Returns the number of features of an event.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Returns the number of parameters per feature.
    pub fn outputs(&self) -> usize {
        self.output.mask().dims()[1] / self.features
    }

    /// Returns the step at which every feature can be solved for, counted from 0: one more than the
    /// largest step of its dependencies. A total order has as many steps as features.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use burn_flows::conditioner::{Dependencies, MadeConfig};
    ///
    /// let config = MadeConfig::new(vec![8]).with_dependencies(Dependencies::Reversed);
    /// assert_eq!(config.init(3, 1, 0, &Device::flex()).steps(), [2, 1, 0]);
    /// ```
    pub fn steps(&self) -> Vec<usize> {
        host_indices(&self.steps[0])
    }

    /// The precision of the weights.
    pub(crate) fn dtype(&self) -> DType {
        self.output.weight().dtype()
    }

    /// The term that the context adds to the first layer, `[batch, width]`.
    fn context_term(&self, context: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let (layer, context) = (self.context.as_ref()?, context?);
        let term = forward_linear(layer, context.clone());
        Some(if self.style.activated_context { self.activation.forward(term) } else { term })
    }

    /// The width of the context, 0 for none.
    pub(crate) fn context_width(&self) -> usize {
        self.context.as_ref().map_or(0, |layer| layer.weight.lazy_shape()[0])
    }

    /// Whether an activation follows the first layer. Residual blocks begin with one of their own.
    fn activates_input(&self) -> bool {
        self.blocks.is_empty() && !self.style.linear_input
    }

    /// The activation, followed by dropout in training.
    fn activate(&self, h: Tensor<2>) -> Tensor<2> {
        self.dropout.forward(self.activation.forward(h))
    }

    /// The term that the context adds inside a block, and the factor by which it multiplies the block's
    /// output, both `[batch, width]`.
    fn block_context(
        &self,
        block: &MaskedBlock,
        context: Option<&Tensor<2>>,
    ) -> (Option<Tensor<2>>, Option<Tensor<2>>) {
        let term =
            block.context.as_ref().zip(context).map(|(layer, c)| forward_linear(layer, c.clone()));
        if self.style.gated_context { (None, term.map(sigmoid)) } else { (term, None) }
    }

    /// The input of the first layer of a block.
    fn enter_block(&self, h: Tensor<2>) -> Tensor<2> {
        if self.style.bare_blocks { h } else { self.activation.forward(h) }
    }
}

impl Conditioner<2> for Made {
    fn forward(&self, kept: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        let context = spread("Made", kept.dims()[0], self.seen(context).as_ref());
        let context = context.as_ref();
        let [_, width] = kept.dims();
        let features = self.features;
        assert!(width == features, "Made: expected an input of width {features}, found {width}");
        let kept = match &self.periodic {
            Some(periodic) => periodic.forward(kept),
            None => kept,
        };
        let mut h = match self.context_term(context) {
            None if self.activates_input() => {
                self.dropout.forward(self.input.activated(kept, &self.activation))
            }
            term if self.activates_input() => self.activate(plus(self.input.forward(kept), term)),
            term => plus(self.input.forward(kept), term),
        };
        for layer in &self.hidden {
            h = self.dropout.forward(layer.activated(h, &self.activation));
        }
        for block in &self.blocks {
            if let Some(widen) = &block.widen {
                h = widen.forward(h);
            }
            let (term, gate) = self.block_context(block, context);
            let inner = plus(block.first.forward(self.enter_block(h.clone())), term);
            let inner = block.second.forward(self.activate(inner));
            h = h + times(inner, gate);
        }
        self.output.forward(h)
    }

    fn dense(&self, context: Option<&Tensor<2>>) -> Option<Dense> {
        let curve = self.activation.curve()?;
        let has_blocks = self.periodic.is_some() || !self.activates_input();
        if has_blocks || self.dropout.is_enabled() {
            return None;
        }
        let term = self.context_term(self.seen(context).as_ref());
        let inner = std::iter::once(&self.input).chain(&self.hidden);
        let mut layers: Vec<_> = inner.map(|inner| inner.dense(curve)).collect();
        layers.push(self.output.dense(Curve::Identity));
        Some(Dense(DenseNetwork { layers, context: None, term }))
    }

    fn init_from_data(self, _kept: Tensor<2>, context: Option<&Tensor<2>>) -> Self {
        Self {
            context_scale: ContextScale::started(
                self.context_scale,
                context,
                &self.output.weight(),
            ),
            ..self
        }
    }
}

fn plus(h: Tensor<2>, term: Option<Tensor<2>>) -> Tensor<2> {
    match term {
        Some(term) => h + term,
        None => h,
    }
}

fn times(h: Tensor<2>, gate: Option<Tensor<2>>) -> Tensor<2> {
    match gate {
        Some(gate) => h * gate,
        None => h,
    }
}

impl BlockMasks {
    fn of(block: &MaskedBlock) -> Self {
        Self {
            widen: block.widen.as_ref().map(host_mask),
            first: host_mask(&block.first),
            second: host_mask(&block.second),
        }
    }
}

fn host_mask(layer: &MaskedLinear) -> HostMask {
    let mask: Tensor<2, Bool> = layer.mask();
    let [_, outputs] = mask.dims();
    let open = mask.into_data().try_to_vec_as().expect("booleans");
    HostMask { open, outputs }
}
