//! zuko 1.6, whose `flow.transform` is data to latent as in this crate.
//!
//! | function | tensors |
//! | --- | --- |
//! | [`coupling`] | `mask`, `hyper.0`, `hyper.2`, .. (`GeneralCouplingTransform`) |
//! | [`autoregressive`] | `order`, `hyper.0`, .. with masks (`MaskedAutoregressiveTransform`) |
//! | [`elementwise`] | the arguments of a [`Univariate`], or `phi.0`, .. (`ElementWiseTransform`) |
//! | [`real_nvp`] | `transform.transforms.0`, .. of affine couplings, and `base` |
//! | [`maf`] | `transform.transforms.0`, .. of affine autoregressive layers, and `base` |
//! | [`nsf`] | `transform.transforms.0`, .. of autoregressive splines, or couplings by `passes=2`, and `base` |
//! | [`ncsf`] | `transform.transforms.0`, .. of autoregressive circular splines, and a uniform `base` |
//! | [`bpf`], [`sospf`], [`naf`], [`unaf`] | `transform.transforms.0`, .. of autoregressive Bernstein or sum-of-squares polynomials or monotone networks, and `base` |
//! | [`cnf`] | `transform.ode.0`, `transform.ode.2`, .., `transform.freqs`, `transform.times`, and `base` |
//! | [`gf`] | `transform.transforms.0`, .. of elementwise Gaussianizations and rotations `A`, and `base` |
//!
//! In zuko, a layer of one feature is an `ElementWiseTransform`; the flows read it, too.
//!
//! Not supported, with an error that names a tensor:
//!
//! - `normalize=True` and `bias=False` of networks
//! - activations with weights (`PReLU`)
//! - an `adjacency` that cuts connections to the context
//! - a `network` of `NAF` or `UNAF` without hidden layers
//! - `degree=0` of `SOSPF`
//! - `bins=1` of `NSF` and `NCSF`
//!
//! `exact=False` of `CNF` saves the same tensors as `exact=True` and is read with the exact trace. This module has no
//! function for `GMM`, Bayesian networks, mixtures and other flows made of parts.
//!
//! Write prefixes without their last dot. An empty prefix means the whole dictionary.

mod cnf;
mod layers;
mod monotone;
mod univariate;

pub use cnf::{CnfOptions, cnf};
pub use layers::{autoregressive, coupling, elementwise};
pub use monotone::{bpf, gf, naf, sospf, unaf};
pub use univariate::Univariate;

use burn::nn::EluConfig;
use burn::nn::activation::ActivationConfig as BurnActivation;
use burn::tensor::Device;

use self::layers::{autoregressive_in, coupling_in, elementwise_context_in, elementwise_in};
use super::scope::{Scope, whole};
use super::{StateDict, same_width, standard_base};
use crate::bijector::{AnyBijector, Softclip};
use crate::conditioner::ActivationConfig;
use crate::config::config;
use crate::distribution::{DiagNormal, Uniform};
use crate::error::Result;
use crate::flow::Flow;
use crate::math::from_f64;

config! {
/// The settings that zuko does not save, with the defaults of zuko. Set each field to the value used for training.
///
/// ```
/// use burn_flows::interop::zuko;
///
/// // zuko.flows.NSF(.., slope=1e-2)
/// let options = zuko::Options::new().with_slope(1e-2);
/// assert_eq!(zuko::Options::new().slope, 1e-3);
/// # let _ = options;
/// ```
pub struct Options {
    /// `slope` of the scalar maps.
    #[config(default = 1e-3)]
    pub slope: f64,
    /// `activation` of the hyper networks.
    #[config(default = ActivationConfig::Relu)]
    pub activation: ActivationConfig,
    /// `activation` of the `network` of `UNAF`.
    #[config(default = ActivationConfig::Burn(BurnActivation::Elu(EluConfig::new())))]
    pub integrand_activation: ActivationConfig,
    /// Whether the autoregressive layers have an `adjacency`. Set it for such layers, because they save no order.
    #[config(default = false)]
    pub adjacency: bool,
}
}

