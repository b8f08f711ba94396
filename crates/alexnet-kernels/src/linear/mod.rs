//! Fully connected layers.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;
mod update;

pub use update::update_weight;

use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor};
use half::bf16;

use crate::backend::CpuIsa;
use crate::cuda::{self as device, Address, Stored};
use crate::error::{self, Error};
use crate::tensor::{self, read, read_optional, write, write_optional};

const OP: &str = "linear";

/// Validated sizes of one product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinearShape {
    pub(crate) n: usize,
    pub(crate) in_features: usize,
    pub(crate) out_features: usize,
}

impl LinearShape {
    fn new(x: &[usize], weight: &[usize], bias: Option<&[usize]>) -> std::result::Result<Self, Error> {
        let &[out_features, in_features] = weight else {
            return error::shape(OP, "weight", "[out_features, in_features]", weight);
        };
        match x {
            &[n, width] if width == in_features => {
                if let Some(bias) = bias.filter(|&bias| bias != [out_features]) {
                    return error::shape(OP, "bias", format!("[{out_features}]"), bias);
                }
                Ok(Self { n, in_features, out_features })
            }
            _ => error::shape(OP, "x", format!("[n, {in_features}] for a weight of shape {weight:?}"), x),
        }
    }
}

/// y = x·weightᵀ + bias; differentiable in all three arguments.
///
/// `x` is `[n, in_features]`, `weight` `[out_features, in_features]` as in PyTorch, `bias` `[out_features]`, all `f32`;
/// the result is `[n, out_features]`. No gradient is computed for an `x` that autograd does not track.
///
/// # Errors
/// Shapes that do not match, or an unsupported element type.
///
/// # Source
/// Krizhevsky et al. 2012, section 3.5.
///
/// ```
/// use alexnet_kernels::linear::linear;
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[[1f32, 2.]], &Device::Cpu)?;
/// let weight = Tensor::new(&[[1f32, 0.], [1., 1.], [0., -1.]], &Device::Cpu)?;
/// let bias = Tensor::new(&[0f32, 0., 5.], &Device::Cpu)?;
/// assert_eq!(linear(&x, &weight, Some(&bias))?.to_vec2::<f32>()?, [[1., 3., 3.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Op),
        None => x.apply_op2(&weight, Op),
    }
}

/// As [`linear`], on contiguous tensors, into an existing tensor: `y`, `[n, out_features]`, is overwritten. With
/// `relu`, negative results become 0.
///
/// On the CPU the weight may be `bf16`. Up to eight rows of `x` take about as long as reading the weight, and the
/// computation is in `f32`. With more rows, a CPU that multiplies `bf16` (AVX512-BF16) rounds `x` to `bf16`, too, and
/// performs twice as many multiply-adds, unless `in_features` is odd or the weight is at an odd position in its
/// storage; sums are `f32`, and subnormal numbers count as 0. In that case results depend on the CPU, not only on its
/// [`CpuIsa`].
///
/// # Errors
/// As [`linear`]; a tensor is not contiguous, or `y` shares its storage with another.
pub fn forward_into(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, relu: bool, y: &Tensor) -> Result<()> {
    let shape = LinearShape::new(x.dims(), weight.dims(), bias.map(Tensor::dims))?;
    check("y", Some(y), &[shape.n, shape.out_features])?;
    tensor::distinct(OP, &[Some(x), Some(weight), bias], &[Some(y)])?;
    let reads = [("x", Some(x)), ("weight", Some(weight)), ("bias", bias)];
    if let Some(done) =
        device::run(OP, reads, [("y", Some(y))], |queue, inputs, [y]| cuda::forward(queue, &shape, inputs, relu, y))
    {
        return done;
    }
    read(OP, "x", x, |x| {
        read_optional(OP, "bias", bias, |bias| {
            write(OP, "y", y, |y| match weight.dtype() {
                DType::BF16 => read(OP, "weight", weight, |weight: &[bf16]| {
                    cpu::forward(CpuIsa::current(), &shape, x, weight, bias, relu, y);
                    Ok(())
                }),
                _ => read(OP, "weight", weight, |weight: &[f32]| {
                    cpu::forward(CpuIsa::current(), &shape, x, weight, bias, relu, y);
                    Ok(())
                }),
            })
        })
    })
}

/// Output buffers for the gradients of [`linear`]; `None` skips the computation.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinearGrads<'a> {
    /// Gradient of the input, of the same shape.
    pub x: Option<&'a Tensor>,
    /// Gradient of the weight, of the same shape.
    pub weight: Option<&'a Tensor>,
    /// Gradient of the bias.
    pub bias: Option<&'a Tensor>,
}

