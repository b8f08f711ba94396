//! Which part of an image is shown, how it lies, and in which light.
//!
//! An augmentation of one image is a [`View`], a few numbers that are a function of (seed, epoch, sample index) alone; all
//! views are rendered by the same pipeline. What mixes the images of a batch is [`Mixing`].

pub(crate) mod colour_jitter;
pub(crate) mod colour_noise;
pub(crate) mod crop;
mod cutmix;
pub(crate) mod flip;
pub(crate) mod mixing;
mod mixup;
pub(crate) mod random_erasing;
pub(crate) mod resized_crop;

use alexnet_random::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use crate::{Error, Preprocess};
use colour_jitter::{ColourChanges, ColourJitter};
use colour_noise::{ColourNoise, ColourShift};
use crop::Centring;
use mixing::Mixing;
use random_erasing::{Erased, RandomErasing};
use resized_crop::{RandomResizedCrop, ResizedCrop};

/// One rendering of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// First column of the square that is shown, from 0 to the border, `source_size - crop_size`.
    pub x: u32,
    /// First row that is shown, in the same range.
    pub y: u32,
    /// The part of the whole image that is shown, at another size; `x` and `y` then do not count.
    pub resized_crop: Option<ResizedCrop>,
    /// Whether left and right are exchanged.
    pub flip: bool,
    /// What is done to the bytes of the colours, in this order.
    pub colour_changes: ColourChanges,
    /// What is added to the colours, and the divisor that goes with it.
    pub colour_shift: Option<ColourShift>,
    /// What is taken away at the end.
    pub erased: Option<Erased>,
}

impl View {
    /// The centre, for a border of `border` pixels in all.
    pub fn centre(border: u32, centring: Centring) -> Self {
        let offset = centring.offset(border);
        Self::at(offset, offset)
    }

    /// The view that begins at column `x` and row `y` of the square, with nothing else done to it.
    pub fn at(x: u32, y: u32) -> Self {
        Self { x, y, resized_crop: None, flip: false, colour_changes: [None; 4], colour_shift: None, erased: None }
    }

    /// The ten views whose predictions are averaged: corners and centre in the order top left, top right, centre, bottom
    /// left, bottom right, then the same flipped.
    ///
    /// # Source
    /// Krizhevsky et al. 2012, section 4.1; the order is that of the 2012 code, `convdata_jpeg.py`.
    pub fn ten(border: u32, centring: Centring) -> [Self; 10] {
        let offsets = crop::ten_view_offsets(border, centring);
        std::array::from_fn(|i| Self { flip: i >= 5, ..Self::at(offsets[i % 5].0, offsets[i % 5].1) })
    }
}

/// The random changes of training images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Crop at a random position instead of the centre.
    pub random_crop: bool,
    /// Show a part of random size and proportions instead of a crop of the square.
    pub resized_crop: Option<RandomResizedCrop>,
    /// Exchange left and right of every second image, on average.
    pub flip: bool,
    /// Change the colours along the training set's principal components.
    pub colour_noise: Option<ColourNoise>,
    /// Change brightness, contrast, saturation and hue.
    pub colour_jitter: Option<ColourJitter>,
    /// Take a rectangle away.
    pub erasing: Option<RandomErasing>,
    /// Mix the images of a batch.
    pub mixing: Mixing,
}

impl Augment {
    /// No change: the centre, as in evaluation.
    pub const NONE: Self = Self {
        random_crop: false,
        resized_crop: None,
        flip: false,
        colour_noise: None,
        colour_jitter: None,
        erasing: None,
        mixing: Mixing { mixup: None, cutmix: None },
    };

    /// Random crops and flips, with nothing done to the colours: the paper's, but for its colour noise.
    pub const CROP_AND_FLIP: Self = Self { random_crop: true, flip: true, ..Self::NONE };

    /// Whether nothing is done to an image but what can be done to bytes or said in [`ViewNumbers`](crate::ViewNumbers).
    pub fn ends_in_bytes(&self) -> bool {
        self.erasing.is_none() && self.mixing.mixup.is_none() && self.mixing.cutmix.is_none()
    }

    /// # Errors
    /// [`Error::Setting`] for the first number that is out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        if let Some(noise) = self.colour_noise
            && !(noise.strength.is_finite() && noise.strength >= 0.0)
        {
            return Err(Error::setting("strength of the colour noise", noise.strength, "it must be 0 or more"));
        }
        self.resized_crop.iter().try_for_each(RandomResizedCrop::validate)?;
        self.colour_jitter.iter().try_for_each(ColourJitter::validate)?;
        self.erasing.iter().try_for_each(RandomErasing::validate)?;
        self.mixing.validate()
    }

    /// The view of sample `index` in `epoch`, for images that are prepared so.
    ///
    /// Position and flip are drawn whether they are used or not, and everything else from streams of its own, so that
    /// switching one off, as the 2012 runs did with the colours near their end, changes nothing of the others.
    pub fn view(&self, seed: u64, epoch: u32, index: u32, preprocess: &Preprocess) -> View {
        let (border, centring) = (preprocess.border(), preprocess.centring);
        let mut stream = Stream::new(seed, Purpose::Augment, epoch, index);
        let (x, y) = crop::random_offset(&mut stream, border);
        let flip = flip::random_flip(&mut stream);
        let mut view = View::centre(border, centring);
        if self.random_crop {
            (view.x, view.y) = (x, y);
        }
        view.flip = self.flip && flip;
        let stream = |purpose| Stream::new(seed, purpose, epoch, index);
        view.resized_crop = self.resized_crop.map(|rule| ResizedCrop::new(rule, seed, epoch, index));
        view.colour_shift = self.colour_noise.map(|noise| noise.draw(&mut stream(Purpose::ColourNoise)));
        view.colour_changes =
            self.colour_jitter.map_or([None; 4], |jitter| jitter.draw(&mut stream(Purpose::ColourJitter)));
        view.erased = self.erasing.and_then(|erasing| erasing.draw(seed, epoch, index, preprocess.crop_size));
        view
    }
}

/// What `tests/fixtures/make.py` wrote to `augment.json` under this name.
#[cfg(test)]
fn golden_cases(name: &str) -> Vec<Vec<f64>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/augment.json");
    let all: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    serde_json::from_value(all[name].clone()).unwrap()
}
