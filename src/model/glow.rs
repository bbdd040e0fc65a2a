//! Glow: multi-scale steps of ActNorm, an invertible 1x1 convolution and a coupling.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::image::{Levels, finished};
use super::of_layer;
use crate::bijector::{
    ActNorm, ActNormConfig, Bijector, Conv1x1Matrix, Coupling, InvertibleConv1x1,
    InvertibleConv1x1Config, Mask, Permutation, Recovery, Squeeze,
};
use crate::conditioner::{ConvNet, ConvNetConfig};
use crate::config::{construct, seeded_config};
use crate::distribution::{ChannelPrior, ChannelPriorConfig};
use crate::error::{Result, repeats};
use crate::flow::{Finish, MultiScale};
use crate::initial;
use crate::univariate::{AnyUnivariate, AnyUnivariateConfig, ScaleMap, Univariate};

/// How a step of [`Glow`] mixes the channels.
///
/// ```
/// use burn_flows::model::{ChannelMixing, GlowConfig};
///
/// let config = GlowConfig::new([1, 8, 8], 2).with_mixing(ChannelMixing::Reverse);
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChannelMixing {
    /// Reverses the order of the channels.
    Reverse,
    /// Permutes the channels by a random order for each step, drawn from the seed of the model.
    Shuffle,
    /// Applies an invertible 1x1 convolution, initialised as a random rotation.
    Convolution(Conv1x1Matrix),
}

seeded_config! {
/// Configuration of a [`Glow`].
///
/// ```
/// use burn_flows::{conditioner::ConvNetConfig, model::GlowConfig};
///
/// let config = GlowConfig::new([3, 32, 32], 3).with_steps(16).with_network(ConvNetConfig::new(128));
/// assert!(config.validate().is_ok());
/// let error = GlowConfig::new([1, 8, 6], 2).validate().unwrap_err();
/// let text = "GlowConfig.image: level 2 of 2 cannot squeeze 4x3 pixels, an odd size; \
///     1 level fits, more if the images are padded";
/// assert_eq!(error.to_string(), text);
/// ```
pub struct GlowConfig {
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// Number of levels. Each level halves height and width, so both must be divisible by 2 to the power of `levels`.
    pub levels: usize,
    /// Number of steps of each level. More steps fit more complex densities and cost proportionally more time.
    #[config(default = 8)]
    pub steps: usize,
    /// The conditioner of every coupling. More channels fit more complex densities.
    #[config(default = ConvNetConfig::new(64))]
    pub network: ConvNetConfig,
    /// The scalar map of every coupling.
    #[config(default = AnyUnivariateConfig::Affine(ScaleMap::default()))]
    pub univariate: AnyUnivariateConfig,
    /// How each step mixes the channels.
    #[config(default = ChannelMixing::Convolution(Conv1x1Matrix::Lu))]
    pub mixing: ChannelMixing,
    /// Number of context features, for example the number of one-hot classes; 0 for an unconditional model. All
    /// networks and priors receive the context.
    #[config(default = 0)]
    pub context: usize,
    /// Whether the prior of a finished part is conditioned on the part that goes to the next level.
    #[config(default = true)]
    pub prior_on_kept: bool,
}
}

crate::layers! {
    /// One step: ActNorm, channel mixing, coupling.
    pub struct GlowStep {
        /// Scale and shift of every channel.
        pub actnorm: ActNorm,
        /// The channel mixing.
        pub mix: Mix,
        /// The coupling between the two halves of the channels.
        pub coupling: Coupling<AnyUnivariate, ConvNet>,
    }
}

crate::layers! {
    /// One level of a [`Glow`].
    pub struct GlowLevel {
        /// The squeeze, which turns blocks of pixels into channels.
        pub squeeze: Squeeze,
        /// The steps of the level.
        pub steps: Vec<GlowStep>,
    }
}

/// A multi-scale flow of images. For images in `[0, 1]`, put a [`Logit`](crate::bijector::Logit) in front:
/// `Flow::new(logit, glow)`.
///
/// ```text
/// level     squeeze, steps, then a split: half of the channels is finished
/// step      coupling(conv1x1(actnorm(h)))
/// ```
///
/// Paper: Kingma, Dhariwal (2018), Glow: Generative Flow with Invertible 1x1 Convolutions,
/// arXiv:1807.03039.
///
/// # When to take it
///
/// - Take it for images; pass classes as the context.
/// - Prefer [`RealNvpImage`](super::RealNvpImage) where neighbouring pixels matter more than channels. Prefer
///   [`Nsf`](super::Nsf) on the flattened pixels for small images.
/// - Measured: 12.3 ms for the densities of 32 images of 3x16x16, 45.7 ms for a training step (`benches/README.md`).
///
/// # Shapes
///
/// - images `[batch, channels, height, width]`; latent parts with the shapes that `parts` returns
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::model::{Glow, GlowConfig};
///
/// let device = Device::flex();
/// let flow: Glow = GlowConfig::new([1, 8, 8], 2).with_steps(2).init(&device);
/// let x = Tensor::<4>::ones([3, 1, 8, 8], &device);
/// assert_eq!(flow.log_prob(x.clone()).dims(), [3]);
/// let parts = flow.encode(x.clone());
/// assert_eq!((parts[0].dims(), parts[1].dims()), ([3, 2, 4, 4], [3, 8, 2, 2]));
/// let round_trip = (flow.decode(parts) - x).abs().max().into_scalar::<f32>();
/// assert!(round_trip < 1e-5);
/// ```
pub type Glow = MultiScale<GlowLevel, ChannelPrior>;

