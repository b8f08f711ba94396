//! An entry of a network: its kind, its inputs, its activation, its device.

use alexnet_kernels::activation::Activation;
use serde::{Deserialize, Serialize};

use crate::layers::LayerKind;

/// One entry of a network's list. As TOML or JSON it is one table, with the numbers of its kind beside its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Unique in its network. Its parameters are called `{name}.weight`, `{name}.bias` and so on.
    pub name: String,
    /// What it computes.
    #[serde(flatten)]
    pub kind: LayerKind,
    /// The layers it reads, all earlier in the list. Empty means the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Applied to every value of the result. The 2012 files attach it the same way (`neuron=`).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "unit")]
    pub activation: Option<Activation>,
    /// The device it lives on, an index into those the network was given.
    #[serde(default, skip_serializing_if = "is_first")]
    pub device: usize,
}

fn is_first(device: &usize) -> bool {
    *device == 0
}

/// Units by their names.
mod unit {
    use alexnet_kernels::activation::Activation;
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    const UNITS: [(&str, Activation); 4] = [
        ("relu", Activation::Relu),
        ("tanh", Activation::Tanh),
        ("sigmoid", Activation::Sigmoid),
        ("softplus", Activation::Softplus),
    ];

    pub(super) fn serialize<S: Serializer>(unit: &Option<Activation>, serializer: S) -> Result<S::Ok, S::Error> {
        let name = UNITS.iter().find(|(_, known)| Some(*known) == *unit);
        serializer.serialize_str(name.ok_or_else(|| S::Error::custom(format!("{unit:?} has no name yet")))?.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Activation>, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unit = UNITS.iter().find(|(known, _)| *known == name);
        let names = || UNITS.map(|(name, _)| name).join(", ");
        let unknown = || D::Error::custom(format!("activation must be one of {}, but is {name:?}", names()));
        unit.map(|(_, unit)| Some(*unit)).ok_or_else(unknown)
    }
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
