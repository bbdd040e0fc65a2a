//! Residual convolutional network of an image coupling.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Activation, ActivationConfig, Conditioner, Dropout, NormConv, Normalization};
use super::{ContextScale, check_context, check_dropout, join_context};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits, repeats};
use crate::rows::spread;

seeded_config! {
/// Configuration of a [`ResidualConvNet`].
///
/// ```
/// use burn_flows::conditioner::ResidualConvNetConfig;
///
/// assert!(ResidualConvNetConfig::new(32).with_blocks(4).validate().is_ok());
/// assert!(ResidualConvNetConfig::new(32).with_blocks(0).validate().is_err());
/// ```
pub struct ResidualConvNetConfig {
    /// Number of channels of the hidden layers. More channels give a more expressive network at
    /// quadratic cost.
    pub hidden: usize,
    /// Number of residual blocks of two 3x3 convolutions. More blocks make the network deeper and widen
    /// its receptive field.
    #[config(default = 2)]
    pub blocks: usize,
    /// The activation between layers; [`ActivationConfig::Silu`] makes the network smooth.
    #[config(default = ActivationConfig::Relu)]
    pub activation: ActivationConfig,
    /// Normalization of the hidden convolutions; the paper normalizes their weights.
    #[config(default = Normalization::Weight)]
    pub normalization: Normalization,
    /// Probability that a hidden element is dropped in training. Raise it against overfitting.
    #[config(default = 0.0)]
    pub dropout: f64,
}
}

crate::store::checked! {
/// Residual blocks of 3x3 convolutions that keep height and width. A context is appended as constant
/// channels.
///
/// ```text
/// h = W0 * [x, c],  h = h + W2 * dropout(act(W1 * act(h))) ..,  out = Wn * act(h)
/// ```
///
/// Paper: Dinh, Sohl-Dickstein, Bengio (2017), Real NVP, section 4.1, arXiv:1605.08803.
///
/// # Shapes
///
/// - input `[batch, c_in, height, width]`, context `[batch, context]`
/// - output `[batch, c_out, height, width]`
///
/// # Panics
///
/// If the context has another width than the network was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::conditioner::{Conditioner, ResidualConvNetConfig};
///
/// let device = Device::flex();
/// let net = ResidualConvNetConfig::new(8).init(2, 4, 0, &device);
/// assert_eq!(net.forward(Tensor::ones([3, 2, 4, 4], &device), None).dims(), [3, 4, 4, 4]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct ResidualConvNet {
    input: NormConv,
    blocks: Vec<ResidualConvBlock>,
    output: NormConv,
    activation: Activation,
    dropout: Dropout,
    activated_output: bool,
    context_scale: Option<ContextScale>,
    context: usize,
}
}

impl ResidualConvNet {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        ContextScale::sound_for(&self.context_scale, "ResidualConvNet", self.context)
    }
}

/// Two pre-activated 3x3 convolutions with a skip connection.
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct ResidualConvBlock {
    first: NormConv,
    second: NormConv,
}

crate::display::display!(ResidualConvBlock);

impl ResidualConvNetConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("ResidualConvNetConfig", "hidden", 1, self.hidden)?;
        fits("ResidualConvNetConfig", "hidden", &[self.hidden, self.hidden, 3, 3])?;
        self.activation.validate_for(&[self.hidden])?;
        repeats("ResidualConvNetConfig", "blocks", 1, self.blocks)?;
        check_dropout("ResidualConvNetConfig", "dropout", self.dropout)
    }

    /// [`validate`](Self::validate) for a network from `c_in` channels and a context to `c_out`.
    pub(crate) fn validate_between(&self, c_in: usize, c_out: usize, context: usize) -> Result<()> {
        self.validate()?;
        count("ResidualConvNetConfig", "context", 0, context)?;
        fits(
            "ResidualConvNetConfig",
            "hidden",
            &[self.hidden, c_in.saturating_add(context), 3, 3],
        )?;
        fits("ResidualConvNetConfig", "hidden", &[c_out, self.hidden])
    }

    construct! {
        /// Builds a network from `c_in` channels and a context of width `context` (0: none) to `c_out`
        /// channels. The last layer starts at zero.
        seeded(c_in: usize, c_out: usize, context: usize, device: &Device) -> ResidualConvNet, if validate_between(c_in, c_out, context)
    }

    fn build(&self, c_in: usize, c_out: usize, context: usize, device: &Device) -> ResidualConvNet {
        let width = self.hidden;
        let conv = |c_in| NormConv::new([c_in, width], 3, self.normalization, device);
        let block = |_| ResidualConvBlock { first: conv(width), second: conv(width) };
        ResidualConvNet {
            input: conv(c_in + context),
            blocks: (0..self.blocks).map(block).collect(),
            output: NormConv::zero([width, c_out], 1, device),
            activation: self.activation.init(device),
            dropout: Dropout::checked(self.dropout),
            activated_output: true,
            context_scale: ContextScale::new(context, device),
            context,
        }
    }
}

impl ResidualConvBlock {
    /// Builds a block from given layers.
    #[cfg(feature = "interop")]
    pub(crate) fn from_layers(first: NormConv, second: NormConv) -> Self {
        Self { first, second }
    }

    fn forward(&self, h: Tensor<4>, activation: &Activation, dropout: &Dropout) -> Tensor<4> {
        let inner = self.first.forward(activation.of_channels(h.clone()));
        h + self.second.forward(dropout.forward(activation.of_channels(inner)))
    }

    fn init_from_data(self, h: Tensor<4>, activation: &Activation) -> (Self, Tensor<4>) {
        let (first, inner) = self.first.init_from_data(activation.of_channels(h.clone()));
        let (second, inner) = self.second.init_from_data(activation.of_channels(inner));
        (Self { first, second }, h + inner)
    }
}

impl ResidualConvNet {
    /// Builds a network from given layers, without a context and without an activation before the last
    /// layer.
    #[cfg(feature = "interop")]
    pub(crate) fn from_layers(
        input: NormConv,
        blocks: Vec<ResidualConvBlock>,
        output: NormConv,
        activation: Activation,
    ) -> Self {
        let dropout = Dropout::checked(0.0);
        Self {
            input,
            blocks,
            output,
            activation,
            dropout,
            activated_output: false,
            context_scale: None,
            context: 0,
        }
    }
}

impl Conditioner<4> for ResidualConvNet {
    fn forward(&self, kept: Tensor<4>, context: Option<&Tensor<2>>) -> Tensor<4> {
        check_context("ResidualConvNet", self.context, context);
        let context = spread("ResidualConvNet", kept.dims()[0], context);
        let context = ContextScale::seen(&self.context_scale, context.as_ref());
        let h = self.input.forward(join_context(kept, context.as_ref()));
        let h = self
            .blocks
            .iter()
            .fold(h, |h, block| block.forward(h, &self.activation, &self.dropout));
        let h = if self.activated_output { self.activation.of_channels(h) } else { h };
        self.output.forward(h)
    }

    fn init_from_data(self, kept: Tensor<4>, context: Option<&Tensor<2>>) -> Self {
        let context = spread("ResidualConvNet", kept.dims()[0], context);
        let context = context.as_ref();
        let activation = self.activation.valid();
        let context_scale =
            ContextScale::started(self.context_scale, context, &self.output.weight());
        let context = ContextScale::seen(&context_scale, context);
        let (input, mut h) = self.input.init_from_data(join_context(kept, context.as_ref()));
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in self.blocks {
            let (block, next) = block.init_from_data(h, &activation);
            blocks.push(block);
            h = next;
        }
        Self { input, blocks, context_scale, ..self }
    }
}
