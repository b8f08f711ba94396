//! The GPU kernels on the CPU: the same source files, compiled by a C++ compiler, so that wrong indices and wrong parameters
//! are found without a GPU. Tensors are copied to buffers between guard pages. For the tests of this crate and, with the
//! feature `host-kernels`, of the crates that depend on it.

mod library;

use std::cell::Cell;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use candle_core::{DType, Result, Tensor};
use half::bf16;

use super::{Address, Argument, Convolution, Gemm, Grid, Matrix, Named, Queue, Real};
use crate::tensor;

thread_local! {
    static FORCED: Cell<Option<Host>> = const { Cell::new(None) };
}

/// How blocks and threads are run: in ascending order, or in reverse, which exposes missing barriers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) reversed: bool,
    /// Whether to emulate a convolution library: plain loops in place of cuDNN.
    pub(crate) library: bool,
}

/// The emulated GPU that the calling thread's operations use instead of the CPU code; `None` by default.
pub(crate) fn forced() -> Option<Host> {
    FORCED.get()
}

/// Runs `f` with the GPU kernels for all operations that the calling thread starts on CPU tensors, with threads and blocks
/// in ascending order or `reversed`; `None` if this machine has no C++ compiler.
#[cfg(feature = "host-kernels")]
pub fn with_host_kernels<R>(reversed: bool, f: impl FnOnce() -> R) -> Option<R> {
    Host { reversed, library: false }.force(f)
}

impl Host {
    /// Runs `f` with these kernels instead of the CPU code; `None` if this machine has no C++ compiler.
    pub(crate) fn force<R>(self, f: impl FnOnce() -> R) -> Option<R> {
        struct Restore(Option<Host>);
        impl Drop for Restore {
            fn drop(&mut self) {
                FORCED.set(self.0);
            }
        }
        libraries()?;
        let _restore = Restore(FORCED.replace(Some(self)));
        Some(f())
    }

