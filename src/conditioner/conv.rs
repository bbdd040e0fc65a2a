//! Convolutional network of an image coupling: 3x3, 1x1, 3x3.
//!
//! Paper: Kingma, Dhariwal (2018), Glow: Generative Flow with Invertible 1x1 Convolutions,
//! appendix B, arXiv:1807.03039.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

use super::{Activation, ActivationConfig, Conditioner, check_context};
use crate::error::{Result, at_least, expect_valid};

/// Configuration of a [`ConvNet`].
///
/// ```
/// use burn_flows::conditioner::ConvNetConfig;
///
/// assert!(ConvNetConfig::new(64).validate().is_ok());
/// assert!(ConvNetConfig::new(0).validate().is_err());
/// ```
#[derive(Config, Debug)]
pub struct ConvNetConfig {
    /// Channels of the two hidden layers.
    pub hidden: usize,
    /// The activation between layers.
    #[config(default = "ActivationConfig::Relu")]
    pub activation: ActivationConfig,
}

/// Three convolutions that keep height and width; a context joins as constant channels.
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
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::conditioner::{Conditioner, ConvNetConfig};
///
/// let device = Device::flex();
/// let net = ConvNetConfig::new(8).init(2, 4, 0, &device);
/// assert_eq!(net.forward(Tensor::ones([3, 2, 4, 4], &device), None).dims(), [3, 4, 4, 4]);
/// ```
#[derive(Module, Debug)]
pub struct ConvNet {
    input: Conv2d,
    hidden: Conv2d,
    output: Conv2d,
    activation: Activation,
    context: usize,
}

/// Draws the weights now rather than at first use (see `mlp::linear`).
fn drawn(conv: Conv2d) -> Conv2d {
    conv.weight.val();
    conv.bias.as_ref().map(Param::val);
    conv
}

impl ConvNetConfig {
    /// Says which field cannot be, and why.
    pub fn validate(&self) -> Result<()> {
        at_least("ConvNetConfig", "hidden", 1, self.hidden)
    }

    /// A network from `c_in` channels and a context of width `context` (0: none) to `c_out`. Its
    /// last layer starts at zero.
    ///
    /// # Panics
    ///
    /// With the text of [`validate`](Self::validate).
    pub fn init(&self, c_in: usize, c_out: usize, context: usize, device: &Device) -> ConvNet {
        expect_valid(self.validate());
        let conv = |from: usize, to: usize, size: usize| {
            Conv2dConfig::new([from, to], [size, size]).with_padding(PaddingConfig2d::Same)
        };
        let zero = conv(self.hidden, c_out, 3).with_initializer(Initializer::Zeros);
        ConvNet {
            input: drawn(conv(c_in + context, self.hidden, 3).init(device)),
            hidden: drawn(conv(self.hidden, self.hidden, 1).init(device)),
            output: drawn(zero.init(device)),
            activation: self.activation.init(device),
            context,
        }
    }
}

impl Conditioner<4> for ConvNet {
    fn forward(&self, kept: Tensor<4>, context: Option<&Tensor<2>>) -> Tensor<4> {
        check_context("ConvNet", self.context, context);
        let [batch, _, height, width] = kept.dims();
        let joined = match context {
            Some(c) => {
                let planes = c.clone().reshape([batch, self.context, 1, 1]);
                Tensor::cat(vec![kept, planes.expand([batch, self.context, height, width])], 1)
            }
            None => kept,
        };
        let h = self.activation.forward(self.input.forward(joined));
        let h = self.activation.forward(self.hidden.forward(h));
        self.output.forward(h)
    }
}
