//! The gradient of the weights and of the biases.
//!
//! grad_weight\[k\]\[o\] = Σ_pixels window\[pixel\]\[k\] · grad_y\[pixel\]\[o\]: a matrix product whose inner dimension is
//! the pixels of all images. It goes image by image, in blocks of output rows small enough for the first-level cache.
//!
//! Of `grad_y`, a panel of the block as wide as a tile is packed. Of the image, a tile's few channels are packed into a
//! strip of adjacent pixels, and this one strip serves every tap: under tap (u, v), output pixel (i, j) sees the strip's
//! pixel (i·stride + u, j·stride + v). The sums lie in the order in which the tiles come to them. Where an image has fewer channels than a tile has rows, as the first layer's, the
//! taps of one kernel row lie next to each other already, and are multiplied where they are.

use super::Conv2dShape;
use super::cpu::input_frame;
use super::direct::Frame;
use crate::backend::CpuIsa;
use crate::gemm::packed::pack_rows;
use crate::gemm::tile::{ColumnsTile, Epilogue, Tiles, cut};
use crate::parallel::{self, Shared};
use crate::scratch;

/// Images are cut into at most this many parts whose gradients are added up at the end, in order. It bounds the memory
/// of the partial sums; that it does not depend on the number of threads makes the result independent of it.
const PARTS: usize = 8;
/// Output pixels of a block: a panel of them is half of a first-level cache of 32 KB.
const BLOCK: usize = 256;
/// Values copied at once for a pixel of a strip, no fewer than a tile has rows.
const PIXEL: usize = 16;

/// An empty slice is not wanted.
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
    let plan = Plan::new(isa, s);
    let Plan { frame, rows, part_len, .. } = plan;
    let parts = s.n.clamp(1, PARTS);
    // With more threads than parts, each part's panels are shared out as well.
    let panels = s.params.groups * plan.panels;
    let bands = (2 * parallel::threads()).div_ceil(parts).min(panels);
    let mut sums = scratch::take(parts * part_len);
    let shared = Shared::new(&mut sums);
    parallel::for_each(parts * bands, |task| {
        let (part, band) = (task / bands, task % bands);
        let panels = band * panels / bands..(band + 1) * panels / bands;
        let images = part * s.n / parts..(part + 1) * s.n / parts;
        let mine = part * part_len + panels.start * plan.panel_len()..part * part_len + panels.end * plan.panel_len();
        // SAFETY: the panels of a part are those of one task.
        let sums = unsafe { shared.slice(mine) };
        if images.is_empty() {
            sums.fill(0.0);
        }
        let mut padded = if frame.is_bare() { scratch::take(0) } else { scratch::zeroed(frame.padded_len()) };
        let mut packed = scratch::take(plan.tiles.width() * rows * s.ow);
        let mut strips = scratch::take(plan.strips_len());
        for image in images.clone() {
            let pixels = &x[image * frame.image_len()..(image + 1) * frame.image_len()];
            let padded = if frame.is_bare() {
                pixels
            } else {
                frame.place(pixels, &mut padded);
                &padded
            };
            let grad_y = &grad_y[image * s.oh * s.ow * s.out_channels..];
            for first_row in (0..s.oh).step_by(rows) {
                let block = Block { first_row, rows: rows.min(s.oh - first_row) };
                let epilogue =
                    if image > images.start || first_row > 0 { Epilogue::ACCUMULATE } else { Epilogue::STORE };
                for (panel, sums) in panels.clone().zip(sums.chunks_exact_mut(plan.panel_len())) {
                    let group = panel / plan.panels;
                    if panel == panels.start || panel % plan.panels == 0 {
                        plan.pack_strips(block, group, padded, &mut strips);
                    }
                    plan.pack_panel(block, panel, grad_y, &mut packed);
                    plan.add(block, group, padded, &strips, &packed, epilogue, sums);
                }
            }
        }
    });
    plan.add_parts(&sums, grad_weight);
}

