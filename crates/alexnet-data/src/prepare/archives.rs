//! ImageNet's archives in their official form.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use super::checksum::{Checked, DEVKIT, SUMS, TRAIN, VAL, read_sums};
use super::devkit::{Devkit, labels_text};
use super::feeder::Feeder;
use super::source::{Source, SourceImage, file_size, modified};
use crate::Error;

/// A folder that contains the three archives.
pub(super) struct Archives {
    folder: PathBuf,
    devkit: Devkit,
    /// The expected MD5 sums, if the archives are verified.
    sums: Option<HashMap<String, String>>,
}

impl Archives {
    pub(super) fn open(folder: &Path, verify: bool) -> Result<Self, Error> {
        let sums = if verify { Some(read_sums(folder)?) } else { None };
        if let Some(sums) = &sums {
            if let Some(name) = [TRAIN, VAL, DEVKIT].into_iter().find(|&name| !sums.contains_key(name)) {
                let reason = format!("it has no sum of {name}");
                return Err(Error::Malformed { path: folder.join(SUMS), reason });
            }
            let path = folder.join(DEVKIT);
            let file = File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
            let nobody = AtomicU64::new(0);
            Checked::new(file, &nobody, true).finish(&path, sums.get(DEVKIT))?;
        }
        let devkit = Devkit::open(&folder.join(DEVKIT))?;
        Ok(Self { folder: folder.to_owned(), devkit, sums })
    }
}

fn archive(split: &str) -> &'static str {
    if split == "val" { VAL } else { TRAIN }
}

impl Source for Archives {
    fn classes(&self) -> Vec<String> {
        self.devkit.classes.iter().map(|class| class.wnid.clone()).collect()
    }

    fn labels_text(&self) -> String {
        labels_text(&self.devkit.classes)
    }

    fn has_val(&self) -> bool {
        true
    }

    fn fingerprint(&self, split: &str) -> Result<String, Error> {
        let size = |name: &str| file_size(&self.folder.join(name)).map(|size| format!("{name} of {size} bytes"));
        Ok([size(archive(split))?, size(DEVKIT)?].join(" and "))
    }

    fn identity(&self, split: &str) -> Result<String, Error> {
        let fingerprint = self.fingerprint(split)?;
        let (archive, devkit) = (self.folder.join(archive(split)), self.folder.join(DEVKIT));
        Ok(format!("{fingerprint}, {}, {}", modified(&archive)?, modified(&devkit)?))
    }

    fn images(&self, split: &str) -> Option<u64> {
        (split == "val").then_some(self.devkit.truth.len() as u64)
    }

    fn bytes(&self, split: &str) -> Result<u64, Error> {
        file_size(&self.folder.join(archive(split)))
    }

    /// Returns [`Error::Checksum`] after reading a whole archive whose sum differs from the expected one, and
    /// [`Error::Malformed`] for damage or a class that the development kit does not list.
    fn feed(
        &self,
        split: &str,
        skip: u64,
        read: &AtomicU64,
        sink: &mut dyn FnMut(SourceImage) -> bool,
    ) -> Result<(), Error> {
        let Self { folder, devkit, sums } = self;
        let path = folder.join(archive(split));
        let file = File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let checked = Checked::new(BufReader::with_capacity(1 << 20, file), read, sums.is_some());
        let mut tar = tar::Archive::new(checked);
        let feeder = Feeder { path: &path, skip, sink, number: 0 };
        let whole = match split {
            "val" => feeder.val(&mut tar, devkit)?,
            _ => feeder.train(&mut tar, devkit)?,
        };
        match (whole, sums) {
            (true, Some(sums)) => tar.into_inner().finish(&path, sums.get(archive(split))),
            _ => Ok(()),
        }
    }
}
