//! Random number streams, one per purpose.

use crate::Philox4x32;

/// The use of a stream's numbers. Purposes never share numbers, so drawing more numbers for one does not change another. The
/// discriminants are part of the reproducibility contract and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Purpose {
    /// Initial values of parameters; the index is the parameter's position in the network.
    InitialWeights = 0,
    /// The order of the samples; index 0 permutes an epoch, 1 draws from its shuffle buffer.
    Order = 1,
    /// Crop position, flip and other geometry of one sample.
    Augment = 2,
    /// Color noise of one sample.
    ColorNoise = 3,
    /// Dropout masks; the epoch is the training step, the index the layer.
    Dropout = 4,
    /// Pictures of synthetic data sets; the index is the picture.
    Synthetic = 5,
    /// The window of one sample's random resized crop.
    ResizedCrop = 6,
    /// Brightness, contrast, saturation and hue of one sample.
    ColorJitter = 7,
    /// The erased rectangle of one sample.
    Erasing = 8,
    /// Mixing of the samples of a batch; the index is the batch's first position in the epoch's order.
    Mixing = 9,
    /// Noise that replaces an erased rectangle.
    ErasingNoise = 10,
}

/// A stream of random numbers, a pure function of (seed, purpose, epoch, index).
///
/// The counter's words are `[block, index, epoch, purpose]`; each block yields four 32-bit words, so a stream repeats
/// after 2^34 words.
#[derive(Clone, Debug)]
pub struct Stream {
    philox: Philox4x32,
    counter: [u32; 4],
    words: [u32; 4],
    used: usize,
}

impl Stream {
    /// The stream of one purpose for one index of one epoch.
    pub fn new(seed: u64, purpose: Purpose, epoch: u32, index: u32) -> Self {
        Self { philox: Philox4x32::new(seed), counter: [0, index, epoch, purpose as u32], words: [0; 4], used: 4 }
    }

