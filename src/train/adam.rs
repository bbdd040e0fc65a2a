//! The optimizer of every loop of this module.

use burn::module::{Module, ModuleDisplay};
use burn::optim::{
    AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, LearningRate, ModuleOptimizer,
    Optimizer, RecordState, StateSink, StateSource, join_path,
};
use burn::tensor::{DType, Device, Tensor};

use super::gradients::{trained_twice, trains};
use crate::error::{Error, Result};
use crate::flow::float_dtype;
use crate::kernel::AdamStep;

/// Adam with decoupled weight decay: the update rule and the records of burn's `AdamW`. On the CPU backend `flex` a
/// step is one pass over memory instead of a dozen. [`fit`](super::fit) uses this optimizer.
///
/// `epsilon` is added to the root of the second moment. It is 1e-8, as in Kingma and Ba (2015), arXiv:1412.6980, and in
/// PyTorch; burn's default of 1e-5 slows small gradients. The moments decay by 0.9 and 0.999. Decoupled decay:
/// Loshchilov and Hutter (2019), arXiv:1711.05101.
///
/// ```
/// use burn::{module::Module, tensor::Device};
/// use burn_flows::{Noise, model::NiceConfig, train::{adamw, nll_gradients}};
///
/// let device = Device::flex();
/// let x = Noise::seeded(1).normal::<2>([100, 2], &device) * 3.0;
/// let mut flow = NiceConfig::new(2).init(&device).train();
/// let mut optimizer = adamw(0.0);
/// let (before, gradients) = nll_gradients(&flow, &x);
/// flow = optimizer.step(1e-2, flow, gradients);
/// assert!(nll_gradients(&flow, &x).0 < before);
/// ```
pub fn adamw(weight_decay: f64) -> ModuleOptimizer {
    let config = AdamWConfig::new().with_epsilon(EPSILON).with_weight_decay(weight_decay as f32);
    ModuleOptimizer::from(OnePass { burn: config.build(), weight_decay })
}

const EPSILON: f32 = 1e-8;

/// Returns an error for weights of f16, which Adam cannot train.
pub(super) fn check_precision<M: Module + ModuleDisplay>(model: &M) -> Result<()> {
    if float_dtype(model) != Some(DType::F16) {
        return Ok(());
    }
    let reason = "has f16 weights, in which the second moments of Adam underflow; train in f32 \
                  or bf16, then cast";
    Err(Error::config("fit", "flow", reason.to_string()))
}

/// Returns an error for a model without a trained parameter, or with one trained parameter in two places.
pub(super) fn check_trains<M: Module>(model: &M) -> Result<()> {
    if let Some(reason) = trained_twice(model) {
        return Err(Error::config("fit", "flow", reason));
    }
    if trains(model) {
        return Ok(());
    }
    let reason =
        "has no parameter to train; unfreeze a part, or choose a model that has parameters";
    Err(Error::config("fit", "flow", reason.to_string()))
}

/// burn's default decays of the moments, in burn's precision.
const BETAS: [f32; 2] = [0.9, 0.999];

/// burn's `AdamW`, or its fused kernel where one exists.
#[derive(Clone)]
struct OnePass {
    burn: AdamW,
    weight_decay: f64,
}

/// The state of burn's `AdamW`, under the names that burn gives it. burn 0.22 reads states in the default precision of
/// the device. That loses half the bits of the state of an f64 model, and the next step panics.
#[derive(Clone)]
struct State<const D: usize>(AdamWState<D>);

impl<const D: usize> RecordState for State<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        self.0.state_flatten(prefix, out);
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let prefix = join_path(prefix, "momentum");
        let time = source.take_scalar(&prefix, "time")?.try_into().ok()?;
        let mut moment = |leaf| {
            let data = source.take_tensor(&prefix, leaf)?;
            let dtype = data.dtype();
            Some(Tensor::from_data(data, (device, dtype)))
        };
        let momentum = AdaptiveMomentumState::new(time, moment("moment_1")?, moment("moment_2")?);
        Some(Self(AdamWState::new(momentum)))
    }
}

impl Optimizer for OnePass {
    type State<const D: usize> = State<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let AdaptiveMomentumState { time, moment_1, moment_2, .. } = match state {
            Some(State(state)) => state.momentum,
            None => AdaptiveMomentumState::new(0, gradient.zeros_like(), gradient.zeros_like()),
        };
        let betas = BETAS.map(f64::from);
        let step = AdamStep {
            rate,
            decay: self.weight_decay,
            betas,
            corrections: betas.map(|beta| 1.0 - beta.powf((time + 1) as f64)),
            epsilon: f64::from(EPSILON),
        };
        let state = |time, [moment_1, moment_2]: [Tensor<D>; 2]| {
            AdamWState::new(AdaptiveMomentumState::new(time, moment_1, moment_2))
        };
        let (weight, state) = match step.take(weight, &gradient, [moment_1, moment_2]) {
            Ok((weight, moments)) => (weight, Some(state(time + 1, moments))),
            Err((weight, moments)) => {
                self.burn.step(rate, weight, gradient, Some(state(time, moments)))
            }
        };
        (weight, state.map(State))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        State(AdamW::to_device(state.0, device))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::DType;

    use super::*;
    use crate::noise::Noise;

    #[test]
    fn the_kernel_takes_the_steps_of_burn() {
        for dtype in [DType::F32, DType::F64] {
            let draw = |seed| Noise::seeded(seed).normal::<2>([37, 5], &Device::flex()).cast(dtype);
            let config = AdamWConfig::new().with_epsilon(EPSILON).with_weight_decay(0.25);
            let one_pass = OnePass { burn: config.build(), weight_decay: 0.25 };
            let (mut found, mut wanted) = ((draw(0), None), (draw(0), None));
            for step in 1..20 {
                // Small and large gradients.
                let gradient = draw(step) * 10f64.powi(step as i32 % 7 - 4);
                found = one_pass.step(0.1, found.0, gradient.clone(), found.1);
                wanted = one_pass.burn.step(0.1, wanted.0, gradient, wanted.1);
                let error = (found.0.clone() - wanted.0.clone()).abs().max().into_scalar::<f64>();
                // burn computes 1 - 0.999^t in f32, which loses four digits in the first steps.
                assert!(error < 1e-5, "{dtype:?} {step}: {error:e}");
            }
            let moved = (wanted.0 - draw(0)).abs().max().into_scalar::<f64>();
            assert!(moved > 0.5, "{moved}");
            assert_eq!(found.1.expect("a state").0.momentum.time, 19);
        }
    }
}
