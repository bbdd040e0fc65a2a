//! nflows 0.14, whose `forward` is data to latent as in this crate.
//!
//! | function | tensors |
//! | --- | --- |
//! | [`coupling`] | `identity_features`, `transform_features`, `transform_net` (ResidualNet) |
//! | [`autoregressive`] | `autoregressive_net` (MaskedAffineAutoregressiveTransform and MaskedPiecewise..) |
//! | [`elementwise_spline`] | `unnormalized_widths`, .. (Piecewise..CDF) |
//! | [`act_norm`] | `log_scale`, `shift`, `initialized` |
//! | [`batch_norm`] | `unconstrained_weight`, `bias`, `running_mean`, `running_var` |
//! | [`lu_linear`] | `lower_entries`, `upper_entries`, `unconstrained_upper_diag`, `bias` |
//! | [`naive_linear`] | `_weight`, `bias` |
//! | [`householder`] | `q_vectors` (HouseholderSequence) |
//! | [`qr_linear`] | `orthogonal.q_vectors`, `upper_entries`, `log_upper_diag`, `bias` |
//! | [`svd_linear`] | `orthogonal_1.q_vectors`, `orthogonal_2.q_vectors`, `unconstrained_diagonal`, `bias` |
//! | [`permutation`] | `_permutation` |
//! | [`one_by_one_convolution`] | the tensors of [`lu_linear`], and `permutation` (OneByOneConvolution) |
//! | [`image_coupling`] | the tensors of [`coupling`], with a ConvResidualNet |
//! | [`glow`] | `_transforms.0`, .. (MultiscaleCompositeTransform) of Glow steps |
//! | [`transform`] | the tensors of any layer above, or `_transforms.0`, `_transforms.1`, .. of several layers |
//! | [`flow`] | the tensors of a [`transform`], or `_transform` and `_distribution` of a whole `Flow` |
//!
//! An `InverseTransform` inside a stack is supported.
//!
//! Not supported, with an error that names a tensor:
//!
//! - `use_batch_norm=True` of networks
//! - transforms that save no tensor (squeezes and nonlinearities)
//! - `apply_unconditional_transform` for images
//! - distributions other than `StandardNormal` and `DiagonalNormal`
//! - masks that keep no feature
//!
//! A `MADE` with `num_blocks=0` is read as if `use_residual_blocks=False`, which saves the same tensors as
//! `use_residual_blocks=True`. If `use_residual_blocks` was `True`, the network has no activation, so set
//! [`Options::activation`] to `Identity` of burn.
//!
//! Splines with one bin (`num_bins=1`) are not supported. Some of them have as many parameters as an affine or additive
//! layer and are read as that layer. For every other spline with one bin, loading returns an error that names a tensor.
//!
//! Write prefixes without their last dot. An empty prefix means the whole dictionary.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, nflows}};
//!
//! let device = Device::flex();
//! let mut dict = StateDict::new();
//! dict.insert("norm.log_scale", HostTensor::floats([0.0; 2], [2]));
//! dict.insert("norm.shift", HostTensor::floats([1.0; 2], [2]));
//! dict.insert("norm.initialized", HostTensor::bools([true], []));
//! let act_norm = nflows::act_norm(&dict, "norm", &device)?;
//! assert!(act_norm.is_initialized());
//!
//! dict.insert("bn.unconstrained_weight", HostTensor::floats([0.5; 2], [2]));
//! dict.insert("bn.bias", HostTensor::floats([0.0; 2], [2]));
//! dict.insert("bn.running_mean", HostTensor::floats([3.0; 2], [2]));
//! dict.insert("bn.running_var", HostTensor::floats([1.0; 2], [2]));
//! let batch_norm = nflows::batch_norm(&dict, "bn", &nflows::Options::new(), &device)?;
//!
//! dict.insert("lu.lower_entries", HostTensor::floats([0.1], [1]));
//! dict.insert("lu.upper_entries", HostTensor::floats([0.2], [1]));
//! dict.insert("lu.unconstrained_upper_diag", HostTensor::floats([0.5; 2], [2]));
//! dict.insert("lu.bias", HostTensor::floats([0.0; 2], [2]));
//! let lu = nflows::lu_linear(&dict, "lu", &device)?;
//!
//! dict.insert("order._permutation", HostTensor::ints([1, 0], [2]));
//! let order = nflows::permutation(&dict, "order", &device)?;
//!
//! let x = Tensor::<2>::from_data([[3.0, 3.0]], &device);
//! let (z, _) = (act_norm, batch_norm, lu, order).forward(x, None);
//! assert_eq!(z.dims(), [1, 2]);
//! # Ok::<(), burn_flows::Error>(())
//! ```

mod autoregressive;
mod coupling;
mod glow;
mod image;
mod linear;
mod spline;

pub use autoregressive::autoregressive;
pub use coupling::coupling;
pub(super) use coupling::{residual_blocks, split_in};
pub use glow::{GlowLevel, GlowStep, glow};
pub use image::image_coupling;
pub(super) use linear::lu_linear_in;
pub use linear::{
    householder, lu_linear, naive_linear, one_by_one_convolution, qr_linear, svd_linear,
};
pub use spline::{Spline, elementwise_spline};

