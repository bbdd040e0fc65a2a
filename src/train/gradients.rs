//! Gradients of the loss, their global norm, clipping by that norm, and the search for values that are not finite.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Gradients, Tensor, TensorData};

use super::Batch;
use super::objective::{Block, Nll, Objective};
use crate::bijector::layer_name;
use crate::crew::{Crew, apart};
use crate::distribution::Distribution;
use crate::draws;
use crate::error::Result;
use crate::kernel::sum_of_squares;
use crate::math::fine;
use crate::noise::Noise;
use crate::parallel::{Rows, gradient_blocks};
use crate::rows::{check_rows, in_block};

/// The mean negative log-likelihood of a batch in nats, and its gradients: one step of a training loop of your own. The
/// rows are a tensor, a pair of rows and context, or a [`Batch`], whose weights apply to the mean.
///
/// On CPU devices of `flex` the cores share the rows, which `backward` alone cannot do. The result does not depend on
/// the number of cores ([`set_threads`](crate::set_threads)).
///
/// The model must be on an autodiff device, as after `flow.train()`. A parameter in two places of the model, as in a
/// model with clones of one layer, gets the sum of the gradients of both places. The optimizers of burn change only the
/// first place, so [`fit`](super::fit) refuses such a model. If `x` or the context has a graph of its own, the batch is
/// not divided among the cores.
///
/// # Panics
///
/// The panics of [`Distribution::log_prob`]; also if the model has no trained parameter, or there is no row.
///
/// # Example
///
/// ```
/// use burn::{module::Module, optim::AdamConfig, tensor::Device};
/// use burn_flows::{Noise, model::NiceConfig, train::nll_gradients};
///
/// let device = Device::flex();
/// let x = Noise::seeded(1).normal::<2>([1000, 2], &device) * 3.0;
/// let mut flow = NiceConfig::new(2).init(&device).train();
/// let mut optimizer = AdamConfig::new().init();
/// let (before, _) = nll_gradients(&flow, &x);
/// for _ in 0..20 {
///     let (_, gradients) = nll_gradients(&flow, &x);
///     flow = optimizer.step(1e-2, flow, gradients);
/// }
/// assert!(nll_gradients(&flow, &x).0 < before);
/// ```
pub fn nll_gradients<F: Distribution<D>, const D: usize>(
    model: &F,
    rows: impl Into<Batch<D>>,
) -> (f64, GradientsParams) {
    let rows = rows.into();
    let rows = rows.counted();
    let work = Work::of(&rows, rows.total_weight());
    let step = |seed: &Seed| of_objective(model, &Nll, &work, seed);
    apart(model, || seeded(step)).expect("the NLL has no error")
}

/// Seeds the draws of a model in a block, and returns the noise of the objective.
pub(super) type Seed<'a> = dyn Fn(u64) -> Noise + Sync + 'a;

/// Runs a step of a user's training loop. Every block draws from its own stream, so the draws after the step do not
/// depend on the thread that ran a block.
pub(super) fn seeded<T>(step: impl FnOnce(&Seed) -> T) -> T {
    let [now, later] = draws::with(|noise| [noise.next_u64(), noise.next_u64()]);
    let result = step(&|block| {
        draws::seed(Noise::stream(now, block));
        Noise::stream(now ^ OBJECTIVE, block)
    });
    draws::seed(Noise::seeded(later));
    result
}

/// Separates the noise of the objective from the draws of the model.
pub(super) const OBJECTIVE: u64 = 0x6f62_6a65;

/// The rows of a step, and the number by which their weighted sum is divided.
pub(super) struct Work<'a, const D: usize> {
    pub batch: Option<&'a Batch<D>>,
    /// The number of rows, also if the objective draws them.
    pub rows: usize,
    pub total: f64,
}

impl<'a, const D: usize> Work<'a, D> {
    pub fn of(batch: &'a Batch<D>, total: f64) -> Self {
        Self { batch: Some(batch), rows: batch.len(), total }
    }

    /// Rows that the objective draws.
    pub fn drawn(rows: usize) -> Self {
        Self { batch: None, rows, total: rows as f64 }
    }

    /// Whether neither the rows nor their context have a graph.
    fn is_plain(&self) -> bool {
        self.batch.is_none_or(|batch| {
            batch.x.is_plain() && batch.context.as_ref().is_none_or(Rows::is_plain)
        })
    }

    /// The number of pixels of a row.
    fn pixels(&self) -> usize {
        self.batch.map_or(1, |batch| batch.x.dims()[2..].iter().product())
    }

