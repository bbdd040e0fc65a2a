//! Student's t with a location and a scale for each element: heavy tails.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Distribution, batch_shape, check_event, check_location_and_scale, check_rank};
use crate::config::{config, construct};
use crate::error::{Error, Result, count, fits};
use crate::math::{event_len, repeat_batch, sum_event, wide};
use crate::noise::Noise;
use crate::rows::check_rows;

/// From this value on, the series of the ratio of two gamma functions is exact to the last bit, and the
/// difference of their logarithms is not.
const SERIES_FROM: f64 = 200.0;

/// The least degrees of freedom. With fewer, f32 represents the density only near its centre.
const LEAST_DEGREES: f64 = 1e-6;

/// The most degrees of freedom. With more, the distribution equals the normal to the last digit, and
/// its powers overflow f32.
const MOST_DEGREES: f64 = 1e12;

config! {
/// Configuration of a [`StudentT`].
///
/// ```
/// use burn_flows::distribution::StudentTConfig;
///
/// assert!(StudentTConfig::new(vec![3], 4.0).validate().is_ok());
/// let error = StudentTConfig::new(vec![3], 0.0).validate().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "StudentTConfig.degrees_of_freedom: must be positive and finite, found 0"
/// );
/// ```
pub struct StudentTConfig {
    /// Shape of an event, without the batch axis.
    pub event: Vec<usize>,
    /// Degrees of freedom, fixed. 1 is the Cauchy distribution; larger values are closer to a normal.
    /// Moments of this order and above do not exist. Choose a small value for data with heavy tails.
    pub degrees_of_freedom: f64,
    /// Whether location and scale are learned. Set it to `false` to keep them fixed in training.
    #[config(default = true)]
    pub learned: bool,
}
}

crate::store::checked! {
/// Independent Student's t with a location `m` and a log-scale `s` for each element. Both start at 0.
///
/// ```text
/// log p(x) = sum of  ln G((v+1)/2) - ln G(v/2) - ln(v pi)/2 - s - (v+1)/2 ln(1 + y^2/v)
/// y = (x - m) / e^s,  v degrees of freedom,  G the gamma function
/// sample     y = g / sqrt(c / v)                g normal, c chi-squared with v degrees
/// ```
///
/// As a base of flows: Jaini, Kobyzev, Yu, Brubaker (2020), Tails of Lipschitz Triangular Flows,
/// arXiv:1907.04481.
///
/// # Numerics
///
/// The gamma functions are evaluated on the host in f64. The tails are exact as long as `y / sqrt(v)`
/// is finite: its square, which overflows much earlier, is not computed. A draw with few degrees of
/// freedom can exceed f32: with 0.1, about one in 8000 does.
///
/// # Panics
///
/// If the event has another shape than the distribution.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::{Distribution, StudentTConfig};
///
/// let device = Device::flex();
/// let cauchy = StudentTConfig::new(vec![1], 1.0).init::<2>(&device);
/// let at_one = cauchy.log_prob(Tensor::ones([1, 1], &device), None).into_scalar::<f32>();
/// assert!((at_one + (2.0 * std::f32::consts::PI).ln()).abs() < 1e-6);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct StudentT<const D: usize> {
    #[serde(with = "crate::store::part")]
    location: Param<Tensor<D>>,
    #[serde(with = "crate::store::part")]
    log_scale: Param<Tensor<D>>,
    degrees_of_freedom: f64,
}
}

impl<const D: usize> StudentT<D> {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let shape = self.location.dims();
        crate::store::shaped("StudentT", "location", &[&[1], &shape[1..]].concat(), shape)?;
        crate::store::shaped("StudentT", "log_scale", &shape, self.log_scale.dims())?;
        StudentTConfig::new(shape[1..].to_vec(), self.degrees_of_freedom).validate()
    }
}

impl StudentTConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("StudentTConfig", "event", 1, self.event.len())?;
        self.event.iter().try_for_each(|&n| count("StudentTConfig", "event", 1, n))?;
        fits("StudentTConfig", "event", &self.event)?;
        let v = self.degrees_of_freedom;
        let range = if !(v > 0.0 && v.is_finite()) {
            "positive and finite"
        } else if !(LEAST_DEGREES..=MOST_DEGREES).contains(&v) {
            "between 1e-6 and 1e12"
        } else {
            return Ok(());
        };
        let reason = format!("must be {range}, found {v}");
        Err(Error::config("StudentTConfig", "degrees_of_freedom", reason))
    }

    construct! {
        /// Builds the distribution.
        unseeded<const D: usize>(device: &Device) -> StudentT<D>, if validate_rank::<D>()
    }

    /// [`validate`](Self::validate) for a distribution of this rank.
    fn validate_rank<const D: usize>(&self) -> Result<()> {
        self.validate()?;
        check_rank::<D>("StudentTConfig", &self.event)
    }

    fn build<const D: usize>(&self, device: &Device) -> StudentT<D> {
        let zeros = || Tensor::zeros(batch_shape::<D>(1, &self.event), device);
        let param = || Param::from_tensor(zeros()).set_require_grad(self.learned);
        StudentT {
            location: param(),
            log_scale: param(),
            degrees_of_freedom: self.degrees_of_freedom,
        }
    }
}

