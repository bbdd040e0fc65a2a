//! Running statistics as they were: what a step that does not count has moved is taken back.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::param::replaced;

/// The running statistics of a module at one time. Clones share theirs, so this is no clone.
pub(super) struct Statistics(GradientsParams);

impl Statistics {
    /// Those of a module, with every update that waits.
    pub(super) fn of<M: Module>(module: &M) -> Self {
        struct Save(GradientsParams);
        impl ModuleVisitor for Save {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let value = param.val();
                if !value.is_require_grad() {
                    self.0.register(param.id, value.without_autodiff());
                }
            }
        }
        let mut save = Save(GradientsParams::new());
        // Running states take in what waits as they become plain, in the module itself.
        drop(module.valid());
        module.visit(&mut save);
        Self(save.0)
    }

    /// Gives them to the module again; what it trains stays.
    pub(super) fn restore<M: Module>(&self, module: &M) {
        struct Restore<'a>(&'a GradientsParams);
        impl ModuleMapper for Restore<'_> {
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                match self.0.get::<D>(param.id) {
                    Some(value) => replaced(param, value),
                    None => param,
                }
            }
        }
        drop(module.valid());
        drop(module.clone().map(&mut Restore(&self.0)));
    }
}
