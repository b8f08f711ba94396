//! Preparation of a large data set: converts ImageNet's archives, or folders of photographs, to shards of images of one
//! size.
//!
//! The images are read in stored order, in one pass and without unpacking anything to disk, resized by all threads, and
//! written in the same order, so that the output is the same for any number of threads. The manifest describes the result:
//! classes, counts, checksums, mean image, color statistics.
//!
//! Memory: `2 * workers + 2` encoded images and one decoded image per worker, for each worker the sums of two shards, 1.5
//! MB each at 256 pixels, and the list of unusable images. Only the keys of folders and the indices grow with the data set.

mod archives;
mod checksum;
mod devkit;
#[cfg(not(feature = "turbojpeg"))]
mod encoder_rows;
mod feeder;
mod folders;
mod inputs;
mod mat5;
pub mod miniature;
mod options;
mod output;
mod picture;
mod progress_file;
mod run;
mod shard_writer;
mod source;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use output::{clean, discard, lock, require_empty, require_space};
use progress_file::{Progress, SplitProgress};
use run::Run;
use shard_writer::write_whole;
use source::splits;

use crate::Error;
use crate::sources::shards::manifest::{MANIFEST, MEAN_IMAGE, Manifest, SplitManifest, StatisticsManifest, format_npy};
use crate::statistics::Sums;

pub use options::{PrepareOptions, StoredFormat};
pub use progress_file::BadImage;
pub use source::{Source, SourceImage};

/// The file that lists the images that could not be used.
pub const BAD_IMAGES: &str = "bad-images.txt";
const LABELS: &str = "labels.txt";
/// Images per shard: about 170 MB at 256 pixels, 313 shards for ImageNet's training images.
pub const IMAGES_PER_SHARD: u32 = 4096;

/// The progress of a preparation.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// `train` or `val`.
    pub split: &'a str,
    /// Images done, including those of an interrupted run.
    pub images: u64,
    /// Bytes of the input read so far.
    pub bytes: u64,
    /// Total bytes of the input.
    pub total_bytes: u64,
}

/// The result of preparing a split. The images read are those written plus the bad ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitReport {
    /// `train` or `val`.
    pub split: String,
    /// Images read.
    pub read: u64,
    /// Images written to the shards.
    pub written: u64,
    /// Images that could not be used.
    pub bad: Vec<BadImage>,
    /// Images already done by an interrupted run.
    pub resumed: u64,
    /// Number of shards.
    pub shards: usize,
    /// Total bytes of the shards.
    pub bytes: u64,
}

