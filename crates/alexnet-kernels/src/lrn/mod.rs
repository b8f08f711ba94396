//! Local response normalization across neighboring channels.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::backend::CpuIsa;
use crate::cuda as device;
use crate::error::{self, Error};
use crate::layout;
use crate::tensor::{self, read, write};

const OP: &str = "lrn";

/// Parameters of the normalization x / (k + alpha·Σ x²)^beta, and the groups that limit its windows.
///
/// Sources write the same formula with different meanings of α. Here `alpha` is always the factor of the sum; use the
/// constructor of your source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrnParams {
    /// Channels in a window, n; at least 1.
    pub size: usize,
    /// The constant k; above 0.
    pub k: f32,
    /// Factor of the sum of squares; at least 0.
    pub alpha: f32,
    /// The exponent β.
    pub beta: f32,
    /// Number of equal groups of channels; windows stay within one group. 2 for the towers of the 2012 network, else 1.
    pub groups: usize,
}

impl LrnParams {
    /// The formula of the paper's section 3.3 taken literally: α multiplies the sum itself, as in TensorFlow's
    /// `local_response_normalization`.
    pub const fn literal(size: usize, k: f32, alpha: f32, beta: f32) -> Self {
        Self { size, k, alpha, beta, groups: 1 }
    }

    /// As in the 2012 code, cuda-convnet2, Caffe, PyTorch and ONNX: α is divided by the window's nominal size, even
    /// where the window is clipped.
    pub const fn averaged(size: usize, k: f32, alpha: f32, beta: f32) -> Self {
        Self { size, k, alpha: alpha / size as f32, beta, groups: 1 }
    }

    /// n = 5, k = 2, α = 10⁻⁴, β = 0.75 as printed in the paper, read [literally](Self::literal).
    pub const PAPER: Self = Self::literal(5, 2.0, 1e-4, 0.75);

    /// As computed by the runs behind the paper's tables (config #145): the same numbers, [averaged](Self::averaged),
    /// so that 2·10⁻⁵ multiplies each square.
    pub const ALEXNET_2012: Self = Self::averaged(5, 2.0, 1e-4, 0.75);

    /// Caffe's two AlexNets: as 2012, but k = 1.
    pub const CAFFE: Self = Self::averaged(5, 1.0, 1e-4, 0.75);

    /// Sets the number of groups of channels that windows stay within.
    pub const fn with_groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Number of channels of a window before its own channel, ⌊size / 2⌋, and after it.
    pub(crate) fn reach(&self) -> (usize, usize) {
        (self.size / 2, self.size - 1 - self.size / 2)
    }

    pub(crate) fn check(&self, op: &'static str) -> std::result::Result<(), Error> {
        let Self { size, k, alpha, beta, .. } = *self;
        // Written so that NaN fails.
        if size >= 1 && k > 0.0 && alpha >= 0.0 && beta.is_finite() {
            return Ok(());
        }
        let rule =
            format!("size ≥ 1, k > 0 and alpha ≥ 0 are needed, but size {size}, k {k}, alpha {alpha}, beta {beta}");
        error::parameter(op, rule)
    }

    /// The parameters for `x`, `[n, h, w, c]`. A window that reaches beyond a whole group of channels on both sides is
    /// reduced to one that just covers it, so that working memory does not depend on `size`.
    fn check_for(&self, x: &[usize]) -> std::result::Result<Self, Error> {
        self.check(OP)?;
        match *x {
            [_, _, _, c] if self.groups >= 1 && c.is_multiple_of(self.groups) => {
                let covers = (c / self.groups).saturating_mul(2).max(1);
                Ok(Self { size: self.size.min(covers), ..*self })
            }
            [_, _, _, c] => error::parameter(OP, format!("{} groups do not divide {c} channels", self.groups)),
            _ => error::shape(OP, "x", "[n, h, w, c]", x),
        }
    }
}

