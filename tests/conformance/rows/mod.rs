//! The rows.

mod autoregressive;
mod coupling;
mod elementwise;
mod images;
mod linear;
mod models;
mod monotone;
mod residual;
mod splines;
mod stacks;
