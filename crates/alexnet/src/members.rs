//! The networks of a classifier: opened, and checked for equal classes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use alexnet_data::Pipeline;
use alexnet_model::{Inference, Model, ModelFile, Network};
use alexnet_train::{RunDir, model_pipeline};

use crate::error::{Error, Result};
use crate::options::Options;

/// One network, and the preprocessing of its images.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) network: Network,
    /// Made by the first pass: evaluation does not need it.
    inference: OnceLock<Inference>,
    pub(crate) pipeline: Arc<Pipeline>,
}

impl Member {
    pub(crate) fn new(mut model: Model, options: &Options) -> Result<Self> {
        model.network.set_precision(options.precision)?;
        model.network.set_gpu_math(options.gpu_math);
        let pipeline = Arc::new(model_pipeline(&model)?);
        let (expected, side) = (model.network.spec().input_size(), pipeline.preprocess().crop_size as usize);
        if expected != [3, side, side] {
            return Err(Error::InputSize { expected, size: side });
        }
        Ok(Self { network: model.network, inference: OnceLock::new(), pipeline })
    }

    pub(crate) fn inference(&self) -> Result<&Inference> {
        if let Some(made) = self.inference.get() {
            return Ok(made);
        }
        // Two threads may both make one; the first is kept.
        let made = self.network.inference()?;
        Ok(self.inference.get_or_init(|| made))
    }
}

/// Opens the files. Weights are read only after all files have been checked. The second value is the class names of the
/// first file that has names.
pub(crate) fn open(paths: &[PathBuf], options: &Options) -> Result<(Vec<Member>, Vec<String>)> {
    let arch = options.arch.as_deref();
    // With several files, `arch` applies to those that do not state their own.
    let open = if paths.len() > 1 { ModelFile::open_any } else { ModelFile::open };
    let open = |path: &PathBuf| Ok(open(&RunDir::model_file(path)?, arch)?);
    let files = paths.iter().map(open).collect::<Result<Vec<ModelFile>>>()?;
    let classes = same_classes(paths, &files)?;
    if let Some(arch) = arch
        && files.iter().all(|file| file.spec().arch() != arch)
    {
        return Err(Error::Arch { arch: arch.into() });
    }
    let member = |file: ModelFile| Member::new(file.load(&options.device)?, options);
    Ok((files.into_iter().map(member).collect::<Result<_>>()?, classes))
}

/// The class names, if the files agree.
fn same_classes(paths: &[PathBuf], files: &[ModelFile]) -> Result<Vec<String>> {
    let mut first: Option<(&Path, &[String], usize)> = None;
    for (path, file) in paths.iter().zip(files) {
        let (classes, names) = (file.spec().classes(), file.classes());
        let (named, expected_names, expected) = first.get_or_insert((path, names, classes));
        let other_names = !expected_names.is_empty() && !names.is_empty() && names != *expected_names;
        if classes != *expected || other_names {
            return Err(Error::Members {
                path: path.clone(),
                classes,
                names: names.to_vec(),
                first: named.to_path_buf(),
                expected: *expected,
                expected_names: expected_names.to_vec(),
            });
        }
        if expected_names.is_empty() {
            (*named, *expected_names) = (path, names);
        }
    }
    first.map(|(_, names, _)| names.to_vec()).ok_or(Error::NoModel)
}
