//! The project's own format: safetensors, with the architecture, its layers, the classes and the preprocessing in the metadata.
//!
//! Tensors have the names and shapes of PyTorch's `state_dict`; the mean image, if there is one, is `input.mean`.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::{MEAN_IMAGE, Model, write_safetensors};
use crate::error::{Error, Result};
use crate::specification::Parts;

const FORMAT: &str = "alexnet-model 1";

impl Model {
    /// Writes all parameters, the mean image and the metadata to `path`, as `f32`. The write is atomic.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let spec = self.network.spec();
        let mut tensors: Vec<(String, Tensor)> = self
            .network
            .parameters()
            .iter()
            .map(|parameter| (parameter.spec.name.clone(), parameter.var.as_tensor().clone()))
            .collect();
        if let Some(mean) = &self.mean_image {
            let side = spec.input_spec().source_size;
            tensors.push((MEAN_IMAGE.into(), Tensor::from_slice(mean, (3, side, side), &Device::Cpu)?));
        }
        let json = |value: serde_json::Result<String>| {
            value.map_err(|e| Error::File { path: path.to_owned(), reason: e.to_string() })
        };
        let parts = Parts::from(spec.clone());
        let mut metadata = BTreeMap::from([
            ("format".into(), FORMAT.into()),
            ("arch".into(), spec.arch().into()),
            ("classes".into(), json(serde_json::to_string(&self.classes))?),
            ("input_spec".into(), json(serde_json::to_string(spec.input_spec()))?),
            ("layers".into(), json(serde_json::to_string(&parts.layers))?),
        ]);
        if !parts.outputs.is_empty() {
            metadata.insert("outputs".into(), json(serde_json::to_string(&parts.outputs))?);
        }
        write_safetensors(path, &metadata, &tensors)
    }
}
