//! Mixture of normals with diagonal covariances.

use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Device, Tensor, TensorData};
use serde::Serialize;

use super::{Distribution, check_event, drawn_by_weight, finite};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits};
use crate::initial;
use crate::math::{LN_2PI, like, log_sum_exp, wide};
use crate::moments::Moments;
use crate::noise::Noise;
use crate::param::{flag, index_tensor, replaced};
use crate::rows::check_rows;

/// Added to the standard deviation of the data. Without it, a constant column starts with a scale of 0
/// and an infinite density.
const STD_FLOOR: f64 = 1e-6;

/// The initialisation from data moves every mean off its row by this share of the spread. It separates
/// components that start from equal rows. Without it, equal components have equal gradients and stay
/// equal.
const JITTER: f64 = 0.01;

seeded_config! {
/// Configuration of a [`GaussianMixture`].
///
/// ```
/// use burn_flows::distribution::GaussianMixtureConfig;
///
/// assert!(GaussianMixtureConfig::new(2, 8).validate().is_ok());
/// let error = GaussianMixtureConfig::new(2, 0).validate().unwrap_err();
/// assert_eq!(error.to_string(), "GaussianMixtureConfig.components: must be at least 1, found 0");
/// ```
pub struct GaussianMixtureConfig {
    /// Number of features of an event.
    pub features: usize,
    /// Number of normals. More components fit more modes; time and memory grow linearly with it.
    pub components: usize,
    /// Whether means, scales and weights are learned. Set it to `false` to keep them fixed in training.
    #[config(default = true)]
    pub learned: bool,
}
}

crate::store::checked! {
/// `K` normals with diagonal covariances and weights, all learned.
///
/// ```text
/// log p(x) = ln sum_k exp(ln w_k + ln N(x; m_k, e^(s_k)))        w = softmax(a)
/// sample     k with probability w_k, then x = m_k + e^(s_k) * noise
/// ```
///
/// As a base of flows: Stimper, Schölkopf, Hernández-Lobato (2022), Resampling Base Distributions
/// of Normalizing Flows, arXiv:2110.15828, compares with it.
///
/// The mixture starts with standard normal means, scales of 1 and equal weights. Initialise it from
/// data if there are data: `fit` calls [`Distribution::init_from_data`] on its first batch. The means
/// then become rows of the batch, and the scales become the spread of its columns over
/// `K^(1 / features)`. A saved record contains whether this has happened, so a loaded mixture keeps its
/// weights.
///
/// # Shapes
///
/// - `[batch, features]`. Evaluation takes memory for `batch * K * features` numbers.
///
/// # Numerics
///
/// The likelihood of a mixture has no maximum: a component centred on one row gains by shrinking. Use a
/// validation set, or stop early, as with any other model.
///
/// A draw is differentiable in means and scales. It is not differentiable in the weights, which choose
/// the component.
///
/// # Panics
///
/// If the event does not have `features` elements.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::{Distribution, GaussianMixtureConfig};
///
/// let x = Tensor::<2>::from_data([[-5.0], [5.0], [-5.2], [5.2]], &Device::flex());
/// let mixture = GaussianMixtureConfig::new(1, 2).init(&Device::flex());
/// let before = mixture.log_prob(x.clone(), None).mean().into_scalar::<f32>();
/// let mixture = mixture.init_from_data(x.clone(), None);
/// assert!(mixture.is_initialized());
/// assert!(mixture.log_prob(x, None).mean().into_scalar::<f32>() > before);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct GaussianMixture {
    #[serde(with = "crate::store::part")]
    mean: Param<Tensor<2>>,
    #[serde(with = "crate::store::part")]
    log_scale: Param<Tensor<2>>,
    #[serde(with = "crate::store::part")]
    logits: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    initialized: Param<Tensor<1, Bool>>,
}
}

impl GaussianMixture {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        let shape = self.mean.dims();
        crate::store::shaped("GaussianMixture", "log_scale", &shape, self.log_scale.dims())?;
        crate::store::shaped("GaussianMixture", "logits", &shape[..1], self.logits.dims())?;
        crate::store::shaped("GaussianMixture", "initialized", &[1], self.initialized.dims())
    }
}

impl GaussianMixtureConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("GaussianMixtureConfig", "features", 1, self.features)?;
        count("GaussianMixtureConfig", "components", 1, self.components)?;
        fits("GaussianMixtureConfig", "components", &[self.components, self.features])
    }

    construct! {
        /// Builds the mixture without initialisation from data.
        seeded(device: &Device) -> GaussianMixture
    }

    fn build(&self, device: &Device) -> GaussianMixture {
        let shape = [self.components, self.features];
        let mut noise = Noise::seeded(initial::seed(self.seed, device));
        let mean = noise.normal::<2>(shape, device);
        let mean = if device.is_autodiff() { mean.autodiff() } else { mean };
        let log_scale = Tensor::zeros(shape, device);
        let logits = Tensor::zeros([self.components], device);
        GaussianMixture {
            mean: Param::from_tensor(mean).set_require_grad(self.learned),
            log_scale: Param::from_tensor(log_scale).set_require_grad(self.learned),
            logits: Param::from_tensor(logits).set_require_grad(self.learned),
            initialized: flag(false, device),
        }
    }
}

