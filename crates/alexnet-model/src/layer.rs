//! An entry of a network: its kind, its inputs, its unit, its device; and the shape of what it gives.

use alexnet_kernels::activation::Activation;

use crate::layers::LayerKind;

/// One entry of a network's list.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Unique in its network. Its parameters are called `{name}.weight`, `{name}.bias` and so on.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// The layers it reads, all earlier in the list. Empty means the one before.
    pub inputs: Vec<String>,
    /// Applied to every value of the result. The 2012 files attach it the same way (`neuron=`).
    pub activation: Option<Activation>,
    /// The device it lives on, an index into those the network was given.
    pub device: usize,
}

impl Layer {
    /// A layer that reads the one before it, without a unit, on the first device.
    pub fn new(name: impl Into<String>, kind: impl Into<LayerKind>) -> Self {
        Self { name: name.into(), kind: kind.into(), inputs: Vec::new(), activation: None, device: 0 }
    }

    /// The same, reading these layers.
    pub fn reads<const N: usize>(self, inputs: [&str; N]) -> Self {
        Self { inputs: inputs.map(String::from).to_vec(), ..self }
    }

    /// The same with a unit.
    pub fn with(self, activation: Activation) -> Self {
        Self { activation: Some(activation), ..self }
    }

    /// The same on another device.
    pub fn on(self, device: usize) -> Self {
        Self { device, ..self }
    }
}

/// The shape of what a layer gives for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Channels, height, width.
    Map([usize; 3]),
    /// Features.
    Vector(usize),
}

impl Shape {
    /// How many values.
    pub fn elements(self) -> usize {
        match self {
            Self::Map(dims) => dims.iter().product(),
            Self::Vector(features) => features,
        }
    }

    /// As a list: `[channels, height, width]` or `[features]`.
    pub fn dims(self) -> Vec<usize> {
        match self {
            Self::Map(dims) => dims.to_vec(),
            Self::Vector(features) => vec![features],
        }
    }

    /// As a batch of `n` lies in memory inside the network: `[n, height, width, channels]` or `[n, features]`.
    pub(crate) fn batch(self, n: usize) -> Vec<usize> {
        match self {
            Self::Map([c, h, w]) => vec![n, h, w, c],
            Self::Vector(features) => vec![n, features],
        }
    }
}
