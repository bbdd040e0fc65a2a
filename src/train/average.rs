//! Exponential moving average of the weights.
//!
//! a <- d a + (1 - d) w        d = min(decay, (1 + t) / (10 + t)) at step t
//!
//! The growing decay keeps the first, untrained weights out of the average; Polyak, Juditsky
//! (1992), Acceleration of stochastic approximation by averaging, is the idea.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Moves `average` toward `weights`; both are the same model, so their parameters share ids.
pub(super) fn update<M: Module>(average: M, weights: &M, decay: f64, step: usize) -> M {
    let warm = (1.0 + step as f64) / (10.0 + step as f64);
    let mut current = Collect(GradientsParams::new());
    weights.visit(&mut current);
    average.map(&mut Mix { weights: current.0, decay: decay.min(warm) })
}

/// Parameters by id; burn's container of gradients serves for any tensors.
struct Collect(GradientsParams);

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.register(param.id, param.val().without_autodiff());
    }
}

struct Mix {
    weights: GradientsParams,
    decay: f64,
}

impl ModuleMapper for Mix {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.weights.remove::<D>(param.id) {
            Some(new) => param.map(|old| old * self.decay + new * (1.0 - self.decay)),
            None => param,
        }
    }
}
