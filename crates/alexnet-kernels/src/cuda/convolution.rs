//! The parameters of a convolution by a library.

#![cfg_attr(
    not(any(feature = "cudnn", feature = "host-kernels", test)),
    expect(dead_code, reason = "without a library nothing reads these fields")
)]

use super::{Address, Real};

/// The result of a convolution call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// The forward pass: computes y.
    Forward,
    /// The gradient of x from that of y; the gradients take the place of x and y.
    Input,
    /// The gradient of the weight, in place of the weight, from that of y, in place of y.
    Weight,
}

/// The sizes of a convolution in the form that libraries support: channels-last images, a weight in the order (out, row,
/// column, channel), and symmetric padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sizes {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) kh: usize,
    pub(crate) kw: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) stride: usize,
    /// Rows of zeros above and below each, and columns of zeros left and right each.
    pub(crate) padding: [usize; 2],
    pub(crate) groups: usize,
}

/// A convolution and the addresses of its tensors; all have element type `real`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution {
    pub(crate) pass: Pass,
    pub(crate) real: Real,
    pub(crate) sizes: Sizes,
    pub(crate) x: Address,
    pub(crate) weight: Address,
    pub(crate) y: Address,
}
