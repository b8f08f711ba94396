//! Evaluation of a network on images it was not trained on.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use alexnet_data::{BadSample, BadSampleBudget, Batch, DataLoaderConfig, Pipeline, Sample};
use alexnet_kernels::softmax_cross_entropy;
use alexnet_model::{Mode, Network, Tape};
use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::feed::Feed;
use crate::metrics::Metrics;

/// Results of an evaluation.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Loss and accuracies.
    pub metrics: Metrics,
    /// Views per image.
    pub views: usize,
    /// Images per second, loading included.
    pub images_per_second: f64,
    /// Files that could not be read.
    pub bad: Vec<BadSample>,
}

/// The images for an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// The samples.
    pub samples: &'a Arc<[Sample]>,
    /// The pipeline from file to network input.
    pub pipeline: &'a Arc<Pipeline>,
    /// Loader configuration, including the number of views.
    pub config: DataLoaderConfig,
}

/// Evaluates `network` on `images`. With ten views (`config.views`), the probabilities of an image are averaged over
/// its views (Krizhevsky et al. 2012, section 4.1), and its loss is −ln of the mean probability of its label.
///
/// `progress(images done, total)` is called after each batch; if it breaks, the result is `None`.
///
/// # Errors
/// Errors of loading, including more than one percent of unreadable images; a device that is out of memory.
pub fn evaluate(
    network: &Network,
    images: Images<'_>,
    tape: &mut Tape,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Option<Evaluation>> {
    walk(network, images, tape, progress, &mut |_, _| Ok(()))
}

/// Like [`evaluate`], but also calls `see` with each batch and its logits.
pub(crate) fn walk(
    network: &Network,
    Images { samples, pipeline, config }: Images<'_>,
    tape: &mut Tape,
    progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    see: &mut dyn FnMut(&Batch, &Tensor) -> Result<()>,
) -> Result<Option<Evaluation>> {
    let start = Instant::now();
    let mut metrics = Metrics::default();
    let mut budget = BadSampleBudget::one_percent(samples.len());
    let mut bad = Vec::new();
    let mut done = 0;
    let mut feed = Feed::new(network, samples.clone(), pipeline, config)?;
    while let Some((batch, images)) = feed.next(network)? {
        done += batch.labels.len() + batch.bad.len();
        budget.spend(&batch.bad)?;
        bad.extend(batch.bad.iter().cloned());
        if let Some(images) = images {
            let logits = network.forward(&images, Mode::Test, tape)?;
            feed.look_ahead();
            add_batch(&batch, &logits, &mut metrics)?;
            see(&batch, &logits)?;
        }
        if progress(done, samples.len()).is_break() {
            return Ok(None);
        }
    }
    let images_per_second = metrics.images as f64 / start.elapsed().as_secs_f64();
    Ok(Some(Evaluation { metrics, views: config.views.count(), images_per_second, bad }))
}

fn add_batch(batch: &Batch, logits: &Tensor, metrics: &mut Metrics) -> Result<()> {
    let (n, views) = (batch.labels.len(), batch.views);
    if views == 1 {
        let labels = Tensor::from_slice(&batch.labels, n, logits.device())?;
        let losses = Tensor::zeros(n, DType::F32, logits.device())?;
        softmax_cross_entropy::forward_into(logits, &labels, &losses, None)?;
        let (losses, logits) = (losses.to_vec1::<f32>()?, logits.to_vec2::<f32>()?);
        for ((loss, logits), &label) in losses.iter().zip(&logits).zip(&batch.labels) {
            metrics.add(f64::from(*loss), logits, label);
        }
        return Ok(());
    }
    for (probabilities, &label) in probabilities(logits, views)?.iter().zip(&batch.labels) {
        add_probabilities(probabilities, label, metrics);
    }
    Ok(())
}

/// Adds an image, with −ln of its label's probability as the loss.
pub(crate) fn add_probabilities(probabilities: &[f32], label: u32, metrics: &mut Metrics) {
    let own = f64::from(probabilities.get(label as usize).copied().unwrap_or(0.0));
    // Clamp the probability to keep the loss finite; a NaN stays NaN.
    let smallest = f64::from(f32::MIN_POSITIVE);
    metrics.add(-(if own < smallest { smallest } else { own }).ln(), probabilities, label);
}

/// The probabilities of each image, averaged over its `views` consecutive rows of `logits`.
///
/// # Errors
/// Logits that are not a matrix of `f32`.
pub fn probabilities(logits: &Tensor, views: usize) -> Result<Vec<Vec<f32>>> {
    let logits = logits.to_vec2::<f32>()?;
    let average = |rows: &[Vec<f32>]| {
        let mut sum = vec![0f64; rows.first().map_or(0, Vec::len)];
        for row in rows {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exponentials: Vec<f64> = row.iter().map(|x| f64::from(x - largest).exp()).collect();
            let total: f64 = exponentials.iter().sum();
            sum.iter_mut().zip(exponentials).for_each(|(sum, e)| *sum += e / total / rows.len() as f64);
        }
        sum.into_iter().map(|p| p as f32).collect()
    };
    Ok(logits.chunks(views.max(1)).map(average).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn probabilities_are_averaged_not_logits() {
        let logits = Tensor::new(&[[0f32, 0.], [3f32.ln(), 0.], [-200., 200.], [0., 9f32.ln()]], &Device::Cpu).unwrap();
        let found = probabilities(&logits, 2).unwrap();
        for (found, expected) in found.iter().flatten().zip([0.625, 0.375, 0.05, 0.95]) {
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
        assert_eq!(probabilities(&logits, 1).unwrap().len(), 4);
    }
}
