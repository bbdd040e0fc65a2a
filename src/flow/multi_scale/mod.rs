//! Multi-scale flows: after every level but the last, a part of the channels becomes latent, and the rest continues.

mod density;

use burn::module::Module;
use burn::tensor::{Tensor, TensorCreationOptions};
use serde::{Deserialize, Serialize};

use super::{fitted, float_dtype, size};
use crate::bijector::Bijector;
use crate::crew::apart;
use crate::distribution::{LevelBase, given};
use crate::error::{Error, Result, not_negative};
use crate::math::zeros_batch;
use crate::noise::Noise;
use crate::parallel::over_rows;
use crate::rows::callers_dims;

/// Which channels become latent at a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Finish {
    /// The first half, rounded up, as in nflows.
    First,
    /// The second half, rounded up, as in Glow.
    Last,
}

crate::store::checked! {
/// A multi-scale flow: a bijector per level, a split after every level but the last, and a base per latent part.
///
/// ```text
/// h_0 = x,  (h_l, z_l) = split(f_l(h_{l-1})),  the last level gives z_L alone
/// log p(x) = sum of ln |det f_l| + log p_l(z_l | h_l)
/// ```
///
/// Papers: Dinh, Sohl-Dickstein, Bengio (2017), Real NVP, section 3.6, arXiv:1605.08803; Kingma,
/// Dhariwal (2018), Glow, figure 2b, arXiv:1807.03039.
///
/// The latent is a list of tensors, starting with the part of the first level. [`encode_flat`](Self::encode_flat) joins
/// the parts into one vector. A multi-scale flow is a [`Distribution`](crate::distribution::Distribution), so `fit`
/// trains it. It is also a base of a [`Flow`](crate::Flow). Use that for preprocessing: `Flow::new((logit,
/// standardize), multi_scale)`.
///
/// # Shapes
///
/// - images `[batch, channels, height, width]`
///
/// # Panics
///
/// If the images or the context have a shape other than the levels were built for.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{Finish, MultiScale, bijector::ActNormConfig, distribution::ChannelPriorConfig};
///
/// let device = Device::flex();
/// let levels = vec![ActNormConfig::new(4).init(&device), ActNormConfig::new(2).init(&device)];
/// let bases = vec![ChannelPriorConfig::new(2).init(&device), ChannelPriorConfig::new(2).init(&device)];
/// let flow = MultiScale::new(levels, bases, Finish::Last, vec![[2, 8, 8], [2, 8, 8]])?;
/// let x = flow.sample_seeded(3, 1);
/// let parts = flow.encode(x.clone());
/// assert_eq!((parts[0].dims(), parts[1].dims()), ([3, 2, 8, 8], [3, 2, 8, 8]));
/// flow.decode(parts).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct MultiScale<B, P> {
    levels: Vec<B>,
    bases: Vec<P>,
    #[module(skip)]
    finish: Finish,
    /// Shapes of the latent parts, without the batch axis.
    #[module(skip)]
    parts: Vec<[usize; 3]>,
    temperature: f64,
    /// The model's name and the shape of its images, if they are known.
    #[module(skip)]
    images: Option<(String, [usize; 3])>,
}
}

impl<B, P> MultiScale<B, P> {
    /// Returns an error if the fields that were read from a file are invalid.
    fn sound(&self) -> Result<()> {
        let (levels, bases, parts) = (self.levels.len(), self.bases.len(), self.parts.len());
        let reason = || {
            format!(
                "needs 1 base and 1 part per level, found {levels} levels, {bases} bases and \
                 {parts} parts"
            )
        };
        let alike = levels > 0 && bases == levels && parts == levels;
        crate::store::require("MultiScale", "levels", alike, reason)?;
        let fits = self.temperature >= 0.0 && self.temperature.is_finite();
        let reason = || format!("must be at least 0 and finite, found {}", self.temperature);
        crate::store::require("MultiScale", "temperature", fits, reason)?;
        let latents = self.parts.iter().try_fold(0_usize, |all, part| {
            let own = part.iter().try_fold(1_usize, |all, axis| all.checked_mul(*axis))?;
            all.checked_add(own)
        });
        let reason = || format!("overflows in its number of elements, found {:?}", self.parts);
        crate::store::require("MultiScale", "parts", latents.is_some(), reason)
    }
}

impl<B: Bijector<4>, P: LevelBase> MultiScale<B, P> {
    /// The flow of these levels, from the image inward. `parts` are the shapes of the latent parts, without the batch
    /// axis.
    ///
    /// # Errors
    ///
    /// If there are no levels, or the number of bases or of parts differs from the number of levels.
    pub fn new(
        levels: Vec<B>,
        bases: Vec<P>,
        finish: Finish,
        parts: Vec<[usize; 3]>,
    ) -> Result<Self> {
        if levels.is_empty() || bases.len() != levels.len() || parts.len() != levels.len() {
            let reason = format!(
                "needs at least 1 level, with 1 base and 1 part per level; found {} levels, {} \
                 bases and {} parts",
                levels.len(),
                bases.len(),
                parts.len()
            );
            return Err(Error::config("MultiScale", "levels", reason));
        }
        Ok(Self { levels, bases, finish, parts, temperature: 1.0, images: None })
    }

