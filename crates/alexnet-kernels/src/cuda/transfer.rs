//! Copies to and from a GPU through pinned memory.

use std::fmt;
use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::result::{self, stream};
use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaEvent, CudaStream, DevicePtr, DeviceRepr, PinnedHostSlice, ValidAsZeroBits,
};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, DType, Device, Result, Storage, Tensor};
use rayon::prelude::*;

use crate::tensor;

const OP: &str = "transfer";

/// Number of bytes that one task copies to pinned memory.
const CHUNK: usize = 1 << 20;

/// A stream for copies. Not created by cudarc, which would then enable event tracking for every use of every tensor.
struct CopyStream(Arc<CudaStream>);

impl CopyStream {
    fn new(context: &Arc<CudaContext>) -> Result<Self> {
        context.bind_to_thread().w()?;
        let made = stream::create(stream::StreamKind::NonBlocking).w()?;
        // SAFETY: the stream was just created in this context, and lives until `self` is dropped.
        Ok(Self(unsafe { context.wrap_borrowed_stream(made) }))
    }
}

impl Drop for CopyStream {
    fn drop(&mut self) {
        // SAFETY: created by `new`; nothing is queued on it anymore, and it has no other owner.
        let _ = self.0.synchronize().and_then(|()| unsafe { stream::destroy(self.0.cu_stream()) });
    }
}

/// Records an event after the queued work. If that fails, nothing could wait for the work later, so this waits now.
fn record(event: &CudaEvent, stream: &CudaStream) -> Result<()> {
    let done = event.record(stream);
    if done.is_err() {
        let _ = stream.synchronize();
    }
    done.w()
}

/// Pinned memory for at least `len` values, contents unspecified; reuses `pinned` if it is large enough.
fn reserve<T: DeviceRepr + ValidAsZeroBits>(
    pinned: Option<PinnedHostSlice<T>>,
    context: &Arc<CudaContext>,
    len: usize,
) -> Result<PinnedHostSlice<T>> {
    match pinned.filter(|pinned| pinned.len() >= len) {
        Some(pinned) => Ok(pinned),
        // SAFETY: any bits are valid values, and the memory is written before it is read.
        None => unsafe { context.alloc_pinned_with_flags(len.max(1), 0) }.w(),
    }
}

/// See [`crate::transfer::Upload`].
pub(crate) struct Upload {
    device: CudaDevice,
    stream: CopyStream,
    pinned: Option<PinnedHostSlice<u8>>,
    /// The destination on the GPU, as large as the largest upload so far, and the length of the current upload.
    place: Option<Tensor>,
    len: usize,
    /// Events: `arrived`, the copy is complete; `read`, the work that reads the bytes is complete.
    arrived: CudaEvent,
    read: CudaEvent,
}

impl Upload {
    pub(crate) fn new(device: &CudaDevice) -> Result<Self> {
        let stream = device.cuda_stream();
        let context = stream.context();
        Ok(Self {
            stream: CopyStream::new(context)?,
            arrived: context.new_event(None).w()?,
            read: context.new_event(None).w()?,
            device: device.clone(),
            pinned: None,
            place: None,
            len: 0,
        })
    }

    pub(crate) fn start(&mut self, bytes: &[u8]) -> Result<()> {
        let compute = self.device.cuda_stream();
        self.len = 0;
        // The previous copy reads the pinned memory and writes `place`.
        self.arrived.synchronize().w()?;
        let pinned = reserve(self.pinned.take(), compute.context(), bytes.len())?;
        let pinned = self.pinned.insert(pinned);
        let pinned = &mut pinned.as_mut_slice().w()?[..bytes.len()];
        pinned.par_chunks_mut(CHUNK).zip(bytes.par_chunks(CHUNK)).for_each(|(to, from)| to.copy_from_slice(from));

        let place = match self.place.take().filter(|place| place.elem_count() >= bytes.len()) {
            Some(place) => place,
            None => {
                let place = Tensor::zeros(bytes.len(), DType::U8, &Device::Cuda(self.device.clone()))?;
                // Queued work may still use the same memory, and the zeroing is queued too.
                record(&self.read, &compute)?;
                place
            }
        };
        self.stream.0.wait(&self.read).w()?;
        with_address(&place, &self.stream.0, |at| {
            // SAFETY: `place` has at least as many bytes, and reading or freeing it on the other stream waits for `arrived`;
            // the pinned memory is not accessed before that, and outlives the copy.
            unsafe { result::memcpy_htod_async(at, pinned, self.stream.0.cu_stream()) }.w()
        })?;
        record(&self.arrived, &self.stream.0)?;
        (self.place, self.len) = (Some(place), bytes.len());
        Ok(())
    }

