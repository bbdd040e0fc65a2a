//! A density under an encoded context.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::Encoder;
use crate::bijector::{Bijector, Place, Walk};
use crate::crew::apart;
use crate::distribution::{Distribution, Given, given};
use crate::flow::{Flow, float_dtype};
use crate::math::sum_event;
use crate::noise::Noise;
use crate::parallel::over_rows;
use crate::rows::check_rows;

/// A conditional density and the encoder of its context, trained together.
///
/// ```text
/// p(x | c) = density(x | encoder(c))
/// ```
///
/// Paper of an encoder that is trained with the flow: Radev, Mertens, Voss, Ardizzone, Köthe (2020), BayesFlow, section
/// on the summary network, arXiv:2003.06281.
///
/// `Embedded` is a [`Distribution`] if its density is, so [`fit`](crate::train::fit), files and burn's learner accept
/// it. [`init_from_data`](Distribution::init_from_data) initialises the encoder first, then the density with the
/// encoded contexts.
///
/// # Shapes
///
/// - events as in the density
/// - context `[batch, width]` as in the encoder, or one row that applies to the whole batch and is encoded once
///
/// # Numerics
///
/// A row whose context is not finite has the log-density NaN, also if the encoder gives finite features.
///
/// # Panics
///
/// If there is no context, the context has a precision other than the encoder, or neither one row nor one row for each
/// event. Also if the encoder returns another number of rows, or another width than the density expects.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::Distribution;
/// use burn_flows::encoder::{Embedded, SetEncoderConfig};
/// use burn_flows::model::MafConfig;
/// use burn_flows::train::{FitConfig, FitData, fit};
/// use burn_flows::Noise;
///
/// let device = Device::flex();
/// let mut noise = Noise::seeded(1);
/// let theta = noise.normal::<2>([200, 2], &device);
/// let sets = theta.clone().repeat_dim(1, 5) + noise.normal([200, 10], &device); // five measurements of both
///
/// let encoder = SetEncoderConfig::new(5, 2, 4).with_seed(1).init(&device);
/// let flow = MafConfig::new(2).with_layers(1).with_context(4).with_seed(2).init(&device);
/// let data = FitData::new(theta.clone()).with_context(sets.clone());
/// let (posterior, _) = fit(Embedded::new(encoder, flow), data, &FitConfig::new().with_epochs(1))?;
/// assert_eq!(posterior.log_prob(theta, Some(&sets)).dims(), [200]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Embedded<E, F> {
    encoder: E,
    density: F,
}

crate::display::display!(Embedded<E, F>);

impl<E, F> Embedded<E, F> {
    /// The density under the contexts that `encoder` returns.
    pub fn new(encoder: E, density: F) -> Self {
        Self { encoder, density }
    }

    /// The encoder of the context.
    pub fn encoder(&self) -> &E {
        &self.encoder
    }

    /// The density, whose context is the result of the encoder.
    pub fn density(&self) -> &F {
        &self.density
    }

    /// Returns the encoder and the density.
    pub fn into_parts(self) -> (E, F) {
        (self.encoder, self.density)
    }

    given! {}

    /// The features of the contexts, `[rows, features]`: the context of the density. They are in the graph of the
    /// encoder, if it has one. [`Given::sample_each`] may encode a context several times; the example encodes it once.
    ///
    /// # Panics
    ///
    /// If the contexts have another width or another precision than the encoder.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::encoder::{Embedded, ImageEncoderConfig};
    /// use burn_flows::model::MafConfig;
    ///
    /// let device = Device::flex();
    /// let encoder = ImageEncoderConfig::new([1, 8, 8], 4).init(&device);
    /// let flow = Embedded::new(encoder, MafConfig::new(2).with_context(4).init(&device));
    /// let images = Tensor::<2>::ones([3, 64], &device);
    /// let features = flow.features(&images);
    /// let draws: Tensor<3> = flow.density().given(&features).sample_each(1000);
    /// assert_eq!(draws.dims(), [3, 1000, 2]);
    /// ```
    pub fn features(&self, context: &Tensor<2>) -> Tensor<2>
    where
        E: Encoder,
    {
        let context = checked(&self.encoder, context.dims()[0], Some(context));
        encoded(&self.encoder, context)
    }
}

