//! ImageNet's archives, from end to end.

use std::io::{self, Read};
use std::path::Path;

use super::checksum::DEVKIT;
use super::devkit::Devkit;
use super::source::{MAX_IMAGE_BYTES, SourceImage};
use crate::Error;

/// Goes through archives; `number` counts their images.
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

    /// What is wrong with the archive is damage; what is wrong with the disk may be gone the next time.
    fn damaged(&self, error: io::Error) -> Error {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        match error.kind() {
            Other | InvalidData | InvalidInput | UnexpectedEof => {
                self.malformed(format!("the archive is damaged after image {}: {error}", self.number))
            }
            _ => Error::Read { path: self.path.to_owned(), source: error },
        }
    }

    /// A tar of one tar per class. Returns whether it came to the end.
    pub(super) fn train(mut self, archive: &mut tar::Archive<impl Read>, devkit: &Devkit) -> Result<bool, Error> {
        let mut seen = vec![false; devkit.classes.len()];
        for class in archive.entries().map_err(|error| self.damaged(error))? {
            let class = class.map_err(|error| self.damaged(error))?;
            if !class.header().entry_type().is_file() {
                continue;
            }
            let name = base_name(&class.path_bytes());
            let Some(wnid) = name.strip_suffix(".tar") else {
                return Err(
                    self.malformed(format!("`{name}` is not the archive of a class, as n01440764.tar would be"))
                );
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
        // An archive that was cut between two files ends like a whole one.
        match seen.iter().position(|seen| !seen) {
            Some(label) => {
                let (count, all) = (seen.iter().filter(|seen| **seen).count(), seen.len());
                let wnid = &devkit.classes[label].wnid;
                Err(self.malformed(format!("it holds {count} of the {all} classes in {DEVKIT}; {wnid} is missing")))
            }
            None => Ok(true),
        }
    }

    /// A tar of images with their numbers in their names.
    pub(super) fn val(mut self, archive: &mut tar::Archive<impl Read>, devkit: &Devkit) -> Result<bool, Error> {
        for entry in archive.entries().map_err(|error| self.damaged(error))? {
            let entry = entry.map_err(|error| self.damaged(error))?;
            let label = |name: &str| {
                let stem = name.split('.').next().unwrap_or_default();
                let number = stem.rsplit('_').next().and_then(|number| number.parse::<usize>().ok());
                let label = number.and_then(|number| devkit.truth.get(number.checked_sub(1)?));
                let truths = devkit.truth.len();
                label.copied().ok_or_else(|| {
                    format!("`{name}` has no number from 1 to {truths}, of which {DEVKIT} tells the class")
                })
            };
            if entry.header().entry_type().is_file() && !self.image(entry, label)? {
                return Ok(false);
            }
        }
        let truths = devkit.truth.len() as u64;
        if self.number != truths {
            return Err(
                self.malformed(format!("it holds {} images, {DEVKIT} tells the classes of {truths}", self.number))
            );
        }
        Ok(true)
    }

    /// Hands one image over. Returns whether more are wanted.
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
