//! Inputs generated identically in Rust and Python.

use alexnet_random::{Purpose, Stream};

/// The seed of a test case: the 64-bit FNV-1a hash of its name.
pub fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `len` values uniform in `[-1, 1)`, multiples of 2^-23: the `index`-th input of the case `name`.
/// `xtask/golden/philox.py` generates the same values.
pub fn uniform(name: &str, index: u32, len: usize) -> Vec<f32> {
    let mut stream = Stream::new(seed_of(name), Purpose::Synthetic, 0, index);
    (0..len).map(|_| stream.uniform() * 2.0 - 1.0).collect()
}
