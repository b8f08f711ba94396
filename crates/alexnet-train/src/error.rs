//! What can go wrong in a run.

use std::path::PathBuf;

/// Everything this crate reports.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value of the configuration that makes no sense.
    #[error("{what} is {found}, but {rule}")]
    Config {
        /// Which value, as it is called in the file.
        what: String,
        /// The value.
        found: String,
        /// The rule.
        rule: String,
    },
    /// A configuration file that cannot be understood.
    #[error("{}: {reason}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its place.
        reason: String,
    },
    /// A run that would be resumed with another configuration than it was started with.
    #[error("{} was started with {what} = {old}, so it cannot be resumed with {new}; start a new run instead", path.display())]
    OtherConfig {
        /// The run directory.
        path: PathBuf,
        /// The first value that differs.
        what: String,
        /// In the run.
        old: String,
        /// Asked for.
        new: String,
    },
    /// A run directory that holds no run.
    #[error("{} holds no run: there is no {missing} in it", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// The file that is not there.
        missing: &'static str,
    },
    /// Neither a model file nor a run that has one.
    #[error("{}: {reason}", path.display())]
    NoModel {
        /// What was named.
        path: PathBuf,
        /// What it is instead.
        reason: &'static str,
    },
    /// A run directory that holds one already.
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
    /// A checkpoint that does not fit the run.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A loss or a weight is no longer a number.
    #[error(
        "{what} became {value} in step {step} (epoch {epoch}) at learning rate {learning_rate}; try a tenth of that \
         learning rate, or a warm-up, and check the data for labels that are wrong. The weights of the last checkpoint \
         are as they were"
    )]
    Diverged {
        /// The step, counted over all epochs.
        step: u64,
        /// The epoch, counted from 1.
        epoch: u32,
        /// The rate of the weights.
        learning_rate: f64,
        /// The loss, the validation loss, or a parameter.
        what: String,
        /// NaN or an infinity.
        value: f64,
    },
    /// A data set without a single image that could be read.
    #[error("{}: none of the {images} {split} images could be read", path.display())]
    NoImages {
        /// The data set.
        path: PathBuf,
        /// How many there are.
        images: usize,
        /// Of which split.
        split: &'static str,
    },
    /// Weights whose classes are not those of the data.
    #[error(
        "the weights have {} classes ({}), but the data has {} ({}){}",
        model.len(), head(model), data.len(), head(data), first_difference(model, data)
    )]
    Classes {
        /// Of the weights.
        model: Vec<String>,
        /// Of the data.
        data: Vec<String>,
    },
    /// Weights whose preprocessing subtracts a mean image that their file lacks.
    #[error(
        "{arch} subtracts a mean image, and these weights come without one; a model file that training wrote has it"
    )]
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
    /// Of the data.
    #[error(transparent)]
    Data(#[from] alexnet_data::Error),
    /// Of the network.
    #[error(transparent)]
    Model(#[from] alexnet_model::Error),
    /// Of a kernel.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// The first few names of a list.
fn head(names: &[String]) -> String {
    let mut text = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 3 {
        text.push_str(", …");
    }
    text
}

/// Which class of equally many is another.
fn first_difference(model: &[String], data: &[String]) -> String {
    let mut pairs = model.iter().zip(data).enumerate().filter(|(_, (a, b))| a != b);
    match pairs.next() {
        Some((class, (a, b))) if model.len() == data.len() => format!("; class {class} is {a} here and {b} there"),
        _ => String::new(),
    }
}

/// This crate's results.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io { path, source }
}
