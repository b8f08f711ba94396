//! The fast path: one pass over memory for the statistics and one to normalize, all channels of a pixel at a time.
//!
//! Loops run over neighboring channels of a pixel, so the compiler vectorizes them, in the instruction set selected by
//! [`dispatch`]. No sum runs across a vector, so all instruction sets give the same bits.

use super::{BatchNorm2dParams, Rows};
use crate::backend::CpuIsa;
use crate::parallel::{self, Shared};
use crate::simd::{Kernel, Simd, dispatch};

/// Pixels summed in `f32`: few enough to be still in the cache when they are read again for their deviations.
const BLOCK: usize = 64;
/// Pixels of a task: a multiple of the block.
const PART: usize = 8 * BLOCK;
/// Minimum number of pixels of a task where nothing is summed.
const PIXELS: usize = 64;

pub(super) fn inverse_std(variance: f64, eps: f32) -> f32 {
    (1.0 / (variance + f64::from(eps)).sqrt()) as f32
}

/// Means and sums of squared deviations of each part, combined in `f64` in the order of the parts (Chan, Golub and
/// LeVeque 1979).
pub(super) fn batch_statistics(
    isa: CpuIsa,
    Rows { rows, channels }: Rows,
    params: &BatchNorm2dParams,
    x: &[f32],
    [running_mean, running_variance]: [&mut [f32]; 2],
    [mean, inverse]: [&mut [f32]; 2],
) {
    let parts = rows.div_ceil(PART);
    let mut moments = vec![0f64; parts * 2 * channels];
    let shared = Shared::new(&mut moments);
    parallel::for_each(parts, |part| {
        // SAFETY: one slice per part.
        let moments = unsafe { shared.slice(part * 2 * channels..(part + 1) * 2 * channels) };
        let x = &x[part * PART * channels..rows.min((part + 1) * PART) * channels];
        dispatch(isa, Moments { x, channels, moments });
    });
    let (first, others) = moments.split_at_mut(2 * channels);
    let mut count = PART.min(rows);
    for other in others.chunks_exact(2 * channels) {
        let more = PART.min(rows - count);
        merge(first, count as f64, other, more as f64);
        count += more;
    }
    let momentum = f64::from(params.momentum);
    let mix = |running: &mut f32, new: f64| {
        *running = ((1.0 - momentum) * f64::from(*running) + momentum * new) as f32;
    };
    (0..channels).for_each(|c| {
        let (m, squares) = (first[c], first[channels + c]);
        mean[c] = m as f32;
        inverse[c] = inverse_std(squares / rows as f64, params.eps);
        mix(&mut running_mean[c], m);
        mix(&mut running_variance[c], squares / (rows as f64 - 1.0));
    });
}

/// Adds the moments of `more` values to those of `count`: means, then sums of squared deviations from them.
#[inline(always)]
fn merge(moments: &mut [f64], count: f64, other: &[f64], more: f64) {
    let channels = moments.len() / 2;
    let (means, squares) = moments.split_at_mut(channels);
    let share = more / (count + more);
    for (((mean, square), other_mean), other_square) in
        means.iter_mut().zip(squares).zip(&other[..channels]).zip(&other[channels..])
    {
        let difference = other_mean - *mean;
        *mean += difference * share;
        *square += other_square + difference * difference * count * share;
    }
}

/// The moments of one part, block by block.
struct Moments<'a> {
    x: &'a [f32],
    channels: usize,
    moments: &'a mut [f64],
}

impl Kernel for Moments<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { x, channels, moments } = self;
        let (mut means, mut sums, mut squares) = (vec![0f32; channels], vec![0f32; channels], vec![0f32; channels]);
        let mut of_block = vec![0f64; 2 * channels];
        let mut count = 0.0;
        for block in x.chunks(BLOCK * channels) {
            let rows = (block.len() / channels) as f32;
            means.fill(0.0);
            for x in block.chunks_exact(channels) {
                means.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
            }
            means.iter_mut().for_each(|sum| *sum /= rows);
            sums.fill(0.0);
            squares.fill(0.0);
            for x in block.chunks_exact(channels) {
                for (((sum, square), x), mean) in sums.iter_mut().zip(&mut squares).zip(x).zip(&means) {
                    let deviation = x - mean;
                    *sum += deviation;
                    *square += deviation * deviation;
                }
            }
            // The sum of the deviations corrects the rounding error of the mean.
            let rows = f64::from(rows);
            (0..channels).for_each(|c| {
                let (sum, square) = (f64::from(sums[c]), f64::from(squares[c]));
                of_block[c] = f64::from(means[c]) + sum / rows;
                of_block[channels + c] = square - sum * sum / rows;
            });
            merge(moments, count, &of_block, rows);
            count += rows;
        }
    }
}

pub(super) fn normalize(isa: CpuIsa, x: &[f32], [mean, inverse, weight, bias]: [&[f32]; 4], y: &mut [f32]) {
    let scale: Vec<f32> = inverse.iter().zip(weight).map(|(inverse, weight)| inverse * weight).collect();
    let (channels, y) = (mean.len(), Shared::new(y));
    parallel::for_ranges(x.len() / channels, PIXELS, |pixels| {
        let range = pixels.start * channels..pixels.end * channels;
        // SAFETY: one part per range of pixels.
        let y = unsafe { y.slice(range.clone()) };
        dispatch(isa, Normalize { x: &x[range], mean, scale: &scale, bias, y });
    });
}