/// Some output rows of an image.
#[derive(Clone, Copy)]
struct Block {
    first_row: usize,
    rows: usize,
}

/// How the work is cut.
struct Plan<'a> {
    s: &'a Conv2dShape,
    tiles: Tiles,
    frame: Frame,
    /// Panels of output channels in a group.
    panels: usize,
    /// Output rows of a block.
    rows: usize,
    /// Values of all sums: `[groups, panels, taps, width]`, the taps in the order of the tiles.
    part_len: usize,
    /// Whether tiles read the padded image itself.
    in_place: bool,
}

impl<'a> Plan<'a> {
    fn new(isa: CpuIsa, s: &'a Conv2dShape) -> Self {
        let tiles = Tiles::of(isa);
        let panels = s.group_out().div_ceil(tiles.width());
        Self {
            s,
            tiles,
            frame: input_frame(s),
            panels,
            rows: (BLOCK / s.ow.max(1)).clamp(1, s.oh.max(1)),
            part_len: s.params.groups * panels * s.taps() * tiles.width(),
            in_place: s.params.groups == 1 && s.in_channels < tiles.max_rows,
        }
    }

    fn panel_len(&self) -> usize {
        self.s.taps() * self.tiles.width()
    }

    /// Rows of the padded image that `rows` output rows see.
    fn rows_seen(&self, rows: usize) -> usize {
        (rows - 1) * self.s.params.stride + self.s.kh
    }

    fn strips_len(&self) -> usize {
        if self.in_place { 0 } else { self.rows_seen(self.rows) * self.frame.padded_w * self.s.group_in() + PIXEL }
    }

    /// Where the block's windows of a group begin in the padded image.
    fn top(&self, block: Block, group: usize) -> usize {
        self.frame.at(block.first_row * self.s.params.stride, 0) + group * self.s.group_in()
    }

    /// Packs the block's part of one group of the image: for each tile of channels, those of all pixels.
    fn pack_strips(&self, block: Block, group: usize, padded: &[f32], strips: &mut [f32]) {
        if self.in_place {
            return;
        }
        let pixels = self.rows_seen(block.rows) * self.frame.padded_w;
        // Less the pixels before the group's first channel.
        let image = &padded[self.top(block, group)..];
        for (channel, rows) in cut(self.s.group_in(), self.tiles.max_rows) {
            pack_strip(&image[channel..], self.frame.c, pixels, rows, &mut strips[channel * pixels..]);
        }
    }

    /// Packs the block's part of one panel of `grad_y`.
    fn pack_panel(&self, block: Block, panel: usize, grad_y: &[f32], packed: &mut [f32]) {
        let (s, width) = (self.s, self.tiles.width());
        let first = panel % self.panels * width;
        let start = block.first_row * s.ow * s.out_channels + panel / self.panels * s.group_out() + first;
        let columns = width.min(s.group_out() - first);
        pack_rows(&grad_y[start..], s.out_channels, block.rows * s.ow, columns, width, packed);
    }

    /// Adds the block to one panel's sums.
    #[allow(clippy::too_many_arguments)] // All that a tile reads and writes.
    fn add(
        &self,
        block: Block,
        group: usize,
        padded: &[f32],
        strips: &[f32],
        packed: &[f32],
        epilogue: Epilogue,
        mut sums: &mut [f32],
    ) {
        let (s, width) = (self.s, self.tiles.width());
        let pixels = self.rows_seen(block.rows) * self.frame.padded_w;
        self.each_tile(|tap, rows| {
            let (u, v, channel) = tap;
            let (stride, row, across) = (s.params.stride, self.frame.padded_w, rows);
            let (a, a_steps) = if self.in_place {
                let at = self.top(block, group) + self.frame.at(u, v) + channel;
                (padded[at..].as_ptr(), [0, self.frame.at(stride, 0), self.frame.at(0, stride)])
            } else {
                let at = channel * pixels + (u * row + v) * across;
                (strips[at..].as_ptr(), [0, stride * row * across, stride * across])
            };
            let (these, rest) = std::mem::take(&mut sums).split_at_mut(rows * width);
            sums = rest;
            let tile = ColumnsTile {
                a,
                b: packed.as_ptr(),
                counts: [1, block.rows, s.ow],
                a_steps,
                b_steps: [0, s.ow * width, width],
                c: these.as_mut_ptr(),
                c_row: width,
                columns: width,
                epilogue,
            };
            // SAFETY: the steps walk the windows of this block's pixels within one padded image or its strips, and the
            // panel's packed pixels; `these` are the tile's sums.
            unsafe { self.tiles.columns_tile(rows, width)(&tile) }
        });
    }

