//! The options of a classifier.

use alexnet_data::Views;
use alexnet_kernels::GpuMath;
use alexnet_model::Precision;
use candle_core::Device;

/// Options of a [`Classifier`](crate::Classifier). The default is the CPU, `f32` and the center view.
#[derive(Clone, Debug)]
pub struct Options {
    /// [`Device::Cpu`], or a GPU from [`cuda_device`](crate::cuda_device).
    pub device: Device,
    /// `f32` or `bf16`.
    pub precision: Precision,
    /// The permitted deviations of `f32` products and convolutions on a GPU: TF32, nondeterministic algorithms.
    pub gpu_math: GpuMath,
    /// The views of each image whose probabilities are averaged: [`Views::Center`] or [`Views::Ten`].
    pub views: Views,
    /// The variant, for files that contain only weights.
    pub arch: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            precision: Precision::F32,
            gpu_math: GpuMath::default(),
            views: Views::Center,
            arch: None,
        }
    }
}
