//! In which order an epoch visits the samples, and how it is cut into batches.

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

/// One of several processes that divide an epoch's samples among them.
///
/// Batch `k` of all of them together is what batch `k` of one process would be whose batches are as many times as large:
/// rank `r` takes every `ranks`-th sample of it, from the `r`-th on. No sample is in two shares, and none is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Share {
    /// Which of them this is, from 0.
    pub rank: u32,
    /// How many there are.
    pub ranks: u32,
}

impl Share {
    /// One process, which takes everything.
    pub const WHOLE: Self = Self { rank: 0, ranks: 1 };
}

/// How an epoch is cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Samples of this process in each.
    pub batch_size: usize,
    /// The first position of the order; those before it have been seen.
    pub start_sample: usize,
    /// Whose batches.
    pub share: Share,
    /// Whether a last, smaller batch is left out.
    pub drop_last: bool,
}

/// The batches of one epoch: batch `k` is a fixed range of positions of the order, whatever happens to the samples in it,
/// so that a run can be resumed at any sample. All shares have the same number of batches; where the samples run out, the
/// last batch of a late rank may be smaller by one than that of an early one, or empty.
#[derive(Clone, Debug)]
pub struct EpochOrder {
    samples: Vec<u32>,
    batching: Batching,
    batches: usize,
}

impl EpochOrder {
    /// The order of `len` samples. The last batch is smaller where the numbers do not divide, or left out with
    /// `drop_last`. A `batch_size` of 0 gives no batches.
    pub fn new(order: Order, len: u32, seed: u64, epoch: u32, batching: Batching) -> Self {
        let samples: Vec<u32> = match order {
            Order::Sequential => (0..len).collect(),
            Order::Shuffled => permutation(len, seed, epoch),
        };
        let left = samples.len().saturating_sub(batching.start_sample);
        let batches = match batching.batch_size.saturating_mul(batching.share.ranks as usize) {
            0 => 0,
            together if batching.drop_last => left / together,
            together => left.div_ceil(together),
        };
        Self { samples, batching, batches }
    }

    /// Number of batches.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// The first position of a batch.
    pub fn position(&self, number: usize) -> usize {
        let Batching { batch_size, start_sample, share, .. } = self.batching;
        start_sample + number * batch_size * share.ranks as usize + share.rank as usize
    }

    /// Sample indices of a batch; empty from [`batches`](Self::batches) on.
    pub fn batch(&self, number: usize) -> Vec<u32> {
        if number >= self.batches {
            return Vec::new();
        }
        let rest = self.samples.get(self.position(number)..).unwrap_or_default();
        rest.iter().step_by(self.batching.share.ranks as usize).take(self.batching.batch_size).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(batch_size: usize, drop_last: bool) -> Batching {
        Batching { batch_size, start_sample: 0, share: Share::WHOLE, drop_last }
    }

    #[test]
    fn every_sample_is_in_one_batch() {
        for order in [Order::Sequential, Order::Shuffled] {
            let epoch = EpochOrder::new(order, 10, 1, 2, whole(4, false));
            assert_eq!(epoch.batches(), 3);
            let sizes: Vec<_> = (0..4).map(|k| epoch.batch(k).len()).collect();
            assert_eq!(sizes, [4, 4, 2, 0]);
            let mut all: Vec<u32> = (0..3).flat_map(|k| epoch.batch(k)).collect();
            assert_eq!(all == (0..10).collect::<Vec<_>>(), order == Order::Sequential);
            all.sort_unstable();
            assert_eq!(all, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_rest_can_be_dropped() {
        let batches = |len, size, drop| EpochOrder::new(Order::Sequential, len, 0, 0, whole(size, drop)).batches();
        assert_eq!(
            [batches(10, 4, true), batches(8, 4, true), batches(8, 4, false), batches(3, 4, true)],
            [2, 2, 2, 0]
        );
        assert_eq!([batches(0, 4, false), batches(5, 0, false)], [0, 0]);
    }

    #[test]
    fn the_shuffle_depends_on_seed_and_epoch() {
        let first = |seed, epoch| EpochOrder::new(Order::Shuffled, 100, seed, epoch, whole(100, false)).batch(0);
        assert_eq!(first(1, 1), first(1, 1));
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
    }

    #[test]
    fn shares_are_what_one_process_would_see() {
        for (len, ranks, drop_last) in [(24, 2, false), (25, 2, false), (26, 3, false), (29, 4, true), (3, 4, false)] {
            let batching = |batch_size, share| Batching { batch_size, share, ..whole(0, drop_last) };
            let new = |batching| EpochOrder::new(Order::Shuffled, len, 7, 1, batching);
            let one = new(batching(3 * ranks as usize, Share::WHOLE));
            let shares: Vec<_> = (0..ranks).map(|rank| new(batching(3, Share { rank, ranks }))).collect();
            for number in 0..one.batches() + 1 {
                let mut together: Vec<u32> = shares.iter().flat_map(|share| share.batch(number)).collect();
                let mut expected = one.batch(number);
                together.sort_unstable();
                expected.sort_unstable();
                assert_eq!(together, expected, "{len} {ranks} {number}");
            }
            assert!(shares.iter().all(|share| share.batches() == one.batches()));
        }
    }

    #[test]
    fn an_epoch_goes_on_at_any_sample() {
        let epoch = |start_sample, batch_size| {
            let batching = Batching { start_sample, ..whole(batch_size, false) };
            let epoch = EpochOrder::new(Order::Shuffled, 25, 3, 4, batching);
            (0..epoch.batches()).flat_map(|k| epoch.batch(k)).collect::<Vec<_>>()
        };
        let all = epoch(0, 4);
        for start in 0..=25 {
            assert_eq!(epoch(start, 3), all[start..]);
        }
        assert!(epoch(99, 3).is_empty());
    }
}
