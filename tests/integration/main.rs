//! What holds across the crates: the command line as a person or a program uses it, runs that are killed and go on,
//! networks that learn, weights that travel.

#![allow(unreachable_pub)] // A test has no outside.
#![allow(clippy::unwrap_used, clippy::panic)] // Nor anyone to give an error to.

mod command_line;
mod fine_tuning;
mod learning;
mod own_networks;
mod program;
mod resume;
mod shards;
mod travelling_weights;
mod wrong_input;
