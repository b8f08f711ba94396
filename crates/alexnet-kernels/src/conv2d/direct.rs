//! Direct convolution of channels-last images, without im2col.
//!
//! In a zero-padded image `[h, w, c]`, the window of an output pixel consists of a few runs of adjacent values: one per
//! kernel row with a single group, one per tap with several groups. [`RowsTile`] takes a few such windows as rows of a
//! matrix product with the packed weights, reading every value in place. Only the image is copied, once, to add the zero
//! padding.
//!
//! The gradient of the input is also a convolution: of the padded gradient of the output, with mirrored weights and
//! exchanged inputs and outputs. At stride s, the input pixels fall into s² classes with different taps, and each class is a
//! separate convolution, a [`Phase`].

use crate::gemm::tile::{Epilogue, RowsTile, Run, Tiles, cut};
use crate::parallel::{self, Shared};
use crate::scratch::{self, Scratch};

/// An image `[h, w, c]` with zero padding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) c: usize,
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) padded_h: usize,
    pub(super) padded_w: usize,
}

impl Frame {
    pub(super) fn padded_len(&self) -> usize {
        self.padded_h * self.padded_w * self.c
    }

    pub(super) fn image_len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether there is no padding.
    pub(super) fn is_bare(&self) -> bool {
        (self.padded_h, self.padded_w) == (self.h, self.w)
    }

    /// Copies an image into the interior of `padded`, whose border is already zero.
    pub(super) fn place(&self, image: &[f32], padded: &mut [f32]) {
        let row = self.w * self.c;
        let start = (self.top * self.padded_w + self.left) * self.c;
        for (i, image) in image.chunks_exact(row).enumerate() {
            let start = start + i * self.padded_w * self.c;
            padded[start..start + row].copy_from_slice(image);
        }
    }

    /// Index of channel 0 of a pixel of the padded image.
    pub(super) fn at(&self, row: usize, column: usize) -> usize {
        (row * self.padded_w + column) * self.c
    }

    /// The runs of a window: `kh` by `kw` taps of `channels` channels of each pixel, k in the order (row, column, channel).
    pub(super) fn runs(&self, kh: usize, kw: usize, channels: usize) -> Vec<Run> {
        if channels == self.c {
            (0..kh).map(|u| Run { offset: self.at(u, 0), len: kw * channels }).collect()
        } else {
            let taps = (0..kh).flat_map(|u| (0..kw).map(move |v| (u, v)));
            taps.map(|(u, v)| Run { offset: self.at(u, v), len: channels }).collect()
        }
    }
}

/// Output pixels that use the same taps.
pub(super) struct Phase<'a> {
    /// The start of each pixel's window in the padded image, and the offset of the pixel in the output image.
    pub(super) windows: Vec<usize>,
    pub(super) pixels: Vec<usize>,
    pub(super) runs: Vec<Run>,
    /// Packed weights: per group and panel of columns, `width` values per k ([`pack`]).
    pub(super) weight: &'a [f32],
}

impl Phase<'_> {
    fn taps(&self) -> usize {
        self.runs.iter().map(|run| run.len).sum()
    }
}

/// Packs the weights of one phase: `at(group, k, column)` for every k in `order` and column below `columns`, in panels of
/// `width` columns, the last one zero-padded. `order` contains each k once, preferably in the memory order of the weights.
pub(super) fn pack(
    groups: usize,
    order: &[usize],
    columns: usize,
    width: usize,
    at: impl Fn(usize, usize, usize) -> f32 + Sync,
) -> Scratch {
    let taps = order.len();
    let panels = columns.div_ceil(width);
    let mut packed = scratch::take(groups * panels * taps * width);
    let shared = Shared::new(&mut packed);
    parallel::for_each(groups * panels, |i| {
        let (group, first) = (i / panels, i % panels * width);
        // SAFETY: one part per panel.
        let panel = unsafe { shared.slice(i * taps * width..(i + 1) * taps * width) };
        for &k in order {
            for (column, value) in (first..).zip(&mut panel[k * width..(k + 1) * width]) {
                *value = if column < columns { at(group, k, column) } else { 0.0 };
            }
        }
    });
    packed
}

/// A direct convolution for any number of images.
pub(super) struct Direct<'a> {
    pub(super) tiles: Tiles,
    pub(super) frame: Frame,
    pub(super) groups: usize,
    /// Input and output channels per group, and the number of values of an output image.
    pub(super) group_in: usize,
    pub(super) group_out: usize,
    pub(super) output_len: usize,
    pub(super) phases: Vec<Phase<'a>>,
    /// One per output channel, or empty.
    pub(super) bias: &'a [f32],
    pub(super) relu: bool,
}

