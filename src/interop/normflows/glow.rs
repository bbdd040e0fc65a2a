//! `GlowBlock`, and `MultiscaleFlow` of Glow blocks.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::SIGMOID;
use super::linear::{act_norm_in, invertible_conv_in, scale_and_shift_in};
use crate::bijector::{
    ActNorm, ChannelMatrix, Coupling, DenseMatrix, Inverse, InvertibleConv1x1, LinearMap, Mask,
    Squeeze, Unconditional,
};
use crate::conditioner::{ActivationConfig, ConvNet};
use crate::config::config;
use crate::distribution::ChannelPrior;
use crate::error::{Error, Result};
use crate::flow::{Finish, MultiScale};
use crate::interop::conv::Conv;
use crate::interop::dense::interleaved;
use crate::interop::scope::{Scope, whole};
use crate::interop::{StateDict, same_width};
use crate::math::from_f64;
use crate::univariate::{Additive, Affine, AnyUnivariate, ScaleMap};

/// The type of a `GlowBlock`, in the direction data to latent.
pub type GlowBlock =
    (Inverse<ActNorm>, InvertibleConv1x1, Inverse<Coupling<AnyUnivariate, ConvNet>>);

/// The type of a level of a Glow, in the direction data to latent. Only the base of a normflows Glow is conditioned on
/// the classes.
pub type GlowLevel = Unconditional<(Squeeze, Vec<GlowBlock>)>;

/// `split_mode` of a `GlowBlock` or an `AffineCouplingBlock`. The features of a vector are its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SplitMode {
    /// `channel`: the first half of the channels, rounded up, conditions the other half.
    Channel,
    /// `channel_inv`: the second half of the channels, rounded down, conditions the other half.
    ChannelInv,
    /// `checkerboard`: elements whose indices of channel, row and column have an odd sum condition the others. In a
    /// vector, these are every second feature from the second feature on.
    Checkerboard,
    /// `checkerboard_inv`: elements whose indices of channel, row and column have an even sum condition the others. In
    /// a vector, these are every second feature from the first feature on.
    CheckerboardInv,
}

config! {
/// The settings of a Glow that normflows does not save, with the defaults of normflows. Set each field to the value
/// used for training.
///
/// ```
/// use burn_flows::interop::normflows::{GlowOptions, SIGMOID, SplitMode};
///
/// let options = GlowOptions::new([32, 32]);
/// assert_eq!((options.scale_map, options.split_mode), (Some(SIGMOID), SplitMode::Channel));
/// ```
pub struct GlowOptions {
    /// Height and width of the input images.
    pub size: [usize; 2],
    /// `scale_map`; `None` for `scale=False`.
    #[config(default = Some(SIGMOID))]
    pub scale_map: Option<ScaleMap>,
    /// `split_mode` of the blocks.
    #[config(default = SplitMode::Channel)]
    pub split_mode: SplitMode,
    /// The activation of the networks. The leaky ReLU of normflows has the slope `leaky`, 0 by default.
    #[config(default = ActivationConfig::Relu)]
    pub activation: ActivationConfig,
    /// `logscale_factor` of the `GlowBase`s of a [`multiscale`] flow.
    #[config(default = 3.0)]
    pub log_scale_factor: f64,
}
}

