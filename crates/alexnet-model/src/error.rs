//! Errors of networks, their inputs and their files.

use std::path::PathBuf;

use crate::precision::Precision;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No variant has this name.
    #[error("unknown architecture {name:?}; known ones are {}", known.join(", "))]
    UnknownArch {
        /// The requested name.
        name: String,
        /// The known names.
        known: Vec<&'static str>,
    },
    /// The number of classes is out of range.
    #[error("a network has 1 to {most} classes, but {classes} were requested")]
    Classes {
        /// The requested number.
        classes: usize,
        /// The maximum.
        most: usize,
    },
    /// The list of layers is not a valid network.
    #[error("layer {layer:?}: {rule}")]
    Layer {
        /// The layer.
        layer: String,
        /// The rule, with the values that break it.
        rule: String,
    },
    /// The input specification is invalid.
    #[error("input_spec: {rule}")]
    InputSpec {
        /// The rule, with the values that break it.
        rule: String,
    },
    /// Two handles of the same GPU, which would not synchronize with each other.
    #[error("devices {first} and {second} are one GPU, opened twice; clone the device instead")]
    SameGpu {
        /// Index of the first handle.
        first: usize,
        /// Index of the second handle.
        second: usize,
    },
    /// The input has the wrong shape.
    #[error("the network takes images of shape [n, {}, {}, {}], but was given {found:?}", expected[0], expected[1], expected[2])]
    Input {
        /// Channels, height, width.
        expected: [usize; 3],
        /// The shape of the input.
        found: Vec<usize>,
    },
    /// [`crate::Network::backward`] was called without a preceding forward pass in training mode.
    #[error("call forward in training mode with this tape before backward")]
    NothingToBackpropagate,
    /// The number of gradients differs from the number of outputs of forward.
    #[error("backward needs one gradient per output of forward, {expected}, but got {found}")]
    Gradients {
        /// Number of outputs of the forward pass.
        expected: usize,
        /// Number of gradients.
        found: usize,
    },
    /// [`crate::Network::backward`] was called in a precision that supports inference only.
    #[error("on the CPU, bf16 is for inference only: set the network's precision to f32 to train it")]
    InferenceOnly,
    /// The device has too little memory for a pass.
    #[error(
        "layer {layer:?}: no memory for a batch of {batch} in {precision}: its activations and gradients take \
         {wanted_mib} MiB in total{fits}"
    )]
    OutOfMemory {
        /// The layer at which memory ran out.
        layer: String,
        /// Images in the batch.
        batch: usize,
        /// Memory of the whole pass, in MiB.
        wanted_mib: usize,
        /// Precision of the network.
        precision: Precision,
        /// How many images would fit, as text; empty if unknown.
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
    /// The file is not a weights file, or its metadata is invalid.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Description of the problem.
        reason: String,
    },
    /// The weights do not fit the network.
    #[error("{}: these weights do not fit {arch}: {}", path.display(), problems.join("; "))]
    Weights {
        /// The file.
        path: PathBuf,
        /// The expected architecture.
        arch: String,
        /// All tensors that are missing, unexpected or of the wrong shape or type.
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

/// Result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;
