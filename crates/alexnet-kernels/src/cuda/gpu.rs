//! The queue of a real GPU: Candle's CUDA device, its stream and its cuBLAS handle.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::cudarc::cublas::{result as cublas, sys as cublas_sys};
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg, SyncOnDrop,
};
use candle_core::cuda_backend::{CudaStorageSlice, DeviceId, WrapErr};
use candle_core::{CudaDevice, CudaStorage, DType, Device, InplaceOp1, Layout, Result, Shape, Storage, Tensor};

use super::{Address, Argument, Gemm, Grid, Matrix, Named, Queue, Real, Stored};
use crate::GpuMath;
use crate::error::Error;
use crate::tensor;

/// The PTX that `build.rs` compiled from `kernels.cu`: (module name, PTX).
const PTX: [(&str, &str); 2] = [
    ("alexnet_kernels_f32", include_str!(concat!(env!("OUT_DIR"), "/kernels_f32.ptx"))),
    ("alexnet_kernels_bf16", include_str!(concat!(env!("OUT_DIR"), "/kernels_bf16.ptx"))),
];

/// Threads per block in a loop over values.
const THREADS: u32 = 256;

/// Maximum number of blocks of such a loop: several for every multiprocessor of a large GPU.
const MOST_BLOCKS: u32 = 1 << 14;

/// A GPU and the stream that its work is queued on.
pub(super) struct Gpu {
    device: CudaDevice,
}

impl Gpu {
    /// The GPU that `tensor` is on.
    pub(super) fn of(tensor: &Tensor) -> Option<Self> {
        match tensor.device() {
            Device::Cuda(device) => Some(Self { device: device.clone() }),
            _ => None,
        }
    }

