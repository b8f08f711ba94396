//! The transforms: one Winograd tile at a time, a vector of channels at once.

use crate::simd::Simd;

/// Side of a Winograd tile in pixels, for any kernel.
pub(super) const SIDE: usize = 4;

/// Number of interpolation points per dimension for a kernel of side `kernel`: 0, some pairs ±p, and ∞.
pub(super) const fn points(kernel: usize) -> usize {
    SIDE + kernel - 1
}

/// The constants of evaluation and interpolation at the interpolation points.
pub(super) struct Table {
    /// The positive interpolation point of each pair ±p.
    point: [f32; 3],
    /// Polynomial coefficients, lowest first, of the product of (y − p²) over all pairs (`all`), and over all pairs but one
    /// (`others`).
    all: [f32; 4],
    others: [[f32; 3]; 3],
    /// The factor for a kernel's value at each interpolation point: the reciprocal of the product of the point's differences
    /// from the other finite ones.
    pub(super) scale: [f32; 8],
}

const SIX: Table = Table::new(&[0.75, 1.5]);
const EIGHT: Table = Table::new(&[0.5, 1.0, 2.0]);

impl Table {
    /// The table for `N` interpolation points.
    pub(super) const fn of<const N: usize>() -> &'static Self {
        assert!(N == 6 || N == 8, "there are tables for 6 and 8 interpolation points only");
        if N == 6 { &SIX } else { &EIGHT }
    }

    const fn new(points: &[f32]) -> Self {
        let mut table =
            Self { point: [0.0; 3], all: [1.0, 0.0, 0.0, 0.0], others: [[1.0, 0.0, 0.0]; 3], scale: [1.0; 8] };
        let (mut i, mut zero) = (0, 1.0);
        while i < points.len() {
            let square = points[i] * points[i];
            table.point[i] = points[i];
            zero *= -square;
            // Multiplies a polynomial by (y − p²), from the highest coefficient down.
            let mut k = i + 1;
            while k > 0 {
                table.all[k] = table.all[k - 1] - square * table.all[k];
                k -= 1;
            }
            table.all[0] *= -square;
            let (mut j, mut degree, mut distances) = (0, 0, 2.0 * square);
            while j < points.len() {
                if j != i {
                    let other = points[j] * points[j];
                    distances *= square - other;
                    degree += 1;
                    let mut k = degree;
                    while k > 0 {
                        table.others[i][k] = table.others[i][k - 1] - other * table.others[i][k];
                        k -= 1;
                    }
                    table.others[i][0] *= -other;
                }
                j += 1;
            }
            table.scale[1 + 2 * i] = 1.0 / distances;
            table.scale[2 + 2 * i] = 1.0 / distances;
            i += 1;
        }
        table.scale[0] = 1.0 / zero;
        table
    }
}

/// Transforms `P` values to `N` transform-domain coefficients: for `P = N`, the transposed interpolation of a signal; for
/// `P < N`, the values of the polynomial with the coefficients `x` at the interpolation points.
#[inline(always)]
pub(super) unsafe fn spread<S: Simd, const P: usize, const N: usize>(x: [S::F32; P]) -> [S::F32; N] {
    let (table, pairs) = (const { Table::of::<N>() }, N / 2 - 1);
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let by = |factor: f32, x: S::F32, y: S::F32| S::mul_add(S::splat(factor), x, y);
        let mut out = [x[0]; N];
        if P == N {
            // The coefficients of the highest powers are 1.
            let (mut first, mut last) = (x[N - 2], x[N - 1]);
            for k in 0..pairs {
                first = by(table.all[k], x[2 * k], first);
                last = by(table.all[k], x[2 * k + 1], last);
            }
            (out[0], out[N - 1]) = (first, last);
            for i in 0..pairs {
                let (mut even, mut odd) = (x[N - 2], x[N - 3]);
                for k in 0..pairs - 1 {
                    even = by(table.others[i][k], x[2 * k + 2], even);
                    odd = by(table.others[i][k], x[2 * k + 1], odd);
                }
                out[1 + 2 * i] = by(table.point[i], odd, even);
                out[2 + 2 * i] = by(-table.point[i], odd, even);
            }
            return out;
        }
        out[N - 1] = x[P - 1];
        for i in 0..pairs {
            // Horner's rule in p², separately for even and odd powers.
            let (point, square) = (table.point[i], table.point[i] * table.point[i]);
            let (mut k_even, mut k_odd) = ((P - 1) / 2 * 2, (P - 2) / 2 * 2 + 1);
            let (mut even, mut odd) = (x[k_even], x[k_odd]);
            while k_even >= 2 {
                k_even -= 2;
                even = by(square, even, x[k_even]);
            }
            while k_odd >= 3 {
                k_odd -= 2;
                odd = by(square, odd, x[k_odd]);
            }
            out[1 + 2 * i] = by(point, odd, even);
            out[2 + 2 * i] = by(-point, odd, even);
        }
        out
    }
}

/// Transforms `N` transform-domain coefficients to `P` values: the transpose of [`spread`] for `P < N`.
#[inline(always)]
pub(super) unsafe fn collect<S: Simd, const P: usize, const N: usize>(t: [S::F32; N]) -> [S::F32; P] {
    let (table, pairs) = (const { Table::of::<N>() }, N / 2 - 1);
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let mut out = [S::splat(0.0); P];
        (out[0], out[P - 1]) = (t[0], t[N - 1]);
        for i in 0..pairs {
            let (plus, minus) = (t[1 + 2 * i], t[2 + 2 * i]);
            let (even, odd) = (S::add(plus, minus), S::mul_add(S::splat(-1.0), minus, plus));
            let mut power = 1.0;
            for (k, out) in out.iter_mut().enumerate() {
                *out = S::mul_add(S::splat(power), if k % 2 == 0 { even } else { odd }, *out);
                power *= table.point[i];
            }
        }
        out
    }
}

/// [`spread`] in both dimensions.
#[inline(always)]
pub(super) unsafe fn spread_tile<S: Simd, const P: usize, const N: usize>(x: &[[S::F32; P]; P]) -> [[S::F32; N]; N] {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let zero = S::splat(0.0);
        let mut half = [[zero; N]; P];
        for (half, row) in half.iter_mut().zip(x) {
            *half = spread::<S, P, N>(*row);
        }
        let mut out = [[zero; N]; N];
        for j in 0..N {
            let mut column = [zero; P];
            for (value, half) in column.iter_mut().zip(&half) {
                *value = half[j];
            }
            for (out, value) in out.iter_mut().zip(spread::<S, P, N>(column)) {
                out[j] = value;
            }
        }
        out
    }
}

/// [`collect`] in both dimensions.
#[inline(always)]
pub(super) unsafe fn collect_tile<S: Simd, const P: usize, const N: usize>(t: &[[S::F32; N]; N]) -> [[S::F32; P]; P] {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let zero = S::splat(0.0);
        let mut half = [[zero; P]; N];
        for (half, row) in half.iter_mut().zip(t) {
            *half = collect::<S, P, N>(*row);
        }
        let mut out = [[zero; P]; P];
        for j in 0..P {
            let mut column = [zero; N];
            for (value, half) in column.iter_mut().zip(&half) {
                *value = half[j];
            }
            for (out, value) in out.iter_mut().zip(collect::<S, P, N>(column)) {
                out[j] = value;
            }
        }
        out
    }
}
