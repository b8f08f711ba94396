//! Convolution on the GPU by a library, cuDNN. Steps that cuDNN does not support, or does slowly, run before and after it.
//!
//! cuDNN requires the weight in the order (out, row, column, channel) and symmetric padding: where there is more padding
//! below or to the right, as in the 2012 network's first layer, the image is copied with its padding.
//!
//! Tensor cores need many channels, and an RGB image has three. A convolution at stride s is also a convolution at stride 1
//! over blocks of s×s pixels, where the channels of a block are those of all its pixels (space-to-depth): 11×11 at stride 4
//! over 3 channels is 3×3 at stride 1 over 48, with zeros because 12 is larger than 11. In this case the image and the
//! weight are copied to blocks.
//!
//! For grouped convolutions cuDNN copies both tensors itself, slowly: on an H100 the 2012 network's second layer ran at 161
//! TFLOP/s. Therefore each group is copied to separate images and is a separate convolution; in the forward pass the result
//! is copied back by the kernel that adds the bias.

use candle_core::{DType, Result};

use super::folding::{Folding, fold, unfold};
use super::{Conv2dShape, OP, Padding};
use crate::cuda::{self, Address, Convolution, Pass, Queue, Real, Sizes, arguments, in_vectors};
use crate::layout::{self, MemoryFormat};
use crate::{bias_relu, concat};

/// Images with at least this many channels are not converted to blocks.
const FEW_CHANNELS: usize = 8;

/// A convolution in the form that the library computes.
pub(super) struct Library<'a> {
    shape: &'a Conv2dShape,
    real: Real,
    /// Whether the image is copied, with its padding, in blocks of `block` rows and columns.
    copied: bool,
    block: usize,
    /// Whether each group is copied to separate images; `sizes` are then those of one group.
    split: bool,
    sizes: Sizes,
}

impl<'a> Library<'a> {
    pub(super) fn new(shape: &'a Conv2dShape, real: Real) -> Self {
        let s = shape;
        let Padding { top, bottom, left, right } = s.params.padding;
        let stride = s.params.stride;
        let few = s.params.groups == 1 && s.in_channels < FEW_CHANNELS;
        let block = if few && stride <= s.kh && stride <= s.kw { stride } else { 1 };
        let copied = block > 1 || top != bottom || left != right;
        let (kh, kw, step) = (s.kh.div_ceil(block), s.kw.div_ceil(block), stride / block);
        let split = s.params.groups > 1 && in_vectors(s.group_in(), []) && in_vectors(s.group_out(), []);
        let groups = if split { s.params.groups } else { 1 };
        // The part of the image that the windows cover.
        let [h, w] = if copied { [(s.oh - 1) * step + kh, (s.ow - 1) * step + kw] } else { [s.h, s.w] };
        let sizes = Sizes {
            n: s.n,
            h,
            w,
            in_channels: s.in_channels / groups * block * block,
            out_channels: s.out_channels / groups,
            kh,
            kw,
            oh: s.oh,
            ow: s.ow,
            stride: step,
            padding: if copied { [0, 0] } else { [top, left] },
            groups: s.params.groups / groups,
        };
        Self { shape, real, copied, block, split, sizes }
    }

    /// Forward pass with the optional bias and, with `relu`, a ReLU. `format` is the memory format of the weight: channels
    /// first, or last as the library requires. False if the library does not support the convolution.
    pub(super) fn forward(
        &self,
        queue: &dyn Queue,
        [x, weight, bias, y]: [Address; 4],
        format: MemoryFormat,
        relu: bool,
    ) -> Result<bool> {
        let done = self.run(queue, Pass::Forward, [x, weight, y], format, (bias, relu))?;
        if done && !self.split {
            bias_relu::add_bias(queue, OP, y, bias, self.shape.out_channels, relu)?;
        }
        Ok(done)
    }

    /// A gradient: `x`, `weight` and `y` are the tensors or their gradients; the weight is channels first.
    pub(super) fn backward(&self, queue: &dyn Queue, pass: Pass, tensors: [Address; 3]) -> Result<bool> {
        self.run(queue, pass, tensors, MemoryFormat::ChannelsFirst, (Address::NONE, false))
    }

