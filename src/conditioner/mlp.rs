//! Dense network: plain hidden layers or residual blocks.

use burn::module::Module;
use burn::nn::{Initializer, Linear};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::activation::{bias, forward_linear};
use super::periodic::PeriodicFeatures;
use super::{
    Activation, ActivationConfig, Conditioner, ContextScale, Dense, Dropout, Periodic,
    check_context, check_dropout,
};
use crate::config::{construct, seeded_config};
use crate::error::{Error, Result, chain, count};
use crate::initial;
use crate::kernel::{Curve, DenseLayer, DenseNetwork};
use crate::math::sigmoid;
use crate::rows::spread;

seeded_config! {
/// Configuration of an [`Mlp`]. The layer that uses the network sets its input and output widths.
///
/// ```
/// use burn_flows::conditioner::{ActivationConfig, MlpConfig};
///
/// let config = MlpConfig::new(vec![64, 64]).with_activation(ActivationConfig::Silu);
/// assert!(config.validate().is_ok());
/// assert!(MlpConfig::new(vec![]).validate().is_err());
/// ```
pub struct MlpConfig {
    /// Widths of the hidden layers. With `residual`, the first is the width of the stream, and each
    /// further one adds a residual block of that width. Wider and more layers give a more expressive
    /// network at a higher cost.
    pub hidden: Vec<usize>,
    /// The activation between layers; [`ActivationConfig::Silu`] makes the network smooth.
    #[config(default = ActivationConfig::Relu)]
    pub activation: ActivationConfig,
    /// Probability that a hidden unit is dropped in training. Raise it against overfitting.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Uses residual blocks instead of plain hidden layers. Set it to `true` for deep networks; all widths must
    /// be equal.
    #[config(default = false)]
    pub residual: bool,
    /// Starts the last layer at zero, so that a flow layer with this network starts as the identity
    /// (Glow). Set it to `false` to start from random outputs.
    #[config(default = true)]
    pub zero_last: bool,
    /// The inputs that are angles. The network then sees periodic features of them.
    pub periodic: Option<Periodic>,
}
}

crate::store::checked! {
/// A dense conditioner, made by [`MlpConfig::init`].
///
/// ```text
/// plain      h = act(W0 [x, c]),  h = act(W h) ..,  out = Wn h
/// residual   h = W0 [x, c],  h = h + gate(W2 dropout(act(W1 act(h))), c) ..,  out = Wn h
/// gate       gate(u, c) = u * sigmoid(Wc c) with a context c, otherwise gate(u) = u
/// ```
///
/// Paper of the residual variant: Durkan, Bekasov, Murray, Papamakarios (2019), Neural Spline
/// Flows, section 3.1, arXiv:1906.04032. Same numbers as nflows 0.14 `ResidualNet`.
///
/// # Shapes
///
/// - input `[batch, d_in]`, context `[batch, context]`
/// - output `[batch, d_out]`
///
/// # Panics
///
/// If the input or the context has another width than the network was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::conditioner::{Conditioner, MlpConfig};
///
/// let device = Device::flex();
/// let net = MlpConfig::new(vec![16, 16]).init(3, 4, 2, &device);
/// let context = Tensor::ones([5, 2], &device);
/// let out = net.forward(Tensor::ones([5, 3], &device), Some(&context));
/// assert_eq!(out.dims(), [5, 4]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Mlp {
    periodic: Option<PeriodicFeatures>,
    #[serde(with = "crate::store::part")]
    input: Linear,
    #[serde(with = "crate::store::part")]
    hidden: Vec<Linear>,
    blocks: Vec<ResidualBlock>,
    #[serde(with = "crate::store::part")]
    output: Linear,
    activation: Activation,
    dropout: Dropout,
    context_scale: Option<ContextScale>,
    d_in: usize,
    context: usize,
}
}

impl Mlp {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let (width, d_in) = (self.input.weight.dims()[0], self.d_in);
        let fits = d_in.checked_add(self.context) == Some(width);
        let reason =
            || format!("must be {width} inputs minus {} of context, found {d_in}", self.context);
        crate::store::require("Mlp", "d_in", fits, reason)?;
        let mut width = self.input.weight.dims()[1];
        let part = |field, holds: bool| {
            let reason = || "must fit the outputs of the previous layer".into();
            crate::store::require("Mlp", field, holds, reason)
        };
        for layer in &self.hidden {
            let [from, to] = layer.weight.dims();
            part("hidden", from == width)?;
            width = to;
        }
        for ResidualBlock { first, second, gate } in &self.blocks {
            let ([from, inner], end) = (first.weight.dims(), second.weight.dims());
            part("blocks", from == width && end == [inner, width])?;
            let gate = gate.as_ref().map(|gate| gate.weight.dims());
            part("blocks", gate.is_none_or(|gate| gate == [self.context, width]))?;
        }
        part("output", self.output.weight.dims()[0] == width)?;
        let scaled = if self.context == 0 { d_in } else { self.context };
        ContextScale::sound_for(&self.context_scale, "Mlp", scaled)
    }
}

