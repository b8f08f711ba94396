//! The GPUs of this machine, and one sentence for each reason why there is none.

use candle_core::Device;

use crate::error::Error;

/// An NVIDIA GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CudaDeviceInfo {
    /// Its number, from 0 on.
    pub ordinal: usize,
    /// What it is sold as.
    pub name: String,
    /// The generation of its instructions: 9.0 for an H100.
    pub compute_capability: (u32, u32),
    /// Bytes of memory, and of those the free ones.
    pub memory: usize,
    /// As above.
    pub free_memory: usize,
    /// How many multiprocessors it has.
    pub multiprocessors: usize,
    /// Why this program cannot compute on it, if it cannot.
    pub unusable: Option<String>,
}

/// The GPUs of this machine.
///
/// # Errors
/// [`Error::Gpu`]: this build is without the feature `cuda`; there is no driver, or one that is too old; there is no GPU.
pub fn cuda_devices() -> Result<Vec<CudaDeviceInfo>, Error> {
    imp::devices()
}

/// Whether all operations take `bf16` for activations and weights on this device: on GPUs. On the CPU only
/// [`linear::forward_into`](crate::linear::forward_into) does, for the weight, and [`add::scale_into`](crate::add::scale_into), for the
/// result.
pub fn takes_bf16(device: &Device) -> bool {
    crate::cuda::serves(device)
}

/// The GPU with this number, with a stream of its own on which all its work is queued: its tensors do not watch who uses
/// them, so whoever works on them on another stream orders that himself. So does who opens a GPU twice and copies between the
/// two; clone the device instead. Memory that is given back is kept for the next who wants some, and cuBLAS adds up in `f32`.
///
/// # Errors
/// As [`cuda_devices`]; there is no such GPU, or it is too old for this build, or it cannot be opened.
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

/// Whether convolutions on GPUs go by cuDNN where this build has it (the feature `cudnn`), which they do unless this was
/// called, or by this crate's own kernels and cuBLAS. For the whole process.
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

    const WITHOUT: &str = "this program was built without support for NVIDIA GPUs; build it with --features cuda";

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

    /// The generation that this build was made for: `build.rs`.
    const BUILT_FOR: &str = env!("ALEXNET_COMPUTE_CAPABILITY");

    /// All of them; one that does not answer is there, too, and says why.
    pub(super) fn devices() -> Result<Vec<CudaDeviceInfo>, Error> {
        Ok((0..count()?).map(info).collect())
    }

    /// This one, and no other is touched.
    pub(super) fn device(ordinal: usize) -> Result<CudaDeviceInfo, Error> {
        let count = count()?;
        if ordinal < count {
            return Ok(info(ordinal));
        }
        let there = devices()?.into_iter().map(|device| format!("{}, {}", device.ordinal, device.name));
        let there: Vec<String> = there.collect();
        gpu(format!("there is no GPU {ordinal}; this machine has {count}: {}", there.join("; ")))
    }

    /// Changes three defaults: two that each step would pay for, and one that costs precision.
    pub(super) fn make_ready(device: &Device) {
        let Device::Cuda(device) = device else { return };
        // Each use of each tensor would be recorded on the GPU, as an event that other streams can wait for.
        // SAFETY: what this crate does with this device's tensors is on its one stream, but for `transfer`, which orders its
        // copies itself.
        unsafe { device.disable_event_tracking() };
        // Memory that nobody uses would go back to the system whenever the GPU is waited for. No matter if it does.
        let (stream, mut all) = (device.cuda_stream(), u64::MAX);
        // SAFETY: the device is open; the attribute is a number of 64 bits.
        let _ = unsafe {
            result::device::get_default_mem_pool(stream.context().cu_device()).and_then(|pool| {
                let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
                sys::cuMemPoolSetAttribute(pool, threshold, std::ptr::from_mut(&mut all).cast()).result()
            })
        };
        // Where a long sum is cut into parts, cuBLAS may add these up as bf16 if that is the result's type.
        let sums = cublas::cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
        // SAFETY: the handle is the device's, and is there as long as it.
        unsafe { cublas::cublasSetMathMode(*device.cublas_handle().handle(), sums) };
    }

    fn count() -> Result<usize, Error> {
        let count = match CudaContext::device_count() {
            Ok(0) | Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => {
                return gpu("NVIDIA's driver finds no GPU in this machine".into());
            }
            // Of `cuda/driver.rs`, or of the placeholder that comes with the toolkit.
            Err(DriverError(CUresult::CUDA_ERROR_STUB_LIBRARY)) => {
                return gpu("there is no NVIDIA driver: libcuda.so.1 cannot be loaded".into());
            }
            Ok(count) => count as usize,
            Err(error) => return gpu(format!("NVIDIA's driver does not start: {}", described(error))),
        };
        let (driver, built) = (driver_version(), sys::CUDA_VERSION as i32);
        // A driver makes nothing of what a newer compiler wrote for it.
        if driver < built {
            let version = |v: i32| format!("{}.{}", v / 1000, v % 1000 / 10);
            return gpu(format!(
                "NVIDIA's driver is for CUDA {} at most, but this program was built with CUDA {}; update the driver",
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
            unusable: Some(format!("does not answer: {}", described(error))),
        })
    }

    fn read(ordinal: usize) -> Result<CudaDeviceInfo, DriverError> {
        let context = CudaContext::new(ordinal)?;
        let (major, minor) = context.compute_capability()?;
        let (free_memory, memory) = context.mem_get_info()?;
        let capability = major as u32 * 10 + minor as u32;
        let needed = BUILT_FOR.parse::<u32>().unwrap_or_default();
        // From 9.0 on Candle builds for one generation alone.
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

    /// The newest CUDA that the driver knows, as 13000 for 13.0; 0 if it does not say.
    fn driver_version() -> i32 {
        let mut version = 0;
        // SAFETY: the driver writes one number to the address of one.
        let result = unsafe { sys::cuDriverGetVersion(&mut version) };
        if result == CUresult::CUDA_SUCCESS { version } else { 0 }
    }

    /// The driver's own words.
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