    pub fn shares(&self) -> Shares {
        match self.batch {
            Some(batch) => Shares::of(batch, self.total),
            None => Shares::Equal(1.0 / self.total),
        }
    }
}

/// The weighted sum of the losses divided by the total, and its gradients. `seed` is called before every block with its
/// number.
pub(super) fn of_objective<F: Distribution<D>, O: Objective<F, D>, const D: usize>(
    model: &F,
    objective: &O,
    work: &Work<'_, D>,
    seed: &Seed,
) -> Result<(f64, GradientsParams)> {
    let part = |model: &F, block: Block<'_, D>, shares: &Shares, noise: &mut Noise| {
        let losses = block.losses(objective, model, noise)?;
        let value = shares.total(&losses.to_data());
        Ok((value, collected(shares.sum(losses).backward(), model), ()))
    };
    by_blocks(model, work, seed, part).map(|(value, gradients, _)| (value, gradients))
}

/// The factor of every row in a loss.
#[derive(Debug, Clone)]
pub(super) enum Shares {
    /// One factor for all rows.
    Equal(f64),
    /// A factor for each row.
    Each(Vec<f64>),
}

impl Shares {
    /// The factors of the weighted sum divided by `total`.
    pub fn of<const D: usize>(rows: &Batch<D>, total: f64) -> Self {
        match rows.weights() {
            None => Self::Equal(1.0 / total),
            Some(weights) => Self::Each(weights.iter().map(|weight| weight / total).collect()),
        }
    }

    fn part(&self, rows: Range<usize>) -> Self {
        match self {
            Self::Equal(share) => Self::Equal(*share),
            Self::Each(shares) => Self::Each(shares[rows].to_vec()),
        }
    }

    /// The sum of the values times their shares, in f64.
    pub fn total(&self, values: &TensorData) -> f64 {
        let values = values.iter::<f64>();
        match self {
            Self::Equal(share) => values.sum::<f64>() * share,
            Self::Each(shares) => values.zip(shares).map(|(value, share)| value * share).sum(),
        }
    }

    /// The values times their shares and the number of rows: their mean is the sum of the shares.
    #[cfg(feature = "learner")]
    pub fn rows(&self, values: Tensor<1>) -> Tensor<1> {
        let rows = values.dims()[0] as f64;
        match self {
            Self::Equal(share) => values * (share * rows),
            Self::Each(shares) => values.clone() * like(&values, shares) * rows,
        }
    }

    /// The sum of the values times their shares, `[1]`, in the graph of the values.
    pub fn sum(&self, values: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Equal(share) => values.sum() * *share,
            Self::Each(shares) => (values.clone() * like(&values, shares)).sum(),
        }
    }
}

/// A constant tensor of these numbers, beside `values`.
fn like(values: &Tensor<1>, numbers: &[f64]) -> Tensor<1> {
    let data = TensorData::new(numbers.to_vec(), [numbers.len()]);
    Tensor::from_data(data, (&values.device().without_autodiff(), values.dtype()))
}

/// Value and gradients of a weighted sum over rows. `part` computes both for one block. The third result is the third
/// result of `part` for every block, in the order of the blocks.
pub(super) fn by_blocks<F: Distribution<D>, T: Send, const D: usize>(
    model: &F,
    work: &Work<'_, D>,
    seed: &Seed,
    part: impl Fn(&F, Block<'_, D>, &Shares, &mut Noise) -> Result<(f64, GradientsParams, T)> + Sync,
) -> Result<(f64, GradientsParams, Vec<T>)> {
    assert!(
        trains(model),
        "nll_gradients: expected a model with trained parameters, found none; call train() on the \
         model, or unfreeze() a part"
    );
    let rows = work.rows;
    assert!(rows > 0, "nll_gradients: expected at least 1 row, found 0");
    check_rows(layer_name::<F>(), rows, work.batch.and_then(|batch| batch.context.as_ref()));
    let shares = work.shares();
    let blocks = gradient_blocks(model, [rows, work.pixels()]);
    if blocks.len() < 2 || !work.is_plain() || model.mixes_rows() {
        let mut noise = seed(0);
        let block = Block::new(work.batch, 0..rows);
        let (value, gradients, rest) = part(model, block, &shares, &mut noise)?;
        return Ok((value, gradients, vec![rest]));
    }
    // Every worker makes itself a copy of the model with its own graph: graphs that share parameters block each other.
    // The copies are made from plain weights, because `fork` leaves a node behind every parameter that no backward pass
    // frees.
    let crew = Crew::of(blocks.len());
    let copies: Vec<OnceLock<F>> = (0..crew.len()).map(|_| OnceLock::new()).collect();
    let sum = Sum::new();
    let rest = crew.each(blocks.len(), |worker, number| {
        let mut noise = seed(number as u64);
        let copy = copies[worker].get_or_init(|| model.valid().train());
        let range = blocks[number].clone();
        let shares = shares.part(range.clone());
        let (value, gradients, rest) = in_block(range.len(), rows, || {
            part(copy, Block::new(work.batch, range), &shares, &mut noise)
        })?;
        sum.take(copy, number, (value, gradients));
        Ok(rest)
    });
    let rest = rest.into_iter().collect::<Result<Vec<T>>>()?;
    let (value, gradients) = sum.into_total();
    Ok((value, gradients, rest))
}

/// Whether a parameter of the model is trained: it is in a graph and not frozen.
pub(super) fn trains<M: Module>(model: &M) -> bool {
    struct Trains(bool);
    impl ModuleVisitor for Trains {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 = self.0 || param.val().is_require_grad();
        }
    }
    let mut trains = Trains(false);
    model.visit(&mut trains);
    trains.0
}

