//! The order of an epoch's samples and their division into batches.

use alexnet_random::{Purpose, Stream, permutation};
use serde::{Deserialize, Serialize};

/// The order of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The order of the list of samples.
    Sequential,
    /// A permutation that depends only on (seed, epoch).
    Shuffled,
    /// For disks with slow seeks: runs of [`RUN`](Order::RUN) neighboring samples enter a shuffle buffer in random order,
    /// and samples are drawn from the buffer at random. Depends only on (seed, epoch), too.
    ///
    /// # Source
    /// The shuffle buffer is that of `webdataset` and `tf.data`; the random order of the runs compensates for data sets
    /// sorted by class (Xu et al. 2022, *Stochastic Gradient Descent without Full Data Shuffle*).
    Buffered {
        /// Buffer size in samples; below 2, the samples of a run stay in order.
        buffer: u32,
    },
}

impl Order {
    /// Number of samples that [`Order::Buffered`] reads sequentially: about 7 MB of ImageNet images.
    pub const RUN: u32 = 64;
}

/// The share of one of several processes that divide an epoch's samples.
///
/// The batches `k` of all `ranks` processes together equal batch `k` of a single process with a `ranks` times larger batch
/// size: rank `r` takes the samples `r`, `r + ranks`, `r + 2 · ranks`, … of it. The shares are disjoint and complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Share {
    /// The rank of this process, from 0.
    pub rank: u32,
    /// The number of processes.
    pub ranks: u32,
}

impl Share {
    /// A single process.
    pub const WHOLE: Self = Self { rank: 0, ranks: 1 };
}

/// The division of an epoch into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batching {
    /// Samples of this process per batch.
    pub(crate) batch_size: usize,
    /// The first position of the order; earlier ones are already done.
    pub(crate) start_sample: usize,
    /// The share of this process.
    pub(crate) share: Share,
    /// Whether to drop the last batch if it is smaller.
    pub(crate) drop_last: bool,
}

/// The batches of one epoch. Batch `k` is a fixed range of positions of the order, whether or not its samples are usable,
/// so that a run can be resumed at any sample. All shares have the same number of batches; the last batch of a high rank
/// may have one sample less than that of a low rank, or be empty.
#[derive(Clone, Debug)]
pub(crate) struct EpochOrder {
    samples: Vec<u32>,
    /// With a shuffle buffer, the order in which samples enter it, and its size.
    arrivals: Option<(Vec<u32>, usize)>,
    batching: Batching,
    batches: usize,
}

impl EpochOrder {
    /// The order of `len` samples. If the batch size does not divide their number, the last batch is smaller, or dropped
    /// with `drop_last`. A `batch_size` of 0 gives no batches.
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

    /// Sample indices of a batch; empty if `number` is not below [`batches`](Self::batches).
    pub(crate) fn batch(&self, number: usize) -> Vec<u32> {
        if number >= self.batches {
            return Vec::new();
        }
        let rest = self.samples.get(self.position(number)..).unwrap_or_default();
        rest.iter().step_by(self.batching.share.ranks as usize).take(self.batching.batch_size).copied().collect()
    }

    /// With a shuffle buffer, the samples of all shares that enter it while batch `number` is drawn; for the first batch,
    /// including those that fill the buffer. Reading them when the batch is started reads each sample once, in runs, before
    /// it is needed.
    pub(crate) fn entering(&self, number: usize) -> &[u32] {
        let Some((arrivals, buffer)) = &self.arrivals else { return &[] };
        let Batching { batch_size, start_sample, share, .. } = self.batching;
        let drawn = |number: usize| start_sample + number * batch_size * share.ranks as usize;
        // If an epoch resumes in the middle, the buffer also holds older samples, which are not read again in runs.
        let from = if number == 0 { drawn(0) } else { drawn(number) + buffer };
        let to = (drawn(number + 1) + buffer).min(arrivals.len());
        arrivals.get(from.min(to)..to).unwrap_or_default()
    }
}

/// The order in which samples leave a shuffle buffer that is filled before the first draw, and in which each drawn sample
/// is replaced by the next one to enter.
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
            // The runs to which the samples of a batch belong.
            let mut of: Vec<_> = drawn.iter().map(|sample| sample / Order::RUN).collect();
            of.sort_unstable();
            of.dedup();
            mixed += of.len();
            for sample in drawn {
                let at = held.iter().position(|&held| held == sample);
                held.swap_remove(at.expect("a drawn sample has entered the buffer"));
            }
        }
        assert!(held.is_empty());
        // There are 16 runs; on average, a batch has samples of more than three of them.
        assert!(runs < 16 + 32 && mixed > 3 * order.batches(), "{runs} {mixed}");
        assert_ne!(order.batch(0), new(8, whole(batch, false)).batch(0));
        // After resuming in the middle, samples that entered earlier are drawn without being read ahead.
        let later = new(7, Batching { start_sample: 320, ..whole(batch, false) });
        assert_eq!(later.entering(1), order.entering(11));
        assert_eq!(later.entering(0).len(), buffer as usize + batch);
        assert!(EpochOrder::new(Order::Shuffled, len, 7, 1, whole(batch, false)).entering(0).is_empty());
    }
}
