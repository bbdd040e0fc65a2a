//! A flow with a context.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use super::{Flow, MultiScale};
use crate::bijector::Bijector;
use crate::crew::apart;
use crate::distribution::{Distribution, LevelBase};
use crate::noise::Noise;

/// A flow with a context, made by [`Flow::given`](super::Flow::given) and
/// [`MultiScale::given`](super::MultiScale::given). It has the methods of the flow and borrows its weights.
///
/// # Shapes
///
/// The context is `[batch, width]`, with one row for each event, or a single row for all events.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::model::MafConfig;
///
/// let device = Device::flex();
/// let flow = MafConfig::new(2).with_context(1).with_seed(1).init(&device);
/// let context = Tensor::<2>::from_data([[-1.0], [0.0], [1.0]], &device);
/// let given = flow.given(&context);
/// // A draw for each row of the context, and their densities under it.
/// let x = given.sample_seeded(3, 1);
/// assert_eq!(given.log_prob(x).dims(), [3]);
/// // Ten draws for each: the first ten belong to the first row.
/// assert_eq!(given.sample_each::<2>(10).dims(), [30, 2]);
/// ```
#[derive(Debug)]
#[must_use = "call a method such as `log_prob` or `sample`"]
pub struct Given<'a, F> {
    pub(super) flow: &'a F,
    pub(super) context: Option<&'a Tensor<2>>,
}

impl<F> Clone for Given<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Given<'_, F> {}

/// Runs `work` on the flow without a graph.
fn evaluated<F: Module + ModuleDisplay + Sync, T: Send>(
    given: Given<'_, F>,
    work: impl FnOnce(Given<'_, F>) -> T + Send,
) -> T {
    apart(given.flow, || {
        let flow = given.flow.valid();
        work(Given { flow: &flow, context: given.context })
    })
}

/// Calls `draw` with `n` copies of each row of the context.
fn each<F, T>(given: Given<'_, F>, n: usize, draw: impl FnOnce(Given<'_, F>, usize) -> T) -> T {
    let repeated = given.context.map(|context| {
        let [rows, width] = context.dims();
        let each = context.clone().reshape([rows, 1, width]).expand([rows, n, width]);
        each.reshape([rows * n, width])
    });
    let n = repeated.as_ref().map_or(n, |context| context.dims()[0]);
    draw(Given { flow: given.flow, context: repeated.as_ref() }, n)
}

impl<B, P> Given<'_, Flow<B, P>> {
    /// `ln p(x | context)` in nats, shape `[batch]`.
    pub fn log_prob<const D: usize>(&self, x: Tensor<D>) -> Tensor<1>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        Distribution::log_prob(self.flow, x, self.context)
    }

    /// `ln p(x | context)` without a graph, `batch` rows per pass, as [`Flow::log_prob_batched`].
    ///
    /// # Panics
    ///
    /// If `batch` is 0.
    pub fn log_prob_batched<const D: usize>(&self, x: Tensor<D>, batch: usize) -> Tensor<1>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        Distribution::log_prob_batched(self.flow, x, self.context, batch)
    }

    /// The latents of `x`.
    pub fn encode<const D: usize>(&self, x: Tensor<D>) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.flow.forward(x, self.context).0
    }

    /// The data that belong to the latents `z`.
    pub fn decode<const D: usize>(&self, z: Tensor<D>) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.flow.inverse(z, self.context)
    }

    /// Draws `n` new events. The noise is seeded from the entropy of the operating system. If the context has more than
    /// one row, `n` must be its number of rows.
    pub fn sample<const D: usize>(&self, n: usize) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        evaluated(*self, |given| given.draw(n, &mut Noise::from_entropy()))
    }

    /// Draws `n` new events from a seed: the same numbers on every backend, up to its rounding.
    pub fn sample_seeded<const D: usize>(&self, n: usize, seed: u64) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        evaluated(*self, |given| given.draw(n, &mut Noise::seeded(seed)))
    }

    /// Draws `n` new events and computes their `ln p`, in one pass.
    pub fn sample_with_log_prob<const D: usize>(&self, n: usize) -> (Tensor<D>, Tensor<1>)
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        evaluated(*self, |given| given.draw_with_log_prob(n, &mut Noise::from_entropy()))
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
        evaluated(*self, |given| given.draw_with_log_prob(n, &mut Noise::seeded(seed)))
    }

    /// Draws `n` new events for each row of the context, starting with the events of the first row.
    pub fn sample_each<const D: usize>(&self, n: usize) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        each(*self, n, |given, n| given.sample(n))
    }

    /// [`sample_each`](Self::sample_each) from a seed.
    pub fn sample_each_seeded<const D: usize>(&self, n: usize, seed: u64) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        each(*self, n, |given, n| given.sample_seeded(n, seed))
    }

    /// Draws `n` new events from given noise. The events are in the graph of the flow, if the flow has one (the
    /// reparameterisation of variational inference).
    pub fn draw<const D: usize>(&self, n: usize, noise: &mut Noise) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.flow.drawn(n, self.context, noise, None)
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
        self.flow.drawn_with_log_prob(n, self.context, noise)
    }
}

