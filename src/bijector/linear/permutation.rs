//! Permutation: reorders the features or channels.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::bijector::{Bijector, Recovery, check_width};
use crate::error::{Error, Result, count};
use crate::kernel::pick;
use crate::math::zeros_batch;
use crate::noise::Noise;
use crate::param::index_param;

/// Reorders axis 1. The order is saved with the model and never trained.
///
/// ```text
/// forward   z_i = x_{p(i)}
/// log-det   0
/// inverse   x_{p(i)} = z_i
/// ```
///
/// Paper: Dinh, Krueger, Bengio (2015), NICE, section 3.3, arXiv:1410.8516.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, channels, height, width]`
///
/// # Panics
///
/// If the width of the event differs from the length of the order.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, Permutation};
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &device);
/// let layer = Permutation::given(&[2, 0, 1], &device)?;
/// let (z, _) = layer.forward(x, None);
/// assert_eq!(z.to_data().try_to_vec_as::<f32>().unwrap(), [3.0, 1.0, 2.0]);
/// assert_eq!(layer.inverse(z, None).into_data().try_to_vec_as::<f32>().unwrap(), [1.0, 2.0, 3.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Permutation {
    #[serde(with = "crate::store::fixed")]
    order: Param<Tensor<1, Int>>,
    #[serde(with = "crate::store::fixed")]
    back: Param<Tensor<1, Int>>,
}

crate::display::display!(Permutation);

impl Permutation {
    /// Builds the permutation `z_i = x_{order[i]}`.
    ///
    /// # Errors
    ///
    /// If `order` does not contain every index once.
    pub fn given(order: &[usize], device: &Device) -> Result<Self> {
        let back = Self::check_order(order)?;
        Ok(Self { order: index_param(order, device), back: index_param(&back, device) })
    }

    /// Returns the inverse order, or an error if `order` does not contain every index once.
    pub(crate) fn check_order(order: &[usize]) -> Result<Vec<usize>> {
        let mut back = vec![usize::MAX; order.len()];
        for (to, &from) in order.iter().enumerate() {
            if from >= order.len() || back[from] != usize::MAX {
                let reason =
                    format!("must hold each index below {} once, found {order:?}", order.len());
                return Err(Error::config("Permutation", "order", reason));
            }
            back[from] = to;
        }
        if order.is_empty() {
            let reason = "must hold at least 1 index, found none";
            return Err(Error::config("Permutation", "order", reason.into()));
        }
        Ok(back)
    }

    /// Builds the permutation that reverses the order of the features.
    ///
    /// # Errors
    ///
    /// If `features` is 0 or more than 2^24.
    pub fn reverse(features: usize, device: &Device) -> Result<Self> {
        count("Permutation", "features", 1, features)?;
        let order: Vec<usize> = (0..features).rev().collect();
        Self::given(&order, device)
    }

    /// Builds a random permutation, determined by the seed.
    ///
    /// # Errors
    ///
    /// If `features` is 0 or more than 2^24.
    pub fn random(features: usize, seed: u64, device: &Device) -> Result<Self> {
        count("Permutation", "features", 1, features)?;
        let order = Noise::seeded(seed).permutation(features);
        Self::given(&order, device)
    }

    /// The names of the fields that hold an order and its inverse, in burn's visitors.
    pub(crate) const PLACES: [(&str, &str); 2] =
        [("Struct:Permutation", "order"), ("Struct:Permutation", "back")];

    /// Returns an error unless two lists of indices are inverse permutations of each other.
    pub(crate) fn check_pair(order: &TensorData, back: &TensorData) -> Result<()> {
        let [order, back] = [order, back].map(|list| list.iter::<i64>().collect::<Vec<_>>());
        let at = |from: &i64| usize::try_from(*from).ok().and_then(|from| back.get(from).copied());
        let mut places = (0..).zip(&order);
        if order.len() == back.len() && places.all(|(to, from)| at(from) == Some(to)) {
            return Ok(());
        }
        let reason = "must hold each index once, and `back` must hold the inverse order";
        Err(Error::config("Permutation", "order", reason.into()))
    }

    pub(super) fn size(&self) -> usize {
        self.order.lazy_shape()[0]
    }

    fn check<const D: usize>(&self, x: &Tensor<D>) {
        check_width("Permutation", self.size(), x);
    }
}

impl<const D: usize> Bijector<D> for Permutation {
    fn forward(&self, x: Tensor<D>, _context: Option<&Tensor<2>>) -> (Tensor<D>, Tensor<1>) {
        self.check(&x);
        let log_det = zeros_batch(&x);
        (pick(x, self.order.val()), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _context: Option<&Tensor<2>>) -> Tensor<D> {
        self.check(&z);
        pick(z, self.back.val())
    }

    fn recovery(&self) -> Recovery {
        Recovery::Inverse
    }
}