/// Loads a `GlowBlock`, with or without `net_actnorm` and `use_lu`. A block of one channel has no convolution; the
/// loaded block has a fixed identity instead.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, if an ActNorm inside a network is not initialised by a first
/// batch, or if the images cannot be split.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use burn_flows::bijector::Bijector;
/// use burn_flows::interop::{HostTensor, StateDict, normflows::{self, GlowOptions}};
///
/// let mut dict = StateDict::new();
/// let net = "flows.0.flows.1.param_map.net";
/// // Every kernel is 1x1 here; the network doubles what it sees: the shift of a coupling.
/// for (layer, weight) in [(0, 1.0), (2, 2.0), (4, 1.0)] {
///     dict.insert(format!("{net}.{layer}.weight"), HostTensor::floats([weight], [1, 1, 1, 1]));
///     dict.insert(format!("{net}.{layer}.bias"), HostTensor::floats([0.0], [1]));
/// }
/// dict.insert("flows.1.W", HostTensor::floats([0.0, 1.0, 1.0, 0.0], [2, 2])); // swaps
/// dict.insert("flows.2.s", HostTensor::floats([0.0; 2], [1, 2, 1, 1]));
/// dict.insert("flows.2.t", HostTensor::floats([1.0; 2], [1, 2, 1, 1]));
/// dict.insert("flows.2.data_dep_init_done", HostTensor::floats([1.0], []));
/// let options = GlowOptions::new([1, 1]).with_scale_map(None);
/// let device = Device::flex();
/// let block = normflows::glow_block(&dict, "", &options, &device)?;
/// let x = Tensor::<1>::from_floats([6.0, 4.0], &device).reshape([1, 2, 1, 1]);
/// let (z, _) = block.forward(x, None);
/// assert_eq!(z.into_data().try_to_vec_as::<f32>().unwrap(), [3.0, -1.0]); // (3, 5 - 2 * 3)
/// # Ok::<(), burn_flows::Error>(())
/// ```
pub fn glow_block(
    dict: &StateDict,
    prefix: &str,
    options: &GlowOptions,
    device: &Device,
) -> Result<GlowBlock> {
    whole(dict, prefix, |scope| Ok(block_in(scope, options.size, options, device)?.0))
}

/// Loads a `MultiscaleFlow` whose levels are `GlowBlock`s and a `Squeeze`, listed latent to data as in normflows. The
/// flow has a `GlowBase` per level, a `Merge` of channels between levels and no `transform` in front.
///
/// Classes are passed as a one-hot context. In normflows, the means and log-scales of the bases are products, `loc *
/// exp(logscale_factor * loc_logs)`. In this crate each product is one parameter, so training continues from an equal
/// density with different steps.
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, as [`glow_block`], if the levels do not fit together, or if
/// the height or width cannot be halved once per level.
pub fn multiscale(
    dict: &StateDict,
    options: &GlowOptions,
    device: &Device,
) -> Result<MultiScale<GlowLevel, ChannelPrior>> {
    if !options.log_scale_factor.is_finite() {
        let reason = format!("must be finite, found {}", options.log_scale_factor);
        return Err(Error::config("GlowOptions", "log_scale_factor", reason));
    }
    whole(dict, "", |scope| {
        let count = every(&scope.within("flows"))?;
        let (mut levels, mut bases, mut parts) = (vec![], vec![], vec![]);
        let mut size = options.size;
        let (mut channels, mut classes) = (None, None);
        // The deepest level is listed first.
        for index in (0..count).rev() {
            size = halved(size, levels.len())?;
            let part = scope.within(&format!("flows.{index}"));
            let (level, width) = level_in(&part, channels, size, options, device)?;
            let done = if index == 0 { width } else { width / 2 };
            let base = scope.within(&format!("q0.{index}"));
            let (prior, seen) = base_in(&base, done, options.log_scale_factor, device)?;
            if let Some(classes) = classes.filter(|&classes| classes != seen) {
                let reason = format!("must have {classes} classes, as other bases, found {seen}");
                return Err(base.wrong("", reason));
            }
            (channels, classes) = (Some(4 * (width - done)), Some(seen));
            levels.push(level);
            bases.push(prior);
            parts.push([done, size[0], size[1]]);
        }
        MultiScale::new(levels, bases, Finish::Last, parts)
    })
}

/// The number of parts `0`, `1`, .. that have tensors. Returns an error if a part in between has no tensors.
fn every(scope: &Scope<'_>) -> Result<usize> {
    let numbers = scope.numbered("");
    match (0..).zip(&numbers).find(|(at, number)| at != *number) {
        Some((at, _)) => Err(scope.wrong(&at.to_string(), "has no tensors in the file".into())),
        None => Ok(numbers.len()),
    }
}

