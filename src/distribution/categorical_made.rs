//! Columns of categories, each given the columns before it.

use burn::module::Module;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use super::one_hot::{log_support, one_hot};
use super::{Distribution, check_event, drawn_by_weight, given};
use crate::conditioner::{Conditioner, Dependencies, Made, MadeConfig, check_context};
use crate::config::{construct, seeded_config};
use crate::error::{Error, Result, count};
use crate::initial;
use crate::math::{known_context, sum_event, wide};
use crate::noise::Noise;
use crate::rows::spread;

const CONFIG: &str = "CategoricalMadeConfig";

/// The largest number of categories of all columns together. The masks of the network hold a bit for each pair.
const MOST_CATEGORIES: usize = 4096;

seeded_config! {
/// Configuration of a [`CategoricalMade`].
///
/// ```
/// use burn_flows::distribution::CategoricalMadeConfig;
///
/// // A column of 3 categories and a column of 2.
/// assert!(CategoricalMadeConfig::new(vec![3, 2]).validate().is_ok());
/// let error = CategoricalMadeConfig::new(vec![3, 0]).validate().unwrap_err();
/// assert_eq!(error.to_string(), "CategoricalMadeConfig.categories: must be at least 1, found 0");
/// ```
pub struct CategoricalMadeConfig {
    /// The number of categories of each column: column `i` holds the integers `0..categories[i]`.
    pub categories: Vec<usize>,
    /// Number of context features; 0 for an unconditional distribution.
    #[config(default = 0)]
    pub context: usize,
    /// The masked network. Its `dependencies` must stay at `Forward`, because each column depends on the columns before
    /// it, and its `periodic` at `None`.
    #[config(default = MadeConfig::new(vec![64, 64]))]
    pub made: MadeConfig,
}
}

crate::store::checked! {
/// A distribution of several columns of categories: each column given the columns before it, by one masked network of
/// their one-hot codes.
///
/// ```text
/// log p(x | c) = sum_i log softmax(h_i)[x_i],   h_i = network(code(x_1), .., code(x_{i-1}), c)
/// ```
///
/// The first column depends on the context only. Every joint distribution of the columns has this form, in any order
/// of the columns. The distribution starts uniform if the network's last layer starts at zero, which is the default.
///
/// Paper: Germain, Gregor, Murray, Larochelle (2015), MADE: Masked Autoencoder for Distribution Estimation, section 3,
/// arXiv:1502.03509 (binary columns; here each column has several categories).
///
/// A flow has a density of real numbers in every column. Categories therefore stand beside a flow, in a
/// [`Product`](super::Product) or a [`Chained`](super::Chained), not under its layers.
///
/// # Shapes
///
/// - events: `[batch, columns]` of integers, stored as floats; context `[batch, context]`, or one row for all
///
/// # Numerics
///
/// `log_prob` is the logarithm of a probability. A value that is no category of its column has probability zero, and a
/// `log_prob` of `-inf`. A NaN gives NaN. The gradient with respect to the event is zero.
///
/// # Panics
///
/// If the event or the context has another width than configured.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::distribution::{CategoricalMadeConfig, Distribution};
///
/// let device = Device::flex();
/// let model = CategoricalMadeConfig::new(vec![3, 2]).init(&device); // uniform until it is trained
/// let x = Tensor::<2>::from_data([[2.0, 1.0], [2.0, 2.0]], &device);
/// let log_prob = model.log_prob(x, None).into_data().try_to_vec_as::<f32>().unwrap();
/// assert!((log_prob[0] + 6f32.ln()).abs() < 1e-6);
/// assert_eq!(log_prob[1], f32::NEG_INFINITY); // column 1 has the categories 0 and 1
/// ```
#[derive(Module, Debug, Serialize)]
pub struct CategoricalMade {
    network: Made,
    categories: Vec<usize>,
}
}

impl CategoricalMade {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        check_categories("CategoricalMade", &self.categories)?;
        let blocks = self.categories.iter().enumerate();
        let steps: Vec<usize> = blocks.flat_map(|(at, count)| vec![at; *count]).collect();
        let fits = self.network.outputs() == 1 && self.network.steps() == steps;
        crate::store::require("CategoricalMade", "network", fits, || {
            format!(
                "must give a logit for each of the categories {:?}, column after column",
                self.categories
            )
        })
    }
}

