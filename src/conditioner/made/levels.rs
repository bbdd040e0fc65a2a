//! The order in which the units of a masked network can be computed.

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

    /// Adds the members of another set. Returns whether any of them is new.
    fn add(&mut self, other: &Self) -> bool {
        let mut grew = false;
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            grew |= more & !*word != 0;
            *word |= more;
        }
        grew
    }
}

/// The step at which every feature can be solved for: one after the last feature it depends on.
/// Features without dependencies have step 0.
///
/// # Errors
///
/// If features depend on each other in a circle; the error names them.
pub(super) fn depths(parents: &[Set]) -> Result<Vec<usize>> {
    let mut children = vec![vec![]; parents.len()];
    let mut missing = vec![0; parents.len()];
    for (feature, set) in parents.iter().enumerate() {
        for parent in set.members() {
            children[parent].push(feature);
            missing[feature] += 1;
        }
    }
    let mut depths = vec![0; parents.len()];
    let mut ready: Vec<usize> = (0..parents.len()).filter(|&f| missing[f] == 0).collect();
    while let Some(feature) = ready.pop() {
        for &child in &children[feature] {
            depths[child] = depths[child].max(depths[feature] + 1);
            missing[child] -= 1;
            if missing[child] == 0 {
                ready.push(child);
            }
        }
    }
    let circle = circle(parents, |&feature| missing[feature] > 0);
    if circle.is_empty() {
        return Ok(depths);
    }
    let names: Vec<String> = circle.iter().map(usize::to_string).collect();
    let reason = format!("must have no cycle of features, found {}", names.join(" <- "));
    Err(Error::config("MadeConfig", "dependencies", reason))
}

/// The first step after all members of a set.
pub(super) fn after(set: &Set, depths: &[usize]) -> usize {
    set.members().map(|member| depths[member] + 1).max().unwrap_or_default()
}

/// A circle among the features that wait for each other, as a path from feature to parent. Empty if no
/// feature waits.
fn circle(parents: &[Set], waits: impl Fn(&usize) -> bool) -> Vec<usize> {
    let mut path: Vec<usize> = (0..parents.len()).filter(&waits).take(1).collect();
    while let Some(next) = path.last().and_then(|&at| parents[at].members().find(&waits)) {
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
    /// Adds to the set of every output the sets of its connected inputs. Returns whether any set grew.
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

/// The masks of a residual block.
pub(super) struct BlockMasks {
    pub(super) widen: Option<HostMask>,
    pub(super) first: HostMask,
    pub(super) second: HostMask,
}

/// The masks of a network.
pub(super) struct Masks {
    pub(super) input: HostMask,
    pub(super) hidden: Vec<HostMask>,
    pub(super) blocks: Vec<BlockMasks>,
    pub(super) output: HostMask,
}

impl Masks {
    /// Returns the step of every feature, then, layer by layer, the step at which every hidden unit can
    /// be computed. The layers are the first layer and the plain layers after it, the inner layers of
    /// residual blocks, and the streams that blocks widen to. The units of a stream have one step for
    /// all its blocks.
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
        let mut inner: Vec<_> = self.blocks.iter().map(|block| fresh(&block.first)).collect();
        let mut streams = layers.split_off(layers.len() - 1);
        streams.extend(self.blocks.iter().filter_map(|block| block.widen.as_ref()).map(fresh));
        let mut grew = !self.blocks.is_empty();
        while grew {
            grew = false;
            let mut at = 0;
            for (BlockMasks { widen, first, second }, units) in self.blocks.iter().zip(&mut inner) {
                if let Some(widen) = widen {
                    let (before, behind) = streams.split_at_mut(at + 1);
                    grew |= widen.spread(&before[at], &mut behind[0]);
                    at += 1;
                }
                grew |= first.spread(&streams[at], units);
                grew |= second.spread(units, &mut streams[at]);
            }
        }
        let mut outputs = fresh(&self.output);
        self.output.spread(&streams[streams.len() - 1], &mut outputs);
        let mut parents = vec![Set::empty(features); features];
        for (output, set) in outputs.iter().enumerate() {
            parents[output % features].add(set);
        }
        let depths = depths(&parents)?;
        let widened = streams.split_off(1);
        layers.extend(streams.into_iter().chain(inner).chain(widened));
        let level = |set: &Set| after(set, &depths);
        let hidden = layers.iter().map(|units| units.iter().map(level).collect());
        Ok([depths.clone()].into_iter().chain(hidden).collect())
    }
}