/// Height and width after the squeeze of a level.
fn halved([height, width]: [usize; 2], level: usize) -> Result<[usize; 2]> {
    let even = |side: usize| side > 0 && side.is_multiple_of(2);
    if even(height) && even(width) {
        return Ok([height / 2, width / 2]);
    }
    let reason = format!("level {level} needs an even height and width, found {height}x{width}");
    Err(Error::config("GlowOptions", "size", reason))
}

/// The level, and the number of channels after its squeeze.
fn level_in(
    scope: &Scope<'_>,
    mut channels: Option<usize>,
    size: [usize; 2],
    options: &GlowOptions,
    device: &Device,
) -> Result<(GlowLevel, usize)> {
    let mut steps = vec![];
    for index in 0..every(scope)? {
        let part = scope.within(&index.to_string());
        let (step, width) = block_in(&part, size, options, device)?;
        same_width(&part.full(""), channels, width)?;
        channels = Some(width);
        steps.push(step);
    }
    // The steps are listed latent to data.
    steps.reverse();
    match channels.filter(|width| width.is_multiple_of(4)) {
        Some(width) => Ok((Unconditional::new((Squeeze::default(), steps)), width)),
        None => Err(scope.wrong("", "needs at least 1 block, of a multiple of 4 channels".into())),
    }
}

/// The block in the direction data to latent, and its number of channels.
fn block_in(
    scope: &Scope<'_>,
    [height, width]: [usize; 2],
    options: &GlowOptions,
    device: &Device,
) -> Result<(GlowBlock, usize)> {
    let part = scope.within("flows.1");
    // A block of one channel has no convolution.
    let single = part.has("s");
    let last = if single { scope.within("flows.1") } else { scope.within("flows.2") };
    let (act_norm, channels) = act_norm_in(&last, device)?;
    let (conv, features) = match single {
        true => (identity(device)?, 1),
        false => invertible_conv_in(&part, device)?,
    };
    same_width(&part.full(""), Some(channels), features)?;
    let map = scope.within("flows.0.flows.1.param_map");
    let coupling = coupling_in(&map, [channels, height, width], options, device)?;
    Ok(((Inverse::new(act_norm), conv, Inverse::new(coupling)), channels))
}

/// A convolution of one channel that is a fixed identity.
fn identity(device: &Device) -> Result<InvertibleConv1x1> {
    let matrix = DenseMatrix::from_weights(from_f64(vec![1.0], [1, 1], device))?;
    Ok(LinearMap::new(ChannelMatrix::Plain(matrix.no_grad())))
}

/// Reads the coupling in the direction latent to data.
fn coupling_in(
    scope: &Scope<'_>,
    event: [usize; 3],
    options: &GlowOptions,
    device: &Device,
) -> Result<Coupling<AnyUnivariate, ConvNet>> {
    let channels = event[0];
    let first = channels.div_ceil(2);
    let (mask, kept, moved) = match options.split_mode {
        SplitMode::Channel => (Mask::Kept((0..first).collect()), first, channels - first),
        SplitMode::ChannelInv => (Mask::Kept((first..channels).collect()), channels - first, first),
        SplitMode::Checkerboard => (Mask::FoldedCheckerboard.flipped(), channels, channels),
        SplitMode::CheckerboardInv => (Mask::FoldedCheckerboard, channels, channels),
    };
    let (univariate, per_element) = match options.scale_map {
        Some(scale_map) => {
            scale_map.validate()?;
            (AnyUnivariate::Affine(Affine::new(scale_map)?), 2)
        }
        None => (AnyUnivariate::Additive(Additive::default()), 1),
    };

    // Between the convolutions are modules without weights: an activation, optionally preceded by an ActNorm.
    let normed = scope.has_part("net.1.actNorm");
    let numbers = if normed { [0, 3, 6] } else { [0, 2, 4] };
    let read = |k: usize| Conv::read(scope, &format!("net.{}", numbers[k]), k == 2 || !normed);
    let (input, hidden, output) = (read(0)?, read(1)?, read(2)?);
    input.expect(input.outputs(), kept)?;
    hidden.expect(hidden.outputs(), input.outputs())?;
    output.expect(per_element * moved, hidden.outputs())?;
    let norm = |k: usize, channels: usize| {
        let part = scope.within(&format!("net.{}.actNorm", numbers[k] + 1));
        normed.then(|| network_norm_in(&part, channels, device)).transpose()
    };
    let norms = [norm(0, input.outputs())?, norm(1, hidden.outputs())?];
    let [input_norm, hidden_norm] = norms;
    let layers = [
        input.layer(input_norm, device),
        hidden.layer(hidden_norm, device),
        output.pick_outputs(&interleaved(per_element, moved)).layer(None, device),
    ];
    let network = ConvNet::from_layers(layers, options.activation.init(device));
    scope.named("net", Coupling::new(&mask, &event, univariate, |_, _| network, device))
}

