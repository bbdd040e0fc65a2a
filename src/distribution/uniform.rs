//! Uniform on a box.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Distribution, batch_shape, check_event, on_support};
use crate::error::{Error, Result};
use crate::math::{sum_event, wide};
use crate::noise::Noise;
use crate::rows::check_rows;

crate::store::checked! {
/// Independent uniforms with fixed ends for each element. Both ends are included.
///
/// ```text
/// log p(x) = -sum of ln(high - low)        low <= x <= high in every element, -inf elsewhere
/// ```
///
/// # Numerics
///
/// Outside the box the density is 0, and `log_prob` is `-inf`. The gradient is zero everywhere. A NaN
/// in `x` gives NaN.
///
/// # Panics
///
/// If the event has another shape than the distribution.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::{Distribution, Uniform};
///
/// let device = Device::flex();
/// let low = Tensor::<2>::from_data([[0.0, -1.0]], &device);
/// let high = Tensor::<2>::from_data([[1.0, 3.0]], &device);
/// let uniform = Uniform::new(low, high)?;
/// let x = Tensor::<2>::from_data([[0.5, 2.0], [0.5, 3.1]], &device);
/// let log_prob = uniform.log_prob(x, None).into_data().try_to_vec_as::<f32>().unwrap();
/// assert!((log_prob[0] + 4f32.ln()).abs() < 1e-6);
/// assert_eq!(log_prob[1], f32::NEG_INFINITY);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Uniform<const D: usize> {
    #[serde(with = "crate::store::part")]
    low: Param<Tensor<D>>,
    #[serde(with = "crate::store::part")]
    high: Param<Tensor<D>>,
}
}

impl<const D: usize> Uniform<D> {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let shape = self.low.dims();
        crate::store::shaped("Uniform", "low", &[&[1], &shape[1..]].concat(), shape)?;
        crate::store::shaped("Uniform", "high", &shape, self.high.dims())?;
        Self::new(self.low.val(), self.high.val()).map(drop)
    }
}

impl<const D: usize> Uniform<D> {
    /// Builds the uniform between `low` and `high`, both `[1, event..]`, which are never trained.
    ///
    /// # Errors
    ///
    /// If an end is not finite, an element of `low` is not below its element of `high`, or a width is
    /// not finite.
    ///
    /// # Panics
    ///
    /// If the shapes differ, or their first axis is not 1.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::distribution::Uniform;
    ///
    /// let one = Tensor::<2>::ones([1, 3], &Device::flex());
    /// let error = Uniform::new(one.clone(), one).unwrap_err();
    /// let text = "Uniform.high: must be above low by a finite amount, found low 1 and high 1 at element 0";
    /// assert_eq!(error.to_string(), text);
    /// ```
    pub fn new(low: Tensor<D>, high: Tensor<D>) -> Result<Self> {
        let (shape, found) = (low.dims(), high.dims());
        assert!(shape[0] == 1, "Uniform: expected low of shape [1, event..], found {shape:?}");
        assert!(found == shape, "Uniform: expected high of shape {shape:?}, found {found:?}");
        let host = |t: &Tensor<D>| t.clone().into_data().iter::<f64>().collect::<Vec<_>>();
        for (i, (low, high)) in host(&low).into_iter().zip(host(&high)).enumerate() {
            // Written so that a NaN fails too.
            if !(low < high && (high - low).is_finite()) {
                let reason = format!(
                    "must be above low by a finite amount, found low {low} and high {high} at \
                     element {i}"
                );
                return Err(Error::config("Uniform", "high", reason));
            }
        }
        let param = |t: Tensor<D>| Param::from_tensor(t.without_autodiff()).set_require_grad(false);
        Ok(Self { low: param(low), high: param(high) })
    }

    /// Returns the entropy in nats, `sum of ln(high - low)`.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::distribution::Uniform;
    ///
    /// let zeros = Tensor::<2>::zeros([1, 3], &Device::flex());
    /// let uniform = Uniform::new(zeros.clone(), zeros + 2.0)?;
    /// assert!((uniform.entropy() - 3.0 * 2f64.ln()).abs() < 1e-6);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn entropy(&self) -> f64 {
        self.width().log().sum().into_scalar()
    }

    fn width(&self) -> Tensor<D> {
        self.high.val() - self.low.val()
    }

    fn event(&self) -> [usize; D] {
        self.low.val().dims()
    }
}

impl<const D: usize> Distribution<D> for Uniform<D> {
    fn log_prob(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        check_event("Uniform", &self.event()[1..], &x, context);
        let shape = x.dims();
        let below = x.clone().lower(self.low.val().expand(shape));
        let above = x.clone().greater(self.high.val().expand(shape));
        let log_density = wide(self.width()).log().neg().expand(shape);
        sum_event(on_support(wide(x), below.bool_or(above), log_density))
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D> {
        check_rows("Uniform", n, context);
        let low = self.low.val();
        let shape = batch_shape(n, &self.event()[1..]);
        let unit = noise.unit(shape, (device, low.dtype()));
        if n == 0 {
            return unit; // burn 0.22 expands nothing to no rows
        }
        // Rounding can give a value slightly above `high`, where the density is 0.
        (unit * self.width() + low).min_pair(self.high.val().expand(shape))
    }
}
