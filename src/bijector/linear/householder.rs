//! An orthogonal map as a product of Householder reflections.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{InvertibleMatrix, LinearMap};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits, repeats};
use crate::initial;
use crate::math::{from_f64, wide};
use crate::noise::Noise;

seeded_config! {
/// Configuration of a [`Householder`].
///
/// ```
/// use burn_flows::bijector::HouseholderConfig;
///
/// assert!(HouseholderConfig::new(4, 4).validate().is_ok());
/// assert!(HouseholderConfig::new(4, 0).validate().is_err());
/// ```
pub struct HouseholderConfig {
    /// Number of features of an event.
    pub features: usize,
    /// Number of reflections. With as many reflections as features, the layer reaches every orthogonal matrix of one
    /// orientation; fewer reflections are cheaper.
    pub reflections: usize,
}
}

/// An orthogonal matrix as a product of reflections. Its inverse is its transpose.
///
/// A row of zeros, or of subnormal numbers, has no direction and reflects nothing. The length of a row does not matter.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{InvertibleMatrix, Reflections};
///
/// let device = Device::flex();
/// // The first row swaps the two features, the second turns the sign of the first.
/// let vectors = Tensor::<2>::from_data([[1.0, -1.0], [3.0, 0.0]], &device);
/// let matrix = Reflections::from_weights(vectors).matrix();
/// assert_eq!(matrix.into_data().try_to_vec_as::<f32>().unwrap(), [0.0, -1.0, 1.0, 0.0]);
/// ```
#[derive(Module, Debug, Serialize, Deserialize)]
#[module(custom_display)]
pub struct Reflections {
    #[serde(with = "crate::store::part")]
    vectors: Param<Tensor<2>>,
}

crate::display::display!(Reflections);

impl Reflections {
    /// Builds the product `H_K .. H_1`, where row `k - 1` of `vectors` is `v_k`.
    pub fn from_weights(vectors: Tensor<2>) -> Self {
        Self { vectors: Param::from_tensor(vectors) }
    }

    /// Reflections in random directions.
    pub(super) fn random(
        size: usize,
        reflections: usize,
        noise: &mut Noise,
        device: &Device,
    ) -> Self {
        let values = (0..size * reflections).map(|_| noise.next_normal()).collect();
        Self::from_weights(from_f64(values, [reflections, size], device))
    }
}

impl InvertibleMatrix for Reflections {
    const LAYER: &'static str = "Householder";

    fn size(&self) -> usize {
        self.vectors.lazy_shape()[1]
    }

    fn matrix(&self) -> Tensor<2> {
        let vectors = wide(self.vectors.val());
        // The length of a vector does not matter. Scaling the largest element to 1 keeps the square from overflow and
        // underflow.
        let info = vectors.dtype().finfo().expect("a float has these");
        let largest = vectors.clone().without_autodiff().abs().max_dim(1);
        let none = largest.clone().lower_elem(info.min_positive);
        let vectors = vectors.clone().mask_fill(none.clone().expand(vectors.dims()), 0.0);
        let vectors = vectors * largest.mask_fill(none.clone(), 1.0).recip();
        let squares = vectors.clone().square().sum_dim(1);
        let scaled = vectors.clone() * 2.0 / squares.mask_fill(none, 1.0);
        let pairs = vectors.clone().split(1, 0).into_iter().zip(scaled.split(1, 0));
        pairs.fold(identity(self.size(), &vectors), |product, (row, scaled)| {
            let along = row.matmul(product.clone());
            product - scaled.transpose().matmul(along)
        })
    }

    fn inverse_matrix(&self) -> Tensor<2> {
        self.matrix().transpose()
    }

    fn log_abs_det(&self) -> Tensor<1> {
        let vectors = wide(self.vectors.val());
        Tensor::zeros([1], (&vectors.device().without_autodiff(), vectors.dtype()))
    }
}

/// The identity matrix in the precision and on the device of `like`, outside any graph.
pub(super) fn identity(size: usize, like: &Tensor<2>) -> Tensor<2> {
    Tensor::<2>::eye(size, &like.device().without_autodiff()).cast(like.dtype())
}

/// An orthogonal matrix over the features. The initial matrix is a product of random reflections. It has no bias.
///
/// ```text
/// forward   z = H_K .. H_1 x          H_k = I - 2 v_k v_k^T / |v_k|^2
/// log-det   0
/// inverse   x = H_1 .. H_K z
/// ```
///
/// Papers: Householder (1958), Unitary Triangularization of a Nonsymmetric Matrix; Tomczak, Welling
/// (2016), Improving Variational Auto-Encoders using Householder Flow, arXiv:1611.09630.
/// Same numbers as nflows 0.14 `HouseholderSequence`.
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
/// use burn_flows::bijector::{Bijector, HouseholderConfig};
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[3.0, 0.0, -4.0]], &device);
/// let (z, log_det) = HouseholderConfig::new(3, 2).init(&device).forward(x, None);
/// assert!((z.square().sum().into_scalar::<f32>() - 25.0).abs() < 1e-4); // lengths stay
/// assert_eq!(log_det.into_scalar::<f32>(), 0.0);
/// ```
pub type Householder = LinearMap<Reflections>;

impl HouseholderConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("HouseholderConfig", "features", 1, self.features)?;
        fits("HouseholderConfig", "features", &[self.features, self.features])?;
        repeats("HouseholderConfig", "reflections", 1, self.reflections)?;
        fits("HouseholderConfig", "reflections", &[self.reflections, self.features])
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> Householder
    }

    fn build(&self, device: &Device) -> Householder {
        let mut noise = Noise::seeded(initial::seed(self.seed, device));
        let matrix = Reflections::random(self.features, self.reflections, &mut noise, device);
        LinearMap::new(matrix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reflection_is_orthogonal_however_long_its_vector() {
        let device = Device::flex();
        let of = |scale: f64| {
            let values = [1.0, -2.0, 0.5].map(|v| v * scale).to_vec();
            Reflections::from_weights(from_f64(values, [1, 3], &device)).matrix()
        };
        let expected = of(1.0);
        for scale in [1e-37, 1e-30, 3e-20, 1e-19, 1e-10, 1e10, 1e19, 1e30] {
            let error = (of(scale) - expected.clone()).abs().max().into_scalar::<f32>();
            assert!(error < 1e-6, "{scale:e}: {error}");
        }
        // Subnormal numbers have no direction.
        assert_eq!(of(1e-42).into_data(), identity(3, &expected).into_data());
    }

    #[test]
    fn a_row_of_zeros_reflects_nothing() {
        let rows = [[0.0, 0.0, 0.0], [1.0, -2.0, 2.0]];
        let of = |rows: &[[f64; 3]]| {
            let values = rows.concat();
            let device = Device::flex().autodiff();
            Reflections::from_weights(from_f64(values, [rows.len(), 3], &device))
        };
        let (with, without) = (of(&rows), of(&rows[1..]));
        assert_eq!(with.matrix().into_data(), without.matrix().into_data());
        let gradients = with.matrix().square().sum().backward();
        let gradient = with.vectors.val().grad(&gradients).expect("a trained weight");
        assert!(gradient.into_data().iter::<f64>().all(f64::is_finite));
    }
}
