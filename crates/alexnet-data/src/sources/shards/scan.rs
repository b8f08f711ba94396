//! Finds the images of a shard without an index by reading the headers of its files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Component, Path};

use super::entry::Entry;
use super::index::{MAX_LABEL, shard_error};
use crate::Error;

const IMAGES: [&str; 5] = ["jpg", "jpeg", "png", "webp", "ppm"];
const LABEL: &str = "cls";
/// Maximum size of a label file, which contains a few digits.
const LABEL_BYTES: u64 = 32;

/// The image and label of each sample, in the order of the images.
pub(super) fn entries(path: &Path) -> Result<Vec<Entry>, Error> {
    let file = File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let bytes = file.metadata().map_err(|source| Error::Read { path: path.to_owned(), source })?.len();
    entries_in(path, file, bytes)
}

/// Like [`entries`], for an archive of `bytes` bytes.
pub(crate) fn entries_in(path: &Path, archive: impl Read + Seek, bytes: u64) -> Result<Vec<Entry>, Error> {
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
    let mut archive = tar::Archive::new(archive);
    let (mut images, mut labels) = (Vec::new(), HashMap::new());
    for entry in archive.entries_with_seek().map_err(|error| shard_error(path, error))? {
        let mut entry = entry.map_err(|error| shard_error(path, error))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if Path::new(&name).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(malformed(format!("the name `{name}` leads out of the archive")));
        }
        let (offset, len) = (entry.raw_file_position(), entry.size());
        if offset.saturating_add(len) > bytes {
            return Err(malformed(format!("`{name}` has {len} bytes at {offset}, the archive only {bytes}")));
        }
        let Some((key, extension)) = split_name(&name) else { continue };
        let key = key.to_owned();
        if extension == LABEL {
            let mut text = String::new();
            let read = entry.by_ref().take(LABEL_BYTES).read_to_string(&mut text);
            let label = read.ok().and_then(|_| text.trim().parse().ok()).filter(|&label: &u32| label <= MAX_LABEL);
            let label = label.ok_or_else(|| malformed(format!("`{name}` is `{}`, not a label", text.trim())))?;
            labels.insert(key, label);
        } else if IMAGES.iter().any(|image| image.eq_ignore_ascii_case(extension)) {
            let len = u32::try_from(len);
            let len = len.map_err(|_| malformed(format!("`{name}` has {} bytes, at most 2^32 fit", entry.size())))?;
            images.push((key, Entry { offset, len, label: 0, name: name.into() }));
        }
    }
    let labeled = images.into_iter().map(|(key, entry)| match labels.get(&key) {
        Some(&label) => Ok(Entry { label, ..entry }),
        None => Err(malformed(format!("`{}` has no label: there is no `{key}.{LABEL}`", entry.name))),
    });
    labeled.collect()
}

/// A sample's key and extension: the name is split at the first dot after its last slash, as in `webdataset`.
fn split_name(name: &str) -> Option<(&str, &str)> {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = start + name[start..].find('.')?;
    (dot > start).then(|| (&name[..dot], &name[dot + 1..]))
}
