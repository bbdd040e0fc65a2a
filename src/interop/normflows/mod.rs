//! normflows 1.7, whose `forward` is latent to data. The loaded layers are inverted, so that forward is data to latent
//! as in the rest of this crate.
//!
//! | function | tensors |
//! | --- | --- |
//! | [`masked_affine`] | `b`, `t.net.0`, .., `s.net.0`, .. (`MaskedAffineFlow`) |
//! | [`affine_coupling_block`] | `flows.1.param_map.net.0`, .. (`AffineCouplingBlock`) |
//! | [`autoregressive`] | `autoregressive_net` (`MaskedAffineAutoregressive`) |
//! | [`planar`] | `w`, `u`, `b` (`Planar`) |
//! | [`radial`] | `z_0`, `alpha`, `beta`, `d` (`Radial`) |
//! | [`residual`] | `iresblock` (`Residual` with `LipschitzMLP`) |
//! | [`layer`], [`flow`] | `prqct` (`CoupledRationalQuadraticSpline`, circular too) |
//! | [`layer`], [`flow`] | `mprqat` (`AutoregressiveRationalQuadraticSpline`, circular too) |
//! | [`permute_shuffle`] | `perm`, `inv_perm` (`Permute` with mode `shuffle`) |
//! | [`permute_swap`] | none (`Permute` with mode `swap`) |
//! | [`lu_linear_permute`] | `linear`, `permutation` (`LULinearPermute`) |
//! | [`invertible_affine`] | `P`, `L`, `U`, `log_S`, `sign_S`, or `W` (`InvertibleAffine`) |
//! | [`invertible_conv`] | `P`, `L`, `U`, `log_S`, `sign_S`, or `W` (`Invertible1x1Conv`) |
//! | [`act_norm`] | `s`, `t`, `data_dep_init_done` (`ActNorm`) |
//! | [`flow`] | `flows.0`, .. of the layers above, and `q0` (`NormalizingFlow` with `DiagGaussian`) |
//! | [`glow_block`] | `flows.0.flows.1.param_map`, `flows.1`, `flows.2` (`GlowBlock`) |
//! | [`multiscale`] | `flows.0.0`, .. of Glow blocks, and `q0.0`, .. (`MultiscaleFlow` with `GlowBase`) |
//!
//! Not supported, with an error that names a tensor:
//!
//! - `use_batch_norm=True`
//! - `num_bins=1` of splines
//! - a mask `b` of `MaskedAffineFlow` that keeps all features or none
//! - `output_scale` and `score_scale` of `nets.MLP`
//! - networks other than `nets.MLP` in `MaskedAffineFlow` and `AffineCouplingBlock`
//! - all layers and distributions that are not in the table
//!
//! Not supported and not detected, because normflows saves no tensor for them, so that the results would be wrong:
//!
//! - `output_fn` of `nets.MLP`
//! - `transform` of a `MultiscaleFlow`
//! - merges of a `MultiscaleFlow` of modes other than `channel`
//!
//! Write prefixes without their last dot. An empty prefix means the whole dictionary.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use burn_flows::{bijector::Bijector, interop::{HostTensor, StateDict, normflows}};
//!
//! let device = Device::flex();
//! let mut dict = StateDict::new();
//! dict.insert("norm.s", HostTensor::floats([0.0; 2], [1, 2]));
//! dict.insert("norm.t", HostTensor::floats([1.0; 2], [1, 2]));
//! dict.insert("norm.data_dep_init_done", HostTensor::floats([1.0], []));
//! let act_norm = normflows::act_norm(&dict, "norm", &device)?;
//!
//! dict.insert("shuffle.perm", HostTensor::ints([1, 0], [2]));
//! dict.insert("shuffle.inv_perm", HostTensor::ints([1, 0], [2]));
//! let shuffle = normflows::permute_shuffle(&dict, "shuffle", &device)?;
//! let swap = normflows::permute_swap(2, &device)?;
//!
//! let eye = HostTensor::floats([1.0, 0.0, 0.0, 1.0], [2, 2]);
//! for name in ["P", "L", "U", "eye"] {
//!     dict.insert(format!("affine.{name}"), eye.clone());
//! }
//! dict.insert("affine.log_S", HostTensor::floats([0.0; 2], [2]));
//! dict.insert("affine.sign_S", HostTensor::floats([1.0, -1.0], [2]));
//! let affine = normflows::invertible_affine(&dict, "affine", &device)?;
//!
//! let x = Tensor::<2>::from_data([[3.0, 5.0]], &device);
//! let (z, _) = (act_norm, shuffle, swap, affine).forward(x, None);
//! let expected = Tensor::<2>::from_data([[2.0, -4.0]], &device);
//! z.into_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
//! # Ok::<(), burn_flows::Error>(())
//! ```