    /// The same flow, which checks the shape of its images before a layer does. The message names `model`.
    pub(crate) fn of_images(self, model: &'static str, shape: [usize; 3]) -> Self {
        Self { images: Some((model.to_string(), shape)), ..self }
    }

    /// Checks that images and context fit, and returns a context with a row for each image.
    #[track_caller]
    fn fitted(&self, x: &Tensor<4>, context: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let found = callers_dims(x);
        if let Some((model, shape)) = &self.images
            && found[1..] != shape[..]
        {
            let [channels, height, width] = *shape;
            let last = found[1..] == [height, width, channels];
            let advice = if last { "; move the channels to axis 1" } else { "" };
            panic!(
                "{model}: expected images [batch, {channels}, {height}, {width}] (channels, height, \
                 width), found shape {found:?}{advice}"
            );
        }
        fitted(self, x.dims()[0], Some(x.dtype()), context)
    }

    /// The same flow with the standard normal noise of its bases multiplied by `temperature`. Below 1, samples are
    /// closer to the mode and less varied. Densities are those of temperature 1.
    ///
    /// # Errors
    ///
    /// If the temperature is negative or not finite.
    pub fn with_temperature(self, temperature: f64) -> Result<Self> {
        not_negative("MultiScale", "temperature", temperature)?;
        Ok(Self { temperature, ..self })
    }

    /// The bijectors, from the image inward.
    pub fn levels(&self) -> &[B] {
        &self.levels
    }

    /// The bases, the densities of the latent parts.
    pub fn bases(&self) -> &[P] {
        &self.bases
    }

    /// The shapes of the latent parts, without the batch axis, starting with the first level.
    pub fn parts(&self) -> &[[usize; 3]] {
        &self.parts
    }

    given! {}

    /// `ln p(x)` in nats, shape `[batch]`.
    pub fn log_prob(&self, x: Tensor<4>) -> Tensor<1> {
        self.given(None).log_prob(x)
    }

    /// `ln p(x)` without a graph, `batch` rows per pass, as [`Flow::log_prob_batched`](super::Flow::log_prob_batched).
    ///
    /// # Panics
    ///
    /// If `batch` is 0.
    pub fn log_prob_batched(&self, x: Tensor<4>, batch: usize) -> Tensor<1> {
        self.given(None).log_prob_batched(x, batch)
    }

    /// Draws `n` new events. The noise is seeded from the entropy of the operating system.
    pub fn sample(&self, n: usize) -> Tensor<4> {
        self.given(None).sample(n)
    }

    /// Draws `n` new events from a seed: the same numbers on every backend, up to its rounding.
    pub fn sample_seeded(&self, n: usize, seed: u64) -> Tensor<4> {
        self.given(None).sample_seeded(n, seed)
    }

    /// Draws `n` new events from given noise. The events are in the graph of the flow, if the flow has one.
    pub fn draw(&self, n: usize, noise: &mut Noise) -> Tensor<4> {
        self.given(None).draw(n, noise)
    }

    pub(super) fn drawn(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
    ) -> Tensor<4> {
        apart(self, || {
            let device = self.devices().into_iter().next().unwrap_or_default();
            let options = TensorCreationOptions { device, dtype: float_dtype(self) };
            // Image by image, so that the noise of an image does not depend on the number of images.
            let elements = self.parts.iter().map(|part| part.iter().product::<usize>()).sum();
            let standard = noise.fill([n, elements], options, Noise::next_normal);
            let standard = self.unflatten(standard * self.temperature);
            let context = fitted(self, n, None, context);
            self.inward_out(standard, context.as_ref(), |base, noise, kept, context| {
                base.draw(noise, kept, context)
            })
        })
    }

    /// The latent parts of `x`, starting with the first level.
    pub fn encode(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        self.given(None).encode(x)
    }

    /// The latent parts of `x` and `ln |det dz/dx|` of all levels, shape `[batch]`.
    pub fn encode_with_log_det(&self, x: Tensor<4>) -> (Vec<Tensor<4>>, Tensor<1>) {
        self.given(None).encode_with_log_det(x)
    }

    pub(super) fn encoded(
        &self,
        x: Tensor<4>,
        context: Option<&Tensor<2>>,
    ) -> (Vec<Tensor<4>>, Tensor<1>) {
        let context = self.fitted(&x, context);
        let size = size(&x);
        over_rows(self, x, context.as_ref(), size, |x, context| {
            let (parts, log_det) = self.parts_and_log_det(x, context);
            (parts.into_iter().map(|(z, _)| z).collect::<Vec<_>>(), log_det)
        })
    }

    /// The data that belong to the latent parts.
    ///
    /// # Panics
    ///
    /// If the number of parts is not the number of levels, a part has a shape other than [`parts`](Self::parts), or a
    /// part has a number of rows other than the first part.
    pub fn decode(&self, parts: Vec<Tensor<4>>) -> Tensor<4> {
        self.given(None).decode(parts)
    }

