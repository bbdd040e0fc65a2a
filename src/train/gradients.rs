//! Gradients as a whole: their global norm, clipping by it, and who is not finite.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{ElementConversion, Tensor};

use crate::bijector::layer_name;
use crate::crew::{Crew, apart};
use crate::distribution::Distribution;
use crate::draws;
use crate::math::wide;
use crate::moments::total;
use crate::noise::Noise;
use crate::parallel::{Rows, gradient_blocks};
use crate::rows::{check_rows, in_block, rows_of};

/// The mean negative log-likelihood of a batch in nats, and its gradients: the step of a training
/// loop of your own. On CPU devices of `flex` the rows are shared among the cores, which
/// `backward` alone cannot do; the result does not depend on their number
/// ([`set_threads`](crate::set_threads)).
///
/// The model is one that [trains](burn::module::Module::train). Where `x` or the context has a graph
/// of its own, the batch stays whole.
///
/// # Panics
///
/// As [`Distribution::log_prob`].
///
/// ```
/// use burn::{module::Module, optim::AdamConfig, tensor::Device};
/// use burn_flows::{Noise, model::NiceConfig, train::nll_gradients};
///
/// let device = Device::flex();
/// let x = Noise::seeded(1).normal::<2>([1000, 2], &device) * 3.0;
/// let mut flow = NiceConfig::new(2).init(&device).train();
/// let mut optimizer = AdamConfig::new().init();
/// let (before, _) = nll_gradients(&flow, &x, None);
/// for _ in 0..20 {
///     let (_, gradients) = nll_gradients(&flow, &x, None);
///     flow = optimizer.step(1e-2, flow, gradients);
/// }
/// assert!(nll_gradients(&flow, &x, None).0 < before);
/// ```
pub fn nll_gradients<F: Distribution<D>, const D: usize>(
    model: &F,
    x: &Tensor<D>,
    context: Option<&Tensor<2>>,
) -> (f64, GradientsParams) {
    apart(model, || seeded(|seed| of_mean_nll(model, x, context, seed)))
}

/// Runs a step of somebody's own loop: every block has a stream of the draws, and what is drawn after
/// the step does not depend on which thread a block ran on.
pub(super) fn seeded<T>(step: impl FnOnce(&(dyn Fn(u64) + Sync)) -> T) -> T {
    let [now, later] = draws::with(|noise| [noise.next_u64(), noise.next_u64()]);
    let result = step(&|block| draws::seed(Noise::stream(now, block)));
    draws::seed(Noise::seeded(later));
    result
}

/// [`nll_gradients`]; `seed` is called before every block with its number.
pub(super) fn of_mean_nll<F: Distribution<D>, const D: usize>(
    model: &F,
    x: &Tensor<D>,
    context: Option<&Tensor<2>>,
    seed: &(dyn Fn(u64) + Sync),
) -> (f64, GradientsParams) {
    let (value, gradients, _) = by_blocks(model, x, context, seed, |model, x, context, weight| {
        let log_prob = model.log_prob(x, context);
        let value = total(&log_prob) * weight;
        let loss = log_prob.sum() * weight;
        (value, GradientsParams::from_grads(loss.backward(), model), ())
    });
    (value, gradients)
}

/// Value and gradients of a loss that is a weighted sum of log-probabilities over the rows, from
/// `part`, which has them for a block; and what else it gives, in the order of the blocks.
pub(super) fn by_blocks<F: Distribution<D>, T: Send, const D: usize>(
    model: &F,
    x: &Tensor<D>,
    context: Option<&Tensor<2>>,
    seed: &(dyn Fn(u64) + Sync),
    part: impl Fn(&F, Tensor<D>, Option<&Tensor<2>>, f64) -> (f64, GradientsParams, T) + Sync,
) -> (f64, GradientsParams, Vec<T>) {
    let dims = x.dims();
    check_rows(layer_name::<F>(), dims[0], context);
    let weight = -1.0 / dims[0] as f64;
    let blocks = gradient_blocks(model, [dims[0], dims[2..].iter().product()]);
    let plain = x.is_plain() && context.is_none_or(Rows::is_plain);
    if blocks.len() < 2 || !plain || model.mixes_rows() {
        seed(0);
        let (value, gradients, rest) = part(model, x.clone(), context, weight);
        return (value, gradients, vec![rest]);
    }
    // Every worker has a copy with a graph of its own: graphs that share parameters wait for each
    // other for ever.
    let device = x.device().autodiff();
    let crew = Crew::of(blocks.len());
    let copies: Vec<F> = (0..crew.len()).map(|_| model.clone().fork(&device)).collect();
    let sum = Sum::new();
    let rest = crew.each(blocks.len(), |worker, block| {
        seed(block as u64);
        let (copy, rows) = (&copies[worker], blocks[block].clone());
        let context = context.map(|context| rows_of(context, rows.clone()));
        let (value, gradients, rest) =
            in_block(rows.len(), dims[0], || part(copy, x.part(rows), context.as_ref(), weight));
        sum.take(copy, block, (value, gradients));
        rest
    });
    let (value, gradients) = sum.into_total();
    (value, gradients, rest)
}

