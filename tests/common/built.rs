//! Weights that are the same in every run.

use std::sync::{Mutex, PoisonError};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use burn_flows::burn;

/// Builds a module from a fixed seed, with the weights that burn draws only when they are first used.
/// A device has one generator for all threads, hence the lock.
pub fn built<M: Module>(device: &Device, make: impl FnOnce(&Device) -> M) -> M {
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    device.seed(0);
    let module = make(device);
    module.visit(&mut Draw);
    module
}

struct Draw;

impl ModuleVisitor for Draw {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        param.val();
    }
}
