//! Whatever the bytes, reading Parquet files ends with a value or an error.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alexnet_data::fuzzing::parquet(bytes));
