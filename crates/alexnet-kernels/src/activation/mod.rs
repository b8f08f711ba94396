//! Activation functions, applied to each value.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::cuda::{self as device, Address, Queue};
use crate::error::{self, Error};
use crate::tensor::{self, read, write};

const OP: &str = "activation";

/// An activation function. Most derivatives follow from the output, so a layer keeps only the output and computes in
/// place. [`Abs`](Self::Abs) and [`Square`](Self::Square) map two inputs to the same output, so their gradient needs
/// the input ([`needs_input`](Self::needs_input)).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// max(0, x), with derivative 0 at 0 as in PyTorch and cuda-convnet (1 in Candle). `relu` in the 2012 files.
    Relu,
    /// tanh(x). `tanh[1,1]` in the 2012 files.
    Tanh,
    /// 1 / (1 + e^−x). `logistic` in the 2012 files.
    Sigmoid,
    /// ln(1 + eˣ). `softrelu` in the 2012 files. PyTorch by default returns x above 20.
    Softplus,
    /// |x|, with derivative 0 at 0. `abs` in the 2012 files. Its gradient needs the input.
    Abs,
    /// x². `square` in the 2012 files. Its gradient needs the input.
    Square,
    /// √x, NaN below 0; the derivative at 0 is infinite, as in PyTorch. `sqrt` in the 2012 files.
    Sqrt,
    /// a·tanh(b·x). `tanh[a,b]` in the 2012 files. LeCun's values are a = 1.7159, b = 2/3.
    ScaledTanh {
        /// The output lies between −a and a; not 0.
        a: f32,
        /// Factor of the input.
        b: f32,
    },
    /// min(max(0, x), a), with derivative 0 at 0 and at a (PyTorch's `relu6` is a = 6). `brelu[a]` in the 2012 files.
    BoundedRelu {
        /// The largest output; above 0.
        a: f32,
    },
    /// a·x + b. `linear[a,b]` in the 2012 files.
    Linear {
        /// Factor of the input.
        a: f32,
        /// Added constant.
        b: f32,
    },
}

impl Activation {
    /// Whether the gradient is computed from the input ([`backward_from_input_in_place`]), which then must be kept
    /// ([`forward_into`]), instead of from the output ([`backward_in_place`]).
    pub const fn needs_input(self) -> bool {
        matches!(self, Self::Abs | Self::Square)
    }

    /// Checks the numbers of the kinds that have some.
    ///
    /// # Errors
    /// A number out of its range.
    pub fn check(self) -> std::result::Result<(), Error> {
        // Written so that NaN fails.
        let rule = match self {
            Self::ScaledTanh { a, b } if !(a != 0.0 && a.is_finite() && b.is_finite()) => {
                format!("a scaled tanh needs a finite a that is not 0 and a finite b, but a is {a} and b {b}")
            }
            Self::BoundedRelu { a } if a.is_nan() || a <= 0.0 => format!("a bounded ReLU needs a > 0, but a is {a}"),
            Self::Linear { a, b } if !(a.is_finite() && b.is_finite()) => {
                format!("a linear activation needs finite numbers, but a is {a} and b {b}")
            }
            _ => return Ok(()),
        };
        error::parameter(OP, rule)
    }

    /// Fails if the kept value is the input but the gradient is computed from the output, or the reverse.
    fn check_kept(self, input: bool) -> std::result::Result<(), Error> {
        self.check()?;
        match (self.needs_input(), input) {
            (true, false) => error::parameter(
                OP,
                format!("keep the input and call backward_from_input_in_place: the result of {self:?} has no sign"),
            ),
            (false, true) => error::parameter(
                OP,
                format!("keep the result and call backward_in_place: the gradient of {self:?} is computed from it"),
            ),
            _ => Ok(()),
        }
    }
}

/// Applies `activation` to every value; differentiable.
///
/// `x` has any shape, `f32`; the result has the same shape. It is channels-last for a channels-last image batch, else
/// contiguous.
///
/// NaN stays NaN.
///
/// # Errors
/// Parameters out of range, an unsupported element type.
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
        // Elementwise, so the memory format can stay as it is.
        let (nhwc, format) = (x.permute((0, 2, 3, 1))?, crate::MemoryFormat::of(x));
        if format == crate::MemoryFormat::ChannelsLast {
            return nhwc.apply_op1(Op(activation))?.permute((0, 3, 1, 2));
        }
    }
    x.contiguous()?.apply_op1(Op(activation))
}

