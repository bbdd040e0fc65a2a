//! Parameters that are set by data or by a precision: saved flags, and new values under an old identity.

use std::collections::VecDeque;

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};

/// Casts the float parameters of a module to another precision; identities and what is trainable stay. Clones of the
/// module do not change. burn's own modules have no cast.
///
/// # Half precision
///
/// In f16 and bf16 the networks, the products of linear layers and the values between layers are in half precision.
/// Scalar maps (including splines), searches, matrices and their inverses, planar, radial, Sylvester, residual and
/// continuous layers compute in f32 and round their results. Log-determinants and log-densities are f32 and stay
/// f32. In f32 and f64 nothing changes.
///
/// The tables list the errors of layers in one call on `flex`, against f64 with the same (rounded) weights and data.
/// Each cell is the median to the largest error of the layers in the test suite. Errors are relative where a number
/// exceeds 1; errors of gradients are relative to the largest entry. Errors below 1e-5 count as 1e-5. Rounding alone
/// changes a value by up to 5e-4 in f16 and 4e-3 in bf16. `x` is the result of the inverse. Where a gradient loses a
/// digit or more, a rectifier of a network is on the other side of its kink.
///
/// | F16 | z | log-det | x | gradients |
/// | --- | --- | --- | --- | --- |
/// | linear maps, permutations | 6e-4 to 1e-3 | 1e-5 to 6e-5 | 6e-4 to 1e-3 | 4e-4 to 7e-4 |
/// | elementwise maps, normalization | 4e-4 to 1e-3 | 1e-5 to 5e-4 | 4e-4 to 1e-3 | 3e-4 to 1e-3 |
/// | couplings of affine and additive maps | 4e-4 to 7e-4 | 2e-4 to 8e-4 | 3e-4 to 7e-4 | 1e-3 to 2e-3 |
/// | the same, autoregressive | 4e-4 to 1e-3 | 3e-4 to 1e-3 | 4e-4 to 9e-4 | 7e-4 to 1e-3 |
/// | splines | 3e-4 to 8e-4 | 2e-4 to 3e-3 | 3e-4 to 8e-4 | 5e-4 to 3e-3 |
/// | maps inverted by a search | 3e-4 to 9e-4 | 6e-5 to 4e-4 | 4e-4 to 1e-3 | 6e-4 to 2e-3 |
/// | residual, block autoregressive, continuous | 3e-4 to 5e-4 | 1e-5 to 4e-3 | 3e-4 to 4e-3 | 3e-4 to 1e-3 |
/// | images | 7e-4 to 2e-3 | 4e-4 to 2e-3 | 8e-4 to 9e-3 | 1e-3 to 4e-3 |
/// | stacks | 6e-4 to 4e-3 | 1e-5 to 2e-3 | 7e-4 to 2e-3 | 8e-4 to 6e-3 |
/// | models | 9e-4 to 4e-3 | 3e-4 to 6e-3 | 9e-4 to 6e-3 | 1e-3 to 1e-2 |
///
/// | BF16 | z | log-det | x | gradients |
/// | --- | --- | --- | --- | --- |
/// | linear maps, permutations | 4e-3 to 1e-2 | 1e-5 to 5e-4 | 4e-3 to 1e-2 | 3e-3 to 6e-3 |
/// | elementwise maps, normalization | 3e-3 to 6e-3 | 1e-5 to 5e-3 | 3e-3 to 7e-3 | 2e-3 to 7e-3 |
/// | couplings of affine and additive maps | 3e-3 to 4e-3 | 2e-3 to 7e-3 | 3e-3 to 8e-3 | 7e-3 to 2e-2 |
/// | the same, autoregressive | 4e-3 to 5e-3 | 2e-3 to 1e-2 | 3e-3 to 1e-2 | 6e-3 to 9e-3 |
/// | splines | 2e-3 to 7e-3 | 2e-3 to 8e-3 | 2e-3 to 6e-3 | 4e-3 to 1e-2 |
/// | maps inverted by a search | 3e-3 to 1e-2 | 5e-4 to 3e-3 | 3e-3 to 1e-2 | 5e-3 to 1e-2 |
/// | residual, block autoregressive, continuous | 3e-3 to 5e-3 | 1e-5 to 4e-2 | 3e-3 to 3e-2 | 2e-3 to 1e-2 |
/// | images | 4e-3 to 1e-2 | 2e-3 to 1e-2 | 5e-3 to 4e-2 | 9e-3 to 2e-2 |
/// | stacks | 5e-3 to 3e-2 | 1e-5 to 1e-2 | 7e-3 to 2e-2 | 6e-3 to 8e-2 |
/// | models | 6e-3 to 3e-2 | 2e-3 to 5e-2 | 7e-3 to 5e-2 | 1e-2 to 3e-2 |
///
/// The largest number of f16 is 65504. An [`Exp`](crate::bijector::Exp) of 12, or the inverse of a layer that shrinks
/// by as much, gives infinity; bf16 has the range of f32. bf16 trains. `fit` refuses f16, in which the second moments
/// of Adam are zero: train in f32, and cast then.
///
/// # Example
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
    unshared(module).map(&mut Cast(dtype))
}

