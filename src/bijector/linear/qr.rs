//! A full linear map as the product of an orthogonal and a triangular factor.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::householder::identity;
use super::{InvertibleMatrix, LinearMap, Reflections};
use crate::bijector::check_weights;
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits, repeats};
use crate::initial;
use crate::kernel::invert_upper;
use crate::math::wide;
use crate::noise::Noise;

seeded_config! {
/// Configuration of a [`QrLinear`].
///
/// ```
/// use burn_flows::bijector::QrLinearConfig;
///
/// assert!(QrLinearConfig::new(4, 4).validate().is_ok());
/// assert!(QrLinearConfig::new(0, 4).validate().is_err());
/// ```
pub struct QrLinearConfig {
    /// Number of features of an event.
    pub features: usize,
    /// Number of reflections in `Q`. With as many reflections as features, the layer reaches every matrix of one
    /// orientation; fewer reflections are cheaper.
    pub reflections: usize,
}
}

crate::store::checked! {
/// A square matrix `Q R`, parameterised by its factors: a product of reflections `Q`, and an upper triangular matrix
/// `R` with diagonal `exp(log_diagonal)`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{InvertibleMatrix, QrFactors, Reflections};
///
/// let device = Device::flex();
/// let swap = Reflections::from_weights(Tensor::<2>::from_data([[1.0, -1.0]], &device));
/// // Only the entry above the diagonal is read.
/// let upper = Tensor::<2>::from_data([[9.0, 5.0], [9.0, 9.0]], &device);
/// let qr = QrFactors::from_weights(swap, upper, Tensor::zeros([2], &device));
/// assert_eq!(qr.matrix().into_data().try_to_vec_as::<f32>().unwrap(), [0.0, 1.0, 1.0, 5.0]);
/// ```
#[derive(Module, Debug, Serialize)]
pub struct QrFactors {
    rotation: Reflections,
    #[serde(with = "crate::store::part")]
    upper: Param<Tensor<2>>,
    #[serde(with = "crate::store::part")]
    log_diagonal: Param<Tensor<1>>,
}
}

impl QrFactors {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let size = self.rotation.size();
        crate::store::shaped("QrFactors", "upper", &[size, size], self.upper.dims())?;
        crate::store::shaped("QrFactors", "log_diagonal", &[size], self.log_diagonal.dims())
    }
}

impl QrFactors {
    /// Builds the matrix from its factors. Only the entries of `upper` strictly above the diagonal are used.
    ///
    /// # Panics
    ///
    /// If the size of `upper` or `log_diagonal` differs from the size of the reflections.
    pub fn from_weights(rotation: Reflections, upper: Tensor<2>, log_diagonal: Tensor<1>) -> Self {
        let size = rotation.size();
        check_weights("QrFactors", "upper", [size, size], &upper);
        check_weights("QrFactors", "log_diagonal", [size], &log_diagonal);
        let (upper, log_diagonal) = (Param::from_tensor(upper), Param::from_tensor(log_diagonal));
        Self { rotation, upper, log_diagonal }
    }

    /// Random reflections as `Q`, and the identity as `R`.
    pub(super) fn random(size: usize, reflections: usize, seed: u64, device: &Device) -> Self {
        let rotation = Reflections::random(size, reflections, &mut Noise::seeded(seed), device);
        let upper = Tensor::zeros([size, size], device);
        Self::from_weights(rotation, upper, Tensor::zeros([size], device))
    }

    fn triangle(&self) -> Tensor<2> {
        let upper = wide(self.upper.val());
        let eye = identity(self.size(), &upper);
        upper.triu(1) + eye * wide(self.log_diagonal.val()).exp().unsqueeze()
    }
}

impl InvertibleMatrix for QrFactors {
    const LAYER: &'static str = "QrLinear";

    fn size(&self) -> usize {
        self.rotation.size()
    }

    fn matrix(&self) -> Tensor<2> {
        self.rotation.matrix().matmul(self.triangle())
    }

    fn inverse_matrix(&self) -> Tensor<2> {
        invert_upper(self.triangle()).matmul(self.rotation.inverse_matrix())
    }

    fn log_abs_det(&self) -> Tensor<1> {
        wide(self.log_diagonal.val()).sum()
    }
}

/// A full linear map `z = Q R x + b`. The initial matrix is a random rotation.
///
/// ```text
/// forward   z = Q R x + b             Q a product of reflections, R upper triangular
/// log-det   sum of ln R_ii
/// inverse   x = R^-1 Q^T (z - b)
/// ```
///
/// Paper: Hoogeboom, van den Berg, Welling (2019), Emerging Convolutions for Generative Normalizing
/// Flows, arXiv:1901.11137.
/// Same numbers as nflows 0.14 `QRLinear`.
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
/// use burn_flows::bijector::{Bijector, QrLinearConfig};
///
/// let device = Device::flex();
/// let layer = QrLinearConfig::new(3, 3).init(&device);
/// let x = Tensor::<2>::from_data([[1.0, -2.0, 0.5]], &device);
/// let (z, _) = layer.forward(x.clone(), None);
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
pub type QrLinear = LinearMap<QrFactors>;

impl QrLinearConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("QrLinearConfig", "features", 1, self.features)?;
        fits("QrLinearConfig", "features", &[self.features, self.features])?;
        repeats("QrLinearConfig", "reflections", 1, self.reflections)?;
        fits("QrLinearConfig", "reflections", &[self.reflections, self.features])
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> QrLinear
    }

    fn build(&self, device: &Device) -> QrLinear {
        let matrix = QrFactors::random(
            self.features,
            self.reflections,
            initial::seed(self.seed, device),
            device,
        );
        LinearMap::new(matrix).with_bias(Tensor::zeros([self.features], device))
    }
}