    pub(crate) fn read<T>(&mut self, read: impl FnOnce(&Tensor) -> Result<T>) -> Result<T> {
        let Some(place) = self.place.as_ref().filter(|_| self.len > 0) else {
            return Ok(crate::error::parameter(OP, "start must be called before read: nothing was sent")?);
        };
        let compute = self.device.cuda_stream();
        compute.wait(&self.arrived).w()?;
        let result = read(&place.narrow(0, 0, self.len)?);
        record(&self.read, &compute)?;
        result
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Wait before the pinned memory is freed.
        let _ = self.arrived.synchronize();
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload to {:?}", self.device)
    }
}

/// A pool of pinned memory for downloads.
#[derive(Debug, Default)]
pub(crate) struct Pool(Vec<PinnedHostSlice<f32>>);

/// A download to pinned memory in progress.
#[derive(Debug)]
pub(crate) struct Arriving {
    /// `None` after the download was finished.
    pinned: Option<PinnedHostSlice<f32>>,
    len: usize,
    arrived: CudaEvent,
}

impl Pool {
    pub(crate) fn start(&mut self, device: &CudaDevice, tensor: &Tensor) -> Result<Arriving> {
        let (compute, len) = (device.cuda_stream(), tensor.elem_count());
        let arrived = compute.context().new_event(None).w()?;
        let mut pinned = reserve(self.0.pop(), compute.context(), len)?;
        let to = &mut pinned.as_mut_slice().w()?[..len];
        if len > 0 {
            with_address(tensor, &compute, |at| {
                // SAFETY: `to` and the tensor have the same number of values; overwriting or freeing the tensor is queued
                // after this copy; `to` is not accessed before `arrived`, and outlives the copy.
                unsafe { result::memcpy_dtoh_async(to, at, compute.cu_stream()) }.w()
            })?;
        }
        let arriving = Arriving { pinned: Some(pinned), len, arrived };
        record(&arriving.arrived, &compute)?;
        Ok(arriving)
    }

    pub(crate) fn finish(&mut self, mut arriving: Arriving) -> Result<Vec<f32>> {
        arriving.arrived.synchronize().w()?;
        let Some(pinned) = arriving.pinned.take() else { return Ok(Vec::new()) };
        let values = pinned.as_slice().w()?[..arriving.len].to_vec();
        self.0.push(pinned);
        Ok(values)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        // Wait before the pinned memory is freed.
        let _ = self.arrived.synchronize();
    }
}

/// Calls `f` with the GPU address of a contiguous `u8` or `f32` tensor.
fn with_address<T>(tensor: &Tensor, stream: &CudaStream, f: impl FnOnce(u64) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    let (start, _) = tensor::contiguous(OP, "the tensor", layout)?;
    let (at, _hold) = match &*storage {
        Storage::Cuda(storage) => match &storage.slice {
            CudaStorageSlice::U8(slice) => slice.device_ptr(stream),
            CudaStorageSlice::F32(slice) => slice.device_ptr(stream),
            _ => candle_core::bail!("{OP}: the tensor must be u8 or f32, but is {:?}", tensor.dtype()),
        },
        _ => candle_core::bail!("{OP}: the tensor must be on a CUDA device, but is on {:?}", tensor.device()),
    };
    f(at + (start * tensor.dtype().size_in_bytes()) as u64)
}
