//! Accuracy and loss of a classifier on labeled images.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use alexnet_data::{DataLoaderConfig, Sample, Split};
use alexnet_model::Tape;
use alexnet_train::{Ensemble, Evaluation, Images, Metrics, evaluate, evaluation_images};

use crate::classifier::Classifier;
use crate::error::{Error, Result};

/// Maximum number of threads that read images: each holds a batch in memory, and 16 are faster than any network here.
const MAX_WORKERS: usize = 16;

/// How [`Classifier::evaluate`] loads images.
#[derive(Clone, Copy, Debug)]
pub struct EvaluateOptions {
    /// Views per step.
    pub batch_size: NonZeroUsize,
    /// Number of threads that read images, at most 16.
    pub workers: usize,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { batch_size: const { NonZeroUsize::new(64).unwrap() }, workers }
    }
}

/// Progress of [`Classifier::evaluate`].
#[derive(Debug)]
#[non_exhaustive]
pub enum EvaluationEvent<'a> {
    /// A member has processed a batch.
    Progress {
        /// Index of the member.
        member: usize,
        /// Images processed so far.
        done: usize,
        /// Total number of images.
        total: usize,
    },
    /// A member has processed all images.
    Member {
        /// Index of the member.
        member: usize,
        /// Its results.
        evaluation: &'a Evaluation,
    },
}

/// The results of [`Classifier::evaluate`].
#[derive(Clone, Debug)]
pub struct Report {
    /// The results of each member.
    pub members: Vec<Evaluation>,
    /// The metrics of the mean of all members' probabilities, over the images that all members could read; with one member,
    /// its metrics.
    pub together: Metrics,
}

impl Classifier {
    /// The validation images of a folder: its `val`, or all images if it has no splits. The second value is whether they are a
    /// validation split.
    ///
    /// # Errors
    /// A folder that is not a data set; classes that differ from those of the weights.
    pub fn validation_images(&self, path: &Path) -> Result<(Split, bool)> {
        let (images, is_split) = evaluation_images(path, self.classes())?;
        let (model, data) = (self.class_count(), images.classes.len());
        // Data without names has as many classes as its largest label says.
        if model != data && !(images.is_unnamed() && data <= model) {
            return Err(Error::Classes { path: path.to_owned(), model, data });
        }
        Ok((images, is_split))
    }

    /// Evaluates each member and the ensemble on labeled images. `observe` is called after each batch and each member; if
    /// it returns [`ControlFlow::Break`], the result is `None`.
    ///
    /// # Errors
    /// More than one percent of the images cannot be read; a device that is out of memory.
    pub fn evaluate(
        &self,
        samples: &Arc<[Sample]>,
        options: EvaluateOptions,
        observe: &mut dyn FnMut(EvaluationEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Report>> {
        let workers = options.workers.clamp(1, MAX_WORKERS);
        let config = DataLoaderConfig {
            views: self.views,
            workers,
            prefetch: workers + 1,
            ..DataLoaderConfig::eval(options.batch_size.get().div_ceil(self.views.count()))
        };
        let mut ensemble = (self.members.len() > 1).then(|| Ensemble::new(samples.clone()));
        let mut members: Vec<Evaluation> = Vec::new();
        for (member, own) in self.members.iter().enumerate() {
            let progress = &mut |done, total| observe(EvaluationEvent::Progress { member, done, total });
            let found = match &mut ensemble {
                Some(ensemble) => ensemble.add(&own.network, &own.pipeline, config, progress)?,
                None => {
                    let images = Images { samples, pipeline: &own.pipeline, config };
                    evaluate(&own.network, images, &mut Tape::new(), progress)?
                }
            };
            let Some(found) = found else { return Ok(None) };
            if observe(EvaluationEvent::Member { member, evaluation: &found }).is_break() {
                return Ok(None);
            }
            members.push(found);
        }
        let own = members.first().map(|found| found.metrics).unwrap_or_default();
        let together = ensemble.map_or(own, |ensemble| ensemble.metrics());
        Ok(Some(Report { members, together }))
    }
}
