//! The CPU's instruction sets, and how a test forces one.

use std::cell::Cell;
use std::fmt;

/// An instruction set the CPU kernels are compiled for. Every build contains all of them; the best one is chosen at run
/// time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CpuIsa {
    /// The instructions the compilation target guarantees: SSE2 on x86-64, NEON on 64-bit Arm. No fused multiply-add.
    Portable,
    /// AVX2 with FMA: 8 lanes.
    Avx2,
    /// AVX-512 F, BW, DQ and VL: 16 lanes.
    Avx512,
}

impl fmt::Display for CpuIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

thread_local! {
    static FORCED: Cell<Option<CpuIsa>> = const { Cell::new(None) };
}

impl CpuIsa {
    /// The instruction sets this CPU supports, in ascending order.
    pub fn available() -> Vec<Self> {
        [Self::Portable, Self::Avx2, Self::Avx512].into_iter().filter(|isa| isa.runs_here()).collect()
    }

    /// The instruction set used by the next operation that this thread starts: the forced one, or else the best available.
    pub fn current() -> Self {
        FORCED.get().unwrap_or_else(|| {
            if Self::Avx512.runs_here() {
                Self::Avx512
            } else if Self::Avx2.runs_here() {
                Self::Avx2
            } else {
                Self::Portable
            }
        })
    }

    /// Runs `f` with this instruction set forced for every operation that the calling thread starts.
    /// If the CPU does not support it, returns `None` and does not run `f`.
    pub fn force<R>(self, f: impl FnOnce() -> R) -> Option<R> {
        struct Restore(Option<CpuIsa>);
        impl Drop for Restore {
            fn drop(&mut self) {
                FORCED.set(self.0);
            }
        }
        if !self.runs_here() {
            return None;
        }
        let _restore = Restore(FORCED.replace(Some(self)));
        Some(f())
    }

    /// Whether this CPU supports it.
    pub fn runs_here(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Portable => true,
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Avx512 => {
                Self::Avx2.runs_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        matches!(self, Self::Portable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forcing_is_scoped_to_the_call_and_the_thread() {
        let best = CpuIsa::current();
        assert_eq!(CpuIsa::available().last(), Some(&best));
        CpuIsa::Portable.force(|| {
            assert_eq!(CpuIsa::current(), CpuIsa::Portable);
            let elsewhere = std::thread::spawn(CpuIsa::current).join().unwrap();
            assert_eq!(elsewhere, best);
        });
        assert_eq!(CpuIsa::current(), best);
    }
}
