//! Invertible 1x1 convolution: one matrix mixes the channels of every pixel.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    DenseMatrix, InvertibleMatrix, LinearMap, LuFactors, QrFactors, Reflections, SvdFactors,
};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits};
use crate::initial;
use crate::noise::Noise;

/// How the matrix of an [`InvertibleConv1x1`] is parameterised. All parameterisations start as a random rotation.
///
/// ```
/// use burn_flows::bijector::{Conv1x1Matrix, InvertibleConv1x1Config};
///
/// let config = InvertibleConv1x1Config::new(12).with_parameterisation(Conv1x1Matrix::Qr);
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Conv1x1Matrix {
    /// A plain matrix: each entry is a weight. The cost of the log-determinant grows with the third power of the
    /// channels.
    Plain,
    /// LU factors and a fixed permutation. Each entry of the diagonal keeps its sign.
    Lu,
    /// A product of as many reflections as channels: an orthogonal matrix, which preserves volumes.
    Householder,
    /// A product of as many reflections as channels, times an upper triangular matrix.
    Qr,
    /// Singular values of at least 1e-3, with as many reflections as channels on both sides.
    Svd,
}

seeded_config! {
/// Configuration of an [`InvertibleConv1x1`].
///
/// ```
/// use burn_flows::bijector::InvertibleConv1x1Config;
///
/// assert!(InvertibleConv1x1Config::new(12).validate().is_ok());
/// assert!(InvertibleConv1x1Config::new(0).validate().is_err());
/// ```
pub struct InvertibleConv1x1Config {
    /// Number of channels of an image.
    pub channels: usize,
    /// How the matrix is parameterised. The default, [`Conv1x1Matrix::Lu`], has a cheap log-determinant. Choose
    /// [`Conv1x1Matrix::Householder`] for a layer that preserves volumes.
    #[config(default = Conv1x1Matrix::Lu)]
    pub parameterisation: Conv1x1Matrix,
}
}

/// The matrix of an [`InvertibleConv1x1`].
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{ChannelMatrix, DenseMatrix, InvertibleConv1x1, InvertibleMatrix};
///
/// let device = Device::flex();
/// let weight = Tensor::from_data([[0.0, 1.0], [2.0, 0.0]], &device);
/// let layer = InvertibleConv1x1::new(ChannelMatrix::Plain(DenseMatrix::from_weights(weight)?));
/// assert_eq!(layer.matrix().size(), 2);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
#[allow(clippy::large_enum_variant, reason = "burn has no Module for Box")]
#[non_exhaustive]
pub enum ChannelMatrix {
    /// A plain matrix: each entry is a weight.
    Plain(DenseMatrix),
    /// LU factors.
    Lu(LuFactors),
    /// A product of reflections.
    Householder(Reflections),
    /// A product of reflections, times an upper triangular matrix.
    Qr(QrFactors),
    /// Singular values between two products of reflections.
    Svd(SvdFactors),
}

crate::display::display!(ChannelMatrix);

/// Matches on the matrix inside.
macro_rules! each {
    ($self:expr, $matrix:ident => $body:expr) => {
        match $self {
            ChannelMatrix::Plain($matrix) => $body,
            ChannelMatrix::Lu($matrix) => $body,
            ChannelMatrix::Householder($matrix) => $body,
            ChannelMatrix::Qr($matrix) => $body,
            ChannelMatrix::Svd($matrix) => $body,
        }
    };
}

impl InvertibleMatrix for ChannelMatrix {
    const LAYER: &'static str = "InvertibleConv1x1";

    fn size(&self) -> usize {
        each!(self, matrix => matrix.size())
    }

    fn matrix(&self) -> Tensor<2> {
        each!(self, matrix => matrix.matrix())
    }

    fn inverse_matrix(&self) -> Tensor<2> {
        each!(self, matrix => matrix.inverse_matrix())
    }

    fn log_abs_det(&self) -> Tensor<1> {
        each!(self, matrix => matrix.log_abs_det())
    }
}

