//! Normalizing flows for [burn](https://burn.dev): exact densities and exact samples from composable bijective
//! layers, on every burn backend.
//!
//! ```
//! use burn_flows::{burn::tensor::Device, prelude::*};
//!
//! let x = Noise::seeded(1).normal::<2>([200, 3], &Device::flex()) * 2.0; // your rows
//! let flow = RealNvpConfig::new(3).with_layers(4).with_seed(1).init(&Device::flex());
//! let (flow, _report) = fit(flow, x.clone(), &FitConfig::new().with_epochs(2))?;
//! assert_eq!(flow.log_prob(x).dims(), [200]); // nats, exact
//! assert_eq!(flow.sample(10).dims(), [10, 3]); // new rows, exact
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! New here? The [`guide`] has a chapter for each task: densities of a table, conditional densities, images, training
//! without data, layers of your own, weights from Python, files, and what to do when training goes wrong.
//! [`guide::guarantees`] lists the guarantees.
//!
//! # A map of the crate
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`Flow`], [`MultiScale`] | a bijector and a base as one density, for vectors and for images of several levels |
//! | [`model`] | flows from papers, ready to train: Real NVP, MAF, neural spline flows, Glow and others |
//! | [`bijector`] | invertible layers, each with formulas, shapes and paper; the trait [`Bijector`](bijector::Bijector) |
//! | [`univariate`] | monotone scalar maps inside layers: affine maps, splines, polynomials, monotone networks |
//! | [`conditioner`] | networks that compute the parameters of a scalar map: dense, masked, convolutional |
//! | [`distribution`] | bases, mixtures, columns of different kinds, and targets with exact density and sampler |
//! | [`encoder`] | networks that turn a structured context, such as a set or a series, into the context of a density |
//! | [`train`] | [`fit`](train::fit), reverse KL, normalizing constants, dequantization, burn-train's learner |
//! | [`inference`] | calibration and coverage of posteriors, importance weights, rejection sampling, truncated proposals |
//! | [`store`] | weights and configurations in files with a checksum |
//! | `interop` | weights of nflows, zuko, normflows and FlowJAX |
//! | `testing` | the conformance suite for a layer of your own, and certificates of a trained flow |
//! | [`prelude`] | the imports of a first program |
//!
//! # Direction
//!
//! `forward` maps data to latent, `x -> z`, the normalizing direction, as in nflows, zuko and Glow. normflows, FlowJAX,
//! distrax and TFP call the other direction forward. `inverse` generates. `log_det` is `ln |det|` of the Jacobian of
//! the direction taken, one number for each row, in nats.
//!
//! # Construction
//!
//! A layer, a network or a model has a configuration `XConfig`. `XConfig::new` takes the fields without a default, and
//! `with_field` changes one of the others. The documentation of `with_field` states the default. `validate` returns an
//! error that names the first invalid field. `try_init` builds the module or returns that error. `init` panics with the
//! text of the error. A configuration with random weights has `with_seed`. In JSON, fields with a default are optional:
//! `{"features": 2}` is a [`RealNvpConfig`](model::RealNvpConfig). A constructor that checks its numbers, such as
//! `Logit::new(0.05)`, returns a [`Result`]. A tensor of a wrong shape is a bug of the caller: the call panics, and the
//! message names the expected and the found shape.
//!
//! # Features
//!
//! Default: `flex` (the CPU backend with this crate's fused kernels) and `train`. Other backends: [`guide::backends`].
//! Other features: `learner` (burn-train), `interop`, `testing`. Rust 1.95 or later.
//!
//! A module of your own derives burn's `Module`, whose macro needs `burn` among your dependencies, in the version that
//! `burn_flows::burn` re-exports.

// For `layers!`, which writes paths of this crate.
extern crate self as burn_flows;
#[doc(hidden)]
pub use serde;

pub mod bijector;
mod by_parts;
pub mod conditioner;
mod config;
mod crew;
mod display;
pub mod distribution;
mod draws;
mod elimination;
pub mod encoder;
mod error;
mod flow;
pub mod guide;
pub mod inference;
mod initial;
#[cfg(feature = "interop")]
pub mod interop;
mod kernel;
mod math;
pub mod model;
mod moments;
mod noise;
mod parallel;
mod param;
mod precision;
pub mod prelude;
mod quadrature;
mod rows;
mod solve;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
#[cfg(feature = "train")]
pub mod train;
pub mod univariate;
mod walk;

pub use burn;
pub use crew::set_threads;
pub use distribution::Given;
pub use error::{Error, Result};
pub use flow::{Finish, Flow, MultiScale};
pub use initial::seeded;
pub use noise::Noise;
pub use param::{cast, to_device};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
