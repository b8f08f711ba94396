//! The fast path: the channels of a pixel are contiguous, so the sum over a window is a few shifted vector loads.

use super::LrnParams;
use crate::backend::CpuIsa;
use crate::parallel::{self, Shared};
use crate::simd::power::{self, Power};
use crate::simd::{Kernel, Simd, dispatch};

/// Minimum number of pixels of a task.
const PIXELS: usize = 64;

pub(super) fn forward(isa: CpuIsa, channels: usize, params: &LrnParams, x: &[f32], y: &mut [f32]) {
    run(isa, channels, params, x, None, y);
}

pub(super) fn backward(
    isa: CpuIsa,
    channels: usize,
    params: &LrnParams,
    x: &[f32],
    grad_y: &[f32],
    grad_x: &mut [f32],
) {
    run(isa, channels, params, x, Some(grad_y), grad_x);
}

fn run(isa: CpuIsa, channels: usize, params: &LrnParams, x: &[f32], grad_y: Option<&[f32]>, out: &mut [f32]) {
    if channels == 0 {
        return;
    }
    let out = Shared::new(out);
    parallel::for_ranges(x.len() / channels, PIXELS, |pixels| {
        let range = pixels.start * channels..pixels.end * channels;
        let (x, grad_y) = (&x[range.clone()], grad_y.map(|g| &g[range.clone()]));
        // SAFETY: one part per range of pixels.
        let out = unsafe { out.slice(range) };
        let group = channels / params.groups;
        match power::of(params.beta) {
            Power::ThreeQuarters => dispatch(isa, Pixels::<true> { params, group, x, grad_y, out }),
            Power::Other => dispatch(isa, Pixels::<false> { params, group, x, grad_y, out }),
        }
    });
}

/// A range of pixels, with all their groups of channels in order.
struct Pixels<'a, const THREE_QUARTERS: bool> {
    params: &'a LrnParams,
    /// Number of channels of a group.
    group: usize,
    x: &'a [f32],
    grad_y: Option<&'a [f32]>,
    out: &'a mut [f32],
}

impl<const THREE_QUARTERS: bool> Kernel for Pixels<'_, THREE_QUARTERS> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { params, group, x, grad_y, out } = self;
        let (before, after) = params.reach();
        // Zeros on both sides represent the channels outside the group; the far side also rounds up to whole vectors.
        let padded = group.next_multiple_of(S::LANES) + params.size;
        let mut squares = vec![0f32; padded];
        let mut terms = vec![0f32; padded];
        for (i, (x, out)) in x.chunks_exact(group).zip(out.chunks_exact_mut(group)).enumerate() {
            for (square, x) in squares[before..].iter_mut().zip(x) {
                *square = x * x;
            }
            // SAFETY: the CPU has the instruction set. Each access is within its slice: `count` values from `c` on in
            // x, grad_y and out, and whole vectors up to `size - 1` channels further in the padded buffers.
            unsafe {
                match grad_y {
                    None => {
                        for c in (0..group).step_by(S::LANES) {
                            let count = S::LANES.min(group - c);
                            let d = denominators::<S>(&squares, c, params);
                            let scale = power::inverse::<S, THREE_QUARTERS>(d, params.beta);
                            let x = S::load_partial(x.as_ptr().add(c), count);
                            S::store_partial(out.as_mut_ptr().add(c), S::mul(x, scale), count);
                        }
                    }
                    Some(grad_y) => {
                        let grad_y = &grad_y[i * group..(i + 1) * group];
                        // Channel c is in the windows of channels c − after to c + before: its mirrored window.
                        for c in (0..group).step_by(S::LANES) {
                            let count = S::LANES.min(group - c);
                            let d = denominators::<S>(&squares, c, params);
                            let scale = power::inverse::<S, THREE_QUARTERS>(d, params.beta);
                            let x = S::load_partial(x.as_ptr().add(c), count);
                            let g = S::load_partial(grad_y.as_ptr().add(c), count);
                            let scaled = S::mul(g, scale);
                            S::store_partial(out.as_mut_ptr().add(c), scaled, count);
                            let term = S::div(S::mul(scaled, x), d);
                            S::store_partial(terms.as_mut_ptr().add(after + c), term, count);
                        }
                        let factor = S::splat(-2.0 * params.alpha * params.beta);
                        for c in (0..group).step_by(S::LANES) {
                            let count = S::LANES.min(group - c);
                            let sum = window_sum::<S>(&terms, c, params.size);
                            let x = S::load_partial(x.as_ptr().add(c), count);
                            let out = out.as_mut_ptr().add(c);
                            let grad = S::mul_add(S::mul(factor, x), sum, S::load_partial(out, count));
                            S::store_partial(out, grad, count);
                        }
                    }
                }
            }
        }
    }
}

/// Σ of `size` neighbors for each channel from `c` on.
///
/// # Safety
/// `padded` has a vector and `size - 1` more values from `c` on.
#[inline(always)]
unsafe fn window_sum<S: Simd>(padded: &[f32], c: usize, size: usize) -> S::F32 {
    assert!(c + size - 1 + S::LANES <= padded.len());
    // SAFETY: the caller's contract.
    unsafe {
        let start = padded.as_ptr().add(c);
        let mut sum = S::load(start);
        for j in 1..size {
            sum = S::add(sum, S::load(start.add(j)));
        }
        sum
    }
}

/// D = k + alpha · Σ squares.
///
/// # Safety
/// As [`window_sum`].
#[inline(always)]
unsafe fn denominators<S: Simd>(squares: &[f32], c: usize, params: &LrnParams) -> S::F32 {
    // SAFETY: the caller's contract.
    unsafe { S::mul_add(S::splat(params.alpha), window_sum::<S>(squares, c, params.size), S::splat(params.k)) }
}
