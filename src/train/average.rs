//! Exponential moving average of the weights.
//!
//! a <- d a + (1 - d) w        d = min(decay, (1 + t) / (10 + t)) at step t
//!
//! The decay grows so that the first, untrained weights leave the average. The idea is by Polyak, Juditsky (1992),
//! Acceleration of stochastic approximation by averaging.
//!
//! The average is f64 on `flex` and at least f32 elsewhere. In f32 a decay of 0.9999 loses a change below 3e-4 of the
//! weight's size; in bf16 a decay of 0.99 loses nearly every change.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::kernel::moved_toward;
use crate::math::fine;

/// Starts an average at these weights.
pub(super) fn start<M: Module>(weights: &M) -> M {
    struct Widen;
    impl ModuleMapper for Widen {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(fine)
        }
    }
    weights.valid().map(&mut Widen)
}

/// The average, cast to the precision of the weights.
pub(super) fn rounded<M: Module>(average: &M, weights: &M) -> M {
    struct Round(GradientsParams);
    impl ModuleMapper for Round {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            match self.0.get::<D>(param.id) {
                Some(weight) => param.map(|average| average.cast(weight.dtype())),
                None => param,
            }
        }
    }
    let mut current = Collect(GradientsParams::new());
    weights.visit(&mut current);
    average.valid().map(&mut Round(current.0))
}

/// Moves `average` toward `weights`. Both are the same model, so their parameters have the same ids.
pub(super) fn update<M: Module>(average: M, weights: &M, decay: f64, step: usize) -> M {
    let warm = (1.0 + step as f64) / (10.0 + step as f64);
    let mut current = Collect(GradientsParams::new());
    weights.visit(&mut current);
    average.map(&mut Mix { weights: current.0, decay: decay.min(warm) })
}

/// Parameters by id. burn's container of gradients holds any tensors.
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
            Some(new) => param.map(|old| moved_toward(old, new, 1.0 - self.decay)),
            None => param,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;

    #[test]
    fn a_small_difference_is_not_lost() {
        let value = |value: f64| Tensor::<1>::full([1], value, &Device::flex());
        let first = Param::from_tensor(value(1.0));
        let weights = first.clone().map(|_| value(1.0001));
        // Far beyond the warm-up: 1e-4 of a difference of 1e-4 is a tenth of an ulp of f32.
        let late = 1_000_000;
        let mut average = start(&first);
        for _ in 0..10_000 {
            average = update(average, &weights, 0.9999, late);
        }
        let expected = 1.0 + 1e-4 * (1.0 - (-1f64).exp());
        let found = average.val().into_scalar::<f64>();
        assert!((found - expected).abs() < 1e-7, "{found}, expected {expected}");
        let rounded = rounded(&average, &weights).val();
        assert_eq!((rounded.dtype(), rounded.into_scalar::<f32>()), (DType::F32, expected as f32));
    }
}
