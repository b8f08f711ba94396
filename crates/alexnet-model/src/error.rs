//! What can be wrong with a network, its input or its file.

use std::path::PathBuf;

use crate::precision::Precision;

/// Everything this crate reports.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No variant has this name.
    #[error("unknown architecture {name:?}; there are {}", known.join(", "))]
    UnknownArch {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<&'static str>,
    },
    /// A number of classes that is no number of classes.
    #[error("a network has 1 to {most} classes, but {classes} were asked for")]
    Classes {
        /// The number asked for.
        classes: usize,
        /// The most there can be.
        most: usize,
    },
    /// A list of layers that is not a network.
    #[error("layer {layer:?}: {rule}")]
    Layer {
        /// The layer.
        layer: String,
        /// The rule, with the values that break it.
        rule: String,
    },
    /// What a network expects of its input that no image can be.
    #[error("input_spec: {rule}")]
    InputSpec {
        /// The rule, with the values that break it.
        rule: String,
    },
    /// Two handles of one GPU, which would not wait for each other.
    #[error("devices {first} and {second} are one GPU, opened twice; clone the device instead")]
    SameGpu {
        /// Their numbers.
        first: usize,
        /// As above.
        second: usize,
    },
    /// An input of the wrong shape.
    #[error("the network takes images of shape [n, {}, {}, {}], but was given {found:?}", expected[0], expected[1], expected[2])]
    Input {
        /// Channels, height, width.
        expected: [usize; 3],
        /// The shape found.
        found: Vec<usize>,
    },
    /// [`crate::Network::backward`] without a forward pass in training mode before it.
    #[error("backward needs a tape on which forward has run in training mode")]
    NothingToBackpropagate,
    /// Another number of gradients than forward gave outputs.
    #[error("backward needs one gradient for each output that forward gave, {expected}, but was given {found}")]
    Gradients {
        /// Outputs of the forward pass.
        expected: usize,
        /// Gradients given.
        found: usize,
    },
    /// [`crate::Network::backward`] in a precision that is for inference.
    #[error("on the CPU, bf16 is for inference only: set the network's precision to f32 to train it")]
    InferenceOnly,
    /// A device without memory for a pass.
    #[error(
        "layer {layer:?}: no memory for a batch of {batch} in {precision}, whose activations and gradients take \
         {wanted_mib} MiB in all{fits}"
    )]
    OutOfMemory {
        /// Where it ended.
        layer: String,
        /// Images of the batch.
        batch: usize,
        /// What the whole pass takes.
        wanted_mib: usize,
        /// What it was computed with.
        precision: Precision,
        /// How many images would fit, in words, where that is known.
        fits: String,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is not safetensors, or whose metadata makes no sense.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights that belong to another network.
    #[error("{}: these weights do not fit {arch}: {}", path.display(), problems.join("; "))]
    Weights {
        /// The file.
        path: PathBuf,
        /// The architecture they should fit.
        arch: String,
        /// Each tensor that is missing, unexpected or misshapen.
        problems: Vec<String>,
    },
    /// An error of Candle or of a kernel.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Candle(error) => error,
            other => Self::wrap(other),
        }
    }
}

/// This crate's results.
pub type Result<T> = std::result::Result<T, Error>;
