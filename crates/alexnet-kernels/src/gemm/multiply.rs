//! The multiply-add of a register tile's step: `f32`, or pairs of `bf16` in place of one `f32`.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps};

#[cfg(target_arch = "x86_64")]
use crate::simd::Avx512;
use crate::simd::Simd;

/// The multiply-add of a step.
pub(super) trait Multiply<S: Simd> {
    /// `a·b + c`.
    ///
    /// # Safety
    /// The instruction set of `S` must be available, and for [`Pairs`] also AVX512-BF16, which
    /// [`Tiles::pairs`](super::tile::Tiles::pairs) checks.
    unsafe fn mul_add(a: S::F32, b: S::F32, c: S::F32) -> S::F32;
}

/// Values are `f32`.
pub(super) struct Singles;

/// Values are pairs of `bf16`; the products of both are added.
#[cfg(target_arch = "x86_64")]
pub(super) struct Pairs;

impl<S: Simd> Multiply<S> for Singles {
    #[inline(always)]
    unsafe fn mul_add(a: S::F32, b: S::F32, c: S::F32) -> S::F32 {
        // SAFETY: the caller's contract.
        unsafe { S::mul_add(a, b, c) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Multiply<Avx512> for Pairs {
    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the caller's contract; both types are 64 bytes of any content.
        unsafe {
            _mm512_dpbf16_ps(c, std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b))
        }
    }
}