impl GaussianMixture {
    /// Builds a mixture that is never trained, with these means and scales, both
    /// `[components, features]`, and weights `[components]`. The weights are divided by their sum.
    ///
    /// # Errors
    ///
    /// If a mean is not finite, or a scale or weight is not positive and finite.
    ///
    /// # Panics
    ///
    /// If the shapes do not fit together.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::distribution::{Distribution, GaussianMixture};
    ///
    /// let device = Device::flex();
    /// let means = Tensor::<2>::from_data([[-1.0], [1.0]], &device);
    /// let weights = Tensor::<1>::from_data([3.0, 1.0], &device);
    /// let mixture = GaussianMixture::fixed(means.clone(), means.ones_like() * 0.01, weights)?;
    /// let ratio = mixture.log_prob(means, None).into_data().try_to_vec_as::<f32>().unwrap();
    /// assert!((ratio[0] - ratio[1] - 3f32.ln()).abs() < 1e-5);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn fixed(means: Tensor<2>, scales: Tensor<2>, weights: Tensor<1>) -> Result<Self> {
        let (shape, found) = (means.dims(), (scales.dims(), weights.dims()));
        assert!(
            found == (shape, [shape[0]]),
            "GaussianMixture: expected scales of shape {shape:?} and weights of shape [{}], found \
             {:?} and {:?}",
            shape[0],
            found.0,
            found.1
        );
        finite("GaussianMixture", "means", &means, f64::NEG_INFINITY)?;
        finite("GaussianMixture", "scales", &scales, 0.0)?;
        finite("GaussianMixture", "weights", &weights, 0.0)?;
        let device = means.device();
        let fix = |t: Tensor<2>| Param::from_tensor(t.without_autodiff()).set_require_grad(false);
        let logits = weights.without_autodiff().log();
        Ok(Self {
            mean: fix(means),
            log_scale: fix(scales.log()),
            logits: Param::from_tensor(logits).set_require_grad(false),
            initialized: flag(true, &device),
        })
    }

    /// Whether means and scales were set from data, by [`fixed`](Self::fixed), or by a file that
    /// records it.
    pub fn is_initialized(&self) -> bool {
        self.initialized.val().into_scalar::<u8>() != 0
    }

    /// A seed computed from the initial means, which the seed of the configuration determines.
    fn own_seed(&self) -> u64 {
        let means = self.mean.val().into_data();
        means.iter::<f64>().fold(0, |seed: u64, mean| seed.rotate_left(7) ^ mean.to_bits())
    }

    /// The shape `[components, features]`.
    fn shape(&self) -> [usize; 2] {
        self.mean.val().dims()
    }
}

impl Distribution<2> for GaussianMixture {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let [components, features] = self.shape();
        check_event("GaussianMixture", &[features], &x, context);
        let batch = x.dims()[0];
        let log_scale = wide(self.log_scale.val());
        let difference = wide(x).unsqueeze_dim::<3>(1) - wide(self.mean.val()).unsqueeze_dim(0);
        let standard = difference * log_scale.clone().neg().exp().unsqueeze_dim(0);
        let squares = standard.square().sum_dim(2).reshape([batch, components]);
        let log_weight = log_softmax(wide(self.logits.val()), 0).unsqueeze_dim::<2>(0);
        let log_volume = log_scale.sum_dim(1).reshape([1, components]);
        let terms = squares * -0.5 + (log_weight - log_volume);
        log_sum_exp(terms, 1).reshape([batch]) - 0.5 * LN_2PI * features as f64
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        check_rows("GaussianMixture", n, context);
        let mean = self.mean.val();
        let weights = log_softmax(self.logits.val().without_autodiff(), 0).exp();
        let [_, features] = self.shape();
        let mut standard = Vec::with_capacity(n * features);
        let chosen = drawn_by_weight(weights.unsqueeze_dim(0), n, noise, |noise| {
            standard.extend((0..features).map(|_| noise.next_normal()));
        });
        let chosen = index_tensor(&chosen, &mean.device());
        let options = (&device.clone().without_autodiff(), mean.dtype());
        let standard = Tensor::<2>::from_data(TensorData::new(standard, [n, features]), options);
        let scale = self.log_scale.val().select(0, chosen.clone()).exp();
        standard * scale + mean.select(0, chosen)
    }

    fn init_from_data(self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Self {
        let [components, features] = self.shape();
        check_event("GaussianMixture", &[features], &x, context);
        let rows = x.dims()[0];
        if self.is_initialized() || rows == 0 {
            return self;
        }
        let x = x.without_autodiff();
        let device = x.device();
        let mut noise = Noise::seeded(self.own_seed());
        let order = noise.permutation(rows);
        let chosen: Vec<i64> = (0..components).map(|k| order[k % rows] as i64).collect();
        let chosen = TensorData::new(chosen, [components]);
        let std = like(Moments::of_elements(&x).deviation(), &x).unsqueeze() + STD_FLOOR;
        // The components share the volume of the data equally.
        let share = (components as f64).powf(-1.0 / features as f64);
        let log_scale = (std.clone() * share).log().expand([components, features]);
        let jitter =
            noise.fill::<2>([components, features], (&device, x.dtype()), Noise::next_normal)
                * JITTER;
        let mean = x.select(0, Tensor::from_data(chosen, &device)) + jitter * std;
        Self {
            mean: replaced(self.mean, mean),
            log_scale: replaced(self.log_scale, log_scale),
            logits: self.logits,
            initialized: self.initialized.map(|_| flag(true, &device).val()),
        }
    }
}
