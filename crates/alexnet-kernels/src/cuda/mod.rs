//! Operations on NVIDIA GPUs.
//!
//! An operation's `cuda.rs` determines the kernels and grids, and launches them on a [`Queue`]: that of the GPU (`gpu.rs`,
//! with the feature `cuda`) or, in tests, its emulation on the CPU (`host.rs`). It is compiled in every build, so that the
//! compiler always checks it; without a GPU, [`run`] returns `None`.

#![cfg_attr(
    not(any(feature = "cuda", feature = "host-kernels", test)),
    expect(dead_code, reason = "without a queue nothing reads these fields")
)]

mod convolution;
#[cfg(feature = "cudnn")]
pub(crate) mod cudnn;
#[cfg(all(feature = "cuda", target_os = "linux", target_arch = "x86_64"))]
#[allow(non_snake_case)] // The names are the driver's.
mod driver;
#[cfg(feature = "cuda")]
mod gpu;
#[cfg(any(test, feature = "host-kernels"))]
pub(crate) mod host;
mod product;
#[cfg(feature = "cuda")]
pub(crate) mod transfer;

use candle_core::{CudaStorage, DType, Device, Layout, Result, Shape, Tensor};

use crate::error::{self, Error};
pub(crate) use convolution::{Convolution, Pass, Sizes};
pub(crate) use product::{Gemm, Matrix};

/// The element type of activations and gradients, `real` in the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Real {
    F32,
    Bf16,
}

impl Real {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// The device address, length and element type of a tensor. An omitted tensor has address 0 and no values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) at: u64,
    pub(crate) len: usize,
    pub(crate) dtype: DType,
}

impl Address {
    pub(crate) const NONE: Self = Self { at: 0, len: 0, dtype: DType::F32 };

    pub(crate) fn is_some(self) -> bool {
        self.at != 0
    }

    /// The address `elements` values further on.
    pub(crate) fn offset(self, elements: usize) -> Self {
        let at = self.at + (elements * self.dtype.size_in_bytes()) as u64;
        Self { at, len: self.len.saturating_sub(elements), ..self }
    }

    /// The element type as a [`Real`]; fails for other types.
    pub(crate) fn real(self, op: &'static str, name: &'static str) -> Result<Real> {
        match self.dtype {
            DType::F32 => Ok(Real::F32),
            DType::BF16 => Ok(Real::Bf16),
            found => Err(Error::DType { op, name, expected: "f32 or bf16", found: found.as_str() }.into()),
        }
    }

    /// Fails unless the tensor is omitted or has this type.
    pub(crate) fn expect(self, op: &'static str, name: &'static str, dtype: DType) -> Result<()> {
        if !self.is_some() || self.dtype == dtype {
            return Ok(());
        }
        Err(Error::DType { op, name, expected: dtype.as_str(), found: self.dtype.as_str() }.into())
    }

    /// The number of values, for the kernels' loops, which use 32-bit indices.
    pub(crate) fn count(self, op: &'static str) -> Result<u32> {
        count(op, self.len)
    }
}

/// The common element type of all tensors that are not omitted; fails if they differ.
pub(crate) fn common_real<const N: usize>(op: &'static str, tensors: [(&'static str, Address); N]) -> Result<Real> {
    let mut present = tensors.into_iter().filter(|(_, tensor)| tensor.is_some());
    let Some((name, first)) = present.next() else {
        return Ok(Real::F32);
    };
    let real = first.real(op, name)?;
    for (name, tensor) in present {
        tensor.expect(op, name, first.dtype)?;
    }
    Ok(real)
}

/// `len` as `u32`, for kernels, whose 32-bit loop counters may exceed it by one grid; fails from 2^31 on.
pub(crate) fn count(op: &'static str, len: usize) -> Result<u32> {
    if len < 1 << 31 {
        return Ok(len as u32);
    }
    Ok(error::parameter(op, format!("on a GPU a tensor must have fewer than 2^31 values, but has {len}"))?)
}

/// Number of neighboring values that a thread moves at once: `VECTOR` in `kernel.cuh`.
pub(crate) const VECTOR: usize = 8;

/// Whether kernels may move [`VECTOR`] values at once: runs of values, such as a pixel's channels, are whole vectors, and
/// these tensors are 16-byte aligned. An omitted tensor counts as aligned.
pub(crate) fn in_vectors<const N: usize>(run: usize, tensors: [Address; N]) -> bool {
    run.is_multiple_of(VECTOR) && tensors.iter().all(|tensor| tensor.at.is_multiple_of(16))
}

/// A kernel argument.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument {
    Address(u64),
    U32(u32),
    F32(f32),
}

impl From<Address> for Argument {
    fn from(address: Address) -> Self {
        Self::Address(address.at)
    }
}

impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<bool> for Argument {
    fn from(value: bool) -> Self {
        Self::U32(value.into())
    }
}

/// Sizes. Sizes of tensors are below 2^31 ([`count`]); a stride may be larger and is clamped, since there is then only one
/// window.
impl From<usize> for Argument {
    fn from(value: usize) -> Self {
        Self::U32(value.min(i32::MAX as usize) as u32)
    }
}

impl From<f32> for Argument {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}

/// The arguments of a kernel, in the order of its parameters.
macro_rules! arguments {
    ($($value:expr),* $(,)?) => { &[$($crate::cuda::Argument::from($value)),*] };
}
pub(crate) use arguments;

/// The launch configuration: number of blocks, and threads per block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) blocks: [u32; 3],
    pub(crate) threads: [u32; 3],
}

/// Executes work in the order in which it is queued.
pub(crate) trait Queue {
    /// Launches a kernel of the module for `real`.
    fn launch(&self, real: Real, kernel: &'static str, grid: Grid, arguments: &[Argument]) -> Result<()>;

    /// The grid for a loop over `count` values (`FOR_EACH`).
    fn grid_for(&self, count: u32) -> Grid;

    /// A matrix product.
    fn gemm(&self, product: &Gemm) -> Result<()>;

    /// Whether a convolution library is available.
    fn has_convolutions(&self) -> bool {
        false
    }

    /// A convolution by the library; returns false if the library does not support it.
    fn convolve(&self, _: &Convolution) -> Result<bool> {
        Ok(false)
    }

    /// Calls `f` with the address of `bytes` bytes of scratch memory, contents unspecified, valid during the call only. Must
    /// not be nested: `f` must not call it again.
    fn with_scratch(&self, bytes: usize, f: &mut dyn FnMut(u64) -> Result<()>) -> Result<()>;
}

impl dyn Queue + '_ {
    /// Launches a kernel that loops over `count` values; does nothing if `count` is 0.
    pub(crate) fn for_each(&self, real: Real, kernel: &'static str, count: u32, arguments: &[Argument]) -> Result<()> {
        self.for_vectors(real, kernel, count, false, arguments)
    }

    /// Launches a kernel that loops over `count` values, or over vectors of them.
    pub(crate) fn for_vectors(
        &self,
        real: Real,
        kernel: &'static str,
        count: u32,
        in_vectors: bool,
        arguments: &[Argument],
    ) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let tasks = if in_vectors { count / VECTOR as u32 } else { count };
        self.launch(real, kernel, self.grid_for(tasks), arguments)
    }
}

/// A named tensor argument; `None` if omitted.
pub(crate) type Named<'a> = (&'static str, Option<&'a Tensor>);

/// Whether operations on tensors on `device` run on a [`Queue`].
pub(crate) fn serves(device: &Device) -> bool {
    #[cfg(any(test, feature = "host-kernels"))]
    if host::forced().is_some() {
        return true;
    }
    device.is_cuda()
}

/// If the tensors are on a GPU, calls `f` with their addresses; otherwise returns `None` without calling `f`. All must be
/// contiguous and on the same device.
pub(crate) fn run<const R: usize, const W: usize>(
    op: &'static str,
    reads: [Named<'_>; R],
    writes: [Named<'_>; W],
    f: impl FnOnce(&dyn Queue, [Address; R], [Address; W]) -> Result<()>,
) -> Option<Result<()>> {
    #[cfg(any(test, feature = "host-kernels"))]
    if let Some(host) = host::forced() {
        return Some(host.run(op, reads, writes, f));
    }
    #[cfg(feature = "cuda")]
    if let Some(gpu) = reads.iter().chain(&writes).find_map(|(_, tensor)| gpu::Gpu::of((*tensor)?)) {
        return Some(gpu.run(op, reads, writes, f));
    }
    let _ = (op, reads, writes, f);
    None
}

/// A tensor of a custom operation: its name, storage and layout.
pub(crate) type Stored<'a> = (&'static str, &'a CudaStorage, &'a Layout);

/// For custom operations: calls `f` with the addresses of contiguous inputs and of a new tensor of shape `dims` and type
/// `dtype` (default: the type of the first input), and returns the new tensor.
#[cfg_attr(not(feature = "cuda"), expect(unused_variables))]
pub(crate) fn apply<const R: usize>(
    op: &'static str,
    inputs: [Stored<'_>; R],
    dims: impl Into<Shape>,
    dtype: Option<DType>,
    f: impl FnOnce(&dyn Queue, [Address; R], Address) -> Result<()>,
) -> Result<(CudaStorage, Shape)> {
    #[cfg(feature = "cuda")]
    return gpu::apply(op, inputs, dims.into(), dtype, f);
    #[cfg(not(feature = "cuda"))]
    Err(candle_core::Error::NotCompiledWithCudaSupport)
}