mod autoregressive;
mod couplings;
mod glow;
mod linear;
mod residual;
mod splines;

pub use autoregressive::autoregressive;
pub use couplings::{affine_coupling_block, masked_affine};
pub use glow::{GlowBlock, GlowLevel, GlowOptions, SplitMode, glow_block, multiscale};
pub use linear::{
    act_norm, invertible_affine, invertible_conv, lu_linear_permute, permute_shuffle, permute_swap,
};
pub use residual::{planar, radial, residual};

use burn::tensor::Device;

use self::autoregressive::autoregressive_in;
use self::couplings::{block_in, masked_affine_in};
use self::linear::{act_norm_in, invertible_affine_in, lu_linear_permute_in, shuffle_in};
use self::residual::{planar_in, radial_in, residual_in};
use self::splines::{Tails, autoregressive_spline_in, coupled_spline_in};
use super::scope::{Scope, whole};
use super::{StateDict, same_width, standard_base};
use crate::bijector::{AnyBijector, Inverse, RidgeActivation};
use crate::conditioner::ActivationConfig;
use crate::distribution::DiagNormal;
use crate::error::{Result, at_least};
use crate::flow::Flow;
use crate::math::from_f64;
use crate::univariate::{ScaleMap, SplineDomain};

/// `scale_map="sigmoid"`, the default of Glow blocks: from latent to data, `z / sigmoid(a + 2)`.
pub const SIGMOID: ScaleMap = ScaleMap::InverseSigmoid { offset: 2.0 };

/// `scale_map="sigmoid_inv"`: from latent to data, `z * sigmoid(a + 2)`.
pub const SIGMOID_INV: ScaleMap = ScaleMap::Sigmoid { offset: 2.0, floor: 0.0 };

