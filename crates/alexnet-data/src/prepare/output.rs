//! The output folder: ownership, free space, and cleanup.

use std::fs::{self, File};
use std::path::Path;

use super::progress_file::{Progress, STATISTICS};
use super::source::{Source, splits};
use super::{PrepareOptions, StoredFormat};
use crate::Error;
use crate::sources::shards::UNFINISHED;

/// Lock file, held while a preparation runs.
const LOCK: &str = ".lock";

/// Removes files that a complete set no longer needs: state, sums, lock.
pub(super) fn clean(output: &Path) -> Result<(), Error> {
    let remove = || {
        for entry in fs::read_dir(output)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name == UNFINISHED || name == LOCK || name.starts_with(STATISTICS) || name.ends_with(".partial") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    remove().map_err(|source| Error::Write { path: output.to_owned(), source })
}

/// Locks the output folder for this process.
pub(super) fn lock(output: &Path) -> Result<File, Error> {
    fs::create_dir_all(output).map_err(|source| Error::Write { path: output.to_owned(), source })?;
    let path = output.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| Error::Write { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            let reason = "another process is preparing a data set there".into();
            Err(Error::Output { path: output.to_owned(), reason })
        }
        Err(fs::TryLockError::Error(source)) => Err(Error::Write { path, source }),
    }
}

/// Returns an error if the folder contains files that are not hidden: they would be mixed with the output.
pub(super) fn require_empty(output: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(output).map_err(|source| Error::Read { path: output.to_owned(), source })? {
        let name = entry.map_err(|source| Error::Read { path: output.to_owned(), source })?.file_name();
        // Left by a run that was killed while it wrote its first state.
        let own = name.to_str() == Some("unfinished.json.partial");
        if !own && !name.as_encoded_bytes().starts_with(b".") {
            let reason = format!("it is not empty and holds no prepared data set, but `{}`", name.to_string_lossy());
            return Err(Error::Output { path: output.to_owned(), reason });
        }
    }
    Ok(())
}

/// Removes the output of a split whose archive is not trustworthy.
pub(super) fn discard(options: &PrepareOptions, split: &str, state: &mut Progress) -> Result<(), Error> {
    let (output, folder) = (&options.output, options.output.join(split));
    state.splits.remove(split);
    if split == "train" {
        state.forget_sums();
    }
    state.write(output, None)?;
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::Write { path: folder, source: error }),
        _ => Ok(()),
    }
}

/// Size of ImageNet's photographs at a shorter side of 256 pixels and quality 95, relative to the original files.
const SHRINKAGE: f64 = 0.36;
/// Average size of an ImageNet training image.
const IMAGENET_BYTES: f64 = 115_000.0;
/// Size of a sample in an archive without its image.
const TAR_BYTES: f64 = 3_500.0;

/// Returns an error if the disk has too little free space for the output.
pub(super) fn require_space(options: &PrepareOptions, source: &dyn Source, state: &Progress) -> Result<(), Error> {
    let output = &options.output;
    let area = (f64::from(options.size) / 256.0).powi(2);
    let mut needed = 0.0;
    for &split in splits(source) {
        if state.splits.get(split).is_some_and(|split| split.complete) {
            continue;
        }
        let done =
            state.splits.get(split).map_or(0, |split| split.manifest.shards.iter().map(|shard| shard.bytes).sum());
        let bytes = source.bytes(split)? as f64;
        let whole = match options.format {
            StoredFormat::Raw => {
                let images = source.images(split).map_or(bytes / IMAGENET_BYTES, |images| images as f64);
                let proportion = if options.crop { 1.0 } else { 4.0 / 3.0 };
                images * (3.0 * f64::from(options.size).powi(2) * proportion + TAR_BYTES)
            }
            StoredFormat::Original => bytes * 1.05,
            StoredFormat::Jpeg { quality } => bytes * (SHRINKAGE * area * f64::from(quality) / 95.0).min(1.05),
        };
        needed += (whole - done as f64).max(0.0);
    }
    // The folder may not exist yet.
    let there = output.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let free = fs4::available_space(there).map_err(|source| Error::Read { path: output.clone(), source })? as f64;
    if needed > free {
        let reason = format!("about {:.1} GB will be written, but only {:.1} GB are free", needed / 1e9, free / 1e9);
        return Err(Error::Output { path: output.clone(), reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::prepare;

    #[test]
    fn a_disk_that_is_too_small_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let [class, other] = ["a", "b"].map(|class| folder.path().join("photos/train").join(class));
        for class in [&class, &other] {
            fs::create_dir_all(class).unwrap();
        }
        fs::write(other.join("small.jpg"), "").unwrap();
        // A sparse file, eight times larger than the free space, takes no space.
        let size = 8 * fs4::available_space(folder.path()).unwrap();
        if let Err(error) = File::create(class.join("huge.jpg")).and_then(|file| file.set_len(size)) {
            return println!("SKIPPED: no file of {size} bytes can be created here: {error}");
        }
        let output = folder.path().join("new/prepared");
        let options = PrepareOptions::new(folder.path().join("photos"), output.clone(), 1);
        let error = prepare(&options, &|_| {}).unwrap_err().to_string();
        assert!(error.contains("new/prepared") && error.contains("GB will be written"), "{error}");
        assert!(!folder.path().join("new").exists());
        // An existing empty folder is kept and stays empty.
        fs::create_dir_all(&output).unwrap();
        prepare(&options, &|_| {}).unwrap_err();
        assert!(fs::read_dir(&output).unwrap().next().is_none());
    }
}
