//! What a network computes with.

use alexnet_kernels::takes_bf16;
use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

/// What a network computes with. Parameters and their gradients are `f32` in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Everything in `f32`.
    #[default]
    F32,
    /// On GPUs, activations, their gradients and a copy of the weights in bfloat16; sums, biases and the loss in `f32`.
    /// cuDNN rounds the gradients of convolutions' weights to bfloat16 before they are kept in `f32`.
    ///
    /// On the CPU, a copy of the fully connected layers' weights in bfloat16, which are most of what a single image has to
    /// wait for, and everything else in `f32`: for inference, not for training. The copy comes on top of the weights. With
    /// more than eight images, processors that multiply bfloat16 round these layers' inputs, too.
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
