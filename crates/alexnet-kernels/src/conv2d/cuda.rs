//! Convolution on the GPU: by cuDNN if available ([`Library`]), otherwise by im2col: one row per output pixel with the values
//! of its window, multiplied by the weight.
//!
//! The batch is processed in parts of some images, so that the rows stay within [`ROW_BYTES`]; groups are a batched
//! product.

use candle_core::{DType, Result};

use super::folding::{Folding, fold, unfold};
use super::library::Library;
use super::{Conv2dShape, OP, Padding};
use crate::cuda::{Address, Gemm, Matrix, Pass, Queue, Real, arguments, common_real, in_vectors};
use crate::layout::{self, MemoryFormat};
use crate::{add, bias_relu};

/// Maximum memory for the rows of a part of the batch, unless one image needs more.
const ROW_BYTES: usize = 256 << 20;

/// `format` is the memory format of the weight: channels first, as in a parameter, or channels last.
pub(super) fn forward(
    queue: &dyn Queue,
    shape: &Conv2dShape,
    [x, weight, bias]: [Address; 3],
    format: MemoryFormat,
    relu: bool,
    y: Address,
) -> Result<()> {
    let real = common_real(OP, [("x", x), ("weight", weight), ("y", y)])?;
    y.count(OP)?;
    x.count(OP)?;
    if shape.n == 0 {
        return Ok(());
    }
    if Library::new(shape, real).forward(queue, [x, weight, bias, y], format, relu)? {
        return Ok(());
    }
    let parts = Parts::new(shape, real)?;
    queue.with_scratch(parts.bytes(), &mut |scratch| {
        let (rows, packed) = parts.divide(scratch);
        let packed = match format {
            MemoryFormat::ChannelsLast => weight,
            MemoryFormat::ChannelsFirst => {
                parts.pack_weight(queue, weight, packed)?;
                packed
            }
        };
        for images in parts.images() {
            parts.unfold(queue, x, images, rows)?;
            let (a, b) = (parts.rows(rows), Matrix { transposed: true, ..parts.weight(packed) });
            let c = parts.pixels(y, images);
            let m = images.1 * shape.oh * shape.ow;
            queue.gemm(&parts.product(m, shape.group_out(), shape.taps(), [a, b, c]))?;
        }
        Ok(())
    })?;
    bias_relu::add_bias(queue, OP, y, bias, shape.out_channels, relu)
}

/// Computes the gradients whose address is not [`Address::NONE`].
pub(super) fn backward(
    queue: &dyn Queue,
    shape: &Conv2dShape,
    [x, weight, grad_y]: [Address; 3],
    [grad_x, grad_weight, grad_bias]: [Address; 3],
) -> Result<()> {
    let real = common_real(OP, [("x", x), ("weight", weight), ("grad_y", grad_y), ("grad_x", grad_x)])?;
    grad_y.count(OP)?;
    x.count(OP)?;
    if grad_bias.is_some() {
        bias_relu::sum_rows(queue, OP, grad_y, grad_bias)?;
    }
    if shape.n == 0 {
        // An empty sum.
        return if grad_weight.is_some() { add::zero_on(queue, OP, grad_weight) } else { Ok(()) };
    }
    let (library, parts) = (Library::new(shape, real), Parts::new(shape, real)?);
    if grad_x.is_some() && !library.backward(queue, Pass::Input, [grad_x, weight, grad_y])? {
        queue.with_scratch(parts.bytes(), &mut |scratch| {
            let (rows, packed) = parts.divide(scratch);
            parts.pack_weight(queue, weight, packed)?;
            for images in parts.images() {
                let (a, b) = (parts.pixels(grad_y, images), parts.weight(packed));
                let m = images.1 * shape.oh * shape.ow;
                queue.gemm(&parts.product(m, shape.taps(), shape.group_out(), [a, b, parts.rows(rows)]))?;
                parts.fold(queue, rows, images, grad_x)?;
            }
            Ok(())
        })?;
    }
    if grad_weight.is_some() && !library.backward(queue, Pass::Weight, [x, grad_weight, grad_y])? {
        queue.with_scratch(parts.bytes(), &mut |scratch| {
            let (rows, packed) = parts.divide(scratch);
            // The sum over the parts of the batch is accumulated in `f32`.
            let packed = Address { dtype: DType::F32, ..packed };
            for images in parts.images() {
                parts.unfold(queue, x, images, rows)?;
                let a = Matrix { transposed: true, ..parts.pixels(grad_y, images) };
                let k = images.1 * shape.oh * shape.ow;
                let product =
                    parts.product(shape.group_out(), shape.taps(), k, [a, parts.rows(rows), parts.weight(packed)]);
                queue.gemm(&Gemm { result: Real::F32, accumulate: images.0 > 0, ..product })?;
            }
            parts.unpack_weight(queue, packed, grad_weight)
        })?;
    }
    Ok(())
}

/// A convolution divided into parts of the batch.
struct Parts<'a> {
    shape: &'a Conv2dShape,
    real: Real,
    /// Images in a part.
    images: usize,
}

