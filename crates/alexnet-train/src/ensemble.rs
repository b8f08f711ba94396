//! Ensembles of networks.

use std::ops::ControlFlow;
use std::sync::Arc;

use alexnet_data::{DataLoaderConfig, Pipeline, Sample};
use alexnet_model::{Network, Tape};

use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, Images, add_probabilities, probabilities, walk};
use crate::metrics::Metrics;

/// An ensemble that averages the probabilities of several networks for the same images, which is more accurate than
/// each network: in the paper, 18.2 % for a single network became 16.4 % with five and 15.3 % with seven.
///
/// Networks are added one after the other, so only one needs to be in memory; the sums of the probabilities take four
/// bytes per image and class. All networks have equal weight: the weights of the seven networks of 2012 are not known.
///
/// # Source
/// Krizhevsky et al. 2012, section 6, table 2.
#[derive(Debug)]
pub struct Ensemble {
    samples: Arc<[Sample]>,
    members: u32,
    /// `[images, classes]`, empty before the first member.
    sums: Vec<f32>,
    /// For each image, its label and the number of members that evaluated it.
    seen: Vec<(u32, u32)>,
}

impl Ensemble {
    /// An empty ensemble, to be evaluated on `samples`.
    pub fn new(samples: Arc<[Sample]>) -> Self {
        Self { members: 0, sums: Vec::new(), seen: vec![(0, 0); samples.len()], samples }
    }

