//! See `ow_host::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ow_host::fuzz::signature(bytes));
