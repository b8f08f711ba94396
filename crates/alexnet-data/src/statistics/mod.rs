//! Statistics of a training set: the mean image and the principal components of its colors.

pub(crate) mod cache;
mod eigen;

use std::path::Path;
use std::sync::Arc;

use crate::augment::color_noise::ColorNoise;
use crate::pipeline::Scratch;
use crate::square::Square;
use crate::{Error, MeanImage, Preprocess, Sample, parallel};

pub use cache::CacheOutcome;

/// Statistics of the squares that the preprocessing crops from the training images, before views are cropped.
///
/// All values are derived from integer sums, so the result is the same for any number of threads.
///
/// # Source
/// Krizhevsky et al. 2012, section 2 (mean) and section 4.1 (principal components of the RGB values of all pixels).
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Number of images used.
    pub images: u64,
    /// Number of images that could not be used.
    pub skipped: u64,
    /// Mean of each pixel, 0–255.
    pub mean_image: Arc<MeanImage>,
    /// Mean of all pixels: red, green, blue, 0–255.
    pub mean: [f64; 3],
    /// Population covariance (divided by n) of the colors of all pixels.
    pub covariance: [[f64; 3]; 3],
    /// Standard deviations along the components, the square roots of the covariance's eigenvalues, largest first.
    pub std_devs: [f64; 3],
    /// Unit eigenvectors of the covariance, in the same order. An eigenvector's sign is arbitrary: here the component of
    /// largest magnitude is positive.
    pub components: [[f64; 3]; 3],
}

impl Statistics {
    /// Reads every image once. Images that cannot be used are skipped and counted.
    ///
    /// `progress` is called with the number of images done and the total.
    ///
    /// # Errors
    /// [`Error::NoUsableImage`], [`Error::Setting`].
    pub fn compute(
        samples: &[Sample],
        preprocess: &Preprocess,
        workers: usize,
        progress: &dyn Fn(usize, usize),
    ) -> Result<Self, Error> {
        Ok(Sums::compute(samples, preprocess, workers, progress)?.statistics())
    }

    /// Like [`compute`](Self::compute), but loads the result of an earlier run from a file in `root` if the files, their
    /// sizes and the rules for resizing and cropping are the same. If the result cannot be stored, the outcome reports this;
    /// it is not an error.
    ///
    /// # Errors
    /// Same as [`compute`](Self::compute).
    pub fn load_or_compute(
        root: &Path,
        samples: &[Sample],
        preprocess: &Preprocess,
        workers: usize,
        progress: &dyn Fn(usize, usize),
    ) -> Result<(Self, CacheOutcome), Error> {
        let key = cache::key(root, samples, preprocess);
        let path = cache::path(root, key);
        if let Some(sums) = cache::read(&path, key, preprocess.source_size) {
            return Ok((sums.statistics(), CacheOutcome::Loaded { path }));
        }
        let sums = Sums::compute(samples, preprocess, workers, progress)?;
        let outcome = match cache::write(&path, key, &sums) {
            Ok(()) => CacheOutcome::Written { path },
            Err(error) => CacheOutcome::NotWritten { path, reason: error.to_string() },
        };
        Ok((sums.statistics(), outcome))
    }

    /// Color noise with these statistics; `strength` was 0.1 in 2012.
    pub fn color_noise(&self, strength: f32) -> ColorNoise {
        ColorNoise {
            std_devs: self.std_devs.map(|value| value as f32),
            components: self.components.map(|component| component.map(|value| value as f32)),
            strength,
        }
    }
}

/// The sums from which all statistics are derived. 64 bits are sufficient for 10^14 pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    size: u32,
    images: u64,
    skipped: u64,
    /// Sums of the products of two channels, in the order of [`PRODUCTS`].
    products: [u64; 6],
    /// Sums of each pixel's channels, interleaved: `[size, size, 3]`.
    pixels: Vec<u64>,
}

const PRODUCTS: [(usize, usize); 6] = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];

impl Sums {
    pub(crate) fn new(size: u32) -> Self {
        let pixels = vec![0; size as usize * size as usize * 3];
        Self { size, images: 0, skipped: 0, products: [0; 6], pixels }
    }

    fn compute(
        samples: &[Sample],
        preprocess: &Preprocess,
        workers: usize,
        progress: &dyn Fn(usize, usize),
    ) -> Result<Self, Error> {
        preprocess.validate()?;
        let size = preprocess.source_size;
        type State = (Sums, Scratch, Option<(usize, String)>);
        let work = |(sums, scratch, first_bad): &mut State, index: usize| {
            match preprocess.load_square(&samples[index].location, scratch) {
                Ok(square) => sums.add(&square),
                Err(error) => {
                    sums.skipped += 1;
                    first_bad.get_or_insert_with(|| (index, error.to_string()));
                }
            }
            Ok(())
        };
        let state = || (Sums::new(size), Scratch::default(), None);
        let states = parallel::for_each(samples.len(), workers, state, work, progress)?;
        let (mut total, mut first_bad) = (Sums::new(size), None);
        for (sums, _, bad) in states {
            total.merge(&sums);
            first_bad = [first_bad, bad].into_iter().flatten().min();
        }
        if total.images == 0 {
            let first = first_bad.map_or_else(|| "there are none".to_owned(), |(_, reason)| reason);
            return Err(Error::NoUsableImage { count: samples.len(), first });
        }
        Ok(total)
    }

    pub(crate) fn add(&mut self, square: &Square<'_>) {
        let size = self.size as usize;
        for (y, sums) in self.pixels.chunks_exact_mut(size * 3).enumerate() {
            let row = square.row(y, 0, size);
            // No overflow for rows of up to 65,536 pixels: 65,536 · 255² < 2^32.
            let mut products = [0_u32; 6];
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += u64::from(value);
            }
            for pixel in row.chunks_exact(3) {
                for (product, (i, j)) in products.iter_mut().zip(PRODUCTS) {
                    *product += u32::from(pixel[i]) * u32::from(pixel[j]);
                }
            }
            for (sum, product) in self.products.iter_mut().zip(products) {
                *sum += u64::from(product);
            }
        }
        self.images += 1;
    }

    /// Number of images counted.
    #[cfg(feature = "prepare")]
    pub(crate) fn images(&self) -> u64 {
        self.images
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.images += other.images;
        self.skipped += other.skipped;
        self.products.iter_mut().zip(other.products).for_each(|(sum, part)| *sum += part);
        self.pixels.iter_mut().zip(&other.pixels).for_each(|(sum, part)| *sum += part);
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let images = self.images as f64;
        let pixel_count = images * (self.pixels.len() / 3) as f64;
        let plane = |c: usize| self.pixels.iter().skip(c).step_by(3);
        let values = (0..3).flat_map(|c| plane(c).map(|&sum| (sum as f64 / images) as f32)).collect();
        let totals = [0, 1, 2].map(|c| plane(c).sum::<u64>() as f64);
        let mean = totals.map(|total| total / pixel_count);
        let mut covariance = [[0.0; 3]; 3];
        for ((i, j), product) in PRODUCTS.into_iter().zip(self.products) {
            covariance[i][j] = product as f64 / pixel_count - mean[i] * mean[j];
            covariance[j][i] = covariance[i][j];
        }
        let (variances, components) = eigen::symmetric(covariance);
        Statistics {
            images: self.images,
            skipped: self.skipped,
            mean_image: Arc::new(MeanImage { size: self.size, values }),
            mean,
            covariance,
            // Rounding can make a zero variance slightly negative.
            std_devs: variances.map(|variance| variance.max(0.0).sqrt()),
            components,
        }
    }
}

#[cfg(test)]
mod tests;
