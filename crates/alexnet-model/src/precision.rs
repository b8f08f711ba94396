//! The numeric precision of a network.

use alexnet_kernels::takes_bf16;
use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

/// The numeric precision of a network. Parameters and their gradients are always `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Everything in `f32`.
    #[default]
    F32,
    /// On GPUs, activations, their gradients and a copy of the weights in bfloat16; sums, biases and the loss in `f32`.
    /// cuDNN rounds the gradients of convolution weights to bfloat16 before they are stored in `f32`.
    ///
    /// On the CPU, a copy of the weights of fully connected layers in bfloat16, since reading these weights dominates
    /// the time for a single image; everything else in `f32`. For inference only. The copy is stored in addition to the
    /// weights. With more than eight images, CPUs with bfloat16 multiplication also round the inputs of these layers.
    Bf16,
}

impl Precision {
    /// The type of activations on `device`.
    pub fn activations(self, device: &Device) -> DType {
        match self {
            Self::Bf16 if takes_bf16(device) => DType::BF16,
            _ => DType::F32,
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}
