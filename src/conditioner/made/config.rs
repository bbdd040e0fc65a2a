//! Dependencies between features, and the masks that enforce them.

use burn::tensor::{Bool, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::levels::{Set, after, depths};
use super::{Layers, Made, MaskedBlock, Style};
use crate::conditioner::mlp::linear;
use crate::conditioner::{ActivationConfig, MaskedLinear, Periodic, check_dropout};
use crate::config::{construct, seeded_config};
use crate::error::{Error, Result, chain, count, fits};
use crate::initial;
use crate::noise::Noise;

/// Dependencies between features: which features the parameters of each feature depend on.
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::conditioner::{Dependencies, MadeConfig};
///
/// // Feature 2 has two causes that do not depend on each other.
/// let causes = vec![vec![], vec![], vec![0, 1]];
/// let config = MadeConfig::new(vec![8]).with_dependencies(Dependencies::Parents(causes));
/// assert!(config.try_init(3, 2, 0, &Device::flex()).is_ok());
///
/// let circle = Dependencies::Parents(vec![vec![1], vec![0]]);
/// let config = MadeConfig::new(vec![8]).with_dependencies(circle);
/// let error = config.try_init(2, 2, 0, &Device::flex()).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "MadeConfig.dependencies: must have no cycle of features, found 0 <- 1 <- 0"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Dependencies {
    /// Every feature depends on all features before it.
    Forward,
    /// Every feature depends on all features after it.
    Reversed,
    /// Every feature depends on all features before it in a random order, which this seed determines.
    Random(u64),
    /// Every feature depends on all features before it in this order.
    Order(Vec<usize>),
    /// Every feature depends on the features in its list: the graph of a structured model. No feature
    /// may depend on itself, directly or through other features.
    Parents(Vec<Vec<usize>>),
    /// [`Dependencies::Parents`] as a matrix: feature `i` depends on every `j` where `[i][j]` is true.
    Adjacency(Vec<Vec<bool>>),
}

impl Dependencies {
    /// The set of features that each of `features` may see.
    fn parents(&self, features: usize) -> Result<Vec<Set>> {
        let ordered = |order: &[usize]| {
            let (mut seen, mut sets) = (Set::empty(features), vec![Set::empty(features); features]);
            for &feature in order {
                sets[feature] = seen.clone();
                seen.insert(feature);
            }
            sets
        };
        match self {
            Self::Forward => Ok(ordered(&(0..features).collect::<Vec<_>>())),
            Self::Reversed => Ok(ordered(&(0..features).rev().collect::<Vec<_>>())),
            Self::Random(seed) => Ok(ordered(&Noise::seeded(*seed).permutation(features))),
            Self::Order(order) => {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                if sorted.into_iter().eq(0..features) {
                    return Ok(ordered(order));
                }
                Err(wrong(format!(
                    "order must hold each of {features} features once, found {order:?}"
                )))
            }
            Self::Parents(lists) => graph(features, lists),
            Self::Adjacency(matrix) => {
                if let Some(row) = matrix.iter().find(|row| row.len() != features) {
                    return Err(wrong(format!(
                        "must hold rows of {features} elements, one for each feature, found {}",
                        row.len()
                    )));
                }
                let list = |row: &Vec<bool>| (0..features).filter(|&j| row[j]).collect();
                graph(features, &matrix.iter().map(list).collect::<Vec<_>>())
            }
        }
    }
}

fn graph(features: usize, lists: &[Vec<usize>]) -> Result<Vec<Set>> {
    if lists.len() != features {
        return Err(wrong(format!(
            "must hold {features} lists or rows, one for each feature, found {}",
            lists.len()
        )));
    }
    let mut sets = vec![Set::empty(features); features];
    for (set, list) in sets.iter_mut().zip(lists) {
        for &parent in list {
            if parent >= features {
                let reason = format!("must hold parents below {features}, found {parent}");
                return Err(wrong(reason));
            }
            set.insert(parent);
        }
    }
    depths(&sets)?;
    Ok(sets)
}

fn wrong(reason: String) -> Error {
    Error::config("MadeConfig", "dependencies", reason)
}

/// How many features each hidden unit sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Degrees {
    /// The numbers are spread evenly and ascend from the first unit to the last.
    Sequential,
    /// One unit sees each possible number of features; the other units see random numbers, which this
    /// seed determines.
    Random(u64),
}

