//! The network feature by feature: what the inverse of an autoregressive layer needs, for the price
//! of one pass.
//!
//! A unit that depends on the features of the first steps is known as soon as they are, and no
//! later feature changes it. So step s computes the units that became known, from the units
//! they are connected to; no weight is used twice. All values lie units first, `[units, batch]`, and
//! units by step, so that the units of some steps are one block of memory, and the weights between
//! two ranges of steps one block of a matrix.
//!
//! The steps are halved again and again: solve the first half, add in one product what it gives to
//! the second half, solve that. So nearly all the work is in large products, and only the last
//! few steps of every branch go one by one.

use std::ops::Range;

use burn::tensor::Tensor;

use super::{Made, host_indices};
use crate::conditioner::check_context;
use crate::param::index_tensor;

/// How many steps are not halved any more. Fewer make more products, more make larger copies.
const FEW_STEPS: usize = 16;

/// The units of one layer by step: those of step `s` are `starts[s]..starts[s + 1]`.
struct Units {
    order: Vec<usize>,
    starts: Vec<usize>,
}

impl Units {
    /// Sorts units by step. Those of step `steps` or later decide no feature and are left out.
    fn new(step_of: &[usize], steps: usize) -> Self {
        let mut order: Vec<usize> = (0..step_of.len()).filter(|&u| step_of[u] < steps).collect();
        order.sort_by_key(|&unit| step_of[unit]);
        let before = |step| order.partition_point(|&unit| step_of[unit] < step);
        let starts = (0..=steps).map(before).collect();
        Self { order, starts }
    }

    fn at(&self, steps: &Range<usize>) -> Range<usize> {
        self.starts[steps.start]..self.starts[steps.end]
    }

    /// `outputs` rows for every unit, those of one step together and output by output within it.
    fn repeated(&self, outputs: usize, units: usize) -> Self {
        let step = |s: usize| self.order[self.starts[s]..self.starts[s + 1]].iter();
        let rows = |s| (0..outputs).flat_map(move |p| step(s).map(move |unit| p * units + unit));
        Self {
            order: (0..self.starts.len() - 1).flat_map(rows).collect(),
            starts: self.starts.iter().map(|start| start * outputs).collect(),
        }
    }
}

/// One masked layer: what its units get from the units before it.
struct Stage {
    /// `[units, sources]`, both by step.
    weight: Tensor<2>,
    /// Bias and context: `[units, 1]` or `[units, batch]`.
    offset: Tensor<2>,
    units: Units,
    /// Where the sources of every step begin.
    sources: Vec<usize>,
    /// Whether a unit of step s sees sources of step s, or only earlier ones.
    sees_own_step: bool,
}

/// Values of every stage for a range of steps: the sums before its units, or its sources.
type Rows = Vec<Option<Tensor<2>>>;

/// A network ready to be run feature by feature.
pub(crate) struct Unrolled<'a> {
    made: &'a Made,
    stages: Vec<Stage>,
    features: Units,
    batch: usize,
}

impl Made {
    /// The network under a context, for `batch` rows.
    ///
    /// # Panics
    ///
    /// If the context has another width than the network was built for.
    pub(crate) fn unrolled(&self, batch: usize, context: Option<&Tensor<2>>) -> Unrolled<'_> {
        check_context("Made", self.context_width(), context);
        let steps_of: Vec<Vec<usize>> = self.steps.iter().map(host_indices).collect();
        let steps = steps_of[0].iter().max().expect("a feature") + 1;
        let units: Vec<Units> = steps_of.iter().map(|of| Units::new(of, steps)).collect();
        let outputs = self.outputs();

        // Which layer of units every masked layer leads from and to: along the stream and back.
        let mut links = vec![(&self.input, self.context_term(context), 0, 1)];
        links.extend(self.hidden.iter().enumerate().map(|(k, layer)| (layer, None, k + 1, k + 2)));
        for (k, block) in self.blocks.iter().enumerate() {
            links.push((&block.first, block.context_term(context), 1, k + 2));
            links.push((&block.second, None, k + 2, 1));
        }
        let mut stages: Vec<Stage> = vec![];
        for (layer, extra, from, to) in links {
            let rows = Units { order: units[to].order.clone(), starts: units[to].starts.clone() };
            stages.push(Stage::new(layer, extra, &units[from], rows, from > 0));
        }
        let last = if self.blocks.is_empty() { self.hidden.len() + 1 } else { 1 };
        let rows = units[0].repeated(outputs, self.features);
        stages.push(Stage::new(&self.output, None, &units[last], rows, true));
        let features = units.into_iter().next().expect("the features");
        Unrolled { made: self, stages, features, batch }
    }
}

impl Stage {
    fn new(
        layer: &super::MaskedLinear,
        extra: Option<Tensor<2>>,
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
        Self { weight, offset, units: to, sources: from.starts.clone(), sees_own_step }
    }

    /// What the units of `to` get from the given sources, which are those of `from`.
    fn product(&self, to: &Range<usize>, from: &Range<usize>, sources: Tensor<2>) -> Tensor<2> {
        let columns = self.sources[from.start]..self.sources[from.end];
        self.weight.clone().slice([self.units.at(to), columns]).matmul(sources)
    }
}

