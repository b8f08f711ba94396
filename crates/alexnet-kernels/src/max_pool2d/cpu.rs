//! The fast path: sixteen channels of one output pixel at a time, its window's pixels one after the other.

use crate::backend::CpuIsa;
use crate::parallel::{self, Shared};
use crate::pool2d::Pool2dShape;
use crate::simd::{Kernel, Simd, dispatch};

const LANES: usize = 16;

/// A position in a window.
pub(super) trait Index: Copy + Default + Send + Sync {
    fn new(position: usize) -> Self;
    fn position(self) -> usize;
}

impl Index for u8 {
    fn new(position: usize) -> Self {
        position as u8
    }
    fn position(self) -> usize {
        self.into()
    }
}

impl Index for u32 {
    fn new(position: usize) -> Self {
        position as u32
    }
    fn position(self) -> usize {
        self as usize
    }
}

/// Fills `y` and, unless it is empty, `indices`.
pub(super) fn forward<I: Index>(isa: CpuIsa, s: &Pool2dShape, x: &[f32], y: &mut [f32], indices: &mut [I]) {
    let row_len = s.ow * s.c;
    let with_indices = !indices.is_empty();
    let (y, indices) = (Shared::new(y), Shared::new(indices));
    parallel::for_ranges(s.n * s.oh, 1, |rows| {
        for row in rows {
            let (image, i) = (row / s.oh, row % s.oh);
            let range = row * row_len..(row + 1) * row_len;
            // SAFETY: one part per output row.
            let y = unsafe { y.slice(range.clone()) };
            // SAFETY: as above; an empty slice is asked for nothing.
            let indices = unsafe { indices.slice(if with_indices { range } else { 0..0 }) };
            let x = &x[image * s.input_len()..(image + 1) * s.input_len()];
            dispatch(isa, Row { s, i, x, y, indices });
        }
    });
}

/// One row of output pixels.
struct Row<'a, I> {
    s: &'a Pool2dShape,
    i: usize,
    x: &'a [f32],
    y: &'a mut [f32],
    indices: &'a mut [I],
}

impl<I: Index> Kernel for Row<'_, I> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { s, i, x, y, indices } = self;
        let (rows, above) = s.params.window(i, s.h);
        for j in 0..s.ow {
            let (columns, before) = s.params.window(j, s.w);
            for channel in (0..s.c).step_by(LANES) {
                let count = LANES.min(s.c - channel);
                let mut best = [f32::NEG_INFINITY; LANES];
                let mut at = [I::new(above * s.params.kernel_size + before); LANES];
                for (u, row) in rows.clone().enumerate() {
                    for (v, column) in columns.clone().enumerate() {
                        let position = I::new((above + u) * s.params.kernel_size + before + v);
                        let pixel = &x[(row * s.w + column) * s.c + channel..][..count];
                        if let Some(pixel) = pixel.first_chunk::<LANES>() {
                            take_greater(pixel, position, &mut best, &mut at);
                        } else {
                            take_greater(pixel, position, &mut best, &mut at);
                        }
                    }
                }
                let start = j * s.c + channel;
                y[start..start + count].copy_from_slice(&best[..count]);
                if !indices.is_empty() {
                    indices[start..start + count].copy_from_slice(&at[..count]);
                }
            }
        }
    }
}

#[inline(always)]
fn take_greater<I: Index>(pixel: &[f32], position: I, best: &mut [f32; LANES], at: &mut [I; LANES]) {
    for ((&value, best), at) in pixel.iter().zip(best).zip(at) {
        // The first NaN stays: nothing is greater than it, and it is not taken again.
        let greater = value > *best || (value.is_nan() & !best.is_nan());
        *best = if greater { value } else { *best };
        *at = if greater { position } else { *at };
    }
}

/// Adds each value of `grad_y` to the pixel its maximum came from.
pub(super) fn backward<I: Index>(s: &Pool2dShape, grad_y: &[f32], indices: &[I], grad_x: &mut [f32]) {
    let grad_x = Shared::new(grad_x);
    parallel::for_each(s.n, |image| {
        // SAFETY: one part per image.
        let grad_x = unsafe { grad_x.slice(image * s.input_len()..(image + 1) * s.input_len()) };
        grad_x.fill(0.0);
        let outputs = image * s.output_len()..(image + 1) * s.output_len();
        let (grad_y, indices) = (&grad_y[outputs.clone()], &indices[outputs]);
        let pixels = grad_y.chunks_exact(s.c).zip(indices.chunks_exact(s.c));
        for (pixel, (grad_y, indices)) in pixels.enumerate() {
            let (i, j) = (pixel / s.ow, pixel % s.ow);
            // The window's corner; in the padding it lies before the image, but no maximum does.
            let corner = ((i * s.params.stride) * s.w + j * s.params.stride) * s.c;
            let back = s.params.padding * (s.w + 1) * s.c;
            for (channel, (g, index)) in grad_y.iter().zip(indices).enumerate() {
                let position = index.position();
                let (u, v) = (position / s.params.kernel_size, position % s.params.kernel_size);
                grad_x[corner + (u * s.w + v) * s.c + channel - back] += g;
            }
        }
    });
}
