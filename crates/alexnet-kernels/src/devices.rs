//! The GPUs of this machine, and the reasons why one is not usable.

use candle_core::Device;

use crate::error::Error;

/// An NVIDIA GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CudaDeviceInfo {
    /// Device index, starting at 0.
    pub ordinal: usize,
    /// Product name.
    pub name: String,
    /// CUDA compute capability, (major, minor): 9.0 for an H100.
    pub compute_capability: (u32, u32),
    /// Total memory in bytes.
    pub memory: usize,
    /// Free memory in bytes.
    pub free_memory: usize,
    /// Number of multiprocessors.
    pub multiprocessors: usize,
    /// The reason why this program cannot use it; `None` if it can.
    pub unusable: Option<String>,
}

/// The GPUs of this machine.
///
/// # Errors
/// [`Error::Gpu`]: this build lacks the feature `cuda`; the driver is missing or too old; there is no GPU.
pub fn cuda_devices() -> Result<Vec<CudaDeviceInfo>, Error> {
    imp::devices()
}

/// Whether all operations accept `bf16` activations and weights on this device: true on GPUs. On the CPU only
/// [`linear::forward_into`](crate::linear::forward_into) accepts a `bf16` weight and
/// [`add::scale_into`](crate::add::scale_into) a `bf16` result.
pub fn takes_bf16(device: &Device) -> bool {
    crate::cuda::serves(device)
}

/// Opens the GPU with this index, with a new stream that all its work is queued on. Its tensors do not record events
/// (event tracking is disabled), so work on them from another stream must be ordered by the caller. That includes copies
/// between two devices opened for the same GPU; clone the device instead. Freed memory stays in the memory pool for reuse,
/// and cuBLAS accumulates in `f32`.
///
/// # Errors
/// As [`cuda_devices`]; there is no GPU with this index, or it is too old for this build, or it cannot be opened.
pub fn cuda_device(ordinal: usize) -> Result<Device, Error> {
    let device = imp::device(ordinal)?;
    if let Some(reason) = &device.unusable {
        return gpu(format!("GPU {ordinal}, {}, {reason}", device.name));
    }
    let opened =
        Device::new_cuda_with_stream(ordinal).or_else(|e| gpu(format!("GPU {ordinal}, {}: {e}", device.name)))?;
    imp::make_ready(&opened);
    Ok(opened)
}

/// Sets whether convolutions on GPUs use cuDNN, if this build includes it (the feature `cudnn`), or this crate's kernels
/// and cuBLAS. On by default. Applies to the whole process.
pub fn use_cudnn(used: bool) {
    #[cfg(feature = "cudnn")]
    crate::cuda::cudnn::enable(used);
    #[cfg(not(feature = "cudnn"))]
    let _ = used;
}

fn gpu<T>(what: String) -> Result<T, Error> {
    Err(Error::Gpu { what })
}

#[cfg(not(feature = "cuda"))]
mod imp {
    use super::{CudaDeviceInfo, Error, gpu};

    const WITHOUT: &str = "build with --features cuda to use NVIDIA GPUs: this program was built without CUDA support";

    pub(super) fn device(_: usize) -> Result<CudaDeviceInfo, Error> {
        gpu(WITHOUT.into())
    }

    pub(super) fn devices() -> Result<Vec<CudaDeviceInfo>, Error> {
        gpu(WITHOUT.into())
    }

    pub(super) fn make_ready(_: &candle_core::Device) {}
}

