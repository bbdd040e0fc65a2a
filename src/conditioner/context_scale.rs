//! Standardised contexts: mean about 0 and deviation about 1, in any unit.
//!
//! c -> c * 2^e - s / 16        e, s integers for every column, from a first batch
//!
//! `e` and `s` are integers, because integers are saved with a model and neither trained nor cast. A
//! power of two scales without rounding, and the scaled deviation is between 0.7 and 1.5.

use std::f64::consts::LN_2;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use serde::Serialize;

use crate::error::Result;
use crate::math::{fine, wide_dtype};
use crate::param::flag;

crate::store::checked! {
/// The scale and the shift of every column of a context. They are the identity until a first batch sets
/// them. Without standardisation, a step of Adam on a context of 1500 changes a unit 1500 times as much
/// as on a context of 1.
#[derive(Module, Debug, Serialize)]
pub(crate) struct ContextScale {
    #[serde(with = "crate::store::part")]
    exponents: Param<Tensor<1, Int>>,
    /// The shift is `HIGH` times the first row plus the second row. Each row is exact in f32, to which
    /// the integers are converted.
    #[serde(with = "crate::store::part")]
    shifts: Param<Tensor<2, Int>>,
    #[serde(with = "crate::store::part")]
    initialized: Param<Tensor<1, Bool>>,
}
}

impl ContextScale {
    /// Returns an error if the fields read from a file do not form a valid scale.
    fn sound(&self) -> Result<()> {
        let [width] = self.exponents.dims();
        crate::store::shaped("ContextScale", "shifts", &[2, width], self.shifts.dims())?;
        crate::store::shaped("ContextScale", "initialized", &[1], self.initialized.dims())?;
        let exponents = self.exponents.val().into_data();
        let bounded = exponents.iter::<f64>().all(|exponent| exponent.abs() <= LARGEST_EXPONENT);
        crate::store::require("ContextScale", "exponents", bounded, || {
            format!("must hold values from -{LARGEST_EXPONENT} to {LARGEST_EXPONENT}")
        })
    }

    /// Returns an error if the scale of a network read from a file does not fit the width of its
    /// context.
    pub(crate) fn sound_for(
        scale: &Option<Self>,
        network: &'static str,
        width: usize,
    ) -> Result<()> {
        let found = scale.as_ref().map_or(width, |scale| scale.exponents.dims()[0]);
        crate::store::require(network, "context_scale", found == width, || {
            format!("must be for a context of width {width}, found {found}")
        })
    }
}

/// Number of steps of the shift per deviation.
const STEPS: f64 = 16.0;

/// The largest absolute exponent. Beyond it, a power of two or its reciprocal is not a normal number in
/// f32.
const LARGEST_EXPONENT: f64 = 126.0;

/// The unit of the first row of the shift: f32 holds all integers up to it.
const HIGH: i64 = 1 << 24;

/// The largest absolute shift.
const LARGEST_SHIFT: f64 = (HIGH * HIGH / 2) as f64;

impl ContextScale {
    /// A scale for a context of this width; `None` if the width is 0.
    pub(crate) fn new(width: usize, device: &Device) -> Option<Self> {
        let device = &device.clone().without_autodiff();
        (width > 0).then(|| Self {
            exponents: Param::initialized(ParamId::new(), Tensor::zeros([width], device)),
            shifts: Param::initialized(ParamId::new(), Tensor::zeros([2, width], device)),
            initialized: flag(false, device),
        })
    }

    /// The standardised context, or the context itself without a scale.
    pub(crate) fn seen(scale: &Option<Self>, context: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let context = context?.clone();
        let Some(Self { exponents, shifts, .. }) = scale else { return Some(context) };
        let dtype = context.dtype();
        let rows =
            |numbers: Tensor<2, Int>| numbers.float().without_autodiff().cast(wide_dtype(dtype));
        // The power is computed in double precision if the device has it, so that it rounds to the
        // power of two.
        let exponents = fine(rows(exponents.val().unsqueeze_dim(0)));
        let scale = (exponents * LN_2).exp().cast(wide_dtype(dtype));
        let parts = rows(shifts.val());
        let high = parts.clone().narrow(0, 0, 1) * HIGH as f64;
        let shift = (high + parts.narrow(0, 1, 1)) * STEPS.recip();
        Some((context.cast(wide_dtype(dtype)) * scale - shift).cast(dtype))
    }

    /// Sets the scale from a first batch, unless it was set before. If the last layer of the network is
    /// not zero, the network was trained or drawn for raw contexts, and the scale stays unset.
    pub(crate) fn started<const D: usize>(
        scale: Option<Self>,
        context: Option<&Tensor<2>>,
        last: &Tensor<D>,
    ) -> Option<Self> {
        match (scale, context) {
            (Some(scale), Some(context)) if is_zero(last) => Some(scale.init_from_data(context)),
            (scale, _) => scale,
        }
    }

