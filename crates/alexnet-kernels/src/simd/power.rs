//! D^−β for the normalization layers.

use super::Simd;

/// The exponents with a fast path.
pub(crate) enum Power {
    /// 0.75, the exponent of every published AlexNet.
    ThreeQuarters,
    /// Any other.
    Other,
}

pub(crate) fn of(beta: f32) -> Power {
    if beta == 0.75 { Power::ThreeQuarters } else { Power::Other }
}

/// `d^−beta` for positive `d`: 1/(√d·√√d) for the exponent 0.75, otherwise value by value.
///
/// # Safety
/// The instruction set must be available.
#[inline(always)]
pub(crate) unsafe fn inverse<S: Simd, const THREE_QUARTERS: bool>(d: S::F32, beta: f32) -> S::F32 {
    // SAFETY: the caller's contract; the array is as long as the widest vector.
    unsafe {
        if THREE_QUARTERS {
            let root = S::sqrt(d);
            S::div(S::splat(1.0), S::mul(root, S::sqrt(root)))
        } else {
            let mut values = [0f32; 16];
            S::store(values.as_mut_ptr(), d);
            for value in &mut values[..S::LANES] {
                *value = value.powf(-beta);
            }
            S::load(values.as_ptr())
        }
    }
}
