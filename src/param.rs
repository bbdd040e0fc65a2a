//! Parameters that data or a precision sets: a saved flag, a new value under an old identity.

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};

/// The module with its float parameters in another precision; identities and what is trainable
/// stay. burn's own modules have no cast.
///
/// ```
/// use burn::tensor::{DType, Device, Tensor};
/// use burn_flows::{cast, model::RealNvpConfig};
///
/// let device = Device::flex();
/// let flow = cast(RealNvpConfig::new(2).init(&device), DType::F64);
/// let x = Tensor::<2>::zeros([3, 2], (&device, DType::F64));
/// assert_eq!(flow.log_prob(x).dtype(), DType::F64);
/// assert_eq!(flow.sample_seeded(3, 1).dtype(), DType::F64);
/// ```
pub fn cast<M: Module>(module: M, dtype: DType) -> M {
    struct Cast(DType);
    impl ModuleMapper for Cast {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|old| as_before(&old, old.clone().without_autodiff().cast(self.0)))
        }
    }
    module.map(&mut Cast(dtype))
}

/// A truth that is saved with the weights and never trained.
pub(crate) fn flag(value: bool, device: &Device) -> Param<Tensor<1, Bool>> {
    let data = TensorData::from([value]);
    Param::initialized(ParamId::new(), Tensor::from_data(data, &device.clone().without_autodiff()))
}

/// Indices as a parameter: saved and moved with the model, never trained.
pub(crate) fn index_param(indices: &[usize], device: &Device) -> Param<Tensor<1, Int>> {
    Param::initialized(ParamId::new(), index_tensor(indices, device))
}

/// Indices as a tensor outside any graph.
pub(crate) fn index_tensor(indices: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &device.clone().without_autodiff())
}

/// A new value for a parameter, with its identity and its place in or outside a graph kept.
pub(crate) fn replaced<const D: usize>(
    param: Param<Tensor<D>>,
    value: Tensor<D>,
) -> Param<Tensor<D>> {
    param.map(|old| as_before(&old, value.without_autodiff().cast(old.dtype())))
}

/// `value`, as much in a graph as `old`.
pub(crate) fn as_before<const D: usize>(old: &Tensor<D>, value: Tensor<D>) -> Tensor<D> {
    let value = if old.is_autodiff() { value.autodiff() } else { value };
    if old.is_require_grad() { value.require_grad() } else { value }
}
