//! The errors of this crate.

use std::path::PathBuf;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Members of an ensemble with different classes.
    #[error(
        "an ensemble needs the same classes in all its models, but {} has {classes} classes{} and {} has {expected}{}",
        path.display(), listed(names), first.display(), listed(expected_names)
    )]
    Members {
        /// The model that differs.
        path: PathBuf,
        /// The number of its classes.
        classes: usize,
        /// Their names.
        names: Vec<String>,
        /// An earlier model.
        first: PathBuf,
        /// The number of its classes.
        expected: usize,
        /// Their names.
        expected_names: Vec<String>,
    },
    /// `arch` is not the variant of any of the models.
    #[error("none of the model files has weights of {arch}")]
    Arch {
        /// The variant.
        arch: String,
    },
    /// No model was given.
    #[error("a classifier needs at least one model")]
    NoModel,
    /// A call that requires one network, on an ensemble.
    #[error("open one model to get features, not {members}: each has its own layers")]
    Ensemble {
        /// The number of models.
        members: usize,
    },
    /// A list of layers whose input is not what its preprocessing gives.
    #[error("the network's input must be [3, {size}, {size}], as its input_spec says, but is {expected:?}")]
    InputSize {
        /// Channels, height and width of the network's input.
        expected: [usize; 3],
        /// Height and width of a view.
        size: usize,
    },
    /// A data set with another number of classes.
    #[error("the data set must have the {model} classes of the weights, but {} has {data}", path.display())]
    Classes {
        /// The data set.
        path: PathBuf,
        /// Classes of the weights.
        model: usize,
        /// Classes of the data set.
        data: usize,
    },
    /// From reading or measuring a model.
    #[error(transparent)]
    Train(#[from] alexnet_train::Error),
    /// From the network.
    #[error(transparent)]
    Model(#[from] alexnet_model::Error),
    /// From an image or a data set.
    #[error(transparent)]
    Data(#[from] alexnet_data::Error),
    /// From a tensor operation.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// The first class names, in parentheses.
fn listed(classes: &[String]) -> String {
    match classes {
        [] => " without names".into(),
        all if all.len() <= 3 => format!(" ({})", all.join(", ")),
        more => format!(" ({}, …)", more[..3].join(", ")),
    }
}

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;