/// The gradients of [`forward_into`] (without `relu`) for `grad_y`, `[n, out_features]`; `grads` is overwritten.
///
/// # Errors
/// As [`forward_into`].
pub fn backward_into(x: &Tensor, weight: &Tensor, grad_y: &Tensor, grads: LinearGrads<'_>) -> Result<()> {
    let LinearGrads { x: grad_x, weight: grad_weight, bias: grad_bias } = grads;
    let shape = LinearShape::new(x.dims(), weight.dims(), grad_bias.map(Tensor::dims))?;
    check("grad_y", Some(grad_y), &[shape.n, shape.out_features])?;
    check("grad_x", grad_x, x.dims())?;
    check("grad_weight", grad_weight, weight.dims())?;
    tensor::distinct(OP, &[Some(x), Some(weight), Some(grad_y)], &[grad_x, grad_weight, grad_bias])?;
    let reads = [("x", Some(x)), ("weight", Some(weight)), ("grad_y", Some(grad_y))];
    let writes = [("grad_x", grad_x), ("grad_weight", grad_weight), ("grad_bias", grad_bias)];
    if let Some(done) =
        device::run(OP, reads, writes, |queue, inputs, grads| cuda::backward(queue, &shape, inputs, grads))
    {
        return done;
    }
    let isa = CpuIsa::current();
    read(OP, "grad_y", grad_y, |grad_y| {
        if let Some(grad_x) = grad_x {
            read(OP, "weight", weight, |weight| {
                write(OP, "grad_x", grad_x, |grad_x| {
                    cpu::backward_input(isa, &shape, weight, grad_y, grad_x);
                    Ok(())
                })
            })?;
        }
        read(OP, "x", x, |x| {
            write_optional(OP, "grad_weight", grad_weight, |grad_weight| {
                write_optional(OP, "grad_bias", grad_bias, |grad_bias| {
                    cpu::backward_weight(isa, &shape, x, grad_y, grad_weight, grad_bias);
                    Ok(())
                })
            })
        })
    })
}

fn check(name: &'static str, tensor: Option<&Tensor>, expected: &[usize]) -> Result<()> {
    match tensor {
        Some(t) if t.dims() != expected => Ok(error::shape(OP, name, format!("{expected:?}"), t.dims())?),
        _ => Ok(()),
    }
}

/// The custom operation, on contiguous tensors.
struct Op;

impl Op {
    fn forward(
        x: (&CpuStorage, &Layout),
        weight: (&CpuStorage, &Layout),
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = LinearShape::new(x.1.dims(), weight.1.dims(), bias.map(|(_, layout)| layout.dims()))?;
        let x = tensor::slice(OP, "x", x.0, x.1)?;
        let weight = tensor::slice::<f32>(OP, "weight", weight.0, weight.1)?;
        let bias = bias.map(|(s, l)| tensor::slice(OP, "bias", s, l)).transpose()?.unwrap_or(&[]);
        let mut y = vec![0.0; shape.n * shape.out_features];
        cpu::forward(CpuIsa::current(), &shape, x, weight, bias, false, &mut y);
        Ok((CpuStorage::F32(y), (shape.n, shape.out_features).into()))
    }

    fn forward_on_gpu(x: Stored<'_>, weight: Stored<'_>, bias: Option<Stored<'_>>) -> Result<(CudaStorage, Shape)> {
        let shape = LinearShape::new(x.2.dims(), weight.2.dims(), bias.map(|(_, _, layout)| layout.dims()))?;
        let dims = (shape.n, shape.out_features);
        let forward = |queue: &dyn device::Queue, inputs, y| cuda::forward(queue, &shape, inputs, false, y);
        match bias {
            Some(bias) => device::apply(OP, [x, weight, bias], dims, None, forward),
            None => device::apply(OP, [x, weight], dims, None, |queue, [x, weight], y| {
                forward(queue, [x, weight, Address::NONE], y)
            }),
        }
    }

    fn backward(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, grad_y: &Tensor) -> Result<[Option<Tensor>; 3]> {
        let wanted = |t: &Tensor| t.track_op().then(|| t.zeros_like()).transpose();
        let grads = [wanted(x)?, wanted(weight)?, bias.map(wanted).transpose()?.flatten()];
        let [grad_x, grad_weight, grad_bias] = [0, 1, 2].map(|i| grads[i].as_ref());
        let wanted = LinearGrads { x: grad_x, weight: grad_weight, bias: grad_bias };
        backward_into(x, weight, &grad_y.contiguous()?, wanted)?;
        Ok(grads)
    }
}

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::forward((x, xl), (w, wl), None)
    }

    fn cuda_fwd(&self, x: &CudaStorage, xl: &Layout, w: &CudaStorage, wl: &Layout) -> Result<(CudaStorage, Shape)> {
        Self::forward_on_gpu(("x", x, xl), ("weight", w, wl), None)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad_y: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [grad_x, grad_weight, _] = Self::backward(x, w, None, grad_y)?;
        Ok((grad_x, grad_weight))
    }
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::forward((x, xl), (w, wl), Some((b, bl)))
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        w: &CudaStorage,
        wl: &Layout,
        b: &CudaStorage,
        bl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Self::forward_on_gpu(("x", x, xl), ("weight", w, wl), Some(("bias", b, bl)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad_y: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [grad_x, grad_weight, grad_bias] = Self::backward(x, w, Some(b), grad_y)?;
        Ok((grad_x, grad_weight, grad_bias))
    }
}
