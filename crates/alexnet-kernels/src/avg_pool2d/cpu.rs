//! The fast path: all channels of one pixel at a time.

use crate::parallel::{self, Shared};
use crate::pool2d::Pool2dShape;

pub(super) fn forward(s: &Pool2dShape, x: &[f32], y: &mut [f32]) {
    let y = Shared::new(y);
    parallel::for_each(s.n, |image| {
        // SAFETY: one part per image.
        let y = unsafe { y.slice(image * s.output_len()..(image + 1) * s.output_len()) };
        let x = &x[image * s.input_len()..(image + 1) * s.input_len()];
        for (pixel, y) in y.chunks_exact_mut(s.c).enumerate() {
            let (rows, columns) = (s.params.window(pixel / s.ow, s.h).0, s.params.window(pixel % s.ow, s.w).0);
            let share = 1.0 / (rows.len() * columns.len()) as f32;
            y.fill(0.0);
            for row in rows {
                for column in columns.clone() {
                    let x = &x[(row * s.w + column) * s.c..][..s.c];
                    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
                }
            }
            y.iter_mut().for_each(|y| *y *= share);
        }
    });
}

pub(super) fn backward(s: &Pool2dShape, grad_y: &[f32], grad_x: &mut [f32]) {
    let grad_x = Shared::new(grad_x);
    parallel::for_each(s.n, |image| {
        // SAFETY: one part per image.
        let grad_x = unsafe { grad_x.slice(image * s.input_len()..(image + 1) * s.input_len()) };
        grad_x.fill(0.0);
        let grad_y = &grad_y[image * s.output_len()..(image + 1) * s.output_len()];
        for (pixel, grad_y) in grad_y.chunks_exact(s.c).enumerate() {
            let (rows, columns) = (s.params.window(pixel / s.ow, s.h).0, s.params.window(pixel % s.ow, s.w).0);
            let share = 1.0 / (rows.len() * columns.len()) as f32;
            for row in rows {
                for column in columns.clone() {
                    let grad_x = &mut grad_x[(row * s.w + column) * s.c..][..s.c];
                    grad_x.iter_mut().zip(grad_y).for_each(|(x, y)| *x += y * share);
                }
            }
        }
    });
}
