//! Concatenation and slicing along the last dimension: the channels of channels-last images, or features.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor};

use crate::cuda as device;
use crate::error;
use crate::tensor::{self, read, write};

pub(crate) use cuda::copy_columns as copy_columns_on;

const OP: &str = "concat";

/// Overwrites `y` with the concatenation of `xs` along the last dimension; all are contiguous `f32`. For a
/// differentiable concatenation, use Candle's `Tensor::cat`.
///
/// ```
/// use alexnet_kernels::concat::{backward_into, forward_into};
/// use candle_core::{Device, Tensor};
///
/// let a = Tensor::new(&[[1f32], [2.]], &Device::Cpu)?;
/// let b = Tensor::new(&[[3f32, 4.], [5., 6.]], &Device::Cpu)?;
/// let y = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)?;
/// forward_into(&[&a, &b], &y)?;
/// assert_eq!(y.to_vec2::<f32>()?, [[1., 3., 4.], [2., 5., 6.]]);
///
/// let part = b.zeros_like()?;
/// backward_into(&y, 1, &part)?;
/// assert_eq!(part.to_vec2::<f32>()?, b.to_vec2::<f32>()?);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// The other dimensions differ, the widths do not add up, a tensor is not contiguous or has an unsupported element
/// type.
pub fn forward_into(xs: &[&Tensor], y: &Tensor) -> Result<()> {
    let inputs: Vec<Option<&Tensor>> = xs.iter().map(|x| Some(*x)).collect();
    tensor::distinct(OP, &inputs, &[Some(y)])?;
    let total = xs.iter().try_fold(0usize, |total, x| total.checked_add(width(x)));
    if total != Some(width(y)) {
        let total = total.map_or("2^64 or more".into(), |total| total.to_string());
        let expected = format!("as wide as all inputs together, {total}");
        return Ok(error::shape(OP, "y", expected, y.dims())?);
    }
    let mut first = 0;
    for x in xs {
        check_rows("x", x, y)?;
        let (wide, narrow) = (width(y), width(x));
        let done = device::run(OP, [("x", Some(x))], [("y", Some(y))], |queue, [x], [y]| {
            cuda::copy(queue, (x, narrow, 0), (y, wide, first), narrow)
        });
        match done {
            Some(done) => done?,
            None => read(OP, "x", x, |x| {
                write(OP, "y", y, |y| {
                    cpu::copy((x, narrow, 0), (y, wide, first), narrow);
                    Ok(())
                })
            })?,
        }
        first += narrow;
    }
    Ok(())
}

/// Overwrites `grad_x` with the part of `grad_y` that starts at `first` along the last dimension.
///
/// # Errors
/// As [`forward_into`].
pub fn backward_into(grad_y: &Tensor, first: usize, grad_x: &Tensor) -> Result<()> {
    check_rows("grad_x", grad_x, grad_y)?;
    let (wide, narrow) = (width(grad_y), width(grad_x));
    if first.checked_add(narrow).is_none_or(|end| end > wide) {
        let expected = format!("at most {} wide from {first} on", wide.saturating_sub(first));
        return Ok(error::shape(OP, "grad_x", expected, grad_x.dims())?);
    }
    tensor::distinct(OP, &[Some(grad_y)], &[Some(grad_x)])?;
    let (reads, writes) = ([("grad_y", Some(grad_y))], [("grad_x", Some(grad_x))]);
    if let Some(done) = device::run(OP, reads, writes, |queue, [grad_y], [grad_x]| {
        cuda::copy(queue, (grad_y, wide, first), (grad_x, narrow, 0), narrow)
    }) {
        return done;
    }
    read(OP, "grad_y", grad_y, |grad_y| {
        write(OP, "grad_x", grad_x, |grad_x| {
            cpu::copy((grad_y, wide, first), (grad_x, narrow, 0), narrow);
            Ok(())
        })
    })
}

fn width(x: &Tensor) -> usize {
    x.dims().last().copied().unwrap_or(1)
}

fn check_rows(name: &'static str, x: &Tensor, y: &Tensor) -> Result<()> {
    let rows = |t: &Tensor| t.dims().split_last().map(|(_, rows)| rows.to_vec());
    if rows(x) == rows(y) {
        return Ok(());
    }
    let expected = format!("{:?} except for the last dimension", y.dims());
    Ok(error::shape(OP, name, expected, x.dims())?)
}
