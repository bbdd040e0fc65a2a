//! Gradients as a whole: their global norm, clipping by it, and who is not finite.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{ElementConversion, Tensor};

/// The Euclidean norm of all gradients together, not finite where one of them is not.
pub(super) fn global_norm<M: Module>(module: &M, grads: &GradientsParams) -> f64 {
    struct Squares<'a> {
        grads: &'a GradientsParams,
        sum: f64,
    }
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.grads.get::<D>(param.id) {
                self.sum += grad.square().sum().into_scalar::<f64>().elem::<f64>();
            }
        }
    }
    let mut squares = Squares { grads, sum: 0.0 };
    module.visit(&mut squares);
    squares.sum.sqrt()
}

/// Scales all gradients so that their global norm is at most `limit`; burn's own clipping works
/// per parameter and so changes the direction of the step.
pub(super) fn clip<M: Module>(module: &M, grads: &mut GradientsParams, norm: f64, limit: f64) {
    struct Scale<'a> {
        grads: &'a mut GradientsParams,
        factor: f64,
    }
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.grads.remove::<D>(param.id) {
                self.grads.register(param.id, grad * self.factor);
            }
        }
    }
    if norm > limit {
        module.visit(&mut Scale { grads, factor: limit / norm });
    }
}

/// Where a step that was not finite went wrong: a parameter, else what `inside` finds in the plain
/// model, else a gradient.
pub(super) fn culprit<M: Module>(
    weights: &M,
    grads: &GradientsParams,
    inside: impl FnOnce(&M) -> Option<String>,
) -> String {
    let plain = weights.valid();
    first_non_finite(&plain, None)
        .or_else(|| inside(&plain))
        .or_else(|| first_non_finite(&plain, Some(grads)))
        .unwrap_or_else(|| "the loss".to_string())
}

/// The path of the first parameter that is not finite, or whose gradient is not.
fn first_non_finite<M: Module>(module: &M, grads: Option<&GradientsParams>) -> Option<String> {
    struct First<'a> {
        grads: Option<&'a GradientsParams>,
        path: Vec<String>,
        found: Option<String>,
    }
    fn finite<const D: usize>(tensor: &Tensor<D>) -> bool {
        tensor.clone().without_autodiff().is_finite().all().into_scalar::<u8>() != 0
    }
    impl ModuleVisitor for First<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.found.is_some() {
                return;
            }
            if !finite(&param.val()) {
                self.found = Some(self.path.join("."));
            } else if let Some(grad) = self.grads.and_then(|g| g.get::<D>(param.id))
                && !finite(&grad)
            {
                self.found = Some(format!("gradient of {}", self.path.join(".")));
            }
        }
    }
    let mut first = First { grads, path: vec![], found: None };
    module.visit(&mut first);
    first.found
}
