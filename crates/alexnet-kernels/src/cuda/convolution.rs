//! Convolutions by a library.

#![cfg_attr(
    not(any(feature = "cudnn", feature = "host-kernels", test)),
    expect(dead_code, reason = "no library reads what it is told")
)]

use super::{Address, Real};

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    /// y.
    Forward,
    /// The gradient of x, in its place, from that of y, in its place.
    Input,
    /// The gradient of the weight, likewise.
    Weight,
}

/// The sizes of a convolution as libraries know it: channels-last images, a weight in the order (out, row, column,
/// channel), and as many zeros on each side as on the one opposite.
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
    /// Rows of zeros above and below, columns to the left and to the right.
    pub(crate) padding: [usize; 2],
    pub(crate) groups: usize,
}

/// A convolution and where its tensors are; all are of type `real`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution {
    pub(crate) pass: Pass,
    pub(crate) real: Real,
    pub(crate) sizes: Sizes,
    pub(crate) x: Address,
    pub(crate) weight: Address,
    pub(crate) y: Address,
}
