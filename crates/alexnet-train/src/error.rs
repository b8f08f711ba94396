//! Errors of training and evaluation.

use std::path::PathBuf;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An invalid value in the configuration.
    #[error("{what} is {found}, but {rule}")]
    Config {
        /// Name of the value, as in the file.
        what: String,
        /// The value.
        found: String,
        /// The rule.
        rule: String,
    },
    /// A configuration file that cannot be parsed.
    #[error("{}: {reason}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// Description of the problem, with its position.
        reason: String,
    },
    /// The run was started with a different configuration than it would be resumed with.
    #[error("{} was started with {what} = {old}, so it cannot be resumed with {new}; start a new run instead", path.display())]
    OtherConfig {
        /// The run directory.
        path: PathBuf,
        /// The first value that differs.
        what: String,
        /// The value in the run.
        old: String,
        /// The requested value.
        new: String,
    },
    /// A folder that is not a run directory.
    #[error("{} is not a run: there is no {missing} in it", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// The missing file.
        missing: &'static str,
    },
    /// Neither a model file nor a run with a model.
    #[error("{}: {reason}", path.display())]
    NoModel {
        /// The given path.
        path: PathBuf,
        /// Description of the problem.
        reason: &'static str,
    },
    /// The folder for a new run is not empty.
    #[error("{} exists and is not empty; name another folder, or resume it", path.display())]
    RunExists {
        /// The folder.
        path: PathBuf,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A checkpoint that does not match the run.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Description of the problem.
        reason: String,
    },
    /// A loss or a weight is no longer finite.
    #[error(
        "{what} became {value} in step {step} (epoch {epoch}) at learning rate {learning_rate}; try a tenth of that \
         learning rate, or a warm-up, and check the data for wrong labels. The last checkpoint \
         is unchanged"
    )]
    Diverged {
        /// The step, counted over all epochs.
        step: u64,
        /// The epoch, counted from 1.
        epoch: u32,
        /// The learning rate of weights.
        learning_rate: f64,
        /// The loss, the validation loss, or a parameter.
        what: String,
        /// NaN or infinite.
        value: f64,
    },
    /// No image of the data set could be read.
    #[error("{}: none of the {images} {split} images could be read", path.display())]
    NoImages {
        /// The data set.
        path: PathBuf,
        /// Number of images.
        images: usize,
        /// Name of the split.
        split: &'static str,
    },
    /// The classes of the weights differ from those of the data.
    #[error(
        "the weights have {} classes ({}), but the data has {} ({}){}",
        model.len(), head(model), data.len(), head(data), first_difference(model, data)
    )]
    Classes {
        /// Classes of the weights.
        model: Vec<String>,
        /// Classes of the data.
        data: Vec<String>,
    },
    /// The preprocessing subtracts a mean image that the weights file does not contain.
    #[error("{arch} subtracts a mean image, but these weights have none; use a model file written by training")]
    NoMeanImage {
        /// The architecture.
        arch: String,
    },
    /// The plot could not be drawn.
    #[error("{}: {reason}", path.display())]
    Plot {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An error of the data crate.
    #[error(transparent)]
    Data(#[from] alexnet_data::Error),
    /// An error of the model crate.
    #[error(transparent)]
    Model(#[from] alexnet_model::Error),
    /// An error of Candle or a kernel.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// The first names of a list.
fn head(names: &[String]) -> String {
    let mut text = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 3 {
        text.push_str(", …");
    }
    text
}

/// Names the first class that differs, if the number of classes is equal.
fn first_difference(model: &[String], data: &[String]) -> String {
    let mut pairs = model.iter().zip(data).enumerate().filter(|(_, (a, b))| a != b);
    match pairs.next() {
        Some((class, (a, b))) if model.len() == data.len() => format!("; class {class}: weights {a}, data {b}"),
        _ => String::new(),
    }
}

/// Result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io { path, source }
}
