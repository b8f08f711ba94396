//! The fast path: at each position, the window values of one group of channels form a matrix with one row per image,
//! which is multiplied by the weight of the position. The weight, by far the largest tensor, is read once, from start
//! to end.

use super::LocalShape;
use crate::backend::CpuIsa;
use crate::gemm::packed::{self, Finish};
use crate::gemm::{Matrix, dot, in_place, streamed};
use crate::parallel::{self, Shared};
use crate::scratch::{self, Scratch};

/// Maximum number of gradient values in all windows of a part of the batch, unless a single image has more.
const PART: usize = 1 << 24;

/// A position, a group of channels, and the start of its weight.
struct Task {
    position: usize,
    group: usize,
    weight: usize,
}

impl LocalShape {
    fn task(&self, index: usize) -> Task {
        let (position, group) = (index / self.params.groups, index % self.params.groups);
        Task { position, group, weight: index * self.group_out() * self.taps() }
    }

    fn tasks(&self) -> usize {
        self.positions() * self.params.groups
    }

    /// Calls `f(tap, pixel)` for each pixel of the position's window inside the image; `tap` is the pixel's first tap.
    fn for_each_pixel(&self, position: usize, mut f: impl FnMut(usize, usize)) {
        let (stride, padding) = (self.params.stride, self.params.padding);
        let (top, left) = (position / self.ow * stride, position % self.ow * stride);
        for u in 0..self.kh {
            let row = (top + u).wrapping_sub(padding.top);
            for v in 0..self.kw {
                let column = (left + v).wrapping_sub(padding.left);
                if row < self.h && column < self.w {
                    f((u * self.kw + v) * self.group_in(), row * self.w + column);
                }
            }
        }
    }

    /// The window values of all images: `n` rows of `taps` values.
    fn unfold(&self, task: &Task, x: &[f32]) -> Scratch {
        let (taps, width) = (self.taps(), self.group_in());
        let mut rows = scratch::zeroed(self.n * taps);
        let image_len = self.h * self.w * self.in_channels;
        for (row, x) in rows.chunks_exact_mut(taps).zip(x.chunks_exact(image_len)) {
            self.for_each_pixel(task.position, |tap, pixel| {
                let from = pixel * self.in_channels + task.group * width;
                row[tap..tap + width].copy_from_slice(&x[from..from + width]);
            });
        }
        rows
    }

    /// The index in y of a task's first output for an image.
    fn output(&self, task: &Task, image: usize) -> usize {
        (image * self.positions() + task.position) * self.out_channels + task.group * self.group_out()
    }

    /// A task's part of `grad_y`: one row per image, starting at `image`.
    fn grad_rows<'a>(&self, task: &Task, image: usize, grad_y: &'a [f32]) -> Matrix<'a> {
        Matrix { values: &grad_y[self.output(task, image)..], rows: self.positions() * self.out_channels, columns: 1 }
    }
}

pub(super) fn forward(isa: CpuIsa, s: &LocalShape, x: &[f32], weight: &[f32], bias: &[f32], relu: bool, y: &mut [f32]) {
    if s.n == 0 {
        return;
    }
    let (taps, outputs) = (s.taps(), s.group_out());
    let y = Shared::new(y);
    parallel::for_each(s.tasks(), |index| {
        let task = s.task(index);
        let rows = s.unfold(&task, x);
        let weight = &weight[task.weight..][..outputs * taps];
        let bias = if bias.is_empty() { bias } else { &bias[s.output(&task, 0)..][..outputs] };
        let (sizes, finish) = ([s.n, outputs, taps], Finish { bias, relu });
        let mut results = scratch::take(s.n * outputs);
        if s.n <= dot::MAX_ROWS {
            dot::product(isa, sizes, &rows, weight, finish, &mut results);
        } else {
            streamed::product(isa, sizes, &rows, weight, finish, &mut results);
        }
        for (image, results) in results.chunks_exact(outputs).enumerate() {
            let first = s.output(&task, image);
            // SAFETY: one part per image, position and group.
            unsafe { y.slice(first..first + outputs) }.copy_from_slice(results);
        }
    });
}

/// Computes the gradients of the window values, then sums them for each pixel.
pub(super) fn backward_input(isa: CpuIsa, s: &LocalShape, weight: &[f32], grad_y: &[f32], grad_x: &mut [f32]) {
    let (taps, outputs, width) = (s.taps(), s.group_out(), s.group_in());
    let image_len = s.h * s.w * s.in_channels;
    let images_of_part = (PART / (s.tasks() * taps)).clamp(1, s.n.max(1));
    let grad_x = Shared::new(grad_x);
    for first in (0..s.n).step_by(images_of_part) {
        let images = images_of_part.min(s.n - first);
        let mut rows = scratch::take(s.tasks() * images * taps);
        let shared = Shared::new(&mut rows);
        parallel::for_each(s.tasks(), |index| {
            let task = s.task(index);
            // SAFETY: one part per task.
            let rows = unsafe { shared.slice(index * images * taps..(index + 1) * images * taps) };
            let (sizes, weight) = ([images, taps, outputs], &weight[task.weight..][..outputs * taps]);
            let grad_y = s.grad_rows(&task, first, grad_y);
            if images <= in_place::MAX_ROWS {
                in_place::product(isa, sizes, grad_y, weight, rows);
            } else {
                packed::product(isa, sizes, grad_y, Matrix::row_major(weight, taps), Finish::default(), rows);
            }
        });
        parallel::for_each(images, |image| {
            // SAFETY: one part per image.
            let grad_x = unsafe { grad_x.slice((first + image) * image_len..(first + image + 1) * image_len) };
            grad_x.fill(0.0);
            for index in 0..s.tasks() {
                let (task, row) = (s.task(index), &rows[(index * images + image) * taps..][..taps]);
                s.for_each_pixel(task.position, |tap, pixel| {
                    let to = pixel * s.in_channels + task.group * width;
                    let values = grad_x[to..to + width].iter_mut().zip(&row[tap..tap + width]);
                    values.for_each(|(sum, value)| *sum += value);
                });
            }
        });
    }
}

/// Skips a gradient whose slice is empty.
pub(super) fn backward_weight(
    isa: CpuIsa,
    s: &LocalShape,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
    grad_bias: &mut [f32],
) {
    grad_bias.fill(0.0);
    if !grad_bias.is_empty() {
        for grad_y in grad_y.chunks_exact(grad_bias.len()) {
            grad_bias.iter_mut().zip(grad_y).for_each(|(sum, value)| *sum += value);
        }
    }
    if s.n == 0 || grad_weight.is_empty() {
        // Empty sums are 0.
        return grad_weight.fill(0.0);
    }
    let (taps, outputs) = (s.taps(), s.group_out());
    let grad_weight = Shared::new(grad_weight);
    parallel::for_each(s.tasks(), |index| {
        let task = s.task(index);
        let rows = s.unfold(&task, x);
        // SAFETY: one part per task.
        let grad_weight = unsafe { grad_weight.slice(task.weight..task.weight + outputs * taps) };
        let (grad_y, rows) = (s.grad_rows(&task, 0, grad_y).transposed(), Matrix::row_major(&rows, taps));
        packed::product(isa, [outputs, taps, s.n], grad_y, rows, Finish::default(), grad_weight);
    });
}
