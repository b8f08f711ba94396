//! Batch normalization of the channels of images.

mod cpu;
mod cuda;
mod custom_op;
mod fold;
pub mod reference;
mod statistics;
#[cfg(test)]
mod tests;

use custom_op::Op;
pub use fold::fold_into_convolution;
use statistics::statistics_into;

use candle_core::{DType, Result, Tensor};

use crate::backend::CpuIsa;
use crate::cuda as device;
use crate::error::{self, Error};
use crate::layout;
use crate::tensor::{self, read, write, write_optional};

const OP: &str = "batch_norm2d";

/// Parameters of a batch normalization.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm2dParams {
    /// Whether to normalize with the batch's statistics and update the running statistics; otherwise the running
    /// statistics normalize the batch.
    pub training: bool,
    /// The weight of the batch in the new running statistics, 0 to 1, as in PyTorch (in Caffe and TensorFlow it is the
    /// weight of the old ones, 1 − momentum).
    pub momentum: f32,
    /// Added to the variance under the square root; above 0.
    pub eps: f32,
}

impl BatchNorm2dParams {
    /// PyTorch's defaults, with the batch statistics.
    pub const TRAINING: Self = Self { training: true, momentum: 0.1, eps: 1e-5 };
    /// PyTorch's defaults, with the running statistics.
    pub const INFERENCE: Self = Self { training: false, ..Self::TRAINING };
}

/// Parameters and running statistics per channel, all `[c]` and `f32`.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm2dState<'a> {
    /// γ.
    pub weight: &'a Tensor,
    /// β.
    pub bias: &'a Tensor,
    /// The running mean; starts at 0. Training overwrites it in place.
    pub running_mean: &'a Tensor,
    /// The running variance; starts at 1. Training overwrites it in place.
    pub running_variance: &'a Tensor,
}

/// The statistics that normalized a batch, both `[c]` and `f32`, which backward needs in addition to x.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm2dSaved<'a> {
    /// The mean.
    pub mean: &'a Tensor,
    /// 1 / √(variance + eps).
    pub inverse_std: &'a Tensor,
}

/// Output buffers for the gradients of a batch normalization; `None` skips the gradient.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchNorm2dGrads<'a> {
    /// Gradient of the input, of the same shape.
    pub x: Option<&'a Tensor>,
    /// Gradient of the weight.
    pub weight: Option<&'a Tensor>,
    /// Gradient of the bias.
    pub bias: Option<&'a Tensor>,
}

/// Number of pixels of all images and number of channels, validated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    rows: usize,
    channels: usize,
}

impl Rows {
    fn new(x: &[usize], params: &BatchNorm2dParams) -> std::result::Result<Self, Error> {
        let BatchNorm2dParams { training, momentum, eps } = *params;
        // Written so that NaN fails.
        if !((0.0..=1.0).contains(&momentum) && eps > 0.0 && eps.is_finite()) {
            let rule = format!("0 ≤ momentum ≤ 1 and eps > 0 are needed, but momentum is {momentum} and eps {eps}");
            return error::parameter(OP, rule);
        }
        let &[n, h, w, channels] = x else {
            return error::shape(OP, "x", "[n, h, w, c]", x);
        };
        if channels == 0 {
            return error::shape(OP, "x", "an image of at least one channel", x);
        }
        let Some(rows) = n.checked_mul(h).and_then(|rows| rows.checked_mul(w)) else {
            return error::shape(OP, "x", "images of fewer than 2^64 pixels", x);
        };
        if training && rows < 2 {
            let rule = format!("in training the variance needs at least 2 pixels, but x of shape {x:?} has {rows}");
            return error::parameter(OP, rule);
        }
        Ok(Self { rows, channels })
    }