/// One entry of `flows`, with the settings that the file does not hold.
///
/// ```
/// use burn_flows::{interop::normflows::{Layer, SIGMOID, SplitMode}, univariate::ScaleMap};
///
/// // [AffineCouplingBlock(net), Permute(6, "swap"), AffineCouplingBlock(net, scale_map="sigmoid")]
/// let layers = [
///     Layer::AffineCouplingBlock { scale_map: Some(ScaleMap::Exp), split_mode: SplitMode::Channel },
///     Layer::PermuteSwap { features: 6 },
///     Layer::AffineCouplingBlock { scale_map: Some(SIGMOID), split_mode: SplitMode::Channel },
/// ];
/// assert_eq!(layers.len(), 3);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Layer {
    /// `MaskedAffineFlow`, also with `s=None` or `t=None`.
    MaskedAffine,
    /// `AffineCouplingBlock`.
    AffineCouplingBlock {
        /// `scale_map`; `None` for `scale=False`.
        scale_map: Option<ScaleMap>,
        /// `split_mode` of the block.
        split_mode: SplitMode,
    },
    /// `MaskedAffineAutoregressive`, with residual blocks or feed-forward.
    MaskedAutoregressive,
    /// `CoupledRationalQuadraticSpline`, which also applies a spline to the features it keeps.
    CoupledSpline {
        /// `tails` and `tail_bound`. The default of normflows is `LinearTails { bound: 3.0 }`; `tails=None` is
        /// `Interval { low: 0.0, high: 1.0 }`.
        ///
        /// In normflows, angles lie in `[-bound, bound]`; in this crate, angles outside that interval wrap around.
        domain: SplineDomain,
    },
    /// `CircularCoupledRationalQuadraticSpline`, and `CoupledRationalQuadraticSpline` with a list of
    /// `tails`.
    ///
    /// A feature that is not an angle keeps its value outside `[-bound, bound]`; normflows sets it to 0.
    CircularCoupledSpline {
        /// `ind_circ`: the features that are angles.
        circular: Vec<usize>,
        /// `tail_bound` if it is a number; a `tail_bound` tensor is read from the file.
        bound: f64,
    },
    /// `AutoregressiveRationalQuadraticSpline`, also with a permuted mask.
    AutoregressiveSpline {
        /// `tail_bound`; the default of normflows is 3.
        bound: f64,
    },
    /// `CircularAutoregressiveRationalQuadraticSpline`.
    ///
    /// A feature that is not an angle keeps its value outside `[-bound, bound]`; normflows sets it to 0.
    CircularAutoregressiveSpline {
        /// `ind_circ`: the features that are angles.
        circular: Vec<usize>,
        /// `tail_bound` if it is a number; a `tail_bound` tensor is read from the file.
        bound: f64,
    },
    /// `Permute` with mode `swap`.
    PermuteSwap {
        /// `num_channels` of the layer.
        features: usize,
    },
    /// `Permute` with mode `shuffle`.
    PermuteShuffle,
    /// `LULinearPermute`.
    LuLinearPermute,
    /// `InvertibleAffine`, with or without `use_lu`.
    InvertibleAffine,
    /// `ActNorm` of vectors.
    ActNorm,
    /// `Planar`.
    Planar {
        /// `act`. In normflows, the slope of `leaky_relu` is 0.2.
        activation: RidgeActivation,
    },
    /// `Radial`.
    Radial,
    /// `Residual` with a `LipschitzMLP`.
    Residual {
        /// `lipschitz_const` of the network.
        lipschitz: f64,
        /// `reverse`; the default of normflows is `true`.
        reverse: bool,
    },
}

/// Loads a `NormalizingFlow` with these `flows`, listed latent to data as in normflows.
///
/// For a `DiagGaussian` base, mean and scale are loaded and stay trainable, as by default in normflows. A file without
/// a base gets a fixed standard normal.
///
/// # Errors
///
/// Fails if a layer does not fit its neighbours, and as the [module](super#errors) describes.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::conditioner::ActivationConfig;
/// use burn_flows::interop::{StateDict, normflows::{self, Layer}};
///
/// let (relu, device) = (ActivationConfig::Relu, Device::flex());
/// let layers = [Layer::PermuteSwap { features: 3 }];
/// let flow = normflows::flow(&StateDict::new(), &layers, &relu, &device)?;
/// let x = flow.decode(Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &device));
/// assert_eq!(x.into_data().try_to_vec_as::<f32>().unwrap(), [2.0, 3.0, 1.0]);
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn flow(
    dict: &StateDict,
    layers: &[Layer],
    activation: &ActivationConfig,
    device: &Device,
) -> Result<Flow<AnyBijector, DiagNormal<2>>> {
    at_least("normflows::flow", "layers", 1, layers.len())?;
    whole(dict, "", |scope| {
        let mut features = None;
        let mut stack = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let part = scope.within(&format!("flows.{index}"));
            let (bijector, width) = any(&part, layer, activation, device)?;
            same_width(&part.full(""), features, width)?;
            features = Some(width);
            stack.push(bijector);
        }
        // The layers are listed latent to data.
        stack.reverse();
        let base = base(scope, features.unwrap_or_default(), device)?;
        Ok(Flow::new(AnyBijector::Stack(stack), base))
    })
}

/// Loads one layer of any kind.
///
/// # Errors
///
/// Fails as the [module](super#errors) describes.
///
/// # Example
///
/// ```
/// use burn_flows::conditioner::ActivationConfig;
/// use burn_flows::{Error, interop::{StateDict, normflows::{self, Layer}}};
///
/// let (relu, device) = (ActivationConfig::Relu, burn::tensor::Device::flex());
/// let missing = normflows::layer(&StateDict::new(), "flows.0", &Layer::ActNorm, &relu, &device);
/// assert!(matches!(missing, Err(Error::MissingTensor { name, .. }) if name == "flows.0.s"));
/// ```
pub fn layer(
    dict: &StateDict,
    prefix: &str,
    layer: &Layer,
    activation: &ActivationConfig,
    device: &Device,
) -> Result<AnyBijector> {
    whole(dict, prefix, |scope| Ok(any(scope, layer, activation, device)?.0))
}

