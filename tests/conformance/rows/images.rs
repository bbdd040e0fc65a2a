//! Rows of couplings of images, and of squeezes.

use burn_flows::bijector::*;
use burn_flows::conditioner::Normalization;
use burn_flows::testing::{Check, Suite};
use burn_flows::univariate::{Additive, Affine};

use crate::layers::*;
use crate::{DEVICE, built};

rows! {
    conv_halves: image(Affine::default(), Mask::Halves, [4, 2, 2], 0), [2, 4, 2, 2];
    conv_halves_flipped: image(Affine::default(), Mask::Halves.flipped(), [3, 2, 2], 0), [2, 3, 2, 2];
    conv_alternating: image(Affine::default(), Mask::Alternating, [3, 2, 3], 0), [2, 3, 2, 3];
    conv_random: image(Affine::default(), Mask::Random(1), [4, 2, 1], 0), [2, 4, 2, 1];
    conv_kept: image(Affine::default(), Mask::Kept(vec![1]), [3, 2, 2], 0), [2, 3, 2, 2];
    conv_checkerboard: image(Affine::default(), Mask::Checkerboard, [1, 4, 4], 0), [2, 1, 4, 4];
    conv_checkerboard_odd: image(Affine::default(), Mask::Checkerboard, [2, 3, 3], 0), [2, 2, 3, 3];
    conv_folded: image(Affine::default(), Mask::FoldedCheckerboard, [3, 3, 2], 0), [2, 3, 3, 2];
    conv_folded_flipped: image(Affine::default(), Mask::FoldedCheckerboard.flipped(), [1, 2, 4], 1), Suite::new([2, 1, 2, 4]).with_context(1);
    conv_checkerboard_flipped: image(Affine::default(), Mask::Checkerboard.flipped(), [1, 3, 2], 0), [2, 1, 3, 2];
    conv_context: image(Affine::default(), Mask::Halves, [2, 2, 2], 3), Suite::new([2, 2, 2, 2]).with_context(3);
    conv_checkerboard_context: image(Affine::default(), Mask::Checkerboard, [1, 2, 3], 2), Suite::new([2, 1, 2, 3]).with_context(2);
    squeeze: Squeeze::default(), Suite::new([2, 1, 4, 2]).with_latent_shape([2, 4, 2, 1]).without(Check::EventWidth); // accepts every even size
    squeeze_pixel_major: Squeeze::new(SqueezeOrder::PixelMajor), Suite::new([2, 2, 2, 4]).with_latent_shape([2, 8, 1, 2]).without(Check::EventWidth);
    squeeze_inverse: Inverse::new(Squeeze::default()), Suite::new([2, 4, 2, 1]).with_latent_shape([2, 1, 4, 2]).without(Check::EventWidth);
    squeeze_actnorm: (Squeeze::default(), ActNormConfig::new(4).init(&DEVICE)), Suite::new([2, 1, 4, 2]).with_latent_shape([2, 4, 2, 1]).without(Check::EventWidth);
    haar_squeeze: HaarSqueeze::default(), Suite::new([2, 2, 4, 2]).with_latent_shape([2, 8, 2, 1]).without(Check::EventWidth);
    haar_squeeze_pixel_major: HaarSqueeze::new(SqueezeOrder::PixelMajor), Suite::new([2, 3, 2, 2]).with_latent_shape([2, 12, 1, 1]).without(Check::EventWidth);
    conv_actnorm: glow_net(Normalization::ActNorm, 0), [3, 4, 2, 2];
    conv_weight_norm: glow_net(Normalization::Weight, 2), Suite::new([2, 4, 2, 2]).with_context(2);
    conv_residual: residual_image(Normalization::Weight, Mask::Checkerboard, 0), [2, 2, 2, 2];
    conv_residual_actnorm: residual_image(Normalization::ActNorm, Mask::Halves, 0), [3, 2, 2, 2];
    conv_residual_context: residual_image(Normalization::None, Mask::Halves, 2), Suite::new([2, 2, 2, 2]).with_context(2);
    conv_additive: image(Additive::default(), Mask::Checkerboard.flipped(), [2, 2, 2], 0), [2, 2, 2, 2];
}