/// Returns an error unless there are columns, and categories in each of them.
fn check_categories(config: &'static str, categories: &[usize]) -> Result<()> {
    count(config, "categories", 1, categories.len())?;
    categories.iter().try_for_each(|&each| count(config, "categories", 1, each))?;
    let sum = categories.iter().fold(0_usize, |sum, each| sum.saturating_add(*each));
    if sum <= MOST_CATEGORIES {
        return Ok(());
    }
    let reason = format!("must be at most {MOST_CATEGORIES} in sum, found {sum}");
    Err(Error::config(config, "categories", reason))
}

impl CategoricalMadeConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        check_categories(CONFIG, &self.categories)?;
        count(CONFIG, "context", 0, self.context)?;
        let wrong = |reason: &str| Err(Error::config(CONFIG, "made", reason.to_string()));
        if self.made.dependencies != Dependencies::Forward {
            return wrong(
                "`dependencies` must be Forward, because each column depends on the columns before it",
            );
        }
        if self.made.periodic.is_some() {
            return wrong("`periodic` must be None, because categories are no angles");
        }
        self.network().validate_between(self.features(), 1, self.context)
    }

    construct! {
        /// Builds the distribution.
        seeded(device: &Device) -> CategoricalMade
    }

    fn build(&self, device: &Device) -> CategoricalMade {
        let network = || self.network().init(self.features(), 1, self.context, device);
        let network = initial::scope(self.seed, network);
        CategoricalMade { network, categories: self.categories.clone() }
    }

    fn features(&self) -> usize {
        self.categories.iter().sum()
    }

    /// The configuration of the network: each category of a column depends on all categories of the columns before.
    fn network(&self) -> MadeConfig {
        let mut before = 0;
        let lists = self.categories.iter().flat_map(|&count| {
            let parents: Vec<usize> = (0..before).collect();
            before += count;
            vec![parents; count]
        });
        self.made.clone().with_dependencies(Dependencies::Parents(lists.collect()))
    }
}

impl CategoricalMade {
    given! {}

    /// Returns the number of categories of each column.
    pub fn categories(&self) -> &[usize] {
        &self.categories
    }

    fn code(&self, x: Tensor<2>) -> Tensor<2> {
        let categories: Vec<_> = self.categories.iter().copied().map(Some).collect();
        one_hot(x, &categories)
    }

    /// Draws on the host: the categories of all rows, row by row.
    fn drawn(&self, n: usize, context: Option<&Tensor<2>>, noise: &mut Noise) -> Vec<f64> {
        let columns = self.categories.len();
        let mut events = vec![0.0; n * columns];
        let mut column = 0;
        // All categories of a column are known at the same step.
        self.network.unrolled(n, context).run(&mut |places, logits| {
            let (device, dtype) = (logits.device(), logits.dtype());
            let weights = softmax(wide(logits).transpose(), 1);
            let drawn = drawn_by_weight(weights, n, noise, |_| {});
            let mut code = vec![0.0; places.len() * n];
            for (row, category) in drawn.into_iter().enumerate() {
                events[row * columns + column] = category as f64;
                code[category * n + row] = 1.0;
            }
            column += 1;
            Tensor::from_data(TensorData::new(code, [places.len(), n]), (&device, dtype))
        });
        events
    }
}

impl Distribution<2> for CategoricalMade {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        check_event("CategoricalMade", &[self.categories.len()], &x, context);
        check_context("CategoricalMade", self.network.context_width(), context);
        let code = self.code(x.clone());
        let logits = wide(self.network.forward(code.clone(), context));
        let mut start = 0;
        let blocks = self.categories.iter().map(|&count| {
            let block = logits.clone().narrow(1, start, count);
            start += count;
            log_softmax(block, 1)
        });
        let log_prob = sum_event(Tensor::cat(blocks.collect(), 1) * wide(code));
        known_context(log_prob + log_support(x, &self.categories), context)
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        check_context("CategoricalMade", self.network.context_width(), context);
        let context = spread("CategoricalMade", n, context).map(Tensor::without_autodiff);
        let events = if n == 0 { vec![] } else { self.valid().drawn(n, context.as_ref(), noise) };
        let shape = [n, self.categories.len()];
        let options = (&device.clone().without_autodiff(), self.network.dtype());
        Tensor::from_data(TensorData::new(events, shape), options)
    }

    fn integer_levels(&self) -> Option<usize> {
        let first = self.categories[0];
        self.categories.iter().all(|count| *count == first).then_some(first)
    }

    fn column_levels(&self, columns: usize) -> Vec<Option<usize>> {
        (0..columns).map(|column| self.categories.get(column).copied()).collect()
    }

    fn init_from_data(self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Self {
        let code = self.code(x);
        Self { network: self.network.init_from_data(code, context), ..self }
    }
}
