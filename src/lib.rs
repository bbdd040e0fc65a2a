//! Normalizing flows for burn.

pub mod bijector;
pub mod conditioner;
pub mod distribution;
mod error;
mod flow;
#[cfg(feature = "interop")]
pub mod interop;
mod math;
pub mod model;
mod noise;
pub mod prelude;
pub mod univariate;

pub use burn;
pub use error::{Error, Result};
pub use flow::Flow;
pub use noise::Noise;
