//! Files of weights, whatever their format: names, shapes, types, values.

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

/// An open file of weights.
pub(super) struct WeightsFile {
    metadata: HashMap<String, String>,
    /// Shape and type of each, the type as safetensors calls it.
    tensors: BTreeMap<String, (Vec<usize>, String)>,
    content: Content,
}

enum Content {
    /// The whole file, which has been seen to be sound.
    Safetensors(Vec<u8>),
    /// With the name that each tensor has in the file.
    Pytorch(PthTensors, HashMap<String, String>),
}

/// What a zip archive begins with, which is what `torch.save` writes since PyTorch 1.6.
const ZIP: &[u8] = b"PK\x03\x04";
/// What it began with before: a pickle of a number of ten bytes. A safetensors file may have the first two of these as the
/// length of its header, but not all four.
const PICKLE: &[u8] = b"\x80\x02\x8a\x0a";

impl WeightsFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let wrong = |reason: String| Error::File { path: path.to_owned(), reason };
        let mut start = Vec::new();
        File::open(path).and_then(|file| file.take(4).read_to_end(&mut start)).map_err(io)?;
        if start == ZIP {
            return Self::pytorch(path).map_err(|e| wrong(format!("this is no state_dict that torch.save wrote: {e}")));
        }
        if start == PICKLE {
            let reason = "this is what torch.save wrote before PyTorch 1.6; load it there and save it again";
            return Err(wrong(reason.into()));
        }
        let bytes = std::fs::read(path).map_err(io)?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|e| wrong(format!("this is not a safetensors file of weights, nor one of torch.save: {e}")))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(e.to_string()))?;
        let metadata = metadata.metadata().clone().unwrap_or_default();
        if metadata.get("format").is_some_and(|format| format.starts_with("alexnet-checkpoint")) {
            return Err(wrong("this is what a run goes on from; its model is model.safetensors beside it".into()));
        }
        let tensors =
            file.iter().map(|(name, view)| (name.into(), (view.shape().to_vec(), format!("{:?}", view.dtype()))));
        Ok(Self { metadata, tensors: tensors.collect(), content: Content::Safetensors(bytes) })
    }

    fn pytorch(path: &Path) -> std::result::Result<Self, String> {
        // What training scripts wrap it in, among numbers and other tensors; or nothing.
        let keys = [Some("state_dict"), Some("model"), None];
        let mut found = Err("it holds no tensors; save model.state_dict(), not the model".to_owned());
        for key in keys {
            match caught(|| PthTensors::new(path, key)) {
                Ok(file) if !file.tensor_infos().is_empty() => {
                    found = Ok(file);
                    break;
                }
                // That there is no such key is nothing a person should read who did not ask for it.
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

    /// The values.
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
                    return Err("its values do not lie in order; call contiguous() on it before saving".into());
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

/// A tensor's name in the network: without what `DataParallel`, around all or a part of it, and `torch.compile` put in.
fn plain(name: &str) -> String {
    name.split('.').filter(|part| !["module", "_orig_mod"].contains(part)).collect::<Vec<_>>().join(".")
}

/// What Candle's reader of pickles says. It was not made for files that nobody has checked: it takes arguments apart
/// without counting them. (A panic's message still goes where the program's panic hook sends it.)
fn caught<T>(read: impl FnOnce() -> CandleResult<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|e| e.to_string()),
        Err(_) => Err("its content makes no sense".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    fn golden(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
    }

    /// The files of `xtask/golden/pth.py`: a `state_dict`, and one inside a checkpoint, of a network of which a part was on
    /// several GPUs.
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
            message().ends_with("file.pth: this is no state_dict that torch.save wrote: it holds no tensors; save model.state_dict(), not the model"),
            "{}",
            message()
        );
        // Its values in the order of another layout.
        let file = WeightsFile::open(&golden("weights.pth")).unwrap();
        let message = file.read("channels_last", &Device::Cpu).unwrap_err();
        assert!(message.contains("call contiguous()"), "{message}");
        let message = || WeightsFile::open(&path).err().unwrap().to_string();
        std::fs::write(&path, b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.").unwrap();
        assert!(message().contains("before PyTorch 1.6"), "{}", message());
        // Cut short anywhere, it is refused.
        let whole = std::fs::read(golden("weights.pth")).unwrap();
        for length in (4..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(message().contains("file.pth"), "{}", message());
        }
    }

    /// A header of 640 bytes makes a file begin as pickles do.
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

    /// Whatever byte is wrong, there is an error or a file, and no panic.
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
