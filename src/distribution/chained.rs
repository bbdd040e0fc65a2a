//! A group of columns given another group.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::one_hot::{one_hot, one_hot_width};
use super::{Distribution, common_levels, given, in_own_precision, levels_of_groups};
use crate::bijector::{Mask, Split};
use crate::crew::apart;
use crate::error::{Error, Result, count};
use crate::noise::Noise;
use crate::rows::spread;
use crate::walk::{Place, Walk};

crate::store::checked! {
/// A distribution of some columns, and a conditional distribution of the other columns given them: the chain rule.
///
/// ```text
/// log p(x | c) = log p_1(x_a | c) + log p_2(x_b | [c, code(x_a)])        a the kept columns of the mask, b the others
/// ```
///
/// The context of the second distribution is the context, followed by the columns of the first. By default the columns
/// are copied. [`with_one_hot`](Self::with_one_hot) codes a column of categories as zeros and ones, which a network
/// learns from more easily than from the number of a category.
///
/// Put a [`CategoricalMade`](super::CategoricalMade) first to model real numbers given the category. Put it second to
/// model the category given real numbers. Paper: Boelts, Lueckmann, Gao, Macke (2022), Flexible and efficient
/// simulation-based inference for models of decision-making (mixed neural likelihood estimation, reaction times given
/// choices), eLife 11:e77220.
///
/// # Shapes
///
/// - events: vectors, `[batch, features]`; each distribution takes its columns in ascending order
/// - context: `[batch, context]`, or one row for all; the context of the second distribution is wider by the width of
///   the code
///
/// # Numerics
///
/// A value that is no category has a code of zeros. The first distribution decides on its density.
///
/// Training that keeps no activations ([`FitConfig::reversible`](crate::train::FitConfig::reversible)) treats the chain
/// as a single density, and keeps its activations.
///
/// # Panics
///
/// If the event has another number of columns than `features`, or a group or its context does not fit its distribution.
///
/// # Example
///
/// ```
/// use burn::tensor::Device;
/// use burn_flows::Noise;
/// use burn_flows::bijector::Mask;
/// use burn_flows::distribution::{CategoricalMadeConfig, Chained, Distribution};
/// use burn_flows::model::MafConfig;
///
/// let device = Device::flex();
/// // Column 0 is one of three classes; columns 1 and 2 depend on it.
/// let class = CategoricalMadeConfig::new(vec![3]).init(&device);
/// let sizes = MafConfig::new(2).with_layers(2).with_context(3).init(&device);
/// let model = Chained::new(&Mask::Kept(vec![0]), 3, class, sizes, &device)?.with_one_hot(vec![Some(3)])?;
/// let x = model.sample(5, None, &mut Noise::seeded(1), &device);
/// assert_eq!(model.log_prob(x, None).dims(), [5]);
/// assert_eq!(model.column_levels(3), [Some(3), None, None]); // `fit` checks the classes
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Chained<P, Q> {
    split: Split,
    first: P,
    second: Q,
    /// The number of categories of each column of the first distribution; `None` for a column that is copied.
    #[module(skip)]
    code: Vec<Option<usize>>,
}
}

