#![no_main]

use burn_flows_fuzz::readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::foreign(bytes));
