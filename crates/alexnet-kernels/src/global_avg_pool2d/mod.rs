//! Global average pooling: one mean per channel.

mod cpu;
mod cuda;
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::cuda as device;
use crate::error::{self, Error};
use crate::layout;
use crate::tensor::{self, read, write};

const OP: &str = "global_avg_pool2d";

/// Validated sizes of a batch.
#[derive(Clone, Copy, Debug)]
struct GlobalShape {
    n: usize,
    pixels: usize,
    c: usize,
}

impl GlobalShape {
    fn new(x: &[usize]) -> std::result::Result<Self, Error> {
        let &[n, h, w, c] = x else {
            return error::shape(OP, "x", "[n, h, w, c]", x);
        };
        match h.checked_mul(w) {
            Some(pixels) if pixels > 0 && c > 0 => Ok(Self { n, pixels, c }),
            _ => {
                error::shape(OP, "x", "images of at least one pixel and one channel, and of fewer than 2^64 pixels", x)
            }
        }
    }

    fn check(&self, name: &'static str, found: &[usize]) -> std::result::Result<(), Error> {
        if found == [self.n, self.c] {
            return Ok(());
        }
        error::shape(OP, name, format!("[{}, {}]", self.n, self.c), found)
    }
}

/// The mean of each channel of an image batch over all its pixels; differentiable.
///
/// y\[n, c\] = Σ x\[n, c, i, j\] / (h·w), as [`avg_pool2d`](crate::avg_pool2d::avg_pool2d) with a window as large as
/// the image, also for images that are not square. A NaN propagates to the mean of its channel.
///
/// `x` is `[n, c, h, w]`, `f32`; the result is `[n, c]`, ready for a fully connected layer.
///
/// # Errors
/// Images without pixels or channels, an unsupported rank or element type.
///
/// # Source
/// Lin, Chen and Yan 2014, section 3.2; PyTorch's `adaptive_avg_pool2d(x, 1)`.
///
/// ```
/// use alexnet_kernels::global_avg_pool2d::global_avg_pool2d;
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[[[[1f32, 2., 3.], [4., 5., 9.]]]], &Device::Cpu)?;
/// assert_eq!(global_avg_pool2d(&x)?.to_vec2::<f32>()?, [[4.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn global_avg_pool2d(x: &Tensor) -> Result<Tensor> {
    layout::to_nhwc(OP, x)?.0.apply_op1(Op)
}

/// As [`global_avg_pool2d`], on contiguous channels-last tensors, into an existing tensor: `x` is `[n, h, w, c]` and
/// `y`, `[n, c]`, is overwritten.
///
/// # Errors
/// As [`global_avg_pool2d`]; a tensor is not contiguous, or `y` shares its storage with `x`.
pub fn forward_into(x: &Tensor, y: &Tensor) -> Result<()> {
    let shape = GlobalShape::new(x.dims())?;
    shape.check("y", y.dims())?;
    tensor::distinct(OP, &[Some(x)], &[Some(y)])?;
    if let Some(done) =
        device::run(OP, [("x", Some(x))], [("y", Some(y))], |queue, [x], [y]| cuda::forward(queue, shape, x, y))
    {
        return done;
    }
    read(OP, "x", x, |x| {
        write(OP, "y", y, |y| {
            cpu::forward(shape, x, y);
            Ok(())
        })
    })
}

/// The gradient of [`forward_into`] for `grad_y`, `[n, c]`, which is grad_y / (h·w) at every pixel; `grad_x`,
/// `[n, h, w, c]`, is overwritten.
///
/// # Errors
/// As [`forward_into`].
pub fn backward_into(grad_y: &Tensor, grad_x: &Tensor) -> Result<()> {
    let shape = GlobalShape::new(grad_x.dims())?;
    shape.check("grad_y", grad_y.dims())?;
    tensor::distinct(OP, &[Some(grad_y)], &[Some(grad_x)])?;
    let (reads, writes) = ([("grad_y", Some(grad_y))], [("grad_x", Some(grad_x))]);
    if let Some(done) =
        device::run(OP, reads, writes, |queue, [grad_y], [grad_x]| cuda::backward(queue, shape, grad_y, grad_x))
    {
        return done;
    }
    read(OP, "grad_y", grad_y, |grad_y| {
        write(OP, "grad_x", grad_x, |grad_x| {
            cpu::backward(shape, grad_y, grad_x);
            Ok(())
        })
    })
}

/// The custom operation, on contiguous channels-last tensors.
struct Op;

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = GlobalShape::new(layout.dims())?;
        let x = tensor::slice(OP, "x", storage, layout)?;
        let mut y = vec![0.0; x.len() / shape.pixels];
        cpu::forward(shape, x, &mut y);
        Ok((CpuStorage::F32(y), (shape.n, shape.c).into()))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let shape = GlobalShape::new(layout.dims())?;
        device::apply(OP, [("x", x, layout)], (shape.n, shape.c), None, |queue, [x], y| {
            cuda::forward(queue, shape, x, y)
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad_y: &Tensor) -> Result<Option<Tensor>> {
        let grad_x = x.zeros_like()?;
        backward_into(&grad_y.contiguous()?, &grad_x)?;
        Ok(Some(grad_x))
    }
}
