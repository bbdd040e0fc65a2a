//! Walks over the parameters of a module: move, scramble, cast, and read gradients.

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, DType, Device, Gradients, Int, Tensor, TensorData};

use crate::noise::Noise;
use crate::param::unshared;

/// Standard deviation of the noise on scalars and vectors of parameters.
const VECTOR_STEP: f64 = 0.3;

/// Standard deviation of the noise on matrices and kernels, times the square root of their largest axis. The factor
/// makes the outputs of wide and narrow networks move equally far.
const MATRIX_STEP: f64 = 0.5;

/// Returns the module in training state, with all trainable parameters moved by seeded normal noise. The standard
/// deviation is 0.3 on vectors and `0.5 / sqrt(largest axis)` on matrices and kernels.
///
/// Most layers start as the identity, which hides mistakes. Values that are not trained stay unchanged: permutations,
/// running statistics, a fixed mean and scale.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::{ActNormConfig, Bijector}, testing};
///
/// let x = Tensor::<2>::ones([1, 3], &Device::flex());
/// let layer = testing::moved(ActNormConfig::new(3).init(&Device::flex()), 7);
/// let (z, _) = layer.forward(x.clone(), None);
/// assert!((z - x).abs().min().into_scalar::<f32>() > 0.0);
/// ```
pub fn moved<M: Module>(module: M, seed: u64) -> M {
    module.valid().train().map(&mut Move(Noise::seeded(seed)))
}

struct Move(Noise);

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| {
            if !value.is_require_grad() {
                return value;
            }
            let dims = value.dims();
            let largest = dims.into_iter().max().unwrap_or(1);
            let step = if D < 2 { VECTOR_STEP } else { MATRIX_STEP / (largest as f64).sqrt() };
            let value = value.without_autodiff();
            let noise = self.0.fill(dims, (&value.device(), value.dtype()), Noise::next_normal);
            (value + noise * step).autodiff().require_grad()
        })
    }
}

/// A copy in evaluation state whose parameters and flags are all overwritten; loading a record must restore them.
pub(super) fn scrambled<M: Module>(module: &M) -> M {
    struct Scramble;
    impl ModuleMapper for Scramble {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value * 0.5 + 0.25)
        }
        fn map_int<const D: usize>(
            &mut self,
            param: Param<Tensor<D, Int>>,
        ) -> Param<Tensor<D, Int>> {
            param.map(|value| value.zeros_like())
        }
        fn map_bool<const D: usize>(
            &mut self,
            param: Param<Tensor<D, Bool>>,
        ) -> Param<Tensor<D, Bool>> {
            param.map(Tensor::bool_not)
        }
        fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
            let value = flag.is_enabled();
            flag.with_value(!value)
        }
    }
    // `valid` comes first, because clones share their running states.
    module.valid().map(&mut Scramble)
}

/// A copy with `step` added to one parameter, in row-major order.
pub(super) fn stepped<M: Module>(module: &M, id: ParamId, step: Vec<f64>) -> M {
    struct Step(ParamId, Vec<f64>);
    impl ModuleMapper for Step {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if param.id != self.0 {
                return param;
            }
            param.map(|value| {
                let value = value.without_autodiff();
                let step = TensorData::new(self.1.clone(), value.dims());
                let step = Tensor::from_data(step, (&value.device(), value.dtype()));
                (value + step).autodiff().require_grad()
            })
        }
    }
    unshared(module.clone()).map(&mut Step(id, step))
}

/// One parameter as seen by [`walk`].
pub(super) struct Seen {
    /// The path of the parameter in the module.
    pub path: String,
    /// The identifier of the parameter.
    pub id: ParamId,
    /// The device of the parameter.
    pub device: Device,
    /// The number of elements of the parameter.
    pub elements: usize,
    /// The precision of a float parameter; `None` for other parameters.
    pub dtype: Option<DType>,
    /// Whether the parameter is float and takes a gradient.
    pub trainable: bool,
    /// The gradient of the parameter, if there is one.
    pub gradient: Option<Vec<f64>>,
}

/// All parameters with their paths, and with their gradients if `gradients` are given.
pub(super) fn walk<M: Module>(module: &M, gradients: Option<&Gradients>) -> Vec<Seen> {
    struct Walk<'a> {
        path: Vec<String>,
        gradients: Option<&'a Gradients>,
        seen: Vec<Seen>,
    }
    impl Walk<'_> {
        fn note(&mut self, id: ParamId, device: Device) -> &mut Seen {
            let path = self.path.join(".");
            let (elements, dtype, trainable, gradient) = (0, None, false, None);
            self.seen.push(Seen { path, id, device, elements, dtype, trainable, gradient });
            self.seen.last_mut().expect("just pushed")
        }
    }
    impl ModuleVisitor for Walk<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.base();
            let gradient = self.gradients.and_then(|all| value.grad(all)).map(super::host);
            let seen = self.note(param.id, value.device());
            seen.elements = value.shape().num_elements();
            seen.dtype = Some(value.dtype());
            seen.trainable = value.is_require_grad();
            seen.gradient = gradient;
        }
        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            self.note(param.id, param.val().device());
        }
        fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
            self.note(param.id, param.val().device());
        }
    }
    let mut walk = Walk { path: Vec::new(), gradients, seen: Vec::new() };
    module.visit(&mut walk);
    walk.seen
}
