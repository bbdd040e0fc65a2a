//! The network feature by feature, for the inverse of an autoregressive layer. `x_1` gives the
//! parameters of `x_2`, `x_1` and `x_2` give those of `x_3`, and so on. A naive inverse makes one pass
//! through the whole network for each feature. Here all steps together cost one pass.
//!
//! Every hidden unit has a step: the step at which the last feature that it depends on becomes known. Example with
//! three features in their order: units that see `x_1` have step 1, units that see `x_1` and `x_2` step 2.
//!
//! 1. Units are sorted by step, and values lie as `[units, batch]`. The units of a range of steps are then one block of
//!    rows, and the weights between two ranges of steps one block of a matrix.
//! 2. Step `s` computes the units of step `s` alone, from units of steps up to `s`. No unit is computed twice.
//! 3. A product for a few units is slow, so some steps (about 24 units) make a block. One large product adds the sums
//!    from all units before the block. Inside the block, small products go step by step.
//! 4. All results are written into memory that was allocated once.

use std::ops::Range;

use burn::tensor::Tensor;

use super::{Made, times};
use crate::kernel::Units;
use crate::param::{host_indices, index_tensor};

/// About how many units of the widest layer form a block. A smaller number gives more and narrower
/// products between blocks. A larger number gives larger products inside blocks, which are narrow in
/// any case.
const BLOCK: usize = 24;

/// One masked layer: the sums that its units receive from earlier units.
struct Stage {
    /// `[units, sources]`, both sorted by step.
    weight: Tensor<2>,
    /// Bias and context: `[units, 1]` or `[units, batch]`.
    offset: Tensor<2>,
    /// Factors of the sums from the context, `[units, batch]`.
    gate: Option<Tensor<2>>,
    units: Units,
    /// The index of the first source of every step.
    sources: Vec<usize>,
    /// Whether a unit of step s sees sources of step s, or only earlier ones.
    sees_own_step: bool,
}

/// Solves for features. Takes their positions in [`Unrolled::order`] and their parameters,
/// `[outputs * features, batch]`, and returns their values, `[features, batch]`.
type Solve<'a> = dyn FnMut(Range<usize>, Tensor<2>) -> Tensor<2> + 'a;

/// The known sources of one stage in some steps. Rows are added as sources become known.
struct Growing {
    rows: Option<Tensor<2>>,
    filled: usize,
}

impl Growing {
    fn push(&mut self, new: Option<Tensor<2>>) {
        let Some(new) = new else { return };
        let rows = self.rows.take().expect("room for every source");
        let [count, batch] = new.dims();
        // The assignment is in place, because nothing except an autodiff graph holds another reference
        // to the rows.
        self.rows = Some(rows.slice_assign([self.filled..self.filled + count, 0..batch], new));
        self.filled += count;
    }

    fn so_far(&self) -> Option<Tensor<2>> {
        let rows = self.rows.as_ref().filter(|_| self.filled > 0)?;
        Some(rows.clone().narrow(0, 0, self.filled))
    }
}

/// A network prepared to run feature by feature.
pub(crate) struct Unrolled<'a> {
    made: &'a Made,
    stages: Vec<Stage>,
    features: Units,
    batch: usize,
}

impl Made {
    /// Prepares the network with a context, for `batch` rows.
    ///
    /// # Panics
    ///
    /// If the context has another width than the network was built for.
    pub(crate) fn unrolled(&self, batch: usize, context: Option<&Tensor<2>>) -> Unrolled<'_> {
        let context = &self.seen(context);
        let context = context.as_ref();
        let steps_of: Vec<Vec<usize>> = self.steps.iter().map(host_indices).collect();
        let steps = steps_of[0].iter().max().expect("a feature") + 1;
        let units: Vec<Units> = steps_of.iter().map(|of| Units::new(of, steps)).collect();
        let outputs = self.outputs();

