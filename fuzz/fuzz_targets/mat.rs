//! For any bytes, reading a MAT-file gives a value or an error.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alexnet_data::fuzzing::mat(bytes));