use burn::tensor::Device;

use self::autoregressive::autoregressive_in;
use self::coupling::any_coupling_in;
use self::linear::linear_in;
use self::spline::{elementwise_spline_in, is_elementwise_spline};
use super::scope::{Scope, whole};
use super::{StateDict, same_width, standard_base};
use crate::bijector::{
    ActNorm, ActNormConfig, AnyBijector, BatchNorm, BatchNormConfig, Inverse, Permutation,
};
use crate::conditioner::ActivationConfig;
use crate::config::config;
use crate::distribution::DiagNormal;
use crate::error::Result;
use crate::flow::Flow;
use crate::math::from_f64;
use crate::univariate::{ScaleMap, SplineDomain};

/// `AffineCouplingTransform.DEFAULT_SCALE_ACTIVATION`: `sigmoid(u + 2) + 1e-3`.
pub const DEFAULT_SCALE: ScaleMap = ScaleMap::Sigmoid { offset: 2.0, floor: 1e-3 };

config! {
/// The settings that nflows does not save, with the defaults of nflows. Set each field to the value used for training.
///
/// ```
/// use burn_flows::{interop::nflows, univariate::ScaleMap};
///
/// let options = nflows::Options::new();
/// assert_eq!(options.scale_map, nflows::DEFAULT_SCALE);
/// let other = options.with_scale_map(ScaleMap::Exp).with_epsilon(1e-3);
/// assert_eq!(other.scale_map, ScaleMap::Exp);
/// ```
pub struct Options {
    /// `scale_activation` of affine couplings.
    #[config(default = DEFAULT_SCALE)]
    pub scale_map: ScaleMap,
    /// The family of splines of the piecewise transforms.
    #[config(default = Spline::default())]
    pub spline: Spline,
    /// `tails` and `tail_bound` of splines. Set an interval for `tails=None`.
    #[config(default = SplineDomain::Interval { low: 0.0, high: 1.0 })]
    pub spline_domain: SplineDomain,
    /// `min_bin_width` of splines.
    #[config(default = 1e-3)]
    pub min_width: f64,
    /// `min_bin_height` of splines.
    #[config(default = 1e-3)]
    pub min_height: f64,
    /// `min_derivative` of splines.
    #[config(default = 1e-3)]
    pub min_slope: f64,
    /// `activation` of the conditioners.
    #[config(default = ActivationConfig::Relu)]
    pub activation: ActivationConfig,
    /// `eps` of batch normalization.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// `momentum` of batch normalization. It changes only further training.
    #[config(default = 0.1)]
    pub momentum: f64,
}
}

/// Loads the file of a transform or of a whole `Flow`.
///
/// For a `Flow` with a `DiagonalNormal`, mean and scale are loaded and stay trainable. Other files get a fixed standard
/// normal base.
///
/// # Errors
///
/// Fails if a transform is not supported by this module, saved no tensor, or does not fit its neighbours, and as the
/// [module](super#errors) describes.
pub fn flow(
    dict: &StateDict,
    options: &Options,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    let scope = Scope::new(dict, "");
    let whole = scope.has_part("_transform");
    let (layer, features) = if whole {
        any(&scope.within("_transform"), options, device)?
    } else {
        any(&scope, options, device)?
    };
    let base = if scope.has("_distribution.mean_") {
        let row = |name| {
            let values = scope.floats(name, &[1, features])?;
            Ok(from_f64(values.to_vec(), [1, features], device))
        };
        DiagNormal::from_weights(row("_distribution.mean_")?, row("_distribution.log_std_")?)
    } else {
        standard_base(features, device)?
    };
    scope.finish()?;
    Ok(Flow::new(layer, base))
}

/// Loads any transform of this module, or a `CompositeTransform` of them.
///
/// # Errors
///
/// Fails as [`flow`] does.
pub fn transform(
    dict: &StateDict,
    prefix: &str,
    options: &Options,
    device: &Device,
) -> Result<AnyBijector> {
    whole(dict, prefix, |scope| Ok(any(scope, options, device)?.0))
}

/// Loads an `ActNorm`, for vectors and images.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes.
pub fn act_norm(dict: &StateDict, prefix: &str, device: &Device) -> Result<ActNorm> {
    whole(dict, prefix, |scope| Ok(act_norm_in(scope, device)?.0))
}

/// Loads a `BatchNorm`.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes, or if the options are invalid.
pub fn batch_norm(
    dict: &StateDict,
    prefix: &str,
    options: &Options,
    device: &Device,
) -> Result<BatchNorm> {
    whole(dict, prefix, |scope| Ok(batch_norm_in(scope, options, device)?.0))
}

/// Loads a `Permutation`, `RandomPermutation` or `ReversePermutation`.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes, or if an index is missing.
pub fn permutation(dict: &StateDict, prefix: &str, device: &Device) -> Result<Permutation> {
    whole(dict, prefix, |scope| Ok(permutation_in(scope, device)?.0))
}