/// Loads a `RealNVP`, which zuko also calls `NICE`: the couplings of both are affine.
///
/// The base is fixed, as in zuko.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes, or if a layer saved nothing or does not fit its neighbours.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// // One coupling of two features: the first decides shift and scale of the second.
/// let mut dict = StateDict::new();
/// let prefix = "transform.transforms.0";
/// dict.insert(format!("{prefix}.mask"), HostTensor::bools([true, false], [2]));
/// dict.insert(format!("{prefix}.hyper.0.weight"), HostTensor::floats([1.0], [1, 1]));
/// dict.insert(format!("{prefix}.hyper.0.bias"), HostTensor::floats([0.0], [1]));
/// dict.insert(format!("{prefix}.hyper.2.weight"), HostTensor::floats([0.5, 0.0], [2, 1]));
/// dict.insert(format!("{prefix}.hyper.2.bias"), HostTensor::floats([0.0, 0.0], [2]));
/// let device = Device::flex();
/// let flow = zuko::real_nvp(&dict, &zuko::Options::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[2.0, 3.0]], &device));
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [2.0, 4.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn real_nvp(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    let map = Univariate::Affine;
    on_normal(dict, None, device, |part, features| {
        if let Some(found) = elementwise_of_one(part, &map, features, options, device)? {
            return Ok(found);
        }
        let (layer, features) = coupling_in(part, &map, options, device)?;
        Ok((AnyBijector::Coupling(layer), features))
    })
}

/// Loads an `MAF` with affine transforms, also with random orders, residual networks, or a context.
///
/// The base is fixed, as in zuko.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes, or if a layer saved nothing or does not fit its neighbours.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// // One layer of two features: the second one is shifted by half the first.
/// let mut dict = StateDict::new();
/// let prefix = "transform.transforms.0";
/// dict.insert(format!("{prefix}.order"), HostTensor::ints([0, 1], [2]));
/// dict.insert(format!("{prefix}.hyper.0.weight"), HostTensor::floats([1.0, 9.0], [1, 2]));
/// dict.insert(format!("{prefix}.hyper.0.bias"), HostTensor::floats([0.0], [1]));
/// dict.insert(format!("{prefix}.hyper.0.mask"), HostTensor::bools([true, false], [1, 2]));
/// dict.insert(format!("{prefix}.hyper.2.weight"), HostTensor::floats([9.0, 9.0, 0.5, 0.0], [4, 1]));
/// dict.insert(format!("{prefix}.hyper.2.bias"), HostTensor::floats([0.0; 4], [4]));
/// dict.insert(format!("{prefix}.hyper.2.mask"), HostTensor::bools([false, false, true, true], [4, 1]));
/// let device = Device::flex();
/// let flow = zuko::maf(&dict, &zuko::Options::new(), &device)?;
/// let z = flow.encode(Tensor::<2>::from_data([[2.0, 3.0]], &device));
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [2.0, 4.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn maf(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    on_normal(dict, None, device, |part, features| {
        autoregressive_or_elementwise(part, &Univariate::Affine, features, options, device)
    })
}

/// Loads an `NSF`, autoregressive or with `passes=2`, also with random orders, residual networks, or a context. The
/// width of the last layers determines the number of bins.
///
/// The base is fixed, as in zuko.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes, or if a layer saved nothing or does not fit its neighbours.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// // One layer of one feature, which is an elementwise spline of two bins.
/// let mut dict = StateDict::new();
/// let prefix = "transform.transforms.0";
/// dict.insert(format!("{prefix}.phi.0"), HostTensor::floats([0.0, 0.0], [1, 2])); // widths
/// dict.insert(format!("{prefix}.phi.1"), HostTensor::floats([0.0, 0.0], [1, 2])); // heights
/// dict.insert(format!("{prefix}.phi.2"), HostTensor::floats([0.7], [1, 1])); // slope in the middle
/// let device = Device::flex();
/// let flow = zuko::nsf(&dict, &zuko::Options::new(), &device)?;
/// let log_prob = flow.log_prob(Tensor::<2>::zeros([1, 1], &device)).into_scalar::<f32>();
/// let slope = (0.7 / (1.0 + 0.7 / 1e3f32.ln())).exp();
/// assert!((log_prob - slope.ln() + 0.9189).abs() < 1e-4);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn nsf(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    on_normal(dict, None, device, |part, features| {
        autoregressive_or_elementwise(part, &Univariate::SPLINE, features, options, device)
    })
}

/// Loads an `NCSF`: angles in `[-pi, pi)` on a uniform base that is slightly wider, as in zuko.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes, or if a layer saved nothing or does not fit its neighbours.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::interop::{HostTensor, StateDict, zuko};
///
/// let mut dict = StateDict::new();
/// let prefix = "transform.transforms.0";
/// dict.insert(format!("{prefix}.phi.0"), HostTensor::floats([0.0, 0.0], [1, 2]));
/// dict.insert(format!("{prefix}.phi.1"), HostTensor::floats([0.0, 0.0], [1, 2]));
/// dict.insert(format!("{prefix}.phi.2"), HostTensor::floats([0.0], [1, 1]));
/// let device = Device::flex();
/// let flow = zuko::ncsf(&dict, &zuko::Options::new(), &device)?;
/// // Equal bins and slopes of 1: half a turn, and nothing else.
/// let z = flow.encode(Tensor::<2>::from_data([[1.0]], &device)).into_scalar::<f32>();
/// assert!((z - (1.0 - std::f32::consts::PI)).abs() < 1e-5);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn ncsf(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, Uniform<2>>> {
    let map = Univariate::CircularSpline;
    whole(dict, "", |scope| {
        let (layers, features) = stack(scope, "base.lower", None, |part, features| {
            autoregressive_or_elementwise(part, &map, features, options, device)
        })?;
        Ok(Flow::new(layers, uniform_base(scope, features, device)?))
    })
}

