//! Max-pooling with any kernel and stride: the overlapping pooling of the 2012 network.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};

use crate::backend::CpuIsa;
use crate::cuda::{self as device, Address};
use crate::error;
use crate::layout;
use crate::pool2d::{Pool2dParams, Pool2dShape};
use crate::tensor::{self, read, write, write_optional};

const OP: &str = "max_pool2d";

/// Max-pooling of an image batch; differentiable.
///
/// y\[n, c, i, j\] = max over the window's pixels inside the image of x\[n, c, ·, ·\]. Of equal maxima, the first in
/// row-major order receives the gradient, as in PyTorch's planar kernel (Candle's own kernel splits it, cuda-convnet
/// gives it to all of them). NaN is greater than every number.
///
/// `x` is `[n, c, h, w]`, `f32`; the result is `[n, c, oh, ow]` ([`Pool2dParams::output_size`]) in `x`'s
/// [memory format](crate::MemoryFormat).
///
/// # Errors
/// A window that does not fit the image, invalid parameters, an unsupported rank or element type.
///
/// # Source
/// Krizhevsky et al. 2012, section 3.4; window and output size: cuda-convnet's `PoolLayerParser`.
///
/// ```
/// use alexnet_kernels::max_pool2d::max_pool2d;
/// use alexnet_kernels::Pool2dParams;
/// use candle_core::{Device, Var};
///
/// let x = Var::new(&[[[[1f32, 5., 2., 5., 0.], [3., 4., 1., 0., 2.], [0., 1., 7., 1., 1.]]]], &Device::Cpu)?;
/// let y = max_pool2d(&x, &Pool2dParams::new(3, 2))?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [7., 7.]);
/// let grads = y.sum_all()?.backward()?;
/// let grad = grads.get(&x).expect("x is a variable").sum_all()?.to_scalar::<f32>()?;
/// assert_eq!(grad, 2.); // The 7 is the maximum of both windows.
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn max_pool2d(x: &Tensor, params: &Pool2dParams) -> Result<Tensor> {
    let (x, format) = layout::to_nhwc(OP, x)?;
    layout::from_nhwc(&x.apply_op1(Op(*params))?, format)
}

/// The element type of the positions that [`forward_into`] stores: `U8`, or `U32` for windows of more than 256 pixels.
pub fn index_dtype(params: &Pool2dParams) -> DType {
    if params.kernel_size * params.kernel_size <= 256 { DType::U8 } else { DType::U32 }
}

/// As [`max_pool2d`], on contiguous channels-last tensors, into existing tensors: `x` is `[n, h, w, c]`, `y` and
/// `indices` are `[n, oh, ow, c]`. `indices`, of [`index_dtype`], receives the row-major position of each maximum in
/// its (unclipped) window; [`backward_into`] needs nothing else.
///
/// # Errors
/// As [`max_pool2d`]; a tensor is not contiguous, or an output shares its storage with another tensor.
pub fn forward_into(x: &Tensor, params: &Pool2dParams, y: &Tensor, indices: Option<&Tensor>) -> Result<()> {
    let shape = Pool2dShape::new(OP, x.dims(), params)?;
    shape.check_output(OP, "y", y.dims())?;
    tensor::distinct(OP, &[Some(x)], &[Some(y), indices])?;
    let isa = CpuIsa::current();
    if let Some(indices) = indices {
        shape.check_output(OP, "indices", indices.dims())?;
    }
    let writes = [("y", Some(y)), ("indices", indices)];
    if let Some(done) = device::run(OP, [("x", Some(x))], writes, |queue, [x], [y, indices]| {
        cuda::forward(queue, &shape, x, y, indices)
    }) {
        return done;
    }
    read(OP, "x", x, |x| {
        write(OP, "y", y, |y| match index_dtype(params) {
            DType::U8 => write_optional::<u8, _>(OP, "indices", indices, |indices| {
                cpu::forward(isa, &shape, x, y, indices);
                Ok(())
            }),
            _ => write_optional::<u32, _>(OP, "indices", indices, |indices| {
                cpu::forward(isa, &shape, x, y, indices);
                Ok(())
            }),
        })
    })
}

/// The gradient of [`forward_into`] for `grad_y`, `[n, oh, ow, c]`; `grad_x`, `[n, h, w, c]`, is overwritten.
///
/// # Errors
/// As [`forward_into`]; on the CPU also an index that is not a position of its window inside the image; the contents of
/// `grad_x` are then unspecified. On a GPU the gradient of such a value is dropped.
pub fn backward_into(grad_y: &Tensor, indices: &Tensor, params: &Pool2dParams, grad_x: &Tensor) -> Result<()> {
    let shape = Pool2dShape::new(OP, grad_x.dims(), params)?;
    shape.check_output(OP, "grad_y", grad_y.dims())?;
    shape.check_output(OP, "indices", indices.dims())?;
    tensor::distinct(OP, &[Some(grad_y), Some(indices)], &[Some(grad_x)])?;
    let (reads, writes) = ([("grad_y", Some(grad_y)), ("indices", Some(indices))], [("grad_x", Some(grad_x))]);
    if let Some(done) = device::run(OP, reads, writes, |queue, [grad_y, indices], [grad_x]| {
        cuda::backward(queue, &shape, grad_y, indices, grad_x)
    }) {
        return done;
    }
    let valid = read(OP, "grad_y", grad_y, |grad_y| {
        write(OP, "grad_x", grad_x, |grad_x| match index_dtype(params) {
            DType::U8 => read::<u8, _>(OP, "indices", indices, |i| Ok(cpu::backward(&shape, grad_y, i, grad_x))),
            _ => read::<u32, _>(OP, "indices", indices, |i| Ok(cpu::backward(&shape, grad_y, i, grad_x))),
        })
    })?;
    if !valid {
        let rule =
            "use the indices that `forward_into` wrote for x: one is not a position of its window inside the image";
        return Ok(error::parameter(OP, rule)?);
    }
    Ok(())
}

/// The custom operation, on contiguous channels-last tensors.
struct Op(Pool2dParams);

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = Pool2dShape::new(OP, layout.dims(), &self.0)?;
        let x = tensor::slice(OP, "x", storage, layout)?;
        let mut y = vec![0.0; shape.n * shape.output_len()];
        cpu::forward::<u8>(CpuIsa::current(), &shape, x, &mut y, &mut []);
        Ok((CpuStorage::F32(y), shape.output_dims().to_vec().into()))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let shape = Pool2dShape::new(OP, layout.dims(), &self.0)?;
        let dims = shape.output_dims().to_vec();
        device::apply(OP, [("x", x, layout)], dims, None, |queue, [x], y| {
            cuda::forward(queue, &shape, x, y, Address::NONE)
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, grad_y: &Tensor) -> Result<Option<Tensor>> {
        // A custom operation has only one output, so the positions are computed again.
        let (again, indices) = (y.zeros_like()?, Tensor::zeros(y.shape(), index_dtype(&self.0), y.device())?);
        forward_into(x, &self.0, &again, Some(&indices))?;
        let grad_x = x.zeros_like()?;
        backward_into(&grad_y.contiguous()?, &indices, &self.0, &grad_x)?;
        Ok(Some(grad_x))
    }
}
