//! A convolution that keeps height and width, optionally normalized.
//!
//! plain     y = W * x + b
//! actnorm   y = (W * x) exp(s) + t          s, t per channel, started from a first batch
//! weight    y = (g W / |W|) * x + b         |W| per output channel
//!
//! Papers: Kingma, Dhariwal (2018), Glow, section 3.1, arXiv:1807.03039; Salimans, Kingma (2016),
//! Weight Normalization, equation 2, arXiv:1602.07868.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, PaddingConfig2d};
use burn::tensor::{Bool, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::initial;
use crate::kernel::conv_same;
use crate::math::channel_moments;
use crate::param::{flag, replaced};

/// The normalization of the hidden convolutions of an image network.
///
/// ```
/// use burn_flows::conditioner::{ConvNetConfig, Normalization};
///
/// let config = ConvNetConfig::new(16).with_normalization(Normalization::ActNorm);
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Normalization {
    /// No normalization.
    None,
    /// A scale and a shift per channel. A first batch initialises them so that its outputs have zero
    /// mean and unit variance.
    ActNorm,
    /// Weight normalization: the direction and the length of every filter are separate parameters.
    Weight,
}

/// A convolution of odd size, stride 1 and same padding, with its normalization.
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct NormConv {
    #[serde(with = "crate::store::part")]
    conv: Conv2d,
    norm: Option<Norm>,
}

crate::display::display!(NormConv);

#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
enum Norm {
    ActNorm(ChannelNorm),
    Weight(FilterLength),
}

crate::display::display!(Norm);

#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
struct ChannelNorm {
    #[serde(with = "crate::store::part")]
    log_scale: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    shift: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    initialized: Param<Tensor<1, Bool>>,
}

crate::display::display!(ChannelNorm);

#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
struct FilterLength {
    #[serde(with = "crate::store::part")]
    gain: Param<Tensor<1>>,
}

crate::display::display!(FilterLength);

/// The least square sum of a filter. The square root has no finite gradient at zero.
const FILTER_FLOOR: f64 = 1e-12;

impl NormConv {
    /// The weight of the convolution before normalization.
    pub(crate) fn weight(&self) -> Tensor<4> {
        self.conv.weight.val()
    }

    /// A convolution from `c_in` to `c_out` channels with a square kernel of odd size. Its weights are
    /// drawn at once.
    pub(crate) fn new(
        [c_in, c_out]: [usize; 2],
        size: usize,
        normalization: Normalization,
        device: &Device,
    ) -> Self {
        let actnorm = normalization == Normalization::ActNorm;
        let conv = conv([c_in, c_out], size, !actnorm, &initial::USUAL, device);
        let norm = match normalization {
            Normalization::None => None,
            Normalization::ActNorm => {
                let zeros = || Param::from_tensor(Tensor::zeros([c_out], device));
                let initialized = flag(false, device);
                let (log_scale, shift) = (zeros(), zeros());
                Some(Norm::ActNorm(ChannelNorm { log_scale, shift, initialized }))
            }
            Normalization::Weight => {
                let weight = conv.weight.val().without_autodiff();
                let gain = lengths(weight).reshape([c_out]);
                let gain = if device.is_autodiff() { gain.autodiff() } else { gain };
                Some(Norm::Weight(FilterLength { gain: Param::from_tensor(gain) }))
            }
        };
        Self { conv, norm }
    }

    /// A last layer with weights and bias of zero.
    pub(crate) fn zero([c_in, c_out]: [usize; 2], size: usize, device: &Device) -> Self {
        Self { conv: conv([c_in, c_out], size, true, &Initializer::Zeros, device), norm: None }
    }

    /// The layer with given weights `[c_out, c_in, size, size]`. `scale_shift` holds the log-scale and
    /// the shift of an initialised ActNorm.
    #[cfg(feature = "interop")]
    pub(crate) fn from_weights(
        weight: Tensor<4>,
        bias: Option<Tensor<1>>,
        scale_shift: Option<(Tensor<1>, Tensor<1>)>,
    ) -> Self {
        let [c_out, c_in, size, _] = weight.dims();
        let device = weight.device();
        let zeros = Initializer::Zeros;
        let mut conv = conv([c_in, c_out], size, bias.is_some(), &zeros, &device);
        conv.weight = Param::from_tensor(weight);
        conv.bias = bias.map(Param::from_tensor);
        let norm = scale_shift.map(|(log_scale, shift)| {
            let (log_scale, shift) = (Param::from_tensor(log_scale), Param::from_tensor(shift));
            Norm::ActNorm(ChannelNorm { log_scale, shift, initialized: flag(true, &device) })
        });
        Self { conv, norm }
    }

    /// The convolution of `x`.
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = self.conv.weight.val();
        let [c_out, ..] = weight.dims();
        let wide = |t: Tensor<1>| t.reshape([c_out, 1, 1, 1]);
        let bias = self.conv.bias.as_ref().map(Param::val);
        let (weight, bias) = match &self.norm {
            None => (weight, bias),
            Some(Norm::ActNorm(norm)) => {
                (weight * wide(norm.log_scale.val()).exp(), Some(norm.shift.val()))
            }
            Some(Norm::Weight(length)) => {
                let scale = wide(length.gain.val()) / lengths(weight.clone());
                (weight * scale, bias)
            }
        };
        let none = || Tensor::zeros([c_out], (&x.device(), x.dtype()));
        let bias = bias.unwrap_or_else(none);
        conv_same(x, weight, bias)
    }

    /// Initialises an ActNorm from a first batch of inputs. Returns the layer and its outputs for the
    /// batch.
    pub(crate) fn init_from_data(self, x: Tensor<4>) -> (Self, Tensor<4>) {
        let plain = self.conv.valid().forward(x.clone());
        let norm = match self.norm {
            Some(Norm::ActNorm(norm)) if norm.initialized.val().into_scalar::<u8>() == 0 => {
                let (mean, std) = channel_moments(plain);
                let device = norm.shift.lazy_device();
                Some(Norm::ActNorm(ChannelNorm {
                    shift: replaced(norm.shift, (mean / std.clone()).neg()),
                    log_scale: replaced(norm.log_scale, std.log().neg()),
                    initialized: norm.initialized.map(|_| flag(true, &device).val()),
                }))
            }
            norm => norm,
        };
        let layer = Self { conv: self.conv, norm };
        let out = layer.valid().forward(x);
        (layer, out)
    }
}

/// Euclidean lengths of the filters, `[c_out, 1, 1, 1]`.
fn lengths(weight: Tensor<4>) -> Tensor<4> {
    let [c_out, ..] = weight.dims();
    let squares = weight.square().reshape([c_out as i32, -1]).sum_dim(1);
    squares.clamp_min(FILTER_FLOOR).sqrt().reshape([c_out, 1, 1, 1])
}

/// A convolution with same padding. Its weights are drawn at once from `initializer`.
fn conv(
    channels: [usize; 2],
    size: usize,
    bias: bool,
    initializer: &Initializer,
    device: &Device,
) -> Conv2d {
    let config = Conv2dConfig::new(channels, [size, size]).with_padding(PaddingConfig2d::Same);
    let config = config.with_bias(bias).with_initializer(Initializer::Zeros);
    let zeros = config.init(device);
    let fans = channels.map(|channels| channels * size * size);
    let weight = initial::drawn(zeros.weight, initializer, fans);
    let bias = zeros.bias.map(|bias| initial::drawn(bias, initializer, fans));
    Conv2d { weight, bias, ..zeros }
}
