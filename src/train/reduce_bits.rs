//! Fewer bits per colour: Glow's reduction of 8-bit images.

use burn::tensor::Tensor;

use super::Dequantize;
use crate::error::{Error, Result};

/// Bits of the integers before the reduction.
const SOURCE_BITS: usize = 8;

/// Keeps the highest bits of 8-bit integers `0..256`.
///
/// ```text
/// y = floor(x / 2^(8 - bits))        256 levels become 2^bits
/// ```
///
/// After the reduction, bits per dimension count the reduced integers. A uniform density has `bits` bits per dimension.
/// The numbers are not comparable to bits per dimension of 8-bit images.
///
/// Paper: Kingma, Dhariwal (2018), Glow, section 6 (5 bits for CelebA-HQ), arXiv:1807.03039.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::train::{Dequantize, ReduceBits};
///
/// let reduce = ReduceBits::new(5)?;
/// let x = Tensor::<2>::from_data([[0.0, 7.0, 8.0, 255.0]], &Device::flex());
/// let y = reduce.apply(x)?;
/// assert_eq!(y.into_data().try_to_vec_as::<f32>().unwrap(), [0.0, 0.0, 1.0, 31.0]);
/// let dequantize = Dequantize::new(reduce.levels())?;
/// assert_eq!(dequantize.levels(), 32);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReduceBits {
    bits: usize,
}

impl ReduceBits {
    /// A reduction to `bits` bits.
    ///
    /// # Errors
    ///
    /// If `bits` is 0 or above 8.
    pub fn new(bits: usize) -> Result<Self> {
        if (1..=SOURCE_BITS).contains(&bits) {
            return Ok(Self { bits });
        }
        let reason = format!("must be between 1 and {SOURCE_BITS}, found {bits}");
        Err(Error::config("ReduceBits", "bits", reason))
    }

    /// The number of different integers after the reduction.
    pub fn levels(&self) -> usize {
        1 << self.bits
    }

    /// Returns the reduced integers.
    ///
    /// # Errors
    ///
    /// The error names the row, the column and the value of the first element that is not an integer in `0..256`.
    pub fn apply<const D: usize>(&self, x: Tensor<D>) -> Result<Tensor<D>> {
        Dequantize::new(1 << SOURCE_BITS)?.check(&x)?;
        Ok((x / (1 << (SOURCE_BITS - self.bits)) as f64).floor())
    }
}
