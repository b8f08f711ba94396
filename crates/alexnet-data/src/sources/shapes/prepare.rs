//! Writes the data set to disk.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use serde::{Deserialize, Serialize};

use super::{GENERATOR, ShapesConfig, ShapesSplit, class_names, render};
use crate::{Error, parallel};

const MANIFEST: &str = "shapes.json";
const UNFINISHED: &str = "shapes.unfinished.json";
const JPEG_QUALITY: u8 = 90;

/// The result of [`prepare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// The complete set already existed.
    AlreadyThere,
    /// The set has been written.
    Written,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    generator: u32,
    config: ShapesConfig,
}

/// Writes the set into `folder`, as JPEG files in class folders below `train` and `val`, unless it exists already. A file
/// `shapes.json` marks a complete set. An interrupted set is written again from the beginning.
///
/// `progress` is called with the number of pictures done and the total.
///
/// # Errors
/// [`Error::ForeignFolder`] if the folder contains anything else, [`Error::OtherShapes`] if it contains a shapes data set
/// made with other settings; nothing is written in these cases. [`Error::Read`], [`Error::Write`]; [`Error::Setting`] if a
/// value of `config` is out of range.
pub fn prepare(
    folder: &Path,
    config: &ShapesConfig,
    workers: usize,
    progress: &dyn Fn(usize, usize),
) -> Result<Prepared, Error> {
    config.validate()?;
    let wanted = Manifest { generator: GENERATOR, config: *config };
    let (manifest, unfinished) = (folder.join(MANIFEST), folder.join(UNFINISHED));
    if read_manifest(folder, &manifest, &wanted)? {
        return Ok(Prepared::AlreadyThere);
    }
    if !read_manifest(folder, &unfinished, &wanted)? {
        require_empty(folder)?;
    }
    let text = serde_json::to_string_pretty(&wanted);
    let text = text.map_err(|error| Error::Write { path: manifest.clone(), source: io::Error::other(error) })?;
    let write_error = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    fs::create_dir_all(folder).map_err(write_error(folder))?;
    fs::write(&unfinished, text).map_err(write_error(&unfinished))?;
    for split in [ShapesSplit::Train, ShapesSplit::Val] {
        for class in class_names() {
            let path = split.folder(folder).join(class);
            fs::create_dir_all(&path).map_err(write_error(&path))?;
        }
    }
    let (train, total) = (config.train as usize, config.train as usize + config.val as usize);
    let work = |(): &mut (), number: usize| {
        let (split, index) = match number.checked_sub(train) {
            None => (ShapesSplit::Train, number),
            Some(index) => (ShapesSplit::Val, index),
        };
        write_picture(folder, config, split, index as u32)
    };
    parallel::for_each(total, workers, || (), work, progress)?;
    fs::rename(&unfinished, &manifest).map_err(write_error(&manifest))?;
    Ok(Prepared::Written)
}

impl ShapesSplit {
    fn folder(self, root: &Path) -> PathBuf {
        root.join(match self {
            ShapesSplit::Train => "train",
            ShapesSplit::Val => "val",
        })
    }
}

fn write_picture(folder: &Path, config: &ShapesConfig, split: ShapesSplit, index: u32) -> Result<(), Error> {
    let (picture, label) = render(config.seed, split, index, config.size);
    let classes = class_names();
    let name = format!("{:04}.jpg", index as usize / classes.len());
    let path = split.folder(folder).join(classes[label as usize]).join(name);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode(&picture.pixels, picture.width, picture.height, ExtendedColorType::Rgb8)
        .map_err(io::Error::other)
        .and_then(|()| fs::write(&path, bytes))
        .map_err(|source| Error::Write { path, source })
}

/// Whether the manifest exists; an error if it differs from `wanted`.
fn read_manifest(folder: &Path, path: &Path, wanted: &Manifest) -> Result<bool, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    let found = match serde_json::from_str::<Manifest>(&text) {
        Ok(found) if found == *wanted => return Ok(true),
        Ok(found) => found.to_string(),
        Err(error) => format!("an unreadable {} ({error})", path.display()),
    };
    Err(Error::OtherShapes { path: folder.to_owned(), found, wanted: wanted.to_string() })
}

/// Returns an error unless the folder is absent or contains only hidden files.
fn require_empty(folder: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::NotAFolder { path: folder.to_owned() });
        }
        Err(source) => return Err(Error::Read { path: folder.to_owned(), source }),
    };
    for entry in entries {
        let entry = entry.map_err(|source| Error::Read { path: folder.to_owned(), source })?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            return Err(Error::ForeignFolder { path: folder.to_owned() });
        }
    }
    Ok(())
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ShapesConfig { seed, train, val, size } = self.config;
        write!(f, "generator {}, seed {seed}, {train}+{val} pictures of {size} pixels", self.generator)
    }
}
