//! Normalizing flows for burn.

pub mod bijector;
pub mod conditioner;
pub mod distribution;
mod error;
mod flow;
mod math;
pub mod model;
mod noise;
mod param;
pub mod prelude;
mod store;
#[cfg(feature = "train")]
pub mod train;
pub mod univariate;

pub use burn;
pub use error::{Error, Result};
pub use flow::Flow;
pub use noise::Noise;
