//! Densities of the parts that a multi-scale flow splits off: learned per channel, per class, and
//! conditioned on the part that stays.

use burn::module::{Module, ModuleDisplay, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Distribution, StandardNormal};
use crate::conditioner::check_context;
use crate::config::{config, construct};
use crate::error::{Result, count, fits};
use crate::math::{LN_2PI, event_len, sum_event, wide};
use crate::rows::{callers_rows, check_rows};
use crate::univariate::ScaleMap;

/// The density of a part of a multi-scale latent.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::{ChannelPriorConfig, LevelBase};
///
/// let device = Device::flex();
/// let prior = ChannelPriorConfig::new(2).init(&device);
/// assert_eq!(prior.log_prob(Tensor::zeros([3, 2, 4, 4], &device), None, None).dims(), [3]);
/// ```
pub trait LevelBase: Module + ModuleDisplay + Sync {
    /// Returns `ln p(z | kept, context)` in nats, shape `[batch]`. `kept` is the part that stays,
    /// `None` at the last level.
    fn log_prob(
        &self,
        z: Tensor<4>,
        kept: Option<&Tensor<4>>,
        context: Option<&Tensor<2>>,
    ) -> Tensor<1>;

    /// Turns standard normal `noise` of the part's shape into a draw.
    fn draw(
        &self,
        noise: Tensor<4>,
        kept: Option<&Tensor<4>>,
        context: Option<&Tensor<2>>,
    ) -> Tensor<4>;
}

impl LevelBase for StandardNormal<4> {
    fn log_prob(
        &self,
        z: Tensor<4>,
        _kept: Option<&Tensor<4>>,
        context: Option<&Tensor<2>>,
    ) -> Tensor<1> {
        Distribution::log_prob(self, z, context)
    }

    fn draw(
        &self,
        noise: Tensor<4>,
        _kept: Option<&Tensor<4>>,
        _context: Option<&Tensor<2>>,
    ) -> Tensor<4> {
        noise
    }
}

config! {
/// Configuration of a [`ChannelPrior`].
///
/// ```
/// use burn_flows::distribution::ChannelPriorConfig;
///
/// assert!(ChannelPriorConfig::new(6).with_kept(6).with_context(10).validate().is_ok());
/// assert!(ChannelPriorConfig::new(0).validate().is_err());
/// ```
pub struct ChannelPriorConfig {
    /// Number of channels of the part that is split off.
    pub channels: usize,
    /// Number of channels of the part that stays, to condition the prior on that part; 0 for an
    /// unconditioned prior.
    #[config(default = 0)]
    pub kept: usize,
    /// Width of the context, for example the number of one-hot classes; 0 for no context.
    #[config(default = 0)]
    pub context: usize,
    /// The parametrisation of the scale. Change it to reproduce another library's numbers.
    #[config(default = ScaleMap::default())]
    pub scale_map: ScaleMap,
}
}

crate::store::checked! {
/// A normal whose mean and scale are learned per channel, and can depend on the context and the part
/// that stays. It starts as the standard normal.
///
/// ```text
/// log p(z | k, c) = sum of log N(z_i; m_i, e^{s_i})
/// (m, a) = channel + W c + V * k,  s = log-scale(a)      k the part that stays, c the context
/// ```
///
/// Paper: Kingma, Dhariwal (2018), Glow, section 3.6 and its code, arXiv:1807.03039.
///
/// # Panics
///
/// If the part or the context has another width than the prior was built for.
#[derive(Module, Debug, Serialize)]
pub struct ChannelPrior {
    #[serde(with = "crate::store::part")]
    mean: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    log_scale: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    class: Option<Linear>,
    #[serde(with = "crate::store::part")]
    stays: Option<Conv2d>,
    context: usize,
    #[module(skip)]
    scale_map: ScaleMap,
}
}

impl ChannelPrior {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        crate::store::shaped(
            "ChannelPrior",
            "log_scale",
            &self.mean.dims(),
            self.log_scale.dims(),
        )?;
        let found = self.class.as_ref().map_or(0, |class| class.weight.dims()[0]);
        let reason =
            || format!("must be {found} (input width of the weights), found {}", self.context);
        crate::store::require("ChannelPrior", "context", found == self.context, reason)?;
        self.scale_map.validate()
    }
}

