//! Values on their way to a device and back, while it computes.
//!
//! Candle copies to and from a GPU in the order of all other work, so that the processor waits for the GPU or the GPU for
//! the copy; and from memory that the system may move, which takes a second copy, by the driver. Here they go by memory
//! that stays where it is (pinned), and what is sent, on a stream of its own. On the CPU both are a copy.

use candle_core::{DType, Device, Result, Tensor};

use crate::error;

const OP: &str = "transfer";

/// Carries bytes to a device, one lot after the other: the next may be on its way while the GPU still works on what it
/// made of the last.
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
    /// To a device that takes them at once.
    Direct(Device, Option<Tensor>),
    #[cfg(feature = "cuda")]
    Gpu(Box<crate::cuda::transfer::Upload>),
}

impl Upload {
    /// To this device.
    ///
    /// # Errors
    /// A GPU's: its driver gives no stream.
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self(match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => Way::Gpu(Box::new(crate::cuda::transfer::Upload::new(device)?)),
            device => Way::Direct(device.clone(), None),
        }))
    }

    /// Sends `bytes`, at least one, in the place of what was sent before. They have been read when this returns, which may
    /// be before they have arrived.
    ///
    /// # Errors
    /// No bytes; memory that is not to be had, on the device or pinned.
    pub fn start(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(error::parameter(OP, "there is nothing to send")?);
        }
        match &mut self.0 {
            Way::Direct(device, sent) => *sent = Some(Tensor::from_slice(bytes, bytes.len(), device)?),
            #[cfg(feature = "cuda")]
            Way::Gpu(upload) => upload.start(bytes)?,
        }
        Ok(())
    }

    /// Calls `read` with what was sent last, `[len]`, `u8`. The work that `read` queues is all that may use the tensor: as
    /// soon as that is done, the next bytes take the place of these.
    ///
    /// # Errors
    /// Nothing was sent; whatever `read` returns.
    pub fn read<T>(&mut self, read: impl FnOnce(&Tensor) -> Result<T>) -> Result<T> {
        match &mut self.0 {
            Way::Direct(_, Some(sent)) => read(sent),
            Way::Direct(_, None) => Ok(error::parameter(OP, "nothing was sent")?),
            #[cfg(feature = "cuda")]
            Way::Gpu(upload) => upload.read(read),
        }
    }
}

/// Brings tensors back from a device, each as it is at its turn in the order of the device's work, without waiting for it.
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

/// A tensor on its way.
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
    /// Brings the values of `tensor`, contiguous and `f32`, as all work queued so far leaves them.
    ///
    /// # Errors
    /// Another element type; pinned memory that is not to be had.
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

    /// The values, once they are there.
    ///
    /// # Errors
    /// What went wrong on the device since.
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

    /// Several lots on their way at once, growing and shrinking, each over the one before.
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