/// Local response normalization of an image batch; differentiable.
///
/// y\[c\] = x\[c\] / D\[c\]^beta with D\[c\] = k + alpha · Σ x\[j\]², at each pixel, j from c − ⌊size/2⌋ to
/// c + ⌈size/2⌉ − 1, clipped to c's group of channels. For an even size that is the window of PyTorch and of the 2012
/// code; ONNX's is its mirror image.
///
/// Its effect depends on the scale of x: with the pixels of 2012, 0–255 minus their mean, α = 10⁻⁴ has an effect; with
/// inputs of variance 1 the divisor is nearly constant, and the result is nearly k^−beta·x.
///
/// `x` is `[n, c, h, w]`, `f32`; the result has its shape and [memory format](crate::MemoryFormat).
///
/// # Errors
/// Parameters out of range, groups that do not divide the channels, an unsupported rank or element type. On a GPU also
/// the gradient of windows above 33 channels.
///
/// # Source
/// Krizhevsky et al. 2012, section 3.3; cuda-convnet's `NormLayerParser` (`cmrnorm`).
///
/// ```
/// use alexnet_kernels::lrn::{LrnParams, lrn};
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[1f32, -2., 3., 0.5, -1., 4.], &Device::Cpu)?.reshape((1, 6, 1, 1))?;
/// let y = lrn(&x, &LrnParams::averaged(5, 2., 0.1, 0.75))?.flatten_all()?.to_vec1::<f32>()?;
/// assert!((y[0] - 0.538950).abs() < 1e-6 && (y[5] - 2.110828).abs() < 1e-6);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn lrn(x: &Tensor, params: &LrnParams) -> Result<Tensor> {
    let (x, format) = layout::to_nhwc(OP, x)?;
    layout::from_nhwc(&x.apply_op1(Op(*params))?, format)
}

/// As [`lrn`], on contiguous channels-last tensors, into an existing tensor: `x` and `y`, which is overwritten, are
/// `[n, h, w, c]`.
///
/// # Errors
/// As [`lrn`]; a tensor is not contiguous, or `y` shares its storage with `x`.
pub fn forward_into(x: &Tensor, params: &LrnParams, y: &Tensor) -> Result<()> {
    let params = &params.check_for(x.dims())?;
    tensor::same_shape(OP, x, &[("y", y)])?;
    tensor::distinct(OP, &[Some(x)], &[Some(y)])?;
    let channels = x.dims()[3];
    if let Some(done) = device::run(OP, [("x", Some(x))], [("y", Some(y))], |queue, [x], [y]| {
        cuda::forward(queue, channels, params, x, y)
    }) {
        return done;
    }
    read(OP, "x", x, |x| {
        write(OP, "y", y, |y| {
            cpu::forward(CpuIsa::current(), channels, params, x, y);
            Ok(())
        })
    })
}

/// The gradient of [`forward_into`] for `grad_y`; `grad_x`, shaped like `x`, is overwritten.
///
/// With g = grad_y: grad_x\[c\] = g\[c\]·D\[c\]^−beta − 2·alpha·beta·x\[c\] · Σ g\[j\]·y\[j\]/D\[j\] over all j whose
/// window contains c. D is computed again, which is cheaper than reading it from memory.
///
/// # Errors
/// As [`forward_into`].
pub fn backward_into(x: &Tensor, grad_y: &Tensor, params: &LrnParams, grad_x: &Tensor) -> Result<()> {
    let params = &params.check_for(x.dims())?;
    tensor::same_shape(OP, x, &[("grad_y", grad_y), ("grad_x", grad_x)])?;
    tensor::distinct(OP, &[Some(x), Some(grad_y)], &[Some(grad_x)])?;
    let channels = x.dims()[3];
    let (reads, writes) = ([("x", Some(x)), ("grad_y", Some(grad_y))], [("grad_x", Some(grad_x))]);
    if let Some(done) = device::run(OP, reads, writes, |queue, [x, grad_y], [grad_x]| {
        cuda::backward(queue, channels, params, x, grad_y, grad_x)
    }) {
        return done;
    }
    read(OP, "x", x, |x| {
        read(OP, "grad_y", grad_y, |grad_y| {
            write(OP, "grad_x", grad_x, |grad_x| {
                cpu::backward(CpuIsa::current(), channels, params, x, grad_y, grad_x);
                Ok(())
            })
        })
    })
}

/// The custom operation, on contiguous channels-last tensors.
struct Op(LrnParams);

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let params = self.0.check_for(layout.dims())?;
        let x = tensor::slice(OP, "x", storage, layout)?;
        let mut y = vec![0.0; x.len()];
        cpu::forward(CpuIsa::current(), layout.dims()[3], &params, x, &mut y);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let params = self.0.check_for(layout.dims())?;
        let channels = layout.dims()[3];
        device::apply(OP, [("x", x, layout)], layout.shape(), None, |queue, [x], y| {
            cuda::forward(queue, channels, &params, x, y)
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad_y: &Tensor) -> Result<Option<Tensor>> {
        let grad_x = x.zeros_like()?;
        backward_into(x, &grad_y.contiguous()?, &self.0, &grad_x)?;
        Ok(Some(grad_x))
    }
}