        // The layers of units that every masked layer connects: along the stream and back.
        let mut links = vec![(&self.input, (self.context_term(context), None), 0, 1)];
        let plain = (None, None);
        let hidden = self.hidden.iter().enumerate();
        links.extend(hidden.map(|(k, layer)| (layer, plain.clone(), k + 1, k + 2)));
        // `stream` is the stream that a block changes; `wider` counts the wider streams so far.
        let (mut stream, mut wider) = (self.hidden.len() + 1, 0);
        for (k, block) in self.blocks.iter().enumerate() {
            if let Some(widen) = &block.widen {
                wider += 1;
                let next = self.hidden.len() + 1 + self.blocks.len() + wider;
                links.push((widen, plain.clone(), stream, next));
                stream = next;
            }
            let (extra, gate) = self.block_context(block, context);
            let inner = self.hidden.len() + k + 2;
            links.push((&block.first, (extra, None), stream, inner));
            links.push((&block.second, (None, gate), inner, stream));
        }
        let mut stages: Vec<Stage> = vec![];
        for (layer, context, from, to) in links {
            stages.push(Stage::new(layer, context, &units[from], units[to].clone(), from > 0));
        }
        let rows = units[0].repeated(outputs, self.features);
        stages.push(Stage::new(&self.output, plain, &units[stream], rows, true));
        let features = units.into_iter().next().expect("the features");
        Unrolled { made: self, stages, features, batch }
    }
}

impl Stage {
    fn new(
        layer: &super::MaskedLinear,
        (extra, gate): (Option<Tensor<2>>, Option<Tensor<2>>),
        from: &Units,
        to: Units,
        sees_own_step: bool,
    ) -> Self {
        let pick = |x: Tensor<2>, dim: usize, order: &[usize]| {
            if order.iter().copied().eq(0..x.dims()[dim]) {
                return x;
            }
            let indices = index_tensor(order, &x.device());
            x.select(dim, indices)
        };
        let weight = pick(pick(layer.weight().transpose(), 0, &to.order), 1, &from.order);
        let bias = layer.bias().map(|bias| bias.unsqueeze_dim::<2>(1));
        let extra = extra.map(Tensor::transpose);
        let offset = match (bias, extra) {
            (Some(bias), Some(extra)) => bias + extra,
            (Some(offset), None) | (None, Some(offset)) => offset,
            (None, None) => weight.clone().detach().narrow(1, 0, 1).zeros_like(),
        };
        let offset = pick(offset, 0, &to.order);
        let gate = gate.map(|gate| pick(gate.transpose(), 0, &to.order));
        Self { weight, offset, gate, units: to, sources: from.starts.clone(), sees_own_step }
    }

    /// The sums that the units of steps `to` receive from the sources of steps `from`.
    fn product(&self, to: &Range<usize>, from: &Range<usize>, sources: Tensor<2>) -> Tensor<2> {
        let columns = self.sources[from.start]..self.sources[from.end];
        self.weight.clone().slice([self.units.at(to), columns]).matmul(sources)
    }
}