    pub(super) fn run<const R: usize, const W: usize>(
        &self,
        op: &'static str,
        reads: [Named<'_>; R],
        writes: [Named<'_>; W],
        f: impl FnOnce(&dyn Queue, [Address; R], [Address; W]) -> Result<()>,
    ) -> Result<()> {
        for (name, tensor) in reads.iter().chain(&writes) {
            if let Some(tensor) = tensor.filter(|t| !t.device().same_device(&Device::Cuda(self.device.clone()))) {
                let found = format!("{:?}, not on {:?}", tensor.device().location(), self.device.location());
                return Err(Error::Device { op, name, found }.into());
            }
        }
        let stream = self.device.cuda_stream();
        stream.context().bind_to_thread().w()?;
        // The read locks on the inputs are held until the work is queued.
        let guards = reads.map(|(name, tensor)| tensor.map(|tensor| (name, tensor.storage_and_layout())));
        let mut held = Vec::with_capacity(R + W);
        let mut inputs = [Address::NONE; R];
        for (input, guard) in inputs.iter_mut().zip(&guards) {
            if let Some((name, (storage, layout))) = guard {
                let Storage::Cuda(storage) = &**storage else {
                    return Err(Error::Device { op, name, found: "another device".into() }.into());
                };
                let (address, hold) = address(op, name, storage, layout, &stream)?;
                *input = address;
                held.push(hold);
            }
        }
        let mut f = Some(f);
        let mut outputs = [Address::NONE; W];
        write_all(op, &writes, &mut outputs, 0, &mut |outputs: &[Address; W]| match f.take() {
            Some(f) => f(self, inputs, *outputs),
            None => Ok(()),
        })
    }
}

/// The callback to run once all outputs are locked.
type Then<'a, const W: usize> = dyn FnMut(&[Address; W]) -> Result<()> + 'a;

/// Locks the outputs one after the other, and calls `f` once all are locked.
fn write_all<const W: usize>(
    op: &'static str,
    writes: &[Named<'_>; W],
    addresses: &mut [Address; W],
    next: usize,
    f: &mut Then<'_, W>,
) -> Result<()> {
    struct Write<'a, 'b, const W: usize> {
        op: &'static str,
        writes: &'a [Named<'a>; W],
        next: usize,
        state: RefCell<(&'a mut [Address; W], &'a mut Then<'b, W>)>,
    }
    impl<const W: usize> InplaceOp1 for Write<'_, '_, W> {
        fn name(&self) -> &'static str {
            self.op
        }
        fn cpu_fwd(&self, _: &mut candle_core::CpuStorage, _: &Layout) -> Result<()> {
            let (op, name) = (self.op, self.writes[self.next].0);
            Err(Error::Device { op, name, found: "the CPU".into() }.into())
        }
        fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> Result<()> {
            let stream = storage.device().cuda_stream();
            let (address, _hold) = address_mut(self.op, self.writes[self.next].0, storage, layout, &stream)?;
            let mut state = self.state.borrow_mut();
            let (addresses, f) = &mut *state;
            addresses[self.next] = address;
            write_all(self.op, self.writes, addresses, self.next + 1, *f)
        }
    }
    match writes.get(next) {
        None => f(addresses),
        Some((_, None)) => write_all(op, writes, addresses, next + 1, f),
        Some((_, Some(tensor))) => tensor.inplace_op1(&Write { op, writes, next, state: RefCell::new((addresses, f)) }),
    }
}

pub(super) fn apply<const R: usize>(
    op: &'static str,
    inputs: [Stored<'_>; R],
    shape: Shape,
    dtype: Option<DType>,
    f: impl FnOnce(&dyn Queue, [Address; R], Address) -> Result<()>,
) -> Result<(CudaStorage, Shape)> {
    let device = inputs[0].1.device().clone();
    let stream = device.cuda_stream();
    stream.context().bind_to_thread().w()?;
    let mut held = Vec::with_capacity(R + 1);
    let mut addresses = [Address::NONE; R];
    for (to, (name, storage, layout)) in addresses.iter_mut().zip(inputs) {
        let (address, hold) = address(op, name, storage, layout, &stream)?;
        *to = address;
        held.push(hold);
    }
    // SAFETY: `f` overwrites the entire tensor.
    let mut output = unsafe { device.alloc_uninit(&shape, dtype.unwrap_or(inputs[0].1.dtype()))? };
    let layout = Layout::contiguous(&shape);
    {
        let (to, _hold) = address_mut(op, "the result", &mut output, &layout, &stream)?;
        f(&Gpu { device: device.clone() }, addresses, to)?;
    }
    Ok((output, shape))
}

/// Evaluates an expression for the element types that the kernels support.
macro_rules! for_element {
    ($op:expr, $name:expr, $storage:expr, $slice:ident => $body:expr) => {
        match $storage {
            CudaStorageSlice::F32($slice) => $body,
            CudaStorageSlice::BF16($slice) => $body,
            CudaStorageSlice::U8($slice) => $body,
            CudaStorageSlice::U32($slice) => $body,
            _ => Err(Error::DType {
                op: $op,
                name: $name,
                expected: "f32, bf16, u8 or u32",
                found: "of another element type",
            }
            .into()),
        }
    };
}

/// The address of a tensor, and a guard that signals to other streams when it has been read.
fn address<'a>(
    op: &'static str,
    name: &'static str,
    storage: &'a CudaStorage,
    layout: &Layout,
    stream: &'a CudaStream,
) -> Result<(Address, SyncOnDrop<'a>)> {
    let (start, end) = tensor::contiguous(op, name, layout)?;
    let dtype = storage.dtype();
    for_element!(op, name, &storage.slice, slice => {
        let (at, hold) = slice.device_ptr(stream);
        Ok((Address { at, len: end, dtype }.offset(start), hold))
    })
}

/// As [`address`], for a tensor that will be overwritten.
fn address_mut<'a>(
    op: &'static str,
    name: &'static str,
    storage: &'a mut CudaStorage,
    layout: &Layout,
    stream: &'a CudaStream,
) -> Result<(Address, SyncOnDrop<'a>)> {
    let (start, end) = tensor::contiguous(op, name, layout)?;
    let dtype = storage.dtype();
    for_element!(op, name, &mut storage.slice, slice => {
        let (at, hold) = slice.device_ptr_mut(stream);
        Ok((Address { at, len: end, dtype }.offset(start), hold))
    })
}

impl Queue for Gpu {
    fn launch(&self, real: Real, kernel: &'static str, grid: Grid, arguments: &[Argument]) -> Result<()> {
        let (module, ptx) = PTX[usize::from(real == Real::Bf16)];
        let function = self.device.get_or_load_custom_func(kernel, module, ptx)?;
        let mut builder = function.builder();
        for argument in arguments {
            match argument {
                Argument::Address(at) => builder.arg(at),
                Argument::U32(value) => builder.arg(value),
                Argument::F32(value) => builder.arg(value),
            };
        }
        let [x, y, z] = grid.blocks;
        let [tx, ty, tz] = grid.threads;
        let config = LaunchConfig { grid_dim: (x, y, z), block_dim: (tx, ty, tz), shared_mem_bytes: 0 };
        // SAFETY: the parameters have the number and sizes that the kernel requires, and the kernel stays within its
        // buffers: the tests run each operation's cases on the host, where both are checked. The caller holds the locks of
        // the buffers.
        unsafe { builder.launch(config) }.w()?;
        Ok(())
    }

