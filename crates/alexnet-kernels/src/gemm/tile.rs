//! The two innermost loops of every matrix product: a register tile of C = A·B, held in registers during the loop over k.
//!
//! A register tile has `ROWS` rows of C by `VECTORS` vectors of columns. For each k it loads the vectors of B once,
//! broadcasts one element of A per row and multiplies: with 11 rows and 2 vectors, 22 multiply-adds for 13 loads, so that
//! the two FMA units of a core are the bottleneck, not its two load ports. The registers of AVX-512 have room for 13 rows,
//! but from 12 rows on the compiler spills the sums to memory, at a third of the speed. The two kinds of tile differ in the
//! memory layout of A:
//!
//! * [`RowsTile`]: the values of one row are adjacent along k, in a few runs, and the rows may be anywhere. This is a
//!   convolution over a channels-last image without im2col: a row is an output pixel, its runs are the rows of its window.
//! * [`ColumnsTile`]: the rows of one k are adjacent. This is the gradient of a convolution's weights (k counts pixels,
//!   a row is one tap of one channel) and the ordinary product of packed panels.
//!
//! A value may also be two adjacent `bf16` in place of an `f32`; each step multiplies both: [`Pairs`].
//!
//! In B, the columns of one k are adjacent. Every element of C sums over k in ascending order (pairs: pair by pair), in any
//! tile: results do not depend on how the work is divided.

#[cfg(target_arch = "x86_64")]
use super::multiply::Pairs;
use super::multiply::{Multiply, Singles};
use crate::backend::CpuIsa;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Portable, Simd};

/// Adjacent elements of A: `len` values, starting `offset` values after the start of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

/// How a finished sum is written to C.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epilogue {
    /// Whether the sum is added to C instead of stored.
    pub(crate) accumulate: bool,
    /// One value per column, or null.
    pub(crate) bias: *const f32,
    /// Whether negative results become 0.
    pub(crate) relu: bool,
}

impl Epilogue {
    pub(crate) const STORE: Self = Self { accumulate: false, bias: std::ptr::null(), relu: false };
    pub(crate) const ACCUMULATE: Self = Self { accumulate: true, bias: std::ptr::null(), relu: false };
}

/// C\[i\]\[j\] = Σ_k A\[i\]\[k\]·B\[k\]\[j\], row `i` of A starting at `a + a_rows[i]` and of C at `c + c_rows[i]`.
pub(crate) struct RowsTile<'a> {
    pub(crate) a: *const f32,
    pub(crate) a_rows: *const usize,
    pub(crate) runs: &'a [Run],
    /// B, with k in the order of the runs, `b_step` values apart.
    pub(crate) b: *const f32,
    pub(crate) b_step: usize,
    pub(crate) c: *mut f32,
    pub(crate) c_rows: *const usize,
    /// Number of columns of C to write: with `V` vectors, at most `V · LANES` and more than `(V - 1) · LANES`.
    pub(crate) columns: usize,
    pub(crate) epilogue: Epilogue,
}

/// C\[i\]\[j\] = Σ_k A\[k\]\[i\]·B\[k\]\[j\], where k runs over three nested loops, with separate steps for A and B.
pub(crate) struct ColumnsTile {
    pub(crate) a: *const f32,
    pub(crate) b: *const f32,
    /// Loop counts, outermost first.
    pub(crate) counts: [usize; 3],
    pub(crate) a_steps: [usize; 3],
    pub(crate) b_steps: [usize; 3],
    pub(crate) c: *mut f32,
    pub(crate) c_row: usize,
    pub(crate) columns: usize,
    pub(crate) epilogue: Epilogue,
}

pub(crate) type RowsFn = unsafe fn(&RowsTile<'_>);
pub(crate) type ColumnsFn = unsafe fn(&ColumnsTile);

/// Number of vectors of columns in a full tile.
pub(crate) const VECTORS: usize = 2;

/// The register tiles of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Tiles {
    /// Number of lanes of a vector.
    pub(crate) lanes: usize,
    /// Maximum number of rows of a tile.
    pub(crate) max_rows: usize,
    rows: &'static [[RowsFn; VECTORS]],
    columns: &'static [[ColumnsFn; VECTORS]],
}

impl Tiles {
    /// Number of columns of a full tile.
    pub(crate) fn width(&self) -> usize {
        VECTORS * self.lanes
    }