#[cfg(feature = "cuda")]
mod imp {
    use candle_core::Device;
    use candle_core::cuda_backend::cudarc::cublas::sys as cublas;
    use candle_core::cuda_backend::cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUresult};
    use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, result};

    use super::{CudaDeviceInfo, Error, gpu};

    /// The compute capability that this build targets, set in `build.rs`.
    const BUILT_FOR: &str = env!("ALEXNET_COMPUTE_CAPABILITY");

    /// All GPUs, including those that cannot be queried, with the reason.
    pub(super) fn devices() -> Result<Vec<CudaDeviceInfo>, Error> {
        Ok((0..count()?).map(info).collect())
    }

    /// The GPU with this index; the others are not accessed.
    pub(super) fn device(ordinal: usize) -> Result<CudaDeviceInfo, Error> {
        let count = count()?;
        if ordinal < count {
            return Ok(info(ordinal));
        }
        let there = devices()?.into_iter().map(|device| format!("{}, {}", device.ordinal, device.name));
        let there: Vec<String> = there.collect();
        gpu(format!("the GPU index must be below {count}, but is {ordinal}; this machine has: {}", there.join("; ")))
    }

    /// Changes three defaults: two that slow down every step, and one that costs precision.
    pub(super) fn make_ready(device: &Device) {
        let Device::Cuda(device) = device else { return };
        // By default each use of each tensor is recorded on the GPU as an event that other streams can wait for.
        // SAFETY: this crate uses this device's tensors on its one stream only, except in `transfer`, which orders its
        // copies itself.
        unsafe { device.disable_event_tracking() };
        // By default unused memory returns to the system at every synchronization. A failure here is harmless.
        let (stream, mut all) = (device.cuda_stream(), u64::MAX);
        // SAFETY: the device is open; the attribute is a 64-bit number.
        let _ = unsafe {
            result::device::get_default_mem_pool(stream.context().cu_device()).and_then(|pool| {
                let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
                sys::cuMemPoolSetAttribute(pool, threshold, std::ptr::from_mut(&mut all).cast()).result()
            })
        };
        // Where cuBLAS splits a long sum (split-K), it may by default add the parts in bf16 if that is the result's type.
        let sums = cublas::cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
        // SAFETY: the handle belongs to the device and lives as long as it.
        unsafe { cublas::cublasSetMathMode(*device.cublas_handle().handle(), sums) };
    }

    fn count() -> Result<usize, Error> {
        let count = match CudaContext::device_count() {
            Ok(0) | Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => {
                return gpu("the NVIDIA driver finds no GPU in this machine".into());
            }
            // Returned by `cuda/driver.rs`, or by the stub library of the toolkit.
            Err(DriverError(CUresult::CUDA_ERROR_STUB_LIBRARY)) => {
                return gpu("install the NVIDIA driver to use a GPU: libcuda.so.1 cannot be loaded".into());
            }
            Ok(count) => count as usize,
            Err(error) => return gpu(format!("the NVIDIA driver cannot be initialized: {}", described(error))),
        };
        let (driver, built) = (driver_version(), sys::CUDA_VERSION as i32);
        // A driver cannot load PTX written by a newer compiler.
        if driver < built {
            let version = |v: i32| format!("{}.{}", v / 1000, v % 1000 / 10);
            return gpu(format!(
                "update the NVIDIA driver: it supports CUDA up to {}, but this program was built with CUDA {}",
                version(driver),
                version(built)
            ));
        }
        Ok(count)
    }

    fn info(ordinal: usize) -> CudaDeviceInfo {
        read(ordinal).unwrap_or_else(|error| CudaDeviceInfo {
            ordinal,
            name: "unknown".into(),
            compute_capability: (0, 0),
            memory: 0,
            free_memory: 0,
            multiprocessors: 0,
            unusable: Some(format!("cannot be queried: {}", described(error))),
        })
    }

    fn read(ordinal: usize) -> Result<CudaDeviceInfo, DriverError> {
        let context = CudaContext::new(ordinal)?;
        let (major, minor) = context.compute_capability()?;
        let (free_memory, memory) = context.mem_get_info()?;
        let capability = major as u32 * 10 + minor as u32;
        let needed = BUILT_FOR.parse::<u32>().unwrap_or_default();
        // From 9.0 on, Candle builds for a single generation.
        let unusable = (capability < needed || needed >= 90 && capability != needed).then(|| {
            let (whole, part, later) = (needed / 10, needed % 10, if needed < 90 { " and later" } else { "" });
            format!(
                "has compute capability {major}.{minor}, but this program was built for {whole}.{part}{later}; build it \
                 with CUDA_COMPUTE_CAP={}",
                capability.min(80)
            )
        });
        Ok(CudaDeviceInfo {
            ordinal,
            name: context.name()?,
            compute_capability: (major as u32, minor as u32),
            memory,
            free_memory,
            multiprocessors: context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as usize,
            unusable,
        })
    }

    /// The newest CUDA version that the driver supports, 13000 for 13.0; 0 if it cannot be read.
    fn driver_version() -> i32 {
        let mut version = 0;
        // SAFETY: the driver writes one `i32` to the address of one.
        let result = unsafe { sys::cuDriverGetVersion(&mut version) };
        if result == CUresult::CUDA_SUCCESS { version } else { 0 }
    }

    /// The driver's error message.
    fn described(error: DriverError) -> String {
        match error.error_string() {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => format!("{:?}", error.0),
        }
    }
}

#[cfg(all(test, not(feature = "cuda")))]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_gpus_says_so() {
        let message = cuda_device(0).unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
    }
}
