//! Normalization of a view from bytes to network input: channel order, scale, mean, standard deviation.

use std::sync::Arc;

use crate::augment::view::View;
use crate::square::Square;
use crate::{Error, Mean, MeanImage, Preprocess};

/// The values of a [`Preprocess`] in the form used by the innermost loop; all arrays are in output channel order.
#[derive(Debug)]
pub(crate) struct Normalizer {
    crop_size: usize,
    /// Maps an output channel to a channel of the image.
    source_channel: [usize; 3],
    /// Scale divided by standard deviation.
    gain: [f32; 3],
    /// Negative mean divided by standard deviation.
    offset: [f32; 3],
    mean: Option<ScaledMean>,
}

#[derive(Debug)]
struct ScaledMean {
    /// `[3, size, size]`, multiplied by `gain`.
    values: Vec<f32>,
    size: usize,
    /// Row and column of the mean image's center crop, used for views that have no position in the square, or if the mean
    /// is not aligned with the crop.
    center: usize,
    /// Whether the part of the mean image is at the position of the crop.
    at_crop: bool,
}

impl Normalizer {
    pub(crate) fn new(preprocess: &Preprocess, mean_image: Option<Arc<MeanImage>>) -> Result<Self, Error> {
        let source_channel = preprocess.channel_order.of_rgb();
        let std = source_channel.map(|channel| preprocess.std[channel]);
        let gain = std.map(|std| preprocess.scale.factor() / std);
        let mut offset = [0.0; 3];
        let mut mean = None;
        match preprocess.mean {
            Mean::None => {}
            Mean::Channels(values) => offset = [0, 1, 2].map(|c| -values[source_channel[c]] / std[c]),
            Mean::CenterOfImage | Mean::Image => {
                let rule = "the mean image of the training set must be given with it";
                let image = mean_image.ok_or_else(|| Error::setting("mean", "image", rule))?;
                let (size, wanted) = (image.size as usize, preprocess.source_size as usize);
                if size != wanted || image.values.len() != 3 * size * size {
                    let rule = format!("the preprocessing cuts squares of {wanted} pixels");
                    return Err(Error::setting("size of the mean image", size, rule));
                }
                let plane = |c: usize| image.values[source_channel[c] * size * size..][..size * size].iter();
                let scaled = |c: usize| plane(c).map(move |value| value * gain[c]);
                let values = scaled(0).chain(scaled(1)).chain(scaled(2)).collect();
                let center = preprocess.centering.offset(preprocess.border()) as usize;
                mean = Some(ScaledMean { values, size, center, at_crop: preprocess.mean == Mean::Image });
            }
        }
        Ok(Self { crop_size: preprocess.crop_size as usize, source_channel, gain, offset, mean })
    }

    /// Writes one view, `[3, crop_size, crop_size]`, in one pass over its bytes, which start at column `x` and row `y` of
    /// `square`, with the SIMD instructions that the CPU supports.
    pub(crate) fn write(&self, square: &Square<'_>, from: [usize; 2], view: &View, output: &mut [f32]) {
        pulp::Arch::new().dispatch(Write { normalizer: self, square, from, view, output });
    }
}

/// The arguments of [`Normalizer::write`], compiled once per SIMD instruction set.
struct Write<'a> {
    normalizer: &'a Normalizer,
    square: &'a Square<'a>,
    from: [usize; 2],
    view: &'a View,
    output: &'a mut [f32],
}

impl pulp::WithSimd for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { normalizer, square, from, view, output } = self;
        normalizer.write_rows(square, from, view, output);
    }
}

/// The normalization of one view from bytes to network input; all arrays are in output channel order.
///
/// Channel c at (row, column) is `byte · scale[c] + offset[c]`, with the column counted from the right if `flip`. If there
/// is a mean image, `mean[c, mean_at[1] + row, mean_at[0] + column] / divisor` is subtracted, with the column counted from
/// the right if `flip_mean`. The mean image is [`Pipeline::scaled_mean`](crate::Pipeline::scaled_mean).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewNumbers {
    /// Factor of the bytes.
    pub scale: [f32; 3],
    /// Added to the scaled bytes.
    pub offset: [f32; 3],
    /// Divisor of the mean image.
    pub divisor: f32,
    /// Column and row of the view's part of the mean image.
    pub mean_at: [u32; 2],
    /// Whether the view is flipped horizontally.
    pub flip: bool,
    /// Whether the mean image is flipped horizontally.
    pub flip_mean: bool,
}