/// Moves a module to a device of any backend; identities and what is trainable stay. A clone of the module stays on its
/// device, with its running statistics.
///
/// `Module::to_device` of burn 0.22 does the same between devices of one backend. Between two backends it panics in
/// masked layers, if the backends store bools or integers differently, as `flex` and `wgpu` do.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{model::MafConfig, to_device};
///
/// let trained = MafConfig::new(3).init(&Device::flex());
/// let device = Device::flex(); // a GPU, if there is one
/// let flow = to_device(trained, &device);
/// assert_eq!(flow.log_prob(Tensor::zeros([4, 3], &device)).dims(), [4]);
/// ```
pub fn to_device<M: Module>(module: M, device: &Device) -> M {
    struct Mover(Device);
    impl ModuleMapper for Mover {
        // Floats are moved before `fork`, because a masked layer masks its weights anew.
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|old| as_before(&old, old.clone().without_autodiff().to_device(&self.0)))
        }

        fn map_int<const D: usize>(
            &mut self,
            param: Param<Tensor<D, Int>>,
        ) -> Param<Tensor<D, Int>> {
            param.map(|old| Tensor::from_data(old.into_data(), &self.0))
        }

        fn map_bool<const D: usize>(
            &mut self,
            param: Param<Tensor<D, Bool>>,
        ) -> Param<Tensor<D, Bool>> {
            param.map(|old| Tensor::from_data(old.into_data(), &self.0))
        }
    }
    // Not `to_device`: in burn 0.22 it freezes the parameters of a module that trains.
    unshared(module).map(&mut Mover(device.clone().without_autodiff())).fork(device)
}

/// The module with its own copy of its running statistics, and otherwise unchanged.
///
/// burn shares a [`RunningState`](burn::module::RunningState) between clones: mapping, moving or loading a clone would
/// change the original. Functions that consume a module call this function first.
pub(crate) fn unshared<M: Module>(module: M) -> M {
    /// For every tensor, whether it is on an autodiff device; for every flag, whether it is enabled; in the order of
    /// the module.
    #[derive(Default)]
    struct Before {
        states: VecDeque<bool>,
        in_graph: bool,
    }
    impl Before {
        // Not by `Module::devices`, which does not distinguish a device with autodiff from one without.
        fn note(&mut self, device: Device) {
            self.states.push_back(device.is_autodiff());
            self.in_graph |= device.is_autodiff();
        }

        fn next(&mut self) -> bool {
            self.states.pop_front().expect("a module is mapped as it is visited")
        }

        /// Whether a tensor was outside the graph and has to leave it again.
        fn was_plain(&mut self) -> bool {
            !self.next() && self.in_graph
        }
    }
    impl ModuleVisitor for Before {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.note(param.lazy_device());
        }

        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            self.note(param.lazy_device());
        }

        fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
            self.note(param.lazy_device());
        }

        fn visit_flag(&mut self, flag: &Param<Flag>) {
            self.states.push_back(flag.is_enabled());
        }
    }
    impl ModuleMapper for Before {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.was_plain() { param.map(Tensor::without_autodiff) } else { param }
        }

        fn map_int<const D: usize>(
            &mut self,
            param: Param<Tensor<D, Int>>,
        ) -> Param<Tensor<D, Int>> {
            if self.was_plain() { param.map(Tensor::without_autodiff) } else { param }
        }

        fn map_bool<const D: usize>(
            &mut self,
            param: Param<Tensor<D, Bool>>,
        ) -> Param<Tensor<D, Bool>> {
            if self.was_plain() { param.map(Tensor::without_autodiff) } else { param }
        }

        fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
            let enabled = self.next();
            flag.map(|_| Flag::new(enabled))
        }
    }
    let mut before = Before::default();
    module.visit(&mut before);
    // `valid` and `train` create new running states; a clone of the module keeps the old ones.
    let own = module.valid();
    let own = if before.in_graph { own.train() } else { own };
    own.map(&mut before)
}

/// A bool that is saved with the weights and never trained.
pub(crate) fn flag(value: bool, device: &Device) -> Param<Tensor<1, Bool>> {
    let data = TensorData::from([value]);
    Param::initialized(ParamId::new(), Tensor::from_data(data, &device.clone().without_autodiff()))
}

/// Indices as a parameter, which is saved and moved with the model and never trained.
pub(crate) fn index_param(indices: &[usize], device: &Device) -> Param<Tensor<1, Int>> {
    Param::initialized(ParamId::new(), index_tensor(indices, device))
}

/// Indices as a tensor outside any graph.
pub(crate) fn index_tensor(indices: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &device.clone().without_autodiff())
}

/// The indices of a parameter, on the host.
pub(crate) fn host_indices(indices: &Param<Tensor<1, Int>>) -> Vec<usize> {
    let values = indices.val().into_data().try_to_vec_as::<i64>().expect("integers");
    values.into_iter().map(|index| index as usize).collect()
}

/// The precision of a module's first float parameter.
pub(crate) fn float_dtype<M: Module>(module: &M) -> Option<DType> {
    struct First(Option<DType>);
    impl ModuleVisitor for First {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.0.is_none() {
                self.0 = Some(param.val().dtype());
            }
        }
    }
    let mut first = First(None);
    module.visit(&mut first);
    first.0
}

/// Sets a new value of a parameter. The parameter keeps its identity and its place inside or outside a graph.
pub(crate) fn replaced<const D: usize>(
    param: Param<Tensor<D>>,
    value: Tensor<D>,
) -> Param<Tensor<D>> {
    param.map(|old| as_before(&old, value.without_autodiff().cast(old.dtype())))
}

/// `value`, moved into a graph of the same kind if `old` is in one, and requiring a gradient if `old` does.
pub(crate) fn as_before<const D: usize>(old: &Tensor<D>, value: Tensor<D>) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "train", feature = "testing"))]
    let value = match old.gradient_checkpointing_strategy() {
        Some(strategy) => value.autodiff().with_gradient_checkpointing_strategy(strategy),
        None => value,
    };
    #[cfg(not(any(feature = "flex", feature = "train", feature = "testing")))]
    let value = if old.is_autodiff() { value.autodiff() } else { value };
    if old.is_require_grad() { value.require_grad() } else { value }
}
