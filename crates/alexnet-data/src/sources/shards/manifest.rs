//! The manifest of a prepared data set: `manifest.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::augment::crop::Centering;
use crate::statistics::Statistics;
use crate::{Error, MeanImage, Preprocess, ResizeFilter, ResizeRule};

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const MEAN_IMAGE: &str = "mean.npy";
const FORMAT: &str = "alexnet-shards 1";

/// The content of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: String,
    /// The version of this crate.
    version: String,
    /// The settings and the fingerprint of the input.
    pub(crate) made_with: String,
    /// Explanation of the labels, for readers of the file.
    labels: String,
    /// Label `i` is `classes[i]`.
    pub(crate) classes: Vec<String>,
    /// `train` and `val`.
    pub(crate) splits: BTreeMap<String, SplitManifest>,
    /// Statistics of the training images.
    pub(crate) statistics: Option<StatisticsManifest>,
}

/// One split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SplitManifest {
    pub(crate) images: u64,
    /// Files that could not be used; `bad-images.txt` lists them.
    pub(crate) listed: u64,
    pub(crate) images_per_class: Vec<u64>,
    pub(crate) shards: Vec<ShardManifest>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShardManifest {
    pub(crate) file: String,
    pub(crate) images: u64,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Statistics of the central squares of the training images, before they were compressed again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatisticsManifest {
    /// Side of the squares, and of the shorter sides.
    size: u32,
    /// If the original files are stored, the filter that resized them for these statistics.
    originals_resized_with: Option<ResizeFilter>,
    images: u64,
    mean: [f64; 3],
    covariance: [[f64; 3]; 3],
    std_devs: [f64; 3],
    components: [[f64; 3]; 3],
    /// The file of the mean image: `[3, size, size]`, 0–255.
    mean_image: String,
}

impl Manifest {
    #[cfg(feature = "prepare")]
    pub(crate) fn new(made_with: String, classes: Vec<String>) -> Self {
        Self {
            format: FORMAT.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            made_with,
            labels: "index of the class in `classes`; for ImageNet, the sorted WordNet IDs, not ILSVRC2012_ID - 1"
                .into(),
            classes,
            splits: BTreeMap::new(),
            statistics: None,
        }
    }

    /// The manifest in `root`, if there is one.
    pub(crate) fn read(root: &Path) -> Result<Option<Self>, Error> {
        let path = root.join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(source) => return Err(Error::Read { path, source }),
        };
        let malformed = |reason: String| Error::Malformed { path: path.clone(), reason };
        // Other programs also use this file name.
        let ours = String::from_utf8_lossy(&text).contains("alexnet-shards");
        if !ours {
            return Ok(None);
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(malformed(format!("its format is `{}`, this version reads `{FORMAT}`", manifest.format)));
        }
        if manifest.classes.len() < 2 {
            return Err(malformed(format!("it has {} classes, at least 2 are needed", manifest.classes.len())));
        }
        for shard in manifest.splits.values().flat_map(|split| &split.shards) {
            if shard.file.contains(['/', '\\']) || shard.file.starts_with('.') {
                return Err(malformed(format!("the shard's name `{}` leads out of the folder", shard.file)));
            }
        }
        Ok(Some(manifest))
    }
}

impl StatisticsManifest {
    #[cfg(feature = "prepare")]
    pub(crate) fn new(statistics: &Statistics, originals_resized_with: Option<ResizeFilter>) -> Self {
        Self {
            size: statistics.mean_image.size,
            originals_resized_with,
            images: statistics.images,
            mean: statistics.mean,
            covariance: statistics.covariance,
            std_devs: statistics.std_devs,
            components: statistics.components,
            mean_image: MEAN_IMAGE.into(),
        }
    }

    pub(super) fn read(&self, root: &Path) -> Result<PreparedStatistics, Error> {
        if self.size > 4096 {
            let reason = format!("the mean image has sides of {} pixels, at most 4096 are allowed", self.size);
            return Err(Error::Malformed { path: root.join(MANIFEST), reason });
        }
        let path = root.join(MEAN_IMAGE);
        let bytes = fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let values = parse_npy(&bytes, self.size).ok_or_else(|| {
            let reason = format!("it is not a NumPy array of 32-bit floats of shape (3, {0}, {0})", self.size);
            Error::Malformed { path, reason }
        })?;
        let statistics = Statistics {
            images: self.images,
            skipped: 0,
            mean_image: Arc::new(MeanImage { size: self.size, values }),
            mean: self.mean,
            covariance: self.covariance,
            std_devs: self.std_devs,
            components: self.components,
        };
        Ok(PreparedStatistics { statistics, originals_resized_with: self.originals_resized_with })
    }
}

/// Statistics contained in a prepared data set.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedStatistics {
    statistics: Statistics,
    originals_resized_with: Option<ResizeFilter>,
}

impl PreparedStatistics {
    /// The statistics, if they are valid for this preprocessing: if it crops the same square that they were computed from.
    pub fn suit(&self, preprocess: &Preprocess) -> Option<&Statistics> {
        let size = self.statistics.mean_image.size;
        let shorter = matches!(preprocess.resize, ResizeRule::ShorterSide { size: side, .. } if side == size);
        let square = preprocess.source_size == size && preprocess.centering == Centering::Down;
        let filter = self.originals_resized_with.is_none_or(|filter| filter == preprocess.filter);
        (shorter && square && filter).then_some(&self.statistics)
    }
}

fn npy_header(size: u32) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (3, {size}, {size}), }}");
    // Magic, version and length take ten bytes; the values start at a multiple of 64.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes
}

/// The mean image as a NumPy array (format 1.0 of `numpy.lib.format`).
#[cfg(feature = "prepare")]
pub(crate) fn format_npy(image: &MeanImage) -> Vec<u8> {
    let mut bytes = npy_header(image.size);
    bytes.extend(image.values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// Parses an array written by [`format_npy`]; other headers are rejected.
fn parse_npy(bytes: &[u8], size: u32) -> Option<Vec<f32>> {
    let (values, rest) = bytes.strip_prefix(npy_header(size).as_slice())?.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|&value| f32::from_le_bytes(value)).collect();
    (rest.is_empty() && values.len() == 3 * size as usize * size as usize).then_some(values)
}