    fn run(
        &self,
        queue: &dyn Queue,
        pass: Pass,
        [x, weight, y]: [Address; 3],
        format: MemoryFormat,
        (bias, relu): (Address, bool),
    ) -> Result<bool> {
        let s = self.shape;
        if s.n == 0 || !queue.has_convolutions() {
            return Ok(false);
        }
        let dtype = if self.real == Real::F32 { DType::F32 } else { DType::BF16 };
        let Sizes { h, w, kh, kw, .. } = self.sizes;
        let ordered = format == MemoryFormat::ChannelsLast;
        let pixel = self.block * self.block * s.in_channels;
        // The channels-last weight, the weight in blocks, the image, and the separate images and results of the groups.
        let lens = [
            if ordered { 0 } else { s.out_channels * s.taps() },
            if self.block > 1 { s.out_channels * kh * kw * (pixel / s.params.groups) } else { 0 },
            if self.copied { s.n * h * w * pixel } else { 0 },
            if self.split { s.n * h * w * pixel } else { 0 },
            if self.split { y.len } else { 0 },
        ];
        let mut bytes = 0;
        let mut offsets = [0; 5];
        for (offset, len) in offsets.iter_mut().zip(lens) {
            cuda::count(OP, len)?;
            *offset = bytes as u64;
            bytes += (len * self.real.bytes()).next_multiple_of(256);
        }
        let mut done = false;
        queue.with_scratch(bytes, &mut |scratch| {
            let part = |i: usize| Address { at: scratch + offsets[i], len: lens[i], dtype };
            let in_order = if ordered { weight } else { part(0) };
            let packed = if self.block > 1 { part(1) } else { in_order };
            let image = if self.copied { part(2) } else { x };
            let (taps, channels) = (s.kh * s.kw, s.group_in());
            if pass != Pass::Weight {
                if !ordered {
                    layout::transpose_on(queue, OP, [weight, in_order], s.out_channels, channels, taps)?;
                }
                if self.block > 1 {
                    let blocks = self.weight_blocks([in_order, packed], packed);
                    self.unfold(queue, packed.len, blocks)?;
                }
            }
            if self.copied && pass != Pass::Input {
                self.unfold(queue, image.len, self.image_blocks([x, image], image))?;
            }
            done = if self.split {
                let groups = Groups { image, images: part(3), weight: packed, y, results: part(4) };
                self.convolve_groups(queue, pass, &groups, (bias, relu))?
            } else {
                let (real, sizes) = (self.real, self.sizes);
                queue.convolve(&Convolution { pass, real, sizes, x: image, weight: packed, y })?
            };
            if done && self.copied && pass == Pass::Input {
                fold(queue, self.real, x.count(OP)? as usize, self.image_blocks([image, x], x))?;
            }
            if done && pass == Pass::Weight {
                if self.block > 1 {
                    let blocks = self.weight_blocks([packed, in_order], in_order);
                    fold(queue, self.real, in_order.len, blocks)?;
                }
                layout::transpose_on(queue, OP, [in_order, weight], s.out_channels, taps, channels)?;
            }
            Ok(())
        })?;
        Ok(done)
    }

    /// One convolution per group.
    fn convolve_groups(
        &self,
        queue: &dyn Queue,
        pass: Pass,
        all: &Groups,
        (bias, relu): (Address, bool),
    ) -> Result<bool> {
        let (groups, real, sizes) = (self.shape.params.groups, self.real, self.sizes);
        let (group_in, group_out) = (sizes.in_channels, sizes.out_channels);
        let [images, results, weights] = [all.images, all.results, all.weight].map(|whole| whole.len / groups);
        let of_group = |whole: Address, len: usize, group: usize| Address { len, ..whole.offset(group * len) };
        for group in 0..groups {
            let x = of_group(all.images, images, group);
            let weight = of_group(all.weight, weights, group);
            let y = of_group(all.results, results, group);
            let in_image = (all.image, group_in * groups, group * group_in);
            let in_y = (all.y, group_out * groups, group * group_out);
            if pass != Pass::Input {
                concat::copy_columns_on(queue, OP, in_image, (x, group_in, 0), images, group_in)?;
            }
            if pass != Pass::Forward {
                concat::copy_columns_on(queue, OP, in_y, (y, group_out, 0), results, group_out)?;
            }
            if !queue.convolve(&Convolution { pass, real, sizes, x, weight, y })? {
                return Ok(false);
            }
            if pass == Pass::Input {
                concat::copy_columns_on(queue, OP, (x, group_in, 0), in_image, images, group_in)?;
            }
            if pass == Pass::Forward {
                let bias = if bias.is_some() { of_group(bias, group_out, group) } else { bias };
                let (to, width) = (all.y.offset(group * group_out), group_out * groups);
                bias_relu::add_bias_into(queue, OP, y, (to, width), bias, group_out, relu)?;
            }
        }
        Ok(true)
    }

