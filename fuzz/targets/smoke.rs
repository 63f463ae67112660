#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| orca::fuzz::smoke(bytes));
