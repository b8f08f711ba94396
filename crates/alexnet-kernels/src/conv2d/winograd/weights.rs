//! Transforms the kernels to the transform domain, and their gradient back.

use super::transform::{Table, collect_tile, spread_tile};
use crate::backend::CpuIsa;
use crate::gemm::tile::Tiles;
use crate::parallel::{self, Shared};
use crate::scratch::{self, Scratch};
use crate::simd::{Kernel, Simd, dispatch};

/// Number of taps of the largest kernel.
const TAPS: usize = 25;
/// Number of lanes of the widest vector.
const LANES: usize = 16;

/// The coefficients of kernels of `side` by `side` taps in the transform domain, packed for the register tiles: `[groups,
/// positions, panels, depth, width]`, the last panel zero-padded. `at(group, k, column, tap)` returns a weight.
pub(super) fn coefficients(
    isa: CpuIsa,
    groups: usize,
    sizes: [usize; 2],
    side: usize,
    at: impl Fn(usize, usize, usize, usize) -> f32 + Sync,
) -> Scratch {
    match side {
        3 => coefficients_at::<3, 6>(isa, groups, sizes, at),
        5 => coefficients_at::<5, 8>(isa, groups, sizes, at),
        side => unreachable!("the kernel side must be 3 or 5, but is {side}"),
    }
}

/// For kernels of side `R`, with `N` interpolation points per dimension.
fn coefficients_at<const R: usize, const N: usize>(
    isa: CpuIsa,
    groups: usize,
    [depth, columns]: [usize; 2],
    at: impl Fn(usize, usize, usize, usize) -> f32 + Sync,
) -> Scratch {
    let (width, positions) = (Tiles::of(isa).width(), N * N);
    let panels = columns.div_ceil(width);
    let mut packed = scratch::take(groups * positions * panels * depth * width);
    let shared = Shared::new(&mut packed);
    parallel::for_each(groups * panels * depth, |task| {
        let (group, panel, k) = (task / depth / panels, task / depth % panels, task % depth);
        let mut taps = [[0f32; LANES]; TAPS];
        for first in (0..width).step_by(LANES.min(width)) {
            let lanes = LANES.min(width);
            for (tap, taps) in taps[..R * R].iter_mut().enumerate() {
                for (column, value) in (panel * width + first..).zip(&mut taps[..lanes]) {
                    *value = if column < columns { at(group, k, column, tap) } else { 0.0 };
                }
            }
            let start = ((group * positions * panels + panel) * depth + k) * width + first;
            let to = To { start: shared.start().wrapping_add(start), step: panels * depth * width, lanes };
            assert!(start + (positions - 1) * to.step + lanes <= shared.len());
            dispatch(isa, ToCoefficients::<R, N> { taps: &taps, to });
        }
    });
    packed
}

/// Destination of some adjacent values at every coefficient position.
#[derive(Clone, Copy)]
struct To {
    start: *mut f32,
    /// Step from one position to the next.
    step: usize,
    lanes: usize,
}

struct ToCoefficients<'a, const R: usize, const N: usize> {
    taps: &'a [[f32; LANES]; TAPS],
    to: To,
}

impl<const R: usize, const N: usize> Kernel for ToCoefficients<'_, R, N> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (Self { taps, to }, scale) = (self, &const { Table::of::<N>() }.scale);
        for lane in (0..to.lanes).step_by(S::LANES) {
            // SAFETY: `to.lanes` is a multiple of `S::LANES`; every position has as many values, checked by the caller.
            unsafe {
                let mut values = [[S::splat(0.0); R]; R];
                for (row, values) in values.iter_mut().enumerate() {
                    for (column, value) in values.iter_mut().enumerate() {
                        *value = S::load(taps[row * R + column].as_ptr().add(lane));
                    }
                }
                for (row, values) in spread_tile::<S, R, N>(&values).iter().enumerate() {
                    for (column, &value) in values.iter().enumerate() {
                        let value = S::mul(value, S::splat(scale[row] * scale[column]));
                        S::store(to.start.add((row * N + column) * to.step + lane), value);
                    }
                }
            }
        }
    }
}

/// Transforms the gradient from the transform domain, `coefficients` of shape `[groups, positions, group_in, group_out]`, to
/// the shape of the weight, `[groups · group_out, group_in, R, R]`.
pub(super) fn gradient<const R: usize, const N: usize>(
    isa: CpuIsa,
    groups: usize,
    [group_in, group_out]: [usize; 2],
    coefficients: &[f32],
    grad_weight: &mut [f32],
) {
    let positions = N * N;
    assert_eq!(coefficients.len(), groups * positions * group_in * group_out);
    assert_eq!(grad_weight.len(), groups * group_in * group_out * R * R);
    let grad_weight = Shared::new(grad_weight);
    parallel::for_each(groups * group_out / LANES, |task| {
        let (group, first) = (task * LANES / group_out, task * LANES % group_out);
        // The gradients of sixteen outputs are adjacent.
        let len = LANES * group_in * R * R;
        // SAFETY: one part per task.
        let grad_weight = unsafe { grad_weight.slice(task * len..(task + 1) * len) };
        let coefficients =
            &coefficients[group * positions * group_in * group_out..][..positions * group_in * group_out];
        let from = (coefficients, group_in, group_out, first);
        dispatch(isa, FromCoefficients::<R, N> { from, grad_weight });
    });
}

struct FromCoefficients<'a, const R: usize, const N: usize> {
    /// A group's coefficients, its input and output channels, and the first of the sixteen outputs.
    from: (&'a [f32], usize, usize, usize),
    grad_weight: &'a mut [f32],
}

impl<const R: usize, const N: usize> Kernel for FromCoefficients<'_, R, N> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { from: (coefficients, group_in, group_out, first), grad_weight } = self;
        let scale = &const { Table::of::<N>() }.scale;
        let mut taps = [[0f32; LANES]; TAPS];
        for channel in 0..group_in {
            for lane in (0..LANES).step_by(S::LANES) {
                // SAFETY: the caller guarantees the instruction set; the slices are as long as a vector.
                unsafe {
                    let mut values = [[S::splat(0.0); N]; N];
                    for (row, values) in values.iter_mut().enumerate() {
                        for (column, value) in values.iter_mut().enumerate() {
                            let start = ((row * N + column) * group_in + channel) * group_out + first + lane;
                            let coefficient = S::load(coefficients[start..start + S::LANES].as_ptr());
                            *value = S::mul(coefficient, S::splat(scale[row] * scale[column]));
                        }
                    }
                    for (row, values) in collect_tile::<S, R, N>(&values).iter().enumerate() {
                        for (column, &value) in values.iter().enumerate() {
                            S::store(taps[row * R + column][lane..lane + S::LANES].as_mut_ptr(), value);
                        }
                    }
                }
            }
            for (lane, weights) in grad_weight.chunks_exact_mut(group_in * R * R).enumerate() {
                for (weight, taps) in weights[channel * R * R..(channel + 1) * R * R].iter_mut().zip(&taps) {
                    *weight = taps[lane];
                }
            }
        }
    }
}
