//! Real NVP for images: checkerboard couplings, squeeze, channel couplings, per level.

use burn::tensor::Device;

use super::image::{Levels, finished};
use super::of_layer;
use crate::bijector::{ActNorm, ActNormConfig, Coupling, Mask, Squeeze};
use crate::conditioner::{ResidualConvNet, ResidualConvNetConfig};
use crate::config::{construct, seeded_config};
use crate::distribution::{ChannelPrior, ChannelPriorConfig};
use crate::error::Result;
use crate::flow::{Finish, MultiScale};
use crate::univariate::Affine;

/// Number of couplings before the squeeze, and after it, with alternating masks. Value from the paper.
const COUPLINGS: usize = 3;

seeded_config! {
/// Configuration of a [`RealNvpImage`].
///
/// ```
/// use burn_flows::model::RealNvpImageConfig;
///
/// assert!(RealNvpImageConfig::new([3, 32, 32], 3).validate().is_ok());
/// let error = RealNvpImageConfig::new([3, 32, 32], 6).validate().unwrap_err();
/// let text = "RealNvpImageConfig.image: level 6 of 6 cannot squeeze 1x1 pixels, an odd size; \
///     5 levels fit, more if the images are padded";
/// assert_eq!(error.to_string(), text);
/// ```
pub struct RealNvpImageConfig {
    /// Channels, height and width of an image.
    pub image: [usize; 3],
    /// Number of levels. Each level halves height and width, so both must be divisible by 2 to the power of `levels`.
    pub levels: usize,
    /// The conditioner of every coupling. More channels and blocks fit more complex densities.
    #[config(default = ResidualConvNetConfig::new(32))]
    pub network: ResidualConvNetConfig,
    /// Number of context features; 0 for an unconditional model. All networks and priors receive the context.
    #[config(default = 0)]
    pub context: usize,
}
}

crate::layers! {
    /// One step: a coupling, then ActNorm.
    pub struct RealNvpImageStep {
        /// The coupling.
        pub coupling: Coupling<Affine, ResidualConvNet>,
        /// Scale and shift of every channel.
        pub actnorm: ActNorm,
    }
}

crate::layers! {
    /// One level of a [`RealNvpImage`]: couplings with checkerboard masks, then couplings between channels.
    pub struct RealNvpImageLevel {
        /// The couplings with checkerboard masks.
        pub checkerboard: Vec<RealNvpImageStep>,
        /// The squeeze, which turns blocks of pixels into channels.
        pub squeeze: Squeeze,
        /// The couplings between halves of the channels.
        pub halves: Vec<RealNvpImageStep>,
    }
}

/// A multi-scale flow of images. For images in `[0, 1]`, put a [`Logit`](crate::bijector::Logit) in front:
/// `Flow::new(logit, flow)`.
///
/// ```text
/// level     3 checkerboard steps, squeeze, 3 channel steps, then a split
/// split     half of the channels is finished
/// step      actnorm(coupling(h))
/// ```
///
/// Paper: Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, sections 3.4 to 3.7,
/// arXiv:1605.08803. ActNorm replaces the batch normalization of the paper, so that the density of a row does not
/// depend on its batch.
///
/// # When to take it
///
/// - Take it for small grey images: checkerboard couplings mix neighbouring pixels in the first layer.
/// - Prefer [`Glow`](super::Glow) for images with channels.
/// - Measured: it learns handwritten digits to the bar of `cargo test --release --test learn digits`.
///
/// # Shapes
///
/// - images `[batch, channels, height, width]`; latent parts with the shapes that `parts` returns
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{conditioner::ResidualConvNetConfig, model::{RealNvpImage, RealNvpImageConfig}};
///
/// let device = Device::flex();
/// let network = ResidualConvNetConfig::new(4).with_blocks(1);
/// let flow: RealNvpImage = RealNvpImageConfig::new([1, 8, 8], 2).with_network(network).init(&device);
/// assert_eq!(flow.log_prob(Tensor::ones([3, 1, 8, 8], &device)).dims(), [3]);
/// assert_eq!(flow.sample_seeded(2, 1).dims(), [2, 1, 8, 8]);
/// ```
pub type RealNvpImage = MultiScale<RealNvpImageLevel, ChannelPrior>;

impl RealNvpImageConfig {
    fn shape(&self) -> Levels {
        Levels { config: "RealNvpImageConfig", image: self.image, levels: self.levels }
    }

    /// Returns an error that names the first invalid field. If the image is too small for `levels`, the error names the
    /// level that does not fit and the image size there.
    pub fn validate(&self) -> Result<()> {
        self.shape().validate()?;
        // The network of a checkerboard coupling reads all channels and outputs a factor and a shift for each channel.
        let [channels, ..] = self.shape().last();
        self.network.validate_between(channels, 2 * channels, self.context)?;
        finished(&self.shape().squeezed()).iter().try_for_each(|part| self.prior(part).validate())
    }

    fn prior(&self, part: &[usize; 3]) -> ChannelPriorConfig {
        ChannelPriorConfig::new(part[0]).with_context(self.context)
    }

    construct! {
        /// Builds the flow, whose ActNorm layers are initialised by a first batch.
        seeded(device: &Device) -> RealNvpImage
    }

    fn build(&self, device: &Device) -> RealNvpImage {
        let squeezed = self.shape().squeezed();
        let levels = squeezed.iter().enumerate().map(|(level, &[channels, height, width])| {
            let first = 2 * COUPLINGS * level;
            let before = [channels / 4, 2 * height, 2 * width];
            let after = [channels, height, width];
            RealNvpImageLevel {
                checkerboard: self.steps(Mask::Checkerboard, before, first, device),
                squeeze: Squeeze::default(),
                halves: self.steps(Mask::Halves, after, first + COUPLINGS, device),
            }
        });
        let parts = finished(&squeezed);
        let prior = |part: &[usize; 3]| self.prior(part).init(device);
        let (levels, priors) = (levels.collect(), parts.iter().map(prior).collect());
        let flow = MultiScale::new(levels, priors, Finish::Last, parts).expect("validated");
        flow.of_images("RealNvpImage", self.image)
    }

    /// Builds couplings; `first` is the index of their first coupling in the whole model.
    fn steps(
        &self,
        mask: Mask,
        event: [usize; 3],
        first: usize,
        device: &Device,
    ) -> Vec<RealNvpImageStep> {
        let step = |number: usize| {
            let mask = if number.is_multiple_of(2) { mask.clone() } else { mask.clone().flipped() };
            let network = of_layer!(self.network, first + number);
            let network = |from, to| network.init(from, to, self.context, device);
            let coupling = Coupling::new(&mask, &event, Affine::default(), network, device);
            let actnorm = ActNormConfig::new(event[0]).init(device);
            RealNvpImageStep { coupling: coupling.expect("validated"), actnorm }
        };
        (0..COUPLINGS).map(step).collect()
    }
}
