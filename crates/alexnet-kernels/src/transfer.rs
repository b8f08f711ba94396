//! Asynchronous copies to a device and back, overlapped with computation.
//!
//! Candle queues copies to and from a GPU in order with all other work, so that the CPU waits for the GPU or the GPU for
//! the copy; and it copies pageable memory, for which the driver makes a second copy. Here copies in both directions use
//! pinned memory, and uploads use a separate stream. On the CPU both directions are a plain copy.

use candle_core::{DType, Device, Result, Tensor};

use crate::error;

const OP: &str = "transfer";

/// Uploads one buffer of bytes after another to a device: the next upload can run while the GPU still computes with
/// results of the previous one.
///
/// ```
/// use alexnet_kernels::transfer::Upload;
/// use candle_core::Device;
///
/// let mut upload = Upload::new(&Device::Cpu)?;
/// upload.start(&[1, 2, 3])?;
/// // … queue work …
/// let sum = upload.read(|bytes| bytes.to_dtype(candle_core::DType::F32)?.sum_all()?.to_scalar::<f32>())?;
/// assert_eq!(sum, 6.0);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Upload(Way);

#[derive(Debug)]
enum Way {
    /// A blocking copy.
    Direct(Device, Option<Tensor>),
    #[cfg(feature = "cuda")]
    Gpu(Box<crate::cuda::transfer::Upload>),
}

impl Upload {
    /// An upload to `device`.
    ///
    /// # Errors
    /// On a GPU, the driver cannot create a stream.
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self(match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => Way::Gpu(Box::new(crate::cuda::transfer::Upload::new(device)?)),
            device => Way::Direct(device.clone(), None),
        }))
    }

    /// Starts the upload of `bytes`, at least one; they replace the previous upload. When this returns, `bytes` has been
    /// read, but the upload may not be complete.
    ///
    /// # Errors
    /// `bytes` is empty; device memory or pinned memory cannot be allocated.
    pub fn start(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(error::parameter(OP, "bytes must not be empty: there is nothing to send")?);
        }
        match &mut self.0 {
            Way::Direct(device, sent) => *sent = Some(Tensor::from_slice(bytes, bytes.len(), device)?),
            #[cfg(feature = "cuda")]
            Way::Gpu(upload) => upload.start(bytes)?,
        }
        Ok(())
    }

    /// Calls `read` with the bytes of the last upload, a `u8` tensor `[len]`. Only work queued by `read` may use the tensor:
    /// once that is done, the next upload overwrites it.
    ///
    /// # Errors
    /// Nothing was uploaded; any error of `read`.
    pub fn read<T>(&mut self, read: impl FnOnce(&Tensor) -> Result<T>) -> Result<T> {
        match &mut self.0 {
            Way::Direct(_, Some(sent)) => read(sent),
            Way::Direct(_, None) => Ok(error::parameter(OP, "start must be called before read: nothing was sent")?),
            #[cfg(feature = "cuda")]
            Way::Gpu(upload) => upload.read(read),
        }
    }
}

/// Downloads tensors from a device without blocking. Each download is queued in order with the device's other work.
///
/// ```
/// use alexnet_kernels::transfer::Download;
/// use candle_core::{Device, Tensor};
///
/// let mut download = Download::default();
/// let first = download.start(&Tensor::new(&[1f32, 2.], &Device::Cpu)?)?;
/// // … queue more work …
/// assert_eq!(download.finish(first)?, [1.0, 2.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Download {
    #[cfg(feature = "cuda")]
    pinned: crate::cuda::transfer::Pool,
}

/// A download in progress.
#[derive(Debug)]
#[must_use]
pub struct Arriving(Source);

#[derive(Debug)]
enum Source {
    Here(Vec<f32>),
    #[cfg(feature = "cuda")]
    Gpu(crate::cuda::transfer::Arriving),
}

impl Download {
    /// Starts the download of `tensor`, contiguous and `f32`, with its values after all work queued so far.
    ///
    /// # Errors
    /// Another element type; pinned memory cannot be allocated.
    pub fn start(&mut self, tensor: &Tensor) -> Result<Arriving> {
        if tensor.dtype() != DType::F32 {
            let (name, expected, found) = ("the tensor", "f32", tensor.dtype().as_str());
            return Err(crate::Error::DType { op: OP, name, expected, found }.into());
        }
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = tensor.device() {
            return Ok(Arriving(Source::Gpu(self.pinned.start(device, tensor)?)));
        }
        Ok(Arriving(Source::Here(tensor.flatten_all()?.to_vec1()?)))
    }

    /// Waits for a download and returns its values.
    ///
    /// # Errors
    /// An error of the device since `start`.
    pub fn finish(&mut self, arriving: Arriving) -> Result<Vec<f32>> {
        match arriving.0 {
            Source::Here(values) => Ok(values),
            #[cfg(feature = "cuda")]
            Source::Gpu(arriving) => self.pinned.finish(arriving),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{device, for_each_device};

    /// Several transfers in flight, of growing and shrinking sizes, each overwriting the previous one.
    #[test]
    fn what_arrives_is_what_was_sent() {
        let check = |device: &Device| {
            let (mut upload, mut download) = (Upload::new(device).unwrap(), Download::default());
            assert!(upload.read(|_| Ok(())).unwrap_err().to_string().contains("nothing was sent"));
            assert!(upload.start(&[]).unwrap_err().to_string().contains("nothing to send"));
            let (mut arriving, mut expected) = (Vec::new(), Vec::new());
            for (round, len) in [1usize, 1 << 20, 777, 3 << 20, 1 << 20, 3 << 20].into_iter().enumerate() {
                let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + round * 31) as u8).collect();
                upload.start(&bytes).unwrap();
                let values = upload.read(|sent| sent.to_dtype(DType::F32)? * 2.0).unwrap();
                arriving.push(download.start(&values).unwrap());
                expected.push(bytes.iter().map(|&byte| f32::from(byte) * 2.0).collect::<Vec<_>>());
            }
            for (arriving, expected) in arriving.into_iter().zip(expected) {
                assert!(download.finish(arriving).unwrap() == expected, "{} values", expected.len());
            }
            let nothing = Tensor::zeros(1, DType::F32, device).and_then(|t| t.narrow(0, 0, 0)).unwrap();
            let nothing = download.start(&nothing).unwrap();
            assert!(download.finish(nothing).unwrap().is_empty());
        };
        check(&Device::Cpu);
        for_each_device(|_| check(&device()));
    }

    #[test]
    fn only_f32_comes_back() {
        let message = Download::default().start(&Tensor::new(&[1u8], &Device::Cpu).unwrap()).unwrap_err().to_string();
        assert!(message.contains("must be f32, but is u8"), "{message}");
    }
}
