#![doc = include_str!("../README.md")]

mod error;
mod init;
mod input_spec;
mod layer;
mod layers;
mod network;
mod precision;
mod recipe;
mod role;
mod shape;
mod specification;
mod tape;
pub mod variants;
mod weights;

pub use alexnet_input::{ChannelOrder, Mean, PixelRange};
pub use error::{Error, Result};
pub use init::Init;
pub use input_spec::{InputSpec, Preparation};
pub use layer::Layer;
pub use layers::{
    Add, AvgPool2d, BatchNorm2d, Concat, ContrastNorm, Conv2d, Dropout, Flatten, GlobalAvgPool2d, Input, LayerKind,
    Linear, LocallyConnected2d, Lrn, LrnWithinChannel, MaxPool2d,
};
pub use network::{Gradient, Inference, Network, Parameter};
pub use precision::Precision;
pub use recipe::{Decay, Recipe, Update};
pub use role::Role;
pub use shape::Shape;
pub use specification::{Output, ParameterSpec, Specification};
pub use tape::{Mode, Tape};
pub use variants::{VARIANTS, Variant, build};
pub use weights::{Model, ModelFile, write_atomically, write_safetensors};
