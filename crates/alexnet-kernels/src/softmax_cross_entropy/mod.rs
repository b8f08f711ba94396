//! The loss: multinomial logistic regression.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, CudaStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};

use crate::cuda as device;
use crate::error::{self, Error};
use crate::tensor::{self, read, write, write_optional};

const OP: &str = "softmax_cross_entropy";

/// The mean over the batch of −ln p(label), where p is the softmax of the logits; differentiable in the logits.
///
/// `logits` is `[n, classes]`, `f32`, `labels` `[n]`, `u32`; the result is a scalar. The largest logit is subtracted
/// first, so no finite logit overflows. For mixed or smoothed labels, `labels` is `[n, classes]`, `f32`, with a weight
/// t for each class, and the loss of a row is −Σ t·ln p; the weights need not sum to 1.
///
/// # Errors
/// A label that is not below the number of classes (on a GPU, where the call does not wait for the result, the loss is
/// NaN instead), shapes that do not match, an empty batch, unsupported element types.
///
/// # Source
/// Krizhevsky et al. 2012, section 3.5; weights as in PyTorch's `cross_entropy` with class probabilities.
///
/// ```
/// use alexnet_kernels::softmax_cross_entropy::softmax_cross_entropy;
/// use candle_core::{Device, Tensor};
///
/// let logits = Tensor::zeros((1, 1000), candle_core::DType::F32, &Device::Cpu)?;
/// let loss = softmax_cross_entropy(&logits, &Tensor::new(&[3u32], &Device::Cpu)?)?.to_scalar::<f32>()?;
/// assert!((loss - 6.9078).abs() < 1e-4); // ln 1000: the loss of an untrained network
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn softmax_cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    logits.contiguous()?.apply_op2(&labels.contiguous()?, Op)
}

/// Writes each row's loss, −ln p(label), into `losses`, `[n]`, and optionally the gradient of their **mean** with
/// respect to the logits, (p − onehot(label)) / n, into `grad_logits`; with weights t as `labels` it is (p·Σt − t) / n.
///
/// # Errors
/// As [`softmax_cross_entropy`]; a tensor is not contiguous, or an output shares its storage with another tensor.
pub fn forward_into(logits: &Tensor, labels: &Tensor, losses: &Tensor, grad_logits: Option<&Tensor>) -> Result<()> {
    let (n, classes) = check(logits.dims(), labels.dims())?;
    if losses.dims() != [n] {
        return Ok(error::shape(OP, "losses", format!("[{n}], one per row of logits"), losses.dims())?);
    }
    if let Some(grad_logits) = grad_logits {
        tensor::same_shape(OP, logits, &[("grad_logits", grad_logits)])?;
    }
    tensor::distinct(OP, &[Some(logits), Some(labels)], &[Some(losses), grad_logits])?;
    let (reads, writes) = (
        [("logits", Some(logits)), ("labels", Some(labels))],
        [("losses", Some(losses)), ("grad_logits", grad_logits)],
    );
    if let Some(done) = device::run(OP, reads, writes, |queue, [logits, labels], [losses, grad_logits]| {
        cuda::forward(queue, (n, classes), logits, labels, losses, grad_logits)
    }) {
        return done;
    }
    let forward = |targets: Targets<'_>| {
        targets.check(classes)?;
        read(OP, "logits", logits, |logits| {
            write(OP, "losses", losses, |losses| {
                write_optional(OP, "grad_logits", grad_logits, |grad_logits| {
                    cpu::forward(logits, targets, classes, losses, grad_logits);
                    Ok(())
                })
            })
        })
    };
    match labels.rank() {
        1 => read(OP, "labels", labels, |labels| forward(Targets::Labels(labels))),
        _ => read(OP, "labels", labels, |weights| forward(Targets::Weights(weights))),
    }
}

/// The target of each row.
#[derive(Clone, Copy)]
enum Targets<'a> {
    /// One class per row.
    Labels(&'a [u32]),
    /// A weight for each class of each row.
    Weights(&'a [f32]),
}

impl Targets<'_> {
    fn check(self, classes: usize) -> std::result::Result<(), Error> {
        let Self::Labels(labels) = self else { return Ok(()) };
        match labels.iter().position(|&label| label as usize >= classes) {
            Some(row) => Err(Error::Label { row, label: labels[row], classes }),
            None => Ok(()),
        }
    }
}

fn check(logits: &[usize], labels: &[usize]) -> std::result::Result<(usize, usize), Error> {
    match (logits, labels) {
        (&[n, classes], &[count]) if n == count && n > 0 && classes > 0 => Ok((n, classes)),
        (&[n, classes], &[rows, columns]) if [n, classes] == [rows, columns] && n > 0 && classes > 0 => {
            Ok((n, classes))
        }
        (&[n, classes], _) if n > 0 => {
            let expected = format!("[{n}], one per row of logits, or [{n}, {classes}]");
            error::shape(OP, "labels", expected, labels)
        }
        _ => error::shape(OP, "logits", "[n, classes] with n ≥ 1", logits),
    }
}

/// The custom operation, on contiguous tensors.
struct Op;

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, l: &CpuStorage, ll: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, classes) = check(xl.dims(), ll.dims())?;
        let targets = match ll.dims().len() {
            1 => Targets::Labels(tensor::slice(OP, "labels", l, ll)?),
            _ => Targets::Weights(tensor::slice(OP, "labels", l, ll)?),
        };
        targets.check(classes)?;
        let mut losses = vec![0.0; n];
        cpu::forward(tensor::slice(OP, "logits", x, xl)?, targets, classes, &mut losses, &mut []);
        let mean = losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / n as f64;
        Ok((CpuStorage::F32(vec![mean as f32]), Shape::from(())))
    }

    fn cuda_fwd(&self, x: &CudaStorage, xl: &Layout, l: &CudaStorage, ll: &Layout) -> Result<(CudaStorage, Shape)> {
        let shape = check(xl.dims(), ll.dims())?;
        let inputs = [("logits", x, xl), ("labels", l, ll)];
        device::apply(OP, inputs, (), Some(DType::F32), |queue, [logits, labels], mean| {
            cuda::mean(queue, shape, logits, labels, mean)
        })
    }

    fn bwd(
        &self,
        logits: &Tensor,
        labels: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad_logits = logits.zeros_like()?;
        let losses = Tensor::zeros(logits.dim(0)?, DType::F32, logits.device())?;
        forward_into(logits, labels, &losses, Some(&grad_logits))?;
        Ok((Some(grad_logits.broadcast_mul(grad)?), None))
    }
}
