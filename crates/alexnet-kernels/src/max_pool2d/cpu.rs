//! The fast path: one vector of channels of one output pixel at a time, over the pixels of its window.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::CpuIsa;
use crate::parallel::{self, Shared};
use crate::pool2d::Pool2dShape;
use crate::simd::{Kernel, Simd, dispatch};

/// Lanes of the widest vector.
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
            // SAFETY: as above; from an empty slice only an empty range is taken.
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
        let kernel_size = s.params.kernel_size;
        for j in 0..s.ow {
            let (columns, before) = s.params.window(j, s.w);
            for channel in (0..s.c).step_by(S::LANES) {
                let count = S::LANES.min(s.c - channel);
                // SAFETY: the CPU has the instruction set. Each load is of `count` channels of a pixel of the image,
                // each store of `count` channels of a pixel of this row or of an array as wide as the widest vector.
                unsafe {
                    let mut best = S::splat(f32::NEG_INFINITY);
                    // Positions as floats, exact as long as a window has fewer than 2^24 of them.
                    let mut at = S::splat((above * kernel_size + before) as f32);
                    for (u, row) in rows.clone().enumerate() {
                        for (v, column) in columns.clone().enumerate() {
                            let position = S::splat(((above + u) * kernel_size + before + v) as f32);
                            let pixel = x[(row * s.w + column) * s.c + channel..][..count].as_ptr();
                            let value = if count == S::LANES { S::load(pixel) } else { S::load_partial(pixel, count) };
                            (best, at) = S::take_greater(value, position, best, at);
                        }
                    }
                    let start = j * s.c + channel;
                    S::store_partial(y[start..start + count].as_mut_ptr(), best, count);
                    if !indices.is_empty() {
                        let mut positions = [0f32; LANES];
                        S::store(positions.as_mut_ptr(), at);
                        for (index, &position) in indices[start..start + count].iter_mut().zip(&positions) {
                            *index = I::new(position as usize);
                        }
                    }
                }
            }
        }
    }
}

/// Adds each value of `grad_y` to the pixel of its maximum. Returns false, with `grad_x` incomplete, if an index is not
/// a position of its window inside the image.
pub(super) fn backward<I: Index>(s: &Pool2dShape, grad_y: &[f32], indices: &[I], grad_x: &mut [f32]) -> bool {
    let grad_x = Shared::new(grad_x);
    let valid = AtomicBool::new(true);
    let kernel_size = s.params.kernel_size;
    parallel::for_each(s.n, |image| {
        // SAFETY: one part per image.
        let grad_x = unsafe { grad_x.slice(image * s.input_len()..(image + 1) * s.input_len()) };
        grad_x.fill(0.0);
        let outputs = image * s.output_len()..(image + 1) * s.output_len();
        let (grad_y, indices) = (&grad_y[outputs.clone()], &indices[outputs]);
        let pixels = grad_y.chunks_exact(s.c).zip(indices.chunks_exact(s.c));
        let mut inside = true;
        for (pixel, (grad_y, indices)) in pixels.enumerate() {
            let (rows, above) = s.params.window(pixel / s.ow, s.h);
            let (columns, before) = s.params.window(pixel % s.ow, s.w);
            for (channel, (g, index)) in grad_y.iter().zip(indices).enumerate() {
                let position = index.position();
                let (u, v) = (position / kernel_size, position % kernel_size);
                // Rows and columns of the window before the image wrap to large numbers.
                let (u, v) = (u.wrapping_sub(above), v.wrapping_sub(before));
                if u < rows.len() && v < columns.len() {
                    grad_x[((rows.start + u) * s.w + columns.start + v) * s.c + channel] += g;
                } else {
                    inside = false;
                }
            }
        }
        if !inside {
            valid.store(false, Ordering::Relaxed);
        }
    });
    valid.into_inner()
}
