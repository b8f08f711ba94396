//! A layer of a network: its kind, inputs, activation and device.

use alexnet_kernels::activation::Activation;
use serde::{Deserialize, Serialize};

use crate::layers::LayerKind;

/// One layer of a network. In TOML or JSON it is a single table that contains the name and the parameters of its kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Unique within the network. The parameters are named `{name}.weight`, `{name}.bias` and so on.
    pub name: String,
    /// The operation.
    #[serde(flatten)]
    pub kind: LayerKind,
    /// Names of the input layers, which must come earlier in the list. Empty means the previous layer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Applied elementwise to the result. The 2012 files attach it the same way (`neuron=`).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "names")]
    pub activation: Option<Activation>,
    /// Index into the devices passed to the network.
    #[serde(default, skip_serializing_if = "is_first")]
    pub device: usize,
}

fn is_first(device: &usize) -> bool {
    *device == 0
}

/// Activations by name: `"relu"`, or a table if the activation has parameters, `{ bounded_relu = { a = 6.0 } }`.
mod names {
    use alexnet_kernels::activation::Activation;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "Activation", rename_all = "snake_case", deny_unknown_fields)]
    #[non_exhaustive]
    enum Named {
        Relu,
        Tanh,
        Sigmoid,
        Softplus,
        Abs,
        Square,
        Sqrt,
        ScaledTanh { a: f32, b: f32 },
        BoundedRelu { a: f32 },
        Linear { a: f32, b: f32 },
    }

    #[derive(Serialize, Deserialize)]
    struct Wrapped(#[serde(with = "Named")] Activation);

    pub(super) fn serialize<S: Serializer>(activation: &Option<Activation>, serializer: S) -> Result<S::Ok, S::Error> {
        activation.map(Wrapped).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Activation>, D::Error> {
        Ok(Some(Wrapped::deserialize(deserializer)?.0))
    }
}

impl Layer {
    /// A layer on the first device, without activation, whose input is the previous layer.
    pub fn new(name: impl Into<String>, kind: impl Into<LayerKind>) -> Self {
        Self { name: name.into(), kind: kind.into(), inputs: Vec::new(), activation: None, device: 0 }
    }

    /// Sets the input layers.
    pub fn reads<const N: usize>(self, inputs: [&str; N]) -> Self {
        Self { inputs: inputs.map(String::from).to_vec(), ..self }
    }

    /// Sets the activation.
    pub fn with(self, activation: Activation) -> Self {
        Self { activation: Some(activation), ..self }
    }

    /// Sets the device.
    pub fn on(self, device: usize) -> Self {
        Self { device, ..self }
    }
}
