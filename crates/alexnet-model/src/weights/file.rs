//! Weights files of all formats: names, shapes, types, values.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use candle_core::pickle::PthTensors;
use candle_core::safetensors::Load;
use candle_core::{Device, Result as CandleResult, Tensor};
use safetensors::SafeTensors;

use crate::error::{Error, Result};

/// An open weights file.
pub(super) struct WeightsFile {
    metadata: HashMap<String, String>,
    /// Shape and type of each tensor; the type has its safetensors name.
    tensors: BTreeMap<String, (Vec<usize>, String)>,
    content: Content,
}

enum Content {
    /// The whole file, already validated.
    Safetensors(Vec<u8>),
    /// The reader, and for each tensor its name in the file.
    Pytorch(PthTensors, HashMap<String, String>),
}

/// Magic bytes of a zip archive, the `torch.save` format since PyTorch 1.6.
const ZIP: &[u8] = b"PK\x03\x04";
/// Magic bytes of the older format: a pickle of a ten-byte number. A safetensors file may start with the first two of
/// these as its header length, but not with all four.
const PICKLE: &[u8] = b"\x80\x02\x8a\x0a";

impl WeightsFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let wrong = |reason: String| Error::File { path: path.to_owned(), reason };
        let mut start = Vec::new();
        File::open(path).and_then(|file| file.take(4).read_to_end(&mut start)).map_err(io)?;
        if start == ZIP {
            return Self::pytorch(path)
                .map_err(|e| wrong(format!("this is not a state_dict written by torch.save: {e}")));
        }
        if start == PICKLE {
            let reason = "this is the torch.save format from before PyTorch 1.6; load it in PyTorch and save it again";
            return Err(wrong(reason.into()));
        }
        let bytes = std::fs::read(path).map_err(io)?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|e| wrong(format!("this is not a safetensors file or a torch.save file: {e}")))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
        let metadata = metadata.metadata().clone().unwrap_or_default();
        if metadata.get("format").is_some_and(|format| format.starts_with("alexnet-checkpoint")) {
            return Err(wrong("this is a training checkpoint; use model.safetensors in the same folder".into()));
        }
        let tensors =
            file.iter().map(|(name, view)| (name.into(), (view.shape().to_vec(), format!("{:?}", view.dtype()))));
        Ok(Self { metadata, tensors: tensors.collect(), content: Content::Safetensors(bytes) })
    }

    fn pytorch(path: &Path) -> std::result::Result<Self, String> {
        // Keys under which training scripts store the state_dict, next to other values; or no key.
        let keys = [Some("state_dict"), Some("model"), None];
        let mut found = Err("it has no tensors; save model.state_dict(), not the model".to_owned());
        for key in keys {
            match caught(|| PthTensors::new(path, key)) {
                Ok(file) if !file.tensor_infos().is_empty() => {
                    found = Ok(file);
                    break;
                }
                // Do not report a missing key that the user did not specify.
                Err(error) if key.is_none() => return Err(error),
                _ => {}
            }
        }
        let file = found?;
        let names = file.tensor_infos().keys().map(|name| (plain(name), name.clone())).collect();
        let tensors = file
            .tensor_infos()
            .iter()
            .map(|(name, info)| (plain(name), (info.layout.dims().to_vec(), info.dtype.as_str().to_uppercase())));
        Ok(Self { metadata: HashMap::new(), tensors: tensors.collect(), content: Content::Pytorch(file, names) })
    }

    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    /// Shape and type.
    pub(super) fn tensor(&self, name: &str) -> Option<&(Vec<usize>, String)> {
        self.tensors.get(name)
    }

    /// Loads the values.
    pub(super) fn read(&self, name: &str, device: &Device) -> std::result::Result<Tensor, String> {
        match &self.content {
            Content::Safetensors(bytes) => {
                let view =
                    SafeTensors::deserialize(bytes).and_then(|file| file.tensor(name).map(|view| view.load(device)));
                view.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
            }
            Content::Pytorch(file, names) => {
                let Some(tensor) = names.get(name).and_then(|name| file.tensor_infos().get(name)) else {
                    return Err("there is no such tensor".into());
                };
                if !tensor.layout.is_contiguous() && !tensor.layout.is_fortran_contiguous() {
                    return Err("it is not contiguous; call contiguous() on it before saving".into());
                }
                caught(|| file.get(&tensor.name)?.expect("it is in the list").to_device(device))
            }
        }
    }
}

impl std::fmt::Debug for WeightsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WeightsFile of {:?}", self.tensors.keys())
    }
}

