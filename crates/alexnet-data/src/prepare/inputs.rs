//! Detects the kind of input: ImageNet's official archives, or a data set.

use std::path::Path;

use super::archives::Archives;
use super::checksum::{DEVKIT, TRAIN, VAL};
use super::folders::Folders;
use super::source::Source;
use crate::{Dataset, Error, Location};

/// Opens `folder` as ImageNet's archives or as a data set.
pub(super) fn open(folder: &Path, verify: bool) -> Result<Box<dyn Source>, Error> {
    let missing: Vec<_> = [TRAIN, VAL, DEVKIT].into_iter().filter(|name| !folder.join(name).is_file()).collect();
    if missing.len() == 3 {
        let set = Dataset::open(folder)?;
        let shard = set.train.samples.iter().any(|sample| matches!(sample.location, Location::Entry { .. }));
        if shard {
            let reason = "archives, class folders or Parquet files are required; it holds shards already".into();
            return Err(Error::Malformed { path: folder.to_owned(), reason });
        }
        return Ok(Box::new(Folders(set)));
    }
    if !missing.is_empty() {
        let reason = format!("it contains some of ImageNet's archives, but lacks {}", missing.join(" and "));
        return Err(Error::Malformed { path: folder.to_owned(), reason });
    }
    Ok(Box::new(Archives::open(folder, verify)?))
}
