#![doc = include_str!("../README.md")]

mod philox;
mod stream;

pub use philox::Philox4x32;
pub use stream::{Purpose, Stream, permutation};
