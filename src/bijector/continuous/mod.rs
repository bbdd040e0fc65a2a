//! Continuous layers: the solution of a differential equation.

mod cnf;
mod field;
mod solver;

pub use cnf::{Cnf, CnfConfig};
pub use field::{Divergence, SmoothActivation};
pub use solver::Solver;