impl Unrolled<'_> {
    /// The features in the order in which they are solved for.
    pub(crate) fn order(&self) -> &[usize] {
        &self.features.order
    }

    /// Solves for all features: `solve` gets the places of some in [`order`](Self::order) and
    /// their parameters, `[outputs * features, batch]`, and returns their values, `[features, batch]`.
    /// Returns all values, in that order.
    pub(crate) fn run(
        &self,
        solve: &mut dyn FnMut(Range<usize>, Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        let steps = 0..self.features.starts.len() - 1;
        let offset = |stage: &Stage| (!stage.units.order.is_empty()).then(|| stage.offset.clone());
        let sums = self.stages.iter().map(offset).collect();
        let mut known = self.range(steps, sums, solve);
        known.swap_remove(0).expect("a feature")
    }

    /// Solves for the features of `steps`, given what every unit of these steps gets from earlier
    /// ones. Returns the sources of every stage in these steps.
    fn range(
        &self,
        steps: Range<usize>,
        sums: Rows,
        solve: &mut dyn FnMut(Range<usize>, Tensor<2>) -> Tensor<2>,
    ) -> Rows {
        if steps.len() <= FEW_STEPS {
            return self.few(steps, &sums, solve);
        }
        let middle = steps.start + steps.len() / 2;
        let (early, late) = (steps.start..middle, middle..steps.end);
        let part = |stage: &Stage, sums: &Option<Tensor<2>>, part: &Range<usize>| {
            let (rows, all) = (stage.units.at(part), stage.units.at(&steps));
            let from = rows.start - all.start;
            let sums = sums.as_ref().filter(|_| !rows.is_empty())?;
            Some(sums.clone().narrow(0, from, rows.len()))
        };
        let each = |of: &Range<usize>| -> Rows {
            self.stages.iter().zip(&sums).map(|(stage, sums)| part(stage, sums, of)).collect()
        };
        let known = self.range(early.clone(), each(&early), solve);
        let later = self.stages.iter().zip(each(&late)).zip(&known);
        let later = later.map(|((stage, sums), known)| match (sums, known) {
            (Some(sums), Some(known)) => Some(sums + stage.product(&late, &early, known.clone())),
            (sums, _) => sums,
        });
        let more = self.range(late.clone(), later.collect(), solve);
        known.into_iter().zip(more).map(|(known, more)| joined(known, more)).collect()
    }

    /// The same step by step.
    fn few(
        &self,
        steps: Range<usize>,
        sums: &Rows,
        solve: &mut dyn FnMut(Range<usize>, Tensor<2>) -> Tensor<2>,
    ) -> Rows {
        let mut known: Rows = vec![None; self.stages.len()];
        for step in steps.clone() {
            let now = step..step + 1;
            let sum = |at: usize, known: &Rows| -> Option<Tensor<2>> {
                let stage = &self.stages[at];
                let (rows, all) = (stage.units.at(&now), stage.units.at(&steps));
                let sums = sums[at].as_ref().filter(|_| !rows.is_empty())?;
                let sums = sums.clone().narrow(0, rows.start - all.start, rows.len());
                let seen = steps.start..if stage.sees_own_step { step + 1 } else { step };
                Some(match &known[at] {
                    Some(sources) => sums + stage.product(&now, &seen, sources.clone()),
                    None => sums.expand([rows.len(), self.batch]),
                })
            };
            let params = self.step(sum, &mut known);
            let params = params.expect("a feature in every step");
            let solved = solve(self.features.at(&now), params);
            known[0] = joined(known[0].take(), Some(solved));
        }
        known
    }

    /// Passes the units of one step through the network. `sum` gives what a stage's units of this
    /// step get from their sources, `known` collects these sources.
    fn step(
        &self,
        sum: impl Fn(usize, &Rows) -> Option<Tensor<2>>,
        known: &mut Rows,
    ) -> Option<Tensor<2>> {
        let made = self.made;
        let note = |at: usize, new: Option<Tensor<2>>, known: &mut Rows| {
            known[at] = joined(known[at].take(), new);
        };
        let mut h = sum(0, known);
        if made.blocks.is_empty() {
            h = h.map(|h| made.activate(h));
        }
        for at in 1..=made.hidden.len() {
            note(at, h, known);
            h = sum(at, known).map(|h| made.activate(h));
        }
        for at in (1..=2 * made.blocks.len()).step_by(2) {
            note(at, h.clone().map(|h| made.enter_block(h)), known);
            let inner = sum(at, known).map(|inner| made.activate(inner));
            note(at + 1, inner, known);
            h = h.zip(sum(at + 1, known)).map(|(h, inner)| h + inner);
        }
        let last = self.stages.len() - 1;
        note(last, h, known);
        sum(last, known)
    }
}

/// One after the other on axis 0.
fn joined(first: Option<Tensor<2>>, second: Option<Tensor<2>>) -> Option<Tensor<2>> {
    match (first, second) {
        (Some(first), Some(second)) => Some(Tensor::cat(vec![first, second], 0)),
        (first, second) => first.or(second),
    }
}