/// A value and gradients.
type Part = (f64, GradientsParams);

/// Values and gradients of blocks, added in the order of the blocks: what comes too early waits, all
/// else is not held. One thread adds while the others go on.
struct Sum(Mutex<Parts>);

struct Parts {
    /// What was added so far; none while a thread adds to it.
    total: Option<Part>,
    next: usize,
    waiting: BTreeMap<usize, Part>,
}

impl Sum {
    fn new() -> Self {
        let total = Some((0.0, GradientsParams::new()));
        Self(Mutex::new(Parts { total, next: 0, waiting: BTreeMap::new() }))
    }

    fn locked(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take<M: Module>(&self, module: &M, block: usize, part: Part) {
        self.locked().waiting.insert(block, part);
        while let Some(((value, mut gradients), part)) = self.work() {
            add(module, &mut gradients, part.1);
            self.locked().total = Some((value + part.0, gradients));
        }
    }

    /// The total and what is to be added next, where it is there and nobody adds.
    fn work(&self) -> Option<(Part, Part)> {
        let mut parts = self.locked();
        let total = parts.total.take()?;
        let next = parts.next;
        let Some(part) = parts.waiting.remove(&next) else {
            parts.total = Some(total);
            return None;
        };
        parts.next += 1;
        Some((total, part))
    }

    fn into_total(self) -> Part {
        let parts = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        parts.total.expect("every block was added")
    }
}

/// Adds gradients of the parameters of a module to those that are there already; a parameter may be
/// part of several modules.
pub(super) fn add<M: Module>(module: &M, total: &mut GradientsParams, part: GradientsParams) {
    struct Add<'a> {
        total: &'a mut GradientsParams,
        part: GradientsParams,
    }
    impl ModuleVisitor for Add<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(part) = self.part.remove::<D>(param.id) else { return };
            let sum = match self.total.remove::<D>(param.id) {
                Some(total) => total + part,
                None => part,
            };
            self.total.register(param.id, sum);
        }
    }
    module.visit(&mut Add { total, part });
}

/// The Euclidean norm of all gradients together, not finite where one of them is not.
pub(super) fn global_norm<M: Module>(module: &M, grads: &GradientsParams) -> f64 {
    struct Squares<'a> {
        grads: &'a GradientsParams,
        sum: f64,
    }
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.grads.get::<D>(param.id) {
                self.sum += wide(grad).square().sum().into_scalar::<f64>().elem::<f64>();
            }
        }
    }
    let mut squares = Squares { grads, sum: 0.0 };
    module.visit(&mut squares);
    squares.sum.sqrt()
}

/// Scales all gradients so that their global norm is at most `limit`; burn's own clipping works
/// per parameter and so changes the direction of the step.
pub(super) fn clip<M: Module>(module: &M, grads: &mut GradientsParams, norm: f64, limit: f64) {
    struct Scale<'a> {
        grads: &'a mut GradientsParams,
        factor: f64,
    }
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.grads.remove::<D>(param.id) {
                self.grads.register(param.id, grad * self.factor);
            }
        }
    }
    if norm > limit {
        module.visit(&mut Scale { grads, factor: limit / norm });
    }
}

/// Where a step that was not finite went wrong: a parameter, else what `inside` finds in the plain
/// model, else a gradient.
pub(super) fn culprit<M: Module>(
    weights: &M,
    grads: &GradientsParams,
    inside: impl FnOnce(&M) -> Option<String>,
) -> String {
    let plain = weights.valid();
    first_non_finite(&plain, None)
        .or_else(|| inside(&plain))
        .or_else(|| first_non_finite(&plain, Some(grads)))
        .unwrap_or_else(|| "the loss".to_string())
}

/// The path of the first parameter that is not finite, or whose gradient is not.
fn first_non_finite<M: Module>(module: &M, grads: Option<&GradientsParams>) -> Option<String> {
    struct First<'a> {
        grads: Option<&'a GradientsParams>,
        path: Vec<String>,
        found: Option<String>,
    }
    fn finite<const D: usize>(tensor: &Tensor<D>) -> bool {
        tensor.clone().without_autodiff().is_finite().all().into_scalar::<u8>() != 0
    }
    impl ModuleVisitor for First<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.found.is_some() {
                return;
            }
            if !finite(&param.val()) {
                self.found = Some(self.path.join("."));
            } else if let Some(grad) = self.grads.and_then(|g| g.get::<D>(param.id))
                && !finite(&grad)
            {
                self.found = Some(format!("gradient of {}", self.path.join(".")));
            }
        }
    }
    let mut first = First { grads, path: vec![], found: None };
    module.visit(&mut first);
    first.found
}
