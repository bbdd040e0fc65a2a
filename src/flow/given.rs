//! The methods of a flow with a context that other distributions do not have: latents, and draws that keep the graph.

use burn::tensor::Tensor;

use super::{Flow, MultiScale};
use crate::bijector::Bijector;
use crate::distribution::{Distribution, Given, LevelBase};
use crate::noise::Noise;

impl<B, P> Given<'_, Flow<B, P>> {
    /// The latents of `x`.
    pub fn encode<const D: usize>(&self, x: Tensor<D>) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.distribution.forward(x, self.context).0
    }

    /// The data that belong to the latents `z`.
    pub fn decode<const D: usize>(&self, z: Tensor<D>) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.distribution.inverse(z, self.context)
    }

    /// Draws `n` new events from given noise. The events are in the graph of the flow, if the flow has one (the
    /// reparameterisation of variational inference).
    pub fn draw<const D: usize>(&self, n: usize, noise: &mut Noise) -> Tensor<D>
    where
        B: Bijector<D>,
        P: Distribution<D>,
    {
        self.distribution
            .drawn(n, self.context, noise, None, |flow, z, c| flow.bijector.inverse(z, c))
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
        self.distribution.drawn(n, self.context, noise, None, Flow::inverse_with_log_prob)
    }
}

impl<B: Bijector<4>, P: LevelBase> Given<'_, MultiScale<B, P>> {
    /// The latent parts of `x`, starting with the first level.
    pub fn encode(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        self.encode_with_log_det(x).0
    }

    /// The latent parts of `x` and `ln |det dz/dx|` of all levels, shape `[batch]`.
    pub fn encode_with_log_det(&self, x: Tensor<4>) -> (Vec<Tensor<4>>, Tensor<1>) {
        self.distribution.encoded(x, self.context)
    }

    /// The data that belong to the latent parts.
    ///
    /// # Panics
    ///
    /// The panics of [`MultiScale::decode`].
    pub fn decode(&self, parts: Vec<Tensor<4>>) -> Tensor<4> {
        self.distribution.decoded(parts, self.context)
    }

    /// Draws `n` new events from given noise. The events are in the graph of the flow, if the flow has one.
    pub fn draw(&self, n: usize, noise: &mut Noise) -> Tensor<4> {
        self.distribution.drawn(n, self.context, noise)
    }
}
