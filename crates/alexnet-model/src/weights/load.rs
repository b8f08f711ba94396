//! Reads models from the project's own files and from bare PyTorch weights.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::file::WeightsFile;
use super::{MEAN_IMAGE, Model};
use crate::error::{Error, Result};
use crate::input_spec::InputSpec;
use crate::layer::Layer;
use crate::network::Network;
use crate::specification::{Parts, Specification, few_layers};
use crate::variants;

/// An open file that was checked to contain a complete network; its tensors are not loaded yet.
#[derive(Debug)]
pub struct ModelFile {
    path: PathBuf,
    file: WeightsFile,
    spec: Specification,
    classes: Vec<String>,
}

impl ModelFile {
    /// Opens a file written by [`Model::save`], of a variant or any other network, or the bare weights of a variant,
    /// such as torchvision's `state_dict`, saved with safetensors or `torch.save`. For bare weights, `arch` must name
    /// the variant, and the class names stay empty. The format is detected from the first bytes of the file.
    ///
    /// A `torch.save` file must contain a dictionary of tensors, or one under the key `state_dict` or `model`; the
    /// network may have been wrapped in `DataParallel` or compiled. No code in the file is executed, but a malicious
    /// file can make the reader use all memory, so use safetensors for untrusted files.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::File`] for a file that is unreadable or in neither format; [`Error::Weights`], which
    /// lists all tensors that are missing, unexpected or of the wrong shape, also if `arch` differs from the
    /// architecture in the file.
    pub fn open(path: &Path, arch: Option<&str>) -> Result<Self> {
        let file = WeightsFile::open(path)?;
        if let (Some(wanted), Some(said)) = (arch, file.metadata("arch"))
            && wanted != said
        {
            let problems = vec![format!("the file holds weights of {said}")];
            return Err(Error::Weights { path: path.to_owned(), arch: wanted.into(), problems });
        }
        Self::check(path, file, arch)
    }

    /// Like [`ModelFile::open`], but `arch` is used only if the file does not name its architecture.
    ///
    /// # Errors
    /// As [`ModelFile::open`], except that a different `arch` is not an error.
    pub fn open_any(path: &Path, arch: Option<&str>) -> Result<Self> {
        Self::check(path, WeightsFile::open(path)?, arch)
    }

    fn check(path: &Path, file: WeightsFile, arch: Option<&str>) -> Result<Self> {
        let not_a_file = |reason: String| Error::File { path: path.to_owned(), reason };
        let arch = match file.metadata("arch").or(arch) {
            Some(arch) => arch,
            None => {
                return Err(not_a_file("the file does not say which architecture its weights are of; name it".into()));
            }
        };
        let classes: Vec<String> = metadata(&file, "classes").map_err(not_a_file)?.unwrap_or_default();
        let input_spec = metadata::<InputSpec>(&file, "input_spec").map_err(not_a_file)?;
        let spec = match metadata::<Layers>(&file, "layers").map_err(not_a_file)? {
            Some(Layers(layers)) => {
                let outputs = metadata(&file, "outputs").map_err(not_a_file)?.unwrap_or_default();
                let no_input = || not_a_file("its metadata has layers, but no input_spec".into());
                let input_spec = input_spec.ok_or_else(no_input)?;
                let spec = Specification::try_from(Parts { arch: arch.into(), outputs, input_spec, layers })
                    .map_err(|e| not_a_file(format!("its network: {e}")))?;
                if !classes.is_empty() && classes.len() != spec.classes() {
                    let (found, named) = (spec.classes(), classes.len());
                    return Err(not_a_file(format!("its network has {found} classes, but its metadata names {named}")));
                }
                spec
            }
            None => {
                let spec = spec_for(path, arch, &classes, &file)?;
                if let Some(input) = input_spec.filter(|input| input != spec.input_spec()) {
                    let reason = format!("its input_spec is {input:?}, but {arch}'s is {:?}", spec.input_spec());
                    return Err(not_a_file(reason));
                }
                spec
            }
        };
        check(path, &spec, &file)?;
        Ok(Self { path: path.to_owned(), spec, classes, file })
    }

