//! Linear bijectors: matrices in several parameterisations, and permutations.

mod conv1x1;
mod dense;
mod householder;
mod lu;
mod matrix;
mod permutation;
mod qr;
mod rotation;
mod svd;
mod triangular;

pub use conv1x1::{ChannelMatrix, Conv1x1Matrix, InvertibleConv1x1, InvertibleConv1x1Config};
pub use dense::{DenseLinear, DenseLinearConfig, DenseMatrix};
pub use householder::{Householder, HouseholderConfig, Reflections};
pub use lu::{LuFactors, LuLinear, LuLinearConfig};
pub use matrix::{InvertibleMatrix, LinearMap};
pub use permutation::Permutation;
pub use qr::{QrFactors, QrLinear, QrLinearConfig};
pub use rotation::{Rotation, RotationConfig, RotationMatrix};
pub use svd::{SvdFactors, SvdLinear, SvdLinearConfig};
pub use triangular::{TriangularLinear, TriangularLinearConfig, TriangularMatrix};