/// The layer in the direction data to latent, and its number of features.
fn any(
    scope: &Scope<'_>,
    layer: &Layer,
    activation: &ActivationConfig,
    device: &Device,
) -> Result<(AnyBijector, usize)> {
    let turned = |layer| AnyBijector::Inverse(Inverse::new(vec![layer]));
    let linear = |(permutation, linear)| {
        AnyBijector::Stack(vec![
            AnyBijector::Permutation(permutation),
            AnyBijector::LuLinear(linear),
        ])
    };
    let spline = |tails: Tails<'_>| {
        let (layer, features) = autoregressive_spline_in(scope, &tails, activation, device)?;
        Ok((AnyBijector::MaskedAutoregressive(layer), features))
    };
    let coupled = |tails: Tails<'_>| coupled_spline_in(scope, &tails, activation, device);
    Ok(match *layer {
        Layer::CoupledSpline { domain } => coupled(Tails::All(domain))?,
        Layer::CircularCoupledSpline { ref circular, bound } => {
            coupled(Tails::Circular(circular, bound))?
        }
        Layer::AutoregressiveSpline { bound } => {
            spline(Tails::All(SplineDomain::LinearTails { bound }))?
        }
        Layer::CircularAutoregressiveSpline { ref circular, bound } => {
            spline(Tails::Circular(circular, bound))?
        }
        Layer::MaskedAffine => {
            let (layer, features) = masked_affine_in(scope, activation, device)?;
            (turned(AnyBijector::MultiCoupling(layer)), features)
        }
        Layer::AffineCouplingBlock { scale_map, split_mode } => {
            let (layer, features) = block_in(scope, scale_map, split_mode, activation, device)?;
            (turned(AnyBijector::Coupling(layer)), features)
        }
        Layer::MaskedAutoregressive => {
            let (layer, features) = autoregressive_in(scope, activation, device)?;
            (turned(AnyBijector::MaskedAutoregressive(layer)), features)
        }
        Layer::PermuteSwap { features } => {
            (AnyBijector::Permutation(permute_swap(features, device)?), features)
        }
        Layer::PermuteShuffle => {
            let (layer, features) = shuffle_in(scope, device)?;
            (AnyBijector::Permutation(layer), features)
        }
        Layer::LuLinearPermute => {
            let (layers, features) = lu_linear_permute_in(scope, device)?;
            (linear(layers), features)
        }
        Layer::InvertibleAffine => invertible_affine_in(scope, device)?,
        Layer::ActNorm => {
            let (layer, features) = act_norm_in(scope, device)?;
            (turned(AnyBijector::ActNorm(layer)), features)
        }
        Layer::Planar { activation } => {
            activation.validate()?;
            let (layer, features) = planar_in(scope, activation, device)?;
            (turned(AnyBijector::Planar(layer)), features)
        }
        Layer::Radial => {
            let (layer, features) = radial_in(scope, device)?;
            (turned(AnyBijector::Radial(layer)), features)
        }
        Layer::Residual { lipschitz, reverse } => {
            let (layer, features) = residual_in(scope, lipschitz, device)?;
            let layer = AnyBijector::Residual(layer);
            (if reverse { layer } else { turned(layer) }, features)
        }
    })
}

fn base(scope: &Scope<'_>, features: usize, device: &Device) -> Result<DiagNormal<2>> {
    if !scope.has_part("q0") {
        return standard_base(features, device);
    }
    let row = |name| {
        let values = scope.floats(name, &[1, features])?;
        Ok(from_f64(values.to_vec(), [1, features], device))
    };
    Ok(DiagNormal::from_weights(row("q0.loc")?, row("q0.log_scale")?))
}
