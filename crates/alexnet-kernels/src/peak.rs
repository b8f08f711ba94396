//! The peak arithmetic rate of this machine, so that a benchmark can report a fraction of it.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::backend::CpuIsa;
use crate::simd::{Kernel, Simd, dispatch};

/// Independent sums in flight: more than the latency of a multiply-add times the number of FMA units of any core, and,
/// together with the two factors, no more than the sixteen registers of AVX2.
const CHAINS: usize = 12;
const STEPS: usize = 2_000_000;

/// Multiply-adds on registers only.
struct MultiplyAdds;

impl Kernel for MultiplyAdds {
    /// The number of multiply-adds, and a sum that keeps the compiler from removing them.
    type Output = (f64, f32);

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> (f64, f32) {
        // SAFETY: the instruction set is available; no memory is accessed.
        unsafe {
            let (a, b) = (S::splat(std::hint::black_box(0.999_9)), S::splat(std::hint::black_box(1e-4)));
            let mut sums = [a; CHAINS];
            for _ in 0..STEPS {
                for sum in &mut sums {
                    *sum = S::mul_add(*sum, a, b);
                }
            }
            let total = sums.into_iter().fold(b, |total, sum| S::add(total, sum));
            ((CHAINS * STEPS * S::LANES) as f64, S::sum(total))
        }
    }
}

/// Floating-point operations per second of all threads of rayon's current pool together, on registers; a multiply-add
/// counts as two. The best of the measurements that fit into `time`. An upper bound for every kernel.
/// `None` if this CPU does not support the instruction set.
pub fn measure_peak(isa: CpuIsa, time: Duration) -> Option<f64> {
    if !isa.runs_here() {
        return None;
    }
    let start = Instant::now();
    let mut best = 0f64;
    while best == 0.0 || start.elapsed() < time {
        let round = Instant::now();
        let threads = rayon::current_num_threads();
        let done: f64 = (0..threads * 4)
            .into_par_iter()
            .with_max_len(1)
            .map(|_| {
                let (count, sum) = dispatch(isa, MultiplyAdds);
                std::hint::black_box(sum);
                count
            })
            .sum();
        best = best.max(2.0 * done / round.elapsed().as_secs_f64());
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_faster_than_what_every_processor_has() {
        let peak = |isa| measure_peak(isa, Duration::from_millis(50)).unwrap();
        let portable = peak(CpuIsa::Portable);
        assert!(portable > 1e8, "{portable}");
        // Twice the lanes and half the instructions. AVX-512 is not compared with AVX2: some CPUs execute its vectors in
        // two passes.
        for isa in CpuIsa::available().into_iter().filter(|&isa| isa != CpuIsa::Portable) {
            let peak = peak(isa);
            assert!(peak > portable, "{isa}: {peak}, portable {portable}");
        }
    }
}
