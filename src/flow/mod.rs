//! The change of variables, which combines a bijector and a base density.

mod given;
mod multi_scale;
mod standardized;

pub use multi_scale::{Finish, MultiScale};

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::bijector::{Bijector, Carried, Place, Walk, layer_name};
use crate::crew::apart;
use crate::distribution::{Distribution, given};
use crate::math::known_context;
use crate::noise::Noise;
use crate::parallel::{Rows, over_rows};
pub(crate) use crate::param::float_dtype;
use crate::rows::spread;

/// A density made of a bijector and a base, with exact log-density and exact sampling.
///
/// ```text
/// log p(x) = log p(z) + ln |det dz/dx|        z = f(x)
/// ```
///
/// `log_prob` and `encode` map data to latents; `sample` and `decode` map latents to data. Paper: Papamakarios et al.
/// (2021), equation 3, arXiv:1912.02762.
///
/// [`log_prob`](Self::log_prob), [`encode`](Self::encode), [`decode`](Self::decode) and [`draw`](Self::draw) keep the
/// graph of a flow on an autodiff device. The sampling shorthands and [`log_prob_batched`](Self::log_prob_batched)
/// evaluate `flow.valid()` and keep no graph.
///
/// Call `flow.valid()` for other evaluations between the steps of a training. A `log_prob` of a flow that trains
/// records a graph, and burn 0.22 frees a graph only in `backward`. Without a `backward`, its memory is held until the
/// process ends or a `backward` runs through the same parameters.
///
/// [`given`](Self::given) has the same methods for a flow with a context.
///
/// # Shapes
///
/// - data and latents: `[batch, event..]`, as the layers and the base expect
/// - log-densities: `[batch]`, in nats
/// - context: `[batch, context]`, or one row that applies to the whole batch
///
/// # Panics
///
/// If the events or the context have a shape other than the layers were built for, or a precision other than the
/// parameters have. Also if the context has neither one row nor one row for each event.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{Flow, bijector::ActNormConfig, distribution::StandardNormal};
///
/// let device = Device::flex();
/// let flow = Flow::new(ActNormConfig::new(2).init(&device), StandardNormal::<2>::new([2], &device));
/// let (x, log_prob) = flow.sample_with_log_prob(5);
/// let again = flow.log_prob(x);
/// again.into_data().assert_approx_eq::<f32>(&log_prob.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Flow<B, P> {
    bijector: B,
    base: P,
}

crate::display::display!(Flow<B, P>);

impl<B, P> Flow<B, P> {
    /// The density of `x` for which `bijector` maps `x` to a latent with density `base`.
    pub fn new(bijector: B, base: P) -> Self {
        Self { bijector, base }
    }

    /// The bijector, which maps data to latents.
    pub fn bijector(&self) -> &B {
        &self.bijector
    }

    /// The base, the density of the latents.
    pub fn base(&self) -> &P {
        &self.base
    }

    /// Returns the bijector and the base.
    pub fn into_parts(self) -> (B, P) {
        (self.bijector, self.base)
    }

    given! {}

    /// `ln p(x)` in nats, shape `[batch]`.
    pub fn log_prob<const D: usize>(&self, x: Tensor<D>) -> Tensor<1>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.given(None).log_prob(x)
    }

    /// [`log_prob`](Self::log_prob) without a graph, `batch` rows per pass. The numbers are the same bit for bit.
    ///
    /// # Panics
    ///
    /// If `batch` is 0.
    pub fn log_prob_batched<const D: usize>(&self, x: Tensor<D>, batch: usize) -> Tensor<1>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.given(None).log_prob_batched(x, batch)
    }

    /// The latents of `x`.
    pub fn encode<const D: usize>(&self, x: Tensor<D>) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.given(None).encode(x)
    }

    /// The data that belong to the latents `z`.
    pub fn decode<const D: usize>(&self, z: Tensor<D>) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.given(None).decode(z)
    }

    /// Draws `n` new events. The noise is seeded from the entropy of the operating system.
    pub fn sample<const D: usize>(&self, n: usize) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.given(None).sample(n)
    }

    /// Draws `n` new events from a seed: the same numbers on every backend, up to its rounding.
    pub fn sample_seeded<const D: usize>(&self, n: usize, seed: u64) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.given(None).sample_seeded(n, seed)
    }

    /// Draws `n` new events and computes their `ln p`, in one pass.
    pub fn sample_with_log_prob<const D: usize>(&self, n: usize) -> (Tensor<D>, Tensor<1>)
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.given(None).sample_with_log_prob(n)
    }

    /// [`sample_with_log_prob`](Self::sample_with_log_prob) from a seed.
    pub fn sample_with_log_prob_seeded<const D: usize>(
        &self,
        n: usize,
        seed: u64,
    ) -> (Tensor<D>, Tensor<1>)
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.given(None).sample_with_log_prob_seeded(n, seed)
    }

    /// Draws `n` new events from given noise. The events are in the graph of the flow, if the flow has one (the
    /// reparameterisation of variational inference).
    pub fn draw<const D: usize>(&self, n: usize, noise: &mut Noise) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.given(None).draw(n, noise)
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
        self.given(None).draw_with_log_prob(n, noise)
    }

    /// Draws latents and applies `map` to them, with rows in parallel.
    fn drawn<const D: usize, T: Rows>(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        asked: Option<&Device>,
        map: impl Fn(&Self, Tensor<D>, Option<&Tensor<2>>) -> T + Sync,
    ) -> T
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        apart(self, || {
            let context = fitted(self, n, None, context);
            let z = self.latents(n, context.as_ref(), noise, asked);
            let size = size(&z);
            over_rows(self, z, context.as_ref(), size, |z, context| map(self, z, context))
        })
    }

    /// The bijector's forward pass, with rows in parallel.
    fn forward<const D: usize>(
        &self,
        x: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>)
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        let context = fitted(self, x.dims()[0], Some(x.dtype()), context);
        let size = size(&x);
        over_rows(self, x, context.as_ref(), size, |x, context| self.bijector.forward(x, context))
    }

    /// The bijector's inverse, with rows in parallel.
    fn inverse<const D: usize>(&self, z: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        let context = fitted(self, z.dims()[0], Some(z.dtype()), context);
        let size = size(&z);
        over_rows(self, z, context.as_ref(), size, |z, context| self.bijector.inverse(z, context))
    }

    /// The data that belong to the latents, and their `ln p`, of one block.
    fn inverse_with_log_prob<const D: usize>(
        &self,
        z: Tensor<D>,
        context: Option<&Tensor<2>>,
    ) -> (Tensor<D>, Tensor<1>)
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        let log_base = self.base.log_prob(z.clone(), context);
        let (x, log_det) = self.bijector.inverse_with_log_det(z, context);
        (x, log_base - log_det)
    }

    /// Draws of the base, in the precision of the flow's parameters.
    fn latents<const D: usize>(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        asked: Option<&Device>,
    ) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        // A flow without tensors has no device of its own.
        let own = self.devices().into_iter().next();
        let device = own.or_else(|| asked.cloned()).unwrap_or_default();
        let z = self.base.sample(n, context, noise, &device);
        match float_dtype(self) {
            Some(dtype) => z.cast(dtype),
            None => z,
        }
    }
}