/// Two pre-activated layers with a skip connection. A context gates their output (GLU).
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct ResidualBlock {
    #[serde(with = "crate::store::part")]
    first: Linear,
    #[serde(with = "crate::store::part")]
    second: Linear,
    #[serde(with = "crate::store::part")]
    gate: Option<Linear>,
}

crate::display::display!(ResidualBlock);

/// A linear layer with zeros, or with burn's default initialisation.
pub(crate) fn linear(d_in: usize, d_out: usize, zero: bool, device: &Device) -> Linear {
    let start = if zero { Initializer::Zeros } else { initial::USUAL };
    initial::linear([d_in, d_out], true, &start, device)
}

impl MlpConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("MlpConfig", "hidden", 1, self.hidden.len())?;
        for &width in &self.hidden {
            count("MlpConfig", "hidden", 1, width)?;
        }
        chain("MlpConfig", "hidden", &self.hidden)?;
        if self.residual && self.hidden.len() < 2 {
            let reason = "must hold at least 2 widths with residual (the stream, then each \
                          block), found 1";
            return Err(Error::config("MlpConfig", "hidden", reason.to_string()));
        }
        if self.residual && self.hidden.iter().any(|w| *w != self.hidden[0]) {
            let reason = format!("must hold equal widths with residual, found {:?}", self.hidden);
            return Err(Error::config("MlpConfig", "hidden", reason));
        }
        self.activation.validate_for(&self.hidden)?;
        check_dropout("MlpConfig", "dropout", self.dropout)
    }

    /// [`validate`](Self::validate) for a network from `d_in` values and a context to `d_out`.
    pub(crate) fn validate_between(&self, d_in: usize, d_out: usize, context: usize) -> Result<()> {
        self.validate()?;
        count("MlpConfig", "context", 0, context)?;
        count("MlpConfig", "inputs", 0, d_in)?;
        if let Some(periodic) = &self.periodic {
            periodic.validate(d_in)?;
        }
        let (first, last) = (self.hidden[0], *self.hidden.last().expect("validated"));
        chain("MlpConfig", "hidden", &[d_in + context, first])?;
        chain("MlpConfig", "hidden", &[last, d_out])
    }

    construct! {
        /// Builds a network from `d_in` values and a context of width `context` (0: none) to `d_out`
        /// values.
        seeded(d_in: usize, d_out: usize, context: usize, device: &Device) -> Mlp, if validate_between(d_in, d_out, context)
    }

    /// A network whose input is a context of width `context`, standardised by the scale of a first
    /// batch.
    ///
    /// # Panics
    ///
    /// If [`init`](Self::init) panics.
    pub(crate) fn of_context(&self, context: usize, d_out: usize, device: &Device) -> Mlp {
        let network = self.init(context, d_out, 0, device);
        // Angles are scaled by their period.
        let context_scale = match self.periodic {
            Some(_) => None,
            None => ContextScale::new(context, device),
        };
        Mlp { context_scale, ..network }
    }

    fn build(&self, d_in: usize, d_out: usize, context: usize, device: &Device) -> Mlp {
        let width = self.hidden[0];
        let pairs = self.hidden.windows(2);
        let (hidden, blocks) = if self.residual {
            (vec![], pairs.map(|_| ResidualBlock::new(width, context, device)).collect())
        } else {
            (pairs.map(|w| linear(w[0], w[1], false, device)).collect(), vec![])
        };
        let last = *self.hidden.last().expect("validated");
        Mlp {
            periodic: self.periodic.as_ref().and_then(|periodic| periodic.init(device)),
            input: linear(d_in + context, width, false, device),
            hidden,
            blocks,
            output: linear(last, d_out, self.zero_last, device),
            activation: self.activation.init(device),
            dropout: Dropout::checked(self.dropout),
            context_scale: ContextScale::new(context, device),
            d_in,
            context,
        }
    }
}

impl ResidualBlock {
    fn new(width: usize, context: usize, device: &Device) -> Self {
        Self {
            first: linear(width, width, false, device),
            second: linear(width, width, false, device),
            gate: (context > 0).then(|| linear(context, width, false, device)),
        }
    }

    fn forward(
        &self,
        h: Tensor<2>,
        context: Option<&Tensor<2>>,
        activation: &Activation,
        dropout: &Dropout,
    ) -> Tensor<2> {
        let inner = activation.after(&self.first, activation.forward(h.clone()));
        let inner = forward_linear(&self.second, dropout.forward(inner));
        match (&self.gate, context) {
            (Some(gate), Some(c)) => h + inner * sigmoid(forward_linear(gate, c.clone())),
            _ => h + inner,
        }
    }
}

