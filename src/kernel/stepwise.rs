//! The inverse of a masked autoregressive layer, feature by feature, in one operation.
//!
//! x_i = f^-1(z_i; h_i(x_1 .. x_(i-1)))          h a network of masked layers, f a scalar map with a kernel
//!
//! A step solves for the features whose dependencies are known. Every unit of the network adds up what it receives from
//! its sources as they become known, so all steps together use each weight once. A group of rows passes all steps before
//! the next group begins, and its sums stay in the cache of a core.

use std::ops::Range;

use burn::tensor::Tensor;

use super::{Curve, Map};

/// The units of one layer sorted by step: the units of step `s` are `order[starts[s]..starts[s + 1]]`.
#[derive(Debug, Clone)]
pub(crate) struct Units {
    pub(crate) order: Vec<usize>,
    pub(crate) starts: Vec<usize>,
}

impl Units {
    /// Sorts units by step. Units of step `steps` or later affect no feature and are left out.
    pub(crate) fn new(step_of: &[usize], steps: usize) -> Self {
        let mut starts = vec![0; steps + 1];
        let known = || step_of.iter().enumerate().filter(|(_, step)| **step < steps);
        known().for_each(|(_, &step)| starts[step + 1] += 1);
        (0..steps).for_each(|step| starts[step + 1] += starts[step]);
        let mut next = starts.clone();
        let mut order = vec![0; starts[steps]];
        for (unit, &step) in known() {
            order[next[step]] = unit;
            next[step] += 1;
        }
        Self { order, starts }
    }

    /// The places of the units of these steps in the order.
    pub(crate) fn at(&self, steps: &Range<usize>) -> Range<usize> {
        self.starts[steps.start]..self.starts[steps.end]
    }

    #[cfg(feature = "flex")]
    fn steps(&self) -> usize {
        self.starts.len() - 1
    }

    /// `outputs` rows for every unit. The rows of one step are adjacent, ordered by output within a step.
    pub(crate) fn repeated(&self, outputs: usize, units: usize) -> Self {
        let step = |s: usize| self.order[self.starts[s]..self.starts[s + 1]].iter();
        let rows = |s| (0..outputs).flat_map(move |p| step(s).map(move |unit| p * units + unit));
        Self {
            order: (0..self.starts.len() - 1).flat_map(rows).collect(),
            starts: self.starts.iter().map(|start| start * outputs).collect(),
        }
    }
}

/// Where the values of a stage go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// They replace the stream.
    Stream,
    /// They are the input of the next stage; the stream stays.
    Inner,
    /// They are added to the stream.
    Sum,
}

/// A masked layer in the network.
#[cfg_attr(not(feature = "flex"), expect(dead_code, reason = "no kernel reads them"))]
pub(crate) struct Stage<'a> {
    /// `[sources, units]`, zero where a connection is cut.
    pub(crate) weight: Tensor<2>,
    /// Bias and context, `[1 or rows, units]`.
    pub(crate) offset: Tensor<2>,
    /// Factors of the sums, `[rows, units]`.
    pub(crate) gate: Option<Tensor<2>>,
    pub(crate) sources: &'a Units,
    pub(crate) units: &'a Units,
    /// The activations before and after the layer.
    pub(crate) curves: [Curve; 2],
    pub(crate) target: Target,
}

