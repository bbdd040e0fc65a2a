//! A triangular linear map with normalised rows.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::householder::identity;
use super::{InvertibleMatrix, LinearMap};
use crate::bijector::check_weights;
use crate::config::{config, construct};
use crate::error::{Result, count, fits};
use crate::kernel::invert_lower;
use crate::math::{softplus, softplus_inverse, wide};

config! {
/// Configuration of a [`TriangularLinear`].
///
/// ```
/// use burn_flows::bijector::TriangularLinearConfig;
///
/// assert!(TriangularLinearConfig::new(3).validate().is_ok());
/// assert!(TriangularLinearConfig::new(0).validate().is_err());
/// ```
pub struct TriangularLinearConfig {
    /// Number of features of an event.
    pub features: usize,
}
}

crate::store::checked! {
/// A lower triangular matrix with a positive diagonal, parameterised by the direction and the length of each row.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{InvertibleMatrix, TriangularMatrix};
///
/// let device = Device::flex();
/// let raw = |y: f64| y.exp_m1().ln(); // softplus(raw(y)) = y
/// let entries = Tensor::<2>::from_data([[raw(1.0), 99.0], [3.0, raw(4.0)]], &device);
/// let lengths = Tensor::<1>::from_data([raw(2.0), raw(10.0)], &device);
/// let matrix = TriangularMatrix::from_weights(entries, lengths);
/// let expected = Tensor::<2>::from_data([[2.0, 0.0], [6.0, 8.0]], &device);
/// matrix.matrix().into_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct TriangularMatrix {
    #[serde(with = "crate::store::part")]
    below: Param<Tensor<2>>,
    #[serde(with = "crate::store::part")]
    diagonal: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    length: Param<Tensor<1>>,
}
}

impl TriangularMatrix {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let [size] = self.diagonal.dims();
        crate::store::shaped("TriangularMatrix", "below", &[size, size], self.below.dims())?;
        crate::store::shaped("TriangularMatrix", "length", &[size], self.length.dims())
    }
}

impl TriangularMatrix {
    /// Builds the identity matrix.
    pub fn identity(size: usize, device: &Device) -> Self {
        let one = Tensor::<1>::ones([size], &device.clone().without_autodiff());
        let raw = softplus_inverse(one);
        let raw = if device.is_autodiff() { raw.autodiff() } else { raw };
        let entries = Tensor::zeros([size, size], device);
        Self::new(entries, raw.clone(), raw)
    }

    /// Builds the matrix from raw entries and raw lengths of its rows. The entries above the diagonal are ignored.
    ///
    /// # Panics
    ///
    /// If `entries` is not square, or the length of `length` differs from its size.
    pub fn from_weights(entries: Tensor<2>, length: Tensor<1>) -> Self {
        let [size, _] = entries.dims();
        check_weights("TriangularMatrix", "entries", [size, size], &entries);
        check_weights("TriangularMatrix", "length", [size], &length);
        let diagonal = (entries.clone() * identity(size, &entries)).sum_dim(1).reshape([size]);
        Self::new(entries, diagonal, length)
    }

    fn new(entries: Tensor<2>, diagonal: Tensor<1>, length: Tensor<1>) -> Self {
        Self {
            below: Param::from_tensor(entries.tril(-1)),
            diagonal: Param::from_tensor(diagonal),
            length: Param::from_tensor(length),
        }
    }

    /// The entries below the diagonal, the diagonal before normalisation, and the factors that normalise the rows:
    /// `[n, n]`, `[n]` and `[n, 1]`.
    fn parts(&self) -> (Tensor<2>, Tensor<1>, Tensor<2>) {
        let (size, below) = (self.size(), wide(self.below.val()).tril(-1));
        let diagonal = softplus(wide(self.diagonal.val()));
        let squares =
            below.clone().square().sum_dim(1) + diagonal.clone().square().reshape([size, 1]);
        let factor = softplus(wide(self.length.val())).reshape([size, 1]) / squares.sqrt();
        (below, diagonal, factor)
    }
}

impl InvertibleMatrix for TriangularMatrix {
    const LAYER: &'static str = "TriangularLinear";

    fn size(&self) -> usize {
        self.length.lazy_shape()[0]
    }

    fn matrix(&self) -> Tensor<2> {
        let (below, diagonal, factor) = self.parts();
        let eye = identity(self.size(), &below);
        (below + eye * diagonal.unsqueeze()) * factor
    }

    fn inverse_matrix(&self) -> Tensor<2> {
        invert_lower(self.matrix())
    }

    fn log_abs_det(&self) -> Tensor<1> {
        let (_, diagonal, factor) = self.parts();
        diagonal.log().sum() + factor.log().sum()
    }
}

/// A triangular linear map `z = W x + b` with a lower [`TriangularMatrix`]. The initial map is the identity. Each
/// output depends only on its own and the preceding features, so put a [`Permutation`](super::Permutation) between
/// layers.
///
/// ```text
/// forward   z = W x + b,   row i of W = softplus(s_i) t_i / |t_i|
/// log-det   sum of ln W_ii
/// inverse   x = W^-1 (z - b), by forward substitution
/// ```
///
/// where the rows t_i make a lower triangular matrix with diagonal `softplus(d_i)`.
///
/// Paper of the normalised rows: Salimans, Kingma (2016), Weight Normalization, equation 2,
/// arXiv:1602.07868. Same numbers as FlowJAX 19 `TriangularAffine` in a `triangular_spline_flow`.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, channels, height, width]`
///
/// # Panics
///
/// If the width of the event differs from the width of the layer.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, TriangularLinearConfig};
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[1.0, -2.0, 0.5]], &device);
/// let (z, log_det) = TriangularLinearConfig::new(3).init(&device).forward(x.clone(), None);
/// z.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// assert!(log_det.into_scalar::<f32>().abs() < 1e-5);
/// ```
pub type TriangularLinear = LinearMap<TriangularMatrix>;

impl TriangularLinearConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("TriangularLinearConfig", "features", 1, self.features)?;
        fits("TriangularLinearConfig", "features", &[self.features, self.features])
    }

    construct! {
        /// Builds the layer.
        unseeded(device: &Device) -> TriangularLinear
    }

    fn build(&self, device: &Device) -> TriangularLinear {
        let bias = Tensor::zeros([self.features], device);
        LinearMap::new(TriangularMatrix::identity(self.features, device)).with_bias(bias)
    }
}
