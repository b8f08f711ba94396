//! The batches of a loader.

use crate::normalize::ViewNumbers;
use crate::{BadSample, Error};

/// The images of a batch, in the format chosen by [`Pixels`](crate::Pixels).
#[derive(Clone, Debug, PartialEq)]
pub enum BatchImages {
    /// `[n, views, 3, crop_size, crop_size]`, contiguous: the network's input.
    Floats(Vec<f32>),
    /// Bytes that are still to be normalized.
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
    /// The normalization of each view.
    pub numbers: Vec<ViewNumbers>,
}

/// A batch of samples, ready for the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The n images.
    pub images: BatchImages,
    /// The n labels.
    pub labels: Vec<u32>,
    /// The indices of the n samples in the list given to the loader.
    pub indices: Vec<u32>,
    /// Views per image, 1 or 10.
    pub views: usize,
    /// Samples of this batch that could not be used. The batch is smaller by their number, and may be empty.
    pub bad: Vec<BadSample>,
    /// If the images are [mixed](crate::Mixing), the weight of each image's own label, 0–1; the remaining weight belongs to
    /// the label of the previous image (for the first image, the last).
    pub own_share: Option<f32>,
}

impl Batch {
    /// The target probabilities, `[n, classes]`: one-hot labels, mixed like the images, with `label_smoothing` of the
    /// probability spread evenly over all classes.
    ///
    /// # Errors
    /// [`Error::Setting`] if a label is not below `classes` or the smoothing is not from 0 to below 1.
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
