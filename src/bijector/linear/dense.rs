//! A full linear map, parameterised by its plain matrix.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use super::{InvertibleMatrix, LinearMap};
use crate::bijector::check_weights;
use crate::config::{construct, seeded_config};
use crate::elimination::{Elimination, norm};
use crate::error::{Error, Result, count, fits};
use crate::initial::{self, rotation};
use crate::math::{from_f64, wide};

seeded_config! {
/// Configuration of a [`DenseLinear`].
///
/// ```
/// use burn_flows::bijector::DenseLinearConfig;
///
/// assert!(DenseLinearConfig::new(3).validate().is_ok());
/// assert!(DenseLinearConfig::new(0).validate().is_err());
/// ```
pub struct DenseLinearConfig {
    /// Number of features of an event.
    pub features: usize,
}
}

crate::store::checked! {
/// A square matrix; each entry is a weight.
///
/// # Numerics
///
/// Inverse and determinant come from an elimination on the host, in f64. Its cost grows with the third power of the
/// size. Gradients follow from `d ln |det W| = tr(W^-1 dW)` and `d W^-1 = -W^-1 dW W^-1`. Training can make the matrix
/// singular: then the log-determinant is minus infinity, without a gradient, and the inverse is infinite.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{DenseMatrix, InvertibleMatrix};
///
/// let device = Device::flex();
/// let dense = DenseMatrix::from_weights(Tensor::from_data([[0.0, 2.0], [4.0, 6.0]], &device))?;
/// assert!((dense.log_abs_det().into_scalar::<f32>() - 8f32.ln()).abs() < 1e-6);
/// let inverse = dense.inverse_matrix().into_data().try_to_vec_as::<f32>().unwrap();
/// assert_eq!(inverse, [-0.75, 0.25, 0.5, 0.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
#[derive(Module, Debug, Serialize)]
pub struct DenseMatrix {
    #[serde(with = "crate::store::part")]
    entries: Param<Tensor<2>>,
}
}

impl DenseMatrix {
    /// Checks a layer that was read from a file.
    fn sound(&self) -> Result<()> {
        let [size, _] = self.entries.dims();
        crate::store::shaped("DenseMatrix", "entries", &[size, size], self.entries.dims())
    }
}

impl DenseMatrix {
    /// The names of this type and its tensor in burn's visitors, for the checks of saved files.
    pub(crate) const PLACE: (&str, &str) = ("Struct:DenseMatrix", "entries");

    /// Builds the matrix from its entries.
    ///
    /// # Errors
    ///
    /// If the matrix is not finite, singular, or so nearly singular that its precision cannot hold an inverse (a
    /// reciprocal condition number of at most the epsilon of the precision).
    ///
    /// # Panics
    ///
    /// If the matrix is not square.
    pub fn from_weights(entries: Tensor<2>) -> Result<Self> {
        let [size, _] = entries.dims();
        check_weights("DenseMatrix", "entries", [size, size], &entries);
        Self::check(&entries.to_data())?;
        Ok(Self { entries: Param::from_tensor(entries) })
    }

    /// Returns an error unless the entries form an invertible matrix.
    pub(crate) fn check(entries: &TensorData) -> Result<()> {
        let rows = rows(entries);
        let epsilon = entries.dtype().finfo().map_or(f64::EPSILON, |info| info.epsilon);
        let inverse = Elimination::above_rounding(rows.clone()).inverse();
        if inverse.is_some_and(|inverse| 1.0 / (norm(&rows) * norm(&inverse)) > epsilon) {
            return Ok(());
        }
        let reason = "must be an invertible matrix, found a matrix singular up to rounding";
        Err(Error::config("DenseMatrix", "entries", reason.into()))
    }

    /// A random rotation.
    pub(super) fn rotation(size: usize, seed: u64, device: &Device) -> Self {
        let values = rotation(size, seed).concat();
        Self { entries: Param::from_tensor(from_f64(values, [size, size], device)) }
    }
}

fn rows(entries: &TensorData) -> Vec<Vec<f64>> {
    let values: Vec<f64> = entries.iter::<f64>().collect();
    values.chunks(entries.shape()[1]).map(<[f64]>::to_vec).collect()
}

