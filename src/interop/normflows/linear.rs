//! Permutations, linear layers and `ActNorm`.

use burn::tensor::{Device, Tensor};

use crate::bijector::{
    ActNorm, ActNormConfig, AnyBijector, ChannelMatrix, DenseMatrix, Inverse, InvertibleConv1x1,
    InvertibleMatrix, LinearMap, LuFactors, LuLinear, Permutation,
};
use crate::error::Result;
use crate::interop::nflows::{lu_linear_in, permutation_in};
use crate::interop::scope::{Scope, whole};
use crate::interop::{StateDict, same_width};
use crate::math::from_f64;

/// The layer of `Permute(features, "swap")`: from latent to data, the second half comes first.
///
/// # Errors
///
/// Fails if `features` is 0.
pub fn permute_swap(features: usize, device: &Device) -> Result<Permutation> {
    let half = features - features / 2;
    let order: Vec<usize> = (half..features).chain(0..half).collect();
    Permutation::given(&order, device)
}

/// Loads a `Permute` with mode `shuffle`.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if an index is missing.
pub fn permute_shuffle(dict: &StateDict, prefix: &str, device: &Device) -> Result<Permutation> {
    whole(dict, prefix, |scope| Ok(shuffle_in(scope, device)?.0))
}

/// Loads an `LULinearPermute`: from data to latent, the permutation comes first.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, normflows}};
///
/// let mut dict = StateDict::new();
/// dict.insert("permutation._permutation", HostTensor::ints([1, 0], [2]));
/// dict.insert("linear.lower_entries", HostTensor::floats([0.0], [1]));
/// dict.insert("linear.upper_entries", HostTensor::floats([0.0], [1]));
/// dict.insert("linear.unconstrained_upper_diag", HostTensor::floats([0.5; 2], [2]));
/// dict.insert("linear.bias", HostTensor::floats([7.0, 8.0], [2]));
/// let device = Device::flex();
/// let layer = normflows::lu_linear_permute(&dict, "", &device)?;
/// let (z, _) = layer.forward(Tensor::<2>::zeros([1, 2], &device), None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [7.0, 8.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn lu_linear_permute(
    dict: &StateDict,
    prefix: &str,
    device: &Device,
) -> Result<(Permutation, LuLinear)> {
    whole(dict, prefix, |scope| Ok(lu_linear_permute_in(scope, device)?.0))
}

/// Loads an `InvertibleAffine`: rows times `P L U`, or times a plain matrix (`use_lu=False`).
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, if the matrix is singular, if `P` is not a permutation, or
/// if a sign is not 1 or -1.
pub fn invertible_affine(dict: &StateDict, prefix: &str, device: &Device) -> Result<AnyBijector> {
    whole(dict, prefix, |scope| Ok(invertible_affine_in(scope, device)?.0))
}

/// Loads an `Invertible1x1Conv`, with LU factors or a plain matrix (`use_lu=False`).
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, if the matrix is singular, if `P` is not a permutation, or
/// if a sign is not 1 or -1.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, normflows}};
///
/// let mut dict = StateDict::new();
/// dict.insert("W", HostTensor::floats([0.0, 2.0, 1.0, 1.0], [2, 2]));
/// let device = Device::flex();
/// let layer = normflows::invertible_conv(&dict, "", &device)?;
/// let x = Tensor::<4>::from_data([[[[3.0]], [[5.0]]]], &device);
/// let (z, _) = layer.forward(x, None);
/// let expected = Tensor::<4>::from_data([[[[10.0]], [[8.0]]]], &device);
/// z.into_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn invertible_conv(
    dict: &StateDict,
    prefix: &str,
    device: &Device,
) -> Result<InvertibleConv1x1> {
    whole(dict, prefix, |scope| Ok(invertible_conv_in(scope, device)?.0))
}

/// Loads an `ActNorm`, for vectors and images.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes.
pub fn act_norm(dict: &StateDict, prefix: &str, device: &Device) -> Result<Inverse<ActNorm>> {
    whole(dict, prefix, |scope| Ok(Inverse::new(act_norm_in(scope, device)?.0)))
}

pub(super) fn shuffle_in(scope: &Scope<'_>, device: &Device) -> Result<(Permutation, usize)> {
    let back = scope.indices("inv_perm")?;
    let layer = scope.named("inv_perm", Permutation::given(&back, device))?;
    scope.expect_inverse("perm", &back, &scope.indices("perm")?)?;
    Ok((layer, back.len()))
}

pub(super) fn lu_linear_permute_in(
    scope: &Scope<'_>,
    device: &Device,
) -> Result<((Permutation, LuLinear), usize)> {
    let (permutation, width) = permutation_in(&scope.within("permutation"), device)?;
    let (linear, features) = lu_linear_in(&scope.within("linear"), device)?;
    same_width(&scope.full("permutation._permutation"), Some(features), width)?;
    Ok(((permutation, linear), features))
}

