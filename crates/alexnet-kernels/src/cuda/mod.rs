//! Operations on NVIDIA GPUs.
//!
//! An operation's `cuda.rs` says which kernels it launches over which grids, and asks a [`Queue`] to do it: the GPU's
//! (`gpu.rs`, with the feature `cuda`) or, in tests, that of a machine without one (`host.rs`). It is compiled in every
//! build, so that it is checked everywhere; [`run`] finds nothing to do where there is no GPU.

#![cfg_attr(
    not(any(feature = "cuda", feature = "host-kernels", test)),
    expect(dead_code, reason = "no queue reads what it is told")
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

/// Where a tensor's values begin on the device, how many there are, and of which type. A tensor that was left out has no
/// values and address 0.
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

    /// The same, `elements` further on.
    pub(crate) fn offset(self, elements: usize) -> Self {
        let at = self.at + (elements * self.dtype.size_in_bytes()) as u64;
        Self { at, len: self.len.saturating_sub(elements), ..self }
    }

    /// The type of activations and gradients that this is, if it is one.
    pub(crate) fn real(self, op: &'static str, name: &'static str) -> Result<Real> {
        match self.dtype {
            DType::F32 => Ok(Real::F32),
            DType::BF16 => Ok(Real::Bf16),
            found => Err(Error::DType { op, name, expected: "f32 or bf16", found: found.as_str() }.into()),
        }
    }

    /// Fails unless it is left out or has this type.
    pub(crate) fn expect(self, op: &'static str, name: &'static str, dtype: DType) -> Result<()> {
        if !self.is_some() || self.dtype == dtype {
            return Ok(());
        }
        Err(Error::DType { op, name, expected: dtype.as_str(), found: self.dtype.as_str() }.into())
    }

    /// How many values there are, for the loops of the kernels, which count in 32 bits.
    pub(crate) fn count(self, op: &'static str) -> Result<u32> {
        count(op, self.len)
    }
}

/// The type that all tensors which are not left out must have, that of the first.
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

/// `len`, for kernels, which count in 32 bits and go a grid beyond.
pub(crate) fn count(op: &'static str, len: usize) -> Result<u32> {
    if len < 1 << 31 {
        return Ok(len as u32);
    }
    Ok(error::parameter(op, format!("on a GPU a tensor has fewer than 2^31 values, but there are {len}"))?)
}

/// Neighboring values that a thread moves at once: `VECTOR` of `kernel.cuh`.
pub(crate) const VECTOR: usize = 8;

/// Whether kernels may move [`VECTOR`] values at once: runs of values, such as a pixel's channels, are whole vectors, and
/// these tensors begin at multiples of 16 bytes, which one that is left out does.
pub(crate) fn in_vectors<const N: usize>(run: usize, tensors: [Address; N]) -> bool {
    run.is_multiple_of(VECTOR) && tensors.iter().all(|tensor| tensor.at.is_multiple_of(16))
}

/// A kernel's parameter.
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

/// Sizes. Those of tensors are below 2^31 ([`count`]); a stride may be larger, and then no second window begins.
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

/// The parameters of a kernel, in its order.
macro_rules! arguments {
    ($($value:expr),* $(,)?) => { &[$($crate::cuda::Argument::from($value)),*] };
}
pub(crate) use arguments;

/// Blocks, and threads of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) blocks: [u32; 3],
    pub(crate) threads: [u32; 3],
}

/// What does the work in the order it was asked for.
pub(crate) trait Queue {
    /// Runs a kernel of the module for `real`.
    fn launch(&self, real: Real, kernel: &'static str, grid: Grid, arguments: &[Argument]) -> Result<()>;

    /// The grid for a loop over `count` values (`FOR_EACH`).
    fn grid_for(&self, count: u32) -> Grid;

    /// A matrix product.
    fn gemm(&self, product: &Gemm) -> Result<()>;

    /// Whether there is a library for convolutions.
    fn has_convolutions(&self) -> bool {
        false
    }

    /// A convolution by the library; false if it has no way of doing this one.
    fn convolve(&self, _: &Convolution) -> Result<bool> {
        Ok(false)
    }

    /// Calls `f` with the address of so many bytes, whose content is left over and which are gone after the call. Not to
    /// be called again by `f`.
    fn with_scratch(&self, bytes: usize, f: &mut dyn FnMut(u64) -> Result<()>) -> Result<()>;
}

impl dyn Queue + '_ {
    /// A kernel that loops over `count` values; nothing if there are none.
    pub(crate) fn for_each(&self, real: Real, kernel: &'static str, count: u32, arguments: &[Argument]) -> Result<()> {
        self.for_vectors(real, kernel, count, false, arguments)
    }

    /// A kernel that loops over `count` values, or over vectors of them.
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

/// A tensor of a call with its name; none was left out.
pub(crate) type Named<'a> = (&'static str, Option<&'a Tensor>);

/// Whether what is done with tensors on `device` is done by a [`Queue`].
pub(crate) fn serves(device: &Device) -> bool {
    #[cfg(any(test, feature = "host-kernels"))]
    if host::forced().is_some() {
        return true;
    }
    device.is_cuda()
}

/// Where the tensors are on a GPU, calls `f` with their addresses; otherwise `None`, and `f` is not called. All must be
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

/// A tensor of a custom operation.
pub(crate) type Stored<'a> = (&'static str, &'a CudaStorage, &'a Layout);

/// For custom operations: calls `f` with the addresses of contiguous inputs and of a new tensor of shape `dims` and type
/// `dtype`, or of the first input's type, and gives the new tensor back.
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
