//! Writes files atomically and deterministically.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// Number of values converted to bytes at a time.
const CHUNK: usize = 1 << 14;

/// Lets `write` fill the file `{path}.partial`, flushes it to disk and renames it to `path`. `path` always is either
/// the complete old file or the complete new one, even after a crash.
///
/// # Errors
/// [`Error::Io`] with the error of `write` or the file system; `path` is then unchanged.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = File::create(&partial).and_then(|mut file| {
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    });
    if let Err(source) = written {
        // The partial file may not exist; report the first error.
        let _ = fs::remove_file(&partial);
        return Err(Error::Io { path: path.to_owned(), source });
    }
    // Flush the folder so that the rename survives a power failure. Not every file system supports this.
    if let Some(folder) = path.parent()
        && let Ok(folder) = File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
    {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Writes `f32` tensors and metadata as safetensors, atomically.
///
/// The writer of the safetensors crate keeps the metadata in a `HashMap`, so the same model would produce different
/// bytes each time, and it uses its own temporary file, which is left behind if the process is killed. The format is
/// eight bytes with the length of a JSON header, the header, and the values.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written; [`Error::Candle`] for a tensor that is not `f32`.
pub fn write_safetensors(path: &Path, metadata: &BTreeMap<String, String>, tensors: &[(String, Tensor)]) -> Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!(metadata));
    let mut end = 0;
    for (name, tensor) in tensors {
        let start = end;
        end += tensor.elem_count() * size_of::<f32>();
        header.insert(name.clone(), json!({ "dtype": "F32", "shape": tensor.dims(), "data_offsets": [start, end] }));
    }
    let mut header = Value::Object(header).to_string();
    // Align the values to eight bytes.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let mut failed = Ok(());
    write_atomically(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        for (_, tensor) in tensors {
            match tensor.flatten_all().and_then(|values| values.to_vec1::<f32>()) {
                Ok(values) => write_values(file, &values)?,
                Err(error) => {
                    failed = Err(error);
                    return Err(io::Error::other("a tensor cannot be read"));
                }
            }
        }
        Ok(())
    })
    .or_else(|error| failed.map_err(Error::from).and(Err(error)))
}

fn write_values(file: &mut File, values: &[f32]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(CHUNK * size_of::<f32>());
    for values in values.chunks(CHUNK) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        file.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use safetensors::SafeTensors;

    #[test]
    fn what_is_written_is_safetensors_and_the_same_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.safetensors");
        let values: Vec<f32> = (0..CHUNK + 7).map(|i| i as f32 / 3.0).collect();
        let long = Tensor::from_vec(values.clone(), CHUNK + 7, &Device::Cpu).unwrap();
        let tensors =
            [("b".into(), long), ("a".into(), Tensor::new(&[[1f32, -0.0], [f32::MAX, 2.0]], &Device::Cpu).unwrap())];
        let metadata: BTreeMap<String, String> =
            (0..20).map(|i| (format!("key {i}"), format!("\"value\" {i}\n"))).collect();
        write_safetensors(&path, &metadata, &tensors).unwrap();
        let bytes = fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!((file.len(), file.tensor("a").unwrap().shape()), (2, &[2, 2][..]));
        let expected: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(file.tensor("b").unwrap().data(), expected);
        let (_, read) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(read.metadata().clone().unwrap().into_iter().collect::<BTreeMap<_, _>>(), metadata);
        write_safetensors(&path, &metadata.clone(), &tensors).unwrap();
        assert!(fs::read(&path).unwrap() == bytes, "other bytes the second time");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, |file| file.write_all(b"old")).unwrap();
        let error = write_atomically(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(error.unwrap_err().to_string().ends_with("file: the disk is full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let integers = [("a".into(), Tensor::new(&[1u32], &Device::Cpu).unwrap())];
        assert!(matches!(write_safetensors(&path, &BTreeMap::new(), &integers), Err(Error::Candle(_))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}
