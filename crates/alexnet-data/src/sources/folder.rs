//! A data set and its splits; folders of images, one folder per class.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::shards::manifest::PreparedStatistics;
use super::{Location, Sample, shards};
use crate::{Error, Labels};

const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "ppm"];
const TRAIN: &str = "train";
const VAL: [&str; 2] = ["val", "valid"];

/// The images of one split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The folder they are in, or the shard.
    pub path: PathBuf,
    /// Names of the classes in the order of the labels: of class folders, sorted, or what a prepared set's manifest lists.
    /// A name that is not UTF-8 is shown with replacement characters.
    pub classes: Vec<String>,
    /// The images: in folders sorted by class and within it by path, in shards as they lie there.
    pub samples: Vec<Sample>,
    /// Files that are not images by their extension and were passed over. Hidden files are not counted.
    pub ignored: usize,
}

/// A data set: training images, and validation images where the folder has them.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSet {
    /// Images to learn from.
    pub train: Split,
    /// Images to measure with, of the same classes.
    pub val: Option<Split>,
    /// The classes.
    pub labels: Labels,
    /// Statistics of the training images, where the set was prepared with some.
    pub statistics: Option<PreparedStatistics>,
}

impl DataSet {
    /// Opens `root` and finds out what it is: a data set that `cargo xtask prepare-imagenet` made; the folders `train` and
    /// `val` (or `valid`; it may be absent) with shards (`.tar` files) or class folders in them; the shards or class
    /// folders themselves; or a single shard. With the feature `parquet`, also Parquet files as the
    /// Hugging Face Hub has them, in a folder or one below it, or one such file. Where there are no validation images, some of the others can be
    /// [held out](Split::hold_out).
    ///
    /// # Errors
    /// Those of [`Split::open_folder`] and [`Shard::open`](crate::Shard::open); [`Error::NoTrain`],
    /// [`Error::ClassesDiffer`] and [`Error::Unfinished`].
    pub fn open(root: &Path) -> Result<Self, Error> {
        if root.join(shards::UNFINISHED).exists() {
            return Err(Error::Unfinished { path: root.to_owned() });
        }
        if let Some(set) = shards::open(root)? {
            return Ok(set);
        }
        #[cfg(feature = "parquet")]
        if let Some(set) = super::parquet::open(root)? {
            return Ok(set);
        }
        require_folder(root)?;
        let train_path = root.join(TRAIN);
        let val = VAL.iter().find(|name| root.join(name).is_dir());
        let (train, val) = match (train_path.is_dir(), val) {
            (true, None) => (Split::open_folder(&train_path)?, None),
            (true, Some(val)) => (Split::open_folder(&train_path)?, Some(Split::open_folder(&root.join(val))?)),
            (false, Some(&val)) => return Err(Error::NoTrain { path: root.to_owned(), val: val.to_owned() }),
            (false, None) => (Split::open_folder(root)?, None),
        };
        if let Some(val) = &val {
            require_same_classes(&train, val)?;
        }
        let labels = Labels::read(root, train.classes.clone())?;
        Ok(Self { train, val, labels, statistics: None })
    }
}

impl Split {
    /// Opens what there is in `root` to measure with: the validation images of a data set, whether it has others or not,
    /// or all images of one that is not divided. Whether they are a validation split is the second value.
    ///
    /// # Errors
    /// Those of [`DataSet::open`] but [`Error::NoTrain`].
    pub fn open_validation(root: &Path) -> Result<(Self, bool), Error> {
        match DataSet::open(root) {
            Ok(DataSet { val: Some(val), .. }) => Ok((val, true)),
            Ok(set) => Ok((set.train, false)),
            Err(Error::NoTrain { path, val }) => {
                #[cfg(feature = "parquet")]
                if let Some(split) = super::parquet::open_validation(root)? {
                    return Ok((split, true));
                }
                let split = match shards::open_validation(&path.join(&val))? {
                    Some(split) => split,
                    None => Self::open_folder(&path.join(val))?,
                };
                Ok((split, true))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the classes are called by their numbers, because the files do not say their names.
    pub fn is_unnamed(&self) -> bool {
        let in_folders = self.samples.iter().any(|sample| matches!(sample.location, Location::File(_)));
        !in_folders && (0u32..).zip(&self.classes).all(|(number, name)| *name == number.to_string())
    }

    /// Lists the images in the class folders of `path`, at any depth: files whose extension is jpg, jpeg, png, webp or ppm
    /// in any case. Symbolic links are followed, into each folder at most once per class. Nothing is opened yet.
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

/// The entries of a folder that are not hidden, sorted by name, each with whether it is (or leads to) a folder.
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
                // A link that leads nowhere stays in the list as a file, to be reported when it is to be read.
                kind = fs::metadata(entry.path()).map_or(kind, |target| target.file_type());
            }
            list.push((name, kind.is_dir()));
        }
        list.sort_unstable();
        Ok(list)
    };
    list().map_err(|source| Error::Read { path: folder.to_owned(), source })
}

fn require_folder(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(Error::NotAFolder { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoSuchFolder { path: path.to_owned() }),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

fn require_same_classes(train: &Split, val: &Split) -> Result<(), Error> {
    for (present, absent) in [(train, val), (val, train)] {
        if let Some(class) = present.classes.iter().find(|class| !absent.classes.contains(class)) {
            let (present, absent) = (present.path.clone(), absent.path.clone());
            return Err(Error::ClassesDiffer { class: class.clone(), present, absent });
        }
    }
    Ok(())
}

fn lossy(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}
