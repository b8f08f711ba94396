//! Whatever the bytes, reading tar archives without an index ends with a value or an error.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alexnet_data::fuzzing::shard(bytes));
