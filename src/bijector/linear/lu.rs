//! A full linear map, parameterised by its LU factors.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::householder::identity;
use super::{InvertibleMatrix, LinearMap, Permutation};
use crate::bijector::{Bijector, check_weights};
use crate::config::{config, construct};
use crate::elimination::Elimination;
use crate::error::{Result, count, fits};
use crate::initial::rotation;
use crate::kernel::{invert_lower, invert_upper};
use crate::math::{from_f64, softplus, softplus_inverse, wide};

/// Smallest diagonal entry. Without it, training can make the map singular. The value is that of nflows.
const DIAGONAL_FLOOR: f64 = 1e-3;

/// A positive diagonal from unconstrained parameters.
pub(super) fn floored(raw: Tensor<1>) -> Tensor<1> {
    softplus(raw) + DIAGONAL_FLOOR
}

/// The raw parameters for which [`floored`] gives ones.
pub(super) fn one_before_floor(size: usize, device: &Device) -> Tensor<1> {
    let one = Tensor::ones([size], &device.clone().without_autodiff());
    let raw = softplus_inverse(one - DIAGONAL_FLOOR);
    if device.is_autodiff() { raw.autodiff() } else { raw }
}

config! {
/// Configuration of a [`LuLinear`].
///
/// ```
/// use burn_flows::bijector::LuLinearConfig;
///
/// assert!(LuLinearConfig::new(3).validate().is_ok());
/// assert!(LuLinearConfig::new(0).validate().is_err());
/// ```
pub struct LuLinearConfig {
    /// Number of features of an event.
    pub features: usize,
}
}

crate::store::checked! {
/// A square matrix `L U`, parameterised by its factors. Neither its inverse nor its determinant is computed from the
/// product.
///
/// `factors` holds `L` strictly below the diagonal and `U` strictly above it. The diagonal of `U` is
/// `softplus(diagonal) + 1e-3`, or `sign * exp(diagonal)` if signs are given.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{InvertibleMatrix, LuFactors};
///
/// let device = Device::flex();
/// let factors = Tensor::<2>::from_data([[0.0, 3.0], [2.0, 0.0]], &device);
/// let (diagonal, sign) = (Tensor::zeros([2], &device), Tensor::ones([2], &device));
/// let lu = LuFactors::from_weights(factors, diagonal, Some(sign));
/// let matrix = lu.matrix().into_data().try_to_vec_as::<f32>().unwrap();
/// assert_eq!(matrix, [1.0, 3.0, 2.0, 7.0]);
/// let transposed = lu.transposed().matrix().into_data().try_to_vec_as::<f32>().unwrap();
/// assert_eq!(transposed, [1.0, 2.0, 3.0, 7.0]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct LuFactors {
    #[serde(with = "crate::store::part")]
    factors: Param<Tensor<2>>,
    #[serde(with = "crate::store::part")]
    diagonal: Param<Tensor<1>>,
    #[serde(with = "crate::store::part")]
    sign: Option<Param<Tensor<1>>>,
    transposed: bool,
    #[serde(with = "crate::store::weights")]
    permutation: Option<Permutation>,
    permuted_last: bool,
}
}

impl LuFactors {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let size = self.size();
        crate::store::shaped("LuFactors", "factors", &[size, size], self.factors.dims())?;
        if let Some(sign) = &self.sign {
            crate::store::shaped("LuFactors", "sign", &[size], sign.dims())?;
            let signs = sign.val().into_data().iter::<f64>().all(|sign| sign.abs() == 1.0);
            crate::store::require("LuFactors", "sign", signs, || {
                "must hold only 1 and -1".to_string()
            })?;
        }
        let found = self.permutation.as_ref().map_or(size, Permutation::size);
        crate::store::shaped("LuFactors", "permutation", &[size], [found])
    }
}

impl LuFactors {
    /// Builds the identity matrix.
    pub fn identity(size: usize, device: &Device) -> Self {
        let factors = Tensor::zeros([size, size], device);
        Self::from_weights(factors, one_before_floor(size, device), None)
    }

    /// Builds the matrix from its factors. If `sign` is given, `diagonal` is the logarithm of the absolute diagonal.
    ///
    /// # Panics
    ///
    /// If `factors` is not square, or if the length of `diagonal` or `sign` differs from its size.
    pub fn from_weights(factors: Tensor<2>, diagonal: Tensor<1>, sign: Option<Tensor<1>>) -> Self {
        let [size, _] = factors.dims();
        check_weights("LuFactors", "factors", [size, size], &factors);
        check_weights("LuFactors", "diagonal", [size], &diagonal);
        if let Some(sign) = &sign {
            check_weights("LuFactors", "sign", [size], sign);
        }
        let fixed = |t: Tensor<1>| Param::from_tensor(t).set_require_grad(false);
        Self {
            factors: Param::from_tensor(factors),
            diagonal: Param::from_tensor(diagonal),
            sign: sign.map(fixed),
            transposed: false,
            permutation: None,
            permuted_last: false,
        }
    }

    /// A random rotation, as factors with signs and a permutation.
    pub(super) fn rotation(size: usize, seed: u64, device: &Device) -> Self {
        let elimination = Elimination::above_rounding(rotation(size, seed));
        let vector = |values: Vec<f64>| from_f64::<1>(values, [size], device);
        let sign = vector(elimination.pivots().map(f64::signum).collect());
        let log = vector(elimination.pivots().map(|pivot| pivot.abs().ln()).collect());
        let order = Permutation::given(&elimination.order, device).expect("every index once");
        let factors = from_f64(elimination.factors.concat(), [size, size], device);
        Self::from_weights(factors, log, Some(sign)).permuted(order)
    }