/// A tensor of host values, with the device and precision of `like`, outside any graph.
fn beside<const D: usize>(values: Vec<f64>, shape: [usize; D], like: &Tensor<2>) -> Tensor<D> {
    let options = (&like.device().without_autodiff(), like.dtype());
    Tensor::from_data(TensorData::new(values, shape), options)
}

/// A tensor of zeros that carries the gradient of the entries.
fn change(entries: Tensor<2>) -> Tensor<2> {
    entries.clone() - entries.detach()
}

impl InvertibleMatrix for DenseMatrix {
    const LAYER: &'static str = "DenseLinear";

    fn size(&self) -> usize {
        self.entries.lazy_shape()[0]
    }

    fn matrix(&self) -> Tensor<2> {
        wide(self.entries.val())
    }

    fn inverse_matrix(&self) -> Tensor<2> {
        let (entries, size) = (wide(self.entries.val()), self.size());
        match Elimination::above_rounding(rows(&entries.to_data())).inverse() {
            Some(inverse) => {
                let inverse = beside(inverse.concat(), [size, size], &entries);
                let moved = inverse.clone().matmul(change(entries)).matmul(inverse.clone());
                inverse - moved
            }
            None => beside(vec![f64::INFINITY; size * size], [size, size], &entries),
        }
    }

    fn log_abs_det(&self) -> Tensor<1> {
        let (entries, size) = (wide(self.entries.val()), self.size());
        let elimination = Elimination::above_rounding(rows(&entries.to_data()));
        let value = beside(vec![elimination.log_abs_det()], [1], &entries);
        // Only the gradient needs the inverse.
        let inverse = if entries.is_autodiff() { elimination.inverse() } else { None };
        match inverse {
            Some(inverse) => {
                let inverse = beside(inverse.concat(), [size, size], &entries);
                value + (inverse.transpose() * change(entries)).sum()
            }
            None => value,
        }
    }
}

/// A full linear map `z = W x + b`. The initial matrix is a random rotation.
///
/// ```text
/// forward   z = W x + b
/// log-det   ln |det W|
/// inverse   x = W^-1 (z - b)
/// ```
///
/// Paper: Kingma, Dhariwal (2018), Glow, section 3.2, equation 9, arXiv:1807.03039.
/// Same numbers as nflows 0.14 `NaiveLinear`.
///
/// [`LuLinear`](super::LuLinear) is also a full linear map, and its log-determinant costs nothing and cannot become
/// infinite. Use `DenseLinear` for weights that are given as a plain matrix.
///
/// # Shapes
///
/// - input and output: `[batch, features]`, or `[batch, channels, height, width]`
///
/// # Numerics
///
/// See [`DenseMatrix`].
///
/// # Panics
///
/// If the width of the event differs from the width of the layer.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, DenseLinearConfig};
///
/// let device = Device::flex();
/// let layer = DenseLinearConfig::new(3).init(&device);
/// let x = Tensor::<2>::from_data([[1.0, -2.0, 0.5]], &device);
/// let (z, log_det) = layer.forward(x.clone(), None);
/// assert!(log_det.into_scalar::<f32>().abs() < 1e-5); // a rotation
/// layer.inverse(z, None).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
/// ```
pub type DenseLinear = LinearMap<DenseMatrix>;

impl DenseLinearConfig {
    /// Returns an error that names the first invalid field.
    pub fn validate(&self) -> Result<()> {
        count("DenseLinearConfig", "features", 1, self.features)?;
        fits("DenseLinearConfig", "features", &[self.features, self.features])
    }

    construct! {
        /// Builds the layer.
        seeded(device: &Device) -> DenseLinear
    }

    fn build(&self, device: &Device) -> DenseLinear {
        let matrix = DenseMatrix::rotation(self.features, initial::seed(self.seed, device), device);
        LinearMap::new(matrix).with_bias(Tensor::zeros([self.features], device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_that_became_singular_has_no_nan() {
        let device = Device::flex().autodiff();
        let entries = Tensor::from_data([[1.0, 2.0], [2.0, 4.0]], &device);
        let dense = DenseMatrix { entries: Param::from_tensor(entries) };
        assert_eq!(dense.log_abs_det().into_scalar::<f32>(), f32::NEG_INFINITY);
        assert_eq!(dense.inverse_matrix().min().into_scalar::<f32>(), f32::INFINITY);
    }
}
