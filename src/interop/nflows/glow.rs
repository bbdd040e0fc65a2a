//! `MultiscaleCompositeTransform` of Glow steps.

use burn::tensor::Device;

use super::image::image_coupling_in;
use super::linear::one_by_one_in;
use super::{Options, act_norm_in};
use crate::bijector::{ActNorm, Coupling, InvertibleConv1x1, Squeeze};
use crate::conditioner::ResidualConvNet;
use crate::distribution::StandardNormal;
use crate::error::{Error, Result};
use crate::flow::{Finish, MultiScale};
use crate::interop::scope::{Scope, whole};
use crate::interop::{StateDict, same_width};
use crate::univariate::AnyUnivariate;

/// The type of a Glow step: `ActNorm`, `OneByOneConvolution`, and a coupling with a `ConvResidualNet`.
pub type GlowStep = (ActNorm, InvertibleConv1x1, Coupling<AnyUnivariate, ResidualConvNet>);

/// The type of a level: `SqueezeTransform`, then Glow steps.
pub type GlowLevel = (Squeeze, Vec<GlowStep>);

/// Loads a `MultiscaleCompositeTransform` along the channels of images of height and width `size`, alone or in a `Flow`
/// with a `StandardNormal`. A level is a `CompositeTransform` of a `SqueezeTransform` and any number of steps. A step
/// consists of `ActNorm`, `OneByOneConvolution` and [`image_coupling`](super::image_coupling).
///
/// # Errors
///
/// Fails as the [module](crate::interop#errors) describes, if the levels do not fit together, or if the height or width
/// cannot be halved once per level.
pub fn glow(
    dict: &StateDict,
    size: [usize; 2],
    options: &Options,
    device: &Device,
) -> Result<MultiScale<GlowLevel, StandardNormal<4>>> {
    whole(dict, "", |scope| {
        let inner = scope.within("_transform");
        let scope = if scope.has_part("_transform") { &inner } else { scope };
        let numbers = scope.numbered("_transforms");
        let (mut levels, mut bases, mut parts) = (vec![], vec![], vec![]);
        let [mut height, mut width] = size;
        let mut channels = None;
        for index in 0..numbers.len() {
            if height % 2 + width % 2 > 0 || height * width == 0 {
                let reason =
                    format!("level {index} needs an even height and width, found {height}x{width}");
                return Err(Error::config("nflows::glow", "size", reason));
            }
            (height, width) = (height / 2, width / 2);
            let part = scope.within(&format!("_transforms.{index}"));
            let (steps, found) = steps_in(&part, channels, options, device)?;
            let last = index + 1 == numbers.len();
            let done = if last { found } else { found.div_ceil(2) };
            channels = Some(4 * (found - done));
            levels.push((Squeeze::default(), steps));
            bases.push(StandardNormal::<4>::new([done, height, width], device));
            parts.push([done, height, width]);
        }
        MultiScale::new(levels, bases, Finish::First, parts)
    })
}

/// The steps after the squeeze of a level, and their number of channels.
fn steps_in(
    scope: &Scope<'_>,
    mut channels: Option<usize>,
    options: &Options,
    device: &Device,
) -> Result<(Vec<GlowStep>, usize)> {
    let count = scope.numbered("_transforms").len();
    let mut steps = vec![];
    // The squeeze has number 0 and saves no tensor.
    for at in (1..=count).step_by(3) {
        let part = |offset| scope.within(&format!("_transforms.{}", at + offset));
        let (norm, conv, coupling) = (part(0), part(1), part(2));
        let (norm_layer, features) = act_norm_in(&norm, device)?;
        same_width(&norm.full(""), channels, features)?;
        let (conv_layer, width) = one_by_one_in(&conv, device)?;
        same_width(&conv.full(""), Some(features), width)?;
        let (coupling_layer, width) = image_coupling_in(&coupling, options, device)?;
        same_width(&coupling.full(""), Some(features), width)?;
        channels = Some(features);
        steps.push((norm_layer, conv_layer, coupling_layer));
    }
    match channels.filter(|found| found.is_multiple_of(4)) {
        Some(found) => Ok((steps, found)),
        None => Err(scope.wrong("", "needs at least 1 step, of a multiple of 4 channels".into())),
    }
}