    /// Transposes the matrix to `U^T L^T`. Use it for weights of a library that multiplies rows by `L U`.
    pub fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Applies a fixed permutation before the factors: the matrix becomes `L U P`.
    ///
    /// # Panics
    ///
    /// If the size of the permutation differs from the size of the matrix.
    ///
    /// # Example
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use burn_flows::bijector::{InvertibleMatrix, LuFactors, Permutation};
    ///
    /// let device = Device::flex();
    /// let factors = Tensor::<2>::from_data([[0.0, 0.0], [10.0, 0.0]], &device);
    /// let (diagonal, sign) = (Tensor::zeros([2], &device), Tensor::ones([2], &device));
    /// let lu = || LuFactors::from_weights(factors.clone(), diagonal.clone(), Some(sign.clone()));
    /// let swap = Permutation::reverse(2, &device)?;
    /// let lup = lu().permuted(swap.clone()).matrix().into_data().try_to_vec_as::<f32>().unwrap();
    /// assert_eq!(lup, [0.0, 1.0, 1.0, 10.0]);
    /// let plu = lu().permuted_last(swap).matrix().into_data().try_to_vec_as::<f32>().unwrap();
    /// assert_eq!(plu, [10.0, 1.0, 1.0, 0.0]);
    /// # Ok::<(), burn_flows::Error>(())
    /// ```
    pub fn permuted(self, permutation: Permutation) -> Self {
        let (size, found) = (self.size(), permutation.size());
        assert!(
            size == found,
            "LuFactors: expected a permutation of {size} indices, found {found}"
        );
        Self { permutation: Some(permutation), permuted_last: false, ..self }
    }

    /// Applies a fixed permutation after the factors: the matrix becomes `P L U`.
    ///
    /// # Panics
    ///
    /// If the size of the permutation differs from the size of the matrix.
    pub fn permuted_last(self, permutation: Permutation) -> Self {
        Self { permuted_last: true, ..self.permuted(permutation) }
    }

    fn turned(&self, matrix: Tensor<2>) -> Tensor<2> {
        if self.transposed { matrix.transpose() } else { matrix }
    }

    /// The diagonal of `U`, and the logarithm of its absolute value.
    fn diagonal(&self) -> (Tensor<1>, Tensor<1>) {
        let raw = wide(self.diagonal.val());
        match &self.sign {
            Some(sign) => (raw.clone().exp() * wide(sign.val()), raw),
            None => {
                let diagonal = floored(raw);
                (diagonal.clone(), diagonal.log())
            }
        }
    }

    fn triangles(&self) -> (Tensor<2>, Tensor<2>) {
        let factors = wide(self.factors.val());
        let eye = identity(self.size(), &factors);
        let lower = factors.clone().tril(-1) + eye.clone();
        let upper = factors.triu(1) + eye * self.diagonal().0.unsqueeze();
        (lower, upper)
    }
}

impl InvertibleMatrix for LuFactors {
    const LAYER: &'static str = "LuLinear";

    fn size(&self) -> usize {
        self.diagonal.lazy_shape()[0]
    }

    fn matrix(&self) -> Tensor<2> {
        let (lower, upper) = self.triangles();
        let matrix = self.turned(lower.matmul(upper));
        match &self.permutation {
            None => matrix,
            // `Permutation` reorders axis 1, the columns. Its inverse is the product with `P` from the right.
            Some(order) if self.permuted_last => {
                order.forward(matrix.transpose(), None).0.transpose()
            }
            Some(order) => order.inverse(matrix, None),
        }
    }

    /// The inverse, from the inverses of the triangular factors.
    fn inverse_matrix(&self) -> Tensor<2> {
        let (lower, upper) = self.triangles();
        let inverse = self.turned(invert_upper(upper).matmul(invert_lower(lower)));
        match &self.permutation {
            None => inverse,
            Some(order) if self.permuted_last => order.forward(inverse, None).0,
            Some(order) => order.inverse(inverse.transpose(), None).transpose(),
        }
    }

    fn log_abs_det(&self) -> Tensor<1> {
        self.diagonal().1.sum()
    }
}

/// A full linear map `z = L U x + b`. The initial map is the identity.
///
/// ```text
/// forward   z = L U x + b         L unit lower triangular, U upper triangular
/// log-det   sum of ln |U_ii|
/// inverse   x = U^-1 L^-1 (z - b)
/// ```
///
/// Papers: Kingma, Dhariwal (2018), Glow, section 3.2, equation 10, arXiv:1807.03039; Oliva et al.
/// (2018), Transformation Autoregressive Networks, arXiv:1801.09819.
/// Same numbers as nflows 0.14 `LULinear`, normflows 1.7 `InvertibleAffine` ([`LuFactors::transposed`]).
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, channels, height, width]`
///
/// # Numerics
///
/// The diagonal of `U` is at least 1e-3. The log-determinant is the sum of the logarithms of the diagonal.
///
/// # Panics
///
/// If the width of the event differs from the width of the layer.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, LuLinearConfig};
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[1.0, -2.0, 0.5]], &device);
/// let (z, log_det) = LuLinearConfig::new(3).init(&device).forward(x.clone(), None);
/// z.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// assert!(log_det.into_scalar::<f32>().abs() < 1e-5);
/// ```
pub type LuLinear = LinearMap<LuFactors>;

impl LuLinearConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("LuLinearConfig", "features", 1, self.features)?;
        fits("LuLinearConfig", "features", &[self.features, self.features])
    }

    construct! {
        /// Builds the layer.
        unseeded(device: &Device) -> LuLinear
    }

    fn build(&self, device: &Device) -> LuLinear {
        let bias = Tensor::zeros([self.features], device);
        LinearMap::new(LuFactors::identity(self.features, device)).with_bias(bias)
    }
}