    /// The next 32 random bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.words = self.philox.block(self.counter);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-24, so every value is exact in `f32`.
    #[inline]
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform in `[low, high)`; `low` if the two are equal.
    #[inline]
    pub fn uniform_in(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// An integer uniform in `0..n`, without bias (Lemire, *Fast random integer generation in an interval*, 2019);
    /// 0 if `n` is 0.
    #[inline]
    pub fn below(&mut self, n: u32) -> u32 {
        if n == 0 {
            return 0;
        }
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// Standard normal (Box–Muller, one value per pair of words, computed in `f64`).
    #[inline]
    pub fn normal(&mut self) -> f32 {
        let scale = 1.0 / (1u64 << 32) as f64;
        // In (0, 1], so that the logarithm is finite.
        let u = (f64::from(self.next_u32()) + 1.0) * scale;
        let v = f64::from(self.next_u32()) * scale;
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// Gamma-distributed with the given shape, which must be positive, and scale 1.
    ///
    /// # Source
    /// Marsaglia, Tsang, *A simple method for generating gamma variables*, 2000; shapes below 1 by their section 6.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            // In (0, 1], so that its powers are finite.
            let u = 1.0 - f64::from(self.uniform());
            return self.gamma(shape + 1.0) * u.powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = f64::from(self.normal());
            let v = (1.0 + c * x).powi(3);
            let u = 1.0 - f64::from(self.uniform());
            if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// Beta-distributed in `[0, 1]` with both parameters `alpha`, which must be positive.
    pub fn symmetric_beta(&mut self, alpha: f64) -> f64 {
        let (a, b) = (self.gamma(alpha), self.gamma(alpha));
        // With a tiny alpha, both can be 0; the distribution is then concentrated at 0 and 1.
        if a + b > 0.0 { a / (a + b) } else { f64::from(self.below(2)) }
    }
}

/// A random permutation of `0..n` that depends only on the seed and the epoch (Fisher–Yates).
///
/// ```
/// let order = alexnet_random::permutation(5, 1, 0);
/// assert_ne!(order, alexnet_random::permutation(5, 1, 1));
/// let mut sorted = order;
/// sorted.sort_unstable();
/// assert_eq!(sorted, [0, 1, 2, 3, 4]);
/// ```
pub fn permutation(n: u32, seed: u64, epoch: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    let mut stream = Stream::new(seed, Purpose::Order, epoch, 0);
    for i in (1..n).rev() {
        order.swap(i as usize, stream.below(i + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        (mean, values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n)
    }

    #[test]
    fn streams_are_functions_of_their_names() {
        let words = |seed, purpose, epoch, index| {
            let mut stream = Stream::new(seed, purpose, epoch, index);
            [0; 6].map(|_| stream.next_u32())
        };
        let base = words(1, Purpose::Augment, 2, 3);
        assert_eq!(base, words(1, Purpose::Augment, 2, 3));
        assert_ne!(base, words(2, Purpose::Augment, 2, 3));
        assert_ne!(base, words(1 << 40, Purpose::Augment, 2, 3));
        assert_ne!(base, words(1, Purpose::ColorNoise, 2, 3));
        assert_ne!(base, words(1, Purpose::Augment, 3, 3));
        assert_ne!(base, words(1, Purpose::Augment, 2, 4));
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut stream = Stream::new(5, Purpose::InitialWeights, 0, 0);
        let uniform: Vec<f32> = (0..100_000).map(|_| stream.uniform()).collect();
        assert!(uniform.iter().all(|u| (0.0..1.0).contains(u)));
        let (mean, variance) = moments(&uniform);
        // Five standard errors: 5·√(1/12/1e5) and about 5·√(1/180/1e5).
        assert!((mean - 0.5).abs() < 4.6e-3 && (variance - 1.0 / 12.0).abs() < 1.2e-3, "{mean} {variance}");

        let normal: Vec<f32> = (0..100_000).map(|_| stream.normal()).collect();
        let (mean, variance) = moments(&normal);
        assert!(mean.abs() < 1.6e-2 && (variance - 1.0).abs() < 2.3e-2, "{mean} {variance}");
        let tail = normal.iter().filter(|z| z.abs() > 1.96).count();
        assert!((4650..5350).contains(&tail), "{tail} of 100,000 beyond 1.96, 5,000 expected");
    }

    #[test]
    fn gamma_and_beta_have_their_moments() {
        let mut stream = Stream::new(6, Purpose::Mixing, 0, 0);
        for shape in [0.2, 1.0, 3.5] {
            let values: Vec<f32> = (0..100_000).map(|_| stream.gamma(shape) as f32).collect();
            let (mean, variance) = moments(&values);
            // Mean and variance both equal the shape k; five standard errors, with the fourth central moment 3k² + 6k.
            let error = (5.0 * (shape / 1e5).sqrt(), 5.0 * ((2.0 * shape * shape + 6.0 * shape) / 1e5).sqrt());
            assert!((mean - shape).abs() < error.0 && (variance - shape).abs() < error.1, "{shape}: {mean} {variance}");
        }
        for alpha in [0.2, 1.0, 4.0] {
            let values: Vec<f32> = (0..100_000).map(|_| stream.symmetric_beta(alpha) as f32).collect();
            assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
            let (mean, variance) = moments(&values);
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 5.0 * (expected / 1e5).sqrt(), "{alpha}: {mean}");
            assert!((variance - expected).abs() < 0.02 * expected, "{alpha}: {variance}, expected {expected}");
        }
        assert!((0..100).all(|_| [0.0, 1.0].contains(&stream.symmetric_beta(1e-9))));
    }

    #[test]
    fn below_is_uniform_and_bounded() {
        let mut stream = Stream::new(9, Purpose::Augment, 0, 0);
        let mut counts = [0; 33];
        for _ in 0..33_000 {
            counts[stream.below(33) as usize] += 1;
        }
        assert!(counts.iter().all(|&c| (840..1160).contains(&c)), "{counts:?}");
        assert_eq!((stream.below(1), stream.below(0)), (0, 0));
    }

    #[test]
    fn permutations_hold_every_number_once() {
        for n in [0, 1, 2, 1000] {
            let mut order = permutation(n, 3, 4);
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
    }
}