impl<B: Bijector<4>, P: LevelBase> Given<'_, MultiScale<B, P>> {
    /// `ln p(x | context)` in nats, shape `[batch]`.
    pub fn log_prob(&self, x: Tensor<4>) -> Tensor<1> {
        Distribution::log_prob(self.flow, x, self.context)
    }

    /// `ln p(x | context)` without a graph, `batch` rows per pass, as [`Flow::log_prob_batched`].
    ///
    /// # Panics
    ///
    /// If `batch` is 0.
    pub fn log_prob_batched(&self, x: Tensor<4>, batch: usize) -> Tensor<1> {
        Distribution::log_prob_batched(self.flow, x, self.context, batch)
    }

    /// The latent parts of `x`, starting with the first level.
    pub fn encode(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        self.encode_with_log_det(x).0
    }

    /// The latent parts of `x` and `ln |det dz/dx|` of all levels, shape `[batch]`.
    pub fn encode_with_log_det(&self, x: Tensor<4>) -> (Vec<Tensor<4>>, Tensor<1>) {
        self.flow.encoded(x, self.context)
    }

    /// The data that belong to the latent parts.
    ///
    /// # Panics
    ///
    /// The panics of [`MultiScale::decode`].
    pub fn decode(&self, parts: Vec<Tensor<4>>) -> Tensor<4> {
        self.flow.decoded(parts, self.context)
    }

    /// Draws `n` new events. The noise is seeded from the entropy of the operating system. If the context has more than
    /// one row, `n` must be its number of rows.
    pub fn sample(&self, n: usize) -> Tensor<4> {
        evaluated(*self, |given| given.draw(n, &mut Noise::from_entropy()))
    }

    /// Draws `n` new events from a seed: the same numbers on every backend, up to its rounding.
    pub fn sample_seeded(&self, n: usize, seed: u64) -> Tensor<4> {
        evaluated(*self, |given| given.draw(n, &mut Noise::seeded(seed)))
    }

    /// Draws `n` new events for each row of the context, starting with the events of the first row.
    pub fn sample_each(&self, n: usize) -> Tensor<4> {
        each(*self, n, |given, n| given.sample(n))
    }

    /// [`sample_each`](Self::sample_each) from a seed.
    pub fn sample_each_seeded(&self, n: usize, seed: u64) -> Tensor<4> {
        each(*self, n, |given, n| given.sample_seeded(n, seed))
    }

    /// Draws `n` new events from given noise. The events are in the graph of the flow, if the flow has one.
    pub fn draw(&self, n: usize, noise: &mut Noise) -> Tensor<4> {
        self.flow.drawn(n, self.context, noise)
    }
}
