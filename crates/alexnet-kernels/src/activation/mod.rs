//! Units: what is applied to every value of a layer's sum.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::add;
use crate::cuda::{self as device, Address, Queue};
use crate::tensor::{self, read, write};

const OP: &str = "activation";

/// A function of one value whose derivative follows from its result, so that a layer keeps only its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// max(0, x), with derivative 0 at 0 as in PyTorch and cuda-convnet (Candle's own is 1). `relu` in the 2012 files.
    Relu,
    /// tanh(x). `tanh[1,1]` in the 2012 files.
    Tanh,
    /// 1 / (1 + e^−x). `logistic` in the 2012 files.
    Logistic,
    /// ln(1 + eˣ). `softrelu` in the 2012 files.
    SoftRelu,
}

/// Applies `activation` to every value; differentiable.
///
/// `x` has any shape, `f32`; the result is contiguous and has the same shape.
///
/// # Errors
/// Another element type.
///
/// # Source
/// Krizhevsky et al. 2012, section 3.1; cuda-convnet's `NeuronParser`.
///
/// ```
/// use alexnet_kernels::activation::{Activation, activation};
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[-1f32, 0., 2.], &Device::Cpu)?;
/// assert_eq!(activation(&x, Activation::Relu)?.to_vec1::<f32>()?, [0., 0., 2.]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn activation(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if x.rank() == 4 {
        // Elementwise: the memory format need not change.
        let (nhwc, format) = (x.permute((0, 2, 3, 1))?, crate::MemoryFormat::of(x));
        if format == crate::MemoryFormat::ChannelsLast {
            return nhwc.apply_op1(Op(activation))?.permute((0, 3, 1, 2));
        }
    }
    x.contiguous()?.apply_op1(Op(activation))
}

/// Applies `activation` to a contiguous tensor in place.
///
/// # Errors
/// A tensor that is not contiguous, or of another element type.
pub fn forward_in_place(x: &Tensor, activation: Activation) -> Result<()> {
    if let Some(done) = device::run(OP, [], [("x", Some(x))], |queue, [], [x]| cuda::forward(queue, x, activation)) {
        return done;
    }
    write(OP, "x", x, |x| {
        cpu::forward(x, activation);
        Ok(())
    })
}

/// Turns `grad_y` into the gradient of x, in place; `y` is the forward's result.
///
/// # Errors
/// Different shapes; a tensor that is not contiguous, or of another element type.
pub fn backward_in_place(y: &Tensor, grad_y: &Tensor, activation: Activation) -> Result<()> {
    tensor::same_shape(OP, y, &[("grad_y", grad_y)])?;
    tensor::distinct(OP, &[Some(y)], &[Some(grad_y)])?;
    if let Some(done) = device::run(OP, [("y", Some(y))], [("grad_y", Some(grad_y))], |queue, [y], [grad_y]| {
        cuda::backward(queue, y, grad_y, activation)
    }) {
        return done;
    }
    read(OP, "y", y, |y| {
        write(OP, "grad_y", grad_y, |grad_y| {
            cpu::backward(y, grad_y, activation);
            Ok(())
        })
    })
}

/// Turns the gradient after a rectification into that before it, on the GPU.
pub(crate) fn rectify_gradient(queue: &dyn Queue, y: Address, grad_y: Address) -> Result<()> {
    cuda::backward(queue, y, grad_y, Activation::Relu)
}

/// The custom operation, on contiguous tensors.
struct Op(Activation);

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = tensor::slice::<f32>(OP, "x", storage, layout)?.to_vec();
        cpu::forward(&mut y, self.0);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        device::apply(OP, [("x", x, layout)], layout.shape(), None, |queue, [x], y| {
            add::scale_on(queue, OP, x, 1.0, y)?;
            cuda::forward(queue, y, self.0)
        })
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, grad_y: &Tensor) -> Result<Option<Tensor>> {
        let grad_x = grad_y.force_contiguous()?;
        backward_in_place(y, &grad_x, self.0)?;
        Ok(Some(grad_x))
    }
}