    fn grid_for(&self, count: u32) -> Grid {
        Grid { blocks: [count.div_ceil(THREADS).min(MOST_BLOCKS), 1, 1], threads: [THREADS, 1, 1] }
    }

    fn gemm(&self, product: &Gemm) -> Result<()> {
        use cublas_sys::cublasComputeType_t::{CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32};
        use cublas_sys::cublasGemmAlgo_t::CUBLAS_GEMM_DFALT;
        use cublas_sys::cublasOperation_t::{CUBLAS_OP_N, CUBLAS_OP_T};
        use cublas_sys::cudaDataType_t::{CUDA_R_16BF, CUDA_R_32F};
        let Gemm { real, result, m, n, k, a, b, c, accumulate, batch } = *product;
        if m == 0 || n == 0 || batch == 0 {
            return Ok(());
        }
        let element = |real| if real == Real::F32 { CUDA_R_32F } else { CUDA_R_16BF };
        let operation = |matrix: Matrix| if matrix.transposed { CUBLAS_OP_T } else { CUBLAS_OP_N };
        let reduced = real == Real::F32 && GpuMath::current().tf32;
        let compute = if reduced { CUBLAS_COMPUTE_32F_FAST_TF32 } else { CUBLAS_COMPUTE_32F };
        let (alpha, beta) = (1f32, if accumulate { 1f32 } else { 0f32 });
        // cuBLAS rejects a step of 0, even for a batch of one.
        let step = |matrix: Matrix| matrix.step.max(1) as i64;
        // cuBLAS is column-major and our matrices are row-major: it computes the transpose of C, Bᵀ·Aᵀ.
        // SAFETY: the matrices are in the caller's buffers, whose locks it holds; alpha and beta outlive the call.
        unsafe {
            cublas::gemm_strided_batched_ex(
                *self.device.cublas_handle().handle(),
                operation(b),
                operation(a),
                n as i32,
                m as i32,
                k as i32,
                std::ptr::from_ref(&alpha).cast(),
                b.at as *const _,
                element(real),
                b.row as i32,
                step(b),
                a.at as *const _,
                element(real),
                a.row as i32,
                step(a),
                std::ptr::from_ref(&beta).cast(),
                c.at as *mut _,
                element(result),
                c.row as i32,
                step(c),
                batch as i32,
                compute,
                CUBLAS_GEMM_DFALT,
            )
        }
        .w()?;
        Ok(())
    }

    #[cfg(feature = "cudnn")]
    fn has_convolutions(&self) -> bool {
        super::cudnn::enabled()
    }

    #[cfg(feature = "cudnn")]
    fn convolve(&self, convolution: &super::Convolution) -> Result<bool> {
        super::cudnn::convolve(&self.device, convolution)
    }

    fn with_scratch(&self, bytes: usize, f: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        thread_local! {
            // All work of a thread is queued on one stream, so later work can reuse the scratch buffer.
            static SCRATCH: RefCell<HashMap<DeviceId, CudaSlice<u8>>> = RefCell::default();
        }
        let stream = self.device.cuda_stream();
        SCRATCH.with_borrow_mut(|all| {
            if all.get(&self.device.id()).is_none_or(|slice| slice.len() < bytes) {
                // Free the old buffer first; freeing and allocating are stream-ordered.
                all.remove(&self.device.id());
                // SAFETY: scratch is overwritten before it is read.
                all.insert(self.device.id(), unsafe { self.device.alloc::<u8>(bytes.max(1))? });
            }
            match all.get_mut(&self.device.id()) {
                Some(slice) => {
                    let (at, _hold) = slice.device_ptr_mut(&stream);
                    f(at)
                }
                None => Ok(()),
            }
        })
    }
}
