//! Planar, radial and residual layers.

use burn::tensor::Device;

use crate::bijector::{Inverse, Planar, PlanarConstraint, Radial, Residual, RidgeActivation};
use crate::error::{Error, Result};
use crate::interop::StateDict;
use crate::interop::dense::Dense;
use crate::interop::scope::{Scope, whole};
use crate::math::from_f64;

/// Loads a `Planar` of vectors. With `act="leaky_relu"`, the slope is 0.2 in normflows.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::{Bijector, RidgeActivation};
/// use burn_flows::interop::{HostTensor, StateDict, normflows};
///
/// let mut dict = StateDict::new();
/// dict.insert("w", HostTensor::floats([1.0, 0.0], [1, 2]));
/// dict.insert("u", HostTensor::floats([0.0, 3.0], [1, 2]));
/// dict.insert("b", HostTensor::floats([0.0], [1]));
/// let device = Device::flex();
/// let layer = normflows::planar(&dict, "", RidgeActivation::LeakyRelu { slope: 0.2 }, &device)?;
/// let x = layer.inverse(Tensor::<2>::from_data([[1.0, 0.0]], &device), None);
/// assert!((x.max().into_scalar::<f32>() - 3.0).abs() < 1e-6);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn planar(
    dict: &StateDict,
    prefix: &str,
    activation: RidgeActivation,
    device: &Device,
) -> Result<Inverse<Planar>> {
    activation.validate()?;
    whole(dict, prefix, |scope| Ok(Inverse::new(planar_in(scope, activation, device)?.0)))
}

/// Loads a `Radial` of vectors.
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
/// dict.insert("z_0", HostTensor::floats([0.0, 0.0], [1, 2]));
/// dict.insert("alpha", HostTensor::floats([1.0], [1]));
/// dict.insert("beta", HostTensor::floats([0.0], [1]));
/// dict.insert("d", HostTensor::ints([2], []));
/// let device = Device::flex();
/// let layer = normflows::radial(&dict, "", &device)?;
/// let x = layer.inverse(Tensor::<2>::from_data([[0.6, 0.8]], &device), None);
/// let factor = 1.0 + (2f64.ln() - 1.0) / 2.0;
/// let expected = Tensor::<2>::from_data([[0.6 * factor, 0.8 * factor]], &device);
/// x.into_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn radial(dict: &StateDict, prefix: &str, device: &Device) -> Result<Inverse<Radial>> {
    whole(dict, prefix, |scope| Ok(Inverse::new(radial_in(scope, device)?.0)))
}

/// Loads a `Residual` of a `LipschitzMLP` with this `lipschitz_const`. The direction is data to latent for
/// `reverse=True`, the default of normflows. For `reverse=False`, take the [`Inverse`] of the layer.
///
/// In this crate the log-determinant is exact; in normflows it is an estimate, except for two features. The singular
/// vectors are loaded from the file, and they follow the weights during training.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if the constant is not in (0, 1).
///
/// # Example
///
/// ```
/// use burn_flows::{Error, interop::{StateDict, normflows}};
///
/// let device = burn::tensor::Device::flex();
/// let missing = normflows::residual(&StateDict::new(), "flows.0", 0.9, &device);
/// assert!(matches!(missing, Err(Error::MissingTensor { .. })));
/// ```
pub fn residual(
    dict: &StateDict,
    prefix: &str,
    lipschitz: f64,
    device: &Device,
) -> Result<Residual> {
    whole(dict, prefix, |scope| Ok(residual_in(scope, lipschitz, device)?.0))
}

/// Reads the layer in the direction latent to data.
pub(super) fn planar_in(
    scope: &Scope<'_>,
    activation: RidgeActivation,
    device: &Device,
) -> Result<(Planar, usize)> {
    let (weight, [rows, features]) = scope.floats_of_rank("w")?;
    scope.floats("w", &[1, features])?;
    let direction = scope.floats("u", &[rows, features])?;
    let bias = scope.floats("b", &[1])?;
    let vector = |values: &[f64]| from_f64(values.to_vec(), [values.len()], device);
    let (weight, direction, bias) = (vector(weight), vector(direction), vector(bias));
    let constraint = PlanarConstraint::Softplus;
    Ok((Planar::from_weights(weight, direction, bias, activation, constraint)?, features))
}

/// Reads the layer in the direction latent to data.
pub(super) fn radial_in(scope: &Scope<'_>, device: &Device) -> Result<(Radial, usize)> {
    let (centre, [_, features]) = scope.floats_of_rank("z_0")?;
    scope.floats("z_0", &[1, features])?;
    let size = scope.tensor("d", Some(&[]))?.as_ints();
    if size != Some(&[features as i64]) {
        return Err(scope.wrong("d", format!("must be the number of features, {features}")));
    }
    let vector = |values: &[f64]| from_f64(values.to_vec(), [values.len()], device);
    let (alpha, beta) = (scope.floats("alpha", &[1])?, scope.floats("beta", &[1])?);
    Ok((Radial::from_weights(vector(centre), vector(alpha), vector(beta)), features))
}

/// Reads the layer, in the direction data to latent for `reverse=True`.
pub(super) fn residual_in(
    scope: &Scope<'_>,
    lipschitz: f64,
    device: &Device,
) -> Result<(Residual, usize)> {
    if !(lipschitz > 0.0 && lipschitz < 1.0) {
        let reason = format!("must be in (0, 1), found {lipschitz}");
        return Err(Error::config("normflows::residual", "lipschitz", reason));
    }
    let block = scope.within("iresblock");
    // These tensors belong to the estimator of the log-determinant.
    for name in ["geom_p", "lamb"] {
        block.floats(name, &[])?;
    }
    for name in ["last_firmom", "last_secmom"] {
        block.floats(name, &[1])?;
    }
    block.floats_of_rank::<1>("last_n_samples")?;

    let net = block.within("nnet.net");
    let numbers = block.numbered("nnet.net");
    let (mut layers, mut sharpness) = (vec![], vec![]);
    let mut width = None;
    for number in (1..numbers.len().max(2)).step_by(2) {
        let beta = net.floats(&format!("{}.beta", number - 1), &[1])?;
        sharpness.push(from_f64(beta.to_vec(), [1], device));
        let dense = Dense::read(&net, &number.to_string())?;
        let (inputs, outputs) = (dense.inputs(), dense.outputs());
        dense.expect(outputs, width.unwrap_or(inputs))?;
        width = Some(outputs);
        let vector = |name: &str, count: usize| {
            let values = net.floats(&format!("{number}.{name}"), &[count])?;
            Ok::<_, Error>(from_f64(values.to_vec(), [count], device))
        };
        // The scale is the singular value, which follows from the other tensors.
        net.floats(&format!("{number}.scale"), &[])?;
        layers.push((dense.linear(device), vector("v", inputs)?, vector("u", outputs)?));
    }
    let features = layers[0].0.weight.lazy_shape()[0];
    if width != Some(features) {
        let last = format!("{}.weight", 2 * layers.len() - 1);
        return Err(net.wrong(&last, format!("must have {features} outputs, one for each feature")));
    }
    Ok((Residual::from_layers(layers, sharpness, lipschitz), features))
}
