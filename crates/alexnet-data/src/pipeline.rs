//! The pipeline from an image file to the network's input.

use std::path::Path;
use std::sync::Arc;

use crate::augment::Augment;
use crate::augment::resized_crop::ResizedCrop;
use crate::augment::view::{View, Views};
use crate::normalize::{Normalizer, ViewNumbers};
use crate::resize::{Resizer, Window};
use crate::sample::Location;
use crate::square::Square;
use crate::{Error, MeanImage, Preprocess, RgbImage8, RgbRef8};

/// Maximum size of the pixel buffer kept for the next image, in bytes. Photographs are usually smaller; the memory of a
/// rare larger one should not be kept by every worker for the rest of the run.
const KEPT_BYTES: usize = 64 << 20;

/// Reusable working memory; one per thread.
#[derive(Debug, Default)]
pub struct Scratch {
    file: Vec<u8>,
    decoded: RgbImage8,
    resized: RgbImage8,
    resizer: Resizer,
    /// A part of the image.
    part: RgbImage8,
    /// A view before its color changes.
    view: RgbImage8,
}

impl Scratch {
    /// Frees the memory of an unusually large image.
    fn shrink(&mut self) {
        if self.decoded.pixels.capacity() > KEPT_BYTES {
            self.decoded = RgbImage8::default();
            self.part = RgbImage8::default();
        }
    }
}

impl Preprocess {
    /// Reads, decodes and resizes an image and returns its central square.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Sample`] if the image cannot be used.
    pub(crate) fn load_square<'a>(&self, from: &'a Location, scratch: &'a mut Scratch) -> Result<Square<'a>, Error> {
        scratch.shrink();
        let Scratch { file, decoded, resized, resizer, .. } = scratch;
        let image = from.image(file, decoded)?;
        self.square(image, resizer, resized).map_err(|error| error.in_file(&from.path()))
    }

    fn square<'a>(
        &self,
        image: RgbRef8<'a>,
        resizer: &mut Resizer,
        resized: &'a mut RgbImage8,
    ) -> Result<Square<'a>, Error> {
        let size = self.source_size;
        let (width, height) = self.resize.output_size(image.width, image.height);
        if width < size || height < size {
            return Err(Error::TooSmall { width, height, source_size: size });
        }
        let (x, y) = (self.centering.offset(width - size), self.centering.offset(height - size));
        if (width, height) == (image.width, image.height) {
            return Ok(Square::new(image, x as usize, y as usize));
        }
        // Only the square is computed, not the parts that the crop would discard.
        let window = Window { x, y, width: size, height: size };
        resizer.resize(image, (width, height), window, self.filter, resized)?;
        Ok(Square::new(&*resized, 0, 0))
    }

    /// Writes the resized crop of an image to `view`.
    fn resized_crop(
        &self,
        image: RgbRef8<'_>,
        crop: ResizedCrop,
        resizer: &mut Resizer,
        part: &mut RgbImage8,
        view: &mut RgbImage8,
    ) -> Result<(), Error> {
        let window = crop.window(image.width, image.height);
        // Copied, so that the filter does not read pixels outside the part; the cost is negligible beside decoding.
        Square::new(image, 0, 0).copy_window(window, part);
        let side = self.crop_size;
        let whole = Window { x: 0, y: 0, width: side, height: side };
        resizer.resize(&*part, (side, side), whole, self.filter, view)
    }
}

/// Converts image files to network input. Shared by all threads of a loader.
#[derive(Debug)]
pub struct Pipeline {
    preprocess: Preprocess,
    augment: Augment,
    normalizer: Normalizer,
}

impl Pipeline {
    /// `mean_image` is required for [`Mean::Image`](crate::Mean::Image), and ignored otherwise.
    ///
    /// # Errors
    /// [`Error::Setting`] if a value of `preprocess` or `augment` is out of range, or if the mean image is missing or has
    /// the wrong size.
    pub fn new(preprocess: Preprocess, augment: Augment, mean_image: Option<Arc<MeanImage>>) -> Result<Self, Error> {
        preprocess.validate()?;
        augment.validate()?;
        Ok(Self { preprocess, augment, normalizer: Normalizer::new(&preprocess, mean_image)? })
    }

    /// The preprocessing.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The augmentation of [`Views::Random`].
    pub fn augment(&self) -> &Augment {
        &self.augment
    }

    /// The views of sample `index`; seed, epoch and index affect only [`Views::Random`].
    pub fn views(&self, views: Views, seed: u64, epoch: u32, index: u32) -> Vec<View> {
        let (border, centering) = (self.preprocess.border(), self.preprocess.centering);
        match views {
            Views::Random => vec![self.augment.view(seed, epoch, index, &self.preprocess)],
            Views::Center => vec![View::center(border, centering)],
            Views::Ten => View::ten(border, centering).to_vec(),
        }
    }

