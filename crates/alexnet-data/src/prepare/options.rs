//! The options of a preparation.

use std::path::PathBuf;

use super::IMAGES_PER_SHARD;
use crate::{Error, ResizeFilter};

/// How images are stored in shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredFormat {
    /// Resized, as JPEG.
    Jpeg {
        /// JPEG quality, 1 to 100.
        quality: u8,
    },
    /// Resized, as PPM: raw bytes that need no decoding, about six times the size of JPEG.
    Raw,
    /// The unchanged files. The statistics are still those of the resized images.
    Original,
}

/// The options of a preparation.
#[derive(Clone, Debug, PartialEq)]
pub struct PrepareOptions {
    /// The folder of the three archives, or a data set of class folders or Parquet files.
    pub input: PathBuf,
    /// The output folder: absent, empty, or containing the output of an interrupted run.
    pub output: PathBuf,
    /// The shorter side of the stored images, in pixels.
    pub size: u32,
    /// Whether to store only the central square, as in the paper (section 2).
    pub crop: bool,
    /// The interpolation.
    pub filter: ResizeFilter,
    /// The storage format of the images.
    pub format: StoredFormat,
    /// Number of images read per shard.
    pub images_per_shard: u32,
    /// Whether to compare the archives' MD5 sums with the published ones, or with those in a file `MD5SUMS` beside them.
    pub verify: bool,
    /// Number of worker threads.
    pub workers: usize,
}

impl PrepareOptions {
    /// The settings of cuda-convnet2 for ImageNet: shorter side 256, area averaging when shrinking and cubic when enlarging,
    /// quality 95.
    pub fn new(input: PathBuf, output: PathBuf, workers: usize) -> Self {
        Self {
            input,
            output,
            size: 256,
            crop: false,
            filter: ResizeFilter::AreaOrCubic,
            format: StoredFormat::Jpeg { quality: 95 },
            images_per_shard: IMAGES_PER_SHARD,
            verify: true,
            workers,
        }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let range = |what, value: u64, allowed: std::ops::RangeInclusive<u64>| {
            let rule = format!("it must be from {} to {}", allowed.start(), allowed.end());
            if allowed.contains(&value) { Ok(()) } else { Err(Error::setting(what, value, rule)) }
        };
        range("size", self.size.into(), 16..=4096)?;
        if let StoredFormat::Jpeg { quality } = self.format {
            range("quality", quality.into(), 1..=100)?;
        }
        range("images per shard", self.images_per_shard.into(), 1..=u64::from(u32::MAX))?;
        range("workers", self.workers as u64, 1..=4096)
    }

    pub(super) fn settings(&self) -> String {
        let Self { size, crop, filter, format, images_per_shard, .. } = self;
        let shape = if *crop { format!("central {size}x{size}") } else { format!("shorter side {size}") };
        // The two JPEG libraries give different pixels and files.
        let library = if cfg!(feature = "turbojpeg") { ", libjpeg-turbo" } else { "" };
        let images = match format {
            StoredFormat::Original => format!("files as they are, {filter:?}{library}"),
            StoredFormat::Jpeg { quality } => format!("{shape}, {filter:?}, quality {quality}{library}"),
            StoredFormat::Raw => format!("{shape}, {filter:?}, raw{library}"),
        };
        format!("{images}, statistics at {size}, {images_per_shard} images per shard")
    }
}