seeded_config! {
/// Configuration of a [`Made`]. The layer that uses the network sets features, parameters and context.
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::conditioner::{Degrees, Dependencies, MadeConfig};
///
/// let config = MadeConfig::new(vec![64, 64])
///     .with_residual(true)
///     .with_dependencies(Dependencies::Reversed)
///     .with_degrees(Degrees::Random(1));
/// assert!(config.validate().is_ok());
///
/// // Seven features need units that see 1, 2, .. 6 of them.
/// let error = MadeConfig::new(vec![64, 5]).try_init(7, 1, 0, &Device::flex()).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "MadeConfig.hidden: must hold widths of at least 6, one unit for each distinct set of \
///      parents, found 5"
/// );
/// ```
pub struct MadeConfig {
    /// Widths of the hidden layers. With `residual`, the first is the width of the stream, and each
    /// further one adds a residual block of that width. Wider and more layers give a more expressive
    /// network at a higher cost.
    pub hidden: Vec<usize>,
    /// The activation between layers; it must work element by element.
    #[config(default = ActivationConfig::Relu)]
    pub activation: ActivationConfig,
    /// Probability that a hidden unit is dropped in training. Raise it against overfitting.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Uses residual blocks instead of plain hidden layers. Set it to `true` for deep networks; all widths must
    /// be equal.
    #[config(default = false)]
    pub residual: bool,
    /// The features that the parameters of each feature depend on. Use [`Dependencies::Parents`] or
    /// [`Dependencies::Adjacency`] for a known graph.
    #[config(default = Dependencies::Forward)]
    pub dependencies: Dependencies,
    /// How many features each hidden unit sees; [`Degrees::Random`] gives random masks.
    #[config(default = Degrees::Sequential)]
    pub degrees: Degrees,
    /// Starts the last layer at zero, so that a flow layer with this network starts as the identity
    /// (Glow). Set it to `false` to start from random outputs.
    #[config(default = true)]
    pub zero_last: bool,
    /// The features that are angles. The network then sees periodic features of them.
    pub periodic: Option<Periodic>,
}
}

impl MadeConfig {
    /// Returns an error that names the first invalid field. [`try_init`](Self::try_init) also checks the features and
    /// the context.
    pub fn validate(&self) -> Result<()> {
        count("MadeConfig", "hidden", 1, self.hidden.len())?;
        for &width in &self.hidden {
            count("MadeConfig", "hidden", 1, width)?;
        }
        chain("MadeConfig", "hidden", &self.hidden)?;
        if self.residual && self.hidden.len() < 2 {
            let reason = "must hold at least 2 widths with residual (the stream, then each \
                          block), found 1";
            return Err(Error::config("MadeConfig", "hidden", reason.to_string()));
        }
        if self.residual && self.hidden.iter().any(|w| *w != self.hidden[0]) {
            let reason = format!("must hold equal widths with residual, found {:?}", self.hidden);
            return Err(Error::config("MadeConfig", "hidden", reason));
        }
        if !self.activation.is_elementwise() {
            let reason = "must be elementwise, because a masked network must not mix units";
            return Err(Error::config("MadeConfig", "activation", reason.to_string()));
        }
        self.activation.validate_for(&self.hidden)?;
        check_dropout("MadeConfig", "dropout", self.dropout)
    }

    /// [`validate`](Self::validate) for this many features and this context.
    pub(crate) fn validate_for(&self, features: usize, context: usize) -> Result<()> {
        self.validate()?;
        count("MadeConfig", "features", 1, features)?;
        count("MadeConfig", "context", 0, context)?;
        // These limits bound the set of features of every feature, and the masks between layers.
        fits("MadeConfig", "features", &[features, features])?;
        chain("MadeConfig", "hidden", &[&[features], &self.hidden[..], &[features]].concat())?;
        fits("MadeConfig", "hidden", &[context, *self.hidden.iter().max().expect("counted")])?;
        self.periodic.as_ref().map_or(Ok(()), |periodic| periodic.validate(features))?;
        let needed = self.unit_sets(&self.dependencies.parents(features)?, context)?.len();
        match self.hidden.iter().find(|width| **width < needed) {
            Some(width) => {
                let reason = format!(
                    "must hold widths of at least {needed}, one unit for each distinct set of \
                     parents, found {width}"
                );
                Err(Error::config("MadeConfig", "hidden", reason))
            }
            None => Ok(()),
        }
    }

    construct! {
        /// Builds a network with `outputs` parameters for each of `features` features, and a context of
        /// width `context` (0: none).
        seeded(features: usize, outputs: usize, context: usize, device: &Device) -> Made,
        if validate_between(features, outputs, context)
    }