    fn check(&self, vectors: &[(&'static str, Option<&Tensor>)]) -> std::result::Result<(), Error> {
        let wrong = vectors.iter().find_map(|&(name, t)| Some((name, t?)).filter(|(_, t)| t.dims() != [self.channels]));
        wrong.map_or(Ok(()), |(name, t)| error::shape(OP, name, format!("[{}]", self.channels), t.dims()))
    }
}

/// Batch normalization of an image batch; differentiable in `x`, the weight and the bias.
///
/// y = (x − mean\[c\]) · inverse_std\[c\] · weight\[c\] + bias\[c\], inverse_std = 1 / √(variance + eps). In training the
/// mean and the variance are those of each channel over all images and pixels, the variance divided by their number N
/// (biased). They also update the running statistics in place: running ← (1 − momentum)·running + momentum·batch, with
/// the variance divided by N − 1 (unbiased), as in PyTorch and Caffe; TensorFlow's unfused layer keeps the biased one.
/// In inference the running statistics are used instead and do not change.
///
/// The sums keep the variance accurate for a mean far from 0. A NaN propagates to all of its channel, in training also
/// to its running statistics, and to no other channel.
///
/// `x` is `[n, c, h, w]`, `f32`; the result has its shape and [memory format](crate::MemoryFormat).
///
/// # Errors
/// Parameters out of range; vectors that are not `[c]`; training with a single pixel; an unsupported rank or element
/// type.
///
/// # Source
/// Ioffe and Szegedy 2015, algorithms 1 and 2; `torch.nn.BatchNorm2d`.
///
/// ```
/// use alexnet_kernels::batch_norm2d::{BatchNorm2dParams, BatchNorm2dState, batch_norm2d};
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[1f32, 3.], &Device::Cpu)?.reshape((2, 1, 1, 1))?;
/// let vector = |value: f32| Tensor::new(&[value], &Device::Cpu);
/// let (weight, bias, mean, variance) = (vector(2.)?, vector(1.)?, vector(0.)?, vector(1.)?);
/// let state =
///     BatchNorm2dState { weight: &weight, bias: &bias, running_mean: &mean, running_variance: &variance };
/// let y = batch_norm2d(&x, &state, &BatchNorm2dParams { eps: 1e-9, ..BatchNorm2dParams::TRAINING })?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [-1., 3.]);
/// assert_eq!(mean.to_vec1::<f32>()?, [0.2]); // 0.9·0 + 0.1·2
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn batch_norm2d(x: &Tensor, state: &BatchNorm2dState<'_>, params: &BatchNorm2dParams) -> Result<Tensor> {
    let (x, format) = layout::to_nhwc(OP, x)?;
    let rows = Rows::new(x.dims(), params)?;
    let vector = || Tensor::zeros(rows.channels, DType::F32, x.device());
    let (mean, inverse_std) = (vector()?, vector()?);
    statistics_into(&x, state, params, &BatchNorm2dSaved { mean: &mean, inverse_std: &inverse_std })?;
    let (weight, bias) = (state.weight.contiguous()?, state.bias.contiguous()?);
    layout::from_nhwc(&x.apply_op3(&weight, &bias, Op { params: *params, mean, inverse_std })?, format)
}

/// As [`batch_norm2d`], on contiguous channels-last tensors, into existing tensors: `x` and `y`, which is overwritten,
/// are `[n, h, w, c]`; `saved` is overwritten with the statistics that normalized x.
///
/// # Errors
/// As [`batch_norm2d`]; a tensor that is not contiguous; an output that shares its storage with another tensor.
pub fn forward_into(
    x: &Tensor,
    state: &BatchNorm2dState<'_>,
    params: &BatchNorm2dParams,
    y: &Tensor,
    saved: &BatchNorm2dSaved<'_>,
) -> Result<()> {
    let rows = Rows::new(x.dims(), params)?;
    let BatchNorm2dState { weight, bias, .. } = *state;
    rows.check(&[("weight", Some(weight)), ("bias", Some(bias))])?;
    tensor::same_shape(OP, x, &[("y", y)])?;
    let BatchNorm2dSaved { mean, inverse_std } = *saved;
    tensor::distinct(OP, &[Some(x), Some(weight), Some(bias)], &[Some(y), Some(mean), Some(inverse_std)])?;
    statistics_into(x, state, params, saved)?;
    let reads = [
        ("x", Some(x)),
        ("mean", Some(mean)),
        ("inverse_std", Some(inverse_std)),
        ("weight", Some(weight)),
        ("bias", Some(bias)),
    ];
    if let Some(done) =
        device::run(OP, reads, [("y", Some(y))], |queue, inputs, [y]| cuda::normalize(queue, rows, inputs, y))
    {
        return done;
    }
    read(OP, "x", x, |x| {
        vectors([("mean", mean), ("inverse_std", inverse_std), ("weight", weight), ("bias", bias)], |vectors| {
            write(OP, "y", y, |y| {
                cpu::normalize(CpuIsa::current(), x, vectors, y);
                Ok(())
            })
        })
    })
}

/// Calls `f` with the values of several vectors.
fn vectors<const N: usize, R>(
    tensors: [(&'static str, &Tensor); N],
    f: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    // Vectors of channels are small, and one closure per tensor would nest four deep.
    let mut values: [Vec<f32>; N] = std::array::from_fn(|_| Vec::new());
    for (values, (name, tensor)) in values.iter_mut().zip(tensors) {
        *values = read(OP, name, tensor, |v: &[f32]| Ok(v.to_vec()))?;
    }
    f(std::array::from_fn(|i| &values[i][..]))
}

/// The gradients of [`forward_into`] for `grad_y`, `[n, h, w, c]`; `saved` is the output of forward, and `grads` is
/// overwritten.
///
/// With N pixels, g = grad_y and x̂ = (x − mean)·inverse_std: grad_bias = Σ g, grad_weight = Σ g·x̂, and grad_x =
/// weight·inverse_std·(g − grad_bias/N − x̂·grad_weight/N) in training, weight·inverse_std·g in inference, where the
/// statistics do not depend on x.
///
/// # Errors
/// As [`forward_into`].
pub fn backward_into(
    x: &Tensor,
    weight: &Tensor,
    grad_y: &Tensor,
    saved: &BatchNorm2dSaved<'_>,
    params: &BatchNorm2dParams,
    grads: BatchNorm2dGrads<'_>,
) -> Result<()> {
    let rows = Rows::new(x.dims(), params)?;
    let BatchNorm2dSaved { mean, inverse_std } = *saved;
    let BatchNorm2dGrads { x: grad_x, weight: grad_weight, bias: grad_bias } = grads;
    rows.check(&[("weight", Some(weight)), ("mean", Some(mean)), ("inverse_std", Some(inverse_std))])?;
    rows.check(&[("grad_weight", grad_weight), ("grad_bias", grad_bias)])?;
    tensor::same_shape(OP, x, &[("grad_y", grad_y)])?;
    if let Some(grad_x) = grad_x {
        tensor::same_shape(OP, x, &[("grad_x", grad_x)])?;
    }
    let reads = [("x", x), ("mean", mean), ("inverse_std", inverse_std), ("weight", weight), ("grad_y", grad_y)];
    let reads = reads.map(|(name, tensor)| (name, Some(tensor)));
    tensor::distinct(OP, &reads.map(|(_, tensor)| tensor), &[grad_x, grad_weight, grad_bias])?;
    let writes = [("grad_x", grad_x), ("grad_weight", grad_weight), ("grad_bias", grad_bias)];
    if let Some(done) = device::run(OP, reads, writes, |queue, inputs, grads| {
        cuda::backward(queue, rows, params.training, inputs, grads)
    }) {
        return done;
    }
    read(OP, "x", x, |x| {
        read(OP, "grad_y", grad_y, |grad_y| {
            vectors([("mean", mean), ("inverse_std", inverse_std), ("weight", weight)], |vectors| {
                let sums = cpu::sums(CpuIsa::current(), rows, x, grad_y, vectors);
                for (name, grad, sums) in [("grad_weight", grad_weight, &sums[1]), ("grad_bias", grad_bias, &sums[0])] {
                    write_optional(OP, name, grad, |grad: &mut [f32]| {
                        grad.iter_mut().zip(sums).for_each(|(grad, &sum)| *grad = sum as f32);
                        Ok(())
                    })?;
                }
                write_optional(OP, "grad_x", grad_x, |grad_x| {
                    let sums = params.training.then_some(&sums);
                    cpu::backward(CpuIsa::current(), rows, x, grad_y, vectors, sums, grad_x);
                    Ok(())
                })
            })
        })
    })
}
