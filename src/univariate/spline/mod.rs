//! Monotone piecewise maps of an interval onto itself.

mod bins;
mod domain;
mod rational_quadratic;

pub use domain::SplineDomain;
pub use rational_quadratic::{KnotMap, RationalQuadratic, RationalQuadraticConfig};
