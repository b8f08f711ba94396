//! The freedom that GPUs have in `f32` products and convolutions.

use std::cell::Cell;

/// The freedom that GPUs have in `f32` products and convolutions. The default allows neither, and gives the same bits in every
/// run. It holds for the calls inside [`GpuMath::scope`]; CPUs ignore it.
///
/// ```
/// use alexnet_kernels::GpuMath;
///
/// let math = GpuMath { tf32: true, ..GpuMath::default() };
/// assert!(math.scope(|| GpuMath::current().tf32));
/// assert!(!GpuMath::current().tf32);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GpuMath {
    /// Tensor cores may compute `f32` products and convolutions from factors rounded to eleven bits (TF32).
    pub tf32: bool,
    /// cuDNN may choose algorithms whose order of summation changes from run to run.
    pub nondeterministic: bool,
}

thread_local! {
    static CURRENT: Cell<GpuMath> = const { Cell::new(GpuMath { tf32: false, nondeterministic: false }) };
}

impl GpuMath {
    /// Runs `f`, whose operations on this thread use this setting.
    pub fn scope<R>(self, f: impl FnOnce() -> R) -> R {
        /// Restores the setting, also when `f` panics.
        struct Restore(GpuMath);

        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }

        let _restore = Restore(CURRENT.replace(self));
        f()
    }

    /// The setting of this thread: that of the innermost scope, or the default.
    pub fn current() -> Self {
        CURRENT.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_nest_and_end() {
        let (tf32, any) =
            (GpuMath { tf32: true, nondeterministic: false }, GpuMath { tf32: false, nondeterministic: true });
        tf32.scope(|| {
            any.scope(|| assert_eq!(GpuMath::current(), any));
            let panicked = std::panic::catch_unwind(|| any.scope(|| panic!("inside")));
            assert!(panicked.is_err());
            assert_eq!(GpuMath::current(), tf32);
            let other = std::thread::spawn(GpuMath::current);
            assert_eq!(other.join().unwrap(), GpuMath::default());
        });
        assert_eq!(GpuMath::current(), GpuMath::default());
    }
}
