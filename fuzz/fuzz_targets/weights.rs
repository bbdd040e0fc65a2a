#![no_main]

use burn_flows_fuzz::readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    readers::weights(bytes, folder.path());
});
