//! ActNorm: scale and shift per channel, initialised so that a first batch has zero mean and unit variance.

use burn::module::{Module, Param};
use burn::tensor::{Bool, Device, Tensor};
use serde::Serialize;

use super::{Bijector, Recovery, check_weights, check_width};
use crate::config::{config, construct};
use crate::error::{Result, count};
use crate::kernel::{scale_and_shift, shift_and_scale_back};
use crate::math::{channel_moments, event_len, like, repeat_batch, wide};
use crate::moments::Moments;
use crate::param::{flag, replaced};

config! {
/// Configuration of an [`ActNorm`].
///
/// ```
/// use burn_flows::bijector::ActNormConfig;
///
/// assert!(ActNormConfig::new(3).validate().is_ok());
/// assert!(ActNormConfig::new(0).validate().is_err());
/// ```
pub struct ActNormConfig {
    /// Number of features, or of channels of an image. It must equal the size of axis 1 of the data.
    pub features: usize,
}
}

crate::store::checked! {
/// Scale and shift per feature or channel.
///
/// ```text
/// forward   z = x * exp(s) + t           s, t per feature or channel
/// log-det   (height * width) * sum of s
/// inverse   x = (z - t) * exp(-s)
/// ```
///
/// Paper: Kingma, Dhariwal (2018), Glow, section 3.1, arXiv:1807.03039.
/// Same numbers as nflows 0.14 `ActNorm`; normflows 1.7 `ActNorm` is its [`Inverse`](super::Inverse).
///
/// The data-dependent initialisation is explicit: [`Bijector::init_from_data`], which `fit` calls on its first batch.
/// The saved record stores whether the layer is initialised, so a loaded layer keeps its weights.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, channels, height, width]`
///
/// # Numerics
///
/// The initialisation divides by `standard deviation + 1e-6`. The variance is the unbiased one, as in nflows and
/// normflows. The statistics are those of an f64 computation. The shift, `-mean / deviation`, is rounded to the
/// precision of the layer: in f32 the initialisation leaves a mean of up to 6e-8 times the ratio of mean and deviation.
/// Where that ratio exceeds 1e4, put a [`Standardize`](super::Standardize) in front.
///
/// # Panics
///
/// If the width of the event differs from the width of the layer.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{ActNormConfig, Bijector};
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[1.0, 10.0], [3.0, 30.0]], &device);
/// let (layer, z) = ActNormConfig::new(2).init(&device).init_from_data(x, None);
/// assert!(layer.is_initialized());
/// assert!(z.clone().mean().into_scalar::<f32>().abs() < 1e-5);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct ActNorm {
    #[serde(with = "crate::store::part")]
    log_scale: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    shift: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    initialized: Param<Tensor<1, Bool>>,
}
}

impl ActNorm {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        crate::store::shaped("ActNorm", "shift", &self.log_scale.dims(), self.shift.dims())?;
        crate::store::shaped("ActNorm", "initialized", &[1], self.initialized.dims())
    }
}

impl ActNormConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("ActNormConfig", "features", 1, self.features)
    }

    construct! {
        /// Builds the layer. It is the identity until it is initialised.
        unseeded(device: &Device) -> ActNorm
    }

    fn build(&self, device: &Device) -> ActNorm {
        let zeros = || Tensor::zeros([self.features], device);
        ActNorm {
            log_scale: Param::from_tensor(zeros()),
            shift: Param::from_tensor(zeros()),
            initialized: flag(false, device),
        }
    }
}

impl ActNorm {
    /// Builds a layer with the given weights. The layer counts as initialised.
    ///
    /// # Panics
    ///
    /// If `log_scale` and `shift` differ in length.
    pub fn from_weights(log_scale: Tensor<1>, shift: Tensor<1>) -> Self {
        check_weights("ActNorm", "shift", log_scale.dims(), &shift);
        let device = log_scale.device();
        Self {
            log_scale: Param::from_tensor(log_scale),
            shift: Param::from_tensor(shift),
            initialized: flag(true, &device),
        }
    }

    /// Whether the scale and shift were set by [`init_from_data`](Bijector::init_from_data), on this layer or before
    /// it was saved, or given to [`from_weights`](Self::from_weights). Training alone does not initialise the layer.
    pub fn is_initialized(&self) -> bool {
        self.initialized.val().into_scalar::<u8>() != 0
    }

    fn log_det<const D: usize>(&self, x: &Tensor<D>) -> Tensor<1> {
        let pixels = event_len(x) / x.dims()[1];
        repeat_batch(wide(self.log_scale.val()).sum() * pixels as f64, x)
    }

    fn check<const D: usize>(&self, x: &Tensor<D>) {
        check_width("ActNorm", self.log_scale.lazy_shape()[0], x);
    }
}

impl<const D: usize> Bijector<D> for ActNorm {
    fn forward(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        self.check(&x);
        let log_det = self.log_det(&x);
        (scale_and_shift(x, self.log_scale.val(), self.shift.val()), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _context: Option<&Tensor<2>>) -> Tensor<D> {
        self.check(&z);
        shift_and_scale_back(z, self.log_scale.val(), self.shift.val())
    }

    fn log_det_jacobian(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> Tensor<1> {
        self.check(&x);
        self.log_det(&x)
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> (Self, Tensor<D>) {
        self.check(&x);
        if self.is_initialized() {
            let (z, _) = self.valid().forward(x, context);
            return (self, z);
        }
        let x = x.without_autodiff();
        let log_scale = replaced(self.log_scale, channel_moments(x.clone()).1.log().neg());
        // The shift centres the scaled rows, so it also compensates for the rounding of the scale.
        let scale = log_scale.val().without_autodiff();
        let scaled = scale_and_shift(x.clone(), scale.clone(), scale.zeros_like());
        let shift = like(Moments::of_channels(&scaled).mean, &scaled).neg();
        let device = self.shift.lazy_device();
        let layer = Self {
            log_scale,
            shift: replaced(self.shift, shift),
            initialized: self.initialized.map(|_| flag(true, &device).val()),
        };
        let (z, _) = layer.valid().forward(x, context);
        (layer, z)
    }

    fn recovery(&self) -> Recovery {
        Recovery::Inverse
    }
}
