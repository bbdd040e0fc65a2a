//! Convolutional network of an image coupling: 3x3, 1x1, 3x3.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Activation, ActivationConfig, Conditioner, Dropout, NormConv, Normalization};
use super::{ContextScale, check_context, check_dropout, join_context};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits};
use crate::rows::spread;

/// Factor of the learned log-scale of the last layer. With it the layer leaves zero faster than by its
/// weights alone. Value from Glow.
const LOG_SCALE_FACTOR: f64 = 3.0;

seeded_config! {
/// Configuration of a [`ConvNet`].
///
/// ```
/// use burn_flows::conditioner::ConvNetConfig;
///
/// assert!(ConvNetConfig::new(64).validate().is_ok());
/// assert!(ConvNetConfig::new(0).validate().is_err());
/// ```
pub struct ConvNetConfig {
    /// Number of channels of the two hidden layers. More channels give a more expressive network at
    /// quadratic cost.
    pub hidden: usize,
    /// The activation between layers; [`ActivationConfig::Silu`] makes the network smooth.
    #[config(default = ActivationConfig::Relu)]
    pub activation: ActivationConfig,
    /// Normalization of the hidden layers. Set [`Normalization::ActNorm`] to initialise them from a
    /// first batch (Glow).
    #[config(default = Normalization::None)]
    pub normalization: Normalization,
    /// Probability that a hidden element is dropped in training. Raise it against overfitting.
    #[config(default = 0.0)]
    pub dropout: f64,
}
}

crate::store::checked! {
/// Three convolutions that keep height and width. A context is appended as constant channels.
///
/// ```text
/// out = (W3 * act(W2 * act(W1 * [x, c]))) exp(3 l)        l per output channel, started at 0
/// ```
///
/// Paper: Kingma, Dhariwal (2018), Glow: Generative Flow with Invertible 1x1 Convolutions,
/// appendix B, arXiv:1807.03039.
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
/// use burn_flows::conditioner::{Conditioner, ConvNetConfig};
///
/// let device = Device::flex();
/// let net = ConvNetConfig::new(8).init(2, 4, 0, &device);
/// assert_eq!(net.forward(Tensor::ones([3, 2, 4, 4], &device), None).dims(), [3, 4, 4, 4]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct ConvNet {
    input: NormConv,
    hidden: NormConv,
    output: NormConv,
    #[serde(with = "crate::store::part")]
    log_scale: Option<Param<Tensor<1>>>,
    activation: Activation,
    dropout: Dropout,
    context_scale: Option<ContextScale>,
    context: usize,
}
}

impl ConvNet {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        ContextScale::sound_for(&self.context_scale, "ConvNet", self.context)
    }
}

impl ConvNetConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("ConvNetConfig", "hidden", 1, self.hidden)?;
        fits("ConvNetConfig", "hidden", &[self.hidden, self.hidden])?;
        self.activation.validate_for(&[self.hidden])?;
        check_dropout("ConvNetConfig", "dropout", self.dropout)
    }

    /// [`validate`](Self::validate) for a network from `c_in` channels and a context to `c_out`.
    pub(crate) fn validate_between(&self, c_in: usize, c_out: usize, context: usize) -> Result<()> {
        self.validate()?;
        count("ConvNetConfig", "context", 0, context)?;
        fits("ConvNetConfig", "hidden", &[self.hidden, c_in.saturating_add(context), 3, 3])?;
        fits("ConvNetConfig", "hidden", &[c_out, self.hidden, 3, 3])
    }

    construct! {
        /// Builds a network from `c_in` channels and a context of width `context` (0: none) to `c_out`
        /// channels. The last layer starts at zero.
        seeded(c_in: usize, c_out: usize, context: usize, device: &Device) -> ConvNet, if validate_between(c_in, c_out, context)
    }

    fn build(&self, c_in: usize, c_out: usize, context: usize, device: &Device) -> ConvNet {
        let width = self.hidden;
        ConvNet {
            input: NormConv::new([c_in + context, width], 3, self.normalization, device),
            hidden: NormConv::new([width, width], 1, self.normalization, device),
            output: NormConv::zero([width, c_out], 3, device),
            log_scale: Some(Param::from_tensor(Tensor::zeros([c_out], device))),
            activation: self.activation.init(device),
            dropout: Dropout::checked(self.dropout),
            context_scale: ContextScale::new(context, device),
            context,
        }
    }
}

impl ConvNet {
    /// Builds a network from given layers, without the learned log-scale and without a context.
    #[cfg(feature = "interop")]
    pub(crate) fn from_layers(layers: [NormConv; 3], activation: Activation) -> Self {
        let [input, hidden, output] = layers;
        let dropout = Dropout::checked(0.0);
        Self {
            input,
            hidden,
            output,
            log_scale: None,
            activation,
            dropout,
            context_scale: None,
            context: 0,
        }
    }

    fn between(&self, h: Tensor<4>) -> Tensor<4> {
        self.dropout.forward(self.activation.of_channels(h))
    }
}

impl Conditioner<4> for ConvNet {
    fn forward(&self, kept: Tensor<4>, context: Option<&Tensor<2>>) -> Tensor<4> {
        check_context("ConvNet", self.context, context);
        let context = spread("ConvNet", kept.dims()[0], context);
        let context = ContextScale::seen(&self.context_scale, context.as_ref());
        let h = self.between(self.input.forward(join_context(kept, context.as_ref())));
        let h = self.between(self.hidden.forward(h));
        let out = self.output.forward(h);
        match &self.log_scale {
            Some(log_scale) => {
                let scale = (log_scale.val() * LOG_SCALE_FACTOR).exp();
                let channels = scale.dims()[0];
                out * scale.reshape([1, channels, 1, 1])
            }
            None => out,
        }
    }

    fn init_from_data(self, kept: Tensor<4>, context: Option<&Tensor<2>>) -> Self {
        let context = spread("ConvNet", kept.dims()[0], context);
        let context_scale =
            ContextScale::started(self.context_scale, context.as_ref(), &self.output.weight());
        let context = ContextScale::seen(&context_scale, context.as_ref());
        let (input, h) = self.input.init_from_data(join_context(kept, context.as_ref()));
        let activation = self.activation.valid();
        let (hidden, _) = self.hidden.init_from_data(activation.of_channels(h));
        Self { input, hidden, context_scale, ..self }
    }
}