/// The log-scale and shift of an ActNorm inside a network, which runs from latent to data.
fn network_norm_in(
    scope: &Scope<'_>,
    channels: usize,
    device: &Device,
) -> Result<(Tensor<1>, Tensor<1>)> {
    let (found, features) = scale_and_shift_in(scope, device)?;
    same_width(&scope.full("s"), Some(channels), features)?;
    found.ok_or_else(|| scope.wrong("s", "is not initialized; run a batch before saving".into()))
}

/// The `GlowBase` with this `logscale_factor`, and its number of classes; 0 without classes.
fn base_in(
    scope: &Scope<'_>,
    channels: usize,
    factor: f64,
    device: &Device,
) -> Result<(ChannelPrior, usize)> {
    let product = |name: &str| {
        let shape = [1, channels, 1, 1];
        let values = scope.floats(name, &shape)?;
        let logs = scope.floats(&format!("{name}_logs"), &shape)?;
        let scaled = values.iter().zip(logs).map(|(v, l)| v * (factor * l).exp());
        Ok::<_, Error>(from_f64(scaled.collect(), [channels], device))
    };
    let (mean, log_scale) = (product("loc")?, product("log_scale")?);
    let mut classes = 0;
    let mut class = None;
    if scope.has("loc_cc") {
        let (means, [count, _]) = scope.floats_of_rank("loc_cc")?;
        scope.floats("loc_cc", &[count, channels])?;
        let log_scales = scope.floats("log_scale_cc", &[count, channels])?;
        let rows = means.chunks(channels).zip(log_scales.chunks(channels));
        let both = rows.flat_map(|(mean, log_scale)| [mean, log_scale].concat()).collect();
        class = Some(from_f64(both, [count, 2 * channels], device));
        classes = count;
    }
    Ok((ChannelPrior::from_weights(mean, log_scale, class, ScaleMap::Exp), classes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::HostTensor;

    #[test]
    fn a_side_that_cannot_be_halved_is_named() {
        assert_eq!(halved([6, 4], 0).unwrap(), [3, 2]);
        assert_eq!(
            halved([3, 2], 1).unwrap_err().to_string(),
            "GlowOptions.size: level 1 needs an even height and width, found 3x2"
        );
        assert!(halved([0, 2], 1).is_err());
    }

    #[test]
    fn a_gap_in_a_list_is_named() {
        let mut dict = StateDict::new();
        for name in ["flows.0.t", "flows.2.t"] {
            dict.insert(name, HostTensor::floats([1.0], [1]));
        }
        let error = every(&Scope::new(&dict, "flows")).unwrap_err();
        assert_eq!(error.to_string(), "tensor `flows.1`: has no tensors in the file");
    }

    #[test]
    fn a_network_norm_that_waits_for_data_is_refused() {
        let mut dict = StateDict::new();
        for name in ["s", "t"] {
            dict.insert(name, HostTensor::floats([0.0; 2], [1, 2, 1, 1]));
        }
        dict.insert("data_dep_init_done", HostTensor::floats([0.0], []));
        let scope = Scope::new(&dict, "");
        let error = network_norm_in(&scope, 2, &Device::flex()).unwrap_err();
        assert_eq!(error.to_string(), "tensor `s`: is not initialized; run a batch before saving");
    }
}