    /// Writes the views of an image to `output`, `[views, 3, crop_size, crop_size]`.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Sample`] if the image cannot be used; [`Error::Setting`] if `output` has the wrong
    /// length or a view lies outside the square. After an error, the content of `output` is unspecified.
    pub fn load_into(
        &self,
        from: &Location,
        views: &[View],
        scratch: &mut Scratch,
        output: &mut [f32],
    ) -> Result<(), Error> {
        self.render(from, views, scratch, output, |square, at, view, output| {
            self.normalizer.write(square, at, view, output);
            if let Some(erased) = &view.erased {
                erased.apply(output, self.preprocess.crop_size as usize);
            }
        })
    }

    /// Writes the views of an image as bytes to `output`, `[views, crop_size, crop_size, 3]`, red, green and blue, not yet
    /// flipped; [`Pipeline::numbers`] gives their normalization. Nothing is erased: erasing follows normalization.
    ///
    /// # Errors
    /// Same as [`Pipeline::load_into`].
    pub fn load_bytes_into(
        &self,
        from: &Location,
        views: &[View],
        scratch: &mut Scratch,
        output: &mut [u8],
    ) -> Result<(), Error> {
        let side = self.preprocess.crop_size as usize;
        self.render(from, views, scratch, output, |square, [x, y], _, output| {
            for (row, line) in output.chunks_exact_mut(3 * side).enumerate() {
                line.copy_from_slice(square.row(y + row, x, side));
            }
        })
    }

    /// The normalization that turns the bytes of a view into the output of [`Pipeline::load_into`].
    pub fn numbers(&self, view: &View) -> ViewNumbers {
        self.normalizer.numbers(view)
    }

    /// The mean image to subtract, if any: `[3, size, size]` in the network's channel order and scale, and its size.
    pub fn scaled_mean(&self) -> Option<(&[f32], usize)> {
        self.normalizer.scaled_mean()
    }

    /// Renders the views of an image one after the other: calls `write` with the square that the view is cut from, its
    /// position (column, row), the view and its part of `output`.
    fn render<T>(
        &self,
        from: &Location,
        views: &[View],
        scratch: &mut Scratch,
        output: &mut [T],
        write: impl Fn(&Square<'_>, [usize; 2], &View, &mut [T]),
    ) -> Result<(), Error> {
        let (length, border) = (self.preprocess.view_len(), self.preprocess.border());
        if output.len() != length * views.len() {
            let rule = format!("{} views of {length} numbers are to be written", views.len());
            return Err(Error::setting("length of the output", output.len(), rule));
        }
        if let Some(view) = views.iter().find(|view| view.x > border || view.y > border) {
            let rule = format!("x and y must be at most {border}");
            return Err(Error::setting("view", format!("at ({}, {})", view.x, view.y), rule));
        }
        scratch.shrink();
        let Scratch { file, decoded, resized, resizer, part, view: pixels } = scratch;
        let image = from.image(file, decoded)?;
        let in_file = |error: Error| error.in_file(&from.path());
        let side = self.preprocess.crop_size;
        // The square is computed once, and only if a view is cut from it.
        let square = match views.iter().any(|view| view.resized_crop.is_none()) {
            true => Some(self.preprocess.square(image, resizer, resized).map_err(in_file)?),
            false => None,
        };
        for (view, output) in views.iter().zip(output.chunks_exact_mut(length)) {
            let mut from = [view.x as usize, view.y as usize];
            let mut source = square;
            if let Some(crop) = view.resized_crop {
                self.preprocess.resized_crop(image, crop, resizer, part, pixels).map_err(in_file)?;
                (source, from) = (None, [0, 0]);
            }
            if view.color_changes.iter().any(Option::is_some) {
                if let Some(square) = source.take() {
                    square.copy_window(Window { x: view.x, y: view.y, width: side, height: side }, pixels);
                    from = [0, 0];
                }
                view.color_changes.iter().flatten().for_each(|change| change.apply(&mut pixels.pixels));
            }
            let source = source.unwrap_or(Square::new(&*pixels, 0, 0));
            write(&source, from, view, output);
        }
        Ok(())
    }

    /// The views of a single image, `[views, 3, crop_size, crop_size]`, for predictions. The image is a file, or is in a
    /// shard or Parquet file and has the path given by [`Location::path`]. [`Views::Random`] uses seed 0, epoch 0, index 0.
    ///
    /// # Errors
    /// Those of [`Location::find`] and [`Pipeline::load_into`].
    pub fn load(&self, path: &Path, views: Views) -> Result<Vec<f32>, Error> {
        let views = self.views(views, 0, 0, 0);
        let mut output = vec![0.0; views.len() * self.preprocess.view_len()];
        self.load_into(&Location::find(path)?, &views, &mut Scratch::default(), &mut output)?;
        Ok(output)
    }
}