    pub(super) fn decoded(&self, parts: Vec<Tensor<4>>, context: Option<&Tensor<2>>) -> Tensor<4> {
        let (expected, found) = (self.levels.len(), parts.len());
        assert!(found == expected, "MultiScale: expected {expected} latent parts, found {found}");
        let rows = parts[0].dims()[0];
        for (index, (part, &[channels, height, width])) in parts.iter().zip(&self.parts).enumerate()
        {
            let (expected, found) = ([rows, channels, height, width], part.dims());
            assert!(
                found == expected,
                "MultiScale: expected latent part {index} of shape {expected:?}, found {found:?}"
            );
        }
        let context = fitted(self, rows, Some(parts[0].dtype()), context);
        self.inward_out(parts, context.as_ref(), |_, z, _, _| z)
    }

    /// The latent as one vector, `[batch, elements]`: the parts one after another.
    pub fn encode_flat(&self, x: Tensor<4>) -> Tensor<2> {
        apart(self, || {
            Tensor::cat(self.encode(x).into_iter().map(|z| z.flatten(1, 3)).collect(), 1)
        })
    }

    /// The data that belong to flat latents.
    ///
    /// # Panics
    ///
    /// If the length of the vectors is not the number of elements of all parts.
    pub fn decode_flat(&self, z: Tensor<2>) -> Tensor<4> {
        apart(self, || self.decode(self.unflatten(z)))
    }

    /// Cuts a flat latent into its parts.
    fn unflatten(&self, z: Tensor<2>) -> Vec<Tensor<4>> {
        let [batch, found] = z.dims();
        let sizes: Vec<usize> = self.parts.iter().map(|part| part.iter().product()).collect();
        let expected: usize = sizes.iter().sum();
        assert!(
            found == expected,
            "MultiScale: expected {expected} latent elements, found {found}"
        );
        let pieces = z.split_with_sizes(sizes, 1).into_iter().zip(&self.parts);
        pieces.map(|(z, &[c, h, w])| z.reshape([batch, c, h, w])).collect()
    }

    /// Decodes from the last level outward. `value` converts the given tensor of a part into the latent of the part.
    fn inward_out(
        &self,
        given: Vec<Tensor<4>>,
        context: Option<&Tensor<2>>,
        value: impl Fn(&P, Tensor<4>, Option<&Tensor<4>>, Option<&Tensor<2>>) -> Tensor<4> + Sync,
    ) -> Tensor<4> {
        // A level usually begins with a squeeze. This factor only affects how rows are shared among threads.
        let [rows, pixels] = size(&given[0]);
        over_rows(self, given, context, [rows, 4 * pixels], |given, context| {
            self.assembled(given, context, &value)
        })
    }

    /// One block of [`inward_out`](Self::inward_out).
    fn assembled(
        &self,
        given: Vec<Tensor<4>>,
        context: Option<&Tensor<2>>,
        value: impl Fn(&P, Tensor<4>, Option<&Tensor<4>>, Option<&Tensor<2>>) -> Tensor<4>,
    ) -> Tensor<4> {
        let levels = self.levels.iter().zip(&self.bases).zip(given).rev();
        let x = levels.fold(None, |h: Option<Tensor<4>>, ((level, base), given)| {
            let z = value(base, given, h.as_ref(), context);
            let whole = match h {
                Some(kept) => self.join(kept, z),
                None => z,
            };
            Some(level.inverse(whole, context))
        });
        x.expect("there is at least one level")
    }

    /// Every latent part with the channels that continued beside it, and the log-determinant of all levels.
    fn parts_and_log_det(&self, x: Tensor<4>, context: Option<&Tensor<2>>) -> (Parts, Tensor<1>) {
        let last = self.levels.len() - 1;
        let mut parts = Vec::with_capacity(self.levels.len());
        let mut total = zeros_batch(&x);
        let mut h = x;
        for (index, level) in self.levels.iter().enumerate() {
            let (out, log_det) = level.forward(h, context);
            total = total + log_det;
            if index == last {
                parts.push((out, None));
                break;
            }
            let (kept, done) = self.split(out);
            parts.push((done, Some(kept.clone())));
            h = kept;
        }
        (parts, total)
    }

    /// Splits into the channels that continue and the channels that become latent.
    fn split(&self, h: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let channels = h.dims()[1];
        let done = channels.div_ceil(2);
        match self.finish {
            Finish::First => (h.clone().narrow(1, done, channels - done), h.narrow(1, 0, done)),
            Finish::Last => {
                (h.clone().narrow(1, 0, channels - done), h.narrow(1, channels - done, done))
            }
        }
    }

    fn join(&self, kept: Tensor<4>, done: Tensor<4>) -> Tensor<4> {
        match self.finish {
            Finish::First => Tensor::cat(vec![done, kept], 1),
            Finish::Last => Tensor::cat(vec![kept, done], 1),
        }
    }
}

/// Latent parts, each with the channels that continued at its level.
type Parts = Vec<(Tensor<4>, Option<Tensor<4>>)>;