    /// The tile with `rows` rows (1 to `max_rows`) and as many vectors as `columns` (1 to `width`) needs.
    pub(crate) fn rows_tile(&self, rows: usize, columns: usize) -> RowsFn {
        self.rows[rows - 1][columns.div_ceil(self.lanes) - 1]
    }

    /// As [`Tiles::rows_tile`].
    pub(crate) fn columns_tile(&self, rows: usize, columns: usize) -> ColumnsFn {
        self.columns[rows - 1][columns.div_ceil(self.lanes) - 1]
    }

    /// The tiles that multiply pairs of `bf16` in place of `f32`, if the CPU supports AVX512-BF16, which does twice as many
    /// multiply-adds. Sums are `f32`; subnormal numbers are treated as 0.
    pub(crate) fn pairs(isa: CpuIsa) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if isa == CpuIsa::Avx512 && is_x86_feature_detected!("avx512bf16") {
            return Some(Self { rows: &avx512_pairs::ROWS, columns: &avx512_pairs::COLUMNS, ..Self::of(isa) });
        }
        let _ = isa;
        None
    }

    /// The tiles of `isa`.
    pub(crate) fn of(isa: CpuIsa) -> Self {
        #[cfg(target_arch = "x86_64")]
        match isa {
            CpuIsa::Avx512 => return Self { lanes: 16, max_rows: 11, rows: &avx512::ROWS, columns: &avx512::COLUMNS },
            CpuIsa::Avx2 => return Self { lanes: 8, max_rows: 6, rows: &avx2::ROWS, columns: &avx2::COLUMNS },
            CpuIsa::Portable => {}
        }
        let _ = isa;
        Self { lanes: 4, max_rows: 6, rows: &portable::ROWS, columns: &portable::COLUMNS }
    }
}

/// Divides `n` rows into tiles of at most `max` rows, as evenly as possible: yields (first row, number of rows).
pub(crate) fn cut(n: usize, max: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let tiles = n.div_ceil(max);
    (0..tiles).map(move |t| {
        let (start, end) = (t * n / tiles, (t + 1) * n / tiles);
        (start, end - start)
    })
}

/// Defines one function per number of rows and vectors, each compiled with the features of its instruction set.
macro_rules! tiles_of {
    ($module:ident, $simd:ty, $multiply:ty, $features:literal, $count:literal, $($rows:literal)*) => {
        mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            unsafe fn rows<const R: usize, const V: usize>(tile: &RowsTile<'_>) {
                // SAFETY: the caller's contract; the features are enabled here.
                unsafe { rows_body::<$simd, $multiply, R, V>(tile) }
            }

            #[target_feature(enable = $features)]
            unsafe fn columns<const R: usize, const V: usize>(tile: &ColumnsTile) {
                // SAFETY: the caller's contract; the features are enabled here.
                unsafe { columns_body::<$simd, $multiply, R, V>(tile) }
            }

            pub(super) static ROWS: [[RowsFn; VECTORS]; $count] = [$([rows::<$rows, 1>, rows::<$rows, 2>]),*];
            pub(super) static COLUMNS: [[ColumnsFn; VECTORS]; $count] = [$([columns::<$rows, 1>, columns::<$rows, 2>]),*];
        }
    };
}

