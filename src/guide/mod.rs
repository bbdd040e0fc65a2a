//! The guide: one chapter for each task, in reading order. The module holds documentation and no code to call.
//!
#![doc = include_str!("pictures/direction.svg")]
//!
//! 1. [`table`]: the density of a table, from a CSV file to log-densities and new rows
//! 2. [`conditional`]: conditional densities, and posteriors of a simulator
//! 3. [`images`]: dequantization, Glow, multi-scale flows, bits per dimension, temperature
//! 4. [`without_data`]: a flow for a density that is known up to a constant, and the constant
//! 5. [`layers`](mod@layers): a layer for each purpose, combinations, and configurations in JSON
//! 6. [`extend`]: a layer, a scalar map, a conditioner and a distribution of your own
//! 7. [`saving`]: files, threads, and one row at a time
//! 8. [`reproducibility`]: seeds, threads and checkpoints
//! 9. [`trouble`]: training that diverges or overfits, and tests of a trained density
//! 10. [`python`]: weights from zuko, nflows, normflows and FlowJAX
//! 11. [`backends`]: backends, devices and precision
//! 12. [`guarantees`]: what the tests of this crate guarantee
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
pub mod trouble;
pub mod without_data;