impl<P, Q> Chained<P, Q> {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        self.split.sound_for_columns("Chained")?;
        self.check_code(&self.code)
    }

    /// Builds the chain of `first` over the columns that the mask keeps, and `second` over the other columns.
    ///
    /// # Errors
    ///
    /// If the mask does not fit `features` columns: it lists a column twice, lists a column that does not exist, or
    /// leaves no column for one of the distributions.
    pub fn new(mask: &Mask, features: usize, first: P, second: Q, device: &Device) -> Result<Self> {
        let split = Split::new(mask, &[features], device).map_err(|error| error.of("Chained"))?;
        let code = vec![None; split.groups()[0].len()];
        Ok(Self { split, first, second, code })
    }

    /// The chain with this code of the first columns in the context of the second distribution: `Some(k)` for one-hot
    /// columns of `k` categories `0..k`, `None` for a column that is copied. The code has one entry for each column of
    /// the first distribution, in ascending order of the columns.
    ///
    /// # Errors
    ///
    /// If the code has another number of entries than the first distribution has columns, a number of categories is 0,
    /// or the first distribution has another number of categories in a column.
    pub fn with_one_hot(self, code: Vec<Option<usize>>) -> Result<Self>
    where
        P: Distribution<2>,
    {
        self.check_code(&code)?;
        let own = self.first.column_levels(code.len());
        for (at, pair) in own.into_iter().zip(&code).enumerate() {
            if let (Some(own), Some(found)) = pair
                && own != *found
            {
                let reason = format!("must be {own} for first column {at}, found {found}");
                return Err(Error::config("Chained", "code", reason));
            }
        }
        Ok(Self { code, ..self })
    }

    fn check_code(&self, code: &[Option<usize>]) -> Result<()> {
        let (expected, found) = (self.split.groups()[0].len(), code.len());
        if found != expected {
            let reason =
                format!("needs an entry for each of {expected} first columns, found {found}");
            return Err(Error::config("Chained", "code", reason));
        }
        code.iter()
            .flatten()
            .try_for_each(|&categories| count("Chained", "code", 1, categories))?;
        count("Chained", "code", 1, one_hot_width(code))
    }

    given! {}

    /// Returns the distribution of the kept columns.
    pub fn first(&self) -> &P {
        &self.first
    }

    /// Returns the distribution of the other columns given the kept columns.
    pub fn second(&self) -> &Q {
        &self.second
    }

    fn take(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        self.split.check_event("Chained", &x);
        self.split.take(x)
    }

    /// The context of the second distribution for these columns of the first.
    fn context(&self, a: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        let given = spread("Chained", a.dims()[0], context);
        let code = one_hot(a, &self.code);
        match given {
            Some(given) => Tensor::cat(vec![given, code], 1),
            None => code,
        }
    }
}

impl<P: Distribution<2>, Q: Distribution<2>> Distribution<2> for Chained<P, Q> {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        apart(self, || {
            let (a, b) = self.take(x);
            let inner = self.context(a.clone(), context);
            self.first.log_prob(a, context) + self.second.log_prob(b, Some(&inner))
        })
    }

    fn sample(
        &self,
        n: usize,
        context: Option<&Tensor<2>>,
        noise: &mut Noise,
        device: &Device,
    ) -> Tensor<2> {
        apart(self, || {
            let a = in_own_precision(self, self.first.sample(n, context, noise, device));
            let inner = self.context(a.clone(), context);
            let b = self.second.sample(n, Some(&inner), noise, device);
            self.split.merge(a, in_own_precision(self, b))
        })
    }

    fn integer_levels(&self) -> Option<usize> {
        common_levels(&self.first, &self.second)
    }

    fn column_levels(&self, columns: usize) -> Vec<Option<usize>> {
        levels_of_groups(&self.split, &self.first, &self.second, columns)
    }

    fn mixes_rows(&self) -> bool {
        self.first.mixes_rows() || self.second.mixes_rows()
    }

    fn init_from_data(self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Self {
        let (a, b) = self.take(x);
        let inner = self.context(a.clone(), context);
        let first = self.first.init_from_data(a, context);
        Self { first, second: self.second.init_from_data(b, Some(&inner)), ..self }
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, x: Tensor<2>) -> Tensor<2> {
        if walk.comes_back() {
            let [gradient] = walk.density(self, at, [x], |[x]| self.log_prob(x, at.context()));
            return gradient;
        }
        let (a, b) = self.take(x);
        let inner = self.context(a.clone(), at.context());
        self.first.walk(walk, &at.part("first"), a);
        self.second.walk(walk, &at.part("second").with_context(Some(&inner)), b)
    }
}