#[cfg(target_arch = "x86_64")]
tiles_of!(avx512_pairs, Avx512, Pairs, "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma", 11, 1 2 3 4 5 6 7 8 9 10 11);
#[cfg(target_arch = "x86_64")]
tiles_of!(avx512, Avx512, Singles, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma", 11, 1 2 3 4 5 6 7 8 9 10 11);
#[cfg(target_arch = "x86_64")]
tiles_of!(avx2, Avx2, Singles, "avx2,fma", 6, 1 2 3 4 5 6);
#[cfg(target_arch = "x86_64")]
tiles_of!(portable, Portable, Singles, "sse2", 6, 1 2 3 4 5 6);
#[cfg(not(target_arch = "x86_64"))]
tiles_of!(portable, Portable, Singles, "neon", 6, 1 2 3 4 5 6);

/// # Safety
/// The instruction set is available; `a_rows` and `c_rows` contain R offsets; all elements they address are in their
/// buffers.
#[inline(always)]
unsafe fn rows_body<S: Simd, M: Multiply<S>, const R: usize, const V: usize>(tile: &RowsTile<'_>) {
    // SAFETY: the contract above, for every pointer below.
    unsafe {
        let starts: [*const f32; R] = std::array::from_fn(|i| tile.a.add(*tile.a_rows.add(i)));
        let mut sums = [[S::splat(0.0); V]; R];
        let mut b = tile.b;
        for run in tile.runs {
            let rows: [*const f32; R] = std::array::from_fn(|i| starts[i].add(run.offset));
            let mut k = 0;
            // Four at a time, so that the row pointers, of which there are more than registers, are loaded once per four.
            while k + 4 <= run.len {
                for u in 0..4 {
                    step::<S, M, R, V>(&mut sums, |i| *rows[i].add(k + u), b.add(u * tile.b_step));
                }
                b = b.add(4 * tile.b_step);
                k += 4;
            }
            while k < run.len {
                step::<S, M, R, V>(&mut sums, |i| *rows[i].add(k), b);
                b = b.add(tile.b_step);
                k += 1;
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            finish::<S, V>(sums, tile.c.add(*tile.c_rows.add(i)), tile.columns, &tile.epilogue);
        }
    }
}

/// # Safety
/// The instruction set is available; all elements that the counts and steps address are in their buffers.
#[inline(always)]
unsafe fn columns_body<S: Simd, M: Multiply<S>, const R: usize, const V: usize>(tile: &ColumnsTile) {
    // SAFETY: the contract above, for every pointer below.
    unsafe {
        let mut sums = [[S::splat(0.0); V]; R];
        let [outer, middle, inner] = tile.counts;
        for o in 0..outer {
            for m in 0..middle {
                let mut a = tile.a.add(o * tile.a_steps[0] + m * tile.a_steps[1]);
                let mut b = tile.b.add(o * tile.b_steps[0] + m * tile.b_steps[1]);
                for _ in 0..inner {
                    step::<S, M, R, V>(&mut sums, |i| *a.add(i), b);
                    a = a.add(tile.a_steps[2]);
                    b = b.add(tile.b_steps[2]);
                }
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            finish::<S, V>(sums, tile.c.add(i * tile.c_row), tile.columns, &tile.epilogue);
        }
    }
}

/// One k: `sums[i] += a(i) · B`.
#[inline(always)]
unsafe fn step<S: Simd, M: Multiply<S>, const R: usize, const V: usize>(
    sums: &mut [[S::F32; V]; R],
    a: impl Fn(usize) -> f32,
    b: *const f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let b: [S::F32; V] = std::array::from_fn(|v| S::load(b.add(v * S::LANES)));
        for (i, sums) in sums.iter_mut().enumerate() {
            let a = S::splat(a(i));
            for (sum, &b) in sums.iter_mut().zip(&b) {
                *sum = M::mul_add(a, b, *sum);
            }
        }
    }
}

/// Writes one row of C.
#[inline(always)]
unsafe fn finish<S: Simd, const V: usize>(sums: &[S::F32; V], c: *mut f32, columns: usize, epilogue: &Epilogue) {
    // A masked move costs as much as twelve plain ones on some CPUs.
    // SAFETY: the caller's contract: `columns` values of C, and of the bias where there is one.
    unsafe {
        if columns == V * S::LANES {
            finish_of::<S, V, true>(sums, c, columns, epilogue);
        } else {
            finish_of::<S, V, false>(sums, c, columns, epilogue);
        }
    }
}

#[inline(always)]
unsafe fn finish_of<S: Simd, const V: usize, const WHOLE: bool>(
    sums: &[S::F32; V],
    c: *mut f32,
    columns: usize,
    epilogue: &Epilogue,
) {
    for (v, &sum) in sums.iter().enumerate() {
        let first = v * S::LANES;
        // SAFETY: as above; the last vector may be partial.
        unsafe {
            let count = if WHOLE { S::LANES } else { (columns - first).min(S::LANES) };
            let (c, mut sum) = (c.add(first), sum);
            if epilogue.accumulate {
                sum = S::add(if WHOLE { S::load(c) } else { S::load_partial(c, count) }, sum);
            }
            if !epilogue.bias.is_null() {
                let bias = epilogue.bias.add(first);
                sum = S::add(sum, if WHOLE { S::load(bias) } else { S::load_partial(bias, count) });
            }
            if epilogue.relu {
                sum = S::relu(sum);
            }
            if WHOLE {
                S::store(c, sum);
            } else {
                S::store_partial(c, sum, count);
            }
        }
    }
}
