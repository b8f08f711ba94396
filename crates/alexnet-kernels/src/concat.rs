//! Joining and cutting along the last dimension: the channels of channels-last images, or features.

use candle_core::{Result, Tensor};

use crate::cuda::{self, Address, Queue, arguments, common_real, in_vectors};
use crate::error;
use crate::parallel::{self, Shared};
use crate::tensor::{self, read, write};

const OP: &str = "concat";

/// Overwrites `y` with `xs` one after the other along the last dimension; all are contiguous `f32`. Candle's own
/// `Tensor::cat` is the differentiable one.
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
/// The other dimensions differ, the widths do not add up, or a tensor is not contiguous or of another element type.
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
        if let Some(done) = cuda::run(OP, [("x", Some(x))], [("y", Some(y))], |queue, [x], [y]| {
            copy_columns(queue, (x, narrow, 0), (y, wide, first), narrow)
        }) {
            done?;
            first += narrow;
            continue;
        }
        read::<f32, _>(OP, "x", x, |x| {
            write(OP, "y", y, |y| {
                let y = Shared::new(y);
                parallel::for_ranges(x.len() / narrow.max(1), 256, |rows| {
                    for row in rows {
                        // SAFETY: one part per row.
                        let y = unsafe { y.slice(row * wide + first..row * wide + first + narrow) };
                        y.copy_from_slice(&x[row * narrow..(row + 1) * narrow]);
                    }
                });
                Ok(())
            })
        })?;
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
    if let Some(done) = cuda::run(OP, reads, writes, |queue, [grad_y], [grad_x]| {
        copy_columns(queue, (grad_y, wide, first), (grad_x, narrow, 0), narrow)
    }) {
        return done;
    }
    read::<f32, _>(OP, "grad_y", grad_y, |grad_y| {
        write(OP, "grad_x", grad_x, |grad_x| {
            let grad_x = Shared::new(grad_x);
            parallel::for_ranges(grad_y.len() / wide.max(1), 256, |rows| {
                for row in rows {
                    // SAFETY: one part per row.
                    let grad_x = unsafe { grad_x.slice(row * narrow..(row + 1) * narrow) };
                    grad_x.copy_from_slice(&grad_y[row * wide + first..][..narrow]);
                }
            });
            Ok(())
        })
    })
}

/// On the GPU: copies columns of one matrix into another. Each comes with its width and the first of the columns.
/// On the GPU: copies `count` values in rows of `width` from columns of `x` to columns of `y`; each has its own width and first
/// column.
pub(crate) fn copy_columns_on(
    queue: &dyn Queue,
    op: &'static str,
    (x, x_width, x_first): (Address, usize, usize),
    (y, y_width, y_first): (Address, usize, usize),
    count: usize,
    width: usize,
) -> Result<()> {
    let (real, count) = (common_real(op, [("x", x), ("y", y)])?, cuda::count(op, count)?);
    let vector = in_vectors(width, [x, y]) && [x_width, x_first, y_width, y_first].iter().all(|&n| in_vectors(n, []));
    let arguments = arguments![x, x_width, x_first, y, y_width, y_first, count, width, vector];
    queue.for_vectors(real, "copy_columns", count, vector, arguments)
}

fn copy_columns(queue: &dyn Queue, x: (Address, usize, usize), y: (Address, usize, usize), width: usize) -> Result<()> {
    (x.0.count(OP)?, y.0.count(OP)?);
    copy_columns_on(queue, OP, x, y, x.0.len.min(y.0.len), width)
}

fn width(x: &Tensor) -> usize {
    x.dims().last().copied().unwrap_or(1)
}

fn check_rows(name: &'static str, x: &Tensor, y: &Tensor) -> Result<()> {
    let rows = |t: &Tensor| t.dims().split_last().map(|(_, rows)| rows.to_vec());
    if rows(x) == rows(y) {
        return Ok(());
    }
    let expected = format!("{:?} but for the last dimension", y.dims());
    Ok(error::shape(OP, name, expected, x.dims())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::*;

    #[test]
    fn parts_join_as_candle_joins_them_and_come_apart_again() {
        for_each_backend(|_| {
            let part = |width| tensor(&uniform("concat", width, 60 * width as usize), &[3, 4, 5, width as usize]);
            let parts = [3, 17, 1].map(part);
            let y = zeros(&[3, 4, 5, 21]);
            forward_into(&[&parts[0], &parts[1], &parts[2]], &y).unwrap();
            assert_same_bits("joined", &values(&y), &values(&Tensor::cat(&parts, 3).unwrap()));
            let mut first = 0;
            for part in &parts {
                let grad = part.zeros_like().unwrap();
                backward_into(&y, first, &grad).unwrap();
                assert_same_bits("part", &values(&grad), &values(part));
                first += width(part);
            }
        });
    }

    #[test]
    fn wrong_calls_say_what_is_wrong() {
        let message = |x: &[usize], y: &[usize]| forward_into(&[&zeros(x)], &zeros(y)).unwrap_err().to_string();
        assert!(message(&[2, 3], &[2, 4]).contains("as wide as all inputs together, 3"));
        assert!(message(&[3, 4], &[2, 4]).contains("[2, 4] but for the last dimension"));
        assert!(backward_into(&zeros(&[2, 4]), 2, &zeros(&[2, 3])).unwrap_err().to_string().contains("at most 2 wide"));
    }
}
