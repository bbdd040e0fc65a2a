//! Affine map: scale and shift.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Kernel, Univariate, param};
use crate::error::{Error, Result, length};
use crate::kernel::Map;
use crate::math::{fine, log_sigmoid_pair, sigmoid, softplus, sum_event, wide_dtype};

/// Bound of the log-scale, `ln 1000`. Without a bound, one bad batch drives `exp(s)` to infinity. A
/// hard clamp would set the gradient to zero there. Value from zuko (`slope = 1e-3`).
const LOG_SCALE_BOUND: f64 = 6.907_755_278_982_137;

/// Valid offsets of a raw scale. f32 holds the square of `exp` of either end.
const OFFSETS: (f64, f64) = (-20.0, 20.0);

/// Valid floors of a scale.
const FLOORS: (f64, f64) = (0.0, 1e6);

/// How a raw parameter `a` becomes the log-scale `s`.
///
/// The default suits training. The others are the maps of other libraries, so that weights of those
/// libraries give the same numbers here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub enum ScaleMap {
    /// `s = a / (1 + |a| / bound)` (zuko). It is smooth, has `|s| < bound`, and computes no
    /// transcendental function.
    SoftBound {
        /// The bound of `|s|`, in nats. A smaller bound makes training more stable and the scale less
        /// flexible.
        bound: f64,
    },
    /// `s = a` (normflows `scale_map="exp"`). It is unbounded and overflows if training is unstable.
    Exp,
    /// `exp(s) = sigmoid(a + offset) + floor` (Glow; nflows with offset 2 and floor 1e-3). The
    /// scale cannot exceed `1 + floor`, so no layer can concentrate density.
    Sigmoid {
        /// Added to `a`. With 2 a raw zero gives a scale of 0.88.
        offset: f64,
        /// Added to the scale; the scale is at least this large.
        floor: f64,
    },
    /// `exp(s) = 1 / sigmoid(a + offset)` (normflows `scale_map="sigmoid"`).
    InverseSigmoid {
        /// Added to `a` before the map.
        offset: f64,
    },
    /// `exp(s) = softplus(a + offset) + floor` (FlowJAX).
    Softplus {
        /// Added to `a` before the map.
        offset: f64,
        /// Added to the scale; the scale is at least this large.
        floor: f64,
    },
}

impl Default for ScaleMap {
    fn default() -> Self {
        Self::SoftBound { bound: LOG_SCALE_BOUND }
    }
}

impl ScaleMap {
    /// Returns an error that names the first invalid field.
    ///
    /// ```
    /// use burn_flows::univariate::ScaleMap;
    ///
    /// let error = ScaleMap::SoftBound { bound: 0.0 }.validate().unwrap_err();
    /// assert_eq!(error.to_string(), "ScaleMap.bound: must be positive and finite, found 0");
    /// ```
    pub fn validate(&self) -> Result<()> {
        let check = |field, (least, most), value: f64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            let reason = format!("must be in [{least}, {most}], found {value}");
            Err(Error::config("ScaleMap", field, reason))
        };
        match *self {
            Self::SoftBound { bound } => length("ScaleMap", "bound", bound),
            Self::Exp => Ok(()),
            Self::InverseSigmoid { offset } => check("offset", OFFSETS, offset),
            Self::Sigmoid { offset, floor } | Self::Softplus { offset, floor } => {
                check("offset", OFFSETS, offset)?;
                check("floor", FLOORS, floor)
            }
        }
    }

    /// The log-scale of a raw parameter, elementwise.
    pub fn log_scale<const D: usize>(&self, raw: Tensor<D>) -> Tensor<D> {
        match *self {
            // Not `/ bound`: burn 0.22 rounds the gradient of a division by a number to f32.
            Self::SoftBound { bound } => raw.clone() / (raw.abs() * bound.recip() + 1.0),
            Self::Exp => raw,
            Self::Sigmoid { offset, floor: 0.0 } => log_sigmoid_pair(raw + offset).0,
            Self::Sigmoid { offset, floor } => (sigmoid(raw + offset) + floor).log(),
            Self::InverseSigmoid { offset } => log_sigmoid_pair(raw + offset).0.neg(),
            Self::Softplus { offset, floor } => (softplus(raw + offset) + floor).log(),
        }
    }
}

crate::store::checked! {
/// Scales and shifts, `z = x * exp(s) + t`. Parameters in this order: shift `t`, raw log-scale `a`.
///
/// ```text
/// forward   z = x * exp(s) + t          with (t, a) the parameters and s = log-scale(a)
/// log-det   sum of s
/// inverse   x = (z - t) * exp(-s)
/// ```
///
/// Papers: Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, equations 7
/// and 8, arXiv:1605.08803; Papamakarios, Pavlakou, Murray (2017), Masked Autoregressive Flow,
/// equation 3, arXiv:1705.07057.
/// Same numbers as zuko 1.6 `MonotonicAffineTransform` (default), nflows 0.14
/// `AffineCouplingTransform`, normflows 1.7 `AffineCoupling`, FlowJAX 19 `Affine`.
///
/// # Shapes
///
/// - values `[batch, elements]`; parameters `[batch, P, elements]`, where `P` is `params_per_element`
///
/// # Numerics
///
/// With the default [`ScaleMap`] the scale is a smooth function of the parameter. It stays between
/// 1/1000 and 1000 for every finite parameter. A raw zero is the identity.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::univariate::{Affine, ScaleMap, Univariate};
///
/// let device = Device::flex();
/// let map = Affine::new(ScaleMap::Exp)?;
/// let x = Tensor::<2>::from_data([[3.0]], &device);
/// let params = Tensor::<3>::from_data([[[1.0], [2.0_f32.ln()]]], &device);
/// let (z, log_det) = map.forward(x, params);
/// assert!((z.into_scalar::<f32>() - 7.0).abs() < 1e-5);
/// assert!((log_det.into_scalar::<f32>() - 2.0_f32.ln()).abs() < 1e-6);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Default, Serialize)]
pub struct Affine {
    #[module(skip)]
    scale_map: ScaleMap,
}
}

