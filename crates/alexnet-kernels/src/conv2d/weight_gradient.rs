//! The gradient of the weights, computed directly.
//!
//! grad_weight\[k\]\[o\] = Σ_pixels window\[pixel\]\[k\] · grad_y\[pixel\]\[o\]: a matrix product whose inner dimension is
//! the pixels of all images. It is computed in blocks of pixels, which are rows of one image or a few whole images: the
//! longer a block, the less often the sums, too many for any cache, are read and written; the shorter, the closer to the
//! core the summed values stay.
//!
//! The block's part of `grad_y` is packed into panels as wide as a register tile. The few channels of a register tile are
//! packed into a strip of adjacent pixels, and the same strip is used for every tap: for tap (u, v), output pixel (i, j)
//! reads the strip's pixel (i·stride + u, j·stride + v). The L2 cache holds the strips of some channels while all panels are
//! multiplied with them. The sums are stored in the order in which the tiles are computed. If an image has fewer channels
//! than a register tile has rows, as in the first layer, the taps of one kernel row are already adjacent, and are read in
//! place.

use std::ops::Range;

use super::Conv2dShape;
use super::cpu::input_frame;
use super::direct::Frame;
use crate::backend::CpuIsa;
use crate::gemm::packed::pack_rows;
use crate::gemm::tile::{ColumnsTile, Epilogue, Tiles, cut};
use crate::parallel::{self, Shared};
use crate::scratch;

/// The batch is divided into at most this many parts whose gradients are added at the end, in order. This bounds the memory
/// of the partial sums. It does not depend on the number of threads, so neither does the result.
const PARTS: usize = 8;
/// Maximum number of output pixels in a block.
const BLOCK: usize = 768;
/// Number of values of the strips that are used together: 192 KB of an L2 cache of 512 KB.
const STRIPS: usize = 48 * 1024;
/// Values copied at once for a pixel of a strip, at least the number of rows of a register tile.
const PIXEL: usize = 16;

pub(super) fn backward_weight(isa: CpuIsa, s: &Conv2dShape, x: &[f32], grad_y: &[f32], grad_weight: &mut [f32]) {
    let plan = Plan::new(isa, s);
    let part_len = plan.part_len;
    let parts = s.n.clamp(1, PARTS);
    // With more threads than parts, the panels of each part are distributed as well.
    let panels = s.params.groups * plan.panels;
    let bands = (2 * parallel::threads()).div_ceil(parts).min(panels);
    let mut sums = scratch::take(parts * part_len);
    let shared = Shared::new(&mut sums);
    parallel::for_each(parts * bands, |task| {
        let (part, band) = (task / bands, task % bands);
        let panels = band * panels / bands..(band + 1) * panels / bands;
        let images = part * s.n / parts..(part + 1) * s.n / parts;
        let mine = part * part_len + panels.start * plan.panel_len()..part * part_len + panels.end * plan.panel_len();
        // SAFETY: each panel of a part belongs to exactly one task.
        let sums = unsafe { shared.slice(mine) };
        if images.is_empty() {
            sums.fill(0.0);
        }
        plan.add_images(images, panels, x, grad_y, sums);
    });
    plan.add_parts(&sums, grad_weight);
}

/// Some output rows of some images: either all rows, or a single image.
#[derive(Clone)]
struct Block {
    images: Range<usize>,
    rows: Range<usize>,
}

/// How the work is divided.
struct Plan<'a> {
    s: &'a Conv2dShape,
    tiles: Tiles,
    frame: Frame,
    /// Panels of output channels per group.
    panels: usize,
    /// Maximum images and output rows of a block: either a single image, or all rows.
    images: usize,
    rows: usize,
    /// Number of sums: `[groups, panels, taps, width]`, the taps in the order of the register tiles.
    part_len: usize,
    /// Whether register tiles read the padded images directly.
    in_place: bool,
    /// Register tiles of channels, (first, count), whose strips are used together.
    chunks: Vec<Vec<(usize, usize)>>,
}

/// The operands of a block's register tiles.
struct Operands<'a> {
    padded: &'a [f32],
    strips: &'a [f32],
    /// The panel of `grad_y`.
    panel: &'a [f32],
}

