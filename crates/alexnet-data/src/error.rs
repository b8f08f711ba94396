//! What can go wrong, one variant per broken rule.

use std::io;
use std::path::PathBuf;

/// An error of this crate. A message names the thing, the rule and both values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why it could not be.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// Why it could not be.
        source: io::Error,
    },

    /// The data set's folder does not exist.
    #[error("there is no folder {}", path.display())]
    NoSuchFolder {
        /// The path that was given.
        path: PathBuf,
    },
    /// The path leads to something other than a folder.
    #[error("{} is not a folder or a .tar or .parquet file; a data set is a folder with shards or with one folder of images per class", path.display())]
    NotAFolder {
        /// The path that was given.
        path: PathBuf,
    },
    /// The folder holds no class folders.
    #[error("{} holds no class folders, expected one folder of images per class", path.display())]
    NoClasses {
        /// The folder that was searched.
        path: PathBuf,
    },
    /// The folder holds a single class.
    #[error("{} holds the single class `{class}`, a classifier needs at least 2", path.display())]
    OneClass {
        /// The folder that was searched.
        path: PathBuf,
        /// Its only class.
        class: String,
    },
    /// A class folder holds no image.
    #[error("class `{class}` holds no .jpg, .jpeg, .png, .webp or .ppm file in {}", path.display())]
    EmptyClass {
        /// The class folder.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// A validation folder without a training folder beside it.
    #[error("{} holds `{val}` but no `train` beside it", path.display())]
    NoTrain {
        /// The data set's folder.
        path: PathBuf,
        /// The validation folder that was found.
        val: String,
    },
    /// A class of one split is absent from the other.
    #[error("class `{class}` is in {} but not in {}", present.display(), absent.display())]
    ClassesDiffer {
        /// The class.
        class: String,
        /// The folder that has it.
        present: PathBuf,
        /// The folder that lacks it.
        absent: PathBuf,
    },
    /// A class too small to be divided into training and validation images.
    #[error("class `{class}` has 1 image, at least 2 are needed to hold one out for validation")]
    CannotHoldOut {
        /// The class.
        class: String,
    },
    /// The folder holds the beginning of a data set whose preparation was interrupted.
    #[error("{} holds a data set that is not finished; run its preparation again, and it goes on where it was", path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// A file of a data set is damaged, or does not fit another one.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A downloaded file is not the one that was published.
    #[error("{}: its MD5 sum is {found}, expected {expected}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The published sum.
        expected: String,
        /// The sum of what is there.
        found: String,
    },
    /// A prepared data set cannot be written to this folder.
    #[error("{}: {reason}", path.display())]
    Output {
        /// The output folder.
        path: PathBuf,
        /// Why nothing can be written there.
        reason: String,
    },
    /// More samples than a sample's 32-bit index can name.
    #[error("{} holds {count} images, at most {} can be indexed", path.display(), u32::MAX)]
    TooManySamples {
        /// The folder that was searched.
        path: PathBuf,
        /// The number of images in it.
        count: usize,
    },

    /// A file without content.
    #[error("the file is empty")]
    EmptyFile,
    /// The content is of no supported format.
    #[error("neither JPEG, PNG, WebP nor PPM (P6): the content starts with {start:02x?}")]
    UnknownFormat {
        /// The first bytes of the file.
        start: Vec<u8>,
    },
    /// The image is larger than the limits allow; found in the header, before any memory is taken.
    #[error("{width}x{height} pixels, at most {max_side} per side and {max_pixels} in all are allowed")]
    TooLarge {
        /// Width the header announces.
        width: u32,
        /// Height the header announces.
        height: u32,
        /// The limit of either side.
        max_side: u32,
        /// The limit of their product.
        max_pixels: u64,
    },
    /// The file ends before the image does.
    #[error("truncated {format}: the data end before the image does")]
    Truncated {
        /// The format the content claims to be.
        format: &'static str,
    },
    /// The decoder rejected the content.
    #[error("corrupt or unsupported {format}: {reason}")]
    Corrupt {
        /// The format the content claims to be.
        format: &'static str,
        /// What the decoder objects to.
        reason: String,
    },
    /// After resizing, the image does not cover the square that is to be cut from it.
    #[error("{width}x{height} pixels after resizing, smaller than the {source_size}x{source_size} to be cut from it")]
    TooSmall {
        /// Width after resizing.
        width: u32,
        /// Height after resizing.
        height: u32,
        /// Side of the square.
        source_size: u32,
    },
    /// One of the errors above, with the file it happened in.
    #[error("{}: {source}", path.display())]
    Sample {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Too many of an epoch's samples could not be used.
    #[error("{count} of {total} images could not be used, at most {limit} may fail; the last: {last}")]
    TooManyBadSamples {
        /// Bad samples so far.
        count: usize,
        /// Samples of the epoch.
        total: usize,
        /// Bad samples allowed.
        limit: usize,
        /// File and reason of the last one.
        last: String,
    },
    /// None of the images of a training set could be used.
    #[error("none of the {count} images could be used for the training set's statistics; the first: {first}")]
    NoUsableImage {
        /// The number of images that were tried.
        count: usize,
        /// File and reason of the first one.
        first: String,
    },

    /// A setting is outside its range.
    #[error("{what} is {value}, but {rule}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: String,
        /// What must hold.
        rule: String,
    },
    /// A thread of the loader panicked: a fault of the program, not of the data.
    #[error("a data loading thread panicked: {message}")]
    WorkerPanicked {
        /// The panic's message.
        message: String,
    },

    /// The folder meant for the synthetic data set holds something else.
    #[error("{} is not empty and holds no shapes data set, so nothing is written into it", path.display())]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The synthetic data set in the folder was made with other settings.
    #[error("{} holds a shapes data set with {found}, wanted {wanted}", path.display())]
    OtherShapes {
        /// The folder.
        path: PathBuf,
        /// The settings it was made with.
        found: String,
        /// The settings that were asked for.
        wanted: String,
    },
}

impl Error {
    /// This error, with the file it happened in.
    pub(crate) fn in_file(self, path: &std::path::Path) -> Self {
        match self {
            // Already names its file.
            error @ (Error::Read { .. } | Error::Write { .. } | Error::Sample { .. } | Error::Malformed { .. }) => {
                error
            }
            error => Error::Sample { path: path.to_owned(), source: Box::new(error) },
        }
    }

    pub(crate) fn setting(what: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Error::Setting { what, value: value.to_string(), rule: rule.into() }
    }
}
