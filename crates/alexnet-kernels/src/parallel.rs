//! Parallel loops over the threads of rayon's current pool.
//!
//! Every loop gives the same result for any number of threads: tasks write disjoint parts, and where partial sums are
//! added, the parts and their order depend on the shapes alone.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

/// Number of threads of the current pool.
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
}

/// Runs `task(i)` for every `i < count`, in any order.
pub(crate) fn for_each(count: usize, task: impl Fn(usize) + Sync + Send) {
    if count == 1 || threads() == 1 {
        (0..count).for_each(task);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// Runs `task` on ranges that cover `0..len`; the length of each, except the last, is a multiple of `grain`.
pub(crate) fn for_ranges(len: usize, grain: usize, task: impl Fn(Range<usize>) + Sync + Send) {
    // A few ranges per thread, so that one slow thread does not delay the others.
    let size = len.div_ceil(4 * threads()).max(1).next_multiple_of(grain.max(1));
    for_each(len.div_ceil(size), |i| task(i * size..((i + 1) * size).min(len)));
}

/// A slice that several tasks write concurrently, each a disjoint part.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T = f32> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a borrow of a slice of plain numbers; the user guarantees disjoint parts.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// A pointer to the first element, for kernels that address by offset.
    pub(crate) fn start(self) -> *mut T {
        self.start
    }

    /// # Safety
    /// No two live slices may overlap.
    pub(crate) unsafe fn slice(self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: within the borrowed slice, checked above; disjoint, as the caller guarantees.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