impl<'a> Plan<'a> {
    fn new(isa: CpuIsa, s: &'a Conv2dShape) -> Self {
        let (tiles, frame) = (Tiles::of(isa), input_frame(s));
        let panels = s.group_out().div_ceil(tiles.width());
        let pixels = (s.oh * s.ow).max(1);
        let images = (BLOCK / pixels).clamp(1, s.n.max(1));
        let rows = if pixels <= BLOCK { s.oh } else { (BLOCK / s.ow).max(1) };
        let in_place = s.params.groups == 1 && s.in_channels < tiles.max_rows;
        let strip = images * rows_seen(s, rows) * frame.padded_w * tiles.max_rows;
        let cuts: Vec<_> = if in_place { Vec::new() } else { cut(s.group_in(), tiles.max_rows).collect() };
        Self {
            s,
            tiles,
            frame,
            panels,
            images,
            rows,
            part_len: s.params.groups * panels * s.taps() * tiles.width(),
            in_place,
            // In place: a single chunk without a strip.
            chunks: if in_place {
                vec![Vec::new()]
            } else {
                cuts.chunks((STRIPS / strip.max(1)).max(1)).map(<[_]>::to_vec).collect()
            },
        }
    }

    fn panel_len(&self) -> usize {
        self.s.taps() * self.tiles.width()
    }

    /// Adds some images to the sums of some panels.
    fn add_images(&self, images: Range<usize>, panels: Range<usize>, x: &[f32], grad_y: &[f32], sums: &mut [f32]) {
        let (s, frame, width) = (self.s, self.frame, self.tiles.width());
        let bare = frame.is_bare();
        let mut padded = if bare { scratch::take(0) } else { scratch::zeroed(self.images * frame.padded_len()) };
        let pixels = self.images * self.rows * s.ow;
        let mut packed = scratch::take(panels.len() * pixels * width);
        let mut strips = scratch::take(self.strips_len());
        for first in images.clone().step_by(self.images) {
            let these = first..(first + self.images).min(images.end);
            let x = &x[these.start * frame.image_len()..these.end * frame.image_len()];
            let padded = if bare {
                x
            } else {
                for (image, padded) in
                    x.chunks_exact(frame.image_len()).zip(padded.chunks_exact_mut(frame.padded_len()))
                {
                    frame.place(image, padded);
                }
                &padded
            };
            for first_row in (0..s.oh).step_by(self.rows) {
                let block = Block { images: these.clone(), rows: first_row..(first_row + self.rows).min(s.oh) };
                let begun = first > images.start || first_row > 0;
                let epilogue = if begun { Epilogue::ACCUMULATE } else { Epilogue::STORE };
                let panel_len = block.images.len() * block.rows.len() * s.ow * width;
                for (panel, packed) in panels.clone().zip(packed.chunks_exact_mut(panel_len)) {
                    self.pack_panel(&block, panel, grad_y, packed);
                }
                for group in panels.start / self.panels..panels.end.div_ceil(self.panels) {
                    let of_group = (group * self.panels).max(panels.start)..((group + 1) * self.panels).min(panels.end);
                    for chunk in &self.chunks {
                        self.pack_strips(&block, group, chunk, padded, &mut strips);
                        for panel in of_group.clone() {
                            let i = panel - panels.start;
                            let operands = Operands {
                                padded,
                                strips: &strips,
                                panel: &packed[i * panel_len..(i + 1) * panel_len],
                            };
                            let sums = &mut sums[i * self.panel_len()..(i + 1) * self.panel_len()];
                            self.add(&block, group, chunk, &operands, epilogue, sums);
                        }
                    }
                }
            }
        }
    }

    fn strips_len(&self) -> usize {
        let tiles = self.chunks.iter().map(Vec::len).max().unwrap_or(0);
        let pixels = self.images * rows_seen(self.s, self.rows) * self.frame.padded_w;
        tiles * pixels * self.tiles.max_rows + PIXEL
    }

    /// The start of a block's windows in a padded image, for one group.
    fn top(&self, block: &Block, group: usize) -> usize {
        self.frame.at(block.rows.start * self.s.params.stride, 0) + group * self.s.group_in()
    }

    /// Number of a strip's pixels per image.
    fn strip_pixels(&self, block: &Block) -> usize {
        rows_seen(self.s, block.rows.len()) * self.frame.padded_w
    }

    /// Packs the block's part of some channels: for each register tile of channels, all pixels, image by image.
    fn pack_strips(&self, block: &Block, group: usize, chunk: &[(usize, usize)], padded: &[f32], strips: &mut [f32]) {
        let pixels = self.strip_pixels(block);
        let mut at = 0;
        for &(channel, rows) in chunk {
            for image in 0..block.images.len() {
                let top = image * self.frame.padded_len() + self.top(block, group) + channel;
                pack_strip(&padded[top..], self.frame.c, pixels, rows, &mut strips[at..]);
                at += pixels * rows;
            }
        }
    }

