//! Vectors of `f32`, one type per instruction set, behind one trait, so that a kernel body is written once.
//!
//! A body generic over [`Simd`] must be `#[inline(always)]` and is called from a function with the `#[target_feature]` of
//! its instruction set ([`dispatch`]); only there do the intrinsics compile to single instructions. A closure passed to
//! another thread is compiled outside that function, so call [`dispatch`] inside the closure, never around it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
pub(crate) mod power;

#[cfg(target_arch = "x86_64")]
pub(crate) use self::{avx2::Avx2, avx512::Avx512};
pub(crate) use portable::Portable;

use crate::backend::CpuIsa;
use half::bf16;

/// One instruction set's vectors of `f32`.
///
/// # Safety
/// Every function may be called only if the CPU supports the instruction set. The pointer functions read or write `LANES`
/// values (the `partial` ones the first `count ≤ LANES`) at any alignment.
#[allow(clippy::missing_safety_doc)] // Documented above, once for all functions.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector.
    type F32: Copy;
    /// Number of values in a vector.
    const LANES: usize;

    unsafe fn splat(value: f32) -> Self::F32;
    unsafe fn load(from: *const f32) -> Self::F32;
    unsafe fn store(to: *mut f32, v: Self::F32);
    /// Lanes from `count` on are zero.
    unsafe fn load_partial(from: *const f32, count: usize) -> Self::F32;
    unsafe fn store_partial(to: *mut f32, v: Self::F32, count: usize);
    /// Widens to `f32`: a `bf16` is the upper half of an `f32`.
    unsafe fn load_bf16(from: *const bf16) -> Self::F32;
    /// Lanes from `count` on are zero.
    unsafe fn load_bf16_partial(from: *const bf16, count: usize) -> Self::F32;
    unsafe fn add(a: Self::F32, b: Self::F32) -> Self::F32;
    unsafe fn mul(a: Self::F32, b: Self::F32) -> Self::F32;
    unsafe fn div(a: Self::F32, b: Self::F32) -> Self::F32;
    unsafe fn sqrt(a: Self::F32) -> Self::F32;
    /// `a > 0 ? a : 0`; a NaN stays a NaN.
    unsafe fn relu(a: Self::F32) -> Self::F32;
    /// `a·b + c`, fused (rounded once) if the instruction set supports it.
    unsafe fn mul_add(a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `(value, position)` in the lanes where the value is greater than `best`, or the first NaN; `(best, at)` elsewhere.
    unsafe fn take_greater(
        value: Self::F32,
        position: Self::F32,
        best: Self::F32,
        at: Self::F32,
    ) -> (Self::F32, Self::F32);
    /// The sum of the lanes, in a fixed order.
    unsafe fn sum(a: Self::F32) -> f32;
}

/// An element type that is loaded into vectors of `f32`.
pub(crate) trait Load: Copy + Send + Sync + 'static {
    /// # Safety
    /// As [`Simd::load`] and [`Simd::load_bf16`].
    unsafe fn load<S: Simd>(from: *const Self) -> S::F32;
    /// # Safety
    /// As [`Simd::load_partial`] and [`Simd::load_bf16_partial`].
    unsafe fn load_partial<S: Simd>(from: *const Self, count: usize) -> S::F32;
    /// The values themselves, if they are `f32`.
    fn as_f32(values: &[Self]) -> Option<&[f32]>;
    /// The values as pairs in place of one `f32` each, if they are `bf16`, even in number, and aligned for `f32`.
    fn as_pairs(values: &[Self]) -> Option<&[f32]>;
}

// SAFETY of every block below: the caller's contract is that of the function called.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Load for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const f32) -> S::F32 {
        unsafe { S::load(from) }
    }
    #[inline(always)]
    unsafe fn load_partial<S: Simd>(from: *const f32, count: usize) -> S::F32 {
        unsafe { S::load_partial(from, count) }
    }
    fn as_f32(values: &[f32]) -> Option<&[f32]> {
        Some(values)
    }
    fn as_pairs(_: &[f32]) -> Option<&[f32]> {
        None
    }
}

// SAFETY of every block below: as above.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Load for bf16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(from: *const bf16) -> S::F32 {
        unsafe { S::load_bf16(from) }
    }
    #[inline(always)]
    unsafe fn load_partial<S: Simd>(from: *const bf16, count: usize) -> S::F32 {
        unsafe { S::load_bf16_partial(from, count) }
    }
    fn as_f32(_: &[bf16]) -> Option<&[f32]> {
        None
    }
    fn as_pairs(values: &[bf16]) -> Option<&[f32]> {
        // SAFETY: any four bytes are a valid `f32`; misaligned values and an incomplete pair end up in `before` and `after`.
        let (before, pairs, after) = unsafe { values.align_to::<f32>() };
        (before.is_empty() && after.is_empty()).then_some(pairs)
    }
}

/// Prefetches values that are needed soon, if the CPU supports it.
pub(crate) fn prefetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(16) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch reads no value, and requires SSE, which every x86-64 CPU has.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// A computation whose body is compiled once per instruction set.
pub(crate) trait Kernel {
    type Output;
    /// # Safety
    /// The CPU must support `S`.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// Runs `kernel` with the vectors of `isa`.
pub(crate) fn dispatch<K: Kernel>(isa: CpuIsa, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        unsafe fn avx512<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: the features are enabled for this function, whose caller has checked them.
            unsafe { kernel.run::<Avx512>() }
        }
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: as above.
            unsafe { kernel.run::<Avx2>() }
        }
        match isa {
            // SAFETY: a `CpuIsa` reaches this point only from `current` or `force`, which check the CPU.
            CpuIsa::Avx512 => return unsafe { avx512(kernel) },
            // SAFETY: as above.
            CpuIsa::Avx2 => return unsafe { avx2(kernel) },
            CpuIsa::Portable => {}
        }
    }
    let _ = isa;
    // SAFETY: the portable vectors have no requirements.
    unsafe { kernel.run::<Portable>() }
}
