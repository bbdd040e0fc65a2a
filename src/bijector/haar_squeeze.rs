//! Haar squeeze: maps blocks of 2x2 pixels to their average and three details.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::squeeze::quarter;
use super::{Bijector, Recovery, SqueezeOrder};
use crate::math::zeros_batch;

/// Maps `[batch, C, height, width]` to `[batch, 4 C, height / 2, width / 2]` by the Haar wavelet. It replaces the plain
/// [`Squeeze`](super::Squeeze).
///
/// ```text
/// forward   z[(c, i, j), y, x] = 1/2 sum over k, l of (-1)^(i k + j l) x[c, 2 y + k, 2 x + l]
///                                                              i, j, k, l in {0, 1}
/// log-det   0
/// inverse   the same sum over i, j: the matrix is symmetric and orthogonal
/// ```
///
/// Papers: Haar (1910), Zur Theorie der orthogonalen Funktionensysteme, Mathematische Annalen 69;
/// Ardizzone, Lüth, Kruse, Rother, Köthe (2019), Guided Image Generation with Conditional
/// Invertible Neural Networks, on Haar wavelet downsampling, arXiv:1907.02392.
///
/// A block of pixels `a b` over `c d` becomes, at the positions `2 i + j` of the [`SqueezeOrder`],
///
/// ```text
/// 0   (a + b + c + d) / 2     twice the average
/// 1   (a - b + c - d) / 2     left minus right
/// 2   (a + b - c - d) / 2     top minus bottom
/// 3   (a - b - c + d) / 2     one diagonal minus the other
/// ```
///
/// In [`SqueezeOrder::PixelMajor`] the averages of all channels come first. They form a small version of the image, and
/// a coupling of halves, or a split of a level, keeps them together.
///
/// # Shapes
///
/// - data: `[batch, channels, height, width]`
/// - latent: `[batch, 4 channels, height / 2, width / 2]`
///
/// # Numerics
///
/// The map preserves lengths and therefore variances, and the log-determinant is exactly 0. A round trip is correct up
/// to rounding, not bit for bit.
///
/// # Panics
///
/// If height or width is odd. In the inverse, if the number of channels is not divisible by 4.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, HaarSqueeze};
///
/// let x = Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 4.0]]]], &Device::flex());
/// let (z, _) = HaarSqueeze::default().forward(x, None);
/// assert_eq!(z.dims(), [1, 4, 1, 1]);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [5.0, -1.0, -2.0, 0.0]);
/// ```
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[module(custom_display)]
pub struct HaarSqueeze {
    #[module(skip)]
    order: SqueezeOrder,
}

crate::display::display!(HaarSqueeze);

impl HaarSqueeze {
    /// Builds the Haar squeeze with the given order of channels.
    pub fn new(order: SqueezeOrder) -> Self {
        Self { order }
    }

    /// The Haar transform of squeezed blocks. It is its own inverse.
    fn transform(&self, blocks: Tensor<4>) -> Tensor<4> {
        let dims @ [batch, _, h, w] = blocks.dims();
        let channels = quarter("HaarSqueeze", &blocks);
        let (outer, inner) = match self.order {
            SqueezeOrder::ChannelMajor => (batch * channels, h * w),
            SqueezeOrder::PixelMajor => (batch, channels * h * w),
        };
        let pixels = blocks.reshape([outer, 4, inner]) * 0.5;
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| pixels.clone().narrow(1, k, 1));
        let (top, bottom) = (a.clone() + b.clone(), c.clone() + d.clone());
        let (top_detail, bottom_detail) = (a - b, c - d);
        let parts = vec![
            top.clone() + bottom.clone(),
            top_detail.clone() + bottom_detail.clone(),
            top - bottom,
            top_detail - bottom_detail,
        ];
        Tensor::cat(parts, 1).reshape(dims)
    }
}

impl Bijector<4> for HaarSqueeze {
    fn forward(&self, x: Tensor<4>, _context: Option<&Tensor<2>>) -> (Tensor<4>, Tensor<1>) {
        let log_det = zeros_batch(&x);
        (self.transform(self.order.squeeze("HaarSqueeze", x)), log_det)
    }

    fn inverse(&self, z: Tensor<4>, _context: Option<&Tensor<2>>) -> Tensor<4> {
        self.order.unsqueeze("HaarSqueeze", self.transform(z))
    }

    fn recovery(&self) -> Recovery {
        Recovery::Inverse
    }
}
