//! A snapshot of running statistics, from which a skipped step is undone.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::param::replaced;

/// The running statistics of a module at one time. A clone of the module would share them, so they are copied here.
pub(super) struct Statistics(GradientsParams);

impl Statistics {
    /// Copies the running statistics of a module, after every pending update.
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
        // `valid` applies the pending updates of running states to the module itself.
        drop(module.valid());
        module.visit(&mut save);
        Self(save.0)
    }

    /// Writes the running statistics back into the module; its trained parameters stay unchanged.
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
