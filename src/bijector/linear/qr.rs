//! A full linear map by an orthogonal and a triangular factor.

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
    /// Features of an event.
    pub features: usize,
    /// Reflections in Q. With as many as features, every matrix of one orientation.
    pub reflections: usize,
}
}

crate::store::checked! {
/// A square matrix `Q R` by its factors: reflections, and an upper triangle whose diagonal is
/// `exp(log_diagonal)`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{InvertibleMatrix, QrFactors, Reflections};
///
/// let device = Device::flex();
/// let swap = Reflections::from_weights(Tensor::<2>::from_data([[1.0, -1.0]], &device));
/// let upper = Tensor::<2>::from_data([[9.0, 5.0], [9.0, 9.0]], &device); // what is above the diagonal
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
    /// Whether a layer that was read from a file can be one.
    fn sound(&self) -> Result<()> {
        let size = self.rotation.size();
        crate::store::shaped("QrFactors", "upper", &[size, size], self.upper.dims())?;
        crate::store::shaped("QrFactors", "log_diagonal", &[size], self.log_diagonal.dims())
    }
}

impl QrFactors {
    /// The matrix with these factors; `upper` counts strictly above its diagonal.
    ///
    /// # Panics
    ///
    /// If `upper` or `log_diagonal` is of another size than the reflections.
    pub fn from_weights(rotation: Reflections, upper: Tensor<2>, log_diagonal: Tensor<1>) -> Self {
        let size = rotation.size();
        check_weights("QrFactors", "upper", [size, size], &upper);
        check_weights("QrFactors", "log_diagonal", [size], &log_diagonal);
        let (upper, log_diagonal) = (Param::from_tensor(upper), Param::from_tensor(log_diagonal));
        Self { rotation, upper, log_diagonal }
    }

    /// Random reflections, and the identity behind them.
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

/// `z = Q R x + b`, started as a random rotation.
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
/// - `[batch, features]`, or `[batch, channels, height, width]`; the same on both sides
///
/// # Panics
///
/// If the event has another width than the layer was built for.
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
        /// The layer.
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
