//! The fast path: which convolution each direction is, and the gradient of the weights.

use super::Conv2dShape;
use super::direct::{Direct, Frame, Phase, pack};
use crate::backend::CpuIsa;
use crate::gemm::tile::{ColumnsTile, Epilogue, Tiles, cut};
use crate::parallel::{self, Shared};
use crate::scratch;

/// Images are cut into at most this many parts whose weight gradients are added up at the end, in order. It bounds the
/// memory of the partial sums; that it does not depend on the number of threads makes the result independent of it.
const PARTS: usize = 8;

fn input_frame(s: &Conv2dShape) -> Frame {
    let p = s.params.padding;
    let (padded_h, padded_w) = (s.h + p.top + p.bottom, s.w + p.left + p.right);
    Frame { h: s.h, w: s.w, c: s.in_channels, top: p.top, left: p.left, padded_h, padded_w }
}

pub(super) fn forward(
    isa: CpuIsa,
    s: &Conv2dShape,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    relu: bool,
    y: &mut [f32],
) {
    let (tiles, frame) = (Tiles::of(isa), input_frame(s));
    let (groups, group_in, group_out, taps) = (s.params.groups, s.group_in(), s.group_out(), s.taps());
    let order = tap_order(s);
    let weight = pack(groups, taps, group_out, tiles.width(), |g, k, o| weight[(g * group_out + o) * taps + order[k]]);
    let outputs = (0..s.oh).flat_map(|i| (0..s.ow).map(move |j| (i, j)));
    let phase = Phase {
        windows: outputs.map(|(i, j)| frame.at(i * s.params.stride, j * s.params.stride)).collect(),
        pixels: (0..s.oh * s.ow).map(|p| p * s.out_channels).collect(),
        runs: frame.runs(s.kh, s.kw, group_in),
        weight,
    };
    let output_len = s.oh * s.ow * s.out_channels;
    let phases = vec![phase];
    Direct { tiles, frame, groups, group_in, group_out, output_len, phases, bias, relu }.run(x, y);
}

/// Where the k-th tap, in the order (row, column, channel) of the windows, is in the weight's (channel, row, column).
fn tap_order(s: &Conv2dShape) -> Vec<usize> {
    let group_in = s.group_in();
    let taps = (0..s.kh * s.kw).flat_map(|tap| (0..group_in).map(move |c| (tap, c)));
    taps.map(|(tap, c)| c * s.kh * s.kw + tap).collect()
}

/// One direction of the convolution that gives the input's gradient.
///
/// An input pixel `row` is under the tap `u` of the output `i` when `row + top = i·stride + u`. With
/// `q = row + top = stride·d + r`, the taps are `u = r, r + stride, …` and belong to the outputs `d, d − 1, …`: `count`
/// of them, the window of outputs starting at `d − count + 1`.
struct Axis {
    /// Zeros before and after the gradient.
    before: usize,
    after: usize,
}

/// How many taps of a kernel of `size` the remainder `r` sees.
fn taps_of(r: usize, size: usize, stride: usize) -> usize {
    size.saturating_sub(r).div_ceil(stride)
}

impl Axis {
    fn new(size: usize, output: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        let last = (size - 1 + padding) / stride;
        Self { before: kernel.div_ceil(stride) - 1, after: (last + 1).saturating_sub(output) }
    }

    /// The pixels of remainder `r`: (pixel, first output of its window in the padded gradient).
    fn pixels(&self, r: usize, size: usize, kernel: usize, stride: usize, padding: usize) -> Vec<(usize, usize)> {
        let taps = taps_of(r, kernel, stride);
        let of_remainder = (0..size).filter(|pixel| (pixel + padding) % stride == r);
        of_remainder
            .map(|pixel| {
                // Where no tap reaches a pixel its window is empty, and the start only has to be in bounds.
                let start = if taps == 0 { 0 } else { (pixel + padding) / stride + self.before + 1 - taps };
                (pixel, start)
            })
            .collect()
    }
}

