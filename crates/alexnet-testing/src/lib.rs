//! Shared test utilities of the workspace: comparisons that fail for NaN, finite differences, golden files.
//!
//! All functions panic to fail a test.
#![allow(clippy::panic, clippy::unwrap_used)]

mod close;
mod golden;
mod gradient;
mod skip;
mod values;

pub use close::{assert_close, assert_same_bits};
pub use golden::Golden;
pub use gradient::assert_gradient;
pub use skip::{cpu_only, only_the_gpu, skip};
pub use values::{seed_of, uniform};