    /// Packs the block's part of one panel of `grad_y`.
    fn pack_panel(&self, block: &Block, panel: usize, grad_y: &[f32], packed: &mut [f32]) {
        let (s, width) = (self.s, self.tiles.width());
        let first = panel % self.panels * width;
        let columns = width.min(s.group_out() - first);
        // A block of several images contains all their rows, so its pixels are adjacent.
        let pixel = (block.images.start * s.oh + block.rows.start) * s.ow;
        let start = pixel * s.out_channels + panel / self.panels * s.group_out() + first;
        let pixels = block.images.len() * block.rows.len() * s.ow;
        pack_rows(&grad_y[start..], s.out_channels, pixels, columns, width, packed);
    }

    /// Adds the block to the sums of the chunk's channels, for one panel.
    fn add(
        &self,
        block: &Block,
        group: usize,
        chunk: &[(usize, usize)],
        operands: &Operands<'_>,
        epilogue: Epilogue,
        sums: &mut [f32],
    ) {
        let (s, width, stride) = (self.s, self.tiles.width(), self.s.params.stride);
        let (pixels, images, rows) = (self.strip_pixels(block), block.images.len(), block.rows.len());
        let mut at = chunk.first().map_or(0, |&(channel, _)| channel * s.kh * s.kw * width);
        self.each_tile(chunk, |(u, v, channel), count| {
            let (a, a_steps) = if self.in_place {
                let a = self.top(block, group) + self.frame.at(u, v) + channel;
                let steps = [self.frame.padded_len(), self.frame.at(stride, 0), self.frame.at(0, stride)];
                (operands.padded[a..].as_ptr(), steps)
            } else {
                let row = self.frame.padded_w * count;
                let first = (channel - chunk[0].0) * images * pixels;
                let a = first + u * row + v * count;
                (operands.strips[a..].as_ptr(), [pixels * count, stride * row, stride * count])
            };
            let tile = ColumnsTile {
                a,
                b: operands.panel.as_ptr(),
                counts: [images, rows, s.ow],
                a_steps,
                b_steps: [rows * s.ow * width, s.ow * width, width],
                c: sums[at..at + count * width].as_mut_ptr(),
                c_row: width,
                columns: width,
                epilogue,
            };
            at += count * width;
            // SAFETY: the steps stay within the windows of this block's pixels in the padded images or their strips, and
            // within the panel's packed pixels; the sums are `count` rows of `width`, checked above.
            unsafe { self.tiles.columns_tile(count, width)(&tile) }
        });
    }

    /// Calls `f(first tap, rows)` for each register tile of a chunk; a tap is (row, column, channel).
    fn each_tile(&self, chunk: &[(usize, usize)], mut f: impl FnMut((usize, usize, usize), usize)) {
        let s = self.s;
        if self.in_place {
            for u in 0..s.kh {
                for (start, rows) in cut(s.kw * s.in_channels, self.tiles.max_rows) {
                    f((u, start / s.in_channels, start % s.in_channels), rows);
                }
            }
            return;
        }
        for &(channel, rows) in chunk {
            for (u, v) in (0..s.kh).flat_map(|u| (0..s.kw).map(move |v| (u, v))) {
                f((u, v, channel), rows);
            }
        }
    }

    /// The index of each row of sums among the weight's taps (channel, row, column).
    fn order(&self) -> Vec<usize> {
        let s = self.s;
        let mut order = Vec::with_capacity(s.taps());
        for chunk in &self.chunks {
            self.each_tile(chunk, |(u, v, channel), rows| {
                for i in channel..channel + rows {
                    // In place, a register tile's rows may extend into the next column.
                    let (v, channel) = if self.in_place { (v + i / s.in_channels, i % s.in_channels) } else { (v, i) };
                    order.push((channel * s.kh + u) * s.kw + v);
                }
            });
        }
        order
    }

    /// Adds the parts and reorders taps and channels to the weight's order.
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

/// Number of rows of the padded image that the windows of `rows` output rows cover.
fn rows_seen(s: &Conv2dShape, rows: usize) -> usize {
    (rows.max(1) - 1) * s.params.stride + s.kh
}

/// Packs the first `rows` of the `c` values of each of `pixels` pixels contiguously.
fn pack_strip(image: &[f32], c: usize, pixels: usize, rows: usize, strip: &mut [f32]) {
    for pixel in 0..pixels {
        let (from, to) = (pixel * c, pixel * rows);
        // Always sixteen values: one or two moves, and the next pixel overwrites the excess.
        match image.get(from..from + PIXEL) {
            Some(values) => strip[to..to + PIXEL].copy_from_slice(values),
            None => strip[to..to + rows].copy_from_slice(&image[from..from + rows]),
        }
    }
}
