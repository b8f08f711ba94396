#![doc = include_str!("../README.md")]
#![allow(unsafe_code)] // Each block states why it is sound.

pub mod activation;
pub mod add;
pub mod avg_pool2d;
mod backend;
pub mod batch_norm2d;
pub mod bias_relu;
#[cfg(test)]
mod cases;
pub mod concat;
pub mod contrast_norm;
pub mod conv2d;
mod cuda;
mod devices;
pub mod dropout;
mod error;
#[cfg(test)]
mod extreme;
mod gemm;
pub mod global_avg_pool2d;
mod gpu_math;
mod layout;
pub mod linear;
pub mod locally_connected2d;
pub mod lrn;
pub mod lrn_within_channel;
pub mod max_pool2d;
pub mod nn;
mod parallel;
mod peak;
pub mod pixels;
mod pool2d;
mod scratch;
pub mod sgd;
mod simd;
pub mod softmax_cross_entropy;
mod tensor;
pub mod transfer;

// Each operation's function has the name of its module.
pub use activation::activation;
pub use avg_pool2d::avg_pool2d;
pub use backend::CpuIsa;
pub use bias_relu::bias_relu;
pub use conv2d::conv2d;
#[cfg(feature = "host-kernels")]
#[doc(hidden)]
pub use cuda::host::with_host_kernels;
pub use devices::{CudaDeviceInfo, cuda_device, cuda_devices, takes_bf16, use_cudnn};
pub use dropout::dropout;
pub use error::Error;
pub use gpu_math::GpuMath;
pub use layout::{MemoryFormat, channels_first_into, channels_last, channels_last_into};
pub use linear::linear;
pub use lrn::lrn;
pub use lrn_within_channel::lrn_within_channel;
pub use max_pool2d::max_pool2d;
pub use peak::measure_peak;
pub use pool2d::Pool2dParams;
pub use scratch::release as release_scratch;
pub use softmax_cross_entropy::softmax_cross_entropy;
