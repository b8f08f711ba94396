//! What is prepared: ImageNet's archives as they are handed out, or folders of images.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use super::archives::Feeder;
use super::checksum::{Checked, SUMS, read_sums};
use super::devkit::{Devkit, labels_text};
use super::folders::feed_folder;
use crate::hash::Hash;
use crate::{DataSet, Error, Location, Split};

pub(super) const DEVKIT: &str = "ILSVRC2012_devkit_t12.tar.gz";
pub(super) const TRAIN: &str = "ILSVRC2012_img_train.tar";
pub(super) const VAL: &str = "ILSVRC2012_img_val.tar";
/// A larger file is no photograph.
pub(super) const MAX_IMAGE_BYTES: u64 = 256 << 20;

/// An image file as it was found.
pub(super) struct Item {
    /// Unique in the set, and without a dot.
    pub(super) key: String,
    /// Its name where it was found.
    pub(super) file: String,
    pub(super) label: u32,
    /// Its bytes, or why there are none.
    pub(super) bytes: Result<Vec<u8>, String>,
}

/// Where the images come from.
pub(super) enum Input {
    Archives { folder: PathBuf, devkit: Devkit, sums: Option<HashMap<String, String>> },
    Folders(Box<DataSet>),
}

impl Input {
    /// Finds out what `folder` holds.
    pub(super) fn open(folder: &Path, verify: bool) -> Result<Self, Error> {
        let missing: Vec<_> = [TRAIN, VAL, DEVKIT].into_iter().filter(|name| !folder.join(name).is_file()).collect();
        if missing.len() == 3 {
            let set = DataSet::open(folder)?;
            let shard = set.train.samples.iter().any(|sample| matches!(sample.location, Location::Entry { .. }));
            if shard {
                let reason = "it holds shards already; archives, class folders or Parquet files are wanted".into();
                return Err(Error::Malformed { path: folder.to_owned(), reason });
            }
            return Ok(Self::Folders(Box::new(set)));
        }
        if !missing.is_empty() {
            let reason = format!("of ImageNet's archives it lacks {}", missing.join(" and "));
            return Err(Error::Malformed { path: folder.to_owned(), reason });
        }
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
        Ok(Self::Archives { folder: folder.to_owned(), devkit, sums })
    }

    /// The names of the classes in the order of the labels.
    pub(super) fn classes(&self) -> Vec<String> {
        match self {
            Self::Archives { devkit, .. } => devkit.classes.iter().map(|class| class.wnid.clone()).collect(),
            Self::Folders(set) => set.train.classes.clone(),
        }
    }

    /// The content of `labels.txt`.
    pub(super) fn labels_text(&self) -> String {
        match self {
            Self::Archives { devkit, .. } => labels_text(&devkit.classes),
            Self::Folders(set) => {
                let lines = set.labels.names.iter().zip(&set.labels.words).map(|(name, words)| {
                    let one_line = |text: &str| text.replace(['\n', '\r', '\t'], " ");
                    match words {
                        // A name with a space in it ends with a tab, or would be taken for a name and its words.
                        _ if name.contains(char::is_whitespace) => {
                            format!("{}\t{}\n", one_line(name), one_line(words.as_deref().unwrap_or(name)))
                        }
                        Some(words) => format!("{name} {}\n", one_line(words)),
                        None => format!("{name}\n"),
                    }
                });
                lines.collect()
            }
        }
    }