impl ChannelPriorConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("ChannelPriorConfig", "channels", 1, self.channels)?;
        count("ChannelPriorConfig", "kept", 0, self.kept)?;
        fits("ChannelPriorConfig", "kept", &[self.kept, 2 * self.channels, 3, 3])?;
        count("ChannelPriorConfig", "context", 0, self.context)?;
        fits("ChannelPriorConfig", "context", &[self.context, 2 * self.channels])?;
        self.scale_map.validate()
    }

    construct! {
        /// Builds the prior.
        unseeded(device: &Device) -> ChannelPrior
    }

    fn build(&self, device: &Device) -> ChannelPrior {
        let zeros = || Param::from_tensor(Tensor::zeros([self.channels], device));
        let both = 2 * self.channels;
        let class = LinearConfig::new(self.context, both)
            .with_bias(false)
            .with_initializer(Initializer::Zeros);
        let stays = Conv2dConfig::new([self.kept, both], [3, 3])
            .with_padding(PaddingConfig2d::Same)
            .with_bias(false)
            .with_initializer(Initializer::Zeros);
        ChannelPrior {
            mean: zeros(),
            log_scale: zeros(),
            class: (self.context > 0).then(|| class.init(device)),
            stays: (self.kept > 0).then(|| stays.init(device)),
            context: self.context,
            scale_map: self.scale_map,
        }
    }
}

impl ChannelPrior {
    /// Builds a prior from given means and raw log-scales per channel, and per class
    /// `[classes, 2 * channels]`.
    #[cfg(feature = "interop")]
    pub(crate) fn from_weights(
        mean: Tensor<1>,
        log_scale: Tensor<1>,
        class: Option<Tensor<2>>,
        scale_map: ScaleMap,
    ) -> Self {
        let context = class.as_ref().map_or(0, |c| c.dims()[0]);
        let class = class.map(|weight| Linear { weight: Param::from_tensor(weight), bias: None });
        let (mean, log_scale) = (Param::from_tensor(mean), Param::from_tensor(log_scale));
        Self { mean, log_scale, class, stays: None, context, scale_map }
    }

    /// The mean and the log-scale, broadcastable over a part of this shape.
    fn mean_and_log_scale(
        &self,
        shape: [usize; 4],
        kept: Option<&Tensor<4>>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<4>, Tensor<4>) {
        let channels = self.mean.lazy_shape()[0];
        let found = shape[1];
        check_rows("ChannelPrior", shape[0], context);
        assert!(
            found == channels,
            "ChannelPrior: expected shape [batch, {channels}, ..], found {:?}",
            [callers_rows(shape[0]), found, shape[2], shape[3]]
        );
        let mut params = Tensor::cat(vec![self.mean.val(), self.log_scale.val()], 0).reshape([
            1,
            2 * channels,
            1,
            1,
        ]);
        if let Some(class) = &self.class {
            check_context("ChannelPrior", self.context, context);
            let context = context.expect("checked: the width is at least 1");
            let rows = context.dims()[0];
            params = params + class.forward(context.clone()).reshape([rows, 2 * channels, 1, 1]);
        }
        if let Some(stays) = &self.stays {
            let kept = kept.expect("ChannelPrior: expected the kept part, found none");
            params = params + stays.forward(kept.clone());
        }
        let part = |k: usize| params.clone().narrow(1, k * channels, channels);
        (part(0), self.scale_map.log_scale(part(1)))
    }
}

impl LevelBase for ChannelPrior {
    fn log_prob(
        &self,
        z: Tensor<4>,
        kept: Option<&Tensor<4>>,
        context: Option<&Tensor<2>>,
    ) -> Tensor<1> {
        let (mean, log_scale) = self.mean_and_log_scale(z.dims(), kept, context);
        let (z, mean, log_scale) = (wide(z), wide(mean), wide(log_scale));
        let constant = event_len(&z) as f64 * LN_2PI;
        let standard = (z.clone() - mean) * log_scale.clone().neg().exp();
        let shape = z.dims();
        (sum_event(standard.square()) + constant) * -0.5 - sum_event(log_scale.expand(shape))
    }

    fn draw(
        &self,
        noise: Tensor<4>,
        kept: Option<&Tensor<4>>,
        context: Option<&Tensor<2>>,
    ) -> Tensor<4> {
        let (mean, log_scale) = self.mean_and_log_scale(noise.dims(), kept, context);
        noise.cast(mean.dtype()) * log_scale.exp() + mean
    }
}
