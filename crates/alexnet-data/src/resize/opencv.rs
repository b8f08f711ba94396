//! OpenCV's `INTER_AREA` and `INTER_CUBIC`, used by cuda-convnet2 to prepare ImageNet.
//!
//! `fast_image_resize` has neither: its box filter weights whole pixels where OpenCV weights covered area, it rounds to
//! bytes between the two passes, and it truncates the kernel at the border where OpenCV repeats the border pixel.

use std::ops::Range;

use super::Window;
use crate::RgbRef8;

/// The source pixels along one axis that contribute to an output pixel, and their weights, which sum to 1.
struct Taps {
    range: Range<usize>,
    weights: Vec<f32>,
}

/// Area averaging if no side is enlarged, cubic otherwise. `output` has `window.height * window.width * 3` bytes,
/// `row` is working memory.
pub(super) fn resize(image: RgbRef8<'_>, size: (u32, u32), window: Window, row: &mut Vec<f32>, output: &mut [u8]) {
    let taps = if size.0 <= image.width && size.1 <= image.height { area } else { cubic };
    let along = |source: u32, resized: u32, start: u32, length: u32| -> Vec<Taps> {
        let scale = f64::from(source) / f64::from(resized);
        (start..start + length).map(|position| taps(position, scale, source as usize)).collect()
    };
    let columns = along(image.width, size.0, window.x, window.width);
    let rows = along(image.height, size.1, window.y, window.height);
    let (Some(left), Some(right)) = (columns.first(), columns.last()) else { return };
    let (left, right) = (left.range.start, right.range.end);
    let stride = image.width as usize * 3;
    for (taps, output) in rows.iter().zip(output.chunks_exact_mut(window.width as usize * 3)) {
        row.clear();
        row.resize((right - left) * 3, 0.0);
        for (y, &weight) in taps.range.clone().zip(&taps.weights) {
            let source = &image.pixels[y * stride + left * 3..y * stride + right * 3];
            for (sum, &value) in row.iter_mut().zip(source) {
                *sum += weight * f32::from(value);
            }
        }
        for (taps, pixel) in columns.iter().zip(output.chunks_exact_mut(3)) {
            let source = &row[(taps.range.start - left) * 3..(taps.range.end - left) * 3];
            let mut sums = [0.5; 3];
            for (value, &weight) in source.chunks_exact(3).zip(&taps.weights) {
                for (sum, &value) in sums.iter_mut().zip(value) {
                    *sum += weight * value;
                }
            }
            for (pixel, sum) in pixel.iter_mut().zip(sums) {
                // The cast saturates if the cubic overshoots.
                *pixel = sum as u8;
            }
        }
    }
}

/// The mean over the part of the source covered by the output pixel, including fractions of pixels.
fn area(position: u32, scale: f64, source: usize) -> Taps {
    let (from, to) = (f64::from(position) * scale, (f64::from(position) + 1.0) * scale);
    let range = from as usize..(to.ceil() as usize).min(source);
    let share = |pixel: usize| (to.min(pixel as f64 + 1.0) - from.max(pixel as f64)) / scale;
    let weights = range.clone().map(|pixel| share(pixel) as f32).collect();
    Taps { range, weights }
}

/// Keys' cubic convolution over four pixels, with a = -0.75 (Pillow and Catmull–Rom: -0.5).
fn cubic(position: u32, scale: f64, source: usize) -> Taps {
    const A: f64 = -0.75;
    let weight = |distance: f64| match distance.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
    };
    let center = (f64::from(position) + 0.5) * scale - 0.5;
    let first = center.floor() - 1.0;
    let clamp = |pixel: f64| pixel.clamp(0.0, source as f64 - 1.0) as usize;
    let range = clamp(first)..clamp(first + 3.0) + 1;
    let mut weights = vec![0.0; range.len()];
    for pixel in [first, first + 1.0, first + 2.0, first + 3.0] {
        // Several weights may be added to the border pixel.
        weights[clamp(pixel) - range.start] += weight(pixel - center) as f32;
    }
    Taps { range, weights }
}