    pub(super) fn splits(&self) -> &'static [&'static str] {
        match self {
            Self::Folders(set) if set.val.is_none() => &["train"],
            _ => &["train", "val"],
        }
    }

    /// Names and sizes of what is read for a split: the same input has the same.
    pub(super) fn fingerprint(&self, split: &str) -> Result<String, Error> {
        match self {
            Self::Archives { folder, .. } => {
                let size = |name: &str| file_size(&folder.join(name)).map(|size| format!("{name} of {size} bytes"));
                Ok([size(archive(split))?, size(DEVKIT)?].join(" and "))
            }
            Self::Folders(set) => {
                let Some(split) = self::split(set, split) else { return Ok("no files".into()) };
                let hash = split.samples.iter().fold(Hash::new(), |hash, sample| {
                    let hash = hash.path(&sample.location.path(), &split.path).number(sample.location.extent());
                    hash.number(sample.label.into())
                });
                Ok(format!("{} files with the hash {:016x}", split.samples.len(), hash.finish()))
            }
        }
    }

    /// As [`fingerprint`](Self::fingerprint), with what tells a file from another one of its name and size, on this machine.
    pub(super) fn identity(&self, split: &str) -> Result<String, Error> {
        let fingerprint = self.fingerprint(split)?;
        match self {
            Self::Archives { folder, .. } => {
                let (archive, devkit) = (folder.join(archive(split)), folder.join(DEVKIT));
                Ok(format!("{fingerprint}, {}, {}", modified(&archive)?, modified(&devkit)?))
            }
            Self::Folders(set) => {
                #[cfg_attr(not(feature = "parquet"), allow(unused_mut))]
                let mut identity = fingerprint;
                // Of files, names and sizes must do; tables are few, and one that was made again may have the same.
                #[cfg(feature = "parquet")]
                for sample in self::split(set, split).into_iter().flat_map(|split| &split.samples) {
                    if let Location::Row { table, row: 0 } = &sample.location {
                        identity += &format!(", {}", modified(table.path())?);
                    }
                }
                #[cfg(not(feature = "parquet"))]
                let _ = set;
                Ok(identity)
            }
        }
    }

    /// Images of a split, where their number is known.
    pub(super) fn images(&self, split: &str) -> Option<u64> {
        match self {
            Self::Folders(set) => Some(self::split(set, split)?.samples.len() as u64),
            Self::Archives { devkit, .. } => (split == "val").then_some(devkit.truth.len() as u64),
        }
    }

    /// Bytes that [`feed`](Self::feed) reads.
    pub(super) fn bytes(&self, split: &str) -> Result<u64, Error> {
        match self {
            Self::Archives { folder, .. } => file_size(&folder.join(archive(split))),
            Self::Folders(set) => {
                let samples = self::split(set, split).into_iter().flat_map(|split| &split.samples);
                Ok(samples.filter_map(|sample| sample.location.len()).sum())
            }
        }
    }

    /// Hands all images of a split to `sink` in their order, without the first `skip`, until it returns false. Meanwhile,
    /// `read` counts the bytes.
    ///
    /// # Errors
    /// [`Error::Checksum`], once all of an archive has been read; a damaged archive; a class nobody knows.
    pub(super) fn feed(
        &self,
        split: &str,
        skip: u64,
        read: &AtomicU64,
        sink: &mut dyn FnMut(Item) -> bool,
    ) -> Result<(), Error> {
        match self {
            Self::Folders(set) => match self::split(set, split) {
                Some(split) => feed_folder(split, skip, read, sink),
                None => Ok(()),
            },
            Self::Archives { folder, devkit, sums } => {
                let path = folder.join(archive(split));
                let file = File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
                let checked = Checked::new(BufReader::with_capacity(1 << 20, file), read, sums.is_some());
                let mut archive = tar::Archive::new(checked);
                let feeder = Feeder { path: &path, skip, sink, number: 0 };
                let whole = match split {
                    "val" => feeder.val(&mut archive, devkit)?,
                    _ => feeder.train(&mut archive, devkit)?,
                };
                match (whole, sums) {
                    (true, Some(sums)) => archive.into_inner().finish(&path, sums.get(self::archive(split))),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn archive(split: &str) -> &'static str {
    if split == "val" { VAL } else { TRAIN }
}

fn split<'a>(set: &'a DataSet, split: &str) -> Option<&'a Split> {
    if split == "val" { set.val.as_ref() } else { Some(&set.train) }
}

/// When a file was written: one of the same size may have replaced another.
fn modified(path: &Path) -> Result<String, Error> {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let modified = modified.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(format!("{modified:?}"))
}

fn file_size(path: &Path) -> Result<u64, Error> {
    let metadata = fs::metadata(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(metadata.len())
}

/// A name as `webdataset` can have it: without dots, which end a key, and slashes, and short enough for any tar.
pub(super) fn key_of(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
    let key: String = name.chars().map(plain).collect();
    if key.len() <= 80 {
        return key;
    }
    let start: String = key.chars().take(16).collect();
    format!("{start}-{:016x}", Hash::new().bytes(name.as_bytes()).finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_neither_dots_nor_slashes() {
        assert_eq!(key_of("n01440764_10026"), "n01440764_10026");
        assert_eq!(key_of("my cat. no/1 é"), "my_cat__no_1_é");
        let long = key_of(&"é".repeat(100));
        assert!(long.len() < 80 && long != key_of(&"é".repeat(101)), "{long}");
    }
}
