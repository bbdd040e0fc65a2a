//! A rotation as the exponential of a skew-symmetric matrix.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use serde::Serialize;

use super::householder::identity;
use super::{InvertibleMatrix, LinearMap};
use crate::config::{construct, seeded_config};
use crate::error::{Result, count, fits};
use crate::initial;
use crate::math::{from_f64, wide};
use crate::noise::Noise;

/// The norm below which a power series of [`TERMS`] terms has no error in f64: `2^-17 / 17!`.
const SMALL: f64 = 0.5;

/// The number of terms of the power series after the identity.
const TERMS: usize = 16;

/// The largest number of squarings. Angles beyond 2^40 have no correct digits in any case.
const MOST_SQUARINGS: i32 = 40;

seeded_config! {
/// Configuration of a [`Rotation`].
///
/// ```
/// use burn_flows::bijector::RotationConfig;
///
/// assert!(RotationConfig::new(4).validate().is_ok());
/// assert!(RotationConfig::new(0).validate().is_err());
/// ```
pub struct RotationConfig {
    /// Number of features of an event.
    pub features: usize,
}
}

crate::store::checked! {
/// A rotation matrix, parameterised by its matrix logarithm.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{InvertibleMatrix, RotationMatrix};
///
/// let quarter = std::f64::consts::FRAC_PI_4; // A - A^T doubles it
/// let a = Tensor::<2>::from_data([[0.0, -quarter], [quarter, 0.0]], &Device::flex());
/// let matrix = RotationMatrix::from_weights(a).matrix();
/// let expected = Tensor::<2>::from_data([[0.0, -1.0], [1.0, 0.0]], &Device::flex());
/// matrix.into_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
/// ```
#[derive(Module, Debug, Serialize)]
pub struct RotationMatrix {
    #[serde(with = "crate::store::part")]
    generator: Param<Tensor<2>>,
}
}

impl RotationMatrix {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let [size, _] = self.generator.dims();
        crate::store::shaped("RotationMatrix", "generator", &[size, size], self.generator.dims())
    }
}

impl RotationMatrix {
    /// Builds the rotation `exp(A - A^T)`.
    ///
    /// # Panics
    ///
    /// If `A` is not square.
    pub fn from_weights(a: Tensor<2>) -> Self {
        let found = a.dims();
        assert!(found[0] == found[1], "Rotation: expected a square matrix, found shape {found:?}");
        Self { generator: Param::from_tensor(a) }
    }
}

/// The matrix exponential of `a`.
fn exponential(a: Tensor<2>) -> Tensor<2> {
    let one = identity(a.dims()[0], &a);
    let norm = a.clone().without_autodiff().abs().sum_dim(1).max().into_scalar::<f64>();
    let squarings = ((norm / SMALL).log2().ceil() as i32).clamp(0, MOST_SQUARINGS);
    let a = a * 0.5f64.powi(squarings);
    let series = (1..=TERMS)
        .rev()
        .fold(one.clone(), |sum, term| a.clone().matmul(sum) * (term as f64).recip() + one.clone());
    (0..squarings).fold(series, |root, _| root.clone().matmul(root))
}

impl InvertibleMatrix for RotationMatrix {
    const LAYER: &'static str = "Rotation";

    fn size(&self) -> usize {
        self.generator.lazy_shape()[0]
    }

    fn matrix(&self) -> Tensor<2> {
        let a = wide(self.generator.val());
        exponential(a.clone() - a.transpose())
    }

    fn inverse_matrix(&self) -> Tensor<2> {
        self.matrix().transpose()
    }

    fn log_abs_det(&self) -> Tensor<1> {
        let a = wide(self.generator.val());
        Tensor::zeros([1], (&a.device().without_autodiff(), a.dtype()))
    }
}

/// A rotation of the features. The initial rotation is random. It has no bias.
///
/// ```text
/// forward   z = R x,   R = exp(A - A^T)
/// log-det   0
/// inverse   x = R^T z
/// ```
///
/// This form reaches every rotation and no reflection. The exponential is computed by scaling and squaring:
/// Higham (2005), The scaling and squaring method for the matrix exponential revisited.
/// Same numbers as zuko 1.6 `RotationTransform`.
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
/// use burn_flows::bijector::{Bijector, RotationConfig};
///
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[3.0, 0.0, -4.0]], &device);
/// let (z, log_det) = RotationConfig::new(3).init(&device).forward(x, None);
/// assert!((z.square().sum().into_scalar::<f32>() - 25.0).abs() < 1e-4); // lengths stay
/// assert_eq!(log_det.into_scalar::<f32>(), 0.0);
/// ```
pub type Rotation = LinearMap<RotationMatrix>;

impl RotationConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("RotationConfig", "features", 1, self.features)?;
        fits("RotationConfig", "features", &[self.features, self.features])
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> Rotation
    }

    fn build(&self, device: &Device) -> Rotation {
        let (size, mut noise) = (self.features, Noise::seeded(initial::seed(self.seed, device)));
        let values = (0..size * size).map(|_| noise.next_normal()).collect();
        LinearMap::new(RotationMatrix::from_weights(from_f64(values, [size, size], device)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_turns_are_still_a_rotation() {
        let device = Device::flex();
        for size in [1.0, 10.0, 300.0] {
            let a = Noise::seeded(1).normal::<2>([5, 5], &device) * size;
            let matrix = RotationMatrix::from_weights(a).matrix();
            let error = (matrix.clone().matmul(matrix.clone().transpose()) - identity(5, &matrix))
                .abs()
                .max()
                .into_scalar::<f32>();
            assert!(error < 1e-3, "{error} at size {size}");
        }
    }
}