impl<const D: usize> StudentT<D> {
    /// Builds a distribution that is never trained, with these degrees of freedom, location and scale;
    /// the last two are `[1, event..]`.
    ///
    /// # Errors
    ///
    /// If the degrees of freedom or a scale are not positive and finite, or a location is not finite.
    ///
    /// # Panics
    ///
    /// If the shapes differ, or their first axis is not 1.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::distribution::{Distribution, StudentT};
    ///
    /// let ones = Tensor::<2>::ones([1, 1], &Device::flex());
    /// let wide = StudentT::fixed(1.0, ones.clone(), ones.clone() * 3.0)?;
    /// let at_location = wide.log_prob(ones, None).into_scalar::<f32>();
    /// assert!((at_location + (3.0 * std::f32::consts::PI).ln()).abs() < 1e-6);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn fixed(degrees_of_freedom: f64, location: Tensor<D>, scale: Tensor<D>) -> Result<Self> {
        check_location_and_scale("StudentT", "location", &location, &scale)?;
        StudentTConfig::new(location.dims()[1..].to_vec(), degrees_of_freedom).validate()?;
        let param = |t: Tensor<D>| Param::from_tensor(t.without_autodiff()).set_require_grad(false);
        Ok(Self { location: param(location), log_scale: param(scale.log()), degrees_of_freedom })
    }

    fn event(&self) -> [usize; D] {
        self.location.val().dims()
    }
}

/// `ln G((v+1)/2) - ln G(v/2) - ln(v pi)/2`, the log-density of the standard t at 0.
fn log_peak(v: f64) -> f64 {
    let a = v / 2.0;
    let ratio = if a < SERIES_FROM {
        libm::lgamma(a + 0.5) - libm::lgamma(a)
    } else {
        0.5 * a.ln() - 1.0 / (8.0 * a) + 1.0 / (192.0 * a.powi(3)) - 1.0 / (640.0 * a.powi(5))
    };
    ratio - 0.5 * (v * std::f64::consts::PI).ln()
}

/// `ln(1 + y^2)`, computed for `|y| > 1` as `2 ln |y| + ln(1 + y^-2)`. The square alone exceeds f32
/// from 1.8e19 on, which one draw in a hundred exceeds with 0.1 degrees of freedom.
fn log1p_square<const D: usize>(y: Tensor<D>) -> Tensor<D> {
    let size = y.abs();
    let large = size.clone().greater_elem(1.0);
    let least_one = size.clone().mask_fill(large.clone().bool_not(), 1.0);
    let most_one = size.mask_fill(large, 1.0);
    let ratio = most_one / least_one.clone();
    (ratio.clone() * ratio).log1p() + least_one.log() * 2.0
}

impl<const D: usize> Distribution<D> for StudentT<D> {
    fn log_prob(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        check_event("StudentT", &self.event()[1..], &x, context);
        let v = self.degrees_of_freedom;
        let (x, log_scale) = (wide(x), wide(self.log_scale.val()));
        let constant = event_len(&x) as f64 * log_peak(v);
        let standard = (x.clone() - wide(self.location.val())) * log_scale.clone().neg().exp();
        let tails = sum_event(log1p_square(standard / v.sqrt()));
        tails * (-0.5 * (v + 1.0)) + constant - repeat_batch(log_scale.sum(), &x)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D> {
        check_rows("StudentT", n, context);
        let half = self.degrees_of_freedom / 2.0;
        let shape = batch_shape(n, &self.event()[1..]);
        // Chi-squared over its degrees of freedom is gamma(v/2) over v/2.
        let draw = |noise: &mut Noise| noise.next_normal() * (half / noise.next_gamma(half)).sqrt();
        let location = self.location.val();
        let standard = noise.fill(shape, (device, location.dtype()), draw);
        standard * self.log_scale.val().exp() + location
    }
}

#[cfg(test)]
mod tests {
    use super::log_peak;

    #[test]
    fn the_peak_of_known_distributions() {
        let pi = std::f64::consts::PI;
        // Closed forms: 1 / pi, 1 / sqrt(8), 2 / (pi sqrt 3).
        assert!((log_peak(1.0) + pi.ln()).abs() < 1e-15);
        assert!((log_peak(2.0) + 0.5 * 8f64.ln()).abs() < 1e-15);
        assert!((log_peak(3.0) - (2.0 / (pi * 3f64.sqrt())).ln()).abs() < 1e-15);
        // The limit is the normal.
        assert!((log_peak(1e15) + 0.5 * (2.0 * pi).ln()).abs() < 1e-14);
    }

    #[test]
    fn the_series_meets_the_gamma_functions() {
        let below = log_peak(399.999_999_999);
        let above = log_peak(400.0);
        // The slope there is 1 / (4 v^2) to first order: 2e-6 times 1e-9.
        assert!((below - above).abs() < 1e-12, "{below} {above}");
    }
}
