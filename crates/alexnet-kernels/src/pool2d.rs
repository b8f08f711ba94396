//! Pooling windows, shared by max-pooling and average pooling.

use std::ops::Range;

use crate::error::{self, Error};

/// Kernel size, stride, padding and rounding of a pooling; the windows are square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2dParams {
    /// Height and width of a window (`sizeX` in the 2012 configuration files); at least 1.
    pub kernel_size: usize,
    /// Pixels between neighboring windows; at least 1. The 2012 network pools 3×3 windows at stride 2, so they overlap.
    pub stride: usize,
    /// Pixels by which the first window extends beyond the image; at most half the kernel size. Padding is never read.
    pub padding: usize,
    /// Whether to keep a last window that is only partly inside the image (2012, Caffe) or not (PyTorch's default):
    /// PyTorch's `ceil_mode`.
    pub ceil: bool,
}

/// In a larger window, not all positions are distinct as `f32`.
const MAX_KERNEL: usize = 4096;

impl Pool2dParams {
    /// Windows of `kernel_size` every `stride` pixels, without padding; the output size is rounded down.
    pub const fn new(kernel_size: usize, stride: usize) -> Self {
        Self { kernel_size, stride, padding: 0, ceil: false }
    }

    /// Rounds the output size up, as the 2012 code and Caffe do.
    pub const fn with_ceil(self) -> Self {
        Self { ceil: true, ..self }
    }

    /// Sets the padding.
    pub const fn with_padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// Height and width of the output: `(size + 2·padding − kernel_size) / stride + 1` for each, the quotient rounded
    /// down or, with `ceil`, up; a window that would start beyond the image plus its left or top padding is dropped
    /// (PyTorch's and Caffe's rule).
    ///
    /// # Errors
    /// A kernel size or stride of 0, a kernel size above 4096, padding above half the kernel size, or a kernel larger than
    /// the padded image.
    pub fn output_size(&self, op: &'static str, [h, w]: [usize; 2]) -> Result<[usize; 2], Error> {
        let Self { kernel_size, stride, padding, ceil } = *self;
        if kernel_size == 0 || stride == 0 {
            let rule = format!("kernel_size and stride must be at least 1, but are {kernel_size} and {stride}");
            return error::parameter(op, rule);
        }
        if kernel_size > MAX_KERNEL {
            return error::parameter(op, format!("kernel_size must be at most {MAX_KERNEL}, but is {kernel_size}"));
        }
        if padding > kernel_size / 2 {
            let rule = format!("padding must be at most half the kernel_size {kernel_size}, but is {padding}");
            return error::parameter(op, rule);
        }
        let padded = |size: usize| size.checked_add(2 * padding).filter(|&padded| size > 0 && padded >= kernel_size);
        let (Some(padded_h), Some(padded_w)) = (padded(h), padded(w)) else {
            let rule = format!(
                "a {kernel_size}×{kernel_size} window does not fit an image of {h}×{w} with {padding} pixels of padding"
            );
            return error::parameter(op, rule);
        };
        Ok([(h, padded_h), (w, padded_w)].map(|(size, padded)| {
            let room = padded - kernel_size;
            if !ceil {
                return room / stride + 1;
            }
            let count = room.div_ceil(stride) + 1;
            let start = (count - 1).saturating_mul(stride);
            if start >= size + padding { count - 1 } else { count }
        }))
    }

    /// The part of the `i`-th window inside `0..size`, and how many of its pixels lie before 0.
    pub(crate) fn window(&self, i: usize, size: usize) -> (Range<usize>, usize) {
        let start = i * self.stride;
        let range = start.saturating_sub(self.padding)..(start + self.kernel_size - self.padding).min(size);
        (range, self.padding.saturating_sub(start))
    }
}

/// Validated sizes of one pooling of channels-last images.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool2dShape {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) params: Pool2dParams,
}

impl Pool2dShape {
    pub(crate) fn new(op: &'static str, x: &[usize], params: &Pool2dParams) -> Result<Self, Error> {
        let &[n, h, w, c] = x else {
            return error::shape(op, "x", "[n, h, w, c]", x);
        };
        if c == 0 {
            return error::shape(op, "x", "an image with at least one channel", x);
        }
        let [oh, ow] = params.output_size(op, [h, w])?;
        Ok(Self { n, h, w, c, oh, ow, params: *params })
    }

    pub(crate) fn input_len(&self) -> usize {
        self.h * self.w * self.c
    }

    pub(crate) fn output_len(&self) -> usize {
        self.oh * self.ow * self.c
    }

    pub(crate) fn output_dims(&self) -> [usize; 4] {
        [self.n, self.oh, self.ow, self.c]
    }

    pub(crate) fn check_output(&self, op: &'static str, name: &'static str, found: &[usize]) -> Result<(), Error> {
        if found == self.output_dims() {
            return Ok(());
        }
        error::shape(op, name, format!("{:?}", self.output_dims()), found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_sizes() {
        let size = |params: Pool2dParams, size| params.output_size("pool", [size, size]).map(|s| s[0]);
        for (input, output) in [(55, 27), (27, 13), (13, 6)] {
            assert_eq!(size(Pool2dParams::new(3, 2), input).unwrap(), output);
            assert_eq!(size(Pool2dParams::new(3, 2).with_ceil(), input).unwrap(), output);
        }
        assert_eq!(size(Pool2dParams::new(3, 2), 32).unwrap(), 15);
        assert_eq!(size(Pool2dParams::new(3, 2).with_ceil(), 32).unwrap(), 16);
        assert_eq!(size(Pool2dParams::new(2, 2).with_ceil(), 55).unwrap(), 28);
        assert_eq!(size(Pool2dParams::new(3, 2).with_padding(1), 112).unwrap(), 56);
        // A window that would start beyond the image is dropped.
        assert_eq!(size(Pool2dParams::new(1, 3).with_ceil(), 3).unwrap(), 1);
        assert!(size(Pool2dParams::new(5, 1), 4).unwrap_err().to_string().contains("5×5 window does not fit"));
        assert!(size(Pool2dParams::new(4097, 1), 5000).unwrap_err().to_string().contains("at most 4096, but is 4097"));
        assert!(size(Pool2dParams::new(3, 0), 4).is_err() && size(Pool2dParams::new(3, 1).with_padding(2), 4).is_err());
    }
}
