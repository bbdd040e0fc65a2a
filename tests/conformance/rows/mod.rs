//! The rows of the suite.

pub mod autoregressive;
pub mod coupling;
pub mod elementwise;
pub mod images;
pub mod linear;
pub mod models;
pub mod monotone;
pub mod residual;
pub mod splines;
pub mod stacks;