    /// Calls `f(first tap, rows)` for each tile, a tap being (row, column, channel).
    fn each_tile(&self, mut f: impl FnMut((usize, usize, usize), usize)) {
        let (s, max_rows) = (self.s, self.tiles.max_rows);
        if self.in_place {
            for u in 0..s.kh {
                for (start, rows) in cut(s.kw * s.in_channels, max_rows) {
                    f((u, start / s.in_channels, start % s.in_channels), rows);
                }
            }
            return;
        }
        for (channel, rows) in cut(s.group_in(), max_rows) {
            for (u, v) in (0..s.kh).flat_map(|u| (0..s.kw).map(move |v| (u, v))) {
                f((u, v, channel), rows);
            }
        }
    }

    /// Where each row of sums belongs in the weight's taps (channel, row, column).
    fn order(&self) -> Vec<usize> {
        let s = self.s;
        let mut order = Vec::with_capacity(s.taps());
        self.each_tile(|(u, v, channel), rows| {
            for i in channel..channel + rows {
                // In place, a tile's rows may go on with the next column.
                let (v, channel) = if self.in_place { (v + i / s.in_channels, i % s.in_channels) } else { (v, i) };
                order.push((channel * s.kh + u) * s.kw + v);
            }
        });
        order
    }

    /// Adds the parts up and brings taps and channels into the weight's order.
    fn add_parts(&self, sums: &[f32], grad_weight: &mut [f32]) {
        let (taps, width, group_out) = (self.s.taps(), self.tiles.width(), self.s.group_out());
        let order = self.order();
        let grad_weight = Shared::new(grad_weight);
        parallel::for_each(self.s.params.groups * self.panels, |panel| {
            let (group, first) = (panel / self.panels, panel % self.panels * width);
            let count = width.min(group_out - first);
            let start = (group * group_out + first) * taps;
            // SAFETY: one part per panel.
            let grad_weight = unsafe { grad_weight.slice(start..start + count * taps) };
            let mut totals = vec![0f32; width];
            for (k, &tap) in order.iter().enumerate() {
                totals.fill(0.0);
                for part in sums.chunks_exact(self.part_len) {
                    let part = &part[panel * self.panel_len() + k * width..][..width];
                    totals.iter_mut().zip(part).for_each(|(total, value)| *total += value);
                }
                for (o, total) in totals[..count].iter().enumerate() {
                    grad_weight[o * taps + tap] = *total;
                }
            }
        });
    }
}

/// Packs the first `rows` of the `c` values of each of `pixels` pixels, next to each other.
fn pack_strip(image: &[f32], c: usize, pixels: usize, rows: usize, strip: &mut [f32]) {
    for pixel in 0..pixels {
        let (from, to) = (pixel * c, pixel * rows);
        // Sixteen values whatever `rows` is: one or two moves, and the next pixel overwrites what is too much.
        match image.get(from..from + PIXEL) {
            Some(values) => strip[to..to + PIXEL].copy_from_slice(values),
            None => strip[to..to + rows].copy_from_slice(&image[from..from + rows]),
        }
    }
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
