//! Response normalization within one channel, over a square of neighboring pixels.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::cuda as device;
use crate::error::{self, Error};
use crate::layout;
use crate::tensor::{self, read, write};

const OP: &str = "lrn_within_channel";

/// Parameters of the normalization x / (k + alpha·Σ x²)^beta over a `size`×`size` window of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrnWithinChannelParams {
    /// Height and width of a window; at least 1.
    pub size: usize,
    /// The constant k; above 0.
    pub k: f32,
    /// Factor of the sum of squares; at least 0.
    pub alpha: f32,
    /// The exponent β.
    pub beta: f32,
}

impl LrnWithinChannelParams {
    /// As in the 2012 code and cuda-convnet2 (`rnorm`): the configured scale is divided by the window's nominal area,
    /// and k is 1.
    pub const fn averaged(size: usize, alpha: f32, beta: f32) -> Self {
        Self { size, k: 1.0, alpha: alpha / (size * size) as f32, beta }
    }

    /// The layers `cnorm2a` and `cnorm2b` of the network behind the paper's tables (config #145), which the paper does
    /// not mention: size 5, scale 10⁻³, power 0.75.
    pub const ALEXNET_2012: Self = Self::averaged(5, 1e-3, 0.75);

    /// The parameters for `x`, `[n, h, w, c]`. A window that reaches beyond the whole image on all sides is reduced to
    /// one that just covers it.
    fn check(&self, x: &[usize]) -> std::result::Result<Self, Error> {
        let Self { size, k, alpha, beta } = *self;
        let &[_, h, w, _] = x else {
            return error::shape(OP, "x", "[n, h, w, c]", x);
        };
        // Written so that NaN fails.
        if size >= 1 && k > 0.0 && alpha >= 0.0 && beta.is_finite() {
            return Ok(Self { size: size.min(h.max(w).saturating_mul(2).max(1)), ..*self });
        }
        let rule =
            format!("size ≥ 1, k > 0 and alpha ≥ 0 are needed, but size {size}, k {k}, alpha {alpha}, beta {beta}");
        error::parameter(OP, rule)
    }
}

/// Response normalization of an image batch within each channel; differentiable.
///
/// y\[i, j\] = x\[i, j\] / D\[i, j\]^beta with D\[i, j\] = k + alpha · Σ x\[u, v\]², u from i − ⌊size/2⌋ to
/// i + ⌈size/2⌉ − 1 and v likewise; pixels outside the image count as zero.
///
/// `x` is `[n, c, h, w]`, `f32`; the result has its shape and [memory format](crate::MemoryFormat).
///
/// # Errors
/// Parameters out of range, an unsupported rank or element type.
///
/// # Source
/// cuda-convnet's `NormLayerParser` (`rnorm`); Caffe's `WITHIN_CHANNEL` is the same formula.
///
/// ```
/// use alexnet_kernels::lrn_within_channel::{LrnWithinChannelParams, lrn_within_channel};
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[[[[3f32]]]], &Device::Cpu)?;
/// let y = lrn_within_channel(&x, &LrnWithinChannelParams::averaged(3, 9., 0.5))?;
/// let y = y.flatten_all()?.to_vec1::<f32>()?[0];
/// assert!((y - 3. / 10f32.sqrt()).abs() < 1e-6); // D = 1 + 9/9·3²
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn lrn_within_channel(x: &Tensor, params: &LrnWithinChannelParams) -> Result<Tensor> {
    let (x, format) = layout::to_nhwc(OP, x)?;
    layout::from_nhwc(&x.apply_op1(Op(*params))?, format)
}

/// As [`lrn_within_channel`], on contiguous channels-last tensors, into an existing tensor: `x` and `y`, which is
/// overwritten, are `[n, h, w, c]`.
///
/// # Errors
/// As [`lrn_within_channel`]; a tensor is not contiguous, or `y` shares its storage with `x`.
pub fn forward_into(x: &Tensor, params: &LrnWithinChannelParams, y: &Tensor) -> Result<()> {
    let params = &params.check(x.dims())?;
    tensor::same_shape(OP, x, &[("y", y)])?;
    tensor::distinct(OP, &[Some(x)], &[Some(y)])?;
    let dims = x.dims4()?;
    if let Some(done) =
        device::run(OP, [("x", Some(x))], [("y", Some(y))], |queue, [x], [y]| cuda::forward(queue, dims, params, x, y))
    {
        return done;
    }
    read(OP, "x", x, |x| {
        write(OP, "y", y, |y| {
            cpu::run(dims, params, x, None, y);
            Ok(())
        })
    })
}

/// The gradient of [`forward_into`] for `grad_y`; `grad_x`, shaped like `x`, is overwritten. The formula is that of
/// [`crate::lrn::backward_into`] with windows of pixels instead of windows of channels.
///
/// # Errors
/// As [`forward_into`].
pub fn backward_into(x: &Tensor, grad_y: &Tensor, params: &LrnWithinChannelParams, grad_x: &Tensor) -> Result<()> {
    let params = &params.check(x.dims())?;
    tensor::same_shape(OP, x, &[("grad_y", grad_y), ("grad_x", grad_x)])?;
    tensor::distinct(OP, &[Some(x), Some(grad_y)], &[Some(grad_x)])?;
    let dims = x.dims4()?;
    let (reads, writes) = ([("x", Some(x)), ("grad_y", Some(grad_y))], [("grad_x", Some(grad_x))]);
    if let Some(done) = device::run(OP, reads, writes, |queue, [x, grad_y], [grad_x]| {
        cuda::backward(queue, dims, params, x, grad_y, grad_x)
    }) {
        return done;
    }
    read(OP, "x", x, |x| {
        read(OP, "grad_y", grad_y, |grad_y| {
            write(OP, "grad_x", grad_x, |grad_x| {
                cpu::run(dims, params, x, Some(grad_y), grad_x);
                Ok(())
            })
        })
    })
}

/// The custom operation, on contiguous channels-last tensors.
struct Op(LrnWithinChannelParams);

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let params = self.0.check(layout.dims())?;
        let x = tensor::slice(OP, "x", storage, layout)?;
        let mut y = vec![0.0; x.len()];
        cpu::run(layout.shape().dims4()?, &params, x, None, &mut y);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let params = self.0.check(layout.dims())?;
        let dims = layout.shape().dims4()?;
        device::apply(OP, [("x", x, layout)], layout.shape(), None, |queue, [x], y| {
            cuda::forward(queue, dims, &params, x, y)
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad_y: &Tensor) -> Result<Option<Tensor>> {
        let grad_x = x.zeros_like()?;
        backward_into(x, &grad_y.contiguous()?, &self.0, &grad_x)?;
        Ok(Some(grad_x))
    }
}
