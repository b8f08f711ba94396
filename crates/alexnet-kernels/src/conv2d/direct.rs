//! Convolution of channels-last images without unfolding.
//!
//! In a zero-padded image `[h, w, c]`, the window of an output pixel is a few runs of adjacent values: one per kernel
//! row when all channels are seen, one per tap when groups share the pixel. [`RowsTile`] takes a handful of such windows
//! as rows of a matrix product with the packed weights, so that every value is multiplied where it lies. What is copied
//! is the image, once, to put the zeros around it.
//!
//! The gradient of the input is a convolution too: of the padded gradient, with the weights mirrored and inputs and
//! outputs exchanged. At stride s, the input pixels fall into s² classes that see different taps, and each is a
//! convolution of its own, a [`Phase`].

use crate::gemm::tile::{Epilogue, RowsTile, Run, Tiles, cut};
use crate::parallel::{self, Shared};
use crate::scratch::{self, Scratch};

/// An image `[h, w, c]` within a frame of zeros.
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

    /// Whether there is anything to pad.
    pub(super) fn is_bare(&self) -> bool {
        (self.padded_h, self.padded_w) == (self.h, self.w)
    }

    /// Copies an image into its place in `padded`, whose frame is zero already.
    pub(super) fn place(&self, image: &[f32], padded: &mut [f32]) {
        let row = self.w * self.c;
        let start = (self.top * self.padded_w + self.left) * self.c;
        for (i, image) in image.chunks_exact(row).enumerate() {
            let start = start + i * self.padded_w * self.c;
            padded[start..start + row].copy_from_slice(image);
        }
    }

    /// Element of the padded image at a row and column, channel 0.
    pub(super) fn at(&self, row: usize, column: usize) -> usize {
        (row * self.padded_w + column) * self.c
    }

    /// The windows' runs: `kh` by `kw` taps of `channels` of the pixel's channels, k in the order (row, column, channel).
    pub(super) fn runs(&self, kh: usize, kw: usize, channels: usize) -> Vec<Run> {
        if channels == self.c {
            (0..kh).map(|u| Run { offset: self.at(u, 0), len: kw * channels }).collect()
        } else {
            let taps = (0..kh).flat_map(|u| (0..kw).map(move |v| (u, v)));
            taps.map(|(u, v)| Run { offset: self.at(u, v), len: channels }).collect()
        }
    }
}

/// Output pixels that see the same taps.
pub(super) struct Phase<'a> {
    /// Where the window of each pixel starts in the padded image, and where the pixel is in the output image.
    pub(super) windows: Vec<usize>,
    pub(super) pixels: Vec<usize>,
    pub(super) runs: Vec<Run>,
    /// Per group and panel of columns: `width` values per k ([`pack`]).
    pub(super) weight: &'a [f32],
}

impl Phase<'_> {
    fn taps(&self) -> usize {
        self.runs.iter().map(|run| run.len).sum()
    }
}

/// Packs the weights of one phase: `at(group, k, column)` for every k in `order` and column below `columns`, in panels of
/// `width` columns, the last filled up with zeros. `order` has each k once, best as the weights lie in memory.
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

/// A convolution, ready to run on any number of images.
pub(super) struct Direct<'a> {
    pub(super) tiles: Tiles,
    pub(super) frame: Frame,
    pub(super) groups: usize,
    /// Channels that a group reads and writes, and values of an output image.
    pub(super) group_in: usize,
    pub(super) group_out: usize,
    pub(super) output_len: usize,
    pub(super) phases: Vec<Phase<'a>>,
    /// One per output channel, or empty.
    pub(super) bias: &'a [f32],
    pub(super) relu: bool,
}

impl Direct<'_> {
    /// Writes the images of `y` from those of `x`.
    pub(super) fn run(&self, x: &[f32], y: &mut [f32]) {
        let n = x.len() / self.frame.image_len().max(1);
        let pieces = self.pieces();
        let y = Shared::new(y);
        let image = |i: usize| &x[i * self.frame.image_len()..(i + 1) * self.frame.image_len()];
        let output = |i: usize| y.start().wrapping_add(i * self.output_len);

        if n >= 4 * parallel::threads() {
            // A thread does whole images, so that one image's input and output stay in its own cache.
            let tasks = n.min(8 * parallel::threads());
            parallel::for_each(tasks, |task| {
                let mut padded = self.frame_of_zeros();
                for i in task * n / tasks..(task + 1) * n / tasks {
                    let padded = self.padded(image(i), &mut padded);
                    pieces.iter().for_each(|piece| self.piece(piece, padded, output(i)));
                }
            });
        } else {
            // Too few images: the threads share the pieces of each.
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

    /// Cuts an output image: (phase, group, panel, pixels), enough of them for all threads.
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
            // SAFETY: the windows and runs were made for this frame, so that all they lead to lies in the padded image;
            // the weights have `width` values per tap; the pixels are those of one output image, of which this piece
            // alone writes these rows and channels.
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
