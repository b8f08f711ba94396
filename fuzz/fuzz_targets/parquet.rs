//! Whatever the bytes, reading Parquet files ends with a value or an error.

#![no_main]

use std::sync::Once;

// The library panics on some damaged files, which our reader catches. The fuzzer's own hook would end the process before
// that; a panic that nobody catches still does.
static QUIET: Once = Once::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    alexnet_data::fuzzing::parquet(bytes);
});