/// The layers of a flow, with softclips between them if `clip` is set, and its `DiagNormal`.
fn on_normal(
    dict: &StateDict,
    clip: Option<f64>,
    device: &Device,
    read: impl Fn(&Scope<'_>, Option<usize>) -> Result<(AnyBijector, usize)>,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    whole(dict, "", |scope| {
        let (layers, features) = stack(scope, "base.loc", clip, read)?;
        Ok(Flow::new(layers, normal_base(scope, features, device)?))
    })
}

/// The layers `transform.transforms.k`, and their number of features. If the tensor `base` of the base determines the
/// number of features, `read` receives it.
fn stack(
    scope: &Scope<'_>,
    base: &str,
    clip: Option<f64>,
    read: impl Fn(&Scope<'_>, Option<usize>) -> Result<(AnyBijector, usize)>,
) -> Result<(AnyBijector, usize)> {
    let stated = scope.has(base).then(|| scope.floats_of_rank::<1>(base)).transpose()?;
    let mut features = stated.map(|(_, [features])| features);
    let mut layers = vec![];
    let last = scope.numbered("transform.transforms").last().copied().unwrap_or_default();
    for index in 0..=last {
        let part = scope.within(&format!("transform.transforms.{index}"));
        // A softclip saves no tensor.
        if let (Some(bound), false) = (clip, index.is_multiple_of(2)) {
            layers.push(AnyBijector::Softclip(Softclip::new(bound)?));
            continue;
        }
        let (layer, width) = read(&part, features)?;
        same_width(&part.full(""), features, width)?;
        features = Some(width);
        layers.push(layer);
    }
    Ok((AnyBijector::Stack(layers), features.unwrap_or_default()))
}

/// The layer that zuko builds for a `MaskedAutoregressiveTransform` of many features or of one feature.
fn autoregressive_or_elementwise(
    part: &Scope<'_>,
    univariate: &Univariate,
    features: Option<usize>,
    options: &Options,
    device: &Device,
) -> Result<(AnyBijector, usize)> {
    if let Some(found) = elementwise_of_one(part, univariate, features, options, device)? {
        return Ok(found);
    }
    let (layer, features) = autoregressive_in(part, univariate, features, options, device)?;
    Ok((AnyBijector::MaskedAutoregressive(layer), features))
}

/// The layer that zuko builds for one feature, whichever layer was requested.
fn elementwise_of_one(
    part: &Scope<'_>,
    univariate: &Univariate,
    features: Option<usize>,
    options: &Options,
    device: &Device,
) -> Result<Option<(AnyBijector, usize)>> {
    if part.has_part("phi") {
        let (layer, features) = elementwise_in(part, univariate, options, device)?;
        return Ok(Some((AnyBijector::Elementwise(layer), features)));
    }
    if features == Some(1) && !part.has("hyper.0.mask") && !part.has("mask") {
        let layer = elementwise_context_in(part, univariate, 1, options, device)?;
        return Ok(Some((AnyBijector::Elementwise(layer), 1)));
    }
    Ok(None)
}

fn normal_base(scope: &Scope<'_>, features: usize, device: &Device) -> Result<DiagNormal<2>> {
    if !scope.has_part("base") {
        return standard_base(features, device);
    }
    let loc = scope.floats("base.loc", &[features])?;
    let scale = scope.floats("base.scale", &[features])?;
    if let Some(at) = scale.iter().position(|v| *v <= 0.0) {
        let reason = format!("element {at} is {}, expected a positive number", scale[at]);
        return Err(scope.wrong("base.scale", reason));
    }
    let row = |values: &[f64]| from_f64(values.to_vec(), [1, features], device);
    DiagNormal::fixed(row(loc), row(scale))
}

fn uniform_base(scope: &Scope<'_>, features: usize, device: &Device) -> Result<Uniform<2>> {
    let row = |values: &[f64]| from_f64(values.to_vec(), [1, features], device);
    if !scope.has_part("base") {
        let end = vec![std::f64::consts::PI + SLACK; features];
        return Uniform::new(row(&end).neg(), row(&end));
    }
    let lower = scope.floats("base.lower", &[features])?;
    let upper = scope.floats("base.upper", &[features])?;
    scope.named("base.upper", Uniform::new(row(lower), row(upper)))
}

/// The amount by which the base of `NCSF` exceeds the circle on either side.
const SLACK: f64 = 1e-5;
