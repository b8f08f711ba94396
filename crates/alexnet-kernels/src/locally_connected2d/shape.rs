//! Validated sizes of one layer.

use candle_core::{Result, Tensor};

use super::OP;
use crate::conv2d::Conv2dParams;
use crate::error::{self, Error};

#[derive(Clone, Copy, Debug)]
pub(super) struct LocalShape {
    pub(super) n: usize,
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    pub(super) kh: usize,
    pub(super) kw: usize,
    pub(super) oh: usize,
    pub(super) ow: usize,
    pub(super) params: Conv2dParams,
}

impl LocalShape {
    /// From the shapes of x, `[n, h, w, c]`, and the weight, `[oh, ow, out, kh, kw, in / groups]`.
    pub(super) fn new(x: &[usize], weight: &[usize], params: &Conv2dParams) -> std::result::Result<Self, Error> {
        let &[n, h, w, in_channels] = x else {
            return error::shape(OP, "x", "[n, h, w, in_channels]", x);
        };
        let &[weight_oh, weight_ow, out_channels, kh, kw, group_channels] = weight else {
            return error::shape(OP, "weight", "[oh, ow, out_channels, kh, kw, in_channels / groups]", weight);
        };
        if h == 0 || w == 0 || in_channels == 0 {
            return error::shape(OP, "x", "an image of at least one pixel and one channel", x);
        }
        if out_channels == 0 {
            return error::shape(OP, "weight", "at least one output channel", weight);
        }
        let Conv2dParams { stride, padding, groups } = *params;
        if stride == 0 {
            return error::parameter(OP, "the stride must be at least 1, but is 0");
        }
        if groups == 0 || in_channels % groups != 0 || out_channels % groups != 0 {
            let rule = format!("{groups} groups do not divide {in_channels} input and {out_channels} output channels");
            return error::parameter(OP, rule);
        }
        let windows = |size: usize, before: usize, after: usize, kernel: usize| {
            let padded = size.checked_add(before)?.checked_add(after)?;
            // Kernels count with signed integers.
            if kernel == 0 || padded > i32::MAX as usize {
                None
            } else {
                Some(padded.checked_sub(kernel)? / stride + 1)
            }
        };
        let (Some(oh), Some(ow)) =
            (windows(h, padding.top, padding.bottom, kh), windows(w, padding.left, padding.right, kw))
        else {
            let rule = format!(
                "a {kh}×{kw} kernel does not fit an image of {h}×{w} with {padding:?}, or the padded image has a side \
                 above 2^31 − 1"
            );
            return error::parameter(OP, rule);
        };
        if [weight_oh, weight_ow] != [oh, ow] || group_channels != in_channels / groups {
            let channels = in_channels / groups;
            let expected = format!("[{oh}, {ow}, out_channels, {kh}, {kw}, {channels}] for x of shape {x:?}");
            return error::shape(OP, "weight", expected, weight);
        }
        let product = |sizes: &[usize]| sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        let rows = product(&[oh, ow, n.max(1), kh, kw, in_channels, size_of::<f32>()]);
        let outputs = product(&[oh, ow, n.max(1), out_channels, size_of::<f32>()]);
        if rows.is_none() || outputs.is_none() {
            let rule = format!(
                "{oh}×{ow} windows of {kh}×{kw} pixels, {in_channels} input and {out_channels} output channels for \
                 {n} images exceed the address space"
            );
            return error::parameter(OP, rule);
        }
        Ok(Self { n, h, w, in_channels, out_channels, kh, kw, oh, ow, params: *params })
    }

    pub(super) fn positions(&self) -> usize {
        self.oh * self.ow
    }

    pub(super) fn group_in(&self) -> usize {
        self.in_channels / self.params.groups
    }

    pub(super) fn group_out(&self) -> usize {
        self.out_channels / self.params.groups
    }

    /// Weight values of one output.
    pub(super) fn taps(&self) -> usize {
        self.kh * self.kw * self.group_in()
    }

    pub(super) fn output_dims(&self) -> [usize; 4] {
        [self.n, self.oh, self.ow, self.out_channels]
    }

    pub(super) fn bias_dims(&self) -> [usize; 3] {
        [self.oh, self.ow, self.out_channels]
    }

    pub(super) fn check(&self, name: &'static str, tensor: Option<&Tensor>, expected: &[usize]) -> Result<()> {
        match tensor {
            Some(t) if t.dims() != expected => Ok(error::shape(OP, name, format!("{expected:?}"), t.dims())?),
            _ => Ok(()),
        }
    }
}
