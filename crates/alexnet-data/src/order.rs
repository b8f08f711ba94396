//! In which order an epoch visits the samples, and how it is cut into batches.

use alexnet_random::{Purpose, Stream, permutation};
use serde::{Deserialize, Serialize};

/// The order of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As the samples are listed.
    Sequential,
    /// A permutation that depends on (seed, epoch) alone.
    Shuffled,
    /// For disks that seek slowly: runs of [`RUN`](Order::RUN) neighbors come in random order and pass through a buffer
    /// of so many samples, from which each is drawn at random. It depends on (seed, epoch) alone, too.
    ///
    /// # Source
    /// The buffer is that of `webdataset` and `tf.data`; runs in random order before it make up for data sets that lie
    /// class by class (Xu et al. 2022, *Stochastic Gradient Descent without Full Data Shuffle*).
    Buffered {
        /// Samples in the buffer; with fewer than 2, runs stay as they are.
        buffer: u32,
    },
}

impl Order {
    /// Samples that are read one after the other by [`Order::Buffered`]: of images of ImageNet, about 7 MB.
    pub const RUN: u32 = 64;
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
pub(crate) struct Batching {
    /// Samples of this process in each.
    pub(crate) batch_size: usize,
    /// The first position of the order; those before it have been seen.
    pub(crate) start_sample: usize,
    /// Whose batches.
    pub(crate) share: Share,
    /// Whether a last, smaller batch is left out.
    pub(crate) drop_last: bool,
}

/// The batches of one epoch: batch `k` is a fixed range of positions of the order, whatever happens to the samples in it,
/// so that a run can be resumed at any sample. All shares have the same number of batches; where the samples run out, the
/// last batch of a late rank may be smaller by one than that of an early one, or empty.
#[derive(Clone, Debug)]
pub(crate) struct EpochOrder {
    samples: Vec<u32>,
    /// With a buffer, the order in which samples enter it, and how many it holds.
    arrivals: Option<(Vec<u32>, usize)>,
    batching: Batching,
    batches: usize,
}

impl EpochOrder {
    /// The order of `len` samples. The last batch is smaller where the numbers do not divide, or left out with
    /// `drop_last`. A `batch_size` of 0 gives no batches.
    pub(crate) fn new(order: Order, len: u32, seed: u64, epoch: u32, batching: Batching) -> Self {
        let mut arrivals = None;
        let samples: Vec<u32> = match order {
            Order::Sequential => (0..len).collect(),
            Order::Shuffled => permutation(len, seed, epoch),
            Order::Buffered { buffer } => {
                let runs = permutation(len.div_ceil(Order::RUN), seed, epoch).into_iter();
                let run = |run: u32| run * Order::RUN..len.min((run + 1).saturating_mul(Order::RUN));
                let entering: Vec<u32> = runs.flat_map(run).collect();
                let slots = Stream::new(seed, Purpose::Order, epoch, 1);
                let (entering, _) = arrivals.insert((entering, buffer.max(1) as usize));
                through_buffer(entering, buffer.max(1) as usize, slots)
            }
        };
        let left = samples.len().saturating_sub(batching.start_sample);
        let batches = match batching.batch_size.saturating_mul(batching.share.ranks as usize) {
            0 => 0,
            together if batching.drop_last => left / together,
            together => left.div_ceil(together),
        };
        Self { samples, arrivals, batching, batches }
    }

    /// Number of batches.
    pub(crate) fn batches(&self) -> usize {
        self.batches
    }

    /// The first position of a batch.
    pub(crate) fn position(&self, number: usize) -> usize {
        let Batching { batch_size, start_sample, share, .. } = self.batching;
        start_sample + number * batch_size * share.ranks as usize + share.rank as usize
    }

    /// Sample indices of a batch; empty from [`batches`](Self::batches) on.
    pub(crate) fn batch(&self, number: usize) -> Vec<u32> {
        if number >= self.batches {
            return Vec::new();
        }
        let rest = self.samples.get(self.position(number)..).unwrap_or_default();
        rest.iter().step_by(self.batching.share.ranks as usize).take(self.batching.batch_size).copied().collect()
    }