/// Applies `activation` to a contiguous tensor in place, which overwrites the input: for an activation whose backward
/// [needs it](Activation::needs_input), use [`forward_into`].
///
/// # Errors
/// Parameters out of range; a tensor that is not contiguous or has an unsupported element type.
pub fn forward_in_place(x: &Tensor, activation: Activation) -> Result<()> {
    activation.check()?;
    if let Some(done) = device::run(OP, [], [("x", Some(x))], |queue, [], [x]| cuda::forward(queue, x, x, activation)) {
        return done;
    }
    write(OP, "x", x, |x| {
        cpu::forward(x, activation);
        Ok(())
    })
}

/// As [`forward_in_place`], into an existing tensor: `y`, shaped like `x`, is overwritten.
///
/// # Errors
/// As [`forward_in_place`]; different shapes, or `y` shares its storage with `x`.
pub fn forward_into(x: &Tensor, activation: Activation, y: &Tensor) -> Result<()> {
    activation.check()?;
    tensor::same_shape(OP, x, &[("y", y)])?;
    tensor::distinct(OP, &[Some(x)], &[Some(y)])?;
    if let Some(done) =
        device::run(OP, [("x", Some(x))], [("y", Some(y))], |queue, [x], [y]| cuda::forward(queue, x, y, activation))
    {
        return done;
    }
    read(OP, "x", x, |x: &[f32]| {
        write(OP, "y", y, |y: &mut [f32]| {
            y.copy_from_slice(x);
            cpu::forward(y, activation);
            Ok(())
        })
    })
}

/// Turns `grad_y` into the gradient of x, in place; `y` is the output of forward.
///
/// # Errors
/// An activation that [needs its input](Activation::needs_input); different shapes; a tensor that is not contiguous or
/// has an unsupported element type.
pub fn backward_in_place(y: &Tensor, grad_y: &Tensor, activation: Activation) -> Result<()> {
    activation.check_kept(false)?;
    backward(("y", y), grad_y, activation)
}

/// As [`backward_in_place`], for an activation that [needs its input](Activation::needs_input); `x` is the input of
/// forward.
///
/// # Errors
/// An activation that does not need its input; else as [`backward_in_place`].
pub fn backward_from_input_in_place(x: &Tensor, grad_y: &Tensor, activation: Activation) -> Result<()> {
    activation.check_kept(true)?;
    backward(("x", x), grad_y, activation)
}

fn backward((name, kept): (&'static str, &Tensor), grad_y: &Tensor, activation: Activation) -> Result<()> {
    tensor::same_shape(OP, kept, &[("grad_y", grad_y)])?;
    tensor::distinct(OP, &[Some(kept)], &[Some(grad_y)])?;
    if let Some(done) = device::run(OP, [(name, Some(kept))], [("grad_y", Some(grad_y))], |queue, [kept], [grad_y]| {
        cuda::backward(queue, kept, grad_y, activation)
    }) {
        return done;
    }
    read(OP, name, kept, |kept| {
        write(OP, "grad_y", grad_y, |grad_y| {
            cpu::backward(kept, grad_y, activation);
            Ok(())
        })
    })
}

/// Turns the gradient of a ReLU's output `y` into the gradient of its input, in place, on the GPU.
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
        self.0.check()?;
        let mut y = tensor::slice::<f32>(OP, "x", storage, layout)?.to_vec();
        cpu::forward(&mut y, self.0);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.0.check()?;
        device::apply(OP, [("x", x, layout)], layout.shape(), None, |queue, [x], y| cuda::forward(queue, x, y, self.0))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, grad_y: &Tensor) -> Result<Option<Tensor>> {
        let grad_x = grad_y.force_contiguous()?;
        if self.0.needs_input() {
            backward_from_input_in_place(x, &grad_x, self.0)?;
        } else {
            backward_in_place(y, &grad_x, self.0)?;
        }
        Ok(Some(grad_x))
    }
}