impl<E: Encoder, B, P> Given<'_, Embedded<E, Flow<B, P>>> {
    /// The latents of `x`.
    pub fn encode<const D: usize>(&self, x: Tensor<D>) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        let features = self.features(x.dims()[0]);
        self.distribution.density.given(&features).encode(x)
    }

    /// The data that belong to the latents `z`.
    pub fn decode<const D: usize>(&self, z: Tensor<D>) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        let features = self.features(z.dims()[0]);
        self.distribution.density.given(&features).decode(z)
    }

    /// Draws `n` new events from given noise. The events are in the graph of the flow and of the encoder, if they have
    /// one.
    pub fn draw<const D: usize>(&self, n: usize, noise: &mut Noise) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.distribution.density.given(&self.features(n)).draw(n, noise)
    }

    /// [`draw`](Self::draw) and the `ln p` of the events, in one pass.
    pub fn draw_with_log_prob<const D: usize>(
        &self,
        n: usize,
        noise: &mut Noise,
    ) -> (Tensor<D>, Tensor<1>)
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.distribution.density.given(&self.features(n)).draw_with_log_prob(n, noise)
    }

    /// The features for `rows` events.
    fn features(&self, rows: usize) -> Tensor<2> {
        self.distribution.features(checked(&self.distribution.encoder, rows, self.context))
    }
}

/// Returns the context.
///
/// # Panics
///
/// If there is none, or its rows or its precision do not fit.
#[track_caller]
fn checked<'a, E: Module + ModuleDisplay>(
    encoder: &E,
    rows: usize,
    context: Option<&'a Tensor<2>>,
) -> &'a Tensor<2> {
    let Some(found) = context else { panic!("Embedded: expected a context, found none") };
    check_rows("Embedded", rows, context);
    if let Some(expected) = float_dtype(encoder).filter(|expected| *expected != found.dtype()) {
        let found = found.dtype();
        panic!(
            "Embedded: expected a context of {expected:?}, found {found:?}; cast the context or the model"
        );
    }
    found
}

/// The features of every row; NaN for a context that is not finite.
fn encoded<E: Encoder>(encoder: &E, context: &Tensor<2>) -> Tensor<2> {
    let [rows, width] = context.dims();
    over_rows(encoder, context.clone(), None, [rows, width], |context, _| {
        let rows = context.dims()[0];
        let known = (context.clone() * 0.0).sum_dim(1);
        let features = encoder.encode(context);
        let found = features.dims();
        assert!(
            found[0] == rows,
            "Embedded: expected {rows} rows from the encoder, found shape {found:?}"
        );
        features + known
    })
}

impl<const D: usize, E: Encoder, F: Distribution<D>> Distribution<D> for Embedded<E, F> {
    fn log_prob(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let context = checked(&self.encoder, x.dims()[0], context);
        apart(self, || self.density.log_prob(x, Some(&encoded(&self.encoder, context))))
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D> {
        let context = checked(&self.encoder, n, context);
        apart(self, || {
            let context = encoded(&self.encoder, context);
            self.density.sample(n, Some(&context), noise, device)
        })
    }

    fn sample_with_log_prob(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> (Tensor<D>, Tensor<1>) {
        let context = checked(&self.encoder, n, context);
        apart(self, || {
            let context = encoded(&self.encoder, context);
            self.density.sample_with_log_prob(n, Some(&context), noise, device)
        })
    }

    fn integer_levels(&self) -> Option<usize> {
        self.density.integer_levels()
    }

    fn column_levels(&self, columns: usize) -> Vec<Option<usize>> {
        self.density.column_levels(columns)
    }

    fn mixes_rows(&self) -> bool {
        self.encoder.mixes_rows() || self.density.mixes_rows()
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Self {
        let context = checked(&self.encoder, x.dims()[0], context).clone().without_autodiff();
        let encoder = self.encoder.init_from_data(context.clone());
        let context = encoded(&encoder.valid(), &context);
        Self { density: self.density.init_from_data(x, Some(&context)), encoder }
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, x: Tensor<D>) -> Tensor<D> {
        if walk.comes_back() {
            let [gradient] = walk.density(self, at, [x], |[x]| self.log_prob(x, at.context()));
            return gradient;
        }
        let context = checked(&self.encoder, x.dims()[0], at.context());
        let features = encoded(&self.encoder, context);
        // 0, or NaN where the features are not finite.
        let spoiled = |features: Tensor<2>| sum_event(features * 0.0);
        walk.density(&self.encoder, &at.part("encoder"), [features.clone()], |[features]| {
            spoiled(features)
        });
        let density = at.part("density").with_context(Some(&features));
        self.density.walk(walk, &density, x)
    }
}
