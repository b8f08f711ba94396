//! Folders of images, one folder per class.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, Sample, Split};

const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "ppm"];

impl Split {
    /// Lists the images in the class folders of `path`, at any depth: files with the extension jpg, jpeg, png, webp or ppm,
    /// in upper or lower case. Symbolic links are followed, into each folder at most once per class. Files are not opened.
    ///
    /// # Errors
    /// [`Error::NoSuchFolder`], [`Error::NotAFolder`], [`Error::Read`], [`Error::NoClasses`], [`Error::OneClass`],
    /// [`Error::EmptyClass`] or [`Error::TooManySamples`].
    pub fn open_folder(path: &Path) -> Result<Self, Error> {
        require_folder(path)?;
        let mut folder = Self { path: path.to_owned(), classes: Vec::new(), samples: Vec::new(), ignored: 0 };
        let mut class_folders = Vec::new();
        for (name, is_folder) in entries(path)? {
            match is_folder {
                true => class_folders.push(name),
                false => folder.ignored += 1,
            }
        }
        match class_folders.as_slice() {
            [] => return Err(Error::NoClasses { path: path.to_owned() }),
            [class] => return Err(Error::OneClass { path: path.to_owned(), class: lossy(class) }),
            _ => {}
        }
        for (label, name) in (0..).zip(&class_folders) {
            let mut files = Vec::new();
            let class_path = path.join(name);
            list_images(&class_path, &mut HashSet::new(), &mut files, &mut folder.ignored)?;
            if files.is_empty() {
                return Err(Error::EmptyClass { path: class_path, class: lossy(name) });
            }
            files.sort_unstable();
            folder.samples.extend(files.into_iter().map(|path| Sample { location: path.into(), label }));
            folder.classes.push(lossy(name));
        }
        match u32::try_from(folder.samples.len()) {
            Ok(_) => Ok(folder),
            Err(_) => Err(Error::TooManySamples { path: path.to_owned(), count: folder.samples.len() }),
        }
    }
}

fn list_images(
    folder: &Path,
    visited: &mut HashSet<PathBuf>,
    files: &mut Vec<PathBuf>,
    ignored: &mut usize,
) -> Result<(), Error> {
    let canonical = folder.canonicalize().map_err(|source| Error::Read { path: folder.to_owned(), source })?;
    if !visited.insert(canonical) {
        return Ok(());
    }
    for (name, is_folder) in entries(folder)? {
        let path = folder.join(name);
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        if is_folder {
            list_images(&path, visited, files, ignored)?;
        } else if EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)) {
            files.push(path);
        } else {
            *ignored += 1;
        }
    }
    Ok(())
}

/// The entries of a folder that are not hidden, sorted by name, each with whether it is a folder or a link to one.
fn entries(folder: &Path) -> Result<Vec<(OsString, bool)>, Error> {
    let list = || -> io::Result<Vec<(OsString, bool)>> {
        let mut list = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let mut kind = entry.file_type()?;
            if kind.is_symlink() {
                // A broken link is listed as a file, so that reading it reports the error.
                kind = fs::metadata(entry.path()).map_or(kind, |target| target.file_type());
            }
            list.push((name, kind.is_dir()));
        }
        list.sort_unstable();
        Ok(list)
    };
    list().map_err(|source| Error::Read { path: folder.to_owned(), source })
}

pub(super) fn require_folder(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Error::NotAFolder { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoSuchFolder { path: path.to_owned() }),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

fn lossy(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}
