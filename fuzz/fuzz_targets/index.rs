//! For any bytes, parsing the index of a shard gives a value or an error.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alexnet_data::fuzzing::index(bytes));
