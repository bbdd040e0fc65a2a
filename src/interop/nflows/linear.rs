//! Linear layers.

use burn::tensor::{Device, Tensor};

use super::permutation_in;
use crate::bijector::{
    AnyBijector, ChannelMatrix, DenseLinear, DenseMatrix, Householder, InvertibleConv1x1,
    InvertibleMatrix, LinearMap, LuFactors, LuLinear, QrFactors, QrLinear, Reflections, SvdFactors,
    SvdLinear,
};
use crate::error::Result;
use crate::interop::scope::{Scope, whole};
use crate::interop::{StateDict, same_width};
use crate::math::from_f64;

/// Loads an `LULinear` with its default `eps`.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes.
pub fn lu_linear(dict: &StateDict, prefix: &str, device: &Device) -> Result<LuLinear> {
    whole(dict, prefix, |scope| Ok(lu_linear_in(scope, device)?.0))
}

/// Loads a `OneByOneConvolution`.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, nflows}};
///
/// let mut dict = StateDict::new();
/// dict.insert("permutation._permutation", HostTensor::ints([1, 0], [2]));
/// dict.insert("lower_entries", HostTensor::floats([0.0], [1]));
/// dict.insert("upper_entries", HostTensor::floats([0.0], [1]));
/// dict.insert("unconstrained_upper_diag", HostTensor::floats([0.5; 2], [2]));
/// dict.insert("bias", HostTensor::floats([7.0, 8.0], [2]));
/// let device = Device::flex();
/// let layer = nflows::one_by_one_convolution(&dict, "", &device)?;
/// let (z, _) = layer.forward(Tensor::<4>::zeros([1, 2, 1, 1], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [7.0, 8.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn one_by_one_convolution(
    dict: &StateDict,
    prefix: &str,
    device: &Device,
) -> Result<InvertibleConv1x1> {
    whole(dict, prefix, |scope| Ok(one_by_one_in(scope, device)?.0))
}

/// Loads a `NaiveLinear`.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes, or if the matrix is singular.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, nflows}};
///
/// let mut dict = StateDict::new();
/// dict.insert("_weight", HostTensor::floats([0.0, 2.0, 1.0, 1.0], [2, 2]));
/// dict.insert("bias", HostTensor::floats([0.0, 9.0], [2]));
/// let device = Device::flex();
/// let layer = nflows::naive_linear(&dict, "", &device)?;
/// let (z, _) = layer.forward(Tensor::<2>::from_data([[3.0, 5.0]], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [10.0, 17.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn naive_linear(dict: &StateDict, prefix: &str, device: &Device) -> Result<DenseLinear> {
    whole(dict, prefix, |scope| naive_linear_in(scope, device))
}

/// Loads a `HouseholderSequence`.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, nflows}};
///
/// let mut dict = StateDict::new();
/// dict.insert("q_vectors", HostTensor::floats([1.0, -1.0], [1, 2]));
/// let device = Device::flex();
/// let layer = nflows::householder(&dict, "", &device)?;
/// let (z, _) = layer.forward(Tensor::<2>::from_data([[3.0, 5.0]], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [5.0, 3.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn householder(dict: &StateDict, prefix: &str, device: &Device) -> Result<Householder> {
    whole(dict, prefix, |scope| Ok(LinearMap::new(reflections_in(scope, device)?)))
}

/// Loads a `QRLinear`.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, nflows}};
///
/// let mut dict = StateDict::new();
/// dict.insert("orthogonal.q_vectors", HostTensor::floats([1.0, -1.0], [1, 2]));
/// dict.insert("upper_entries", HostTensor::floats([2.0], [1]));
/// dict.insert("log_upper_diag", HostTensor::floats([0.0; 2], [2]));
/// dict.insert("bias", HostTensor::floats([0.0; 2], [2]));
/// let device = Device::flex();
/// let layer = nflows::qr_linear(&dict, "", &device)?;
/// let (z, _) = layer.forward(Tensor::<2>::from_data([[3.0, 5.0]], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [5.0, 13.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn qr_linear(dict: &StateDict, prefix: &str, device: &Device) -> Result<QrLinear> {
    whole(dict, prefix, |scope| qr_linear_in(scope, device))
}

/// Loads an `SVDLinear` with its default `eps`.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, nflows}};
///
/// let mut dict = StateDict::new();
/// dict.insert("orthogonal_1.q_vectors", HostTensor::floats([1.0, -1.0], [1, 2]));
/// dict.insert("orthogonal_2.q_vectors", HostTensor::floats([1.0, -1.0], [1, 2]));
/// dict.insert("unconstrained_diagonal", HostTensor::floats([0.5; 2], [2]));
/// dict.insert("bias", HostTensor::floats([7.0, 8.0], [2]));
/// let device = Device::flex();
/// let layer = nflows::svd_linear(&dict, "", &device)?;
/// let (z, _) = layer.forward(Tensor::<2>::zeros([1, 2], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [7.0, 8.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn svd_linear(dict: &StateDict, prefix: &str, device: &Device) -> Result<SvdLinear> {
    whole(dict, prefix, |scope| svd_linear_in(scope, device))
}