/// Returns the error text for a model that has a trained parameter in two places. An optimizer of burn takes gradients
/// by the identity of the parameter; it changes the first place and leaves the second.
pub(super) fn trained_twice<M: Module>(model: &M) -> Option<String> {
    #[derive(Default)]
    struct Twice {
        path: Vec<String>,
        seen: BTreeMap<ParamId, String>,
        found: Option<[String; 2]>,
    }
    impl ModuleVisitor for Twice {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_string());
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if self.found.is_none() && param.val().is_require_grad() {
                let path = self.path.join(".");
                let first = self.seen.insert(param.id, path.clone());
                self.found = first.map(|first| [first, path]);
            }
        }
    }
    let mut twice = Twice::default();
    model.visit(&mut twice);
    let [first, second] = twice.found?;
    Some(format!(
        "has one trained parameter in two places, `{first}` and `{second}`, because clones share \
         parameters; build each part with its own call of `init`"
    ))
}

/// The loss of a block of rows and its gradients.
type Part = (f64, GradientsParams);

/// Values and gradients of blocks, added in the order of the blocks. A part that arrives early waits; all other parts
/// are added and dropped. One thread adds while the other threads compute.
struct Sum(Mutex<Parts>);

struct Parts {
    /// The sum so far; `None` while a thread adds to it.
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

    /// Takes the total and the next part, if the next part has arrived and no other thread is adding.
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

/// The gradients of a module's parameters. After `train()`, the places of one parameter are separate leaves, and burn's
/// `from_grads` keeps the gradient of only one of them. This function adds the gradients of all places.
fn collected<M: Module>(gradients: Gradients, module: &M) -> GradientsParams {
    struct Collect(Gradients, GradientsParams);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            if !value.is_require_grad() {
                return;
            }
            let Some(part) = value.grad_remove(&mut self.0) else { return };
            let sum = match self.1.remove::<D>(param.id) {
                Some(total) => total + part,
                None => part,
            };
            self.1.register(param.id, sum);
        }
    }
    let mut collect = Collect(gradients, GradientsParams::new());
    module.visit(&mut collect);
    collect.1
}

/// Adds the gradients `part` of a module's parameters to `total`. A parameter may be part of several modules.
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

/// The largest norm of gradients that reaches an optimizer, whatever the configured limit. Adam squares the gradients;
/// beyond 1.8e19 the squares are infinite in f32, and Adam's second moment stays infinite.
const LARGEST_NORM: f64 = 1e18;

/// Clipping factors below this are applied in two steps: a factor of 1e-40 has lost most of its digits in f32.
const SMALL_FACTOR: f64 = 1e-4;

/// The Euclidean norm of all gradients together. It is not finite only if a gradient is not finite.
pub(super) fn global_norm<M: Module>(module: &M, grads: &GradientsParams) -> f64 {
    struct Norm<'a> {
        grads: &'a GradientsParams,
        norm: f64,
    }
    impl ModuleVisitor for Norm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.grads.get::<D>(param.id) {
                self.norm = self.norm.hypot(norm(grad));
            }
        }
    }
    let mut norm = Norm { grads, norm: 0.0 };
    module.visit(&mut norm);
    norm.norm
}

/// The Euclidean norm of a tensor.
fn norm<const D: usize>(x: Tensor<D>) -> f64 {
    let plain = sum_of_squares(x.clone()).sqrt();
    if plain.is_finite() && plain > 0.0 {
        return plain;
    }
    // The squares may overflow or underflow although the elements are in range.
    let x = fine(x);
    match x.clone().abs().max().into_scalar::<f64>() {
        largest if largest > 0.0 && largest.is_finite() => {
            sum_of_squares(x / largest).sqrt() * largest
        }
        _ => plain,
    }
}