pub(super) fn invertible_affine_in(
    scope: &Scope<'_>,
    device: &Device,
) -> Result<(AnyBijector, usize)> {
    // A row times a matrix is the transposed matrix times a column.
    if scope.has("W") {
        let (matrix, [features, _]) = scope.floats_of_rank("W")?;
        scope.floats("W", &[features, features])?;
        let column = |k: usize| matrix[k..].iter().step_by(features).copied();
        let transposed = (0..features).flat_map(column).collect();
        let weight = from_f64(transposed, [features, features], device);
        let matrix = scope.named("W", DenseMatrix::from_weights(weight))?;
        return Ok((AnyBijector::DenseLinear(LinearMap::new(matrix)), features));
    }
    let (order, matrix) = plu_in(scope, device)?;
    let features = matrix.size();
    let permutation = scope.named("P", Permutation::given(&order, device))?;
    let linear = LinearMap::new(matrix.transposed());
    let layers = vec![AnyBijector::Permutation(permutation), AnyBijector::LuLinear(linear)];
    Ok((AnyBijector::Stack(layers), features))
}

pub(super) fn invertible_conv_in(
    scope: &Scope<'_>,
    device: &Device,
) -> Result<(InvertibleConv1x1, usize)> {
    if scope.has("W") {
        let (matrix, [size, _]) = scope.floats_of_rank("W")?;
        scope.floats("W", &[size, size])?;
        let weight = from_f64(matrix.to_vec(), [size, size], device);
        let matrix = scope.named("W", DenseMatrix::from_weights(weight))?;
        return Ok((LinearMap::new(ChannelMatrix::Plain(matrix)), size));
    }
    let (columns, matrix) = plu_in(scope, device)?;
    let mut rows = vec![0; columns.len()];
    columns.iter().enumerate().for_each(|(column, &row)| rows[row] = column);
    let permutation = scope.named("P", Permutation::given(&rows, device))?;
    let matrix = ChannelMatrix::Lu(matrix.permuted_last(permutation));
    Ok((LinearMap::new(matrix), rows.len()))
}

/// The row index of the 1 in each column of `P`, and the factors `L U`.
fn plu_in(scope: &Scope<'_>, device: &Device) -> Result<(Vec<usize>, LuFactors)> {
    let (diagonal, [features]) = scope.floats_of_rank("log_S")?;
    let square = |name| scope.floats(name, &[features, features]);
    let (lower, upper, rows) = (square("L")?, square("U")?, square("P")?);
    let is_eye = |(at, v): (usize, &f64)| *v == f64::from(at % (features + 1) == 0);
    if !square("eye")?.iter().enumerate().all(is_eye) {
        return Err(scope.wrong("eye", "is not the identity".into()));
    }
    let sign = scope.floats("sign_S", &[features])?;
    if let Some(at) = sign.iter().position(|v| v.abs() != 1.0) {
        return Err(scope.wrong("sign_S", format!("element {at} is {}, not 1 or -1", sign[at])));
    }
    // Rows times `P`: position `j` receives the feature whose row holds the 1 of column `j`.
    let source = |column: usize| (0..features).find(|row| rows[row * features + column] == 1.0);
    let order: Option<Vec<usize>> = (0..features).map(source).collect();
    let ones = rows.iter().filter(|v| **v != 0.0).count();
    let Some(order) = order.filter(|_| ones == features) else {
        return Err(scope.wrong("P", "is not a permutation matrix".into()));
    };
    // The permutation is checked before it is used as a list of indices.
    scope.named("P", Permutation::given(&order, device))?;

    let entry = |at: usize| if at % features < at / features { lower[at] } else { upper[at] };
    let factors: Vec<f64> = (0..features * features).map(entry).collect();
    let vector = |values: &[f64]| from_f64(values.to_vec(), [features], device);
    let factors = from_f64(factors, [features, features], device);
    Ok((order, LuFactors::from_weights(factors, vector(diagonal), Some(vector(sign)))))
}

/// Reads the layer in the direction latent to data.
pub(super) fn act_norm_in(scope: &Scope<'_>, device: &Device) -> Result<(ActNorm, usize)> {
    let (found, features) = scale_and_shift_in(scope, device)?;
    let layer = match found {
        Some((log_scale, shift)) => ActNorm::from_weights(log_scale, shift),
        None => ActNormConfig::new(features).init(device),
    };
    Ok((layer, features))
}

/// The log-scale and shift of an ActNorm in the direction latent to data, or `None` before its first batch, and its
/// number of features.
pub(super) fn scale_and_shift_in(
    scope: &Scope<'_>,
    device: &Device,
) -> Result<(Option<(Tensor<1>, Tensor<1>)>, usize)> {
    let shape = scope.tensor("s", None)?.shape().to_vec();
    let (log_scale, shift) = (scope.floats("s", &shape)?, scope.floats("t", &shape)?);
    let features = log_scale.len();
    if shape.get(..2) != Some(&[1, features]) || features == 0 {
        let reason = format!("needs shape [1, features, 1..], found {shape:?}");
        return Err(scope.wrong("s", reason));
    }
    // Before the first batch, normflows saves zeros; the loaded layer is then still uninitialised.
    let untouched = log_scale.iter().chain(shift).all(|v| *v == 0.0);
    if !scope.flag("data_dep_init_done")? && untouched {
        return Ok((None, features));
    }
    let vector = |values: &[f64]| from_f64(values.to_vec(), [features], device);
    Ok((Some((vector(log_scale), vector(shift))), features))
}
