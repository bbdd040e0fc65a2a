//! Parameters that data sets: a saved flag, and a new value under an old identity.

use burn::module::{Param, ParamId};
use burn::tensor::{Bool, Device, Tensor, TensorData};

/// A truth that is saved with the weights and never trained.
pub(crate) fn flag(value: bool, device: &Device) -> Param<Tensor<1, Bool>> {
    let data = TensorData::from([value]);
    Param::initialized(ParamId::new(), Tensor::from_data(data, &device.clone().without_autodiff()))
}

/// A new value for a parameter, with its identity and its place in or outside a graph kept.
pub(crate) fn replaced<const D: usize>(
    param: Param<Tensor<D>>,
    value: Tensor<D>,
) -> Param<Tensor<D>> {
    param.map(|old| {
        let value = value.without_autodiff().cast(old.dtype());
        let value = if old.is_autodiff() { value.autodiff() } else { value };
        if old.is_require_grad() { value.require_grad() } else { value }
    })
}
