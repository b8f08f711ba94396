//! The GPU with a library, cuDNN: what it cannot do itself is done before and after.
//!
//! It wants the weight in the order (out, row, column, channel), and as many zeros on each side as on the one opposite:
//! where there are more below or to the right, as in the 2012 network's first layer, the image is copied with its zeros.

use candle_core::{DType, Result};

use super::{Conv2dShape, OP, Padding};
use crate::cuda::{Address, Convolution, Pass, Queue, Real, Sizes, arguments};
use crate::layout;

/// A convolution as the library sees it.
pub(super) struct Library<'a> {
    shape: &'a Conv2dShape,
    real: Real,
    /// Whether the image is copied with its zeros.
    padded: bool,
    sizes: Sizes,
}

impl<'a> Library<'a> {
    pub(super) fn new(shape: &'a Conv2dShape, real: Real) -> Self {
        let s = shape;
        let Padding { top, bottom, left, right } = s.params.padding;
        let padded = top != bottom || left != right;
        let [h, w] = if padded { [s.h + top + bottom, s.w + left + right] } else { [s.h, s.w] };
        let sizes = Sizes {
            n: s.n,
            h,
            w,
            in_channels: s.in_channels,
            out_channels: s.out_channels,
            kh: s.kh,
            kw: s.kw,
            oh: s.oh,
            ow: s.ow,
            stride: s.params.stride,
            padding: if padded { [0, 0] } else { [top, left] },
            groups: s.params.groups,
        };
        Self { shape, real, padded, sizes }
    }

    /// One pass: `x`, `weight` and `y` are the tensors or their gradients. False if the library cannot do it.
    pub(super) fn run(&self, queue: &dyn Queue, pass: Pass, [x, weight, y]: [Address; 3]) -> Result<bool> {
        let s = self.shape;
        if s.n == 0 || !queue.has_convolutions() {
            return Ok(false);
        }
        let weight_len = s.out_channels * s.taps();
        let image_len = if self.padded { s.n * self.sizes.h * self.sizes.w * s.in_channels } else { 0 };
        crate::cuda::count(OP, image_len)?;
        let weight_bytes = (weight_len * self.real.bytes()).next_multiple_of(256);
        let mut done = false;
        queue.with_scratch(weight_bytes + image_len * self.real.bytes(), &mut |scratch| {
            let dtype = if self.real == Real::F32 { DType::F32 } else { DType::BF16 };
            let packed = Address { at: scratch, len: weight_len, dtype };
            let image = match self.padded {
                true => Address { at: scratch + weight_bytes as u64, len: image_len, dtype },
                false => x,
            };
            let (taps, channels) = (s.kh * s.kw, s.group_in());
            if pass != Pass::Weight {
                layout::transpose_on(queue, OP, [weight, packed], s.out_channels, channels, taps)?;
            }
            if self.padded && pass != Pass::Input {
                queue.for_each(self.real, "im2col", image_len as u32, &self.copy([x, image], image_len))?;
            }
            let (real, sizes) = (self.real, self.sizes);
            done = queue.convolve(&Convolution { pass, real, sizes, x: image, weight: packed, y })?;
            if done && self.padded && pass == Pass::Input {
                queue.for_each(self.real, "col2im", x.count(OP)?, &self.copy([image, x], x.len))?;
            }
            if done && pass == Pass::Weight {
                layout::transpose_on(queue, OP, [packed, weight], s.out_channels, taps, channels)?;
            }
            Ok(())
        })?;
        Ok(done)
    }

    /// The parameters of `im2col` and `col2im` for windows of one pixel, which see the image with its zeros.
    fn copy(&self, [from, to]: [Address; 2], count: usize) -> [crate::cuda::Argument; 15] {
        let (s, Sizes { h, w, .. }) = (self.shape, self.sizes);
        let Padding { top, left, .. } = s.params.padding;
        let (one, channels) = (1usize, s.in_channels);
        *arguments![from, to, count, s.h, s.w, channels, h, w, one, one, one, top, left, 0usize, channels]
    }
}
