//! A distribution with a context.

use burn::tensor::{Device, Tensor};

use super::Distribution;
use super::chunks::in_chunks;
use crate::bijector::layer_name;
use crate::crew::apart;
use crate::noise::Noise;
use crate::parallel::Rows;
use crate::rows::check_rows;

/// A distribution with a context, or without one. It borrows the distribution and has the methods of a flow.
///
/// [`Flow`](crate::Flow), [`MultiScale`](crate::MultiScale), [`Mixture`](super::Mixture),
/// [`ConditionalNormal`](super::ConditionalNormal) and [`Embedded`](crate::encoder::Embedded) have a method `given`.
/// For other distributions, use [`Given::new`](Self::new).
///
/// The sampling methods evaluate `distribution.valid()` and keep no graph. They draw on the device of the
/// distribution's parameters. A distribution without parameters draws on the device of the context, or on the default
/// device.
///
/// # Memory
///
/// Draws are made in chunks of at most 8192 rows and 4 million elements. Beyond the result, the memory is that of a
/// chunk, for any number of draws and contexts. A context with at least 512 draws is passed on as a single row, so a
/// distribution with a network of the context evaluates the network once for each chunk.
///
/// The numbers do not depend on the number of threads. A flow draws row by row, so chunks do not change its numbers.
/// [`Mixture`](super::Mixture), [`Marginal`](super::Marginal), [`Product`](super::Product), [`Chained`](super::Chained)
/// and [`CategoricalMade`](super::CategoricalMade) draw one part of all rows after the other: more than 512 draws of
/// them differ from a single call of [`Distribution::sample`].
///
/// # Shapes
///
/// The context is `[batch, width]`, with one row for each event, or a single row for all events.
///
/// # Panics
///
/// If the context has neither one row nor one row for each event. Also the panics of the distribution.
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
/// // Ten draws for each row.
/// let each: Tensor<3> = given.sample_each(10);
/// assert_eq!(each.dims(), [3, 10, 2]);
/// ```
#[derive(Debug)]
#[must_use = "call a method such as `log_prob` or `sample`"]
pub struct Given<'a, F> {
    pub(crate) distribution: &'a F,
    pub(crate) context: Option<&'a Tensor<2>>,
}

impl<F> Clone for Given<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Given<'_, F> {}

/// Adds the method `given` to a distribution that takes a context.
macro_rules! given {
    () => {
        /// This distribution with a context, or without one. The result has the methods of a flow:
        /// `distribution.given(&context).log_prob(x)`.
        pub fn given<'a>(
            &'a self,
            context: impl Into<Option<&'a burn::tensor::Tensor<2>>>,
        ) -> $crate::Given<'a, Self> {
            $crate::Given::new(self, context)
        }
    };
}
pub(crate) use given;

impl<'a, F> Given<'a, F> {
    /// The distribution with this context, or without one.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use burn_flows::{Given, distribution::StandardNormal};
    ///
    /// let device = Device::flex();
    /// let normal = StandardNormal::<2>::new([2], &device);
    /// let given = Given::new(&normal, None);
    /// let (x, log_prob) = given.sample_with_log_prob(5);
    /// assert_eq!(given.log_prob(x).into_data(), log_prob.into_data());
    /// ```
    pub fn new(distribution: &'a F, context: impl Into<Option<&'a Tensor<2>>>) -> Self {
        Self { distribution, context: context.into() }
    }

    /// `ln p(x | context)` in nats, shape `[batch]`. It keeps the graph of a distribution on an autodiff device.
    pub fn log_prob<const D: usize>(&self, x: Tensor<D>) -> Tensor<1>
    where
        F: Distribution<D>,
    {
        self.distribution.log_prob(x, self.context)
    }

    /// `ln p(x | context)` without a graph, `batch` rows per pass. The memory depends on `batch`, not on the number of
    /// rows. The numbers are the same bit for bit.
    ///
    /// # Panics
    ///
    /// If `batch` is 0.
    pub fn log_prob_batched<const D: usize>(&self, x: Tensor<D>, batch: usize) -> Tensor<1>
    where
        F: Distribution<D>,
    {
        self.distribution.log_prob_batched(x, self.context, batch)
    }

    /// Draws `n` new events. The noise is seeded from the entropy of the operating system. If the context has more than
    /// one row, `n` must be its number of rows.
    pub fn sample<const D: usize>(&self, n: usize) -> Tensor<D>
    where
        F: Distribution<D>,
    {
        self.sampled(n, &mut Noise::from_entropy())
    }

    /// Draws `n` new events from a seed: the same numbers on every backend, up to its rounding.
    pub fn sample_seeded<const D: usize>(&self, n: usize, seed: u64) -> Tensor<D>
    where
        F: Distribution<D>,
    {
        self.sampled(n, &mut Noise::seeded(seed))
    }

    /// Draws `n` new events and computes their `ln p`, of a flow in one pass.
    pub fn sample_with_log_prob<const D: usize>(&self, n: usize) -> (Tensor<D>, Tensor<1>)
    where
        F: Distribution<D>,
    {
        self.sampled_with_log_prob(n, &mut Noise::from_entropy())
    }