impl<const D: usize, B: Bijector<D>, P: Distribution<D>> Distribution<D> for Flow<B, P> {
    fn log_prob(&self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Tensor<1> {
        let context = fitted(self, x.dims()[0], Some(x.dtype()), context);
        let size = size(&x);
        over_rows(self, x, context.as_ref(), size, |x, context| {
            let (z, log_det) = self.bijector.forward(x, context);
            known_context(self.base.log_prob(z, context) + log_det, context)
        })
    }

    fn mixes_rows(&self) -> bool {
        self.bijector.mixes_rows() || self.base.mixes_rows()
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<D> {
        check_device(self, device);
        self.drawn(n, context, noise, Some(device), |flow, z, c| flow.bijector.inverse(z, c))
    }

    fn sample_with_log_prob(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> (Tensor<D>, Tensor<1>) {
        check_device(self, device);
        self.drawn(n, context, noise, Some(device), Self::inverse_with_log_prob)
    }

    fn init_from_data(self, x: Tensor<D>, context: Option<&Tensor<2>>) -> Self {
        let context = fitted(&self, x.dims()[0], Some(x.dtype()), context);
        let (bijector, z) = self.bijector.init_from_data(x, context.as_ref());
        let base = self.base.init_from_data(z, context.as_ref());
        Self { bijector, base }
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, x: Tensor<D>) -> Tensor<D> {
        let context = fitted(self, x.dims()[0], Some(x.dtype()), at.context());
        let at = at.with_context(context.as_ref());
        let bijector = at.part("bijector");
        let z = self.bijector.walk(walk, &bijector, Carried::new(x)).value;
        let gradient = self.base.walk(walk, &at.part("base"), z.clone());
        if !walk.comes_back() {
            return gradient;
        }
        let carried = Carried { value: z, gradient: Some(gradient) };
        let back = self.bijector.walk(walk, &bijector.back(), carried);
        back.gradient.expect("a walk back carries a gradient")
    }
}

/// Panics if the requested device is not the device of the weights, where draws are made.
#[track_caller]
fn check_device<M: Module>(flow: &M, asked: &Device) {
    let Some(own) = flow.devices().into_iter().next().map(Device::without_autodiff) else { return };
    let asked = asked.clone().without_autodiff();
    assert!(
        own == asked,
        "Flow: expected the device of the weights, {own:?}, found {asked:?}; move the draws to \
         {asked:?} afterwards"
    );
}

/// The number of rows of a batch, and the number of pixels per row.
fn size<const D: usize>(x: &Tensor<D>) -> [usize; 2] {
    let dims = x.dims();
    [dims[0], dims[2..].iter().product()]
}

/// Checks the precision of events and context, and returns a context with a row for each of `rows` events.
///
/// # Panics
///
/// If events or context have a precision other than the flow. Also if the context has more than one row, but not `rows`
/// rows. The message names the type of the flow.
#[track_caller]
fn fitted<M: Module + ModuleDisplay>(
    flow: &M,
    rows: usize,
    events: Option<DType>,
    context: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let name = layer_name::<M>();
    let expected = float_dtype(flow).or(events);
    let given = [("events", events), ("a context", context.map(Tensor::dtype))];
    for (what, found) in given {
        if let (Some(expected), Some(found)) = (expected, found)
            && expected != found
        {
            panic!(
                "{name}: expected {what} of {expected:?}, found {found:?}; cast the input or the \
                 flow"
            );
        }
    }
    spread(name, rows, context)
}