struct Normalize<'a> {
    x: &'a [f32],
    mean: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { x, mean, scale, bias, y } = self;
        for (x, y) in x.chunks_exact(mean.len()).zip(y.chunks_exact_mut(mean.len())) {
            for ((((y, x), mean), scale), bias) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(bias) {
                // Subtract first: with a mean far from 0, x·scale would lose most digits of the result.
                *y = (x - mean) * scale + bias;
            }
        }
    }
}

/// Σ g and Σ g·x̂ of each channel.
pub(super) fn sums(
    isa: CpuIsa,
    Rows { rows, channels }: Rows,
    x: &[f32],
    grad_y: &[f32],
    [mean, inverse, _]: [&[f32]; 3],
) -> [Vec<f64>; 2] {
    let parts = rows.div_ceil(PART);
    let mut partial = vec![0f64; parts * 2 * channels];
    let shared = Shared::new(&mut partial);
    parallel::for_each(parts, |part| {
        // SAFETY: one slice per part.
        let sums = unsafe { shared.slice(part * 2 * channels..(part + 1) * 2 * channels) };
        let range = part * PART * channels..rows.min((part + 1) * PART) * channels;
        dispatch(isa, Sums { x: &x[range.clone()], grad_y: &grad_y[range], mean, sums });
    });
    let mut sums = [vec![0f64; channels], vec![0f64; channels]];
    for partial in partial.chunks_exact(2 * channels) {
        for (sums, partial) in sums.iter_mut().zip(partial.chunks_exact(channels)) {
            sums.iter_mut().zip(partial).for_each(|(sum, more)| *sum += more);
        }
    }
    sums[1].iter_mut().zip(inverse).for_each(|(sum, &inverse)| *sum *= f64::from(inverse));
    sums
}

/// Σ g and Σ g·(x − mean) of one part.
struct Sums<'a> {
    x: &'a [f32],
    grad_y: &'a [f32],
    mean: &'a [f32],
    sums: &'a mut [f64],
}

impl Kernel for Sums<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { x, grad_y, mean, sums } = self;
        let channels = mean.len();
        let (mut gs, mut products) = (vec![0f32; channels], vec![0f32; channels]);
        for (x, grad_y) in x.chunks(BLOCK * channels).zip(grad_y.chunks(BLOCK * channels)) {
            gs.fill(0.0);
            products.fill(0.0);
            for (x, grad_y) in x.chunks_exact(channels).zip(grad_y.chunks_exact(channels)) {
                for ((((sum, product), x), g), mean) in gs.iter_mut().zip(&mut products).zip(x).zip(grad_y).zip(mean) {
                    *sum += g;
                    *product += g * (x - mean);
                }
            }
            for (sum, &more) in sums.iter_mut().zip(gs.iter().chain(&products)) {
                *sum += f64::from(more);
            }
        }
    }
}

/// The gradient of x; without `sums`, for fixed statistics.
pub(super) fn backward(
    isa: CpuIsa,
    Rows { rows, channels }: Rows,
    x: &[f32],
    grad_y: &[f32],
    [mean, inverse, weight]: [&[f32]; 3],
    sums: Option<&[Vec<f64>; 2]>,
    grad_x: &mut [f32],
) {
    if grad_x.is_empty() {
        return;
    }
    // grad_x = scale·(g − shift − (x − mean)·slope).
    let scale: Vec<f32> = inverse.iter().zip(weight).map(|(inverse, weight)| inverse * weight).collect();
    let (mut shift, mut slope) = (vec![0f32; channels], vec![0f32; channels]);
    if let Some([sum_g, sum_gx]) = sums {
        (0..channels).for_each(|c| {
            shift[c] = (sum_g[c] / rows as f64) as f32;
            slope[c] = (sum_gx[c] * f64::from(inverse[c]) / rows as f64) as f32;
        });
    }
    let grad_x = Shared::new(grad_x);
    parallel::for_ranges(rows, PIXELS, |pixels| {
        let range = pixels.start * channels..pixels.end * channels;
        // SAFETY: one part per range of pixels.
        let grad_x = unsafe { grad_x.slice(range.clone()) };
        let (x, grad_y) = (&x[range.clone()], &grad_y[range]);
        dispatch(isa, Backward { x, grad_y, mean, scale: &scale, shift: &shift, slope: &slope, grad_x });
    });
}

struct Backward<'a> {
    x: &'a [f32],
    grad_y: &'a [f32],
    mean: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    slope: &'a [f32],
    grad_x: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let channels = self.mean.len();
        let pixels = self.x.chunks_exact(channels).zip(self.grad_y.chunks_exact(channels));
        for (grad_x, (x, grad_y)) in self.grad_x.chunks_exact_mut(channels).zip(pixels) {
            let vectors = self.mean.iter().zip(self.scale).zip(self.shift).zip(self.slope);
            for (((grad_x, x), g), (((mean, scale), shift), slope)) in grad_x.iter_mut().zip(x).zip(grad_y).zip(vectors)
            {
                *grad_x = scale * (g - shift - (x - mean) * slope);
            }
        }
    }
}
