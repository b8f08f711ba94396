//! Writes a shard: the archive, its index and its checksum.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::checksum::hex;
use super::picture::Picture;
use crate::Error;
use crate::sources::shards::entry::Entry;
use crate::sources::shards::index;
use crate::sources::shards::manifest::ShardManifest;

/// A shard being written, under a temporary name until it is complete.
pub(super) struct ShardWriter {
    path: PathBuf,
    archive: tar::Builder<Summed<BufWriter<File>>>,
    entries: Vec<Entry>,
}

/// The contents of a sample's JSON.
#[derive(Serialize)]
struct Description<'a> {
    /// The source file.
    file: &'a str,
    class: &'a str,
    label: u32,
    width: u32,
    height: u32,
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Writes a temporary file beside `path` and renames it, so that a partial file is never read.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = File::create(partial(path))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(partial(path), path)
    };
    write().map_err(|source| {
        // Best effort: the first error is reported.
        let _ = fs::remove_file(partial(path));
        Error::Write { path: path.to_owned(), source }
    })
}

impl ShardWriter {
    pub(super) fn create(path: PathBuf) -> Result<Self, Error> {
        let file = File::create(partial(&path)).map_err(|source| Error::Write { path: path.clone(), source })?;
        let archive = tar::Builder::new(Summed { inner: BufWriter::new(file), sum: Sha256::new(), written: 0 });
        Ok(Self { path, archive, entries: Vec::new() })
    }

    pub(super) fn images(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Appends the files of a sample: image, label, description.
    pub(super) fn add(
        &mut self,
        key: &str,
        picture: &Picture,
        file: &str,
        label: u32,
        class: &str,
    ) -> Result<(), Error> {
        let name = format!("{key}.{}", picture.extension);
        self.append(&name, &picture.bytes)?;
        // The image and its padding have just been written.
        let offset = self.archive.get_ref().written - picture.bytes.len().next_multiple_of(512) as u64;
        self.entries.push(Entry { offset, len: picture.bytes.len() as u32, label, name: name.into() });
        self.append(&format!("{key}.cls"), label.to_string().as_bytes())?;
        let description = Description { file, class, label, width: picture.width, height: picture.height };
        let json = serde_json::to_vec(&description).map_err(|error| self.error(io::Error::other(error)))?;
        self.append(&format!("{key}.json"), &json)
    }

    fn error(&self, source: io::Error) -> Error {
        Error::Write { path: partial(&self.path), source }
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        // No times and no owners, so that the same files give the same archive.
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        self.archive.append_data(&mut header, name, bytes).map_err(|error| self.error(error))
    }

    /// Completes the archive and its index.
    pub(super) fn finish(self) -> Result<ShardManifest, Error> {
        let Self { path, archive, entries } = self;
        let finish = || -> io::Result<(u64, String)> {
            let Summed { inner, sum, written } = archive.into_inner()?;
            inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            Ok((written, hex(&sum.finalize())))
        };
        let write_error = |source| Error::Write { path: path.clone(), source };
        let (bytes, sha256) = finish().map_err(write_error)?;
        write_whole(&path.with_extension(index::EXTENSION), index::format(&entries, bytes).as_bytes())?;
        fs::rename(partial(&path), &path).map_err(write_error)?;
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(ShardManifest { file, images: entries.len() as u64, bytes, sha256 })
    }

    /// Deletes an archive that cannot be completed or is empty.
    pub(super) fn discard(self) {
        let path = partial(&self.path);
        drop(self.archive);
        // Best effort: the next run overwrites it.
        let _ = fs::remove_file(path);
    }
}

/// A writer that counts the bytes and computes their SHA-256 sum.
struct Summed<W> {
    inner: W,
    sum: Sha256,
    written: u64,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sum.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
