//! Squeeze: moves blocks of 2x2 pixels into channels.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Bijector, Recovery};
use crate::math::zeros_batch;
use crate::rows::callers_dims;

/// The order of squeezed channels: where the pixel `(i, j)` of a block in channel `c` of `C` goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SqueezeOrder {
    /// To channel `4 c + 2 i + j`: the four pixels of a channel stay together. The order of nflows, normflows and Glow.
    #[default]
    ChannelMajor,
    /// To channel `(2 i + j) C + c`: the channels of a pixel stay together. The order of FrEIA.
    PixelMajor,
}

/// Maps `[batch, C, height, width]` to `[batch, 4 C, height / 2, width / 2]`.
///
/// ```text
/// forward   z[(c, i, j), y, x] = x[c, 2 y + i, 2 x + j]        i, j in {0, 1}
/// log-det   0
/// inverse   the same, read the other way
/// ```
///
/// Paper: Dinh, Sohl-Dickstein, Bengio (2017), Real NVP, section 3.6, arXiv:1605.08803.
/// Same numbers as nflows 0.14 `SqueezeTransform`, normflows 1.7 `Squeeze` (there the inverse).
///
/// # Shapes
///
/// - data: `[batch, channels, height, width]`
/// - latent: `[batch, 4 channels, height / 2, width / 2]`
///
/// # Panics
///
/// If height or width is odd. In the inverse, if the number of channels is not divisible by 4.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Squeeze};
///
/// let x = Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 4.0]]]], &Device::flex());
/// let (z, _) = Squeeze::default().forward(x, None);
/// assert_eq!(z.dims(), [1, 4, 1, 1]);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
/// ```
#[derive(Module, Debug, Default, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Squeeze {
    #[module(skip)]
    order: SqueezeOrder,
}

crate::display::display!(Squeeze);

impl Squeeze {
    /// Builds the squeeze with the given order of channels.
    pub fn new(order: SqueezeOrder) -> Self {
        Self { order }
    }
}

impl Bijector<4> for Squeeze {
    fn forward(&self, x: Tensor<4>, _context: Option<&Tensor<2>>) -> (Tensor<4>, Tensor<1>) {
        let log_det = zeros_batch(&x);
        (self.order.squeeze("Squeeze", x), log_det)
    }

    fn inverse(&self, z: Tensor<4>, _context: Option<&Tensor<2>>) -> Tensor<4> {
        self.order.unsqueeze("Squeeze", z)
    }

    fn recovery(&self) -> Recovery {
        Recovery::Inverse
    }
}

impl SqueezeOrder {
    /// Moves pixels into channels. Error messages name `layer`.
    pub(super) fn squeeze(self, layer: &str, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        assert!(
            height.is_multiple_of(2) && width.is_multiple_of(2),
            "{layer}: expected an even height and width, found shape {:?}",
            callers_dims(&x)
        );
        let (h, w) = (height / 2, width / 2);
        let blocks = x.reshape([batch, channels, h, 2, w, 2]);
        let blocks = match self {
            Self::ChannelMajor => blocks.permute([0, 1, 3, 5, 2, 4]),
            Self::PixelMajor => blocks.permute([0, 3, 5, 1, 2, 4]),
        };
        blocks.reshape([batch, 4 * channels, h, w])
    }

    /// Moves channels back into pixels. Error messages name `layer`.
    pub(super) fn unsqueeze(self, layer: &str, z: Tensor<4>) -> Tensor<4> {
        let [batch, _, h, w] = z.dims();
        let c = quarter(layer, &z);
        let blocks = match self {
            Self::ChannelMajor => z.reshape([batch, c, 2, 2, h, w]).permute([0, 1, 4, 2, 5, 3]),
            Self::PixelMajor => z.reshape([batch, 2, 2, c, h, w]).permute([0, 3, 4, 1, 5, 2]),
        };
        blocks.reshape([batch, c, 2 * h, 2 * w])
    }
}

/// The number of channels before the squeeze.
pub(super) fn quarter(layer: &str, z: &Tensor<4>) -> usize {
    let [_, channels, ..] = z.dims();
    assert!(
        channels.is_multiple_of(4),
        "{layer}: expected channels divisible by 4, found shape {:?}",
        callers_dims(z)
    );
    channels / 4
}
