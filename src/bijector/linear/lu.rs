//! A full linear map by its LU factors.
//!
//! forward   z = L U x + b         L unit lower triangular, U upper triangular
//! log-det   sum of ln |U_ii|
//! inverse   x = U^-1 L^-1 (z - b)
//!
//! Papers: Kingma, Dhariwal (2018), Glow, section 3.2, equation 10, arXiv:1807.03039; Oliva et al.
//! (2018), Transformation Autoregressive Networks, arXiv:1801.09819.
//! Same numbers as nflows 0.14 `LULinear`, normflows 1.7 `InvertibleAffine` ([`LuFactors::transposed`]).

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::bijector::{Bijector, check_weights, check_width};
use crate::error::{Result, at_least, expect_valid};
use crate::math::{invert_lower, invert_upper, repeat_batch, softplus, softplus_inverse};

/// The least diagonal entry of U. Without it training can make the map singular. Value from nflows.
const DIAGONAL_FLOOR: f64 = 1e-3;

/// Configuration of a [`LuLinear`].
///
/// ```
/// use burn_flows::bijector::LuLinearConfig;
///
/// assert!(LuLinearConfig::new(3).validate().is_ok());
/// assert!(LuLinearConfig::new(0).validate().is_err());
/// ```
#[derive(Config, Debug)]
pub struct LuLinearConfig {
    /// Features of an event.
    pub features: usize,
}

/// A square matrix `L U` by its factors, without ever forming an inverse or a determinant of it.
///
/// `factors` holds L strictly below and U strictly above the diagonal; the diagonal of U is
/// `softplus(diagonal) + 1e-3`, or `sign * exp(diagonal)` where signs are given.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::LuFactors;
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
#[derive(Module, Debug)]
pub struct LuFactors {
    factors: Param<Tensor<2>>,
    diagonal: Param<Tensor<1>>,
    sign: Option<Param<Tensor<1>>>,
    transposed: bool,
}

impl LuFactors {
    /// The identity matrix.
    pub fn identity(size: usize, device: &Device) -> Self {
        let one = Tensor::ones([size], &device.clone().without_autodiff());
        let raw = softplus_inverse(one - DIAGONAL_FLOOR);
        let raw = if device.is_autodiff() { raw.autodiff() } else { raw };
        Self::from_weights(Tensor::zeros([size, size], device), raw, None)
    }

    /// The matrix with these factors; with signs, `diagonal` is the logarithm of its absolute.
    ///
    /// # Panics
    ///
    /// If `factors` is not square, or `diagonal` or `sign` of another length.
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
        }
    }

    /// The transpose, `U^T L^T`, of the same factors: what a library that multiplies rows by `L U`
    /// applies to columns.
    pub fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn turned(&self, matrix: Tensor<2>) -> Tensor<2> {
        if self.transposed { matrix.transpose() } else { matrix }
    }

    /// Rows and columns of the matrix.
    pub fn size(&self) -> usize {
        self.diagonal.lazy_shape()[0]
    }

    /// The diagonal of U and the logarithm of its absolute.
    fn diagonal(&self) -> (Tensor<1>, Tensor<1>) {
        let raw = self.diagonal.val();
        match &self.sign {
            Some(sign) => (raw.clone().exp() * sign.val(), raw),
            None => {
                let diagonal = softplus(raw) + DIAGONAL_FLOOR;
                (diagonal.clone(), diagonal.log())
            }
        }
    }

    fn triangles(&self) -> (Tensor<2>, Tensor<2>) {
        let factors = self.factors.val();
        let options = (&factors.device().without_autodiff(), factors.dtype());
        let eye = Tensor::<2>::eye(self.size(), options.0).cast(options.1);
        let lower = factors.clone().tril(-1) + eye.clone();
        let upper = factors.triu(1) + eye * self.diagonal().0.unsqueeze();
        (lower, upper)
    }

    /// `L U`, or its transpose.
    pub fn matrix(&self) -> Tensor<2> {
        let (lower, upper) = self.triangles();
        self.turned(lower.matmul(upper))
    }

    /// The inverse of [`matrix`](Self::matrix), by the inverses of the triangles.
    pub fn inverse_matrix(&self) -> Tensor<2> {
        let (lower, upper) = self.triangles();
        self.turned(invert_upper(upper).matmul(invert_lower(lower)))
    }

    /// `ln |det L U|`, shape `[1]`.
    pub fn log_abs_det(&self) -> Tensor<1> {
        self.diagonal().1.sum()
    }
}

/// `z = L U x + b`, started as the identity.
///
/// # Shapes
///
/// - `[batch, features]`; the same on both sides
///
/// # Numerics
///
/// The diagonal of U is at least 1e-3; the log-determinant is a sum of its logarithms.
///
/// # Panics
///
/// If the event has another width than the layer was built for.
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
#[derive(Module, Debug)]
pub struct LuLinear {
    matrix: LuFactors,
    bias: Param<Tensor<1>>,
}

impl LuLinearConfig {
    /// Says which field cannot be, and why.
    pub fn validate(&self) -> Result<()> {
        at_least("LuLinearConfig", "features", 1, self.features)
    }

    /// The layer.
    ///
    /// # Panics
    ///
    /// With the text of [`validate`](Self::validate).
    pub fn init(&self, device: &Device) -> LuLinear {
        expect_valid(self.validate());
        let bias = Tensor::zeros([self.features], device);
        LuLinear::from_weights(LuFactors::identity(self.features, device), bias)
    }
}

impl LuLinear {
    /// The layer with this matrix and bias.
    ///
    /// # Panics
    ///
    /// If the bias has another length than the matrix rows.
    pub fn from_weights(matrix: LuFactors, bias: Tensor<1>) -> Self {
        check_weights("LuLinear", "bias", [matrix.size()], &bias);
        Self { matrix, bias: Param::from_tensor(bias) }
    }

    fn check(&self, x: &Tensor<2>) {
        check_width("LuLinear", self.matrix.size(), x);
    }
}

impl Bijector<2> for LuLinear {
    fn forward(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> (Tensor<2>, Tensor<1>) {
        self.check(&x);
        let log_det = repeat_batch(self.matrix.log_abs_det(), &x);
        (x.matmul(self.matrix.matrix().transpose()) + self.bias.val().unsqueeze(), log_det)
    }

    fn inverse(&self, z: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<2> {
        self.check(&z);
        let centred = z - self.bias.val().unsqueeze();
        centred.matmul(self.matrix.inverse_matrix().transpose())
    }

    fn log_det_jacobian(&self, x: Tensor<2>, _context: Option<&Tensor<2>>) -> Tensor<1> {
        self.check(&x);
        repeat_batch(self.matrix.log_abs_det(), &x)
    }
}