impl Direct<'_> {
    /// Computes the images of `y` from those of `x`.
    pub(super) fn run(&self, x: &[f32], y: &mut [f32]) {
        let n = x.len() / self.frame.image_len().max(1);
        let pieces = self.pieces();
        let y = Shared::new(y);
        let image = |i: usize| &x[i * self.frame.image_len()..(i + 1) * self.frame.image_len()];
        let output = |i: usize| y.start().wrapping_add(i * self.output_len);

        if n >= 4 * parallel::threads() {
            // Each task processes whole images, so that an image's input and output stay in one core's cache.
            let tasks = n.min(8 * parallel::threads());
            parallel::for_each(tasks, |task| {
                let mut padded = self.frame_of_zeros();
                for i in task * n / tasks..(task + 1) * n / tasks {
                    let padded = self.padded(image(i), &mut padded);
                    pieces.iter().for_each(|piece| self.piece(piece, padded, output(i)));
                }
            });
        } else {
            // Too few images: the pieces of each image are distributed over the threads.
            let mut padded: Vec<Scratch> = (0..n).map(|_| self.frame_of_zeros()).collect();
            let padded: Vec<&[f32]> = padded.iter_mut().enumerate().map(|(i, p)| self.padded(image(i), p)).collect();
            parallel::for_each(n * pieces.len(), |i| {
                let (i, piece) = (i / pieces.len(), &pieces[i % pieces.len()]);
                self.piece(piece, padded[i], output(i));
            });
        }
    }

    fn frame_of_zeros(&self) -> Scratch {
        if self.frame.is_bare() { scratch::take(0) } else { scratch::zeroed(self.frame.padded_len()) }
    }

    fn padded<'b>(&self, image: &'b [f32], padded: &'b mut Scratch) -> &'b [f32] {
        if self.frame.is_bare() {
            return image;
        }
        self.frame.place(image, padded);
        padded
    }

    /// Divides an output image into pieces (phase, group, panel, pixels), enough for all threads.
    fn pieces(&self) -> Vec<Piece> {
        let panels = self.group_out.div_ceil(self.tiles.width());
        let mut pieces = Vec::new();
        for (phase, Phase { pixels, .. }) in self.phases.iter().enumerate() {
            let bands = (4 * parallel::threads()).div_ceil(self.groups * panels);
            for (group, panel) in (0..self.groups).flat_map(|g| (0..panels).map(move |p| (g, p))) {
                let size = pixels.len().div_ceil(bands).next_multiple_of(self.tiles.max_rows);
                for first in (0..pixels.len()).step_by(size.max(1)) {
                    pieces.push(Piece { phase, group, panel, first, count: size.min(pixels.len() - first) });
                }
            }
        }
        pieces
    }

    fn piece(&self, piece: &Piece, padded: &[f32], y: *mut f32) {
        let phase = &self.phases[piece.phase];
        let (taps, width) = (phase.taps(), self.tiles.width());
        let panels = self.group_out.div_ceil(width);
        let first_column = piece.panel * width;
        let columns = width.min(self.group_out - first_column);
        let channel = piece.group * self.group_out + first_column;
        let weight = &phase.weight[(piece.group * panels + piece.panel) * taps * width..][..taps * width];
        let bias = if self.bias.is_empty() { std::ptr::null() } else { self.bias[channel..][..columns].as_ptr() };
        for (start, rows) in cut(piece.count, self.tiles.max_rows) {
            let pixels = piece.first + start..piece.first + start + rows;
            let tile = RowsTile {
                a: padded[piece.group * self.group_in..].as_ptr(),
                a_rows: phase.windows[pixels.clone()].as_ptr(),
                runs: &phase.runs,
                b: weight.as_ptr(),
                b_step: width,
                c: y.wrapping_add(channel),
                c_rows: phase.pixels[pixels].as_ptr(),
                columns,
                epilogue: Epilogue { accumulate: false, bias, relu: self.relu },
            };
            // SAFETY: the windows and runs were built for this frame, so all elements they address are in the padded image;
            // the weights have `width` values per tap; the pixels are those of one output image, of which only this piece
            // writes these rows and channels.
            unsafe { self.tiles.rows_tile(rows, columns)(&tile) }
        }
    }
}

/// A part of an output image: some pixels of one phase, one panel of channels.
struct Piece {
    phase: usize,
    group: usize,
    panel: usize,
    first: usize,
    count: usize,
}
