//! Tests across the crates: the command line with output for people and for programs, runs that are killed and resumed,
//! networks that learn, weights loaded with Candle.

#![allow(unreachable_pub)] // A test exports nothing.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails by panicking.

mod command_line;
mod fine_tuning;
mod learning;
mod own_networks;
mod program;
mod resume;
mod shards;
mod travelling_weights;
mod wrong_input;
