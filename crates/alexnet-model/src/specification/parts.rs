//! The serialized form of a specification.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{MAX_LAYERS, Output, Specification};
use crate::error::{Error, Result};
use crate::input_spec::InputSpec;
use crate::layer::Layer;

/// The parts of a specification before validation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parts {
    pub(crate) arch: String,
    /// The outputs after the main one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) outputs: Vec<FurtherOutput>,
    pub(crate) input_spec: InputSpec,
    #[serde(deserialize_with = "few_layers")]
    pub(crate) layers: Vec<Layer>,
}

/// An output after the main one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FurtherOutput {
    layer: String,
    loss_weight: f32,
}

impl TryFrom<Parts> for Specification {
    type Error = Error;

    fn try_from(parts: Parts) -> Result<Self> {
        let further: Vec<(&str, f32)> = parts.outputs.iter().map(|o| (o.layer.as_str(), o.loss_weight)).collect();
        Self::new(parts.arch, parts.input_spec, parts.layers)?.with_outputs(&further)
    }
}

impl From<Specification> for Parts {
    fn from(spec: Specification) -> Self {
        let further = spec.outputs.iter().skip(1);
        let name = |output: &Output| spec.layers[output.layer].name.clone();
        let outputs = further.map(|o| FurtherOutput { layer: name(o), loss_weight: o.loss_weight }).collect();
        Self { arch: spec.arch, outputs, input_spec: spec.input_spec, layers: spec.layers }
    }
}

/// Deserializes a list of layers; fails beyond the limit, before the list takes much memory.
pub(crate) fn few_layers<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Layer>, D::Error> {
    struct Layers;

    impl<'de> Visitor<'de> for Layers {
        type Value = Vec<Layer>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX_LAYERS} layers")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Vec<Layer>, A::Error> {
            let mut layers = Vec::new();
            while let Some(layer) = list.next_element()? {
                if layers.len() == MAX_LAYERS {
                    return Err(serde::de::Error::custom(format!("a network has at most {MAX_LAYERS} layers")));
                }
                layers.push(layer);
            }
            Ok(layers)
        }
    }

    deserializer.deserialize_seq(Layers)
}