impl Normalizer {
    /// The normalization of a view.
    pub(crate) fn numbers(&self, view: &View) -> ViewNumbers {
        let (shift, divisor) = view.color_shift.map_or(([0.0; 3], 1.0), |noise| (noise.shift, noise.divisor));
        let at_crop = self.mean.as_ref().is_some_and(|mean| mean.at_crop);
        let center = self.mean.as_ref().map_or(0, |mean| mean.center as u32);
        ViewNumbers {
            scale: self.gain.map(|gain| gain / divisor),
            offset: [0, 1, 2].map(|c| (self.offset[c] + shift[self.source_channel[c]] * self.gain[c]) / divisor),
            divisor,
            mean_at: if at_crop && view.resized_crop.is_none() { [view.x, view.y] } else { [center; 2] },
            flip: view.flip,
            flip_mean: view.flip && at_crop,
        }
    }

    /// The mean image, `[3, size, size]`, in the network's channel order and scale, and its size.
    pub(crate) fn scaled_mean(&self) -> Option<(&[f32], usize)> {
        self.mean.as_ref().map(|mean| (mean.values.as_slice(), mean.size))
    }

    #[inline(always)]
    fn write_rows(&self, square: &Square<'_>, [x, y]: [usize; 2], view: &View, output: &mut [f32]) {
        let crop = self.crop_size;
        let ViewNumbers { scale, offset, divisor, mean_at, flip, flip_mean } = self.numbers(view);
        // Each channel order is its own inverse, so `source_channel` also maps an image channel to its output plane.
        let [red, green, blue] = self.source_channel;
        let mut planes = [[].as_mut_slice(), [].as_mut_slice(), [].as_mut_slice()];
        for (plane, part) in planes.iter_mut().zip(output.chunks_exact_mut(crop * crop)) {
            *plane = part;
        }
        for row in 0..crop {
            let [first, second, third] = &mut planes;
            let mut lines = [first, second, third].map(|plane| &mut plane[row * crop..(row + 1) * crop]);
            let mut colors = lines.each_mut();
            if red != 0 {
                colors.swap(0, 2);
            }
            let scales = [red, green, blue].map(|c| (scale[c], offset[c]));
            deinterleave(square.row(y + row, x, crop), colors.map(|line| &mut **line), scales);
            if flip {
                lines.iter_mut().for_each(|line| line.reverse());
            }
            let Some(mean) = &self.mean else { continue };
            let [mean_x, mean_y] = mean_at.map(|at| at as usize);
            for (c, line) in lines.iter_mut().enumerate() {
                let part = &mean.values[(c * mean.size + mean_y + row) * mean.size + mean_x..][..crop];
                if flip_mean {
                    line.iter_mut().rev().zip(part).for_each(|(out, mean)| *out -= mean / divisor);
                } else {
                    line.iter_mut().zip(part).for_each(|(out, mean)| *out -= mean / divisor);
                }
            }
        }
    }
}

/// Pixels deinterleaved at once: three vectors of bytes.
const PIXELS: usize = 16;

/// Writes red, green and blue, with `(scale, offset)` applied, to one line each. Lengths and offsets of the blocks are
/// constant, so that the compiler vectorizes the loop; its speed is limited by memory bandwidth.
#[inline(always)]
fn deinterleave(pixels: &[u8], [red, green, blue]: [&mut [f32]; 3], scales: [(f32, f32); 3]) {
    let (blocks, rest) = pixels.as_chunks::<{ 3 * PIXELS }>();
    let lines = [red, green, blue].map(|line| line.as_chunks_mut::<PIXELS>());
    let [(red, red_rest), (green, green_rest), (blue, blue_rest)] = lines;
    for (((block, red), green), blue) in blocks.iter().zip(red).zip(green).zip(blue) {
        *red = std::array::from_fn(|i| f32::from(block[3 * i]) * scales[0].0 + scales[0].1);
        *green = std::array::from_fn(|i| f32::from(block[3 * i + 1]) * scales[1].0 + scales[1].1);
        *blue = std::array::from_fn(|i| f32::from(block[3 * i + 2]) * scales[2].0 + scales[2].1);
    }
    for (c, line) in [red_rest, green_rest, blue_rest].into_iter().enumerate() {
        for (out, pixel) in line.iter_mut().zip(rest.chunks_exact(3)) {
            *out = f32::from(pixel[c]) * scales[c].0 + scales[c].1;
        }
    }
}
