//! The error type, one variant per violated rule.

use std::io;
use std::path::PathBuf;

/// An error of this crate. Messages name the item, the rule and both values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The path to read.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The path to write.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },

    /// The data set's folder does not exist.
    #[error("there is no folder {}", path.display())]
    NoSuchFolder {
        /// The path that was given.
        path: PathBuf,
    },
    /// The path is not a folder.
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
    /// There is a validation folder but no training folder.
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
        /// The folder that contains it.
        present: PathBuf,
        /// The folder that does not contain it.
        absent: PathBuf,
    },
    /// A class has too few images to be divided into training and validation images.
    #[error("class `{class}` has 1 image, at least 2 are needed to hold one out for validation")]
    CannotHoldOut {
        /// The class.
        class: String,
    },
    /// The folder holds an incomplete data set whose preparation was interrupted.
    #[error("{} holds an unfinished data set; run its preparation again to resume it", path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// A file of a data set is damaged or inconsistent with another file.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A downloaded file differs from the published one.
    #[error("{}: its MD5 sum is {found}, expected {expected}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The published MD5 sum.
        expected: String,
        /// The MD5 sum of the file.
        found: String,
    },
    /// A prepared data set cannot be written to this folder.
    #[error("{}: {reason}", path.display())]
    Output {
        /// The output folder.
        path: PathBuf,
        /// Why it cannot be written.
        reason: String,
    },
    /// There are more samples than a 32-bit index can address.
    #[error("{} holds {count} images, at most {} can be indexed", path.display(), u32::MAX)]
    TooManySamples {
        /// The folder that was searched.
        path: PathBuf,
        /// The number of images in it.
        count: usize,
    },

    /// The file is empty.
    #[error("the file is empty")]
    EmptyFile,
    /// The file format is not supported.
    #[error("neither JPEG, PNG, WebP nor PPM (P6): the content starts with {start:02x?}")]
    UnknownFormat {
        /// The first bytes of the file.
        start: Vec<u8>,
    },
    /// The image exceeds the size limits; detected in the header, before any memory is allocated.
    #[error("{width}x{height} pixels, at most {max_side} per side and {max_pixels} in all are allowed")]
    TooLarge {
        /// Width according to the header.
        width: u32,
        /// Height according to the header.
        height: u32,
        /// The limit of each side.
        max_side: u32,
        /// The limit of width times height.
        max_pixels: u64,
    },
    /// The file ends before the end of the image.
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
        /// The decoder's error.
        reason: String,
    },
    /// After resizing, the image is smaller than the square to cut from it.
    #[error("{width}x{height} pixels after resizing, smaller than the {source_size}x{source_size} to be cut from it")]
    TooSmall {
        /// Width after resizing.
        width: u32,
        /// Height after resizing.
        height: u32,
        /// Side of the square.
        source_size: u32,
    },
    /// One of the errors above, with the file in which it occurred.
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
    /// No image of a training set could be used.
    #[error("none of the {count} images could be used for the training set's statistics; the first: {first}")]
    NoUsableImage {
        /// The number of images tried.
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
        /// The rule it violates.
        rule: String,
    },
    /// A loader thread panicked: a bug in the program, not an error in the data.
    #[error("a data loading thread panicked: {message}")]
    WorkerPanicked {
        /// The panic's message.
        message: String,
    },

    /// The folder for the synthetic data set contains something else.
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
        /// The requested settings.
        wanted: String,
    },
}

impl Error {
    /// This error, with the file in which it occurred.
    pub(crate) fn in_file(self, path: &std::path::Path) -> Self {
        match self {
            // These already name the file.
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
