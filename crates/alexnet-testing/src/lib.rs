//! What the tests of the workspace share: comparisons in which a NaN fails, finite differences, golden files.
//!
//! Everything here panics where a test should fail.
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
