//! Normal with a mean and a scale for each element.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Distribution, batch_shape, check_event, check_location_and_scale, check_rank};
use crate::config::{config, construct};
use crate::error::{Result, count, fits};
use crate::math::{LN_2PI, event_len, fine, repeat_batch, sum_event, wide_dtype};
use crate::noise::Noise;
use crate::rows::check_rows;

config! {
/// Configuration of a [`DiagNormal`].
///
/// ```
/// use burn_flows::distribution::DiagNormalConfig;
///
/// assert!(DiagNormalConfig::new(vec![3]).validate().is_ok());
/// assert!(DiagNormalConfig::new(vec![]).validate().is_err());
/// ```
pub struct DiagNormalConfig {
    /// Shape of an event, without the batch axis.
    pub event: Vec<usize>,
    /// Whether mean and scale are learned. Set it to `false` to keep them fixed in training.
    #[config(default = true)]
    pub learned: bool,
}
}

crate::store::checked! {
/// Independent normals with a mean `m` and a log-scale `s` for each element. Both start at 0.
///
/// ```text
/// log p(x) = -(|(x - m) / e^s|^2 + n ln 2 pi) / 2 - sum of s
/// ```
///
/// # Panics
///
/// If the event has another shape than the distribution.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::{Distribution, DiagNormal};
///
/// let device = Device::flex();
/// let mean = Tensor::<2>::from_data([[1.0, 2.0]], &device);
/// let scale = Tensor::<2>::from_data([[0.5, 0.5]], &device);
/// let normal = DiagNormal::fixed(mean.clone(), scale)?;
/// let at_mean = normal.log_prob(mean, None).into_scalar::<f32>();
/// assert!((at_mean - (2.0 / std::f32::consts::PI).ln()).abs() < 1e-6);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct DiagNormal<const D: usize> {
    #[serde(with = "crate::store::part")]
    mean: Param<Tensor<D>>,
    #[serde(with = "crate::store::part")]
    log_scale: Param<Tensor<D>>,
}
}

impl<const D: usize> DiagNormal<D> {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let shape = self.mean.dims();
        crate::store::shaped("DiagNormal", "mean", &[&[1], &shape[1..]].concat(), shape)?;
        crate::store::shaped("DiagNormal", "log_scale", &shape, self.log_scale.dims())
    }
}

impl DiagNormalConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("DiagNormalConfig", "event", 1, self.event.len())?;
        self.event.iter().try_for_each(|&n| count("DiagNormalConfig", "event", 1, n))?;
        fits("DiagNormalConfig", "event", &self.event)
    }

    construct! {
        /// Builds the distribution.
        unseeded<const D: usize>(device: &Device) -> DiagNormal<D>, if validate_rank::<D>()
    }

    /// [`validate`](Self::validate) for a distribution of this rank.
    fn validate_rank<const D: usize>(&self) -> Result<()> {
        self.validate()?;
        check_rank::<D>("DiagNormalConfig", &self.event)
    }

    fn build<const D: usize>(&self, device: &Device) -> DiagNormal<D> {
        let zeros = || Tensor::zeros(batch_shape::<D>(1, &self.event), device);
        let param = || Param::from_tensor(zeros()).set_require_grad(self.learned);
        DiagNormal { mean: param(), log_scale: param() }
    }
}

impl<const D: usize> DiagNormal<D> {
    /// Builds a normal that is never trained, with this mean and scale, both `[1, event..]`.
    ///
    /// # Errors
    ///
    /// Returns an error if a scale is not both positive and finite, a mean is not finite, or an event has no element.
    ///
    /// # Panics
    ///
    /// Panics if the shapes differ, or if their first axis is not 1.
    pub fn fixed(mean: Tensor<D>, scale: Tensor<D>) -> Result<Self> {
        check_location_and_scale("DiagNormal", "mean", &mean, &scale)?;
        DiagNormalConfig::new(mean.dims()[1..].to_vec()).validate()?;
        let param = |t: Tensor<D>| Param::from_tensor(t.without_autodiff()).set_require_grad(false);
        Ok(Self { mean: param(mean), log_scale: param(scale.log()) })
    }

    /// Builds a trainable normal with this mean and log-scale, both `[1, event..]`.
    ///
    /// # Panics
    ///
    /// If the shapes differ.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::distribution::{DiagNormal, Distribution};
    ///
    /// let zeros = || Tensor::<2>::zeros([1, 2], &Device::flex());
    /// let normal = DiagNormal::from_weights(zeros(), zeros());
    /// assert_eq!(normal.log_prob(zeros(), None).dims(), [1]);
    /// ```
    pub fn from_weights(mean: Tensor<D>, log_scale: Tensor<D>) -> Self {
        let (expected, found) = (mean.dims(), log_scale.dims());
        assert_eq!(
            found, expected,
            "DiagNormal: expected log-scales of shape {expected:?}, found {found:?}"
        );
        Self { mean: Param::from_tensor(mean), log_scale: Param::from_tensor(log_scale) }
    }

    fn event(&self) -> [usize; D] {
        self.mean.val().dims()
    }
}

impl<const D: usize> Distribution<D> for DiagNormal<D> {
    fn log_prob(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        check_event("DiagNormal", &self.event()[1..], &x, context);
        let dtype = wide_dtype(x.dtype());
        let (x, log_scale) = (fine(x), fine(self.log_scale.val()));
        let standard = (x.clone() - fine(self.mean.val())) * log_scale.clone().neg().exp();
        let constant = event_len(&x) as f64 * LN_2PI;
        let log_prob = (sum_event(standard.clone() * standard) + constant) * -0.5
            - repeat_batch(log_scale.sum(), &x);
        log_prob.cast(dtype)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D> {
        check_rows("DiagNormal", n, context);
        let mean = self.mean.val();
        let standard = noise.fill(
            batch_shape(n, &self.event()[1..]),
            (device, mean.dtype()),
            Noise::next_normal,
        );
        standard * self.log_scale.val().exp() + mean
    }
}
