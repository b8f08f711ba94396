//! For any bytes, scanning a tar archive without an index gives a value or an error.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alexnet_data::fuzzing::shard(bytes));
