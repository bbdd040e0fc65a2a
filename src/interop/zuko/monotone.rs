//! Flows of scalar maps without an inverse in closed form.

use burn::tensor::Device;

use super::layers::{elementwise_context_in, elementwise_in};
use super::{Options, Univariate, autoregressive_or_elementwise, on_normal};
use crate::bijector::{AnyBijector, LinearMap, RotationMatrix};
use crate::distribution::DiagNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::interop::StateDict;
use crate::math::from_f64;

/// The `bound` of the `SoftclipTransform` between the layers of `NAF`, `UNAF` and `SOSPF`.
const CLIP: f64 = 11.0;

/// Loads a `BPF`, in all forms that [`nsf`](super::nsf) supports.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if a layer saved nothing or does not fit its neighbours.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// // One layer of one feature: equal rises are the identity.
/// let mut dict = StateDict::new();
/// dict.insert("transform.transforms.0.phi.0", HostTensor::floats([0.0; 5], [1, 5]));
/// let device = Device::flex();
/// let flow = zuko::bpf(&dict, &zuko::Options::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[1.5]], &device)).into_scalar::<f32>();
/// assert!((z - 1.5).abs() < 1e-5);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn bpf(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    on_normal(dict, None, device, |part, features| {
        let map = Univariate::Bernstein { bound: 5.0 };
        autoregressive_or_elementwise(part, &map, features, options, device)
    })
}

/// Loads an `SOSPF` of polynomials with this `degree`, which zuko does not save (4 by default).
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if a layer saved nothing or does not fit its neighbours.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// // One layer of one feature: two polynomials of degree 1, and a constant.
/// let mut dict = StateDict::new();
/// dict.insert("transform.transforms.0.phi.0", HostTensor::floats([0.0; 4], [1, 2, 2]));
/// dict.insert("transform.transforms.0.phi.1", HostTensor::floats([0.5], [1]));
/// let device = Device::flex();
/// let flow = zuko::sospf(&dict, 1, &zuko::Options::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[2.0]], &device)).into_scalar::<f32>();
/// assert!((z - 2.502).abs() < 1e-5); // slope 1.001
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn sospf(
    dict: &StateDict,
    degree: usize,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    on_normal(dict, Some(CLIP), device, |part, features| {
        let map = Univariate::SumOfSquares { degree };
        autoregressive_or_elementwise(part, &map, features, options, device)
    })
}

/// Loads a `NAF`, also with random orders, residual networks, or a context.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if a layer saved nothing or does not fit its neighbours.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// // One layer of one feature with one signal: 2 units, of which each bends one way.
/// let mut dict = StateDict::new();
/// let prefix = "transform.transforms.0";
/// dict.insert(format!("{prefix}.phi.0"), HostTensor::floats([0.0], [1, 1]));
/// let network = format!("{prefix}.univariate.network");
/// dict.insert(format!("{network}.0.weight"), HostTensor::floats([1.0; 4], [1, 2, 2]));
/// dict.insert(format!("{network}.0.bias"), HostTensor::floats([0.0; 2], [1, 2]));
/// dict.insert(format!("{network}.2.weight"), HostTensor::floats([1.0; 2], [1, 1, 2]));
/// dict.insert(format!("{network}.2.bias"), HostTensor::floats([0.0], [1, 1]));
/// let device = Device::flex();
/// let flow = zuko::naf(&dict, &zuko::Options::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[1.0]], &device)).into_scalar::<f32>();
/// assert!((z - (2.0 - (-1f32).exp())).abs() < 1e-5);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn naf(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    on_normal(dict, Some(CLIP), device, |part, features| {
        autoregressive_or_elementwise(part, &Univariate::Neural, features, options, device)
    })
}

/// Loads a `UNAF`, also with random orders, residual networks, or a context.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if a layer saved nothing or does not fit its neighbours.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// // One layer of one feature with one signal, whose integrand is 1.
/// let mut dict = StateDict::new();
/// let prefix = "transform.transforms.0";
/// dict.insert(format!("{prefix}.phi.0"), HostTensor::floats([0.0], [1, 1])); // signal
/// dict.insert(format!("{prefix}.phi.1"), HostTensor::floats([0.5], [1])); // constant
/// let network = format!("{prefix}.univariate.integrand");
/// dict.insert(format!("{network}.0.weight"), HostTensor::floats([1.0; 4], [1, 2, 2]));
/// dict.insert(format!("{network}.0.bias"), HostTensor::floats([0.0; 2], [1, 2]));
/// dict.insert(format!("{network}.2.weight"), HostTensor::floats([0.0; 2], [1, 1, 2]));
/// dict.insert(format!("{network}.2.bias"), HostTensor::floats([0.0], [1, 1]));
/// let device = Device::flex();
/// let flow = zuko::unaf(&dict, &zuko::Options::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[1.0]], &device)).into_scalar::<f32>();
/// assert!((z - 1.5).abs() < 1e-6);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn unaf(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    on_normal(dict, Some(CLIP), device, |part, features| {
        autoregressive_or_elementwise(part, &Univariate::Unconstrained, features, options, device)
    })
}

/// Loads a `GF`, without or with a context.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, or if a layer saved nothing or does not fit its neighbours.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// // One layer of two features, each of one kernel, which scales and shifts.
/// let mut dict = StateDict::new();
/// let prefix = "transform.transforms.0";
/// dict.insert(format!("{prefix}.phi.0"), HostTensor::floats([1.0, 0.0], [2, 1]));
/// dict.insert(format!("{prefix}.phi.1"), HostTensor::floats([0.0, 2f64.ln()], [2, 1]));
/// let device = Device::flex();
/// let flow = zuko::gf(&dict, &zuko::Options::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[0.5, 0.5]], &device));
/// let z = z.into_data().try_to_vec_as::<f32>().unwrap();
/// assert!((z[0] - 1.5).abs() < 1e-4 && (z[1] - 1.0).abs() < 1e-4);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn gf(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    let map = Univariate::Gaussianization;
    on_normal(dict, None, device, |part, features| {
        if part.has("A") {
            let (a, [rows, _]) = part.floats_of_rank::<2>("A")?;
            part.floats("A", &[rows, rows])?;
            let a = from_f64(a.to_vec(), [rows, rows], device);
            return Ok((
                AnyBijector::Rotation(LinearMap::new(RotationMatrix::from_weights(a))),
                rows,
            ));
        }
        if part.has_part("phi") {
            let (layer, features) = elementwise_in(part, &map, options, device)?;
            return Ok((AnyBijector::Elementwise(layer), features));
        }
        let Some(features) = features else {
            let reason = "does not fix the number of features; add the tensor `base.loc`".into();
            return Err(part.wrong("hyper", reason));
        };
        let layer = elementwise_context_in(part, &map, features, options, device)?;
        Ok((AnyBijector::Elementwise(layer), features))
    })
}
