//! Layers: a choice for each purpose, combinations, and configurations in JSON.
//!
//! A layer is a [`Bijector`](crate::bijector::Bijector): `forward` maps data to latent and returns the log-determinant.
//! The module [`bijector`](crate::bijector) lists all layers. A stack of layers is a layer, too.
//!
//! # Which layer
//!
//! | purpose | layer |
//! | --- | --- |
//! | columns of different units | [`Standardize`](crate::bijector::Standardize), first: [`Flow::standardized`](crate::Flow::standardized) |
//! | columns with bounds | [`Bounded`](crate::bijector::Bounded), before `Standardize`: [`Flow::standardized_within`](crate::Flow::standardized_within) |
//! | pixels in [0, 1] | [`Logit`](crate::bijector::Logit), before every layer that expects real numbers |
//! | fast density and fast samples | [`Coupling`](crate::bijector::Coupling) layers; flip the mask from layer to layer |
//! | each feature depends on the features before it | [`MaskedAutoregressive`](crate::bijector::MaskedAutoregressive) |
//! | strong linear correlation | [`LuLinear`](crate::bijector::LuLinear) between the other layers |
//! | skewed columns | [`Elementwise`](crate::bijector::Elementwise) with a spline |
//!
//! The picture shows which inputs each output of a layer of four features depends on: one row for each output `z`, one
//! column for each input `x`. Each output depends on its own input, on the diagonal, and through the network on the
//! inputs of the pale cells. It does not depend on the inputs of the empty cells.
//!
#![doc = include_str!("pictures/dependencies.svg")]
//!
//! A model of the module [`model`](crate::model) is a stack with a base. Start with a model. Combine layers only where
//! no model fits.
//!
//! # Tuples, lists and options
//!
//! ```
//! use burn_flows::bijector::LuLinear;
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//! use burn_flows::seeded;
//!
//! let device = Device::flex();
//! let with_linear = true;
//! let flow = seeded(1, || {
//!     let coupling = |mask| CouplingConfig::new(3).with_mask(mask).init(Affine::default(), &device);
//!     // A list: any number of layers of one type.
//!     let couplings = vec![coupling(Mask::Alternating), coupling(Mask::Alternating.flipped())];
//!     // An option: `None` is the identity.
//!     let linear: Option<LuLinear> = with_linear.then(|| LuLinearConfig::new(3).init(&device));
//!     // A tuple: two to eight layers of different types, the layer next to the data first.
//!     let layers = (ActNormConfig::new(3).init(&device), couplings, linear);
//!     Flow::new(layers, StandardNormal::<2>::new([3], &device))
//! });
//! let x = Noise::seeded(1).normal::<2>([10, 3], &device);
//! assert_eq!(flow.log_prob(x).dims(), [10]);
//! ```
//!
//! # A struct of layers
//!
//! [`layers!`](crate::layers) makes a struct a layer. The fields are applied in the order of their declaration. The
//! names of the fields appear in error messages and in files, where a tuple shows numbers.
//!
//! ```
//! use burn_flows::bijector::{ActNorm, Coupling};
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::conditioner::Mlp;
//! use burn_flows::prelude::*;
//!
//! burn_flows::layers! {
//!     /// Normalization, then a coupling.
//!     struct Step {
//!         norm: ActNorm,
//!         coupling: Coupling<Affine, Mlp>,
//!     }
//! }
//!
//! let device = Device::flex();
//! let step = |mask| Step {
//!     norm: ActNormConfig::new(4).init(&device),
//!     coupling: CouplingConfig::new(4).with_mask(mask).init(Affine::default(), &device),
//! };
//! let steps = vec![step(Mask::Halves), step(Mask::Halves.flipped())];
//! let flow = Flow::new(steps, StandardNormal::<2>::new([4], &device));
//! assert_eq!(flow.sample::<2>(5).dims(), [5, 4]);
//! ```
//!
//! The crate that calls `layers!` needs `burn` among its dependencies: `cargo add burn@0.22 --no-default-features`.
//!
//! # The other direction, and a part of the columns
//!
//! [`Inverse`](crate::bijector::Inverse) swaps the two directions of a layer. [`Partial`](crate::bijector::Partial)
//! applies a layer to some columns. The mask of `Partial` names the columns that stay as they are.
//!
//! ```
//! use burn_flows::bijector::{Inverse, Partial, Softplus};
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//!
//! let device = Device::flex();
//! // Column 1 is positive. Columns 0 and 2 stay as they are.
//! let positive = Partial::new(&Mask::Kept(vec![0, 2]), &[3], Inverse::new(Softplus {}), &device)?;
//! let (layers, base) = RealNvpConfig::new(3).with_layers(2).with_seed(1).init(&device).into_parts();
//! let flow = Flow::new((positive, layers), base);
//!
//! let x = flow.sample_seeded::<2>(100, 1);
//! assert!(x.narrow(1, 1, 1).min().into_scalar::<f32>() > 0.0);
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! A data-dependent layer inside an `Inverse` is not initialised from data.
//!
//! # Configurations as JSON
//!
//! The program below also needs `cargo add serde_json`.
//!
//! A JSON text may leave out each field that has a default. An unknown field is an error.
//! [`AnyBijectorConfig`](crate::bijector::AnyBijectorConfig) describes a stack that is known at run time only; its
//! variants are the names of the layers.
//!
//! ```
//! use burn_flows::bijector::{AnyBijector, AnyBijectorConfig};
//! use burn_flows::burn::tensor::Device;
//! use burn_flows::prelude::*;
//!
//! let config: RealNvpConfig = serde_json::from_str(r#"{"features": 3, "layers": 4, "seed": 7}"#)?;
//! assert_eq!((config.layers, config.context), (4, 0));
//! assert!(serde_json::from_str::<RealNvpConfig>(r#"{"features": 3, "layer": 4}"#).is_err());
//!
//! let text = r#"{"Stack": [
//!     {"ActNorm": {"features": 3}},
//!     {"Coupling": {"univariate": "Additive", "coupling": {"features": 3, "mlp": {"hidden": [16]}}}},
//!     {"Reverse": {"features": 3}}
//! ]}"#;
//! let stack: AnyBijectorConfig = serde_json::from_str(text)?;
//! let layers: AnyBijector = stack.try_init(&Device::flex())?;
//! let flow = Flow::new(layers, StandardNormal::<2>::new([3], &Device::flex()));
//! assert_eq!(flow.sample::<2>(2).dims(), [2, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
