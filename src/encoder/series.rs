//! Encoder of series.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Encoder, dense, renamed, sound_network};
use crate::conditioner::{
    Activation, ActivationConfig, Conditioner, ContextScale, Dropout, Mlp, check_context, linear,
};
use crate::config::{construct, seeded_config};
use crate::error::{Error, Result, count, fits, repeats};

seeded_config! {
/// Configuration of a [`SeriesEncoder`].
///
/// ```
/// use burn_flows::encoder::SeriesEncoderConfig;
///
/// // 200 steps of two channels, summarised by 8 features.
/// let config = SeriesEncoderConfig::new(2, 200, 8);
/// assert!(config.validate().is_ok());
/// let error = config.with_kernel(4).validate().unwrap_err().to_string();
/// assert_eq!(error, "SeriesEncoderConfig.kernel: must be odd, found 4");
/// ```
pub struct SeriesEncoderConfig {
    /// Number of values at a step.
    pub channels: usize,
    /// Number of steps.
    pub steps: usize,
    /// Number of features, the width of the context of the density.
    pub features: usize,
    /// Numbers of channels of the convolutions. Every convolution divides the number of steps by `stride`.
    #[config(default = vec![16, 32])]
    pub convolutions: Vec<usize>,
    /// Number of steps that a convolution sees at once, odd.
    #[config(default = 5)]
    pub kernel: usize,
    /// Number of steps from one output of a convolution to the next, at most `kernel`. Raise it for long series: the
    /// dense network gets the outputs of the last convolution at all its steps.
    #[config(default = 2)]
    pub stride: usize,
    /// Widths of the hidden layers of the dense network after the convolutions.
    #[config(default = vec![64])]
    pub hidden: Vec<usize>,
    /// The activation between layers.
    #[config(default = ActivationConfig::Silu)]
    pub activation: ActivationConfig,
    /// Probability that a hidden unit is dropped in training. Raise it against overfitting.
    #[config(default = 0.0)]
    pub dropout: f64,
}
}

crate::store::checked! {
/// Features of a series: convolutions over the steps, then a dense network.
///
/// ```text
/// h_0 = c * 2^e - s                               e, s per channel, set from a first batch
/// h_k[o, t] = act(b[o] + sum over i, j of W[o, i, j] h_(k-1)[i, stride * t + j - (kernel - 1) / 2])
/// out = mlp(h_n at all steps)
/// ```
///
/// Outside the series, `h` is 0. Paper: Waibel, Hanazawa, Hinton, Shikano, Lang (1989), Phoneme recognition using
/// time-delay neural networks, section II, IEEE Transactions on Acoustics, Speech, and Signal Processing 37.
///
/// # Shapes
///
/// - context `[rows, channels * steps]`: all steps of the first channel, then those of the second
/// - output `[rows, features]`
///
/// # Numerics
///
/// The first batch of [`init_from_data`](Encoder::init_from_data) sets a shift and a scale per channel, from all steps
/// of all rows. Later calls change nothing. A convolution is a dense layer over windows of the series, so on `flex` a
/// row has the same bits alone and in a batch.
///
/// # Panics
///
/// If the context has another width than the encoder was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::encoder::{Encoder, SeriesEncoderConfig};
///
/// let device = Device::flex();
/// let encoder = SeriesEncoderConfig::new(2, 30, 4).with_seed(1).init(&device);
/// let series = Tensor::<3>::ones([5, 2, 30], &device);
/// assert_eq!(encoder.encode(series.flatten(1, 2)).dims(), [5, 4]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct SeriesEncoder {
    scale: Option<ContextScale>,
    #[serde(with = "crate::store::part")]
    convolutions: Vec<Linear>,
    dense: Mlp,
    activation: Activation,
    dropout: Dropout,
    channels: usize,
    steps: usize,
    kernel: usize,
    stride: usize,
}
}

impl SeriesEncoder {
    /// Returns an error if the fields read from a file do not form a valid encoder.
    fn sound(&self) -> Result<()> {
        const NAME: &str = "SeriesEncoder";
        check_window(NAME, self.kernel, self.stride)?;
        count(NAME, "channels", 1, self.channels)?;
        count(NAME, "steps", 1, self.steps)?;
        ContextScale::sound_for(&self.scale, NAME, self.channels)?;
        let (mut channels, mut steps) = (self.channels, self.steps);
        for layer in &self.convolutions {
            let [window, next] = layer.weight.dims();
            crate::store::require(NAME, "convolutions", window == self.kernel * channels, || {
                format!("must see {} values, found {window}", self.kernel * channels)
            })?;
            (channels, steps) = (next, steps.div_ceil(self.stride));
        }
        sound_network(NAME, "dense", &self.dense, channels * steps)
    }

    /// The channels of every step of all rows, `[rows * steps, channels]`.
    fn steps_of(&self, context: Tensor<2>) -> Tensor<2> {
        let [channels, steps] = [self.channels, self.steps];
        check_context("SeriesEncoder", channels * steps, Some(&context));
        let rows = context.dims()[0];
        context.reshape([rows, channels, steps]).swap_dims(1, 2).reshape([rows * steps, channels])
    }

