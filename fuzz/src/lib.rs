//! What the targets run, which is what the tests of the library run.

#[path = "../../tests/robustness/readers.rs"]
pub mod readers;
