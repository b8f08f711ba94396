//! Access to the elements of Candle tensors as slices.

use std::cell::RefCell;
use std::marker::PhantomData;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, WithDType};

use crate::error::{self, Error};

/// An element type that the kernels support.
pub(crate) trait Element: WithDType {
    fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

macro_rules! element {
    ($type:ty, $variant:ident) => {
        impl Element for $type {
            fn slice_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
                match storage {
                    CpuStorage::$variant(values) => Some(values),
                    _ => None,
                }
            }
        }
    };
}
element!(f32, F32);
element!(half::bf16, BF16);
element!(u8, U8);
element!(u32, U32);

/// Calls `f` with the elements of a contiguous CPU tensor.
pub(crate) fn read<T: Element, R>(
    op: &'static str,
    name: &'static str,
    tensor: &Tensor,
    f: impl FnOnce(&[T]) -> Result<R>,
) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice(op, name, storage, layout)?),
        _ => Err(Error::Device { op, name, found: format!("{:?}", tensor.device().location()) }.into()),
    }
}

/// As [`read`]; a missing tensor gives an empty slice.
pub(crate) fn read_optional<T: Element, R>(
    op: &'static str,
    name: &'static str,
    tensor: Option<&Tensor>,
    f: impl FnOnce(&[T]) -> Result<R>,
) -> Result<R> {
    match tensor {
        Some(tensor) => read(op, name, tensor, f),
        None => f(&[]),
    }
}

/// Calls `f` with the elements of a contiguous CPU tensor, to be overwritten in place: the tensor is used as a buffer,
/// and the change is visible in every tensor that shares its storage. Blocks while the storage is being read, so callers
/// must not pass a tensor they are reading from ([`distinct`]).
pub(crate) fn write<T: Element, R>(
    op: &'static str,
    name: &'static str,
    tensor: &Tensor,
    f: impl FnOnce(&mut [T]) -> Result<R>,
) -> Result<R> {
    struct Write<F, R, T> {
        op: &'static str,
        tensor: &'static str,
        f: RefCell<Option<F>>,
        result: RefCell<Option<R>>,
        element: PhantomData<T>,
    }
    impl<T: Element, R, F: FnOnce(&mut [T]) -> Result<R>> InplaceOp1 for Write<F, R, T> {
        fn name(&self) -> &'static str {
            self.op
        }
        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
            let (start, end) = contiguous(self.op, self.tensor, layout)?;
            let found = storage.dtype();
            let Some(values) = T::slice_mut(storage) else {
                return dtype_error::<T, _>(self.op, self.tensor, found);
            };
            if let Some(f) = self.f.take() {
                *self.result.borrow_mut() = Some(f(&mut values[start..end])?);
            }
            Ok(())
        }
    }
    if !tensor.device().is_cpu() {
        return Err(Error::Device { op, name, found: format!("{:?}", tensor.device().location()) }.into());
    }
    let write =
        Write { op, tensor: name, f: RefCell::new(Some(f)), result: RefCell::new(None), element: PhantomData::<T> };
    tensor.inplace_op1(&write)?;
    Ok(write.result.into_inner().expect("inplace_op1 ran cpu_fwd, which either failed or stored a result"))
}

/// As [`write`]; a missing tensor gives an empty slice.
pub(crate) fn write_optional<T: Element, R>(
    op: &'static str,
    name: &'static str,
    tensor: Option<&Tensor>,
    f: impl FnOnce(&mut [T]) -> Result<R>,
) -> Result<R> {
    match tensor {
        Some(tensor) => write(op, name, tensor, f),
        None => f(&mut []),
    }
}

/// The elements of a storage with a contiguous layout.
pub(crate) fn slice<'a, T: Element>(
    op: &'static str,
    name: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [T]> {
    let (start, end) = contiguous(op, name, layout)?;
    match T::cpu_storage_as_slice(storage) {
        Ok(values) => Ok(&values[start..end]),
        Err(_) => dtype_error::<T, _>(op, name, storage.dtype()),
    }
}

pub(crate) fn contiguous(op: &'static str, name: &'static str, layout: &Layout) -> Result<(usize, usize)> {
    layout.contiguous_offsets().ok_or_else(|| {
        let (shape, strides) = (layout.dims().to_vec(), layout.stride().to_vec());
        Error::NotContiguous { op, name, shape, strides }.into()
    })
}

fn dtype_error<T: Element, R>(op: &'static str, name: &'static str, found: DType) -> Result<R> {
    Err(Error::DType { op, name, expected: T::DTYPE.as_str(), found: found.as_str() }.into())
}

/// Fails if a tensor to be written shares its storage with another argument: the write would deadlock on the read lock
/// that the same call holds.
pub(crate) fn distinct(op: &'static str, reads: &[Option<&Tensor>], writes: &[Option<&Tensor>]) -> Result<()> {
    let address = |tensor: &Tensor| address(&tensor.storage_and_layout().0);
    let written: Vec<usize> = writes.iter().flatten().map(|t| address(t)).collect();
    let read = reads.iter().flatten().map(|t| address(t));
    for (i, address) in written.iter().copied().chain(read).enumerate() {
        let others = &written[..i.min(written.len())];
        if address != 0 && others.contains(&address) {
            return Err(
                Error::Parameter { op, rule: "an output shares its storage with another argument".into() }.into()
            );
        }
    }
    Ok(())
}

/// The address of a storage's first value; 0 if it is empty, or of a type that no operation supports.
fn address(storage: &Storage) -> usize {
    // All empty vectors have the same address.
    fn begin<T>(values: &[T]) -> usize {
        if values.is_empty() { 0 } else { values.as_ptr().addr() }
    }
    match storage {
        Storage::Cpu(CpuStorage::F32(values)) => begin(values),
        Storage::Cpu(CpuStorage::BF16(values)) => begin(values),
        Storage::Cpu(CpuStorage::U8(values)) => begin(values),
        Storage::Cpu(CpuStorage::U32(values)) => begin(values),
        #[cfg(feature = "cuda")]
        Storage::Cuda(storage) => std::ptr::from_ref(storage).addr(),
        _ => 0,
    }
}

/// Fails unless all `others` have the shape of `x`.
pub(crate) fn same_shape(op: &'static str, x: &Tensor, others: &[(&'static str, &Tensor)]) -> Result<()> {
    match others.iter().find(|(_, other)| other.dims() != x.dims()) {
        Some((name, other)) => Ok(error::shape(op, name, format!("{:?}, the shape of x", x.dims()), other.dims())?),
        None => Ok(()),
    }
}
