//! Builds modules whose weights are the same in every run.

use std::sync::{Mutex, PoisonError};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use burn_flows::burn;

/// Builds a module from a fixed seed. burn initialises weights at their first use, so this function
/// uses them all. A lock is needed because all threads share the generator of a device.
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