    /// With a buffer, the samples that enter it while a batch is drawn, and before the first one those that fill it; of all
    /// shares. Whoever has them read when a batch is begun reads each once, in runs, before it is asked for.
    pub(crate) fn entering(&self, number: usize) -> &[u32] {
        let Some((arrivals, buffer)) = &self.arrivals else { return &[] };
        let Batching { batch_size, start_sample, share, .. } = self.batching;
        let drawn = |number: usize| start_sample + number * batch_size * share.ranks as usize;
        // Where an epoch goes on in the middle, the buffer holds older samples as well, which are not read again in runs.
        let from = if number == 0 { drawn(0) } else { drawn(number) + buffer };
        let to = (drawn(number + 1) + buffer).min(arrivals.len());
        arrivals.get(from.min(to)..to).unwrap_or_default()
    }
}

/// What comes out of a buffer that is full before the first is drawn, and in which each that is drawn makes place for the
/// next that enters.
fn through_buffer(entering: &[u32], buffer: usize, mut slots: Stream) -> Vec<u32> {
    let (first, rest) = entering.split_at(buffer.min(entering.len()));
    let mut held = first.to_vec();
    let mut left = Vec::with_capacity(entering.len());
    for &next in rest {
        let slot = slots.below(held.len() as u32) as usize;
        left.push(std::mem::replace(&mut held[slot], next));
    }
    while !held.is_empty() {
        left.push(held.swap_remove(slots.below(held.len() as u32) as usize));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(batch_size: usize, drop_last: bool) -> Batching {
        Batching { batch_size, start_sample: 0, share: Share::WHOLE, drop_last }
    }

    #[test]
    fn every_sample_is_in_one_batch() {
        for order in [Order::Sequential, Order::Shuffled, Order::Buffered { buffer: 3 }] {
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
        for order in [Order::Shuffled, Order::Buffered { buffer: 5 }] {
            let epoch = |start_sample, batch_size| {
                let batching = Batching { start_sample, ..whole(batch_size, false) };
                let epoch = EpochOrder::new(order, 25, 3, 4, batching);
                (0..epoch.batches()).flat_map(|k| epoch.batch(k)).collect::<Vec<_>>()
            };
            let all = epoch(0, 4);
            for start in 0..=25 {
                assert_eq!(epoch(start, 3), all[start..]);
            }
            assert!(epoch(99, 3).is_empty());
        }
    }

    #[test]
    fn a_buffer_is_entered_in_runs_and_left_at_random() {
        let (len, buffer, batch) = (1000, 200, 32);
        let new = |seed, batching| EpochOrder::new(Order::Buffered { buffer }, len, seed, 1, batching);
        let order = new(7, whole(batch, false));
        let mut held = Vec::new();
        let (mut runs, mut mixed) = (0, 0);
        for number in 0..order.batches() {
            let entering = order.entering(number);
            runs += entering.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
            held.extend_from_slice(entering);
            assert!(held.len() <= buffer as usize + batch);
            let drawn = order.batch(number);
            // Of how many runs the samples of a batch are.
            let mut of: Vec<_> = drawn.iter().map(|sample| sample / Order::RUN).collect();
            of.sort_unstable();
            of.dedup();
            mixed += of.len();
            for sample in drawn {
                let at = held.iter().position(|&held| held == sample);
                held.swap_remove(at.expect("what is drawn has been read"));
            }
        }
        assert!(held.is_empty());
        // 16 runs, in each batch samples of three or more of them.
        assert!(runs < 16 + 32 && mixed > 3 * order.batches(), "{runs} {mixed}");
        assert_ne!(order.batch(0), new(8, whole(batch, false)).batch(0));
        // Going on in the middle, what has entered before is drawn without being read ahead.
        let later = new(7, Batching { start_sample: 320, ..whole(batch, false) });
        assert_eq!(later.entering(1), order.entering(11));
        assert_eq!(later.entering(0).len(), buffer as usize + batch);
        assert!(EpochOrder::new(Order::Shuffled, len, 7, 1, whole(batch, false)).entering(0).is_empty());
    }
}