/// The layer in this scope, and its number of features.
fn any(scope: &Scope<'_>, options: &Options, device: &Device) -> Result<(AnyBijector, usize)> {
    if scope.has("identity_features") {
        any_coupling_in(scope, options, device)
    } else if scope.has_part("autoregressive_net") {
        let (layer, features) = autoregressive_in(scope, options, device)?;
        Ok((AnyBijector::MaskedAutoregressive(layer), features))
    } else if is_elementwise_spline(scope) {
        let (layer, features) = elementwise_spline_in(scope, None, options, device)?;
        Ok((AnyBijector::Elementwise(layer), features))
    } else if scope.has("_permutation") {
        let (layer, features) = permutation_in(scope, device)?;
        Ok((AnyBijector::Permutation(layer), features))
    } else if scope.has("log_scale") {
        let (layer, features) = act_norm_in(scope, device)?;
        Ok((AnyBijector::ActNorm(layer), features))
    } else if scope.has("unconstrained_weight") {
        let (layer, features) = batch_norm_in(scope, options, device)?;
        Ok((AnyBijector::BatchNorm(layer), features))
    } else if scope.has_part("_transform") {
        // This scope holds an `InverseTransform`.
        let (layer, features) = any(&scope.within("_transform"), options, device)?;
        Ok((AnyBijector::Inverse(Inverse::new(vec![layer])), features))
    } else {
        match linear_in(scope, device)? {
            Some(found) => Ok(found),
            None => composite(scope, options, device),
        }
    }
}

fn composite(
    scope: &Scope<'_>,
    options: &Options,
    device: &Device,
) -> Result<(AnyBijector, usize)> {
    let mut features = None;
    let mut layers = vec![];
    for (index, number) in scope.numbered("_transforms").into_iter().enumerate() {
        let part = format!("_transforms.{index}");
        if number != index {
            let reason = "has no tensors in the file, so its type is unknown; read the parts of \
                          the stack one by one";
            return Err(scope.wrong(&part, reason.into()));
        }
        let (layer, width) = any(&scope.within(&part), options, device)?;
        same_width(&scope.full(&part), features, width)?;
        features = Some(width);
        layers.push(layer);
    }
    match features {
        Some(features) => Ok((AnyBijector::Stack(layers), features)),
        None => Err(scope.missing("_transforms.0")),
    }
}

pub(super) fn permutation_in(scope: &Scope<'_>, device: &Device) -> Result<(Permutation, usize)> {
    let order = scope.indices("_permutation")?;
    let layer = scope.named("_permutation", Permutation::given(&order, device))?;
    Ok((layer, order.len()))
}

fn act_norm_in(scope: &Scope<'_>, device: &Device) -> Result<(ActNorm, usize)> {
    let (log_scale, [features]) = scope.floats_of_rank("log_scale")?;
    let shift = scope.floats("shift", &[features])?;
    // Before the first batch, nflows saves zeros; the loaded layer is then still uninitialised.
    let untouched = log_scale.iter().chain(shift).all(|v| *v == 0.0);
    if !scope.flag("initialized")? && untouched {
        return Ok((ActNormConfig::new(features).init(device), features));
    }
    let vector = |values: &[f64]| from_f64(values.to_vec(), [features], device);
    Ok((ActNorm::from_weights(vector(log_scale), vector(shift)), features))
}

fn batch_norm_in(
    scope: &Scope<'_>,
    options: &Options,
    device: &Device,
) -> Result<(BatchNorm, usize)> {
    let (weight, [features]) = scope.floats_of_rank("unconstrained_weight")?;
    let config = BatchNormConfig::new(features)
        .with_epsilon(options.epsilon)
        .with_momentum(options.momentum);
    config.validate()?;
    let vector = |values: &[f64]| from_f64(values.to_vec(), [features], device);
    let read = |name| Ok(vector(scope.floats(name, &[features])?));
    let layer = config.with_weights(
        vector(weight),
        read("bias")?,
        read("running_mean")?,
        read("running_var")?,
    );
    Ok((layer, features))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::interop::HostTensor;

    fn stack(parts: &[(&str, usize)]) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
        let mut dict = StateDict::new();
        for &(number, features) in parts {
            let order: Vec<i64> = (0..features as i64).rev().collect();
            let name = format!("_transforms.{number}._permutation");
            dict.insert(name, HostTensor::ints(order, [features]));
        }
        flow(&dict, &Options::new(), &Device::flex())
    }

    #[test]
    fn a_stack_with_a_gap_is_not_closed_up() {
        assert!(stack(&[("0", 3), ("1", 3)]).is_ok());
        for numbers in [["0", "2"], ["1", "2"], ["0", "18446744073709551615"]] {
            let error = stack(&numbers.map(|number| (number, 3))).unwrap_err();
            assert!(matches!(error, Error::Tensor { .. }), "{numbers:?}: {error}");
        }
    }

    #[test]
    fn transforms_of_different_widths_do_not_stack() {
        let error = stack(&[("0", 3), ("1", 4)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tensor `_transforms.1`: the model needs shape [3], the file has [4]"
        );
    }
}