    /// [`validate_for`](Self::validate_for) with this number of outputs per feature.
    pub(crate) fn validate_between(
        &self,
        features: usize,
        outputs: usize,
        context: usize,
    ) -> Result<()> {
        self.validate_for(features, context)?;
        self.validate_outputs(features, outputs)
    }

    /// Returns an error unless this number of outputs per feature is valid.
    pub(crate) fn validate_outputs(&self, features: usize, outputs: usize) -> Result<()> {
        count("MadeConfig", "outputs", 1, outputs)?;
        let last = self.hidden.last().copied().unwrap_or_default();
        fits("MadeConfig", "outputs", &[last, features, outputs])
    }

    fn build(&self, features: usize, outputs: usize, context: usize, device: &Device) -> Made {
        let parents = self.dependencies.parents(features).expect("validated");
        let sets = self.unit_sets(&parents, context).expect("validated");
        let mut noise = match self.degrees {
            Degrees::Sequential => None,
            Degrees::Random(seed) => Some(Noise::seeded(seed)),
        };
        let mut units = |width: usize| units(&sets, width, noise.as_mut());
        let masked = |from: &[Set], to: &[Set], zero| {
            let linear = linear(from.len(), to.len(), zero, device);
            MaskedLinear::new(linear, subsets(from, to, device))
        };
        let unbiased = |width| initial::linear([context, width], false, &initial::USUAL, device);
        let side = |width| (context > 0).then(|| unbiased(width));

        let singles = (0..features).map(|feature| {
            let mut set = Set::empty(features);
            set.insert(feature);
            set
        });
        let mut last = units(self.hidden[0]);
        let input = masked(&singles.collect::<Vec<_>>(), &last, false);
        let context_layer = side(self.hidden[0]);
        let (mut hidden, mut blocks) = (vec![], vec![]);
        for &width in &self.hidden[1..] {
            if self.residual {
                let (first, second) = (masked(&last, &last, false), masked(&last, &last, false));
                blocks.push(MaskedBlock { widen: None, first, second, context: side(width) });
            } else {
                let next = units(width);
                hidden.push(masked(&last, &next, false));
                last = next;
            }
        }
        let targets: Vec<Set> = (0..outputs).flat_map(|_| parents.iter().cloned()).collect();
        let output = masked(&last, &targets, self.zero_last);
        let periodic = self.periodic.as_ref().and_then(|periodic| periodic.init(device));
        let layers = Layers { input, context: context_layer, hidden, blocks, output };
        let made = Made::new(layers, features, &self.activation, Style::default(), device);
        let made = made.expect("validated").with_context_scale(device);
        made.with_dropout(self.dropout).with_periodic(periodic)
    }

    /// The sets of features that hidden units see, sorted by the step at which they are known. Without
    /// a context, a unit that sees no feature is a constant. So the empty set is kept only with a
    /// context, or if no feature depends on another.
    fn unit_sets(&self, parents: &[Set], context: usize) -> Result<Vec<Set>> {
        let depths = depths(parents)?;
        let mut sets: Vec<Set> = vec![];
        for set in parents {
            if !sets.contains(set) {
                sets.push(set.clone());
            }
        }
        sets.sort_by_key(|set| after(set, &depths));
        if context == 0 && sets.len() > 1 {
            sets.retain(|set| !set.is_empty());
        }
        Ok(sets)
    }
}

/// The set of features of every unit of a layer, sorted like `sets`.
fn units(sets: &[Set], width: usize, noise: Option<&mut Noise>) -> Vec<Set> {
    let kinds = sets.len();
    let mut kind: Vec<usize> = match noise {
        None => (0..width).map(|unit| unit * kinds / width).collect(),
        Some(noise) => {
            let rest = (kinds..width).map(|_| noise.next_below(kinds));
            (0..kinds).chain(rest.collect::<Vec<_>>()).collect()
        }
    };
    kind.sort_unstable();
    kind.into_iter().map(|kind| sets[kind].clone()).collect()
}

/// A mask that is true where the set of a unit in `from` is a subset of the set of a unit in `to`.
fn subsets(from: &[Set], to: &[Set], device: &Device) -> Tensor<2, Bool> {
    let open: Vec<bool> =
        from.iter().flat_map(|from| to.iter().map(move |to| from.is_within(to))).collect();
    let data = TensorData::new(open, [from.len(), to.len()]);
    Tensor::from_data(data, &device.clone().without_autodiff())
}