/// A learned matrix over the channels. The initial matrix is a random rotation. The layer has no bias unless
/// [`with_bias`](LinearMap::with_bias) adds one.
///
/// ```text
/// forward   z = W x + b, per pixel
/// log-det   (height * width) * ln |det W|
/// inverse   x = W^-1 (z - b)
/// ```
///
/// The matrix is one of
///
/// ```text
/// plain         W                                            ln |det W| by an elimination
/// LU            L U P, P a fixed permutation                 sum of ln |U_ii|
/// Householder   H_K .. H_1, a product of reflections         0
/// QR            Q R, Q a product of reflections              sum of ln R_ii
/// SVD           U S V, U and V products of reflections       sum of ln S_ii
/// ```
///
/// Papers: Kingma, Dhariwal (2018), Glow, section 3.2, equations 9 to 11, arXiv:1807.03039;
/// Hoogeboom, van den Berg, Welling (2019), Emerging Convolutions for Generative Normalizing Flows,
/// arXiv:1901.11137.
/// Same numbers as nflows 0.14 `OneByOneConvolution`, normflows 1.7 `Invertible1x1Conv`.
///
/// # Shapes
///
/// - input and output: `[batch, channels, height, width]`
///
/// # Numerics
///
/// For factors, the log-determinant is a sum of logarithms, and the inverse is formed from the inverse factors. A plain
/// matrix is factored at every call: see [`DenseMatrix`]. The inverse matrix is formed once per call.
///
/// # Panics
///
/// If the number of channels of the event differs from the number that the layer was built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, InvertibleConv1x1Config};
///
/// let device = Device::flex();
/// let layer = InvertibleConv1x1Config::new(3).init(&device);
/// let x = Tensor::<4>::from_data([[[[1.0]], [[-2.0]], [[0.5]]]], &device);
/// let (z, log_det) = layer.forward(x.clone(), None);
/// assert!(log_det.into_scalar::<f32>().abs() < 1e-5); // a rotation
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
pub type InvertibleConv1x1 = LinearMap<ChannelMatrix>;

impl InvertibleConv1x1Config {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("InvertibleConv1x1Config", "channels", 1, self.channels)?;
        fits("InvertibleConv1x1Config", "channels", &[self.channels, self.channels])
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> InvertibleConv1x1
    }

    fn build(&self, device: &Device) -> InvertibleConv1x1 {
        let (size, seed) = (self.channels, initial::seed(self.seed, device));
        LinearMap::new(match self.parameterisation {
            Conv1x1Matrix::Plain => ChannelMatrix::Plain(DenseMatrix::rotation(size, seed, device)),
            Conv1x1Matrix::Lu => ChannelMatrix::Lu(LuFactors::rotation(size, seed, device)),
            Conv1x1Matrix::Householder => {
                let mut noise = Noise::seeded(seed);
                ChannelMatrix::Householder(Reflections::random(size, size, &mut noise, device))
            }
            Conv1x1Matrix::Qr => ChannelMatrix::Qr(QrFactors::random(size, size, seed, device)),
            Conv1x1Matrix::Svd => ChannelMatrix::Svd(SvdFactors::random(size, size, seed, device)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bijector::Bijector;
    use crate::initial::rotation;

    #[test]
    fn plain_and_lu_start_as_the_same_rotation() {
        let device = Device::flex();
        for (size, kind) in (1..8).flat_map(|n| [(n, Conv1x1Matrix::Plain), (n, Conv1x1Matrix::Lu)])
        {
            let wanted = rotation(size, 3);
            let config = InvertibleConv1x1Config::new(size).with_parameterisation(kind);
            let layer = config.with_seed(3).init(&device);
            let eye = Tensor::<2>::eye(size, &device).reshape([size, size, 1, 1]);
            let (columns, _) = layer.forward(eye, None);
            let found: Vec<f64> = columns.into_data().iter::<f64>().collect();
            for (row, column) in (0..size * size).map(|i| (i / size, i % size)) {
                // Event `column` is the image of the unit vector `column`.
                assert!((found[column * size + row] - wanted[row][column]).abs() < 1e-5);
            }
        }
    }
}
