//! Loads the NVIDIA driver at program start instead of through the dynamic loader.
//!
//! Candle links `libcuda.so.1`, which is part of the driver and not of the CUDA toolkit: without a driver, the dynamic
//! loader terminates the program before `main`, even if it would not use a GPU. Therefore the program defines the driver's
//! functions itself. Each jumps to the driver's function or, without a driver, to a function that returns an ordinary error.
//! As no undefined symbol is left, the linker drops the dependency on the library. If a function is missing in the list
//! below, the dependency returns, as if this file did not exist; CI checks this.

use std::arch::naked_asm;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// `CUDA_ERROR_STUB_LIBRARY`: the result of the toolkit's stub of the driver library.
const NO_DRIVER: c_int = 34;

const MESSAGE: &CStr = c"install the NVIDIA driver to use a GPU: libcuda.so.1 cannot be loaded";

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const RTLD_NOW: c_int = 2;

/// Replaces any function of the driver; ignores the arguments.
extern "C" fn refuse() -> c_int {
    NO_DRIVER
}

/// Replaces `cuGetErrorString`.
///
/// # Safety
/// `text` must be valid for writes.
unsafe extern "C" fn describe(_: c_int, text: *mut *const c_char) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { *text = MESSAGE.as_ptr() };
    0
}

/// The target of a jump.
type Door = AtomicPtr<c_void>;

macro_rules! doors {
    ($($name:ident $door:ident $closed:ident)*) => {
        $(
            static $door: Door = AtomicPtr::new($closed as *mut c_void);

            /// # Safety
            /// As the driver's function, to which all arguments are passed on unchanged.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn $name() {
                naked_asm!("jmp qword ptr [rip + {door}]", door = sym $door)
            }
        )*

        /// The name of each function, zero-terminated, and its jump target.
        static DOORS: &[(&str, &Door)] = &[$((concat!(stringify!($name), "\0"), &$door)),*];
    };
}

// From `nm -D --undefined-only` of the program: the names that begin with `cu` and a capital letter and do not belong to
// another library.
doors! {
    cuCtxDestroy_v2 CTX_DESTROY refuse
    cuCtxGetCurrent CTX_GET_CURRENT refuse
    cuCtxSetCurrent CTX_SET_CURRENT refuse
    cuCtxSynchronize CTX_SYNCHRONIZE refuse
    cuDeviceGet DEVICE_GET refuse
    cuDeviceGetAttribute DEVICE_GET_ATTRIBUTE refuse
    cuDeviceGetCount DEVICE_GET_COUNT refuse
    cuDeviceGetDefaultMemPool DEVICE_GET_DEFAULT_MEM_POOL refuse
    cuDeviceGetName DEVICE_GET_NAME refuse
    cuDevicePrimaryCtxRelease_v2 DEVICE_PRIMARY_CTX_RELEASE refuse
    cuDevicePrimaryCtxRetain DEVICE_PRIMARY_CTX_RETAIN refuse
    cuDriverGetVersion DRIVER_GET_VERSION refuse
    cuEventCreate EVENT_CREATE refuse
    cuEventDestroy_v2 EVENT_DESTROY refuse
    cuEventRecord EVENT_RECORD refuse
    cuEventSynchronize EVENT_SYNCHRONIZE refuse
    cuGetErrorString GET_ERROR_STRING describe
    cuInit INIT refuse
    cuLaunchKernel LAUNCH_KERNEL refuse
    cuMemAllocAsync MEM_ALLOC_ASYNC refuse
    cuMemAlloc_v2 MEM_ALLOC refuse
    cuMemFreeAsync MEM_FREE_ASYNC refuse
    cuMemFreeHost MEM_FREE_HOST refuse
    cuMemFree_v2 MEM_FREE refuse
    cuMemGetInfo_v2 MEM_GET_INFO refuse
    cuMemHostAlloc MEM_HOST_ALLOC refuse
    cuMemPoolSetAttribute MEM_POOL_SET_ATTRIBUTE refuse
    cuMemcpyDtoDAsync_v2 MEMCPY_D_TO_D refuse
    cuMemcpyDtoHAsync_v2 MEMCPY_D_TO_H refuse
    cuMemcpyHtoDAsync_v2 MEMCPY_H_TO_D refuse
    cuMemcpyPeerAsync MEMCPY_PEER refuse
    cuMemsetD8Async MEMSET refuse
    cuModuleGetFunction MODULE_GET_FUNCTION refuse
    cuModuleLoad MODULE_LOAD refuse
    cuModuleLoadData MODULE_LOAD_DATA refuse
    cuModuleUnload MODULE_UNLOAD refuse
    cuStreamCreate STREAM_CREATE refuse
    cuStreamDestroy_v2 STREAM_DESTROY refuse
    cuStreamIsCapturing STREAM_IS_CAPTURING refuse
    cuStreamSynchronize STREAM_SYNCHRONIZE refuse
    cuStreamWaitEvent STREAM_WAIT_EVENT refuse
}

/// Sets the jump targets before `main`, in place of the dynamic loader.
extern "C" fn find() {
    // SAFETY: the name is zero-terminated; only the driver's initializers run.
    let library = unsafe { dlopen(c"libcuda.so.1".as_ptr(), RTLD_NOW) };
    if library.is_null() {
        return;
    }
    for (name, door) in DOORS {
        // SAFETY: the library is open and is never closed; the name is zero-terminated.
        let function = unsafe { dlsym(library, name.as_ptr().cast()) };
        if !function.is_null() {
            door.store(function, Ordering::Relaxed);
        }
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static FIND: extern "C" fn() = find;
