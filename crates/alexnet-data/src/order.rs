//! In which order an epoch visits the samples, and how it is cut into batches.

use std::ops::Range;

use alexnet_random::permutation;
use serde::{Deserialize, Serialize};

/// The order of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As the samples are listed.
    Sequential,
    /// A permutation that depends on (seed, epoch) alone.
    Shuffled,
}

/// The batches of one epoch: batch `k` is positions `k * batch_size..(k + 1) * batch_size` of the order, whatever
/// happens to the samples in it, so that a run can be resumed at any batch.
#[derive(Clone, Debug)]
pub struct EpochOrder {
    samples: Vec<u32>,
    batch_size: usize,
    batches: usize,
}

impl EpochOrder {
    /// The order of `len` samples. The last batch is smaller where `batch_size` does not divide `len`, or left out with
    /// `drop_last`. A `batch_size` of 0 gives no batches.
    pub fn new(order: Order, len: u32, seed: u64, epoch: u32, batch_size: usize, drop_last: bool) -> Self {
        let samples = match order {
            Order::Sequential => (0..len).collect(),
            Order::Shuffled => permutation(len, seed, epoch),
        };
        let (full, rest) = match batch_size {
            0 => (0, 0),
            size => (samples.len() / size, samples.len() % size),
        };
        Self { samples, batch_size, batches: full + usize::from(rest > 0 && !drop_last) }
    }

    /// Number of batches.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// Sample indices of a batch; empty from [`batches`](Self::batches) on.
    pub fn batch(&self, number: usize) -> &[u32] {
        let Range { start, end } = self.positions(number);
        &self.samples[start..end]
    }

    fn positions(&self, number: usize) -> Range<usize> {
        if number >= self.batches {
            return 0..0;
        }
        let start = number * self.batch_size;
        start..(start + self.batch_size).min(self.samples.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_in_one_batch() {
        for order in [Order::Sequential, Order::Shuffled] {
            let epoch = EpochOrder::new(order, 10, 1, 2, 4, false);
            assert_eq!(epoch.batches(), 3);
            let sizes: Vec<_> = (0..4).map(|k| epoch.batch(k).len()).collect();
            assert_eq!(sizes, [4, 4, 2, 0]);
            let mut all: Vec<u32> = (0..3).flat_map(|k| epoch.batch(k).to_vec()).collect();
            assert_eq!(all == (0..10).collect::<Vec<_>>(), order == Order::Sequential);
            all.sort_unstable();
            assert_eq!(all, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_rest_can_be_dropped() {
        let batches = |len, size, drop| EpochOrder::new(Order::Sequential, len, 0, 0, size, drop).batches();
        assert_eq!(
            [batches(10, 4, true), batches(8, 4, true), batches(8, 4, false), batches(3, 4, true)],
            [2, 2, 2, 0]
        );
        assert_eq!([batches(0, 4, false), batches(5, 0, false)], [0, 0]);
    }

    #[test]
    fn the_shuffle_depends_on_seed_and_epoch() {
        let first = |seed, epoch| EpochOrder::new(Order::Shuffled, 100, seed, epoch, 100, false).batch(0).to_vec();
        assert_eq!(first(1, 1), first(1, 1));
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
    }
}