    /// Sets the scale from the rows of a first batch, unless it was set before or there is no row. A column that is
    /// constant in the batch is shifted but not scaled.
    pub(crate) fn init_from_data(self, context: &Tensor<2>) -> Self {
        let [rows, width] = context.dims();
        if rows == 0 || self.initialized.val().into_scalar::<u8>() != 0 {
            return self;
        }
        let values: Vec<f64> = context.to_data().iter::<f64>().collect();
        let numbers = (0..width).map(|at| {
            let column = || values[at..].iter().step_by(width);
            let mean = column().sum::<f64>() / rows as f64;
            let variance = column().map(|value| (value - mean).powi(2)).sum::<f64>() / rows as f64;
            let exponent = match variance > 0.0 {
                true => -variance.sqrt().log2().round(),
                false => 0.0,
            };
            let exponent = exponent.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT);
            let shift = (mean * exponent.exp2() * STEPS).round();
            (exponent as i64, shift.clamp(-LARGEST_SHIFT, LARGEST_SHIFT) as i64)
        });
        let (exponents, shifts): (Vec<i64>, Vec<i64>) = numbers.unzip();
        let high = shifts.iter().map(|shift| shift.div_euclid(HIGH));
        let parts: Vec<i64> =
            high.chain(shifts.iter().map(|shift| shift.rem_euclid(HIGH))).collect();
        let device = self.shifts.lazy_device().without_autodiff();
        let exponents = Tensor::<1, Int>::from_data(exponents.as_slice(), &device);
        let shifts = Tensor::<2, Int>::from_data(TensorData::new(parts, [2, width]), &device);
        Self {
            exponents: self.exponents.map(|_| exponents),
            shifts: self.shifts.map(|_| shifts),
            initialized: self.initialized.map(|_| flag(true, &device).val()),
        }
    }
}

fn is_zero<const D: usize>(weight: &Tensor<D>) -> bool {
    weight.clone().without_autodiff().abs().max().into_scalar::<f64>() == 0.0
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::DType;

    use super::*;

    /// Three rows of a column after standardisation.
    fn seen(column: [f64; 3], dtype: DType) -> [f64; 3] {
        let options = (&Device::flex(), dtype);
        let context = Tensor::<2>::from_data(TensorData::new(column.to_vec(), [3, 1]), options);
        let scale = ContextScale::new(1, &Device::flex());
        let zero = Tensor::<1>::zeros([1], &Device::flex());
        let started = ContextScale::started(scale, Some(&context), &zero);
        // A scale that is set does not change.
        let again = ContextScale::started(started, Some(&(context.clone() * 3.0)), &zero);
        let seen = ContextScale::seen(&again, Some(&context)).unwrap();
        assert_eq!(seen.dtype(), dtype);
        let seen: Vec<f64> = seen.into_data().iter::<f64>().collect();
        seen.try_into().unwrap()
    }

    #[test]
    fn every_column_is_brought_near_to_zero_and_one() {
        for (column, dtype) in [
            ([1000.0, 1500.0, 2000.0], DType::F32),
            ([1e-9, 2e-9, 3e-9], DType::F32),
            ([-3e18, 0.0, 3e18], DType::F32),
            ([1e-30, 2e-30, 4e-30], DType::F32),
            ([0.0, 0.0, 1.0], DType::F32),
            ([1000.0, 1500.0, 2000.0], DType::BF16),
            // Seconds since 1970: f32 does not resolve them.
            ([1.7e9, 1.7e9 + 1.0, 1.7e9 + 2.0], DType::F64),
        ] {
            let seen = seen(column, dtype);
            let mean = seen.iter().sum::<f64>() / 3.0;
            let deviation = (seen.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3.0).sqrt();
            assert!(mean.abs() < 0.04 && (0.7..1.5).contains(&deviation), "{column:?}: {seen:?}");
        }
        assert_eq!(seen([2015.0; 3], DType::F32), [0.0; 3]);
    }

    #[test]
    fn a_network_that_has_learned_keeps_its_contexts() {
        let context = Tensor::<2>::from_data([[1000.0], [2000.0]], &Device::flex());
        let learned = Tensor::<1>::from_data([0.0, 1e-30], &Device::flex());
        let scale = ContextScale::new(1, &Device::flex());
        let kept = ContextScale::started(scale, Some(&context), &learned);
        assert_eq!(
            ContextScale::seen(&kept, Some(&context)).unwrap().into_data(),
            context.into_data()
        );
    }

    #[test]
    fn a_context_stays_as_it_is_before_the_start() {
        let context = Tensor::<2>::from_data([[1500.0, -0.0], [1e-30, 3.0]], &Device::flex());
        let scale = ContextScale::new(2, &Device::flex());
        let seen = ContextScale::seen(&scale, Some(&context)).unwrap();
        assert_eq!(seen.into_data(), context.into_data());
        assert!(ContextScale::new(0, &Device::flex()).is_none());
    }
}