impl Unrolled<'_> {
    /// The features in the order of solving.
    pub(crate) fn order(&self) -> &[usize] {
        &self.features.order
    }

    /// Solves for all features and returns their values, in the order of [`order`](Self::order).
    pub(crate) fn run(&self, solve: &mut Solve<'_>) -> Tensor<2> {
        let steps = 0..self.features.starts.len() - 1;
        let mut known = self.growing(&steps);
        let widest = self.stages.iter().filter_map(|stage| stage.sources.last()).max();
        let block = (BLOCK * steps.len() / widest.expect("a feature")).max(1);
        for start in steps.clone().step_by(block) {
            let few = start..(start + block).min(steps.end);
            let sums = self.stages.iter().zip(&known).map(|(stage, known)| {
                let rows = stage.units.at(&few);
                let offset = (!rows.is_empty())
                    .then(|| stage.offset.clone().narrow(0, rows.start, rows.len()))?;
                Some(match known.so_far() {
                    Some(sources) => stage.product(&few, &(0..start), sources) + offset,
                    None => offset,
                })
            });
            let sums: Vec<_> = sums.collect();
            let new = self.few(few, &sums, solve);
            known.iter_mut().zip(new).for_each(|(known, new)| known.push(new.rows));
        }
        // The solved values: with periodic features the last entry, otherwise the sources of the first
        // stage.
        let values =
            if self.made.periodic.is_some() { known.pop() } else { known.into_iter().next() };
        values.and_then(|values| values.rows).expect("a feature")
    }

    /// Allocates the sources of every stage in these steps. With periodic features it also allocates
    /// the features, because the first stage then sees other values.
    fn growing(&self, steps: &Range<usize>) -> Vec<Growing> {
        let room = |stage: &Stage| {
            let count = stage.sources[steps.end] - stage.sources[steps.start];
            let options = (&stage.weight.device().without_autodiff(), stage.weight.dtype());
            let rows = (count > 0).then(|| Tensor::zeros([count, self.batch], options));
            Growing { rows, filled: 0 }
        };
        let features = self.made.periodic.iter().map(|_| &self.stages[0]);
        self.stages.iter().chain(features).map(room).collect()
    }

    /// Solves for the features of `steps`, given the sums that all units of these steps receive from
    /// earlier units. Returns the sources of every stage in these steps.
    fn few(
        &self,
        steps: Range<usize>,
        sums: &[Option<Tensor<2>>],
        solve: &mut Solve<'_>,
    ) -> Vec<Growing> {
        let mut known = self.growing(&steps);
        for step in steps.clone() {
            let now = step..step + 1;
            let sum = |at: usize, known: &[Growing]| -> Option<Tensor<2>> {
                let stage = &self.stages[at];
                let (rows, all) = (stage.units.at(&now), stage.units.at(&steps));
                let sums = sums[at].as_ref().filter(|_| !rows.is_empty())?;
                let sums = sums.clone().narrow(0, rows.start - all.start, rows.len());
                let seen = steps.start..if stage.sees_own_step { step + 1 } else { step };
                let sums = match known[at].so_far() {
                    Some(sources) => stage.product(&now, &seen, sources) + sums,
                    None => sums.expand([rows.len(), self.batch]),
                };
                let gate = stage.gate.clone().map(|gate| gate.narrow(0, rows.start, rows.len()));
                Some(times(sums, gate))
            };
            let params = self.step(sum, &mut known).expect("a feature in every step");
            let places = self.features.at(&now);
            let values = solve(places.clone(), params);
            if let Some(periodic) = &self.made.periodic {
                let seen = periodic.of(values.clone().transpose(), &self.order()[places]);
                known[0].push(Some(seen.transpose()));
                known.last_mut().expect("the values").push(Some(values));
            } else {
                known[0].push(Some(values));
            }
        }
        known
    }

    /// Passes the units of one step through the network. `sum` returns the sums that a stage's units of
    /// this step receive from their sources. `known` collects these sources.
    fn step(
        &self,
        sum: impl Fn(usize, &[Growing]) -> Option<Tensor<2>>,
        known: &mut [Growing],
    ) -> Option<Tensor<2>> {
        let made = self.made;
        let mut h = sum(0, known);
        if made.activates_input() {
            h = h.map(|h| made.activate(h));
        }
        for at in 1..=made.hidden.len() {
            known[at].push(h);
            h = sum(at, known).map(|h| made.activate(h));
        }
        let mut at = made.hidden.len() + 1;
        for block in &made.blocks {
            if block.widen.is_some() {
                known[at].push(h);
                h = sum(at, known);
                at += 1;
            }
            known[at].push(h.clone().map(|h| made.enter_block(h)));
            let inner = sum(at, known).map(|inner| made.activate(inner));
            known[at + 1].push(inner);
            h = h.zip(sum(at + 1, known)).map(|(h, inner)| h + inner);
            at += 2;
        }
        let last = self.stages.len() - 1;
        known[last].push(h);
        sum(last, known)
    }
}
