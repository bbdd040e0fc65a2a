//! Monotone piecewise maps of an interval onto itself.

mod bins;
mod cubic;
mod domain;
mod linear;
mod quadratic;
mod rational_quadratic;
mod unit;

pub use cubic::{CubicSpline, CubicSplineConfig};
pub use domain::SplineDomain;
pub use linear::{LinearSpline, LinearSplineConfig};
pub use quadratic::{QuadraticSpline, QuadraticSplineConfig, TailSlope};
pub use rational_quadratic::{KnotMap, RationalQuadratic, RationalQuadraticConfig};
