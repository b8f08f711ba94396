//! The fast path: a sum over a square is a sum over rows of sums over columns, for all channels of a pixel at once.

use super::LrnWithinChannelParams;
use crate::parallel::{self, Shared};
use crate::scratch;

/// Computes y, or with `grad_y` the gradient of x.
pub(super) fn run(
    (n, h, w, c): (usize, usize, usize, usize),
    params: &LrnWithinChannelParams,
    x: &[f32],
    grad_y: Option<&[f32]>,
    out: &mut [f32],
) {
    let (len, row) = (h * w * c, w * c);
    let (before, after) = (params.size / 2, params.size - 1 - params.size / 2);
    let out = Shared::new(out);
    parallel::for_each(n, |image| {
        let range = image * len..(image + 1) * len;
        let x = &x[range.clone()];
        // SAFETY: one part per image.
        let out = unsafe { out.slice(range.clone()) };
        let mut values = scratch::take(len);
        let mut sums = scratch::take(row);
        let mut column_sums = scratch::take(row);

        values.iter_mut().zip(x).for_each(|(square, x)| *square = x * x);
        for i in 0..h {
            box_sums(&values, i, (h, w, c), before, after, &mut column_sums, &mut sums);
            for (out, sum) in out[i * row..(i + 1) * row].iter_mut().zip(&*sums) {
                *out = params.k + params.alpha * sum;
            }
        }
        // Now `out` holds D.
        let Some(grad_y) = grad_y.map(|g| &g[range]) else {
            out.iter_mut().zip(x).for_each(|(out, x)| *out = x * inverse(*out, params.beta));
            return;
        };
        for (((out, term), x), g) in out.iter_mut().zip(&mut *values).zip(x).zip(grad_y) {
            let scaled = g * inverse(*out, params.beta);
            *term = scaled * x / *out;
            *out = scaled;
        }
        // The windows that contain a pixel are those of the pixels in its mirrored window.
        let factor = -2.0 * params.alpha * params.beta;
        for i in 0..h {
            box_sums(&values, i, (h, w, c), after, before, &mut column_sums, &mut sums);
            let range = i * row..(i + 1) * row;
            for ((out, sum), x) in out[range.clone()].iter_mut().zip(&*sums).zip(&x[range]) {
                *out += factor * x * sum;
            }
        }
    });
}

/// For every value of row `i`: the sum of `values` over rows `i - before ..= i + after` and as many columns.
fn box_sums(
    values: &[f32],
    i: usize,
    (h, w, c): (usize, usize, usize),
    before: usize,
    after: usize,
    column_sums: &mut [f32],
    sums: &mut [f32],
) {
    let row = w * c;
    column_sums.fill(0.0);
    for u in i.saturating_sub(before)..(i + after + 1).min(h) {
        column_sums.iter_mut().zip(&values[u * row..(u + 1) * row]).for_each(|(sum, value)| *sum += value);
    }
    sums.fill(0.0);
    for j in 0..w {
        let sums = &mut sums[j * c..(j + 1) * c];
        for v in j.saturating_sub(before)..(j + after + 1).min(w) {
            sums.iter_mut().zip(&column_sums[v * c..(v + 1) * c]).for_each(|(sum, value)| *sum += value);
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
