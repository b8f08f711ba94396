//! What a loader delivers.

use crate::normalize::ViewNumbers;
use crate::{BadSample, Error};

/// The images of a batch, as [`Pixels`](crate::Pixels) says.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchImages {
    /// `[n, views, 3, crop_size, crop_size]`, contiguous: what a network sees.
    Floats(Vec<f32>),
    /// What it sees, before it is made of them.
    Bytes(Bytes),
}

impl BatchImages {
    /// The floats, unless the images are bytes.
    pub fn floats(&self) -> Option<&[f32]> {
        match self {
            Self::Floats(floats) => Some(floats),
            Self::Bytes(_) => None,
        }
    }

    /// The bytes, unless the images are floats.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Floats(_) => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// The images of a batch as bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bytes {
    /// `[n, views, crop_size, crop_size, 3]`: red, green and blue.
    pub pixels: Vec<u8>,
    /// What makes of each view what a network sees.
    pub numbers: Vec<ViewNumbers>,
}

/// Some samples of an epoch, ready for the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The n images, as the loader was asked for them.
    pub images: BatchImages,
    /// The n classes.
    pub labels: Vec<u32>,
    /// The n samples' indices in the list given to the loader.
    pub indices: Vec<u32>,
    /// Views per image, 1 or 10.
    pub views: usize,
    /// Samples that belong to this batch and could not be used. The batch is smaller by these, and may be empty.
    pub bad: Vec<BadSample>,
    /// Where the images are [mixed](crate::Mixing), the share of each that is its own, 0–1; the rest belongs to the image
    /// before it, that of the first to the last, and so do their labels.
    pub own_share: Option<f32>,
}

impl Batch {
    /// What the network should say, `[n, classes]`: the labels' probabilities, mixed as the images are, and with
    /// `label_smoothing` of it spread evenly over all classes.
    ///
    /// # Errors
    /// [`Error::Setting`] where a label is not below `classes` or the smoothing not from 0 to below 1.
    ///
    /// # Source
    /// Szegedy et al. 2016, *Rethinking the Inception architecture*, section 7; PyTorch, `CrossEntropyLoss`.
    pub fn targets(&self, classes: usize, label_smoothing: f32) -> Result<Vec<f32>, Error> {
        if !(0.0..1.0).contains(&label_smoothing) {
            return Err(Error::setting("label smoothing", label_smoothing, "it must be from 0 to below 1"));
        }
        if let Some(label) = self.labels.iter().find(|&&label| label as usize >= classes) {
            return Err(Error::setting("label", label, format!("there are {classes} classes")));
        }
        let own = self.own_share.unwrap_or(1.0);
        let mut targets = vec![label_smoothing / classes as f32; self.labels.len() * classes];
        let neighbors = self.labels.iter().cycle().skip(self.labels.len().saturating_sub(1));
        for ((row, &label), &neighbor) in targets.chunks_exact_mut(classes.max(1)).zip(&self.labels).zip(neighbors) {
            row[label as usize] += (1.0 - label_smoothing) * own;
            row[neighbor as usize] += (1.0 - label_smoothing) * (1.0 - own);
        }
        Ok(targets)
    }
}
