//! The guide: one chapter for each task, in reading order. The module holds documentation and no code to call.
//!
#![doc = include_str!("pictures/direction.svg")]
//!
//! 1. [`table`]: the density of a table, from a CSV file to log-densities and new rows
//! 2. [`conditional`]: conditional densities, and posteriors of a simulator
//! 3. [`training`]: callbacks and metrics, a time limit, data larger than memory, other losses
//! 4. [`images`]: dequantization, Glow, multi-scale flows, bits per dimension, temperature
//! 5. [`without_data`]: a flow for a density that is known up to a constant, and the constant
//! 6. [`layers`](mod@layers): a layer for each purpose, combinations, and configurations in JSON
//! 7. [`extend`]: a layer, a scalar map, a conditioner and a distribution of your own
//! 8. [`saving`]: files, threads, and one row at a time
//! 9. [`reproducibility`]: seeds, threads and checkpoints
//! 10. [`trouble`]: training that diverges or overfits, and tests of a trained density
//! 11. [`python`]: weights from zuko, nflows, normflows and FlowJAX
//! 12. [`backends`]: backends, devices and precision
//! 13. [`guarantees`]: what the tests of this crate guarantee
//!
//! The snippets use small networks and few epochs, and run as tests:
//! `cargo test --release --doc -p burn-flows guide`. For real data, start from the defaults of the configurations.

pub mod backends;
pub mod conditional;
pub mod extend;
pub mod guarantees;
pub mod images;
pub mod layers;
pub mod python;
pub mod reproducibility;
pub mod saving;
pub mod table;
pub mod training;
pub mod trouble;
pub mod without_data;
