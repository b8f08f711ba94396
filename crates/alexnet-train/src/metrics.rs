//! Loss and accuracy, summed over images.

use serde::{Deserialize, Serialize};

/// Accumulates sums over images and returns their means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of images.
    pub images: u64,
    loss: f64,
    top1: f64,
    top5: f64,
}

impl Metrics {
    /// Adds one image: its loss, and the scores (logits or probabilities) of all classes.
    pub fn add(&mut self, loss: f64, scores: &[f32], label: u32) {
        self.images += 1;
        self.loss += loss;
        self.top1 += top_k(scores, label, 1);
        self.top5 += top_k(scores, label, 5);
    }

    /// Mean loss.
    pub fn loss(&self) -> f64 {
        self.loss / self.images.max(1) as f64
    }

    /// Top-1 accuracy: the fraction of images whose label has the largest score, from 0 to 1.
    pub fn top1(&self) -> f64 {
        self.top1 / self.images.max(1) as f64
    }

    /// Top-5 accuracy: the fraction of images whose label is among the five largest scores, from 0 to 1.
    pub fn top5(&self) -> f64 {
        self.top5 / self.images.max(1) as f64
    }
}

/// Whether `label` is among the `k` largest `scores`: 1 or 0, or, if scores are tied for the last places, the fraction
/// of the tied scores that fit (as in `kLogregCost` and `multiSoftmaxCPU` of the 2012 code). The result is 0 if the
/// label's score is NaN.
///
/// ```
/// use alexnet_train::top_k;
///
/// assert_eq!(top_k(&[0.1, 0.7, 0.2], 1, 1), 1.0);
/// assert_eq!(top_k(&[0.5, 0.5, 0.0], 1, 1), 0.5); // two tied for one place
/// assert_eq!(top_k(&[0.0; 10], 3, 5), 0.5); // ten tied for five places
/// ```
pub fn top_k(scores: &[f32], label: u32, k: usize) -> f64 {
    let Some(&own) = scores.get(label as usize).filter(|own| !own.is_nan()) else {
        return 0.0;
    };
    let larger = scores.iter().filter(|&&score| score > own || score.is_nan()).count();
    let equal = scores.iter().filter(|&&score| score == own).count();
    (k.saturating_sub(larger) as f64 / equal as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let scores = [5.0, 4.0, 3.0, 2.0, 1.0, 0.0];
        for (label, (top1, top5)) in
            [(1.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 0.0)].iter().enumerate()
        {
            assert_eq!((top_k(&scores, label as u32, 1), top_k(&scores, label as u32, 5)), (*top1, *top5), "{label}");
        }
        // One larger, three equal ones share the remaining place of two.
        assert_eq!(top_k(&[9.0, 1.0, 1.0, 1.0], 2, 2), 1.0 / 3.0);
        assert_eq!(top_k(&[1.0, f32::NAN], 0, 1), 0.0);
        assert_eq!(top_k(&[f32::NAN, 1.0], 0, 5), 0.0);
        assert_eq!(top_k(&[1.0], 3, 5), 0.0);
        assert_eq!(top_k(&[1.0, 2.0], 0, 5), 1.0);
    }

    #[test]
    fn means() {
        let mut metrics = Metrics::default();
        assert_eq!((metrics.loss(), metrics.top1(), metrics.top5()), (0.0, 0.0, 0.0));
        metrics.add(1.0, &[1.0, 0.0], 0);
        metrics.add(2.0, &[1.0, 0.0], 1);
        assert_eq!((metrics.images, metrics.loss(), metrics.top1(), metrics.top5()), (2, 1.5, 0.5, 1.0));
    }
}
