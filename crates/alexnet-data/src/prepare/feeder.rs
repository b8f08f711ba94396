//! Reads ImageNet's archives from beginning to end.

use std::io::{self, Read};
use std::path::Path;

use super::checksum::DEVKIT;
use super::devkit::Devkit;
use super::source::{MAX_IMAGE_BYTES, SourceImage};
use crate::Error;

/// Iterates over the images of an archive; `number` counts them.
pub(super) struct Feeder<'a> {
    pub(super) path: &'a Path,
    pub(super) skip: u64,
    pub(super) sink: &'a mut dyn FnMut(SourceImage) -> bool,
    pub(super) number: u64,
}

impl Feeder<'_> {
    fn malformed(&self, reason: String) -> Error {
        Error::Malformed { path: self.path.to_owned(), reason }
    }

    /// Errors in the archive's contents are damage; errors of the disk may be temporary.
    fn damaged(&self, error: io::Error) -> Error {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        match error.kind() {
            Other | InvalidData | InvalidInput | UnexpectedEof => {
                self.malformed(format!("the archive is damaged after image {}: {error}", self.number))
            }
            _ => Error::Read { path: self.path.to_owned(), source: error },
        }
    }

    /// Reads a tar that contains one tar per class. Returns whether the end was reached.
    pub(super) fn train(mut self, archive: &mut tar::Archive<impl Read>, devkit: &Devkit) -> Result<bool, Error> {
        let mut seen = vec![false; devkit.classes.len()];
        for class in archive.entries().map_err(|error| self.damaged(error))? {
            let class = class.map_err(|error| self.damaged(error))?;
            if !class.header().entry_type().is_file() {
                continue;
            }
            let name = base_name(&class.path_bytes());
            let Some(wnid) = name.strip_suffix(".tar") else {
                return Err(self.malformed(format!("`{name}` is not the archive of a class, such as n01440764.tar")));
            };
            let Ok(label) = devkit.classes.binary_search_by(|known| known.wnid.as_str().cmp(wnid)) else {
                return Err(self.malformed(format!("the class of `{name}` is not in {DEVKIT}")));
            };
            seen[label] = true;
            let mut inner = tar::Archive::new(class);
            for entry in inner.entries().map_err(|error| self.damaged(error))? {
                let entry = entry.map_err(|error| self.damaged(error))?;
                if entry.header().entry_type().is_file() && !self.image(entry, |_| Ok(label as u32))? {
                    return Ok(false);
                }
            }
        }
        // A truncation between two files is not detected by the tar reader.
        match seen.iter().position(|seen| !seen) {
            Some(label) => {
                let (count, all) = (seen.iter().filter(|seen| **seen).count(), seen.len());
                let wnid = &devkit.classes[label].wnid;
                Err(self.malformed(format!("it holds {count} of the {all} classes in {DEVKIT}; {wnid} is missing")))
            }
            None => Ok(true),
        }
    }

    /// Reads a tar of images whose names contain their numbers. Returns whether the end was reached.
    pub(super) fn val(mut self, archive: &mut tar::Archive<impl Read>, devkit: &Devkit) -> Result<bool, Error> {
        for entry in archive.entries().map_err(|error| self.damaged(error))? {
            let entry = entry.map_err(|error| self.damaged(error))?;
            let label = |name: &str| {
                let stem = name.split('.').next().unwrap_or_default();
                let number = stem.rsplit('_').next().and_then(|number| number.parse::<usize>().ok());
                let label = number.and_then(|number| devkit.truth.get(number.checked_sub(1)?));
                let truths = devkit.truth.len();
                label.copied().ok_or_else(|| {
                    format!("`{name}` has no number from 1 to {truths}, the range of the images listed in {DEVKIT}")
                })
            };
            if entry.header().entry_type().is_file() && !self.image(entry, label)? {
                return Ok(false);
            }
        }
        let truths = devkit.truth.len() as u64;
        if self.number != truths {
            return Err(self.malformed(format!("it holds {} images, {DEVKIT} lists {truths}", self.number)));
        }
        Ok(true)
    }

    /// Passes one image to the sink. Returns false if the sink takes no more images.
    fn image(
        &mut self,
        mut entry: tar::Entry<'_, impl Read>,
        label: impl Fn(&str) -> Result<u32, String>,
    ) -> Result<bool, Error> {
        let file = base_name(&entry.path_bytes());
        let label = label(&file).map_err(|reason| self.malformed(reason))?;
        self.number += 1;
        if self.number <= self.skip {
            return Ok(true);
        }
        let size = entry.size();
        let bytes = if size > MAX_IMAGE_BYTES {
            Err(format!("{size} bytes, at most {MAX_IMAGE_BYTES} are read"))
        } else {
            let mut bytes = Vec::with_capacity(size as usize);
            entry.read_to_end(&mut bytes).map_err(|error| self.damaged(error))?;
            if bytes.len() as u64 != size {
                return Err(
                    self.malformed(format!("`{file}` has {size} bytes, but the archive ends after {}", bytes.len()))
                );
            }
            Ok(bytes)
        };
        let key = SourceImage::key_of(file.split('.').next().unwrap_or_default());
        Ok((self.sink)(SourceImage { key, file, label, bytes }))
    }
}

fn base_name(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path);
    path.rsplit('/').next().unwrap_or_default().to_owned()
}