    fn unfold(&self, queue: &dyn Queue, count: usize, folding: Folding) -> Result<()> {
        unfold(queue, self.real, count, self.block * self.shape.in_channels, folding)
    }

    /// The parameters of `im2col` and `col2im` for an image, to or from its blocks; `result` is the output.
    fn image_blocks(&self, tensors: [Address; 2], result: Address) -> Folding {
        let (s, Sizes { h, w, .. }) = (self.shape, self.sizes);
        let Padding { top, left, .. } = s.params.padding;
        self.blocks(tensors, result, [s.h, s.w], [h, w], [top, left])
    }

    /// The same for the weight, each of whose output channels is treated as an image.
    fn weight_blocks(&self, tensors: [Address; 2], result: Address) -> Folding {
        let (s, Sizes { kh, kw, .. }) = (self.shape, self.sizes);
        self.blocks(tensors, result, [s.kh, s.kw], [kh, kw], [0, 0])
    }

    /// Blocks are non-overlapping windows.
    fn blocks(
        &self,
        [from, to]: [Address; 2],
        result: Address,
        [h, w]: [usize; 2],
        [rows, columns]: [usize; 2],
        [top, left]: [usize; 2],
    ) -> Folding {
        let (c, b) = (self.shape.in_channels, self.block);
        let vector = in_vectors(c, [from, to]);
        let arguments =
            *arguments![from, to, result.len, h, w, c, rows, columns, b, b, b, top, left, 0usize, c, vector];
        Folding { arguments, vector }
    }
}

/// The tensors of a grouped convolution: `image` and `y`, whose pixels contain all groups, and `images`, `weight` and
/// `results`, which contain the groups one after the other.
struct Groups {
    image: Address,
    images: Address,
    weight: Address,
    y: Address,
    results: Address,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::Conv2dParams;

    fn shape(x: [usize; 4], weight: [usize; 4], stride: usize, padding: Padding, groups: usize) -> Conv2dShape {
        Conv2dShape::new(&x, &weight, &Conv2dParams { stride, padding, groups }).unwrap()
    }

    #[test]
    fn colors_become_blocks_and_all_else_stays() {
        let of = |shape: &Conv2dShape| {
            let library = Library::new(shape, Real::Bf16);
            let Sizes { h, w, in_channels, kh, kw, stride, .. } = library.sizes;
            (library.copied, [h, w, in_channels], [kh, kw, stride])
        };
        // The paper's and torchvision's first layers.
        let first = shape([1, 224, 224, 3], [96, 3, 11, 11], 4, Padding::symmetric(0).with_extra(3), 1);
        assert_eq!(of(&first), (true, [57, 57, 48], [3, 3, 1]));
        let first = shape([1, 224, 224, 3], [64, 3, 11, 11], 4, Padding::symmetric(2), 1);
        assert_eq!(of(&first), (true, [57, 57, 48], [3, 3, 1]));
        // A second layer; a strided layer with enough channels; pixels that no window covers.
        let second = shape([1, 27, 27, 96], [256, 48, 5, 5], 1, Padding::symmetric(2), 2);
        assert_eq!(of(&second), (false, [27, 27, 48], [5, 5, 1]));
        let strided = shape([1, 27, 27, 16], [32, 16, 3, 3], 2, Padding::symmetric(1), 1);
        assert_eq!(of(&strided), (false, [27, 27, 16], [3, 3, 2]));
        let sparse = shape([1, 9, 9, 3], [4, 3, 2, 2], 3, Padding::symmetric(0).with_extra(1), 1);
        assert_eq!(of(&sparse), (true, [8, 8, 3], [2, 2, 3]));
    }
}