/// Scales all gradients so that their global norm is at most `limit`, and at most [`LARGEST_NORM`]. burn's own clipping
/// works per parameter and therefore changes the direction of the step.
pub(super) fn clip<M: Module>(
    module: &M,
    grads: &mut GradientsParams,
    norm: f64,
    limit: Option<f64>,
) {
    struct Scale<'a> {
        grads: &'a mut GradientsParams,
        factor: f64,
    }
    impl ModuleVisitor for Scale<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(grad) = self.grads.remove::<D>(param.id) else { return };
            let root = self.factor.sqrt();
            let scaled = match self.factor < SMALL_FACTOR {
                true => grad * root * root,
                false => grad * self.factor,
            };
            self.grads.register(param.id, scaled);
        }
    }
    let limit = limit.unwrap_or(LARGEST_NORM).min(LARGEST_NORM);
    if norm > limit {
        module.visit(&mut Scale { grads, factor: limit / norm });
    }
}

/// Names the cause of a step that was not finite: first a parameter, then the result of `inside` for the plain model,
/// then a gradient.
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

/// The path of the first parameter that is not finite or has a gradient that is not finite.
pub(super) fn first_non_finite<M: Module>(
    module: &M,
    grads: Option<&GradientsParams>,
) -> Option<String> {
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

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;

    #[derive(Module, Debug)]
    struct Two {
        first: Param<Tensor<1>>,
        second: Param<Tensor<2>>,
    }

    /// The norm of two gradients filled with these values, one of four elements and one of two, and the largest element
    /// after clipping.
    fn clipped(values: [f64; 2], dtype: DType, limit: Option<f64>) -> (f64, f64) {
        let options = (&Device::flex(), dtype);
        let (first, second) = (
            Tensor::<1>::full([4], values[0], options),
            Tensor::<2>::full([1, 2], values[1], options),
        );
        let module = Two {
            first: Param::initialized(ParamId::new(), first.clone()),
            second: Param::initialized(ParamId::new(), second.clone()),
        };
        let mut grads = GradientsParams::new();
        grads.register(module.first.id, first);
        grads.register(module.second.id, second);
        let norm = global_norm(&module, &grads);
        clip(&module, &mut grads, norm, limit);
        let [first, second] = [
            grads.get::<1>(module.first.id).unwrap().max().into_scalar::<f64>(),
            grads.get::<2>(module.second.id).unwrap().max().into_scalar::<f64>(),
        ];
        (norm, first.max(second))
    }

    #[test]
    fn norms_of_any_size_are_known_and_clipped() {
        for (dtype, value, tolerance) in [
            (DType::F32, 1e-30, 1e-6),
            (DType::F32, 0.3, 1e-6),
            (DType::F32, 1e19, 1e-6),
            (DType::F32, 3.3e38, 1e-6),
            (DType::F64, 1e-200, 1e-12),
            (DType::F64, 1e200, 1e-12),
            (DType::F64, 1.7e307, 1e-12),
            (DType::F16, 6e4, 1e-3),
            (DType::BF16, 3e38, 1e-2),
        ] {
            let (norm, most) = clipped([value, 0.0], dtype, Some(10.0));
            let near = |found: f64, wanted: f64| (found / wanted - 1.0).abs() < tolerance;
            assert!(near(norm, 2.0 * value), "{dtype:?} {value:e}: {norm:e}");
            let wanted = if 2.0 * value > 10.0 { 5.0 } else { value };
            assert!(near(most, wanted), "{dtype:?} {value:e}: {most:e}");
        }
        let (norm, _) = clipped([3.0, 8.0], DType::F32, None);
        assert!((norm - (4.0 * 9.0 + 2.0 * 64.0f64).sqrt()).abs() < 1e-6, "{norm}");
    }

    #[test]
    fn without_a_limit_squares_stay_in_range() {
        let (_, most) = clipped([1e30, 0.0], DType::F32, None);
        assert!((most / 5e17 - 1.0).abs() < 1e-6, "{most:e}");
        assert_eq!(clipped([7.0, 0.0], DType::F32, None).1, 7.0);
    }

    #[test]
    fn what_is_not_finite_has_no_norm() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for values in [[bad, 0.0], [0.0, bad], [1e30, bad]] {
                let (norm, _) = clipped(values, DType::F32, None);
                assert!(!norm.is_finite(), "{values:?}: {norm}");
            }
        }
    }
}
