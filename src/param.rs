//! Parameters that data or a precision sets: a saved flag, a new value under an old identity.

use std::collections::VecDeque;

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};

/// The module with its float parameters in another precision; identities and what is trainable
/// stay, and so does every clone of the module. burn's own modules have no cast.
///
/// # Half precision
///
/// In f16 and bf16 the networks, the products of linear layers and the values between layers are in half
/// precision. Scalar maps (splines among them), searches, matrices and their inverses, planar, radial,
/// Sylvester, residual and continuous layers compute in f32 and round their results; log-determinants and
/// log-densities are f32, and stay so. In f32 and f64 nothing is different for it.
///
/// What layers lose in one call on `flex`, against f64 with the same (rounded) weights and data, median
/// to largest among those of the test suite; relative where a number exceeds 1, to the largest entry for
/// a gradient. What is below 1e-5 counts as that. A value itself is rounded by up to 5e-4 in f16 and 4e-3
/// in bf16. `x` is that of the inverse. Where a gradient loses a digit or more, a rectifier of a network
/// is on its other side.
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
/// f16 ends at 65504: an [`Exp`](crate::bijector::Exp) of 12 and the inverse of a layer that shrinks by as
/// much give infinity, where bf16 has the range of f32. bf16 trains; `fit` refuses f16, in which the second moments of Adam are
/// zero: train in f32, and cast then.
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

/// The module on a device of any backend; identities and what is trainable stay. A clone of it stays where it
/// is, with its running statistics.
///
/// `Module::to_device` of burn 0.22 does the same between devices of one backend. Between two it panics
/// where they store truths or integers otherwise, as `flex` and `wgpu` do: in masked layers.
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
        // Here too, because a masked layer masks its weights anew.
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
    // Not `to_device`: burn 0.22 freezes the parameters of a module that trains by it.
    unshared(module).map(&mut Mover(device.clone().without_autodiff())).fork(device)
}

/// The module with running statistics of its own, and all else as it was.
///
/// burn shares a [`RunningState`](burn::module::RunningState) between clones: whatever maps, moves or
/// loads a clone would change the original. What consumes a module goes through this first.
pub(crate) fn unshared<M: Module>(module: M) -> M {
    /// In the order of the module: whether a tensor is on an autodiff device, or a flag enabled.
    #[derive(Default)]
    struct Before {
        states: VecDeque<bool>,
        in_graph: bool,
    }
    impl Before {
        // Not by `Module::devices`, which takes a device with autodiff for the same as without.
        fn note(&mut self, device: Device) {
            self.states.push_back(device.is_autodiff());
            self.in_graph |= device.is_autodiff();
        }

        fn next(&mut self) -> bool {
            self.states.pop_front().expect("a module is mapped as it is visited")
        }

        /// Whether a tensor that was plain is to become so again.
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
    // Both make running states anew; a clone of the module has the old ones.
    let own = module.valid();
    let own = if before.in_graph { own.train() } else { own };
    own.map(&mut before)
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
