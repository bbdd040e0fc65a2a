//! Checks and corrections of a posterior: calibration, coverage, importance weights, rejection and truncation.
//!
//! A trained flow gives a posterior `q(theta | x)`. The functions of this module say whether it can be trusted, and
//! correct it where the true density is known up to a constant. They take draws and log-densities, from a flow or from
//! any other source.
//!
//! | question | answer |
//! | --- | --- |
//! | is each marginal calibrated? | [`Ranks`]: simulation-based calibration, with a test of uniformity |
//! | do credible regions hold the truth as often as they claim? | [`expected_coverage`], [`tarp`] |
//! | how far is the flow from a target known up to a constant? | [`ImportanceWeights`]: effective draws, Pareto k |
//! | what are expectations under that target? | [`ImportanceWeights::mean`], with standard errors |
//! | how do draws stay inside the support of the prior? | [`RejectionSampler`], with acceptance rates |
//! | where should the next simulations be? | [`HighestDensityRegion`]: truncated proposals (TSNPE) |

mod calibration;
mod importance;
mod rejection;
mod truncated;

pub use calibration::{Ranks, expected_coverage, tarp};
pub use importance::{Estimate, ImportanceWeights};
pub use rejection::{AcceptanceRate, RejectionSampler};
pub use truncated::HighestDensityRegion;
