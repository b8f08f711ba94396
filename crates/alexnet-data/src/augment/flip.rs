//! Horizontal flips, which do not change an object's class.

use alexnet_random::Stream;

/// True with probability one half.
///
/// # Source
/// Krizhevsky et al. 2012, section 4.1.
pub(crate) fn random_flip(stream: &mut Stream) -> bool {
    stream.uniform() < 0.5
}
