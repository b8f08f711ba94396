//! What a step of a tile multiplies: `f32`, or two `bf16` in the place of one.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps};

#[cfg(target_arch = "x86_64")]
use crate::simd::Avx512;
use crate::simd::Simd;

/// How a step multiplies.
pub(super) trait Multiply<S: Simd> {
    /// `a·b + c`.
    ///
    /// # Safety
    /// The instruction set of `S` is there, and for [`Pairs`] AVX512-BF16, which [`Tiles::pairs`](super::tile::Tiles::pairs) has seen.
    unsafe fn mul_add(a: S::F32, b: S::F32, c: S::F32) -> S::F32;
}

/// Values are `f32`.
pub(super) struct Singles;

/// Values are two `bf16`, whose products are both added.
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
