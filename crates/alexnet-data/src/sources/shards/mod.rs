//! Shards: tar archives of images in the layout of the `webdataset` library.
//!
//! The files of one sample are adjacent and share the part of their names before the first dot: `key.jpg`, `key.cls` (the
//! label in decimal), optionally `key.json`. A shard `x.tar` may have an [index](index), `x.index`, which gives the location
//! of each image; without one, the shard is scanned once when it is opened. A folder of shards made by `prepare` also has a
//! [manifest](manifest::Manifest).

pub(crate) mod entry;
pub(crate) mod index;
pub(crate) mod manifest;
mod mapping;
pub(crate) mod scan;
pub(crate) mod shard;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Dataset, Error, Labels, Location, Sample, Split};
use manifest::{MANIFEST, Manifest};
use shard::Shard;

/// The state file of an unfinished preparation.
pub(crate) const UNFINISHED: &str = "unfinished.json";

/// The shards directly in `folder`, sorted by name. Empty if it is not a folder, or if it has subfolders: an archive beside
/// class folders is not the data set.
fn shards_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if !folder.is_dir() || has_folders(folder)? {
        return Ok(Vec::new());
    }
    let read_error = |source| Error::Read { path: folder.to_owned(), source };
    let mut shards = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension() == Some(OsStr::new("tar")) && path.is_file() {
            shards.push(path);
        }
    }
    shards.sort_unstable();
    Ok(shards)
}

/// Whether there are folders that are not hidden.
fn has_folders(root: &Path) -> Result<bool, Error> {
    let Ok(entries) = fs::read_dir(root) else { return Ok(false) };
    for entry in entries {
        let entry = entry.map_err(|source| Error::Read { path: root.to_owned(), source })?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && entry.path().is_dir() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn open_split(folder: &Path, paths: &[PathBuf]) -> Result<Split, Error> {
    let mut samples = Vec::new();
    for path in paths {
        let shard = Arc::new(Shard::open(path)?);
        for (number, entry) in (0..).zip(shard.entries()) {
            samples.push(Sample { location: Location::Entry { shard: shard.clone(), number }, label: entry.label });
        }
    }
    if u32::try_from(samples.len()).is_err() {
        return Err(Error::TooManySamples { path: folder.to_owned(), count: samples.len() });
    }
    Ok(Split { path: folder.to_owned(), classes: Vec::new(), samples, ignored: 0 })
}

/// The data set in `root`, if it consists of shards: a prepared set with a manifest; folders `train` and `val` (or `valid`)
/// with shards; a folder of shards; or a single shard.
pub(crate) fn open(root: &Path) -> Result<Option<Dataset>, Error> {
    if root.is_file() && root.extension() == Some(OsStr::new("tar")) {
        let split = open_split(root, &[root.to_owned()])?;
        return named_by_number(root, split, None).map(Some);
    }
    if let Some(manifest) = Manifest::read(root)? {
        return prepared(root, manifest).map(Some);
    }
    let train = shards_in(&root.join("train"))?;
    let (mut val, mut val_folder) = (Vec::new(), root.join("val"));
    for name in ["val", "valid"] {
        if val.is_empty() {
            val_folder = root.join(name);
            val = shards_in(&val_folder)?;
        }
    }
    let own = shards_in(root)?;
    for (shards, folders) in [(&train, &val_folder), (&val, &root.join("train"))] {
        if !shards.is_empty() && folders.is_dir() && has_folders(folders)? {
            let reason = "one of its splits is in shards, the other in class folders".into();
            return Err(Error::Malformed { path: root.to_owned(), reason });
        }
    }
    match (train.is_empty(), val.is_empty(), own.is_empty()) {
        (true, true, true) => Ok(None),
        (false, ..) => {
            let train = open_split(&root.join("train"), &train)?;
            let val = if val.is_empty() { None } else { Some(open_split(&val_folder, &val)?) };
            named_by_number(root, train, val).map(Some)
        }
        (true, false, _) => {
            let val = val_folder.file_name().map(|name| name.to_string_lossy().into_owned());
            Err(Error::NoTrain { path: root.to_owned(), val: val.unwrap_or_default() })
        }
        (true, true, false) => named_by_number(root, open_split(root, &own)?, None).map(Some),
    }
}

/// The shards in a folder of validation images without training images.
pub(crate) fn open_validation(folder: &Path) -> Result<Option<Split>, Error> {
    let shards = shards_in(folder)?;
    if shards.is_empty() {
        return Ok(None);
    }
    let split = open_split(folder, &shards)?;
    named_by_number(folder, split, None).map(|set| Some(set.train))
}

/// Opens the output of `prepare`; the manifest lists the shards and their sizes.
fn prepared(root: &Path, manifest: Manifest) -> Result<Dataset, Error> {
    let open = |name: &str| -> Result<Option<Split>, Error> {
        let Some(split) = manifest.splits.get(name) else { return Ok(None) };
        let folder = root.join(name);
        let paths: Vec<_> = split.shards.iter().map(|shard| folder.join(&shard.file)).collect();
        for (path, shard) in paths.iter().zip(&split.shards) {
            let found = fs::metadata(path).map_err(|source| Error::Read { path: path.clone(), source })?.len();
            if found != shard.bytes {
                let reason = format!("it has {found} bytes, {MANIFEST} says {}", shard.bytes);
                return Err(Error::Malformed { path: path.clone(), reason });
            }
        }
        let mut opened = open_split(&folder, &paths)?;
        if opened.samples.len() as u64 != split.images {
            let reason = format!("the indices list {} images, {MANIFEST} says {}", opened.samples.len(), split.images);
            return Err(Error::Malformed { path: folder, reason });
        }
        opened.classes = manifest.classes.clone();
        require_labels(&opened, manifest.classes.len())?;
        Ok(Some(opened))
    };
    let (train, val) = (open("train")?, open("val")?);
    let Some(train) = train else {
        return Err(Error::NoTrain { path: root.to_owned(), val: "val".into() });
    };
    let statistics = manifest.statistics.as_ref().map(|statistics| statistics.read(root)).transpose()?;
    let labels = Labels::read(root, manifest.classes)?;
    Ok(Dataset { train, val, labels, statistics })
}

/// Shards of other programs contain no class names: the classes are named by their numbers, up to the largest label.
fn named_by_number(root: &Path, mut train: Split, mut val: Option<Split>) -> Result<Dataset, Error> {
    let all = train.samples.iter().chain(val.iter().flat_map(|val| &val.samples));
    let count = all.map(|sample| sample.label + 1).max().unwrap_or(0);
    if count < 2 {
        let reason =
            format!("its shards hold {} images of {count} classes, at least 2 are needed", train.samples.len());
        return Err(Error::Malformed { path: root.to_owned(), reason });
    }
    let classes: Vec<String> = (0..count).map(|label| label.to_string()).collect();
    for split in std::iter::once(&mut train).chain(&mut val) {
        split.classes.clone_from(&classes);
    }
    let labels = Labels::read(root, classes)?;
    Ok(Dataset { train, val, labels, statistics: None })
}

fn require_labels(split: &Split, classes: usize) -> Result<(), Error> {
    match split.samples.iter().find(|sample| sample.label as usize >= classes) {
        Some(Sample { location, label }) => {
            let reason = format!("its label is {label}, but there are {classes} classes");
            Err(Error::Malformed { path: location.path(), reason })
        }
        None => Ok(()),
    }
}