pub(super) fn backward_input(isa: CpuIsa, s: &Conv2dShape, weight: &[f32], grad_y: &[f32], grad_x: &mut [f32]) {
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
    let phases = (0..stride * stride).map(|phase| {
        let (r, q) = (phase / stride, phase % stride);
        let (kh, kw) = (taps_of(r, s.kh, stride), taps_of(q, s.kw, stride));
        // Outputs ascend through the window, so the taps descend.
        let weight = pack(groups, kh * kw * group_out, group_in, tiles.width(), |g, k, c| {
            let (tap, o) = (k / group_out, k % group_out);
            let (u, v) = (r + stride * (kh - 1 - tap / kw), q + stride * (kw - 1 - tap % kw));
            weight[(((g * group_out + o) * group_in + c) * s.kh + u) * s.kw + v]
        });
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

/// The gradients of the weight and the bias; an empty slice is not wanted.
///
/// grad_weight\[k\]\[o\] = Σ_pixels window\[pixel\]\[k\] · grad_y\[pixel\]\[o\]: for one run of the window, the rows of a
/// [`ColumnsTile`] are adjacent in the padded image, and its columns adjacent in `grad_y`, so nothing is packed.
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
    let (tiles, frame) = (Tiles::of(isa), input_frame(s));
    let runs = frame.runs(s.kh, s.kw, s.group_in());
    let (taps, group_out) = (s.taps(), s.group_out());
    let parts = s.n.clamp(1, PARTS);
    // With more threads than parts, each part's columns are shared out as well.
    let panels = group_out.div_ceil(tiles.width());
    let bands = (2 * parallel::threads()).div_ceil(parts).min(panels);
    let part_len = s.params.groups * taps * group_out;
    let mut sums = scratch::take(parts * part_len);
    let shared = Shared::new(&mut sums);
    parallel::for_each(parts * bands, |task| {
        let (part, band) = (task / bands, task % bands);
        let my_panels = band * panels / bands..(band + 1) * panels / bands;
        let mut padded = if frame.is_bare() { scratch::take(0) } else { scratch::zeroed(frame.padded_len()) };
        let images = part * s.n / parts..(part + 1) * s.n / parts;
        if images.is_empty() {
            // SAFETY: without images there is one part and one task per band; only the first writes.
            unsafe { shared.slice(0..if band == 0 { part_len } else { 0 }) }.fill(0.0);
        }
        for image in images.clone() {
            let pixels = &x[image * frame.image_len()..(image + 1) * frame.image_len()];
            let padded = if frame.is_bare() {
                pixels
            } else {
                frame.place(pixels, &mut padded);
                &padded
            };
            let grad_y = &grad_y[image * s.oh * s.ow * s.out_channels..];
            let epilogue = if image == images.start { Epilogue::STORE } else { Epilogue::ACCUMULATE };
            for (group, panel) in (0..s.params.groups).flat_map(|g| my_panels.clone().map(move |p| (g, p))) {
                let first = panel * tiles.width();
                let columns = tiles.width().min(group_out - first);
                let mut k = 0;
                for run in &runs {
                    for (start, rows) in cut(run.len, tiles.max_rows) {
                        let c = part * part_len + (group * taps + k + start) * group_out + first;
                        let step = s.params.stride;
                        let tile = ColumnsTile {
                            a: padded[group * s.group_in() + run.offset + start..].as_ptr(),
                            b: grad_y[group * group_out + first..].as_ptr(),
                            counts: [1, s.oh, s.ow],
                            a_steps: [0, frame.at(step, 0), frame.at(0, step)],
                            b_steps: [0, s.ow * s.out_channels, s.out_channels],
                            c: shared.start().wrapping_add(c),
                            c_row: group_out,
                            columns,
                            epilogue,
                        };
                        // SAFETY: the steps walk the windows of one padded image and the pixels of one gradient; this
                        // task alone writes these columns of its part.
                        unsafe { tiles.columns_tile(rows, columns)(&tile) }
                    }
                    k += run.len;
                }
            }
        }
    });
    add_parts(s, &sums, part_len, grad_weight);
}

/// Adds the parts up and brings taps and channels into the weight's order.
fn add_parts(s: &Conv2dShape, sums: &[f32], part_len: usize, grad_weight: &mut [f32]) {
    let (taps, group_out) = (s.taps(), s.group_out());
    let order = tap_order(s);
    // A cache line of output channels at a time.
    const CHANNELS: usize = 16;
    let blocks = group_out.div_ceil(CHANNELS);
    let grad_weight = Shared::new(grad_weight);
    parallel::for_each(s.params.groups * blocks, |i| {
        let (group, first) = (i / blocks, i % blocks * CHANNELS);
        let count = CHANNELS.min(group_out - first);
        let start = (group * group_out + first) * taps;
        // SAFETY: one part per block of channels.
        let grad_weight = unsafe { grad_weight.slice(start..start + count * taps) };
        for (k, &tap) in order.iter().enumerate() {
            let mut total = [0f32; CHANNELS];
            for part in sums.chunks_exact(part_len) {
                let part = &part[(group * taps + k) * group_out + first..][..count];
                total.iter_mut().zip(part).for_each(|(total, value)| *total += value);
            }
            for (o, total) in total[..count].iter().enumerate() {
                grad_weight[o * taps + tap] = *total;
            }
        }
    });
}

/// Sums each channel over all pixels of `n` images: in `f32` within an image, in `f64` over images.
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
