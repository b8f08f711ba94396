//! Class folders and Parquet files, from the first image to the last.

use std::collections::HashSet;
#[cfg(feature = "parquet")]
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::inputs::{Item, MAX_IMAGE_BYTES, key_of};
#[cfg(feature = "parquet")]
use crate::sources::parquet::table::RowReader;
use crate::{Error, Split};

/// As [`Input::feed`](super::inputs::Input::feed), of a split whose images are files or rows.
pub(super) fn feed_folder(
    split: &Split,
    skip: u64,
    read: &AtomicU64,
    sink: &mut dyn FnMut(Item) -> bool,
) -> Result<(), Error> {
    let mut keys = HashSet::new();
    #[cfg(feature = "parquet")]
    let mut rows: Option<RowReader> = None;
    for (number, sample) in (0..).zip(&split.samples) {
        let path = sample.location.path();
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let class = split.classes.get(sample.label as usize).map_or("", String::as_str);
        let name = if stem.starts_with(class) { stem } else { format!("{class}_{stem}") };
        let mut key = key_of(&name);
        // Files of one name in folders below the class's, or with other endings.
        for copy in 2.. {
            if keys.insert(key.clone()) {
                break;
            }
            key = format!("{}-{copy}", key_of(&name));
        }
        if number < skip {
            continue;
        }
        let mut bytes = Vec::new();
        let read_into = |bytes: &mut Vec<u8>| match &sample.location {
            // One reader for all rows of a table: each goes on where the one before ended.
            #[cfg(feature = "parquet")]
            crate::Location::Row { table, row } => {
                let reader = rows.take().filter(|reader| Arc::ptr_eq(reader.table(), table));
                rows.insert(reader.unwrap_or_else(|| RowReader::new(table.clone()))).read_into(*row, bytes)
            }
            location => location.read_into(bytes),
        };
        let bytes = match sample.location.len() {
            Some(len) if len > MAX_IMAGE_BYTES => Err(format!("{len} bytes, at most {MAX_IMAGE_BYTES} are read")),
            _ => match { read_into }(&mut bytes) {
                Ok(()) => Ok(bytes),
                // One file that is gone or locked is a bad image; a disk that is gone is not a set of bad images.
                Err(error) if !concerns_one_file(&error) || !split.path.exists() => return Err(error),
                Err(error) => Err(error.to_string()),
            },
        };
        read.fetch_add(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64), Ordering::Relaxed);
        let file = path.to_string_lossy().into_owned();
        if !sink(Item { key, file, label: sample.label, bytes }) {
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