impl Affine {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        self.scale_map.validate()
    }
}

impl Affine {
    /// The affine map with this parametrisation of its scale.
    ///
    /// # Errors
    ///
    /// If [`ScaleMap::validate`] fails.
    pub fn new(scale_map: ScaleMap) -> Result<Self> {
        scale_map.validate()?;
        Ok(Self { scale_map })
    }

    fn shift_and_log_scale(&self, params: &Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        (fine(param(params, 0)), self.scale_map.log_scale(fine(param(params, 1))))
    }
}

impl Affine {
    /// The map made of tensor operations.
    fn forward_reference(&self, x: Tensor<2>, params: &Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let (dtype, (shift, log_scale)) = (x.dtype(), self.shift_and_log_scale(params));
        let z = fine(x) * log_scale.clone().exp() + shift;
        (z.cast(dtype), sum_event(log_scale).cast(wide_dtype(dtype)))
    }

    /// The inverse made of tensor operations, and the negative log-scales.
    fn inverse_reference(&self, z: Tensor<2>, params: &Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let (dtype, (shift, log_scale)) = (z.dtype(), self.shift_and_log_scale(params));
        let minus = log_scale.neg();
        (((fine(z) - shift) * minus.clone().exp()).cast(dtype), minus)
    }

    fn as_map(&self) -> Option<Map> {
        match self.scale_map {
            ScaleMap::SoftBound { bound } => Some(Map::Affine { bound }),
            _ => None,
        }
    }
}

impl Univariate for Affine {
    fn params_per_element(&self) -> usize {
        2
    }

    fn forward(&self, x: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let done = self.as_map().and_then(|map| map.forward(&x, &params));
        done.unwrap_or_else(|| self.forward_reference(x, &params))
    }

    fn inverse(&self, z: Tensor<2>, params: Tensor<3>) -> Tensor<2> {
        let done = self.as_map().and_then(|map| map.inverse(&z, &params));
        done.unwrap_or_else(|| self.inverse_reference(z, &params).0)
    }

    fn inverse_with_log_det(&self, z: Tensor<2>, params: Tensor<3>) -> (Tensor<2>, Tensor<1>) {
        let done = self.as_map().and_then(|map| map.inverse_with_log_det(&z, &params));
        let (x, minus) = match done {
            Some(done) => return done,
            None => self.inverse_reference(z, &params),
        };
        let dtype = wide_dtype(x.dtype());
        (x, sum_event(minus).cast(dtype))
    }

    fn has_inverse_formula(&self) -> bool {
        true
    }

    fn kernel(&self) -> Option<Kernel> {
        self.as_map().map(Kernel)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;
    use crate::noise::Noise;

    /// The largest difference, as a share of the largest number.
    fn assert_close(found: &TensorData, wanted: &TensorData, bound: f64) {
        assert_eq!((found.shape(), found.dtype()), (wanted.shape(), wanted.dtype()));
        let largest = wanted.iter::<f64>().fold(1.0, |most, value| value.abs().max(most));
        let pairs = found.iter::<f64>().zip(wanted.iter::<f64>());
        let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
        assert!(error < bound, "{error:e}");
    }

    #[test]
    fn the_kernel_equals_the_reference_in_values_and_gradients() {
        let map = Affine::default();
        let device = Device::flex();
        for (dtype, bound) in [(DType::F64, 1e-14), (DType::F32, 1e-6)] {
            let draw = |seed| Noise::seeded(seed).normal::<2>([7, 21], &device).cast(dtype);
            let params = Noise::seeded(2).normal::<3>([7, 2, 21], &device).cast(dtype) * 3.0;
            // Also raw log-scales at both ends, and a view that is not contiguous.
            for params in
                [params.clone(), params.clone() * 1e30, params.swap_dims(0, 2).swap_dims(0, 2)]
            {
                let (back, log_det) = map.inverse_with_log_det(draw(1), params.clone());
                let (wanted, minus) = map.inverse_reference(draw(1), &params);
                assert_close(&back.clone().into_data(), &wanted.into_data(), bound);
                let minus = sum_event(minus).cast(dtype);
                assert_close(&log_det.into_data(), &minus.into_data(), bound);
                assert_eq!(map.inverse(draw(1), params.clone()).into_data(), back.into_data());
                let all = |forward: fn(&Affine, Tensor<2>, Tensor<3>) -> (Tensor<2>, Tensor<1>)| {
                    let x = draw(1).autodiff().require_grad();
                    let params = params.clone().autodiff().require_grad();
                    let (z, log_det) = forward(&map, x.clone(), params.clone());
                    let row = draw(4).narrow(1, 0, 1).reshape([7]).autodiff();
                    let loss =
                        (z.clone() * draw(3).autodiff()).sum() + (log_det.clone() * row).sum();
                    let gradients = loss.backward();
                    let by_x = x.grad(&gradients).expect("tracked").into_data();
                    let by_params = params.grad(&gradients).expect("tracked").into_data();
                    [z.into_data(), log_det.into_data(), by_x, by_params]
                };
                let found = all(Affine::forward);
                let wanted = all(|map, x, params| map.forward_reference(x, &params));
                found.iter().zip(&wanted).for_each(|(f, w)| assert_close(f, w, bound));
            }
        }
    }
}
