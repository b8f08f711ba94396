//! The fast path: a sum over a square is a sum over rows of sums over columns, for all channels of a pixel at once.

use super::ContrastNormParams;
use crate::parallel::{self, Shared};
use crate::scratch;

/// The image sizes and the reach of a window.
#[derive(Clone, Copy)]
struct Windows {
    h: usize,
    w: usize,
    c: usize,
    before: usize,
    after: usize,
}

/// Computes y, or with `grad_y` the gradient of x.
pub(super) fn run(
    (n, h, w, c): (usize, usize, usize, usize),
    params: &ContrastNormParams,
    x: &[f32],
    grad_y: Option<&[f32]>,
    out: &mut [f32],
) {
    let len = h * w * c;
    let (before, after) = params.reach();
    let windows = Windows { h, w, c, before, after };
    let out = Shared::new(out);
    parallel::for_each(n, |image| {
        let range = image * len..(image + 1) * len;
        let x = &x[range.clone()];
        // SAFETY: one part per image.
        let out = unsafe { out.slice(range.clone()) };
        let mut deviations = scratch::take(len);
        let mut terms = scratch::take(len);

        windows.sums(x, |at, pixel, sums| {
            let area = windows.area(pixel);
            let values = deviations[at..at + c].iter_mut().zip(&x[at..at + c]).zip(sums);
            values.for_each(|((deviation, x), sum)| *deviation = x - sum / area);
        });
        terms.iter_mut().zip(&*deviations).for_each(|(square, deviation)| *square = deviation * deviation);
        windows.sums(&terms, |at, _, sums| {
            out[at..at + c].iter_mut().zip(sums).for_each(|(d, sum)| *d = 1.0 + params.alpha * sum);
        });
        // Now `out` holds D.
        let Some(grad_y) = grad_y.map(|g| &g[range]) else {
            out.iter_mut().zip(x).for_each(|(out, x)| *out = x * inverse(*out, params.beta));
            return;
        };
        for (((out, term), x), g) in out.iter_mut().zip(&mut *terms).zip(x).zip(grad_y) {
            let scaled = g * inverse(*out, params.beta);
            *term = scaled * x / *out;
            *out = scaled;
        }
        // The windows that contain a pixel are those of the pixels in its mirrored window.
        let mirrored = Windows { before: after, after: before, ..windows };
        let factor = -2.0 * params.alpha * params.beta;
        mirrored.sums(&terms, |at, _, sums| {
            let values = deviations[at..at + c].iter_mut().zip(sums).zip(&mut out[at..at + c]);
            values.for_each(|((deviation, sum), out)| {
                *deviation *= factor * sum;
                *out += *deviation;
            });
        });
        for (pixel, values) in deviations.chunks_exact_mut(c.max(1)).enumerate() {
            let share = -1.0 / windows.area(pixel);
            values.iter_mut().for_each(|value| *value *= share);
        }
        mirrored.sums(&deviations, |at, _, sums| {
            out[at..at + c].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        });
    });
}

impl Windows {
    /// The number of pixels in the window of a pixel.
    fn area(&self, pixel: usize) -> f32 {
        let length = |at: usize, size: usize| (at + self.after + 1).min(size) - at.saturating_sub(self.before);
        (length(pixel / self.w, self.h) * length(pixel % self.w, self.w)) as f32
    }

    /// Calls `f(first value, pixel, sums)` for every pixel, with the sums of `values` over its window for each channel.
    fn sums(&self, values: &[f32], mut f: impl FnMut(usize, usize, &[f32])) {
        let Self { h, w, c, before, after } = *self;
        let row = w * c;
        let (mut column_sums, mut sums) = (scratch::take(row), scratch::take(c));
        for i in 0..h {
            column_sums.fill(0.0);
            for u in i.saturating_sub(before)..(i + after + 1).min(h) {
                column_sums.iter_mut().zip(&values[u * row..(u + 1) * row]).for_each(|(sum, value)| *sum += value);
            }
            for j in 0..w {
                sums.fill(0.0);
                for v in j.saturating_sub(before)..(j + after + 1).min(w) {
                    sums.iter_mut().zip(&column_sums[v * c..(v + 1) * c]).for_each(|(sum, value)| *sum += value);
                }
                f((i * w + j) * c, i * w + j, &sums);
            }
        }
    }
}

/// `d^−beta`, computed with square roots for the exponent 0.75.
#[inline(always)]
fn inverse(d: f32, beta: f32) -> f32 {
    if beta == 0.75 {
        let root = d.sqrt();
        1.0 / (root * root.sqrt())
    } else {
        d.powf(-beta)
    }
}