    /// The windows that the outputs of a convolution of `[rows, steps, channels]` see,
    /// `[rows * outputs, kernel * channels]`, and the number of outputs of a row.
    fn windows(&self, h: Tensor<3>) -> (Tensor<2>, usize) {
        let [rows, steps, channels] = h.dims();
        let outputs = steps.div_ceil(self.stride);
        let zeros = |steps| Tensor::zeros([rows, steps, channels], (&h.device(), h.dtype()));
        let before = self.kernel / 2;
        let after = self.kernel - 1 - before + outputs * self.stride - steps;
        let mut parts = vec![h.clone()];
        if before > 0 {
            parts.insert(0, zeros(before));
        }
        if after > 0 {
            parts.push(zeros(after));
        }
        let padded = Tensor::cat(parts, 1);
        let of_offset = |offset| {
            let shifted = padded.clone().narrow(1, offset, outputs * self.stride);
            shifted.reshape([rows, outputs, self.stride, channels]).narrow(2, 0, 1)
        };
        let windows = Tensor::cat((0..self.kernel).map(of_offset).collect(), 2);
        (windows.reshape([rows * outputs, self.kernel * channels]), outputs)
    }
}

/// Returns an error unless a window is odd and reaches the next one.
fn check_window(config: &'static str, kernel: usize, stride: usize) -> Result<()> {
    count(config, "kernel", 1, kernel)?;
    if kernel.is_multiple_of(2) {
        return Err(Error::config(config, "kernel", format!("must be odd, found {kernel}")));
    }
    count(config, "stride", 1, stride)?;
    if stride > kernel {
        let reason =
            format!("must be at most kernel ({kernel}), or steps are skipped, found {stride}");
        return Err(Error::config(config, "stride", reason));
    }
    Ok(())
}

impl SeriesEncoderConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "SeriesEncoderConfig";
        count(NAME, "channels", 1, self.channels)?;
        count(NAME, "steps", 1, self.steps)?;
        count(NAME, "features", 1, self.features)?;
        repeats(NAME, "convolutions", 1, self.convolutions.len())?;
        check_window(NAME, self.kernel, self.stride)?;
        let (mut channels, mut steps) = (self.channels, self.steps);
        for &next in &self.convolutions {
            count(NAME, "convolutions", 1, next)?;
            // The input with its padding, the windows of one row, and the weight.
            steps = steps.div_ceil(self.stride);
            fits(NAME, "stride", &[channels, steps * self.stride + self.kernel])?;
            fits(NAME, "kernel", &[steps, channels, self.kernel])?;
            fits(NAME, "convolutions", &[channels, self.kernel, next])?;
            channels = next;
        }
        self.activation.validate_for(&self.convolutions)?;
        fits(NAME, "convolutions", &[channels, steps])?;
        let dense = dense(&self.hidden, &self.activation, self.dropout);
        renamed(dense.validate_between(channels * steps, self.features, 0), NAME, "hidden")
    }

    construct! {
        /// Builds the encoder.
        seeded(device: &Device) -> SeriesEncoder
    }

    fn build(&self, device: &Device) -> SeriesEncoder {
        let (mut channels, mut steps) = (self.channels, self.steps);
        let convolutions = self.convolutions.iter().map(|&next| {
            let layer = linear(self.kernel * channels, next, false, device);
            (channels, steps) = (next, steps.div_ceil(self.stride));
            layer
        });
        let convolutions = convolutions.collect();
        let dense = dense(&self.hidden, &self.activation, self.dropout);
        SeriesEncoder {
            scale: ContextScale::new(self.channels, device),
            convolutions,
            dense: dense.init(channels * steps, self.features, 0, device),
            activation: self.activation.init(device),
            dropout: Dropout::checked(self.dropout),
            channels: self.channels,
            steps: self.steps,
            kernel: self.kernel,
            stride: self.stride,
        }
    }
}

impl Encoder for SeriesEncoder {
    fn encode(&self, context: Tensor<2>) -> Tensor<2> {
        let rows = context.dims()[0];
        let steps = self.steps_of(context);
        let mut h = ContextScale::seen(&self.scale, Some(&steps)).unwrap_or(steps);
        let mut steps = self.steps;
        for layer in &self.convolutions {
            let channels = h.dims()[1];
            let (windows, outputs) = self.windows(h.reshape([rows, steps, channels]));
            h = self.dropout.forward(self.activation.after(layer, windows));
            steps = outputs;
        }
        let channels = h.dims()[1];
        self.dense.forward(h.reshape([rows, steps * channels]), None)
    }

    fn init_from_data(self, context: Tensor<2>) -> Self {
        let steps = self.steps_of(context);
        Self { scale: self.scale.map(|scale| scale.init_from_data(&steps)), ..self }
    }

    fn mixes_rows(&self) -> bool {
        false
    }
}
