//! Local contrast normalization within one channel: divides values by the spread of their neighbors.

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

const OP: &str = "contrast_norm";

/// Parameters of the normalization x / (1 + alpha·Σ (x − m)²)^beta over a `size`×`size` window of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContrastNormParams {
    /// Height and width of a window, n; 1 to 65536. With 1 every value is its own mean and the result is x.
    pub size: usize,
    /// Factor of the sum of squares; at least 0.
    pub alpha: f32,
    /// The exponent β.
    pub beta: f32,
}

/// No image is larger, and twice this value fits the integers that kernels count with.
const MAX_SIZE: usize = 1 << 16;

impl ContrastNormParams {
    /// As in the 2012 code (`cnorm`): the configured scale is divided by the window's nominal area n², even where the
    /// window is clipped.
    pub const fn averaged(size: usize, alpha: f32, beta: f32) -> Self {
        // In floats, which do not overflow.
        Self { size, alpha: alpha / (size as f32 * size as f32), beta }
    }

    /// Number of pixels of a window before its own pixel, ⌊size / 2⌋, and after it.
    fn reach(&self) -> (usize, usize) {
        (self.size / 2, self.size - 1 - self.size / 2)
    }

    fn check(&self, x: &[usize]) -> std::result::Result<(), Error> {
        let Self { size, alpha, beta } = *self;
        if x.len() != 4 {
            return error::shape(OP, "x", "[n, h, w, c]", x);
        }
        // Written so that NaN fails.
        if (1..=MAX_SIZE).contains(&size) && alpha >= 0.0 && alpha.is_finite() && beta.is_finite() {
            return Ok(());
        }
        let rule =
            format!("1 ≤ size ≤ {MAX_SIZE} and alpha ≥ 0 are needed, but size {size}, alpha {alpha}, beta {beta}");
        error::parameter(OP, rule)
    }
}

/// Local contrast normalization of an image batch within each channel; differentiable.
///
/// y\[i, j\] = x\[i, j\] / D\[i, j\]^beta with D\[i, j\] = 1 + alpha · Σ (x\[u, v\] − m\[u, v\])², u from i − ⌊size/2⌋ to
/// i + ⌈size/2⌉ − 1 and v likewise, clipped to the image. m\[u, v\] is the mean of the window around (u, v), over the
/// pixels that remain after clipping; pixels outside the image add nothing to the sum. The numerator is x, not x − m.
///
/// A NaN or infinity at a pixel p propagates to all pixels whose windows contain a pixel whose window contains p.
///
/// `x` is `[n, c, h, w]`, `f32`; the result has its shape and [memory format](crate::MemoryFormat).
///
/// # Errors
/// Parameters out of range, an unsupported rank or element type.
///
/// # Source
/// The 2012 code's `ContrastNormLayer` (`cnorm`), used by config #120, with its [`ContrastNormParams::averaged`]. The
/// backward of that code ignores that the means depend on x, too; here the gradient is that of the formula
/// ([`backward_into`]).
///
/// ```
/// use alexnet_kernels::contrast_norm::{ContrastNormParams, contrast_norm};
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[[[[1f32, 3.]]]], &Device::Cpu)?;
/// let y = contrast_norm(&x, &ContrastNormParams { size: 3, alpha: 0.5, beta: 1. })?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [0.5, 1.5]); // m = 2, D = 1 + 0.5·(1 + 1)
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn contrast_norm(x: &Tensor, params: &ContrastNormParams) -> Result<Tensor> {
    let (x, format) = layout::to_nhwc(OP, x)?;
    layout::from_nhwc(&x.apply_op1(Op(*params))?, format)
}

/// As [`contrast_norm`], on contiguous channels-last tensors, into an existing tensor: `x` and `y`, which is
/// overwritten, are `[n, h, w, c]`.
///
/// # Errors
/// As [`contrast_norm`]; a tensor is not contiguous, or `y` shares its storage with `x`.
pub fn forward_into(x: &Tensor, params: &ContrastNormParams, y: &Tensor) -> Result<()> {
    params.check(x.dims())?;
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

/// The gradient of [`forward_into`] for `grad_y`; `grad_x`, shaped like `x`, is overwritten.
///
/// With g = grad_y and t\[p\] = −2·alpha·beta·(x\[p\] − m\[p\]) · Σ g\[q\]·y\[q\]/D\[q\] over all q whose window
/// contains p: grad_x\[p\] = g\[p\]·D\[p\]^−beta + t\[p\] − Σ t\[q\]/area\[q\] over the same q, where area is the
/// number of pixels in q's clipped window. The last sum, through the means, is missing in the 2012 code.
///
/// # Errors
/// As [`forward_into`].
pub fn backward_into(x: &Tensor, grad_y: &Tensor, params: &ContrastNormParams, grad_x: &Tensor) -> Result<()> {
    params.check(x.dims())?;
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
struct Op(ContrastNormParams);

impl CustomOp1 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.0.check(layout.dims())?;
        let x = tensor::slice(OP, "x", storage, layout)?;
        let mut y = vec![0.0; x.len()];
        cpu::run(layout.shape().dims4()?, &self.0, x, None, &mut y);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.0.check(layout.dims())?;
        let dims = layout.shape().dims4()?;
        device::apply(OP, [("x", x, layout)], layout.shape(), None, |queue, [x], y| {
            cuda::forward(queue, dims, &self.0, x, y)
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad_y: &Tensor) -> Result<Option<Tensor>> {
        let grad_x = x.zeros_like()?;
        backward_into(x, &grad_y.contiguous()?, &self.0, &grad_x)?;
        Ok(Some(grad_x))
    }
}
