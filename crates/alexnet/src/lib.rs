#![doc = include_str!("../README.md")]

mod classifier;
mod error;
mod evaluation;
mod members;
mod options;

pub use classifier::{Classifier, Prediction};
pub use error::{Error, Result};
pub use evaluation::{EvaluateOptions, EvaluationEvent, Report};
pub use options::Options;

pub use alexnet_data::{Location, Sample, Split, Views};
pub use alexnet_kernels::{GpuMath, cuda_device, cuda_devices};
pub use alexnet_model::{Model, Network, Precision, Specification, VARIANTS};
pub use alexnet_train::{Evaluation, Metrics};
pub use candle_core::{Device, Tensor};