/// A tensor's name in the network, without the components added by `DataParallel` (around all or part of the network)
/// and `torch.compile`.
fn plain(name: &str) -> String {
    name.split('.').filter(|part| !["module", "_orig_mod"].contains(part)).collect::<Vec<_>>().join(".")
}

/// Calls Candle's pickle reader and converts panics to errors. The reader is not robust against malformed files: it
/// unpacks arguments without checking their number. (The panic message still goes to the program's panic hook.)
fn caught<T>(read: impl FnOnce() -> CandleResult<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|e| e.to_string()),
        Err(_) => Err("its content is malformed".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    fn golden(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
    }

    /// The files of `xtask/golden/pth.py`: a `state_dict`, and one inside a checkpoint, of a network partly wrapped in
    /// `DataParallel`.
    #[test]
    fn what_pytorch_saved_is_read() {
        let ramp: Vec<f32> = (0..24).map(|i| i as f32 / 8.0 - 1.0).collect();
        let columns: Vec<f32> =
            (0..4).flat_map(|column| (0..3).map(move |row| 12 + 4 * row + column)).map(|i| ramp[i]).collect();
        let expected: [(&str, &str, &[usize], &[f32]); 6] = [
            ("weight", "F32", &[2, 3, 4], &ramp),
            ("half", "F16", &[2, 3, 4], &ramp),
            ("bfloat", "BF16", &[2, 3, 4], &ramp),
            ("bias", "F32", &[4], &ramp[5..9]),
            ("parameter", "F32", &[3, 4], &ramp[..12]),
            ("transposed", "F32", &[4, 3], &columns),
        ];
        for name in ["weights.pth", "checkpoint.pth"] {
            let file = WeightsFile::open(&golden(name)).unwrap();
            assert_eq!(file.names().len(), 8, "{name}: {:?}", file.names());
            assert_eq!(file.tensor("integers").unwrap().1, "I64");
            for (tensor, dtype, shape, values) in expected {
                assert_eq!(file.tensor(tensor), Some(&(shape.to_vec(), dtype.into())), "{name}");
                let found = file.read(tensor, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
                assert_eq!(found.dims(), shape);
                assert_eq!(found.flatten_all().unwrap().to_vec1::<f32>().unwrap(), values, "{name}: {tensor}");
            }
        }
    }

    #[test]
    fn other_files_of_pytorch_say_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.pth");
        let message = || WeightsFile::open(&path).err().unwrap().to_string();
        std::fs::copy(golden("empty.pth"), &path).unwrap();
        assert!(
            message().ends_with("file.pth: this is not a state_dict written by torch.save: it has no tensors; save model.state_dict(), not the model"),
            "{}",
            message()
        );
        // A non-contiguous tensor.
        let file = WeightsFile::open(&golden("weights.pth")).unwrap();
        let message = file.read("channels_last", &Device::Cpu).unwrap_err();
        assert!(message.contains("call contiguous()"), "{message}");
        let message = || WeightsFile::open(&path).err().unwrap().to_string();
        std::fs::write(&path, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.").unwrap();
        assert!(message().contains("before PyTorch 1.6"), "{}", message());
        // Truncated files are rejected.
        let whole = std::fs::read(golden("weights.pth")).unwrap();
        for length in (4..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(message().contains("file.pth"), "{}", message());
        }
    }

    /// A header of 640 bytes gives a file the same first bytes as a pickle.
    #[test]
    fn a_header_may_be_of_any_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.safetensors");
        let tensor = Tensor::new(&[1f32], &Device::Cpu).unwrap();
        for padding in 0..640 {
            let metadata = BTreeMap::from([("padding".into(), "x".repeat(padding))]);
            crate::write_safetensors(&path, &metadata, &[("a".into(), tensor.clone())]).unwrap();
            if std::fs::read(&path).unwrap().starts_with(&640u64.to_le_bytes()) {
                assert_eq!(WeightsFile::open(&path).unwrap().names(), ["a"]);
                return;
            }
        }
        panic!("no header of 640 bytes");
    }

    /// Changing any byte leads to an error or a readable file, never a panic.
    #[test]
    fn damaged_files_of_pytorch_are_no_panic() {
        if alexnet_testing::cpu_only() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.pth");
        let whole = std::fs::read(golden("weights.pth")).unwrap();
        let mut refused = 0;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&path, &bytes).unwrap();
            match WeightsFile::open(&path) {
                Ok(file) => {
                    refused += usize::from(file.names().iter().any(|name| file.read(name, &Device::Cpu).is_err()))
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > whole.len() / 4, "{refused} of {}", whole.len());
    }
}
