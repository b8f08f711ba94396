//! For any bytes, reading a Parquet file gives a value or an error.

#![no_main]

use std::sync::Once;

// The library panics on some damaged files; our reader catches these panics. The fuzzer's panic hook would end the process
// before that, so it is replaced; an uncaught panic still ends the process.
static QUIET: Once = Once::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    alexnet_data::fuzzing::parquet(bytes);
});
