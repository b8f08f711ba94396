//! The fast path on the CPU: Winograd's algorithm where it is suitable (`winograd/`), otherwise direct convolution. This
//! file expresses the forward pass and the gradient of the input as direct convolutions; the direct gradient of the weights
//! is in `weight_gradient.rs`.

use super::direct::{Direct, Frame, Phase, pack};
use super::{Conv2dShape, weight_gradient, winograd};
use crate::backend::CpuIsa;
use crate::gemm::tile::Tiles;
use crate::parallel::{self, Shared};
use crate::scratch::Scratch;

pub(super) fn input_frame(s: &Conv2dShape) -> Frame {
    let p = s.params.padding;
    let (padded_h, padded_w) = (s.h + p.top + p.bottom, s.w + p.left + p.right);
    Frame { h: s.h, w: s.w, c: s.in_channels, top: p.top, left: p.left, padded_h, padded_w }
}

/// Packs the weight for [`forward`]. The result depends on the weight's shape and the groups, and on the rest of `s` only
/// through the choice of the algorithm.
pub(super) fn pack_weight(isa: CpuIsa, s: &Conv2dShape, weight: &[f32]) -> Scratch {
    if winograd::suits(s) {
        return winograd::pack_weight(isa, s, weight);
    }
    let (group_in, group_out, taps, window) = (s.group_in(), s.group_out(), s.taps(), s.kh * s.kw);
    // The order of a window's values is (row, column, channel), of the weight's (channel, row, column).
    let order: Vec<_> = (0..taps).map(|tap| tap % window * group_in + tap / window).collect();
    pack(s.params.groups, &order, group_out, Tiles::of(isa).width(), |g, k, o| {
        weight[(g * group_out + o) * taps + k % group_in * window + k / group_in]
    })
}

/// `weight` must come from [`pack_weight`].
pub(super) fn forward(
    isa: CpuIsa,
    s: &Conv2dShape,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    relu: bool,
    y: &mut [f32],
) {
    if winograd::suits(s) {
        return winograd::forward(isa, s, x, weight, bias, relu, y);
    }
    let (tiles, frame) = (Tiles::of(isa), input_frame(s));
    let outputs = (0..s.oh).flat_map(|i| (0..s.ow).map(move |j| (i, j)));
    let phase = Phase {
        windows: outputs.map(|(i, j)| frame.at(i * s.params.stride, j * s.params.stride)).collect(),
        pixels: (0..s.oh * s.ow).map(|p| p * s.out_channels).collect(),
        runs: frame.runs(s.kh, s.kw, s.group_in()),
        weight,
    };
    let (groups, group_in, group_out) = (s.params.groups, s.group_in(), s.group_out());
    let (output_len, phases) = (s.oh * s.ow * s.out_channels, vec![phase]);
    Direct { tiles, frame, groups, group_in, group_out, output_len, phases, bias, relu }.run(x, y);
}

/// One dimension of the convolution that computes the input's gradient.
///
/// Input pixel `row` meets tap `u` of output `i` if `row + top = i·stride + u`. With `q = row + top = stride·d + r`, the taps
/// are `u = r, r + stride, …` and belong to the outputs `d, d − 1, …`: `count` of them, and the window of outputs starts at
/// `d − count + 1`.
struct Axis {
    /// Zero padding before and after the gradient of the output.
    before: usize,
    after: usize,
}

/// The remainders that occur among the pixels of an axis of `size`: all of them, unless the stride is larger than `size`.
fn remainders(size: usize, stride: usize, padding: usize) -> impl Iterator<Item = usize> + Clone {
    (0..size.min(stride)).map(move |pixel| (pixel + padding) % stride)
}

/// Number of taps of a kernel of `size` that apply to pixels of remainder `r`.
fn taps_of(r: usize, size: usize, stride: usize) -> usize {
    size.saturating_sub(r).div_ceil(stride)
}

impl Axis {
    fn new(size: usize, output: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        let last = (size - 1 + padding) / stride;
        Self { before: kernel.div_ceil(stride) - 1, after: (last + 1).saturating_sub(output) }
    }

    /// The pixels of remainder `r`: (pixel, start of its window in the padded gradient).
    fn pixels(&self, r: usize, size: usize, kernel: usize, stride: usize, padding: usize) -> Vec<(usize, usize)> {
        let taps = taps_of(r, kernel, stride);
        let of_remainder = (0..size).filter(|pixel| (pixel + padding) % stride == r);
        of_remainder
            .map(|pixel| {
                // If no tap reaches a pixel, its window is empty, and the start only has to be in bounds.
                let start = if taps == 0 { 0 } else { (pixel + padding) / stride + self.before + 1 - taps };
                (pixel, start)
            })
            .collect()
    }
}