    /// The architecture named in the file, if any.
    ///
    /// # Errors
    /// As [`ModelFile::open`] for a file that is unreadable or in neither format.
    pub fn arch(path: &Path) -> Result<Option<String>> {
        Ok(WeightsFile::open(path)?.metadata("arch").map(str::to_owned))
    }

    /// The network's layers.
    pub fn spec(&self) -> &Specification {
        &self.spec
    }

    /// The class names, in the order of the logits; empty if the file has none.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Reads the values.
    ///
    /// # Errors
    /// [`Error::File`] for values that cannot be read; a device that is out of memory.
    pub fn load(self, device: &Device) -> Result<Model> {
        let Self { path, file, spec, classes } = self;
        let read = |name: &str, device: &Device| -> Result<Tensor> {
            let tensor = file.read(name, device);
            let tensor = tensor.map_err(|e| Error::File { path: path.clone(), reason: format!("{name}: {e}") })?;
            Ok(tensor.to_dtype(DType::F32)?)
        };
        let mean_image = match file.tensor(MEAN_IMAGE) {
            Some(_) => Some(read(MEAN_IMAGE, &Device::Cpu)?.flatten_all()?.to_vec1()?),
            None => None,
        };
        // Put all layers on `device`, regardless of their device numbers.
        let devices = spec.layers().iter().map(|layer| layer.device).max().map_or(1, |last| last + 1);
        let network = Network::with(spec, 0, &vec![device.clone(); devices], |_, parameter, device| {
            read(&parameter.name, device)
        })?;
        Ok(Model { network, classes, mean_image })
    }
}

impl Model {
    /// Calls [`ModelFile::open`], then [`ModelFile::load`].
    ///
    /// # Errors
    /// Theirs.
    pub fn load(path: &Path, arch: Option<&str>, device: &Device) -> Result<Self> {
        ModelFile::open(path, arch)?.load(device)
    }
}

/// A list of layers in a file's metadata.
#[derive(Deserialize)]
struct Layers(#[serde(deserialize_with = "few_layers")] Vec<Layer>);

/// Parses the metadata entry `key` as JSON.
fn metadata<T: DeserializeOwned>(file: &WeightsFile, key: &str) -> std::result::Result<Option<T>, String> {
    let value = file.metadata(key).map(serde_json::from_str).transpose();
    value.map_err(|e| format!("metadata {key:?}: {e}"))
}

/// The variant, with the number of classes taken from the bias of the file's last layer.
fn spec_for(path: &Path, arch: &str, classes: &[String], file: &WeightsFile) -> Result<Specification> {
    let any = variants::build(arch, classes.len().max(1))?;
    let last = any.parameters().iter().rev().find(|p| p.shape.len() == 1).map(|p| p.name.clone()).unwrap_or_default();
    let found = file.tensor(&last).and_then(|(shape, _)| shape.first().copied());
    match found {
        Some(count) if !classes.is_empty() && count != classes.len() => {
            let problems = vec![format!("{last} has {count} values, but the metadata names {} classes", classes.len())];
            Err(Error::Weights { path: path.to_owned(), arch: arch.into(), problems })
        }
        Some(count) => variants::build(arch, count),
        None => Ok(any),
    }
}

/// Checks the tensors of the file against the specification.
fn check(path: &Path, spec: &Specification, file: &WeightsFile) -> Result<()> {
    let mut problems = Vec::new();
    let side = spec.input_spec().source_size;
    let mean = spec.input_spec().mean.needs_image().then(|| (MEAN_IMAGE, vec![3, side, side]));
    let expected: Vec<(&str, Vec<usize>)> =
        spec.parameters().iter().map(|p| (p.name.as_str(), p.shape.clone())).chain(mean).collect();
    for (name, shape) in &expected {
        match file.tensor(name) {
            Some((found, _)) if found != shape => {
                problems.push(format!("{name} has shape {found:?}, expected {shape:?}"));
            }
            Some((_, dtype)) if !["F32", "F16", "BF16"].contains(&dtype.as_str()) => {
                problems.push(format!("{name} is {dtype}, expected F32, F16 or BF16"));
            }
            // Bare weights of a variant that subtracts a mean image can be loaded; code that needs the image reports an
            // error.
            None if *name != MEAN_IMAGE => problems.push(format!("{name} is missing")),
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
