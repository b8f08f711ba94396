//! Which part of an image is shown, how it lies, and in which light.
//!
//! Nothing here touches a pixel: an augmentation is a [`View`], a few numbers, and all views are rendered by the same
//! pass. The numbers of a training view are a function of (seed, epoch, sample index) alone.

pub(crate) mod colour_noise;
pub(crate) mod crop;
pub(crate) mod flip;

use alexnet_random::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use colour_noise::{ColourNoise, ColourShift};
use crop::Centring;

/// One rendering of an image's square.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// First column of the square that is shown, from 0 to the border, `source_size - crop_size`.
    pub x: u32,
    /// First row that is shown, in the same range.
    pub y: u32,
    /// Whether left and right are exchanged.
    pub flip: bool,
    /// What is added to the colours, and the divisor that goes with it.
    pub colour_shift: Option<ColourShift>,
}

impl View {
    /// The centre, for a border of `border` pixels in all.
    pub fn centre(border: u32, centring: Centring) -> Self {
        let offset = centring.offset(border);
        Self { x: offset, y: offset, flip: false, colour_shift: None }
    }

    /// The ten views whose predictions are averaged: corners and centre in the order top left, top right, centre, bottom
    /// left, bottom right, then the same flipped.
    ///
    /// # Source
    /// Krizhevsky et al. 2012, section 4.1; the order is that of the 2012 code, `convdata_jpeg.py`.
    pub fn ten(border: u32, centring: Centring) -> [Self; 10] {
        let offsets = crop::ten_view_offsets(border, centring);
        std::array::from_fn(|i| Self { x: offsets[i % 5].0, y: offsets[i % 5].1, flip: i >= 5, colour_shift: None })
    }
}

/// The random changes of training images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Crop at a random position instead of the centre.
    pub random_crop: bool,
    /// Exchange left and right of every second image, on average.
    pub flip: bool,
    /// Change the colours along the training set's principal components.
    pub colour_noise: Option<ColourNoise>,
}

impl Augment {
    /// No change: the centre, as in evaluation.
    pub const NONE: Self = Self { random_crop: false, flip: false, colour_noise: None };

    /// Random crops and flips, without colour noise.
    pub const CROP_AND_FLIP: Self = Self { random_crop: true, flip: true, colour_noise: None };

    /// The view of sample `index` in `epoch`.
    ///
    /// Position and flip are drawn whether they are used or not, and the colours from a stream of their own, so that
    /// switching one off, as the 2012 runs did with the colours near their end, changes nothing of the others.
    pub fn view(&self, seed: u64, epoch: u32, index: u32, border: u32, centring: Centring) -> View {
        let mut stream = Stream::new(seed, Purpose::Augment, epoch, index);
        let (x, y) = crop::random_offset(&mut stream, border);
        let flip = flip::random_flip(&mut stream);
        let mut view = View::centre(border, centring);
        if self.random_crop {
            (view.x, view.y) = (x, y);
        }
        view.flip = self.flip && flip;
        let noise = self.colour_noise.as_ref();
        view.colour_shift = noise.map(|noise| noise.draw(&mut Stream::new(seed, Purpose::ColourNoise, epoch, index)));
        view
    }
}
