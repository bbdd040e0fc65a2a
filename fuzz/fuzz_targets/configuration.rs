#![no_main]

#[path = "../../tests/robustness/readers.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    readers::configuration(bytes, folder.path());
});
