//! Average pooling.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::cuda as device;
use crate::layout;
use crate::pool2d::{Pool2dParams, Pool2dShape};
use crate::tensor::{self, read, write};

const OP: &str = "avg_pool2d";

/// Average pooling of an image batch; differentiable.
///
/// y\[n, c, i, j\] is the mean of x over the window's pixels inside the image. The sum over a window clipped by the
/// border is divided by the number of pixels that remain, as in cuda-convnet and PyTorch's `count_include_pad=False`
/// (PyTorch's default and Caffe count padding as zeros).
///
/// `x` is `[n, c, h, w]`, `f32`; the result is `[n, c, oh, ow]` ([`Pool2dParams::output_size`]) in `x`'s
/// [memory format](crate::MemoryFormat).
///
/// # Errors
/// A window that does not fit the image, invalid parameters, an unsupported rank or element type.
///
/// # Source
/// cuda-convnet's `PoolLayerParser` (`pool=avg`), used by its CIFAR-10 networks.
///
/// ```
/// use alexnet_kernels::avg_pool2d::avg_pool2d;
/// use alexnet_kernels::Pool2dParams;
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[[[[1f32, 2., 3.], [4., 5., 6.], [7., 8., 9.]]]], &Device::Cpu)?;
/// let y = avg_pool2d(&x, &Pool2dParams::new(2, 2).with_ceil())?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [3., 4.5, 7.5, 9.]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn avg_pool2d(x: &Tensor, params: &Pool2dParams) -> Result<Tensor> {
    let (x, format) = layout::to_nhwc(OP, x)?;
    layout::from_nhwc(&x.apply_op1(Op(*params))?, format)
}

/// As [`avg_pool2d`], on contiguous channels-last tensors, into an existing tensor: `x` is `[n, h, w, c]` and `y`,
/// `[n, oh, ow, c]`, is overwritten.
///
/// # Errors
/// As [`avg_pool2d`]; a tensor is not contiguous, or `y` shares its storage with `x`.
pub fn forward_into(x: &Tensor, params: &Pool2dParams, y: &Tensor) -> Result<()> {
    let shape = Pool2dShape::new(OP, x.dims(), params)?;
    shape.check_output(OP, "y", y.dims())?;
    tensor::distinct(OP, &[Some(x)], &[Some(y)])?;
    if let Some(done) =
        device::run(OP, [("x", Some(x))], [("y", Some(y))], |queue, [x], [y]| cuda::forward(queue, &shape, x, y))
    {
        return done;
    }
    read(OP, "x", x, |x| {
        write(OP, "y", y, |y| {
            cpu::forward(&shape, x, y);
            Ok(())
        })
    })
}

/// The gradient of [`forward_into`] for `grad_y`, `[n, oh, ow, c]`; `grad_x`, `[n, h, w, c]`, is overwritten.
///
/// # Errors
/// As [`forward_into`].
pub fn backward_into(grad_y: &Tensor, params: &Pool2dParams, grad_x: &Tensor) -> Result<()> {
    let shape = Pool2dShape::new(OP, grad_x.dims(), params)?;
    shape.check_output(OP, "grad_y", grad_y.dims())?;
    tensor::distinct(OP, &[Some(grad_y)], &[Some(grad_x)])?;
    let (reads, writes) = ([("grad_y", Some(grad_y))], [("grad_x", Some(grad_x))]);
    if let Some(done) =
        device::run(OP, reads, writes, |queue, [grad_y], [grad_x]| cuda::backward(queue, &shape, grad_y, grad_x))
    {
        return done;
    }
    read(OP, "grad_y", grad_y, |grad_y| {
        write(OP, "grad_x", grad_x, |grad_x| {
            cpu::backward(&shape, grad_y, grad_x);
            Ok(())
        })
    })
}

/// The custom operation, on contiguous channels-last tensors.
struct Op(Pool2dParams);

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = Pool2dShape::new(OP, layout.dims(), &self.0)?;
        let mut y = vec![0.0; shape.n * shape.output_len()];
        cpu::forward(&shape, tensor::slice(OP, "x", storage, layout)?, &mut y);
        Ok((CpuStorage::F32(y), shape.output_dims().to_vec().into()))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let shape = Pool2dShape::new(OP, layout.dims(), &self.0)?;
        let dims = shape.output_dims().to_vec();
        device::apply(OP, [("x", x, layout)], dims, None, |queue, [x], y| cuda::forward(queue, &shape, x, y))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad_y: &Tensor) -> Result<Option<Tensor>> {
        let grad_x = x.zeros_like()?;
        backward_into(&grad_y.contiguous()?, &self.0, &grad_x)?;
        Ok(Some(grad_x))
    }
}
