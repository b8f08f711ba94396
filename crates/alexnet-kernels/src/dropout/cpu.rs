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
        let start = params.first_value.wrapping_add(range.start as u64);
        let (x, keeps) = (&x[range], |word: u32| word >> 8 < threshold);
        let words = |block: u64| philox.block([block as u32, params.layer, params.step, Purpose::Dropout as u32]);
        // Up to the next block of four numbers.
        let lead = ((4 - start % 4) % 4).min(x.len() as u64) as usize;
        let ((x_lead, x), (y_lead, y)) = (x.split_at(lead), y.split_at_mut(lead));
        for ((x, y), word) in x_lead.iter().zip(y_lead).zip(&words(start / 4)[(start % 4) as usize..]) {
            *y = if keeps(*word) { x * factor } else { 0.0 };
        }
        let first = start.div_ceil(4);
        for (block, (x, y)) in (first..).zip(x.chunks(4).zip(y.chunks_mut(4))) {
            for ((x, y), word) in x.iter().zip(y).zip(words(block)) {
                *y = if keeps(word) { x * factor } else { 0.0 };
            }
        }
    });
}