/// A channel mixing chosen at run time.
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
#[allow(clippy::large_enum_variant, reason = "burn has no Module for Box")]
#[non_exhaustive]
pub enum Mix {
    /// A fixed permutation of the channels.
    Permutation(Permutation),
    /// A learned matrix that multiplies the channels.
    Convolution(InvertibleConv1x1),
}

crate::display::display!(Mix);

impl Bijector<4> for Mix {
    fn forward(&self, x: Tensor<4>, context: Option<&Tensor<2>>) -> (Tensor<4>, Tensor<1>) {
        match self {
            Self::Permutation(layer) => layer.forward(x, context),
            Self::Convolution(layer) => layer.forward(x, context),
        }
    }

    fn inverse(&self, z: Tensor<4>, context: Option<&Tensor<2>>) -> Tensor<4> {
        match self {
            Self::Permutation(layer) => layer.inverse(z, context),
            Self::Convolution(layer) => layer.inverse(z, context),
        }
    }

    fn log_det_jacobian(&self, x: Tensor<4>, context: Option<&Tensor<2>>) -> Tensor<1> {
        match self {
            Self::Permutation(layer) => layer.log_det_jacobian(x, context),
            Self::Convolution(layer) => layer.log_det_jacobian(x, context),
        }
    }

    fn recovery(&self) -> Recovery {
        Recovery::Inverse
    }
}

impl GlowConfig {
    fn shape(&self) -> Levels {
        Levels { config: "GlowConfig", image: self.image, levels: self.levels }
    }

    /// Returns an error that names the first invalid field. If the image is too small for `levels`, the error names the
    /// level that does not fit and the image size there.
    pub fn validate(&self) -> Result<()> {
        self.shape().validate()?;
        repeats("GlowConfig", "steps", 1, self.steps)?;
        self.univariate.validate_on_line("GlowConfig")?;
        let half = self.shape().last()[0] / 2;
        let outputs = half.saturating_mul(self.univariate.init().params_per_element());
        self.network.validate_between(half, outputs, self.context)?;
        self.priors().iter().try_for_each(ChannelPriorConfig::validate)
    }

    /// The prior of every part.
    fn priors(&self) -> Vec<ChannelPriorConfig> {
        let squeezed = self.shape().squeezed();
        let parts = finished(&squeezed);
        let prior = |(index, part): (usize, &[usize; 3])| {
            let last = index + 1 == parts.len();
            let kept = squeezed[index][0] - part[0];
            ChannelPriorConfig::new(part[0])
                .with_kept(if last || !self.prior_on_kept { 0 } else { kept })
                .with_context(self.context)
        };
        parts.iter().enumerate().map(prior).collect()
    }

    construct! {
        /// Builds the flow, whose ActNorm layers are initialised by a first batch.
        seeded(device: &Device) -> Glow
    }

    fn build(&self, device: &Device) -> Glow {
        let squeezed = self.shape().squeezed();
        let levels = squeezed.iter().enumerate().map(|(index, &event)| {
            let step = |number| self.step(event, index * self.steps + number, device);
            GlowLevel { squeeze: Squeeze::default(), steps: (0..self.steps).map(step).collect() }
        });
        let parts = finished(&squeezed);
        let priors = self.priors().iter().map(|prior| prior.init(device)).collect();
        let levels = levels.collect();
        let flow = MultiScale::new(levels, priors, Finish::Last, parts).expect("validated");
        flow.of_images("Glow", self.image)
    }

    fn step(&self, event: [usize; 3], number: usize, device: &Device) -> GlowStep {
        let channels = event[0];
        let mix = match self.mixing {
            ChannelMixing::Reverse => {
                Mix::Permutation(Permutation::reverse(channels, device).expect("validated"))
            }
            ChannelMixing::Shuffle => {
                let seed = initial::seed(None, device);
                Mix::Permutation(Permutation::random(channels, seed, device).expect("validated"))
            }
            ChannelMixing::Convolution(parameterisation) => Mix::Convolution(
                InvertibleConv1x1Config::new(channels)
                    .with_parameterisation(parameterisation)
                    .init(device),
            ),
        };
        let network = of_layer!(self.network, number);
        let network = |from, to| network.init(from, to, self.context, device);
        let coupling =
            Coupling::new(&Mask::Halves, &event, self.univariate.init(), network, device);
        let actnorm = ActNormConfig::new(channels).init(device);
        GlowStep { actnorm, mix, coupling: coupling.expect("validated") }
    }
}
