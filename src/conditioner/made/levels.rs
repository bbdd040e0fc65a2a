//! In which order the units of a masked network can be computed.

use crate::error::{Error, Result};

/// A set of features, as bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Set(Vec<u64>);

impl Set {
    pub(super) fn empty(features: usize) -> Self {
        Self(vec![0; features.div_ceil(64)])
    }

    pub(super) fn insert(&mut self, feature: usize) {
        self.0[feature / 64] |= 1 << (feature % 64);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = usize> {
        let bits = |(at, word): (usize, &u64)| {
            let word = *word;
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit)
        };
        self.0.iter().enumerate().flat_map(bits)
    }

    fn add(&mut self, other: &Self) -> bool {
        let before = self.clone();
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
        *self != before
    }
}

/// The step at which every feature can be solved for: one after the last feature it depends on, or
/// the first.
///
/// # Errors
///
/// If features depend on each other; the text names them.
pub(super) fn depths(parents: &[Set]) -> Result<Vec<usize>> {
    let mut depths: Vec<Option<usize>> = vec![None; parents.len()];
    loop {
        let mut ready = vec![];
        for (feature, set) in parents.iter().enumerate() {
            if depths[feature].is_none()
                && let Some(depth) = after(set, |parent| depths[parent])
            {
                ready.push((feature, depth));
            }
        }
        if ready.is_empty() {
            break;
        }
        ready.into_iter().for_each(|(feature, depth)| depths[feature] = Some(depth));
    }
    depths.iter().copied().collect::<Option<_>>().ok_or_else(|| {
        let cycle = cycle(parents, &depths);
        let names: Vec<String> = cycle.iter().map(usize::to_string).collect();
        let reason = format!("features depend on each other in a circle: {}", names.join(" <- "));
        Error::config("MadeConfig", "dependencies", reason)
    })
}

/// The first step after all members of a set, where every member has one.
pub(super) fn after(set: &Set, depth: impl Fn(usize) -> Option<usize>) -> Option<usize> {
    set.members().try_fold(0, |latest, member| Some(latest.max(depth(member)? + 1)))
}

/// A circle among the features without a depth: from any of them to a parent of its kind, and on.
fn cycle(parents: &[Set], depths: &[Option<usize>]) -> Vec<usize> {
    let stuck = |feature: &usize| depths[*feature].is_none();
    let mut path: Vec<usize> = (0..parents.len()).filter(stuck).take(1).collect();
    while let Some(next) = path.last().and_then(|&at| parents[at].members().find(stuck)) {
        let start = path.iter().position(|&seen| seen == next);
        path.push(next);
        if let Some(start) = start {
            return path.split_off(start);
        }
    }
    path
}

/// A mask on the host, `[inputs, outputs]` in row-major order.
pub(super) struct HostMask {
    pub(super) open: Vec<bool>,
    pub(super) outputs: usize,
}

impl HostMask {
    /// Adds to the set of every output the sets of the inputs it is connected to; whether any grew.
    fn spread(&self, inputs: &[Set], outputs: &mut [Set]) -> bool {
        let mut grew = false;
        for (row, set) in self.open.chunks(self.outputs).zip(inputs) {
            for (output, _) in row.iter().enumerate().filter(|(_, open)| **open) {
                grew |= outputs[output].add(set);
            }
        }
        grew
    }
}

/// The masks of a network.
pub(super) struct Masks {
    pub(super) input: HostMask,
    pub(super) hidden: Vec<HostMask>,
    pub(super) blocks: Vec<[HostMask; 2]>,
    pub(super) output: HostMask,
}

impl Masks {
    /// The step of every feature; then, layer by layer, the step at which every hidden unit can be
    /// computed. The units of a residual stream have one step for all blocks.
    ///
    /// # Errors
    ///
    /// If features depend on each other.
    pub(super) fn levels(&self, features: usize) -> Result<Vec<Vec<usize>>> {
        let mut inputs = vec![Set::empty(features); features];
        inputs.iter_mut().enumerate().for_each(|(feature, set)| set.insert(feature));
        let fresh = |mask: &HostMask| vec![Set::empty(features); mask.outputs];
        let mut layers = vec![fresh(&self.input)];
        self.input.spread(&inputs, &mut layers[0]);
        for mask in &self.hidden {
            let mut units = fresh(mask);
            mask.spread(&layers[layers.len() - 1], &mut units);
            layers.push(units);
        }
        let mut inner: Vec<_> = self.blocks.iter().map(|[first, _]| fresh(first)).collect();
        let mut grew = !self.blocks.is_empty();
        while grew {
            grew = false;
            for ([first, second], units) in self.blocks.iter().zip(&mut inner) {
                grew |= first.spread(&layers[0], units);
                grew |= second.spread(units, &mut layers[0]);
            }
        }
        let last = if self.blocks.is_empty() { layers.len() - 1 } else { 0 };
        let mut outputs = fresh(&self.output);
        self.output.spread(&layers[last], &mut outputs);
        let mut parents = vec![Set::empty(features); features];
        for (output, set) in outputs.iter().enumerate() {
            parents[output % features].add(set);
        }
        let depths = depths(&parents)?;
        layers.extend(inner);
        let level = |set: &Set| after(set, |feature| Some(depths[feature])).unwrap_or_default();
        let hidden: Vec<_> = layers.iter().map(|units| units.iter().map(level).collect()).collect();
        Ok([vec![depths.clone()], hidden].concat())
    }
}
