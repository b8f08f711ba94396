//! Class folders and Parquet files as input of a preparation.

use std::collections::HashSet;
#[cfg(feature = "parquet")]
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "parquet")]
use super::source::modified;
use super::source::{MAX_IMAGE_BYTES, Source, SourceImage};
#[cfg(feature = "parquet")]
use crate::Location;
use crate::hash::Hash;
#[cfg(feature = "parquet")]
use crate::sources::parquet::table::RowReader;
use crate::{Dataset, Error, Split};

/// A data set whose images are files or Parquet rows.
pub(super) struct Folders(pub(super) Dataset);

impl Folders {
    fn split(&self, split: &str) -> Option<&Split> {
        if split == "val" { self.0.val.as_ref() } else { Some(&self.0.train) }
    }
}

impl Source for Folders {
    fn classes(&self) -> Vec<String> {
        self.0.train.classes.clone()
    }

    fn labels_text(&self) -> String {
        let labels = &self.0.labels;
        let lines = labels.names.iter().zip(&labels.words).map(|(name, words)| {
            let one_line = |text: &str| text.replace(['\n', '\r', '\t'], " ");
            match words {
                // A name that contains a space ends with a tab; otherwise its parts would be read as name and words.
                _ if name.contains(char::is_whitespace) => {
                    format!("{}\t{}\n", one_line(name), one_line(words.as_deref().unwrap_or(name)))
                }
                Some(words) => format!("{name} {}\n", one_line(words)),
                None => format!("{name}\n"),
            }
        });
        lines.collect()
    }

    fn has_val(&self) -> bool {
        self.0.val.is_some()
    }

    fn fingerprint(&self, split: &str) -> Result<String, Error> {
        let Some(split) = self.split(split) else { return Ok("no files".into()) };
        let hash = split.samples.iter().fold(Hash::new(), |hash, sample| {
            let hash = hash.path(&sample.location.path(), &split.path).number(sample.location.extent());
            hash.number(sample.label.into())
        });
        Ok(format!("{} files with the hash {:016x}", split.samples.len(), hash.finish()))
    }

    /// For image files, names and sizes must suffice. Tables are few, and a rewritten one may keep its name and size, so
    /// their modification times are included.
    #[cfg(feature = "parquet")]
    fn identity(&self, split: &str) -> Result<String, Error> {
        let mut identity = self.fingerprint(split)?;
        for sample in self.split(split).into_iter().flat_map(|split| &split.samples) {
            if let Location::Row { table, row: 0 } = &sample.location {
                identity += &format!(", {}", modified(table.path())?);
            }
        }
        Ok(identity)
    }

    fn images(&self, split: &str) -> Option<u64> {
        Some(self.split(split)?.samples.len() as u64)
    }

    fn bytes(&self, split: &str) -> Result<u64, Error> {
        let samples = self.split(split).into_iter().flat_map(|split| &split.samples);
        Ok(samples.filter_map(|sample| sample.location.len()).sum())
    }

    fn feed(
        &self,
        split: &str,
        skip: u64,
        read: &AtomicU64,
        sink: &mut dyn FnMut(SourceImage) -> bool,
    ) -> Result<(), Error> {
        self.split(split).map_or(Ok(()), |split| feed_split(split, skip, read, sink))
    }
}

fn feed_split(
    split: &Split,
    skip: u64,
    read: &AtomicU64,
    sink: &mut dyn FnMut(SourceImage) -> bool,
) -> Result<(), Error> {
    let mut keys = HashSet::new();
    #[cfg(feature = "parquet")]
    let mut rows: Option<RowReader> = None;
    for (number, sample) in (0..).zip(&split.samples) {
        let path = sample.location.path();
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let class = split.classes.get(sample.label as usize).map_or("", String::as_str);
        let name = if stem.starts_with(class) { stem } else { format!("{class}_{stem}") };
        let mut key = SourceImage::key_of(&name);
        // Files of the same name in subfolders of a class folder, or with different extensions.
        for copy in 2.. {
            if keys.insert(key.clone()) {
                break;
            }
            key = format!("{}-{copy}", SourceImage::key_of(&name));
        }
        if number < skip {
            continue;
        }
        let mut bytes = Vec::new();
        let read_into = |bytes: &mut Vec<u8>| match &sample.location {
            // One reader for all rows of a table: each read continues where the previous one ended.
            #[cfg(feature = "parquet")]
            Location::Row { table, row } => {
                let reader = rows.take().filter(|reader| Arc::ptr_eq(reader.table(), table));
                rows.insert(reader.unwrap_or_else(|| RowReader::new(table.clone()))).read_into(*row, bytes)
            }
            location => location.read_into(bytes),
        };
        let bytes = match sample.location.len() {
            Some(len) if len > MAX_IMAGE_BYTES => Err(format!("{len} bytes, at most {MAX_IMAGE_BYTES} are read")),
            _ => match { read_into }(&mut bytes) {
                Ok(()) => Ok(bytes),
                // A single missing or inaccessible file is a bad image; a missing disk is an error, not many bad images.
                Err(error) if !concerns_one_file(&error) || !split.path.exists() => return Err(error),
                Err(error) => Err(error.to_string()),
            },
        };
        read.fetch_add(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64), Ordering::Relaxed);
        let file = path.to_string_lossy().into_owned();
        if !sink(SourceImage { key, file, label: sample.label, bytes }) {
            break;
        }
    }
    Ok(())
}

fn concerns_one_file(error: &Error) -> bool {
    use std::io::ErrorKind::{IsADirectory, NotFound, PermissionDenied};
    match error {
        Error::Read { source, .. } => matches!(source.kind(), NotFound | PermissionDenied | IsADirectory),
        // A row without an image.
        Error::Sample { .. } => true,
        _ => false,
    }
}
