//! Linear bijectors: full matrices by their factors, and permutations.

mod lu;
mod permutation;

pub use lu::{LuFactors, LuLinear, LuLinearConfig};
pub use permutation::Permutation;