impl Mlp {
    /// Builds a network from given layers, for weights from another source: `input`, then `hidden` with
    /// an activation between, then `blocks`, then `output`. The context enters as the last `context`
    /// inputs of `input`.
    ///
    /// # Panics
    ///
    /// If `input` is narrower than the context.
    pub fn from_layers(
        input: Linear,
        hidden: Vec<Linear>,
        blocks: Vec<ResidualBlock>,
        output: Linear,
        activation: Activation,
        context: usize,
    ) -> Self {
        let width = input.weight.lazy_shape()[0];
        assert!(
            width >= context,
            "Mlp: expected an input layer of at least the context's width {context}, found {width}"
        );
        let d_in = width - context;
        Self {
            periodic: None,
            input,
            hidden,
            blocks,
            output,
            activation,
            dropout: Dropout::checked(0.0),
            context_scale: None,
            d_in,
            context,
        }
    }
}

impl Mlp {
    /// The number of inputs without the context, and the number of outputs.
    pub(crate) fn ends(&self) -> [usize; 2] {
        [self.d_in, self.output.weight.lazy_shape()[1]]
    }

    /// Whether the network takes its input alone, without a context.
    pub(crate) fn is_unconditional(&self) -> bool {
        self.context == 0
    }

    /// Sets the scale of a network made by [`MlpConfig::of_context`] from the rows of a first batch, also if the last
    /// layer is not zero.
    pub(crate) fn scaled_to(self, rows: &Tensor<2>) -> Self {
        let context_scale = self.context_scale.map(|scale| scale.init_from_data(rows));
        Self { context_scale, ..self }
    }
}

#[cfg(feature = "interop")]
impl Mlp {
    /// The network with periodic features for inputs that are angles.
    pub(crate) fn with_periodic(self, periodic: Option<PeriodicFeatures>) -> Self {
        Self { periodic, ..self }
    }
}

impl ResidualBlock {
    /// Builds a block from given layers.
    pub fn from_layers(first: Linear, second: Linear, gate: Option<Linear>) -> Self {
        Self { first, second, gate }
    }
}

impl Conditioner<2> for Mlp {
    fn forward(&self, kept: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        check_context("Mlp", self.context, context);
        let context = spread("Mlp", kept.dims()[0], context);
        let context = context.as_ref();
        let [_, width] = kept.dims();
        assert!(width == self.d_in, "Mlp: expected an input of width {}, found {width}", self.d_in);
        let kept = match &self.periodic {
            Some(periodic) => periodic.forward(kept),
            None => kept,
        };
        let scaled = |given: Option<&Tensor<2>>| ContextScale::seen(&self.context_scale, given);
        let context = &scaled(context);
        let joined = match context {
            Some(c) => Tensor::cat(vec![kept, c.clone()], 1),
            None => scaled(Some(&kept)).unwrap_or(kept),
        };
        let mut h = match self.blocks.is_empty() {
            true => self.dropout.forward(self.activation.after(&self.input, joined)),
            false => forward_linear(&self.input, joined),
        };
        for layer in &self.hidden {
            h = self.dropout.forward(self.activation.after(layer, h));
        }
        for block in &self.blocks {
            h = block.forward(h, context.as_ref(), &self.activation, &self.dropout);
        }
        forward_linear(&self.output, h)
    }

    fn dense(&self, context: Option<&Tensor<2>>) -> Option<Dense> {
        let curve = self.activation.curve()?;
        let is_scaled = self.context == 0 && self.context_scale.is_some();
        if self.periodic.is_some()
            || !self.blocks.is_empty()
            || is_scaled
            || self.dropout.is_enabled()
            || context.map_or(0, |context| context.dims()[1]) != self.context
        {
            return None;
        }
        let layer = |layer: &Linear, curve| DenseLayer {
            weight: layer.weight.val(),
            bias: bias(layer),
            mask: None,
            curve,
        };
        let inner = std::iter::once(&self.input).chain(&self.hidden);
        let mut layers: Vec<_> = inner.map(|inner| layer(inner, curve)).collect();
        layers.push(layer(&self.output, Curve::Identity));
        let context = ContextScale::seen(&self.context_scale, context);
        Some(Dense(DenseNetwork { layers, context, term: None }))
    }

    fn init_from_data(self, kept: Tensor<2>, context: Option<&Tensor<2>>) -> Self {
        let scaled = if self.context == 0 { Some(&kept) } else { context };
        Self {
            context_scale: ContextScale::started(
                self.context_scale,
                scaled,
                &self.output.weight.val(),
            ),
            ..self
        }
    }
}
