//! NVIDIA's driver, looked for when the program starts instead of by the loader before it.
//!
//! Candle links `libcuda.so.1`, which comes with the driver and not with the CUDA toolkit: where there is none, the loader
//! ends the program before its first line, whatever it was to do. So the program has functions of these names itself. Each
//! jumps to where the driver's is, or, where there is no driver, to one that says so as an error like any other; and since
//! nothing is left for the library to provide, the linker leaves it out. A function that is missing below has it in again,
//! and everything is as it was without this file; CI looks.

use std::arch::naked_asm;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// `CUDA_ERROR_STUB_LIBRARY`: what the toolkit's own placeholder of the driver answers.
const NO_DRIVER: c_int = 34;

const MESSAGE: &CStr = c"install the NVIDIA driver to use a GPU: libcuda.so.1 cannot be loaded";

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const RTLD_NOW: c_int = 2;

/// In place of a function of the driver, whatever its arguments.
extern "C" fn refuse() -> c_int {
    NO_DRIVER
}

/// In place of `cuGetErrorString`.
///
/// # Safety
/// `text` can be written to.
unsafe extern "C" fn describe(_: c_int, text: *mut *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { *text = MESSAGE.as_ptr() };
    0
}

/// A place to jump to.
type Door = AtomicPtr<c_void>;

macro_rules! doors {
    ($($name:ident $door:ident $closed:ident)*) => {
        $(
            static $door: Door = AtomicPtr::new($closed as *mut c_void);

            /// # Safety
            /// As that of the driver, whose arguments it leaves where they are.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn $name() {
                naked_asm!("jmp qword ptr [rip + {door}]", door = sym $door)
            }
        )*

        /// The name of each function, with a zero behind it, and its door.
        static DOORS: &[(&str, &Door)] = &[$((concat!(stringify!($name), "\0"), &$door)),*];
    };
}

// Of `nm -D --undefined-only` of the program, what begins with `cu` and a capital and is no function of another library.
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

/// Opens the doors, before `main`, as the loader would have.
extern "C" fn find() {
    // SAFETY: the name ends with a zero; the driver's own start is all that runs.
    let library = unsafe { dlopen(c"libcuda.so.1".as_ptr(), RTLD_NOW) };
    if library.is_null() {
        return;
    }
    for (name, door) in DOORS {
        // SAFETY: the library is open and is never closed; the name ends with a zero.
        let function = unsafe { dlsym(library, name.as_ptr().cast()) };
        if !function.is_null() {
            door.store(function, Ordering::Relaxed);
        }
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static FIND: extern "C" fn() = find;