    /// Adds a network and evaluates it alone like [`evaluate`](crate::evaluate). Its preprocessing may differ from that
    /// of earlier networks, its classes may not.
    ///
    /// # Errors
    /// Errors of [`evaluate`](crate::evaluate); [`Error::Config`] if its number of classes differs from that of an
    /// earlier network. After an error, or if `progress` breaks, the ensemble must not be used any more.
    pub fn add(
        &mut self,
        network: &Network,
        pipeline: &Arc<Pipeline>,
        config: DataLoaderConfig,
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Option<Evaluation>> {
        let classes = network.spec().classes();
        if self.members == 0 {
            self.sums = vec![0.0; self.samples.len() * classes];
        }
        if self.sums.len() != self.samples.len() * classes {
            let before = self.sums.len() / self.samples.len();
            let rule = format!("the networks before it have {before}");
            return Err(Error::Config {
                what: "the number of the network's classes".into(),
                found: classes.to_string(),
                rule,
            });
        }
        let (sums, seen) = (&mut self.sums, &mut self.seen);
        let images = Images { samples: &self.samples, pipeline, config };
        let found = walk(network, images, &mut Tape::new(), progress, &mut |batch, logits| {
            let rows = probabilities(logits, batch.views)?;
            for ((row, &label), &index) in rows.iter().zip(&batch.labels).zip(&batch.indices) {
                let index = index as usize;
                sums[index * classes..][..classes].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                seen[index] = (label, seen[index].1 + 1);
            }
            Ok(())
        })?;
        self.members += 1;
        Ok(found)
    }

    /// Metrics of the ensemble on the images that all members evaluated. The loss is −ln of the mean probability of an
    /// image's label.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        let classes = self.sums.len() / self.samples.len().max(1);
        for (sums, &(label, seen)) in self.sums.chunks_exact(classes.max(1)).zip(&self.seen) {
            if seen == self.members {
                let means: Vec<f32> = sums.iter().map(|sum| sum / self.members as f32).collect();
                add_probabilities(&means, label, &mut metrics);
            }
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::evaluate;
    use crate::{model_pipeline, top_k};
    use alexnet_data::shapes::{self, ShapesConfig};
    use alexnet_data::{Dataset, Location, Views};
    use alexnet_model::{Model, build};
    use candle_core::{Device, Tensor};

    /// Two networks with different preprocessing: the result of each equals that of `evaluate`, and the result of the
    /// ensemble equals the plain mean, image by image.
    #[test]
    fn the_mean_of_two_networks_counts() {
        if alexnet_testing::cpu_only() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let config = ShapesConfig { train: 10, val: 10, ..Default::default() };
        shapes::prepare(folder.path(), &config, 2, &|_, _| {}).unwrap();
        let samples: Arc<[Sample]> = Dataset::open(folder.path()).unwrap().val.unwrap().samples.into();
        let member = |arch, seed| {
            let network = Network::new(build(arch, 10).unwrap(), seed, &[Device::Cpu]).unwrap();
            // Scale the logits to the order of one, so that the networks differ.
            let last = network.parameters().iter().rev().nth(1).unwrap();
            alexnet_kernels::add::scale_into(&last.var.copy().unwrap(), 3.0, last.var.as_tensor()).unwrap();
            let input = network.spec().input_spec();
            let side = input.source_size;
            let mean_image = input.mean.needs_image().then(|| vec![120.0; 3 * side * side]);
            let model = Model { network, classes: Vec::new(), mean_image };
            let pipeline = Arc::new(model_pipeline(&model).unwrap());
            (model.network, pipeline)
        };
        let members = [member("alexnet-torchvision", 1), member("caffenet", 2)];
        for views in [Views::Center, Views::Ten] {
            let config = DataLoaderConfig { views, ..DataLoaderConfig::eval(4) };
            let mut ensemble = Ensemble::new(samples.clone());
            for (network, pipeline) in &members {
                let progress = &mut |_, _| ControlFlow::Continue(());
                let images = Images { samples: &samples, pipeline, config };
                let alone = evaluate(network, images, &mut Tape::new(), progress).unwrap().unwrap();
                let added = ensemble.add(network, pipeline, config, progress).unwrap().unwrap();
                assert_eq!(added.metrics, alone.metrics);
            }
            let (mut loss, mut top1) = (0.0, 0.0);
            for sample in samples.iter() {
                let mut mean = vec![0f32; 10];
                for (network, pipeline) in &members {
                    let pixels = pipeline.load(&sample.location.path(), views).unwrap();
                    let [c, h, w] = network.spec().input_size();
                    let images = Tensor::from_vec(pixels, (views.count(), c, h, w), &Device::Cpu).unwrap();
                    let row =
                        probabilities(&network.inference().unwrap().forward(&images).unwrap(), views.count()).unwrap();
                    mean.iter_mut().zip(&row[0]).for_each(|(mean, value)| *mean += value / 2.0);
                }
                loss -= f64::from(mean[sample.label as usize]).ln() / samples.len() as f64;
                top1 += top_k(&mean, sample.label, 1) / samples.len() as f64;
            }
            let together = ensemble.metrics();
            assert_eq!(together.images, 10);
            assert!((together.loss() - loss).abs() < 1e-4 * loss, "{} and {loss}", together.loss());
            assert!((together.top1() - top1).abs() < 1e-9, "{} and {top1}", together.top1());
        }
    }

    #[test]
    fn images_that_some_could_not_read_do_not_count() {
        let samples: Arc<[Sample]> = Arc::from([]);
        let mut ensemble = Ensemble::new(samples);
        assert_eq!(ensemble.metrics(), Metrics::default());
        ensemble.members = 2;
        ensemble.sums = vec![1.6, 0.4, 0.9, 0.1, 0.6, 1.4];
        ensemble.seen = vec![(0, 2), (0, 1), (0, 2)];
        ensemble.samples = Arc::from(vec![sample(), sample(), sample()]);
        let metrics = ensemble.metrics();
        assert_eq!((metrics.images, metrics.top1(), metrics.top5()), (2, 0.5, 1.0));
        let expected = -(0.8f64.ln() + 0.3f64.ln()) / 2.0;
        assert!((metrics.loss() - expected).abs() < 1e-6, "{}", metrics.loss());
    }

    fn sample() -> Sample {
        Sample { location: Location::File("image.jpg".into()), label: 0 }
    }
}