/// The linear layer in this scope and its number of features, or `None` if the scope holds no linear layer.
pub(super) fn linear_in(
    scope: &Scope<'_>,
    device: &Device,
) -> Result<Option<(AnyBijector, usize)>> {
    fn any<M: InvertibleMatrix>(
        wrap: fn(LinearMap<M>) -> AnyBijector,
        layer: LinearMap<M>,
    ) -> Option<(AnyBijector, usize)> {
        let features = layer.matrix().size();
        Some((wrap(layer), features))
    }
    Ok(if scope.has("unconstrained_upper_diag") {
        any(AnyBijector::LuLinear, lu_linear_in(scope, device)?.0)
    } else if scope.has("_weight") {
        any(AnyBijector::DenseLinear, naive_linear_in(scope, device)?)
    } else if scope.has("q_vectors") {
        any(AnyBijector::Householder, LinearMap::new(reflections_in(scope, device)?))
    } else if scope.has("log_upper_diag") {
        any(AnyBijector::QrLinear, qr_linear_in(scope, device)?)
    } else if scope.has("unconstrained_diagonal") {
        any(AnyBijector::SvdLinear, svd_linear_in(scope, device)?)
    } else {
        None
    })
}

fn vector_in(scope: &Scope<'_>, name: &str, size: usize, device: &Device) -> Result<Tensor<1>> {
    Ok(from_f64(scope.floats(name, &[size])?.to_vec(), [size], device))
}

fn naive_linear_in(scope: &Scope<'_>, device: &Device) -> Result<DenseLinear> {
    let (_, [size, _]) = scope.floats_of_rank("_weight")?;
    let weight = scope.floats("_weight", &[size, size])?.to_vec();
    let matrix = DenseMatrix::from_weights(from_f64(weight, [size, size], device));
    let layer = LinearMap::new(scope.named("_weight", matrix)?);
    Ok(layer.with_bias(vector_in(scope, "bias", size, device)?))
}

fn reflections_in(scope: &Scope<'_>, device: &Device) -> Result<Reflections> {
    let (vectors, shape) = scope.floats_of_rank("q_vectors")?;
    Ok(Reflections::from_weights(from_f64::<2>(vectors.to_vec(), shape, device)))
}

fn qr_linear_in(scope: &Scope<'_>, device: &Device) -> Result<QrLinear> {
    let rotation = reflections_in(&scope.within("orthogonal"), device)?;
    let size = rotation.size();
    let entries = scope.floats("upper_entries", &[size * (size - 1) / 2])?;
    let upper = from_f64(square(size, &[], entries), [size, size], device);
    let diagonal = vector_in(scope, "log_upper_diag", size, device)?;
    let bias = vector_in(scope, "bias", size, device)?;
    Ok(LinearMap::new(QrFactors::from_weights(rotation, upper, diagonal)).with_bias(bias))
}

fn svd_linear_in(scope: &Scope<'_>, device: &Device) -> Result<SvdLinear> {
    let (first, second) = (scope.within("orthogonal_1"), scope.within("orthogonal_2"));
    let (left, right) = (reflections_in(&first, device)?, reflections_in(&second, device)?);
    let size = left.size();
    same_width(&second.full("q_vectors"), Some(size), right.size())?;
    let diagonal = vector_in(scope, "unconstrained_diagonal", size, device)?;
    let bias = vector_in(scope, "bias", size, device)?;
    Ok(LinearMap::new(SvdFactors::from_weights(left, diagonal, right)).with_bias(bias))
}

/// A square matrix in row-major order, from its entries below and above the diagonal. The entries are ordered row by
/// row, like `tril_indices` and `triu_indices` of numpy.
fn square(size: usize, lower: &[f64], upper: &[f64]) -> Vec<f64> {
    let (mut lower, mut upper) = (lower.iter(), upper.iter());
    let mut values = vec![0.0; size * size];
    for (at, value) in values.iter_mut().enumerate() {
        let from = match (at % size).cmp(&(at / size)) {
            std::cmp::Ordering::Less => lower.next(),
            std::cmp::Ordering::Greater => upper.next(),
            std::cmp::Ordering::Equal => None,
        };
        *value = from.copied().unwrap_or(0.0);
    }
    values
}

pub(in crate::interop) fn lu_linear_in(
    scope: &Scope<'_>,
    device: &Device,
) -> Result<(LuLinear, usize)> {
    let (matrix, bias) = lu_in(scope, device)?;
    let features = matrix.size();
    Ok((LinearMap::new(matrix).with_bias(bias), features))
}

pub(super) fn one_by_one_in(
    scope: &Scope<'_>,
    device: &Device,
) -> Result<(InvertibleConv1x1, usize)> {
    let part = scope.within("permutation");
    let (permutation, width) = permutation_in(&part, device)?;
    let (matrix, bias) = lu_in(scope, device)?;
    same_width(&part.full("_permutation"), Some(matrix.size()), width)?;
    let matrix = ChannelMatrix::Lu(matrix.permuted(permutation));
    Ok((LinearMap::new(matrix).with_bias(bias), width))
}

/// The factors and the bias of an `LULinear`.
fn lu_in(scope: &Scope<'_>, device: &Device) -> Result<(LuFactors, Tensor<1>)> {
    let (diagonal, [size]) = scope.floats_of_rank("unconstrained_upper_diag")?;
    let entries = |name| scope.floats(name, &[size * (size - 1) / 2]);
    let factors = square(size, entries("lower_entries")?, entries("upper_entries")?);
    let factors = from_f64(factors, [size, size], device);
    let diagonal = from_f64(diagonal.to_vec(), [size], device);
    let bias = vector_in(scope, "bias", size, device)?;
    Ok((LuFactors::from_weights(factors, diagonal, None), bias))
}
