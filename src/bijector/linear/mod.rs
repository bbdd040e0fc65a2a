//! Linear bijectors: full matrices by their factors, and permutations.

mod conv1x1;
mod lu;
mod permutation;

pub use conv1x1::{InvertibleConv1x1, InvertibleConv1x1Config};
pub use lu::{LuFactors, LuLinear, LuLinearConfig};
pub use permutation::Permutation;