/// Prepares the contents of the folder `options.input`: ImageNet's archives, or a data set of class folders or Parquet
/// files.
///
/// # Errors
/// Those of [`prepare_from`] and of opening the folder.
pub fn prepare(options: &PrepareOptions, progress: &dyn Fn(Step<'_>)) -> Result<Vec<SplitReport>, Error> {
    options.validate()?;
    prepare_from(&*inputs::open(&options.input, options.verify)?, options, progress)
}

/// Prepares the data set of `source`; `options.input` is ignored. An interrupted preparation resumes and produces the same
/// bytes as an uninterrupted one. If the set is already complete, nothing is done, and the reports count all images as
/// resumed.
///
/// # Errors
/// [`Error::Setting`]; [`Error::Output`] if the output folder contains something else, or a set made with other settings;
/// [`Error::Checksum`], [`Error::Malformed`] and [`Error::Read`] if the input is damaged or cannot be read (a split whose
/// archive is damaged is deleted); [`Error::Write`].
pub fn prepare_from(
    source: &dyn Source,
    options: &PrepareOptions,
    progress: &dyn Fn(Step<'_>),
) -> Result<Vec<SplitReport>, Error> {
    options.validate()?;
    let classes = source.classes();
    if classes.len() < 2 {
        return Err(Error::setting("number of classes", classes.len(), "a classifier needs at least 2"));
    }
    let (settings, output) = (options.settings(), options.output.as_path());
    let mut inputs = BTreeMap::new();
    for &split in splits(source) {
        inputs.insert(split, source.fingerprint(split)?);
    }
    let inputs_text: Vec<_> = inputs.iter().map(|(split, input)| format!("{split} of {input}")).collect();
    let made_with = format!("{settings}; {}", inputs_text.join("; "));
    if let Some(manifest) = Manifest::read(output)? {
        let reports = already_there(output, &manifest, &made_with)?;
        clean(output)?;
        return Ok(reports);
    }
    let begun = Progress::path(output).exists();
    if !begun {
        if output.exists() {
            require_empty(output)?;
        }
        // Checked before anything is created that would be left behind.
        require_space(options, source, &Progress::new(settings.clone()))?;
    }
    let lock = lock(output)?;
    let mut state = match Progress::read(output)? {
        Some(state) if state.settings == settings => state,
        Some(state) => return Err(other_settings(output, "an unfinished data set", &state.settings, &settings)),
        None => Progress::new(settings),
    };
    if begun {
        require_space(options, source, &state)?;
    }
    state.write(output, None)?;
    let mut reports = Vec::new();
    for &split in splits(source) {
        let identity = source.identity(split)?;
        // Shards of another archive, or of an abandoned split, are discarded.
        let known = state.splits.get(split).filter(|known| known.input == identity && known.blocks > 0);
        if known.is_none() {
            discard(options, split, &mut state)?;
        }
        let folder = output.join(split);
        fs::create_dir_all(&folder).map_err(|source| Error::Write { path: folder.clone(), source })?;
        let found = state.splits.entry(split.to_owned()).or_insert_with(|| SplitProgress::of(&identity));
        let resumed = found.read;
        if !found.complete {
            let mut sums = state.read_sums(output, options.size)?;
            let mut run = Run { options, source, split, classes: &classes, state: &mut state, sums: &mut sums };
            if let Err(error) = run.run(progress) {
                // Shards made from a wrong or damaged archive must not be used later.
                if matches!(error, Error::Checksum { .. } | Error::Malformed { .. }) {
                    discard(options, split, &mut state)?;
                }
                return Err(error);
            }
        }
        reports.push(report(split, &state.splits[split], resumed));
    }
    let sums = state.read_sums(output, options.size)?;
    finish(options, source, made_with, state, &sums)?;
    drop(lock);
    clean(output)?;
    Ok(reports)
}

fn report(split: &str, state: &SplitProgress, resumed: u64) -> SplitReport {
    let shards = &state.manifest.shards;
    SplitReport {
        split: split.to_owned(),
        read: state.read,
        written: state.manifest.images,
        bad: state.bad.clone(),
        resumed,
        shards: shards.len(),
        bytes: shards.iter().map(|shard| shard.bytes).sum(),
    }
}

/// Entry point for fuzzing.
#[cfg(fuzzing)]
pub(crate) fn read_mat(bytes: &[u8]) {
    // Any result is allowed, but no panic.
    let _ = mat5::read(bytes);
}

/// Writes the labels, the mean image and the list of bad images, then the manifest, which marks the set as complete.
fn finish(
    options: &PrepareOptions,
    source: &dyn Source,
    made_with: String,
    state: Progress,
    sums: &Sums,
) -> Result<(), Error> {
    let output = options.output.as_path();
    let mut manifest = Manifest::new(made_with, source.classes());
    let mut bad = String::new();
    for (name, split) in &state.splits {
        for BadImage { file, reason } in &split.bad {
            bad.push_str(&format!("{name}\t{file}\t{reason}\n"));
        }
        manifest.splits.insert(name.clone(), split.manifest.clone());
    }
    write_whole(&output.join(BAD_IMAGES), bad.as_bytes())?;
    write_whole(&output.join(LABELS), source.labels_text().as_bytes())?;
    if sums.images() > 0 {
        let statistics = sums.statistics();
        write_whole(&output.join(MEAN_IMAGE), &format_npy(&statistics.mean_image))?;
        manifest.statistics = Some(StatisticsManifest::new(
            &statistics,
            (options.format == StoredFormat::Original).then_some(options.filter),
        ));
    }
    let path = output.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest);
    let text = text.map_err(|error| Error::Write { path: path.clone(), source: io::Error::other(error) })?;
    write_whole(&path, &text)
}

fn other_settings(output: &Path, what: &str, found: &str, wanted: &str) -> Error {
    // Only the differences: the full settings are long.
    let differences = |of: &str, other: &str| -> String {
        let other: Vec<_> = other.split([',', ';']).map(str::trim).collect();
        let parts = of.split([',', ';']).map(str::trim).filter(|part| !other.contains(part));
        parts.collect::<Vec<_>>().join(", ")
    };
    let (found, wanted) = (differences(found, wanted), differences(wanted, found));
    let reason =
        format!("it holds {what} made with other settings or from another input: {found}; requested: {wanted}");
    Error::Output { path: output.to_owned(), reason }
}

fn already_there(output: &Path, manifest: &Manifest, made_with: &str) -> Result<Vec<SplitReport>, Error> {
    if manifest.made_with != made_with {
        return Err(other_settings(output, "a data set", &manifest.made_with, made_with));
    }
    let path = output.join(BAD_IMAGES);
    let bad = fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
    let report = |(name, split): (&String, &SplitManifest)| {
        let listed = bad.lines().filter_map(|line| {
            let mut fields = line.splitn(3, '\t');
            let (split, file, reason) = (fields.next()?, fields.next()?, fields.next()?);
            (split == name).then(|| BadImage { file: file.to_owned(), reason: reason.to_owned() })
        });
        let read = split.images + split.listed;
        let manifest = split.clone();
        let state = SplitProgress { read, manifest, bad: listed.collect(), ..SplitProgress::default() };
        self::report(name, &state, read)
    };
    Ok(manifest.splits.iter().map(report).collect())
}
