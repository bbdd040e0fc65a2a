//! Two independent groups of columns.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::{Distribution, common_levels, given, in_own_precision, levels_of_groups};
use crate::bijector::{Mask, Split};
use crate::crew::apart;
use crate::error::Result;
use crate::noise::Noise;
use crate::walk::{Place, Walk};

crate::store::checked! {
/// Two groups of columns that are independent given the context, each with a distribution of its own.
///
/// ```text
/// log p(x | c) = log p_1(x_a | c) + log p_2(x_b | c)        a the kept columns of the mask, b the others
/// ```
///
/// As the base of a flow, the product gives each column the support of the layers before it: for angles beside lengths,
/// a [`Uniform`](super::Uniform) on [-pi, pi] beside a [`StandardNormal`](super::StandardNormal). Groups are nested for
/// more than two. Use [`Chained`](super::Chained) for a group that depends on the other.
///
/// # Shapes
///
/// - events: vectors, `[batch, features]`; each distribution takes its columns in ascending order
/// - context: passed to both distributions
///
/// # Panics
///
/// If the event has another number of columns than `features`, or a group does not fit its distribution.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::Mask;
/// use burn_flows::distribution::{Distribution, Product, StandardNormal, Uniform};
///
/// let device = Device::flex();
/// let pi = Tensor::<2>::full([1, 1], std::f64::consts::PI, &device);
/// let angle = Uniform::new(-pi.clone(), pi)?;
/// let lengths = StandardNormal::<2>::new([2], &device);
/// let base = Product::new(&Mask::Kept(vec![1]), 3, angle, lengths, &device)?; // column 1 is the angle
/// let x = Tensor::<2>::from_data([[0.0, 3.0, 0.0], [0.0, 4.0, 0.0]], &device);
/// let log_prob = base.log_prob(x, None).into_data().try_to_vec_as::<f32>().unwrap();
/// assert!((log_prob[0] + 2.0 * (2.0 * std::f32::consts::PI).ln()).abs() < 1e-5);
/// assert_eq!(log_prob[1], f32::NEG_INFINITY); // 4 is no angle
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct Product<P, Q> {
    split: Split,
    first: P,
    second: Q,
}
}

impl<P, Q> Product<P, Q> {
    /// Returns an error if the fields read from a file do not form a valid layer.
    fn sound(&self) -> Result<()> {
        self.split.sound_for_columns("Product")
    }

    /// Builds the product of `first` over the columns that the mask keeps, and `second` over the other columns.
    ///
    /// # Errors
    ///
    /// If the mask does not fit `features` columns: it lists a column twice, lists a column that does not exist, or
    /// leaves no column for one of the distributions.
    pub fn new(mask: &Mask, features: usize, first: P, second: Q, device: &Device) -> Result<Self> {
        let split = Split::new(mask, &[features], device).map_err(|error| error.of("Product"))?;
        Ok(Self { split, first, second })
    }

    given! {}

    /// Returns the distribution of the kept columns.
    pub fn first(&self) -> &P {
        &self.first
    }

    /// Returns the distribution of the other columns.
    pub fn second(&self) -> &Q {
        &self.second
    }

    fn take(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        self.split.check_event("Product", &x);
        self.split.take(x)
    }
}

impl<P: Distribution<2>, Q: Distribution<2>> Distribution<2> for Product<P, Q> {
    fn log_prob(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<1> {
        apart(self, || {
            let (a, b) = self.take(x);
            self.first.log_prob(a, context) + self.second.log_prob(b, context)
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
            let a = self.first.sample(n, context, noise, device);
            let b = self.second.sample(n, context, noise, device);
            self.split.merge(in_own_precision(self, a), in_own_precision(self, b))
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
        let first = self.first.init_from_data(a, context);
        Self { first, second: self.second.init_from_data(b, context), ..self }
    }

    fn walk<W: Walk>(&self, walk: &mut W, at: &Place<'_>, x: Tensor<2>) -> Tensor<2> {
        let (a, b) = self.take(x);
        let by_a = self.first.walk(walk, &at.part("first"), a);
        let by_b = self.second.walk(walk, &at.part("second"), b);
        // Without a way back, the results have no meaning and may have another shape.
        if walk.comes_back() { self.split.merge(by_a, by_b) } else { by_a }
    }
}
