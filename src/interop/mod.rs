//! Loads weights of other libraries; a loaded flow gives the same numbers as the original.
//!
//! To load a model trained in Python, save its `state_dict` by `torch.save` or as safetensors, and read the file into a
//! [`StateDict`]. Then pass the [`StateDict`] to the module of the library.
//!
//! | module | library | whole stacks | single layers |
//! | --- | --- | --- | --- |
//! | [`nflows`] | nflows 0.14 | [`nflows::flow`], [`nflows::glow`] | coupling, masked autoregressive, splines of every kind, ActNorm, BatchNorm, linear (LU, QR, SVD, Householder, plain), permutation |
//! | [`zuko`] | zuko 1.6 | [`zuko::real_nvp`], [`zuko::maf`], [`zuko::nsf`], [`zuko::ncsf`], [`zuko::bpf`], [`zuko::sospf`], [`zuko::naf`], [`zuko::unaf`], [`zuko::gf`], [`zuko::cnf`] | coupling, autoregressive and elementwise of any scalar map |
//! | [`normflows`] | normflows 1.7 | [`normflows::flow`], [`normflows::multiscale`] | masked affine, coupling block, MAF, Glow block, permute, LU, ActNorm, spline couplings and autoregressive, planar, radial, residual |
//! | [`flowjax`] | FlowJAX 19 | [`flowjax::coupling_flow`], [`flowjax::masked_autoregressive_flow`], [`flowjax::triangular_spline_flow`], [`flowjax::planar_flow`], [`flowjax::block_neural_autoregressive_flow`] | none |
//!
//! The page of each module lists, after its table, the options that the module does not support.
//!
//! All sizes come from the tensors: features, hidden widths, number of layers, context, masks. Settings that a library
//! does not save are arguments, with the default of the library. Examples are an activation, a scale map and a layer
//! without tensors.
//!
//! Weights are copied, and not recomputed: rows and columns are selected and transposed. Training can therefore
//! continue with the gradients of the other library. The exceptions are the scale of a FlowJAX base, and means and
//! scales of a normflows `GlowBase`.
//!
//! Directions follow this crate: forward is data to latent, even if the other library defines it otherwise.
//!
//! In f64, latents, log-determinants and log-densities agree to 1e-9, and inverses and gradients to 1e-7, relative to
//! their magnitude. If the other library inverts numerically, the inverse agrees to 10 times the round-trip error of
//! that library. The `CNF` of zuko is integrated in adaptive steps by both libraries. Its values agree to 10 times its
//! round-trip error, 1e-4 at `atol=1e-9` and `rtol=1e-8`, and its gradient of `x` to 5e-3.
//!
//! # Errors
//!
//! A missing, misshapen or non-finite tensor is an error that names the tensor. A tensor below the prefix that no layer
//! uses is an error that names the tensor, because the loaded model would differ from the trained model.
//!
//! # Example
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use burn_flows::interop::{HostTensor, StateDict, nflows};
//!
//! // What nflows saves for CompositeTransform([ActNorm(2), ReversePermutation(2)]).
//! let mut dict = StateDict::new();
//! dict.insert("_transforms.0.log_scale", HostTensor::floats([0.0, 2f64.ln()], [2]));
//! dict.insert("_transforms.0.shift", HostTensor::floats([1.0, 0.0], [2]));
//! dict.insert("_transforms.0.initialized", HostTensor::bools([true], []));
//! dict.insert("_transforms.1._permutation", HostTensor::ints([1, 0], [2]));
//!
//! let device = Device::flex();
//! let flow = nflows::flow(&dict, &nflows::Options::new(), &device)?;
//! let z = flow.encode(Tensor::<2>::from_data([[3.0, 5.0]], &device));
//! let expected = Tensor::<2>::from_data([[10.0, 4.0]], &device);
//! z.into_data().assert_approx_eq::<f32>(&expected.into_data(), Default::default());
//! # Ok::<(), burn_flows::Error>(())
//! ```

mod conv;
mod dense;
pub mod flowjax;
mod masked;
pub mod nflows;
pub mod normflows;
mod pytorch;
mod scope;
mod state_dict;
pub mod zuko;

pub use state_dict::{HostTensor, StateDict};

use burn::tensor::Device;

use crate::distribution::DiagNormal;
use crate::error::{Error, Result};
use crate::math::from_f64;

/// A fixed standard normal, for files without a base.
fn standard_base(features: usize, device: &Device) -> Result<DiagNormal<2>> {
    let row = |value: f64| from_f64(vec![value; features], [1, features], device);
    DiagNormal::fixed(row(0.0), row(1.0))
}

/// Returns an error unless a layer of `found` features fits after a layer of `expected` features.
fn same_width(layer: &str, expected: Option<usize>, found: usize) -> Result<()> {
    match expected {
        Some(expected) if expected != found => Err(Error::ShapeMismatch {
            name: layer.into(),
            expected: vec![expected],
            found: vec![found],
        }),
        _ => Ok(()),
    }
}