pub(super) fn backward_input(isa: CpuIsa, s: &Conv2dShape, weight: &[f32], grad_y: &[f32], grad_x: &mut [f32]) {
    if winograd::suits_backward_input(s) {
        return winograd::backward_input(isa, s, weight, grad_y, grad_x);
    }
    let tiles = Tiles::of(isa);
    let (groups, group_in, group_out, stride) = (s.params.groups, s.group_in(), s.group_out(), s.params.stride);
    let (top, left) = (s.params.padding.top, s.params.padding.left);
    let rows = Axis::new(s.h, s.oh, s.kh, stride, top);
    let columns = Axis::new(s.w, s.ow, s.kw, stride, left);
    let frame = Frame {
        h: s.oh,
        w: s.ow,
        c: s.out_channels,
        top: rows.before,
        left: columns.before,
        padded_h: s.oh + rows.before + rows.after,
        padded_w: s.ow + columns.before + columns.after,
    };
    let taps = |(r, q): (usize, usize)| (taps_of(r, s.kh, stride), taps_of(q, s.kw, stride));
    let across = remainders(s.w, stride, left);
    let classes: Vec<_> = remainders(s.h, stride, top).flat_map(|r| across.clone().map(move |q| (r, q))).collect();
    let weights = classes.iter().map(|&(r, q)| {
        let (kh, kw) = taps((r, q));
        // Outputs are in ascending order within the window, so the taps are in descending order.
        let order: Vec<_> = (0..group_out).flat_map(|o| (0..kh * kw).map(move |tap| tap * group_out + o)).collect();
        pack(groups, &order, group_in, tiles.width(), |g, k, c| {
            let (tap, o) = (k / group_out, k % group_out);
            let (u, v) = (r + stride * (kh - 1 - tap / kw), q + stride * (kw - 1 - tap % kw));
            weight[(((g * group_out + o) * group_in + c) * s.kh + u) * s.kw + v]
        })
    });
    let weights: Vec<Scratch> = weights.collect();
    let phases = weights.iter().zip(&classes).map(|(weight, &(r, q))| {
        let (kh, kw) = taps((r, q));
        let across = columns.pixels(q, s.w, s.kw, stride, left);
        let (mut windows, mut pixels) = (Vec::new(), Vec::new());
        for (row, first_row) in rows.pixels(r, s.h, s.kh, stride, top) {
            for &(column, first_column) in &across {
                windows.push(frame.at(first_row, first_column));
                pixels.push((row * s.w + column) * s.in_channels);
            }
        }
        let runs = if kh * kw == 0 { Vec::new() } else { frame.runs(kh, kw, group_out) };
        Phase { windows, pixels, runs, weight }
    });
    let direct = Direct {
        tiles,
        frame,
        groups,
        group_in: group_out,
        group_out: group_in,
        output_len: s.h * s.w * s.in_channels,
        phases: phases.collect(),
        bias: &[],
        relu: false,
    };
    direct.run(grad_y, grad_x);
}

/// An empty output slice skips its gradient.
pub(super) fn backward_weight(
    isa: CpuIsa,
    s: &Conv2dShape,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
    grad_bias: &mut [f32],
) {
    if !grad_bias.is_empty() {
        sum_pixels(grad_y, grad_bias, s.n);
    }
    if grad_weight.is_empty() {
        return;
    }
    if winograd::suits(s) {
        winograd::backward_weight(isa, s, x, grad_y, grad_weight);
    } else {
        weight_gradient::backward_weight(isa, s, x, grad_y, grad_weight);
    }
}

/// Sums each channel over all pixels of `n` images: in `f32` within an image, in `f64` across images.
fn sum_pixels(grad_y: &[f32], grad_bias: &mut [f32], n: usize) {
    let channels = grad_bias.len();
    let mut sums = vec![0f32; n * channels];
    let shared = Shared::new(&mut sums);
    let image_len = grad_y.len() / n.max(1);
    parallel::for_each(n, |i| {
        // SAFETY: one part per image.
        let sums = unsafe { shared.slice(i * channels..(i + 1) * channels) };
        for pixel in grad_y[i * image_len..(i + 1) * image_len].chunks_exact(channels) {
            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
        }
    });
    for (channel, total) in grad_bias.iter_mut().enumerate() {
        let values = sums.iter().skip(channel).step_by(channels);
        *total = values.map(|&sum| f64::from(sum)).sum::<f64>() as f32;
    }
}
