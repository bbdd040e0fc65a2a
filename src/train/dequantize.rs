//! Uniform dequantization of integer data, and bits per dimension.

use burn::tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::Batch;
use super::scale::place;
use crate::error::{Error, Result};
use crate::noise::{Noise, below_one};

/// Spreads integers `0..levels` over `[0, 1)` by uniform noise.
///
/// ```text
/// v = (x + u) / levels,  u uniform on [0, 1)
/// log P(x) >= E log p(v) - n ln levels        n elements in an event
/// ```
///
/// Paper: Theis, van den Oord, Bethge (2016), A note on the evaluation of generative models,
/// section 3.1, arXiv:1511.01844.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{Noise, train::Dequantize};
///
/// let dequantize = Dequantize::new(17)?;
/// let x = Tensor::<2>::from_data([[0.0, 16.0]], &Device::flex());
/// let v = dequantize.apply(x.clone(), &mut Noise::seeded(1));
/// let integers = (v * 17.0).floor();
/// assert_eq!(integers.into_data(), x.into_data());
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Dequantize {
    levels: usize,
}

/// The fields of a file, not yet validated.
#[derive(Deserialize)]
struct Fields {
    levels: usize,
}

impl TryFrom<Fields> for Dequantize {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        Self::new(fields.levels)
    }
}

impl Dequantize {
    /// Dequantization of integers below `levels`.
    ///
    /// # Errors
    ///
    /// If `levels` is below 2, or above 2^24, the largest count that f32 represents exactly.
    pub fn new(levels: usize) -> Result<Self> {
        if (2..=1 << 24).contains(&levels) {
            return Ok(Self { levels });
        }
        let reason = format!("must be between 2 and 16777216, found {levels}");
        Err(Error::config("Dequantize", "levels", reason))
    }

    /// The number of different integers.
    pub fn levels(&self) -> usize {
        self.levels
    }

    /// Checks that every element is an integer in `0..levels`.
    ///
    /// # Errors
    ///
    /// The error names the row, the column and the value of the first element that is not such an integer.
    pub fn check<const D: usize>(&self, x: &Tensor<D>) -> Result<()> {
        check_levels(&Batch::from(x), |_| Some(self.levels))
    }

    /// Returns `(x + u) / levels` with fresh uniform noise `u`.
    pub fn apply<const D: usize>(&self, x: Tensor<D>, noise: &mut Noise) -> Tensor<D> {
        let u = noise.unit(x.dims(), (&x.device(), x.dtype()));
        self.spread(x, u)
    }

    /// Returns `(x + u) / levels`, strictly inside (0, 1) and within the level of `x`. Without the clamps, rounding
    /// could move the sum to 0, to 1 or to the next level.
    pub(super) fn spread<const D: usize>(&self, x: Tensor<D>, u: Tensor<D>) -> Tensor<D> {
        let (first, last) = open_unit(x.dtype());
        // Not `/ levels`: burn 0.22 rounds the gradient of a division by a number to f32.
        let unit = (self.levels as f64).recip();
        let top = (x.clone() + 1.0) * unit * last;
        let value = (x.clone() + u) * unit;
        value.min_pair(top).max_pair(x * unit).clamp(first, last)
    }
}

/// Checks that every element of a column with levels is an integer in `0..levels`. The error names the caller's row.
pub(super) fn check_levels<const D: usize>(
    rows: &Batch<D>,
    levels: impl Fn(usize) -> Option<usize>,
) -> Result<()> {
    let x = &rows.x;
    let event: usize = x.dims()[1..].iter().product();
    let levels: Vec<_> = (0..event).map(levels).collect();
    let bad = |(at, v): (usize, f64)| {
        let levels = levels[at % event]?;
        (v.fract() != 0.0 || v < 0.0 || v >= levels as f64).then_some((at, v, levels))
    };
    match x.to_data().iter::<f64>().enumerate().find_map(bad) {
        None => Ok(()),
        Some((at, value, levels)) => {
            let reason = format!(
                "row {}, {} holds {value}, expected an integer from 0 to {}",
                rows.number(at / event),
                place(at % event, &x.dims()[1..]),
                levels - 1
            );
            Err(Error::data("integer data", reason))
        }
    }
}

/// The smallest normal number of a precision, and its largest number below 1. Without this clamp, 16 + u in f32 rounds
/// to 17 once in ten million draws, and the logit of 0 or 1 is infinite.
fn open_unit(dtype: DType) -> (f64, f64) {
    let info = dtype.finfo().expect("a float has these");
    (info.min_positive, below_one(dtype))
}

/// Bits per dimension of integers with `levels` values, from the mean negative log-likelihood `nll` (nats) of their
/// dequantized values on `[0, 1)^dims`: `(nll + dims ln levels) / (dims ln 2)`.
///
/// If `nll` is the negative log-likelihood of the integers themselves, as from
/// [`VariationalDequantize`](super::VariationalDequantize), pass 1 for `levels`.
///
/// ```
/// // The uniform density needs the bits of the integers themselves.
/// let bits = burn_flows::train::bits_per_dim(0.0, 64, 256);
/// assert!((bits - 8.0).abs() < 1e-12);
/// ```
pub fn bits_per_dim(nll: f64, dims: usize, levels: usize) -> f64 {
    let dims = dims as f64;
    (nll + dims * (levels as f64).ln()) / (dims * std::f64::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_below_one() {
        assert_eq!(open_unit(DType::F32).1 as f32, 1f32.next_down());
        assert_eq!(open_unit(DType::F64).1, 1f64.next_down());
    }

    #[test]
    fn noise_that_rounds_to_an_end_stays_inside() {
        let dequantize = Dequantize::new(17).unwrap();
        let device = burn::tensor::Device::flex();
        let x = Tensor::<1>::from_data([0.0, 16.0], &device);
        let v = dequantize.spread(x, Tensor::from_data([0.0, 1.0], &device));
        let v = v.into_data().try_to_vec_as::<f32>().unwrap();
        assert_eq!(v, [f32::MIN_POSITIVE, 1f32.next_down()]);
    }

    #[test]
    fn noise_stays_within_its_level_in_every_precision() {
        let dequantize = Dequantize::new(256).unwrap();
        let levels: Vec<f64> = (0..256).map(f64::from).collect();
        for dtype in [DType::F64, DType::F32, DType::F16] {
            let options = (&burn::tensor::Device::flex(), dtype);
            let x = Tensor::<1>::from_data(levels.as_slice(), options);
            let u = Tensor::<1>::full([256], below_one(dtype), options);
            let back = (dequantize.spread(x.clone(), u) * 256.0).floor();
            assert_eq!(back.into_data(), x.into_data(), "{dtype:?}");
        }
    }

    #[test]
    fn so_does_noise_in_half_precision() {
        let dequantize = Dequantize::new(17).unwrap();
        for (dtype, last) in
            [(DType::F16, 1.0 - 2f64.powi(-11)), (DType::BF16, 1.0 - 2f64.powi(-8))]
        {
            let options = (&burn::tensor::Device::flex(), dtype);
            let x = Tensor::<1>::from_data([0.0, 16.0], options);
            let v = dequantize.spread(x, Tensor::from_data([0.0, 1.0], options));
            let v: Vec<f64> = v.into_data().iter::<f64>().collect();
            assert!(v[0] > 0.0 && v[1] == last, "{dtype:?}: {v:?}");
        }
    }
}
