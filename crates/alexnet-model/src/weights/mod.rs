//! A network's weights, in and out.

mod safetensors;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::network::Network;

/// A network with what it takes to use it: the names of its classes and, where its preprocessing has one, the mean image
/// of the set it was trained on.
#[derive(Debug)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// The name of each class, in the order of the logits; empty where the file did not say.
    pub classes: Vec<String>,
    /// `[3, source_size, source_size]`, red, green, blue, in units of the input's pixel range.
    pub mean_image: Option<Vec<f32>>,
}

/// Lets `write` fill a file beside `path`, flushes it to the disk and gives it its name: whoever opens `path`, whatever
/// happens meanwhile, finds the old file or the new one, whole. The file beside it is called `{path}.partial`.
///
/// # Errors
/// Whatever `write` or the file system reports; `path` is then what it was.
pub fn write_atomically(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let io = |source| Error::Io { path: path.to_owned(), source };
    let written = write(&partial).and_then(|()| {
        File::open(&partial).and_then(|file| file.sync_all()).map_err(io)?;
        fs::rename(&partial, path).map_err(io)
    });
    if written.is_err() {
        // It may never have been made; the error worth reporting is the first.
        let _ = fs::remove_file(&partial);
        return written;
    }
    // The new name, too, is to survive a power cut. Not every file system can flush a folder.
    if let Some(folder) = path.parent()
        && let Ok(folder) = File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
    {
        let _ = folder.sync_all();
    }
    Ok(())
}
