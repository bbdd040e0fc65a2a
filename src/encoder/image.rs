//! Encoder of images.

use burn::module::Module;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Encoder, dense, renamed, sound_network};
use crate::conditioner::{
    Activation, ActivationConfig, Conditioner, ContextScale, Dropout, Mlp, NormConv, Normalization,
    check_context,
};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits, repeats};

seeded_config! {
/// Configuration of an [`ImageEncoder`].
///
/// ```
/// use burn_flows::encoder::ImageEncoderConfig;
///
/// // Images of one channel and 32 x 32 pixels, summarised by 8 features.
/// assert!(ImageEncoderConfig::new([1, 32, 32], 8).validate().is_ok());
/// assert!(ImageEncoderConfig::new([1, 0, 32], 8).validate().is_err());
/// ```
pub struct ImageEncoderConfig {
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// Number of features, the width of the context of the density.
    pub features: usize,
    /// Numbers of channels of the convolutions. Every convolution halves height and width.
    #[config(default = vec![16, 32])]
    pub convolutions: Vec<usize>,
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
/// Features of an image: 3x3 convolutions with pooling, then a dense network.
///
/// ```text
/// h_0 = c * 2^e - s                               e, s per channel, set from a first batch
/// h_k = mean over 2x2 pixels of act(W_k * h_(k-1) + b_k)
/// out = mlp(all pixels of h_n)
/// ```
///
/// Outside the image, `h` is 0. At an odd height or width, the last mean is over the pixels that are left.
///
/// Paper: LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document recognition, section II,
/// Proceedings of the IEEE 86.
///
/// # Shapes
///
/// - context `[rows, channels * height * width]`, an image `[channels, height, width]` in row-major order
/// - output `[rows, features]`
///
/// # Numerics
///
/// The first batch of [`init_from_data`](Encoder::init_from_data) sets a shift and a scale per channel, from all pixels
/// of all rows. Later calls change nothing. On `flex`, a row has the same bits alone and in a batch.
///
/// # Panics
///
/// If the context has another width than the encoder was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::encoder::{Encoder, ImageEncoderConfig};
///
/// let device = Device::flex();
/// let encoder = ImageEncoderConfig::new([1, 8, 8], 4).with_seed(1).init(&device);
/// let images = Tensor::<4>::ones([5, 1, 8, 8], &device);
/// assert_eq!(encoder.encode(images.flatten(1, 3)).dims(), [5, 4]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct ImageEncoder {
    scale: Option<ContextScale>,
    convolutions: Vec<NormConv>,
    dense: Mlp,
    activation: Activation,
    dropout: Dropout,
    image: [usize; 3],
}
}

/// The shape of an image after a convolution to this number of channels and its pooling.
fn next([_, height, width]: [usize; 3], channels: usize) -> [usize; 3] {
    [channels, height.div_ceil(2), width.div_ceil(2)]
}

impl ImageEncoder {
    /// Returns an error if the fields read from a file do not form a valid encoder.
    fn sound(&self) -> Result<()> {
        const NAME: &str = "ImageEncoder";
        for side in self.image {
            count(NAME, "image", 1, side)?;
        }
        fits(NAME, "image", &self.image)?;
        ContextScale::sound_for(&self.scale, NAME, self.image[0])?;
        let mut shape = self.image;
        for layer in &self.convolutions {
            let [to, from, ..] = layer.weight().dims();
            crate::store::require(NAME, "convolutions", from == shape[0], || {
                format!("must see {} channels, found {from}", shape[0])
            })?;
            shape = next(shape, to);
        }
        sound_network(NAME, "dense", &self.dense, shape.iter().product())
    }

    /// The channels of every pixel of all rows, `[rows * height * width, channels]`.
    fn pixels_of(&self, context: Tensor<2>) -> Tensor<2> {
        let [channels, height, width] = self.image;
        check_context("ImageEncoder", channels * height * width, Some(&context));
        let rows = context.dims()[0];
        let image = context.reshape([rows, channels, height * width]);
        image.swap_dims(1, 2).reshape([rows * height * width, channels])
    }
}

impl ImageEncoderConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        const NAME: &str = "ImageEncoderConfig";
        for side in self.image {
            count(NAME, "image", 1, side)?;
        }
        fits(NAME, "image", &self.image)?;
        count(NAME, "features", 1, self.features)?;
        repeats(NAME, "convolutions", 1, self.convolutions.len())?;
        let mut shape = self.image;
        for &channels in &self.convolutions {
            count(NAME, "convolutions", 1, channels)?;
            fits(NAME, "convolutions", &[channels, shape[0], 3, 3])?;
            fits(NAME, "convolutions", &[channels, shape[1], shape[2]])?;
            shape = next(shape, channels);
        }
        self.activation.validate_for(&self.convolutions)?;
        let dense = dense(&self.hidden, &self.activation, self.dropout);
        let flat = shape.iter().product();
        renamed(dense.validate_between(flat, self.features, 0), NAME, "hidden")
    }

    construct! {
        /// Builds the encoder.
        seeded(device: &Device) -> ImageEncoder
    }

    fn build(&self, device: &Device) -> ImageEncoder {
        let mut shape = self.image;
        let convolutions = self.convolutions.iter().map(|&channels| {
            let layer = NormConv::new([shape[0], channels], 3, Normalization::None, device);
            shape = next(shape, channels);
            layer
        });
        let convolutions = convolutions.collect();
        let dense = dense(&self.hidden, &self.activation, self.dropout);
        ImageEncoder {
            scale: ContextScale::new(self.image[0], device),
            convolutions,
            dense: dense.init(shape.iter().product(), self.features, 0, device),
            activation: self.activation.init(device),
            dropout: Dropout::checked(self.dropout),
            image: self.image,
        }
    }
}

impl Encoder for ImageEncoder {
    fn encode(&self, context: Tensor<2>) -> Tensor<2> {
        let ([channels, height, width], rows) = (self.image, context.dims()[0]);
        let pixels = self.pixels_of(context);
        let pixels = ContextScale::seen(&self.scale, Some(&pixels)).unwrap_or(pixels);
        let image = pixels.reshape([rows, height * width, channels]).swap_dims(1, 2);
        let image = image.reshape([rows, channels, height, width]);
        let halves = AvgPoolOptions::new([2, 2]).with_count_include_pad(false).with_ceil_mode(true);
        let h = self.convolutions.iter().fold(image, |h, layer| {
            let h = self.activation.of_channels(layer.forward(h));
            self.dropout.forward(avg_pool2d(h, halves.clone()))
        });
        self.dense.forward(h.flatten(1, 3), None)
    }

    fn init_from_data(self, context: Tensor<2>) -> Self {
        let pixels = self.pixels_of(context);
        Self { scale: self.scale.map(|scale| scale.init_from_data(&pixels)), ..self }
    }

    fn mixes_rows(&self) -> bool {
        false
    }
}