    pub(super) fn run<const R: usize, const W: usize>(
        self,
        op: &'static str,
        reads: [Named<'_>; R],
        writes: [Named<'_>; W],
        f: impl FnOnce(&dyn Queue, [Address; R], [Address; W]) -> Result<()>,
    ) -> Result<()> {
        let copy = |(name, tensor): Named<'_>| tensor.map(|t| Buffer::of(op, name, t)).transpose();
        let inputs = reads.into_iter().map(copy).collect::<Result<Vec<_>>>()?;
        let outputs = writes.into_iter().map(copy).collect::<Result<Vec<_>>>()?;
        let address = |buffer: &Option<Buffer>| buffer.as_ref().map_or(Address::NONE, |buffer| buffer.address);
        f(&self, std::array::from_fn(|i| address(&inputs[i])), std::array::from_fn(|i| address(&outputs[i])))?;
        for ((name, tensor), buffer) in writes.into_iter().zip(&outputs) {
            if let (Some(tensor), Some(buffer)) = (tensor, buffer) {
                match tensor.dtype() {
                    DType::F32 => tensor::write(op, name, tensor, |to| buffer.copy_to::<f32>(to))?,
                    DType::BF16 => tensor::write(op, name, tensor, |to| buffer.copy_to::<bf16>(to))?,
                    DType::U8 => tensor::write(op, name, tensor, |to| buffer.copy_to::<u8>(to))?,
                    _ => tensor::write(op, name, tensor, |to| buffer.copy_to::<u32>(to))?,
                }
            }
        }
        Ok(())
    }
}

/// A buffer between guard pages.
struct Buffer {
    address: Address,
    bytes: usize,
}

impl Buffer {
    fn new(bytes: usize) -> Self {
        let [library, _] = libraries().expect("a host is forced only if the libraries exist");
        // SAFETY: the function of host.h, called with its parameters.
        let at = unsafe { (library.allocate)(bytes) };
        assert!(!at.is_null(), "cannot allocate {bytes} bytes");
        Self { address: Address { at: at as u64, len: bytes, dtype: DType::U8 }, bytes }
    }

    fn of(op: &'static str, name: &'static str, tensor: &Tensor) -> Result<Self> {
        match tensor.dtype() {
            DType::F32 => tensor::read(op, name, tensor, |v: &[f32]| Ok(Self::copy_of(v, DType::F32))),
            DType::BF16 => tensor::read(op, name, tensor, |v: &[bf16]| Ok(Self::copy_of(v, DType::BF16))),
            DType::U8 => tensor::read(op, name, tensor, |v: &[u8]| Ok(Self::copy_of(v, DType::U8))),
            _ => tensor::read(op, name, tensor, |v: &[u32]| Ok(Self::copy_of(v, DType::U32))),
        }
    }

    fn copy_of<T: Copy>(values: &[T], dtype: DType) -> Self {
        let mut buffer = Self::new(size_of_val(values));
        buffer.address = Address { len: values.len(), dtype, ..buffer.address };
        // SAFETY: the buffer has as many bytes and is aligned for T: it ends at a page, and its size is a multiple of T's.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), buffer.address.at as *mut T, values.len()) };
        buffer
    }

    fn copy_to<T: Copy>(&self, to: &mut [T]) -> Result<()> {
        assert_eq!(size_of_val(to), self.bytes);
        // SAFETY: as in `copy_of`.
        unsafe { std::ptr::copy_nonoverlapping(self.address.at as *const T, to.as_mut_ptr(), to.len()) };
        Ok(())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some([library, _]) = libraries() {
            // SAFETY: returned by `allocate`, with its size; the address is not used anymore.
            unsafe { (library.free)(self.address.at as *mut c_void, self.bytes) };
        }
    }
}

impl Queue for Host {
    fn launch(&self, real: Real, kernel: &'static str, grid: Grid, arguments: &[Argument]) -> Result<()> {
        let [f32_library, bf16_library] = libraries().expect("a host is forced only if the libraries exist");
        let library = if real == Real::F32 { f32_library } else { bf16_library };
        let mut values: Vec<u64> = arguments
            .iter()
            .map(|argument| match *argument {
                Argument::Address(at) => at,
                Argument::U32(value) => value.into(),
                Argument::F32(value) => value.to_bits().into(),
            })
            .collect();
        let sizes: Vec<c_uint> =
            arguments.iter().map(|a| if matches!(a, Argument::Address(_)) { 8 } else { 4 }).collect();
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
        let name = CString::new(kernel).expect("kernel names contain no zero byte");
        let (blocks, threads, reversed) = (grid.blocks.as_ptr(), grid.threads.as_ptr(), self.reversed.into());
        // SAFETY: the function of host.h, which checks the name and the sizes; on a little-endian machine a parameter of
        // four bytes is the lower half of its word.
        let status = unsafe {
            let (pointers, sizes, count) = (pointers.as_mut_ptr(), sizes.as_ptr(), sizes.len() as c_uint);
            (library.launch)(name.as_ptr(), blocks, threads, pointers, sizes, count, reversed)
        };
        match status {
            0 => Ok(()),
            1 => candle_core::bail!("unknown kernel {kernel}"),
            2 => candle_core::bail!("kernel {kernel}: the parameters do not match the arguments {arguments:?}"),
            _ => {
                candle_core::bail!(
                    "kernel {kernel}: all threads of a block must reach each barrier, but some ended before it"
                )
            }
        }
    }

    /// Few blocks of few threads, so that loops run several iterations.
    fn grid_for(&self, count: u32) -> Grid {
        Grid { blocks: [count.div_ceil(32).min(3), 1, 1], threads: [32, 1, 1] }
    }

    /// Plain loops, summed in `f64`.
    fn gemm(&self, product: &Gemm) -> Result<()> {
        let Gemm { real, result, m, n, k, a, b, c, accumulate, batch } = *product;
        let get = |matrix: Matrix, real, step: usize, row: usize, column: usize| {
            let (row, column) = if matrix.transposed { (column, row) } else { (row, column) };
            let index = step * matrix.step + row * matrix.row + column;
            // SAFETY: the matrices are in buffers of the caller, or the access hits a guard page and ends the process.
            unsafe {
                match real {
                    Real::F32 => f64::from(*(matrix.at as *const f32).add(index)),
                    Real::Bf16 => f64::from(*(matrix.at as *const bf16).add(index)),
                }
            }
        };
        for step in 0..batch {
            let right: Vec<f64> = (0..k * n).map(|i| get(b, real, step, i / n, i % n)).collect();
            for row in 0..m {
                let start = |column| if accumulate { get(c, result, step, row, column) } else { 0.0 };
                let mut sums: Vec<f64> = (0..n).map(start).collect();
                for (i, right) in right.chunks_exact(n).enumerate() {
                    let left = get(a, real, step, row, i);
                    sums.iter_mut().zip(right).for_each(|(sum, right)| *sum += left * right);
                }
                for (column, sum) in sums.into_iter().enumerate() {
                    let index = step * c.step + row * c.row + column;
                    // SAFETY: as above.
                    unsafe {
                        match result {
                            Real::F32 => *(c.at as *mut f32).add(index) = sum as f32,
                            Real::Bf16 => *(c.at as *mut bf16).add(index) = bf16::from_f64(sum),
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn has_convolutions(&self) -> bool {
        self.library
    }

    fn convolve(&self, convolution: &Convolution) -> Result<bool> {
        library::convolve(convolution);
        Ok(true)
    }

    fn with_scratch(&self, bytes: usize, f: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        thread_local! {
            static LENT: Cell<bool> = const { Cell::new(false) };
        }
        assert!(!LENT.replace(true), "with_scratch must not be nested: a GPU's queue has one scratch buffer");
        // Filled with NaNs of both types.
        let done = f(Buffer::copy_of(&vec![0xFFu8; bytes], DType::U8).address.at);
        LENT.set(false);
        done
    }
}

const IN_HOST_H: &str = "host.h defines it";

type Launch = unsafe extern "C" fn(
    *const c_char,
    *const u32,
    *const u32,
    *mut *mut c_void,
    *const c_uint,
    c_uint,
    c_int,
) -> c_int;

struct Library {
    launch: Launch,
    allocate: unsafe extern "C" fn(usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, usize),
}

/// The kernels for `f32` and for `bf16`, compiled once per process; `None` without a compiler.
fn libraries() -> Option<&'static [Library; 2]> {
    static LIBRARIES: OnceLock<Option<[Library; 2]>> = OnceLock::new();
    LIBRARIES.get_or_init(|| Some([compile("f32", None)?, compile("bf16", Some("-DREAL_BF16"))?])).as_ref()
}

fn compile(name: &str, option: Option<&str>) -> Option<Library> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda/kernels.cu");
    if !cfg!(target_os = "linux") {
        println!("SKIPPED: the kernels on the host: host.h requires Linux");
        return None;
    }
    if !source.is_file() {
        println!("SKIPPED: the kernels on the host: {} does not exist", source.display());
        return None;
    }
    let output: PathBuf = std::env::temp_dir().join(format!("alexnet-kernels-{name}-{}.so", std::process::id()));
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let mut command = Command::new(&compiler);
    // A fortified longjmp rejects a jump to another stack.
    command.args([
        "-std=c++17",
        "-O1",
        "-U_FORTIFY_SOURCE",
        "-ffp-contract=off",
        "-shared",
        "-fPIC",
        "-DALEXNET_HOST",
        "-x",
        "c++",
    ]);
    command.args(option);
    let ran = match command.arg(&source).arg("-o").arg(&output).output() {
        Ok(ran) => ran,
        Err(error) => {
            println!("SKIPPED: the kernels on the host: cannot run {compiler}: {error}");
            return None;
        }
    };
    assert!(ran.status.success(), "{compiler} {}: {}", source.display(), String::from_utf8_lossy(&ran.stderr));
    // SAFETY: the library was just compiled from our own source; its initializers fill a table of kernels.
    let library = unsafe { libloading::Library::new(&output) };
    let _ = std::fs::remove_file(&output);
    // Kept for the lifetime of the process.
    let library = Box::leak(Box::new(library.expect("the compiler just wrote it")));
    // SAFETY: the signatures are those in host.h.
    unsafe {
        Some(Library {
            launch: *library.get(b"alexnet_launch").expect(IN_HOST_H),
            allocate: *library.get(b"alexnet_allocate").expect(IN_HOST_H),
            free: *library.get(b"alexnet_free").expect(IN_HOST_H),
        })
    }
}
