//! The project's own format: safetensors, with the architecture, the classes and the preprocessing in the metadata.
//!
//! Tensors have the names and shapes of PyTorch's `state_dict`; the mean image, where there is one, is `input.mean`.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;

use super::{Model, write_safetensors};
use crate::error::{Error, Result};
use crate::input_spec::InputSpec;
use crate::network::Network;
use crate::specification::Specification;
use crate::variants;

const FORMAT: &str = "alexnet-model 1";
const MEAN_IMAGE: &str = "input.mean";

impl Model {
    /// Writes all parameters, the mean image and the metadata to `path`, as `f32`. The file appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written.
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
        let metadata = BTreeMap::from([
            ("format".into(), FORMAT.into()),
            ("arch".into(), spec.arch().into()),
            ("classes".into(), json(serde_json::to_string(&self.classes))?),
            ("input_spec".into(), json(serde_json::to_string(spec.input_spec()))?),
        ]);
        write_safetensors(path, &metadata, &tensors)
    }

    /// Reads what [`Model::save`] wrote, or the bare weights of a variant, such as torchvision's `state_dict` saved with
    /// safetensors: then `arch` must say which variant they are, and the classes stay unnamed.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::File`] for a file that is not readable or not safetensors, [`Error::Weights`] naming
    /// every tensor that is missing, unexpected or misshapen, also where `arch` differs from what the file says.
    pub fn load(path: &Path, arch: Option<&str>, device: &Device) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let not_a_file = |reason: String| Error::File { path: path.to_owned(), reason };
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|e| not_a_file(format!("this is not a safetensors file of weights: {e}")))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| not_a_file(e.to_string()))?;
        let metadata = metadata.metadata().clone().unwrap_or_default();
        let said = metadata.get("arch").map(String::as_str);
        let arch = match (arch, said) {
            (Some(wanted), Some(said)) if wanted != said => {
                let problems = vec![format!("the file holds weights of {said}")];
                return Err(Error::Weights { path: path.to_owned(), arch: wanted.into(), problems });
            }
            (Some(arch), _) | (None, Some(arch)) => arch,
            (None, None) => {
                return Err(not_a_file("the file does not say which architecture its weights are of; name it".into()));
            }
        };
        let classes: Vec<String> = match metadata.get("classes") {
            Some(json) => serde_json::from_str(json).map_err(|e| not_a_file(format!("metadata \"classes\": {e}")))?,
            None => Vec::new(),
        };
        let spec = spec_for(path, arch, &classes, &file)?;
        if let Some(json) = metadata.get("input_spec") {
            let input: InputSpec =
                serde_json::from_str(json).map_err(|e| not_a_file(format!("metadata \"input_spec\": {e}")))?;
            if input != *spec.input_spec() {
                let reason = format!("its input_spec is {input:?}, but {arch}'s is {:?}", spec.input_spec());
                return Err(not_a_file(reason));
            }
        }
        check(path, &spec, &file)?;
        let read = |name: &str, device: &Device| -> Result<Tensor> {
            let tensor = file.tensor(name).map_err(|e| not_a_file(format!("{name}: {e}")))?;
            Ok(tensor.load(device)?.to_dtype(DType::F32)?)
        };
        let mean_image = if file.tensor(MEAN_IMAGE).is_ok() {
            Some(read(MEAN_IMAGE, &Device::Cpu)?.flatten_all()?.to_vec1()?)
        } else {
            None
        };
        let network =
            Network::with(spec, 0, std::slice::from_ref(device), |_, parameter, device| read(&parameter.name, device))?;
        Ok(Self { network, classes, mean_image })
    }
}

/// The variant with as many classes as the file's last layer has biases.
fn spec_for(path: &Path, arch: &str, classes: &[String], file: &SafeTensors<'_>) -> Result<Specification> {
    let any = variants::build(arch, classes.len().max(1))?;
    let last = any.parameters().iter().rev().find(|p| p.shape.len() == 1).map(|p| p.name.clone()).unwrap_or_default();
    let found = file.tensor(&last).ok().and_then(|bias| bias.shape().first().copied());
    match found {
        Some(count) if !classes.is_empty() && count != classes.len() => {
            let problems = vec![format!("{last} has {count} values, but the metadata names {} classes", classes.len())];
            Err(Error::Weights { path: path.to_owned(), arch: arch.into(), problems })
        }
        Some(count) => variants::build(arch, count),
        None => Ok(any),
    }
}

/// Holds the file's tensors against the variant's.
fn check(path: &Path, spec: &Specification, file: &SafeTensors<'_>) -> Result<()> {
    let mut problems = Vec::new();
    let side = spec.input_spec().source_size;
    let mean = spec.input_spec().mean.needs_image().then(|| (MEAN_IMAGE, vec![3, side, side]));
    let expected: Vec<(&str, Vec<usize>)> =
        spec.parameters().iter().map(|p| (p.name.as_str(), p.shape.clone())).chain(mean).collect();
    for (name, shape) in &expected {
        match file.tensor(name) {
            Ok(tensor) if tensor.shape() != shape => {
                problems.push(format!("{name} has shape {:?}, expected {shape:?}", tensor.shape()));
            }
            Ok(tensor)
                if !matches!(
                    tensor.dtype(),
                    safetensors::Dtype::F32 | safetensors::Dtype::F16 | safetensors::Dtype::BF16
                ) =>
            {
                problems.push(format!("{name} is {:?}, expected F32, F16 or BF16", tensor.dtype()));
            }
            // Bare weights of a variant that subtracts a mean image can be loaded; who needs the image will say so.
            Err(_) if *name != MEAN_IMAGE => problems.push(format!("{name} is missing")),
            _ => {}
        }
    }
    let mut unexpected: Vec<&str> =
        file.names().into_iter().filter(|name| !expected.iter().any(|(known, _)| known == name)).collect();
    unexpected.sort_unstable();
    problems.extend(unexpected.into_iter().map(|name| format!("{name} is unexpected")));
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Weights { path: path.to_owned(), arch: spec.arch().into(), problems })
}