impl<'a> Parts<'a> {
    fn new(shape: &'a Conv2dShape, real: Real) -> Result<Self> {
        let image = shape.oh * shape.ow * shape.taps() * shape.params.groups;
        // The kernels use 32-bit indices.
        let most = (ROW_BYTES / real.bytes()).min((1 << 31) - 1);
        let parts = Self { shape, real, images: (most / image).clamp(1, shape.n.max(1)) };
        crate::cuda::count(OP, image)?;
        Ok(parts)
    }

    fn rows_len(&self) -> usize {
        self.images * self.shape.oh * self.shape.ow * self.shape.taps() * self.shape.params.groups
    }

    fn weight_len(&self) -> usize {
        self.shape.out_channels * self.shape.taps()
    }

    /// Scratch bytes for the rows and for the weight, the latter at most `f32`.
    fn bytes(&self) -> usize {
        (self.rows_len() * self.real.bytes()).next_multiple_of(256) + self.weight_len() * size_of::<f32>()
    }

    fn divide(&self, scratch: u64) -> (Address, Address) {
        let dtype = if self.real == Real::F32 { DType::F32 } else { DType::BF16 };
        let behind = (self.rows_len() * self.real.bytes()).next_multiple_of(256) as u64;
        let rows = Address { at: scratch, len: self.rows_len(), dtype };
        (rows, Address { at: scratch + behind, len: self.weight_len(), dtype })
    }

    /// The parts: (first image, number of images).
    fn images(&self) -> impl Iterator<Item = (usize, usize)> {
        let (n, step) = (self.shape.n, self.images);
        (0..n).step_by(step).map(move |first| (first, step.min(n - first)))
    }

    /// The window values of the pixels of one part, group after group.
    fn rows(&self, rows: Address) -> Matrix {
        let step = self.images * self.shape.oh * self.shape.ow * self.shape.taps();
        Matrix { at: rows.at, row: self.shape.taps(), step, transposed: false }
    }

    fn weight(&self, packed: Address) -> Matrix {
        let taps = self.shape.taps();
        Matrix { at: packed.at, row: taps, step: self.shape.group_out() * taps, transposed: false }
    }

    /// The pixels of a part of a tensor shaped like y.
    fn pixels(&self, y: Address, (first, _): (usize, usize)) -> Matrix {
        let s = self.shape;
        let at = y.offset(first * s.oh * s.ow * s.out_channels).at;
        Matrix { at, row: s.out_channels, step: s.group_out(), transposed: false }
    }

    fn product(&self, m: usize, n: usize, k: usize, [a, b, c]: [Matrix; 3]) -> Gemm {
        let (real, batch) = (self.real, self.shape.params.groups);
        Gemm { real, result: real, m, n, k, a, b, c, accumulate: false, batch }
    }

    /// From (out, channel, row, column) to (out, row, column, channel), the order within the rows.
    fn pack_weight(&self, queue: &dyn Queue, weight: Address, packed: Address) -> Result<()> {
        let s = self.shape;
        layout::transpose_on(queue, OP, [weight, packed], s.out_channels, s.group_in(), s.kh * s.kw)
    }

    /// The inverse of `pack_weight`, from `f32` to the type of the gradient.
    fn unpack_weight(&self, queue: &dyn Queue, packed: Address, grad_weight: Address) -> Result<()> {
        let s = self.shape;
        layout::transpose_on(queue, OP, [packed, grad_weight], s.out_channels, s.kh * s.kw, s.group_in())
    }

    fn unfold(&self, queue: &dyn Queue, x: Address, images: (usize, usize), rows: Address) -> Result<()> {
        let s = self.shape;
        let count = images.1 * s.oh * s.ow * s.taps();
        let x = x.offset(images.0 * s.h * s.w * s.in_channels);
        for group in 0..s.params.groups {
            let to = rows.offset(group * self.rows(rows).step);
            unfold(queue, self.real, count, s.kw * s.group_in(), self.sizes(x, to, count, group))?;
        }
        Ok(())
    }

    fn fold(&self, queue: &dyn Queue, rows: Address, images: (usize, usize), grad_x: Address) -> Result<()> {
        let s = self.shape;
        let count = images.1 * s.h * s.w * s.group_in();
        let grad_x = grad_x.offset(images.0 * s.h * s.w * s.in_channels);
        for group in 0..s.params.groups {
            let from = rows.offset(group * self.rows(rows).step);
            fold(queue, self.real, count, self.sizes(from, grad_x, count, group))?;
        }
        Ok(())
    }

    fn sizes(&self, from: Address, to: Address, count: usize, group: usize) -> Folding {
        let s = self.shape;
        let Padding { top, left, .. } = s.params.padding;
        let (first, channels) = (group * s.group_in(), s.group_in());
        let vector = in_vectors(channels, [from, to]) && in_vectors(first, []) && in_vectors(s.in_channels, []);
        let arguments = *arguments![
            from,
            to,
            count,
            s.h,
            s.w,
            s.in_channels,
            s.oh,
            s.ow,
            s.kh,
            s.kw,
            s.params.stride,
            top,
            left,
            first,
            channels,
            vector
        ];
        Folding { arguments, vector }
    }
}