/// The features, `[rows, features]`, and their parameters, `[rows, P, features]`, if `with_params`. `None` if the kernel
/// does not support the tensors. The first stage has the features as its sources, and the last stage gives the
/// parameters: parameter `p` of feature `i` is unit `p * features + i`.
#[cfg_attr(not(feature = "flex"), expect(unused_variables, reason = "there is no kernel"))]
pub(crate) fn stepwise(
    stages: &[Stage<'_>],
    map: Map,
    z: &Tensor<2>,
    with_params: bool,
) -> Option<(Tensor<2>, Option<Tensor<3>>)> {
    #[cfg(feature = "flex")]
    if flex::knows(stages, map, z) {
        return Some(flex::stepwise(stages, map, z, with_params));
    }
    None
}

#[cfg(feature = "flex")]
mod flex {
    use std::borrow::Cow;

    use burn::backend::Flex;
    use burn::backend::flex::FlexTensor;
    use burn::tensor::{DType, Tensor};

    use super::{Stage, Target};
    use crate::kernel::dense::activate;
    use crate::kernel::elementary::{Elementary, vectorized};
    use crate::kernel::matrix::tensor;
    use crate::kernel::{Curve, Map};

    /// Rows that pass all steps together: the elements of a vector register.
    const GROUP: usize = 16;

    /// From this number of rows on, the units are sorted by step, so that a source is not added to the units before it.
    const SORTED: usize = 32;

    /// Elements of a vector register.
    const LANES: usize = 16;

    /// Rows that share the weights in registers.
    const TILE: usize = 4;

    pub(super) fn knows(stages: &[Stage<'_>], map: Map, z: &Tensor<2>) -> bool {
        let fits = |x: &Tensor<2>| crate::parallel::is_plain(&x.device()) && x.dtype() == z.dtype();
        let stage = |stage: &Stage<'_>| {
            fits(&stage.weight) && fits(&stage.offset) && stage.gate.as_ref().is_none_or(fits)
        };
        crate::kernel::knows(z.dtype())
            && map.is_known()
            && z.shape().num_elements() > 0
            && fits(z)
            && stages.iter().all(stage)
    }

    pub(super) fn stepwise(
        stages: &[Stage<'_>],
        map: Map,
        z: &Tensor<2>,
        with_params: bool,
    ) -> (Tensor<2>, Option<Tensor<3>>) {
        match z.dtype() {
            DType::F64 => run::<f64>(stages, map, z, with_params),
            _ => run::<f32>(stages, map, z, with_params),
        }
    }

    fn primitive<const D: usize>(x: &Tensor<D>) -> FlexTensor {
        x.clone().try_into_primitive::<Flex>().expect("on `flex`").to_contiguous()
    }

    /// A stage on the host. If its units are sorted, `places` are `0..units`, and zeros fill a row to whole lanes.
    struct Layer<'a, T: Clone> {
        stage: &'a Stage<'a>,
        width: usize,
        weight: Cow<'a, [T]>,
        /// Offsets of each row, or of all rows.
        offset: Cow<'a, [T]>,
        gate: Option<Cow<'a, [T]>>,
        /// The places of the units in a row, by step.
        places: Cow<'a, [usize]>,
        /// The first unit that a source of a step reaches, by step.
        reach: Vec<usize>,
    }

    /// The columns of rows of length `from` in the given order, in rows of length `to` that end with zeros.
    fn columns<T: Elementary>(values: &[T], [from, to]: [usize; 2], order: &[usize]) -> Vec<T> {
        let mut sorted = vec![T::zero(); values.len() / from * to];
        for (row, sorted) in values.chunks_exact(from).zip(sorted.chunks_exact_mut(to)) {
            for (at, &column) in order.iter().enumerate() {
                sorted[at] = row[column];
            }
        }
        sorted
    }

    impl<'a, T: Elementary> Layer<'a, T> {
        fn new(
            stage: &'a Stage<'a>,
            [weight, offset]: [&'a [T]; 2],
            gate: Option<&'a [T]>,
            sorted: bool,
            first: bool,
        ) -> Self {
            let all = stage.weight.dims()[1];
            let (order, starts) = (&stage.units.order, &stage.units.starts);
            if !sorted {
                let [weight, offset] = [weight, offset].map(Cow::Borrowed);
                let (gate, places) = (gate.map(Cow::Borrowed), Cow::Borrowed(&order[..]));
                let reach = vec![0; starts.len()];
                return Self { stage, width: all, weight, offset, gate, places, reach };
            }
            let width = order.len().next_multiple_of(LANES).max(LANES);
            let by_step = |values: &[T]| Cow::Owned(columns(values, [all, width], order));
            // Units of a step see features of earlier steps, and units of the same step.
            let next = usize::from(first);
            let last = starts.len() - 1;
            Self {
                stage,
                width,
                weight: by_step(weight),
                offset: by_step(offset),
                gate: gate.map(by_step),
                places: Cow::Owned((0..order.len()).collect()),
                reach: (0..=last)
                    .map(|step| starts[(step + next).min(last)] / LANES * LANES)
                    .collect(),
            }
        }

        /// Adds what the units of the active rows receive from the sources of a step. `values` are `[sources, GROUP]`.
        fn push(&self, step: usize, active: usize, values: &[T], sums: &mut [T]) {
            match fuses() {
                true => self.push_by::<true>(step, active, values, sums),
                false => self.push_by::<false>(step, active, values, sums),
            }
        }

        fn push_by<const FUSED: bool>(
            &self,
            step: usize,
            active: usize,
            values: &[T],
            sums: &mut [T],
        ) {
            let (width, from) = (self.width, self.reach[step]);
            let starts = &self.stage.sources.starts;
            let sources = &self.stage.sources.order[starts[step]..starts[step + 1]];
            if from == width {
                return;
            }
            vectorized(
                #[inline(always)]
                || {
                    let (values, _) = values.as_chunks::<GROUP>();
                    let row = |source: usize| &self.weight[source * width..][from..width];
                    let sums = &mut sums[..active * width];
                    let span = [width, from];
                    let mut at = 0;
                    while at + 4 <= sources.len() {
                        let [a, b, c, d] = [at, at + 1, at + 2, at + 3];
                        let weights =
                            [row(sources[a]), row(sources[b]), row(sources[c]), row(sources[d])];
                        add::<T, FUSED, _>(
                            weights,
                            [&values[a], &values[b], &values[c], &values[d]],
                            sums,
                            span,
                        );
                        at += 4;
                    }
                    while at + 2 <= sources.len() {
                        let weights = [row(sources[at]), row(sources[at + 1])];
                        add::<T, FUSED, _>(weights, [&values[at], &values[at + 1]], sums, span);
                        at += 2;
                    }
                    if at < sources.len() {
                        add::<T, FUSED, _>([row(sources[at])], [&values[at]], sums, span);
                    }
                },
            );
        }

        /// The values of the units of a step, `[units, GROUP]`, after gate and activation.
        fn values(&self, step: usize, group: usize, sums: &[T], out: &mut Vec<T>) {
            let starts = &self.stage.units.starts;
            let places = &self.places[starts[step]..starts[step + 1]];
            out.resize(places.len() * GROUP, T::zero());
            if places.is_empty() {
                return;
            }
            for row in 0..GROUP {
                let sums = &sums[row * self.width..(row + 1) * self.width];
                for (value, &place) in out[row..].iter_mut().step_by(GROUP).zip(places) {
                    *value = sums[place];
                }
            }
            if let Some(gate) = &self.gate {
                let last = gate.len() / self.width - 1;
                for (values, place) in out.chunks_exact_mut(GROUP).zip(places) {
                    for (row, value) in values.iter_mut().enumerate() {
                        *value = *value * gate[(group + row).min(last) * self.width + place];
                    }
                }
            }
            curve(out, self.stage.curves[1]);
        }
    }

    fn curve<T: Elementary>(values: &mut [T], curve: Curve) {
        if curve != Curve::Identity {
            vectorized(
                #[inline(always)]
                || activate(values, curve),
            );
        }
    }

    /// `sums[row][from..] += weights[k] values[k][row]` for one `k` after the other. The number of rows is a multiple of
    /// `TILE`.
    #[inline(always)]
    fn add<T: Elementary, const FUSED: bool, const K: usize>(
        weights: [&[T]; K],
        values: [&[T; GROUP]; K],
        sums: &mut [T],
        [width, from]: [usize; 2],
    ) {
        let mut whole: [&[[T; LANES]]; K] = [&[]; K];
        let mut rest: [&[T]; K] = [&[]; K];
        let mut k = 0;
        while k < K {
            (whole[k], rest[k]) = weights[k].as_chunks::<LANES>();
            k += 1;
        }
        let mut row = 0;
        while row * width < sums.len() {
            let (first, others) = sums[row * width..(row + TILE) * width].split_at_mut(width);
            let (second, others) = others.split_at_mut(width);
            let (third, fourth) = others.split_at_mut(width);
            let (one, one_rest) = first[from..].as_chunks_mut::<LANES>();
            let (two, two_rest) = second[from..].as_chunks_mut::<LANES>();
            let (three, three_rest) = third[from..].as_chunks_mut::<LANES>();
            let (four, four_rest) = fourth[from..].as_chunks_mut::<LANES>();
            let of = [
                at(&values, row),
                at(&values, row + 1),
                at(&values, row + 2),
                at(&values, row + 3),
            ];
            for chunk in 0..one.len() {
                // Local copies stay in registers: for all the compiler knows, the sums share memory with the weights.
                let mut own = [[T::zero(); LANES]; K];
                let mut k = 0;
                while k < K {
                    own[k] = whole[k][chunk];
                    k += 1;
                }
                lanes::<T, FUSED, K>(&own, of[0], &mut one[chunk]);
                lanes::<T, FUSED, K>(&own, of[1], &mut two[chunk]);
                lanes::<T, FUSED, K>(&own, of[2], &mut three[chunk]);
                lanes::<T, FUSED, K>(&own, of[3], &mut four[chunk]);
            }
            for lane in 0..one_rest.len() {
                single::<T, FUSED, K>(&rest, lane, of[0], &mut one_rest[lane]);
                single::<T, FUSED, K>(&rest, lane, of[1], &mut two_rest[lane]);
                single::<T, FUSED, K>(&rest, lane, of[2], &mut three_rest[lane]);
                single::<T, FUSED, K>(&rest, lane, of[3], &mut four_rest[lane]);
            }
            row += TILE;
        }
    }

    /// The values of one row.
    #[inline(always)]
    fn at<T: Elementary, const K: usize>(values: &[&[T; GROUP]; K], row: usize) -> [T; K] {
        let mut of = [T::zero(); K];
        let mut k = 0;
        while k < K {
            of[k] = values[k][row];
            k += 1;
        }
        of
    }

    /// `sum + weight value`, rounded once if `FUSED`.
    #[inline(always)]
    fn plus<T: Elementary, const FUSED: bool>(sum: T, weight: T, value: T) -> T {
        if FUSED { weight.mul_add(value, sum) } else { weight * value + sum }
    }

    /// Whether this machine multiplies and adds in one instruction.
    fn fuses() -> bool {
        #[cfg(target_arch = "x86_64")]
        return std::is_x86_feature_detected!("fma");
        #[cfg(not(target_arch = "x86_64"))]
        cfg!(target_arch = "aarch64")
    }

    #[inline(always)]
    fn lanes<T: Elementary, const FUSED: bool, const K: usize>(
        weights: &[[T; LANES]; K],
        values: [T; K],
        sums: &mut [T; LANES],
    ) {
        let mut own = *sums;
        let mut k = 0;
        while k < K {
            let (weights, value) = (&weights[k], values[k]);
            let mut lane = 0;
            while lane < LANES {
                own[lane] = plus::<T, FUSED>(own[lane], weights[lane], value);
                lane += 1;
            }
            k += 1;
        }
        *sums = own;
    }

    #[inline(always)]
    fn single<T: Elementary, const FUSED: bool, const K: usize>(
        weights: &[&[T]; K],
        lane: usize,
        values: [T; K],
        sum: &mut T,
    ) {
        let mut k = 0;
        while k < K {
            *sum = plus::<T, FUSED>(*sum, weights[k][lane], values[k]);
            k += 1;
        }
    }

    fn run<T: Elementary>(
        stages: &[Stage<'_>],
        map: Map,
        z: &Tensor<2>,
        with_params: bool,
    ) -> (Tensor<2>, Option<Tensor<3>>) {
        let [rows, features] = z.dims();
        let outputs = stages.last().expect("an output layer").weight.dims()[1] / features;
        let host: Vec<_> = stages
            .iter()
            .map(|stage| {
                let gate = stage.gate.as_ref().map(primitive);
                (primitive(&stage.weight), primitive(&stage.offset), gate)
            })
            .collect();
        let layers: Vec<Layer<'_, T>> = stages
            .iter()
            .zip(&host)
            .enumerate()
            .map(|(at, (stage, (weight, offset, gate)))| {
                let tensors = [weight, offset].map(T::slice);
                let gate = gate.as_ref().map(T::slice);
                Layer::new(stage, tensors, gate, rows >= SORTED, at == 0)
            })
            .collect();
        let z = primitive(z);
        let mut x = vec![T::zero(); rows * features];
        let mut params = vec![T::zero(); if with_params { rows * outputs * features } else { 0 }];
        let mut group = Group::new(&layers);
        for start in (0..rows).step_by(GROUP) {
            let count = GROUP.min(rows - start);
            let part = |width: usize| start * width..(start + count) * width;
            let whole = if with_params { part(outputs * features) } else { 0..0 };
            group.solve(
                map,
                [start, features],
                &T::slice(&z)[part(features)],
                &mut x[part(features)],
                &mut params[whole],
            );
        }
        let wrap = |values, shape: &[usize]| tensor::<T>(values, shape);
        let params = with_params.then(|| wrap(params, &[rows, outputs, features]));
        (
            Tensor::from_primitive::<Flex>(wrap(x, &[rows, features])),
            params.map(Tensor::from_primitive::<Flex>),
        )
    }

    /// The buffers of a group of rows.
    struct Group<'a, T: Clone> {
        layers: &'a [Layer<'a, T>],
        /// `[GROUP, units]` for every layer.
        sums: Vec<Vec<T>>,
        stream: Vec<T>,
        inner: Vec<T>,
        entered: Vec<T>,
        solved: [Vec<T>; 2],
    }

    impl<'a, T: Elementary> Group<'a, T> {
        fn new(layers: &'a [Layer<'a, T>]) -> Self {
            let sums = layers.iter().map(|layer| vec![T::zero(); GROUP * layer.width]).collect();
            let empty = Vec::new;
            let solved = [vec![], vec![]];
            Self { layers, sums, stream: empty(), inner: empty(), entered: empty(), solved }
        }

        /// Solves for the features of the rows of `z`, at most `GROUP`. The rest of the group repeats the last row.
        fn solve(
            &mut self,
            map: Map,
            [start, features]: [usize; 2],
            z: &[T],
            x: &mut [T],
            params: &mut [T],
        ) {
            let count = z.len() / features;
            let active = count.next_multiple_of(TILE);
            for (layer, sums) in self.layers.iter().zip(&mut self.sums) {
                let rows = layer.offset.len() / layer.width.max(1);
                for (row, sums) in sums.chunks_exact_mut(layer.width.max(1)).enumerate() {
                    let row = (start + row.min(count - 1)).min(rows - 1);
                    sums.copy_from_slice(&layer.offset[row * layer.width..][..layer.width]);
                }
            }
            let units = self.layers[0].stage.sources;
            for step in 0..units.steps() {
                self.network(step, [start, active]);
                let now = &units.order[units.starts[step]..units.starts[step + 1]];
                let [given, found] = &mut self.solved;
                given.clear();
                for &feature in now {
                    given.extend((0..GROUP).map(|row| z[row.min(count - 1) * features + feature]));
                }
                found.resize(given.len(), T::zero());
                map.solve(given, &self.stream, found);
                for (&feature, found) in now.iter().zip(found.chunks_exact(GROUP)) {
                    found[..count].iter().enumerate().for_each(|(row, &value)| {
                        x[row * features + feature] = value;
                    });
                }
                if !params.is_empty() {
                    let width = params.len() / count;
                    let places = (0..width / features)
                        .flat_map(|p| now.iter().map(move |&feature| p * features + feature));
                    for (place, values) in places.zip(self.stream.chunks_exact(GROUP)) {
                        values[..count].iter().enumerate().for_each(|(row, &value)| {
                            params[row * width + place] = value;
                        });
                    }
                }
                self.layers[0].push(step, active, found, &mut self.sums[0]);
            }
        }

        /// Passes the units of one step through the network. The parameters are then in the stream.
        fn network(&mut self, step: usize, [start, active]: [usize; 2]) {
            let Self { layers, sums, stream, inner, entered, .. } = self;
            for (at, (layer, sums)) in layers.iter().zip(sums).enumerate() {
                if at > 0 {
                    entered.clear();
                    let input = if layer.stage.target == Target::Sum { &*inner } else { &*stream };
                    entered.extend_from_slice(input);
                    curve(entered, layer.stage.curves[0]);
                    layer.push(step, active, entered, sums);
                }
                match layer.stage.target {
                    Target::Stream => layer.values(step, start, sums, stream),
                    Target::Inner => layer.values(step, start, sums, inner),
                    Target::Sum => {
                        layer.values(step, start, sums, entered);
                        let pairs = stream.iter_mut().zip(&*entered);
                        pairs.for_each(|(sum, &value)| *sum = *sum + value);
                    }
                }
            }
        }
    }
}
