//! The fast path: every range of values starts at its own position in the stream of random numbers.

use alexnet_random::{Philox4x32, Purpose};

use super::DropoutParams;
use crate::parallel::{self, Shared};

pub(super) fn apply(x: &[f32], params: &DropoutParams, y: &mut [f32]) {
    let philox = Philox4x32::new(params.seed);
    let (threshold, factor) = (params.threshold(), params.training_factor());
    let y = Shared::new(y);
    parallel::for_ranges(x.len(), 4096, |range| {
        // SAFETY: one part per range; the length of each is a multiple of four, except for the last.
        let y = unsafe { y.slice(range.clone()) };
        let first = range.start / 4;
        for (block, (x, y)) in x[range].chunks(4).zip(y.chunks_mut(4)).enumerate() {
            let counter = [(first + block) as u32, params.layer, params.step, Purpose::Dropout as u32];
            let words = philox.block(counter);
            for ((x, y), word) in x.iter().zip(y).zip(words) {
                *y = if word >> 8 < threshold { x * factor } else { 0.0 };
            }
        }
    });
}
