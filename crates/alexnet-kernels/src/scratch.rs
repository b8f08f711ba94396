//! A pool of reusable buffers, so that no page is faulted in twice.
//!
//! Every training step requests the same few buffers. New ones would come from the operating system page by page,
//! zeroed, and cost more than the copy that fills them. There is one pool per process; its size is bounded by the largest
//! set of buffers ever in use at once, and [`release`] empties it.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// A cache line, which is also the widest vector.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

static POOL: Mutex<Vec<Vec<Line>>> = Mutex::new(Vec::new());

/// A buffer of `f32`, aligned to 64 bytes, that is returned to the pool when dropped.
pub(crate) struct Scratch {
    lines: Vec<Line>,
    len: usize,
}

/// A buffer of `len` values: initialized, contents unspecified.
pub(crate) fn take(len: usize) -> Scratch {
    let count = len.div_ceil(16);
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    // The smallest that is large enough, or else the largest, which is replaced by a larger one instead of keeping both.
    let fits = |lines: &Vec<Line>| lines.capacity() >= count;
    let best = (0..pool.len()).min_by_key(|&i| {
        let capacity = pool[i].capacity();
        if fits(&pool[i]) { (0, capacity) } else { (1, usize::MAX - capacity) }
    });
    let mut lines = best.map(|i| pool.swap_remove(i)).unwrap_or_default();
    drop(pool);
    if lines.capacity() < count {
        lines = Vec::with_capacity(count);
    }
    if lines.len() < count {
        lines.resize(count, Line([0.0; 16]));
    }
    Scratch { lines, len }
}

/// A buffer of exactly the size of `values` with these values, for long-term use: one from the pool may be much larger.
pub(crate) fn exact(values: &[f32]) -> Scratch {
    let mut lines = vec![Line([0.0; 16]); values.len().div_ceil(16)];
    lines.shrink_to_fit();
    let mut scratch = Scratch { lines, len: values.len() };
    scratch.copy_from_slice(values);
    scratch
}

/// A buffer of `len` zeros.
pub(crate) fn zeroed(len: usize) -> Scratch {
    let mut scratch = take(len);
    scratch.fill(0.0);
    scratch
}

/// Returns the memory of all idle buffers to the operating system.
pub fn release() {
    POOL.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

impl Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: a Line is sixteen f32 without padding; `lines` has at least `len / 16` elements, rounded up.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; `&mut self` makes the borrow unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        POOL.lock().unwrap_or_else(PoisonError::into_inner).push(lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_sized_and_come_back() {
        for len in [0, 1, 16, 17, 1000] {
            let mut buffer = take(len);
            assert_eq!((buffer.len(), buffer.as_ptr().addr() % 64), (len, 0));
            buffer.fill(7.0);
        }
        assert!(zeroed(1000).iter().all(|&v| v == 0.0));
    }
}
