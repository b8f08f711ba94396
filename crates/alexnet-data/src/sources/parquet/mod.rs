//! Parquet files in the layout of the Hugging Face Hub: a column of encoded images, a column of labels.
//!
//! The split of a file is given by its name (`train-00000-of-00294.parquet`) or its folder
//! (`full_size/train/0000.parquet`).

mod features;
mod files;
mod source;
pub(crate) mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Dataset, Error, Labels, Location, Sample, Split};
pub use files::ParquetFiles;
use table::Table;

/// The data set in `root`, if it consists of Parquet files.
pub(crate) fn open(root: &Path) -> Result<Option<Dataset>, Error> {
    let found = files::list(root)?;
    if found.is_empty() {
        return Ok(None);
    }
    let files = match root.is_file() {
        true => ParquetFiles { train: found, val: Vec::new() },
        // Files without a split are not a data set.
        false if !files::any_split(&found) => return Ok(None),
        false => {
            ParquetFiles::choose(&found, None).map_err(|reason| Error::Malformed { path: root.to_owned(), reason })?
        }
    };
    if files.train.is_empty() {
        return Err(Error::NoTrain { path: root.to_owned(), val: "validation".into() });
    }
    open_files(root, &files).map(Some)
}

/// The validation images of a set without training images.
pub(crate) fn open_validation(root: &Path) -> Result<Option<Split>, Error> {
    let found = files::list(root)?;
    if !files::any_split(&found) {
        return Ok(None);
    }
    let files =
        ParquetFiles::choose(&found, None).map_err(|reason| Error::Malformed { path: root.to_owned(), reason })?;
    let files = ParquetFiles { train: files.val, val: Vec::new() };
    open_files(root, &files).map(|set| Some(set.train))
}

fn open_files(root: &Path, files: &ParquetFiles) -> Result<Dataset, Error> {
    let mut names: Option<Vec<String>> = None;
    let mut train = open_split(root, &files.train, &mut names)?;
    let mut val = match files.val.as_slice() {
        [] => None,
        paths => Some(open_split(root, paths, &mut names)?),
    };
    let all = train.samples.iter().chain(val.iter().flat_map(|val| &val.samples));
    let count = all.map(|sample| sample.label as usize + 1).max().unwrap_or(0);
    let classes = match names {
        Some(names) if count > names.len() => {
            let reason = format!("a label is {}, but there are only {} class names", count - 1, names.len());
            return Err(Error::Malformed { path: root.to_owned(), reason });
        }
        Some(names) => names,
        None => (0..count).map(|label| label.to_string()).collect(),
    };
    if classes.len() < 2 {
        let reason = format!("its images have {} classes, at least 2 are needed", classes.len());
        return Err(Error::Malformed { path: root.to_owned(), reason });
    }
    for split in std::iter::once(&mut train).chain(&mut val) {
        split.classes.clone_from(&classes);
    }
    let labels = Labels::read(root, classes)?;
    Ok(Dataset { train, val, labels, statistics: None })
}

fn open_split(root: &Path, paths: &[PathBuf], names: &mut Option<Vec<String>>) -> Result<Split, Error> {
    let mut samples = Vec::new();
    for path in paths {
        let (table, description) = Table::open(path)?;
        match (&*names, description.names) {
            (None, found) => *names = found,
            (Some(names), Some(found)) if *names != found => {
                let reason = "its class names differ from those of the previous files".into();
                return Err(Error::Malformed { path: path.clone(), reason });
            }
            (Some(_), _) => {}
        }
        let table = Arc::new(table);
        samples.extend((0..).zip(description.labels).map(|(row, label)| {
            let location = Location::Row { table: table.clone(), row };
            Sample { location, label }
        }));
    }
    if u32::try_from(samples.len()).is_err() {
        return Err(Error::TooManySamples { path: root.to_owned(), count: samples.len() });
    }
    Ok(Split { path: root.to_owned(), classes: Vec::new(), samples, ignored: 0 })
}

/// Entry point for fuzzing: opens a file of these bytes and reads its first rows, backwards and forwards.
#[cfg(fuzzing)]
pub(crate) fn read_all(bytes: &[u8]) {
    let source = source::Source::Memory(bytes::Bytes::copy_from_slice(bytes));
    let Ok((table, _)) = Table::read(Path::new("x.parquet"), source) else { return };
    let (rows, mut reader, mut image) = (table.rows(), table::RowReader::new(Arc::new(table)), Vec::new());
    for row in (0..rows.min(64)).rev().chain(0..rows.min(64)) {
        // Any result is allowed, but no panic.
        let _ = reader.read_into(row, &mut image);
    }
}
