//! Densities of images: dequantization, Glow, multi-scale flows, bits per dimension and temperature.
//!
//! Images are a `Tensor<4>` of shape `[images, channels, height, width]` with integer pixels `0..levels`.
//!
//! # From integers to a flow
//!
//! Three steps lead from pixels to the latent:
//!
//! 1. [`Dequantize`](crate::train::Dequantize) adds uniform noise: `v = (x + u) / levels`, between 0 and 1.
//! 2. [`Logit`](crate::bijector::Logit) maps the interval to the line.
//! 3. [`Glow`](crate::model::Glow) maps the line to the latent. Each level halves height and width.
//!
//! The picture shows the shapes of one image in a `Glow` with two levels:
//!
#![doc = include_str!("pictures/multi_scale.svg")]
//!
//! [`FitData::with_dequantization`](crate::train::FitData::with_dequantization) applies the first step, with new noise
//! in each epoch. The flow contains the other two steps.
//!
//! ```
//! use burn_flows::bijector::Logit;
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::conditioner::ConvNetConfig;
//! use burn_flows::model::GlowConfig;
//! use burn_flows::prelude::*;
//! use burn_flows::train::{Dequantize, bits_per_dim};
//!
//! let device = Device::flex();
//! let mut noise = Noise::seeded(1);
//! // Your integers, 16 levels.
//! let images = (noise.uniform::<4>([64, 1, 4, 4], &device) * 16.0).floor();
//! let dequantize = Dequantize::new(16)?;
//!
//! let network = ConvNetConfig::new(8);
//! let glow =
//!     GlowConfig::new([1, 4, 4], 2).with_steps(1).with_network(network).with_seed(1).init(&device);
//! let flow = Flow::new(Logit::new(0.05)?, glow);
//! let data = FitData::new(images.clone()).with_dequantization(dequantize);
//! let config = FitConfig::new().with_epochs(2).with_batch_size(16).with_seed(1);
//! let (flow, _) = fit(flow, data, &config)?;
//!
//! // Bits per dimension of integers: 4 for a uniform density over 16 levels.
//! let dequantized = dequantize.apply(images, &mut noise);
//! let nats = nll(&flow, dequantized, 64);
//! let bits = bits_per_dim(nats, 16, dequantize.levels()); // 16 pixels
//! assert!(bits > 3.0 && bits < 6.0);
//!
//! // Samples are numbers near [0, 1]; `floor` returns integers.
//! let drawn = (flow.sample_seeded::<4>(3, 1) * 16.0).floor().clamp(0.0, 15.0);
//! assert_eq!(drawn.dims(), [3, 1, 4, 4]);
//!
//! // A lower temperature: samples closer to the mode, with less variety.
//! let (logit, glow) = flow.into_parts();
//! let cool = Flow::new(logit, glow.with_temperature(0.7)?);
//! assert_eq!(cool.sample_seeded::<4>(3, 1).dims(), [3, 1, 4, 4]);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! * Pass validation images of your own through `Dequantize::apply` first. `fit` dequantizes the validation images that
//!   it splits off.
//! * Bits per dimension of dequantized images are an upper bound of the bits per dimension of the integers.
//! * [`VariationalDequantize`](crate::train::VariationalDequantize) learns the noise and tightens the bound.
//! * [`ReduceBits`](crate::train::ReduceBits) reduces 8-bit images to fewer levels. Bits per dimension of different
//!   numbers of levels are not comparable.
//! * A temperature changes samples only. `log_prob` is always the log-density at temperature 1.
//! * A constant pixel has an infinite density. Dequantization makes a constant pixel harmless.
//!
//! # Latents
//!
//! The latent of a multi-scale flow is a list of tensors, one for each level. `encode` of a `Flow` around a
//! multi-scale flow applies the outer layers only. Take the list from the base.
//!
//! ```
//! use burn_flows::bijector::{Bijector, Logit};
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::model::GlowConfig;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! let glow = GlowConfig::new([1, 8, 8], 2).with_steps(1).with_seed(1).init(&device);
//! let flow = Flow::new(Logit::new(0.05)?, glow);
//! let x = Noise::seeded(1).uniform::<4>([2, 1, 8, 8], &device);
//!
//! let parts = flow.base().encode(flow.encode(x.clone()));
//! assert_eq!((parts[0].dims(), parts[1].dims()), ([2, 2, 4, 4], [2, 8, 2, 2]));
//! let back = flow.decode(flow.base().decode(parts));
//! assert!((back - x).abs().max().into_scalar::<f32>() < 1e-4);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! `encode_flat` and `decode_flat` join the parts into one vector for each image.
//!
//! # Levels of your own
//!
//! [`MultiScale`](crate::MultiScale) takes one bijector for each level and one base for each finished part. After each
//! level but the last, a part of the channels is finished. Any `Bijector<4>` can be a level.
//!
//! ```
//! use burn_flows::bijector::{ActNorm, ActNormConfig, Coupling, Mask, Squeeze};
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::conditioner::{ConvNet, ConvNetConfig};
//! use burn_flows::distribution::ChannelPriorConfig;
//! use burn_flows::univariate::Affine;
//! use burn_flows::{Finish, MultiScale, Noise, seeded};
//!
//! type Level = (Squeeze, ActNorm, Coupling<Affine, ConvNet>);
//!
//! let device = Device::flex();
//! let level = |event: [usize; 3]| -> burn_flows::Result<Level> {
//!     let network = |from, to| ConvNetConfig::new(8).init(from, to, 0, &device);
//!     let coupling = Coupling::new(&Mask::Halves, &event, Affine::default(), network, &device)?;
//!     Ok((Squeeze::default(), ActNormConfig::new(event[0]).init(&device), coupling))
//! };
//! let flow = seeded(1, || {
//!     // [1, 8, 8] is squeezed to [4, 4, 4]: half is finished.
//!     // The other half is squeezed to [8, 2, 2].
//!     let levels = vec![level([4, 4, 4])?, level([8, 2, 2])?];
//!     let bases = vec![ChannelPriorConfig::new(2).init(&device), ChannelPriorConfig::new(8).init(&device)];
//!     MultiScale::new(levels, bases, Finish::Last, vec![[2, 4, 4], [8, 2, 2]])
//! })?;
//! let x = Noise::seeded(1).normal([3, 1, 8, 8], &device);
//! assert_eq!(flow.log_prob(x.clone()).dims(), [3]);
//! let back = flow.decode(flow.encode(x.clone()));
//! assert!((back - x).abs().max().into_scalar::<f32>() < 1e-4);
//! # Ok::<(), burn_flows::Error>(())
//! ```
