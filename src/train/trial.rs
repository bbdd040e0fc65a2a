//! The fingerprint of an optimizer, by which a checkpoint refuses to resume with another optimizer.
//!
//! burn's `ModuleOptimizer` is opaque: it has no name, no readable settings, and the saved states of several kinds
//! have the same shapes. Adam with a weight decay would load the state of Adam without one and train on. So the
//! fingerprint is what the optimizer does:
//!
//! 1. copy the optimizer and the model
//! 2. set every trained weight to 8
//! 3. make three steps at learning rate 1, with every gradient 1e-4, then 0.5, then -3
//! 4. record the first element of every parameter
//!
//! Two optimizers of another kind, momentum, epsilon, weight decay, clipping or parameter group end at other numbers.
//! The trial costs three steps on the number of weights, without a forward pass.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::param::replaced;

/// The start value of every weight, far enough from 0 to make weight decay visible.
const WEIGHT: f64 = 8.0;

/// The gradients of the steps. The small one makes the epsilon of Adam visible. The others make momenta and limits of
/// the gradient visible.
const GRADIENTS: [f64; 3] = [1e-4, 0.5, -3.0];

/// The learning rate of the steps.
const RATE: f64 = 1.0;

/// The allowed difference between two devices, relative to [`WEIGHT`]: a hundred roundings of f32. A weight decay of
/// 1e-4 moves the weights by thirty times as much.
const TOLERANCE: f64 = 1e-5;

/// The final value of the first element of every float parameter; `None` if the parameter is not trained or the value
/// is not finite.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Trial(Vec<Option<f64>>);

impl Trial {
    /// Tries the optimizer on copies of the optimizer and the model.
    pub fn of<M: Module>(optimizer: &ModuleOptimizer, model: &M) -> Self {
        let mut optimizer = optimizer.clone();
        // `valid` makes an independent copy; clones share the values of their running statistics.
        let mut model = model.valid().train().map(&mut Level);
        for gradient in GRADIENTS {
            let mut push = Push { gradient, grads: GradientsParams::new() };
            model.visit(&mut push);
            model = optimizer.step(RATE, model, push.grads);
        }
        let mut ends = Ends(vec![]);
        model.visit(&mut ends);
        Self(ends.0)
    }

    /// Whether both are trials of the same optimizer.
    pub fn agrees(&self, other: &Self) -> bool {
        let same = |pair: (&Option<f64>, &Option<f64>)| match pair {
            (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * WEIGHT,
            (a, b) => a.is_none() && b.is_none(),
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
}

/// Sets every trained weight to [`WEIGHT`].
struct Level;

impl ModuleMapper for Level {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let old = param.val();
        if !old.is_require_grad() {
            return param;
        }
        replaced(param, Tensor::full(old.dims(), WEIGHT, (&old.device(), old.dtype())))
    }
}

/// Sets every element of a gradient to the same number.
struct Push {
    gradient: f64,
    grads: GradientsParams,
}

impl ModuleVisitor for Push {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            let options = (&value.device().without_autodiff(), value.dtype());
            self.grads.register(param.id, Tensor::<D>::full(value.dims(), self.gradient, options));
        }
    }
}

struct Ends(Vec<Option<f64>>);

impl ModuleVisitor for Ends {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let elements = value.shape().num_elements();
        let first = || value.clone().reshape([elements]).narrow(0, 0, 1).into_scalar::<f64>();
        let counts = value.is_require_grad() && elements > 0;
        self.0.push(counts.then(first).filter(|end| end.is_finite()));
    }
}
