#![no_main]

#[path = "../../tests/robustness/readers.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::foreign(bytes));
