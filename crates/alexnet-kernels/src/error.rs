//! The errors of this crate.

/// An invalid call. Functions that return Candle's `Result` wrap it in a [`candle_core::Error`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor's shape does not fit the operation or the other tensors.
    #[error("{op}: {name} must be {expected}, but its shape is {found:?}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The tensor.
        name: &'static str,
        /// The expected shape, in words or as numbers.
        expected: String,
        /// The shape found.
        found: Vec<usize>,
    },
    /// The element type is not supported.
    #[error("{op}: {name} must be {expected}, but is {found}")]
    DType {
        /// The operation.
        op: &'static str,
        /// The tensor.
        name: &'static str,
        /// The type expected.
        expected: &'static str,
        /// The type found.
        found: &'static str,
    },
    /// The tensor is on a device that this build has no kernels for, or on a different device than the other tensors.
    #[error("{op}: {name} must be on the CPU or a CUDA device, the same as the other tensors, but is on {found}")]
    Device {
        /// The operation.
        op: &'static str,
        /// The tensor.
        name: &'static str,
        /// The device found.
        found: String,
    },
    /// A tensor that is read or written in place is not contiguous.
    #[error("{op}: {name} must be contiguous, but has shape {shape:?} with strides {strides:?}")]
    NotContiguous {
        /// The operation.
        op: &'static str,
        /// The tensor.
        name: &'static str,
        /// Its shape.
        shape: Vec<usize>,
        /// Its strides.
        strides: Vec<usize>,
    },
    /// A parameter of the operation is invalid, by itself or for the given shapes.
    #[error("{op}: {rule}")]
    Parameter {
        /// The operation.
        op: &'static str,
        /// The rule, with the values that break it.
        rule: String,
    },
    /// No usable GPU.
    #[error("{what}")]
    Gpu {
        /// The reason.
        what: String,
    },
    /// A label that is not below the number of classes.
    #[error("softmax_cross_entropy: label {label} of row {row} is not below the {classes} classes")]
    Label {
        /// The row.
        row: usize,
        /// The label found.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        Self::wrap(error)
    }
}

pub(crate) fn shape<T>(
    op: &'static str,
    name: &'static str,
    expected: impl Into<String>,
    found: &[usize],
) -> Result<T, Error> {
    Err(Error::Shape { op, name, expected: expected.into(), found: found.to_vec() })
}

pub(crate) fn parameter<T>(op: &'static str, rule: impl Into<String>) -> Result<T, Error> {
    Err(Error::Parameter { op, rule: rule.into() })
}