    /// [`sample_with_log_prob`](Self::sample_with_log_prob) from a seed.
    pub fn sample_with_log_prob_seeded<const D: usize>(
        &self,
        n: usize,
        seed: u64,
    ) -> (Tensor<D>, Tensor<1>)
    where
        F: Distribution<D>,
    {
        self.sampled_with_log_prob(n, &mut Noise::seeded(seed))
    }

    /// Draws `n` new events for each row of the context, `[contexts, n, event..]`. `E` is `D + 1`. Without a context,
    /// the result is `[1, n, event..]`.
    pub fn sample_each<const D: usize, const E: usize>(&self, n: usize) -> Tensor<E>
    where
        F: Distribution<D>,
    {
        self.sampled_each(n, &mut Noise::from_entropy())
    }

    /// [`sample_each`](Self::sample_each) from a seed.
    pub fn sample_each_seeded<const D: usize, const E: usize>(
        &self,
        n: usize,
        seed: u64,
    ) -> Tensor<E>
    where
        F: Distribution<D>,
    {
        self.sampled_each(n, &mut Noise::seeded(seed))
    }

    /// [`sample_each`](Self::sample_each) with the `ln p` of the events, `[contexts, n]`.
    pub fn sample_each_with_log_prob<const D: usize, const E: usize>(
        &self,
        n: usize,
    ) -> (Tensor<E>, Tensor<2>)
    where
        F: Distribution<D>,
    {
        self.sampled_each_with_log_prob(n, &mut Noise::from_entropy())
    }

    /// [`sample_each_with_log_prob`](Self::sample_each_with_log_prob) from a seed.
    pub fn sample_each_with_log_prob_seeded<const D: usize, const E: usize>(
        &self,
        n: usize,
        seed: u64,
    ) -> (Tensor<E>, Tensor<2>)
    where
        F: Distribution<D>,
    {
        self.sampled_each_with_log_prob(n, &mut Noise::seeded(seed))
    }

    fn sampled<const D: usize>(&self, n: usize, noise: &mut Noise) -> Tensor<D>
    where
        F: Distribution<D>,
    {
        self.drawn(self.each_of(n), noise, F::sample)
    }

    fn sampled_with_log_prob<const D: usize>(
        &self,
        n: usize,
        noise: &mut Noise,
    ) -> (Tensor<D>, Tensor<1>)
    where
        F: Distribution<D>,
    {
        self.drawn(self.each_of(n), noise, F::sample_with_log_prob)
    }

    fn sampled_each<const D: usize, const E: usize>(&self, n: usize, noise: &mut Noise) -> Tensor<E>
    where
        F: Distribution<D>,
    {
        let outer = [self.contexts(), n];
        separated(self.drawn(outer, noise, F::sample), outer)
    }

    fn sampled_each_with_log_prob<const D: usize, const E: usize>(
        &self,
        n: usize,
        noise: &mut Noise,
    ) -> (Tensor<E>, Tensor<2>)
    where
        F: Distribution<D>,
    {
        let outer = [self.contexts(), n];
        let (x, log_prob) = self.drawn(outer, noise, F::sample_with_log_prob);
        (separated(x, outer), separated(log_prob, outer))
    }

    /// The number of rows of the context, 1 without a context.
    pub(crate) fn contexts(&self) -> usize {
        self.context.map_or(1, |context| context.dims()[0])
    }

    /// The number of contexts, and of draws for each context, of `n` draws.
    fn each_of<const D: usize>(&self, n: usize) -> [usize; 2]
    where
        F: Distribution<D>,
    {
        check_rows(layer_name::<F>(), n, self.context);
        if self.contexts() == 1 { [1, n] } else { [n, 1] }
    }

    /// Draws in chunks, without a graph.
    pub(crate) fn drawn<const D: usize, T: Rows>(
        &self,
        outer: [usize; 2],
        noise: &mut Noise,
        draw: impl Fn(&F, usize, Option<&Tensor<2>>, &mut Noise, &Device) -> T + Sync,
    ) -> T
    where
        F: Distribution<D>,
    {
        apart(self.distribution, || {
            let plain = self.distribution.valid();
            let own = plain.devices().into_iter().next();
            let device = own.or_else(|| self.context.map(|c| c.device().without_autodiff()));
            let device = device.unwrap_or_default();
            in_chunks(self.context, outer, noise, |rows, context, noise| {
                draw(&plain, rows, context, noise, &device)
            })
        })
    }
}

/// Separates the first axis of a batch into two, one of which may be 0.
pub(crate) fn separated<const D: usize, const E: usize>(
    x: Tensor<D>,
    outer: [usize; 2],
) -> Tensor<E> {
    const { assert!(E == D + 1, "the draws of each context have one axis more than a batch") };
    let mut shape = [0; E];
    shape[..2].copy_from_slice(&outer);
    shape[2..].copy_from_slice(&x.dims()[1..]);
    // In a shape to reshape to, burn reads 0 as "the axis of the tensor".
    if outer.contains(&0) {
        Tensor::zeros(shape, (&x.device(), x.dtype()))
    } else {
        x.reshape(shape)
    }
}
