//! Normalizing flows for [burn]: exact densities and exact samples from composable bijective
//! layers, on every burn backend.
//!
//! ```
//! use burn_flows::{burn::tensor::Device, prelude::*, train::{FitConfig, fit}};
//!
//! let x = Noise::seeded(1).normal::<2>([200, 3], &Device::flex()) * 2.0; // your rows
//! let flow = RealNvpConfig::new(3).with_layers(4).with_seed(1).init(&Device::flex());
//! let (flow, _report) = fit(flow, x.clone(), &FitConfig::new().with_epochs(2))?;
//! assert_eq!(flow.log_prob(x).dims(), [200]); // nats, exact
//! assert_eq!(flow.sample(10).dims(), [10, 3]); // new rows, exact
//! # Ok::<(), burn_flows::Error>(())
//! ```
//!
//! # Four traits
//!
//! A [`Bijector`](bijector::Bijector) is an invertible layer that knows its log-determinant. A
//! [`Distribution`](distribution::Distribution) is a density with a sampler; a [`Flow`] makes one
//! of a bijector and a base. A [`Conditioner`](conditioner::Conditioner) is a network that gives
//! parameters. A [`Univariate`](univariate::Univariate) is a monotone scalar map that takes them.
//!
//! **Direction**: `forward` is data to latent, `x -> z`, the normalizing direction, as in nflows,
//! zuko and Glow; normflows, FlowJAX, distrax and TFP call the other way forward. `inverse`
//! generates. `log_det` is `ln |det|` of the direction taken, one number per row, in nats.
//!
//! # Catalogue
//!
//! * [`bijector`]: the layers, each with its formulas and paper
//! * [`univariate`] and [`conditioner`]: the scalar maps and networks inside them
//! * [`distribution`]: bases, and targets with exact density and sampler
//! * [`model`]: NICE (2015, arXiv:1410.8516), Real NVP (2017, arXiv:1605.08803), MAF (2017,
//!   arXiv:1705.07057), IAF (2016, arXiv:1606.04934), Glow (2018, arXiv:1807.03039),
//!   NSF, by couplings and autoregressive (2019, arXiv:1906.04032), circular NSF (2020,
//!   arXiv:2002.02428), NAF, UNAF, Bernstein, sum-of-squares and Gaussianization flows, planar
//!   flows (2015, arXiv:1505.05770), residual flows (2019, arXiv:1906.02735); [`MultiScale`] for image
//!   models of your own
//! * `train`: `fit`, also in the memory of one layer (`Reversible`), `fit_reverse_kl` to an unnormalised target, `log_z`, dequantization, bits per dimension, burn-train's learner
//! * [`store`]: weights and configurations in files with a checksum
//! * `interop`: weights of nflows, zuko, normflows and FlowJAX
//! * `testing`: the conformance suite, for a layer of your own too
//!
//! # How to choose
//!
//! Start with [`RealNvpConfig`](model::RealNvpConfig). On few rows, give its `mlp` dropout, its
//! `masks` [`Random`](model::Masks::Random), and `fit` an `average` of the weights: together they
//! are worth more than depth. Put a [`Standardize`](bijector::Standardize) in front, and a
//! [`Logit`](bijector::Logit) before it where data live in an interval. Where volume must be
//! preserved, [`NiceConfig`](model::NiceConfig). For densities of vectors also try
//! [`MafConfig`](model::MafConfig), with `linear` where columns nearly follow from others; for
//! training without data, [`IafConfig`](model::IafConfig), whose draws and their density are one
//! pass. A stack of another kind is a tuple or a `Vec` of layers.
//!
//! # What may be counted on
//!
//! * A configuration whose `validate` passes is built without a panic, and gives finite densities to
//!   ordinary data in f32, unless a limit of steps is too small for a search or an integration to converge.
//!   Refused are counts above 2^24, more than 10,000 layers, blocks or steps,
//!   one tensor of more than 2^31 elements, and lengths that f32 cannot square. What a whole model
//!   needs, it does not weigh: a thousand layers of a gigabyte pass.
//! * A model built with a seed, by `with_seed` of its configuration or within [`seeded`], has the same
//!   weights, bit for bit, in every build, thread and process and on every backend; another seed
//!   gives others, and the layers of a stack differ. With the seed of `train::FitConfig`, training
//!   gives the same model on the same backend.
//! * A row with an element, or a context, that is NaN or infinite has a log-density of NaN or minus
//!   infinity, and no other row changes. With an element of 1e30 a row has minus infinity or a
//!   hugely negative number; where the layers magnify it to the end of f32, and infinities meet in
//!   their sums, NaN: of one Real NVP of eight layers and random weights in twenty-five.
//! * A row whose search or integration has not converged within its limit
//!   ([`FixedPoint`](bijector::FixedPoint), [`Solver`](bijector::Solver), inverses by search) is NaN, and so is
//!   its log-determinant. No other row changes. `Distribution::first_non_finite` names the layer.
//! * On `flex`, in f32 and f64, a row has the same bits alone, in a batch beside any other rows, and on any number
//!   of threads.
//! * A damaged, truncated or foreign file is an [`Error`]. Reading one takes memory in proportion to
//!   the file, whatever its header claims, opens no other path, and runs nothing that stands in it.
//! * A file that [`store::save`] wrote describes its model. [`store::load`] into a model with another setting is an
//!   [`Error`] that names the layer and the setting; [`store::open`] builds the model from the file alone.
//! * `train::fit` never returns weights that were not trained: it returns an [`Error`] that names the row, the layer
//!   or the column at fault.
//! * Calls of a flow from a rayon pool or from many threads neither hang nor overflow the stack, also where a lock is
//!   held around each call. [`set_threads`] names the one lock that must not be held.
//! * A checkpoint of `train::fit` is whole or it is the one before: a run that is killed goes on to
//!   the weights, bit for bit, that it would have had.
//!
//! # What this crate does not do yet
//!
//! Fused kernels are for the `flex` backend alone. `ndarray` and `wgpu` are compared with it, layer by
//! layer. Not tested on a GPU. [`cast`] says what half precision loses.
//!
//! # Features
//!
//! [`guide::backends`] lists the backends, which are features, and what was tested on each. Other features: `train`
//! (default), `learner` (burn-train), `interop`, `testing`. Rust 1.95 or later, as burn 0.22.
//!
//! A module of your own derives burn's `Module`, whose macro needs `burn` among your dependencies,
//! in the version that [`burn_flows::burn`](burn) re-exports.

// For `layers!`, which writes paths of this crate.
extern crate self as burn_flows;
#[doc(hidden)]
pub use serde;

pub mod bijector;
mod by_parts;
pub mod conditioner;
mod config;
mod crew;
pub mod distribution;
mod draws;
mod elimination;
mod error;
mod flow;
pub mod guide;
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
pub use error::{Error, Result};
pub use flow::{Finish, Flow, Given, MultiScale};
pub use initial::seeded;
pub use noise::Noise;
pub use param::{cast, to_device};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
