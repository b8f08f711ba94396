//! Memory formats: channels first and channels last.
//!
//! Every image operation of this crate computes on channels-last memory, `[n, h, w, c]`: a vector register then holds
//! neighboring channels of one pixel, whatever the width of the image, and a convolution needs no unfolding. Candle's
//! convention is channels first, `[n, c, h, w]`. As in PyTorch, a tensor keeps its logical shape `[n, c, h, w]`, and its
//! strides determine the memory format. Operations return the memory format of their input.

use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::cuda::{self, Address, Grid, Queue, Real, arguments, count};
use crate::error;
use crate::parallel::{self, Shared};
use crate::tensor;

/// The order of the four dimensions of an image batch, logically `[n, c, h, w]`, in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFormat {
    /// Each channel is a plane: `[n, c, h, w]` is contiguous. Candle's and PyTorch's default.
    ChannelsFirst,
    /// Each pixel holds all its channels: `[n, h, w, c]` is contiguous. PyTorch's `torch.channels_last`.
    ChannelsLast,
}

impl MemoryFormat {
    /// The format of `x` of shape `[n, c, h, w]`; [`Self::ChannelsFirst`] if its strides match neither format or both.
    pub fn of(x: &Tensor) -> Self {
        let last = x.permute((0, 2, 3, 1)).is_ok_and(|last| last.is_contiguous());
        if last && !x.is_contiguous() { Self::ChannelsLast } else { Self::ChannelsFirst }
    }
}

/// Converts an image batch `[n, c, h, w]` to channels-last memory; the shape stays the same. Differentiable.
///
/// ```
/// use alexnet_kernels::{MemoryFormat, channels_last};
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::arange(0f32, 24., &Device::Cpu)?.reshape((1, 2, 3, 4))?;
/// let y = channels_last(&x)?;
/// assert_eq!((y.dims(), MemoryFormat::of(&y)), (x.dims(), MemoryFormat::ChannelsLast));
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, x.flatten_all()?.to_vec1::<f32>()?);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// `x` does not have four dimensions, or has another element type.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    to_nhwc("channels_last", x)?.0.permute((0, 3, 1, 2))
}

/// `x` of logical shape `[n, c, h, w]` as a contiguous `[n, h, w, c]`, and the memory format of `x`.
pub(crate) fn to_nhwc(op: &'static str, x: &Tensor) -> Result<(Tensor, MemoryFormat)> {
    if x.rank() != 4 {
        return Ok(error::shape(op, "x", "an image batch [n, c, h, w]", x.dims())?);
    }
    match MemoryFormat::of(x) {
        MemoryFormat::ChannelsLast => Ok((x.permute((0, 2, 3, 1))?, MemoryFormat::ChannelsLast)),
        MemoryFormat::ChannelsFirst => {
            let nhwc = x.contiguous()?.apply_op1(Convert { to: MemoryFormat::ChannelsLast })?;
            Ok((nhwc, MemoryFormat::ChannelsFirst))
        }
    }
}

/// A contiguous `[n, h, w, c]` as logical `[n, c, h, w]` in `format`.
pub(crate) fn from_nhwc(y: &Tensor, format: MemoryFormat) -> Result<Tensor> {
    match format {
        MemoryFormat::ChannelsLast => y.permute((0, 3, 1, 2)),
        MemoryFormat::ChannelsFirst => y.contiguous()?.apply_op1(Convert { to: MemoryFormat::ChannelsFirst }),
    }
}

/// Writes `x`, a contiguous `[n, c, h, w]`, into `y`, a contiguous `[n, h, w, c]`.
///
/// # Errors
/// The shapes do not match, or a tensor is not contiguous or has another element type.
pub fn channels_last_into(x: &Tensor, y: &Tensor) -> Result<()> {
    convert_into("channels_last_into", x, y, MemoryFormat::ChannelsLast)
}

/// Writes `x`, a contiguous `[n, h, w, c]`, into `y`, a contiguous `[n, c, h, w]` or a flattened `[n, c·h·w]`.
///
/// # Errors
/// As [`channels_last_into`].
pub fn channels_first_into(x: &Tensor, y: &Tensor) -> Result<()> {
    convert_into("channels_first_into", x, y, MemoryFormat::ChannelsFirst)
}

fn convert_into(op: &'static str, x: &Tensor, y: &Tensor, to: MemoryFormat) -> Result<()> {
    tensor::distinct(op, &[Some(x)], &[Some(y)])?;
    // The channels-last tensor must have four dimensions; the other may be flattened.
    let (image, n, pixels, channels) = match (to, x.dims(), y.dims()) {
        (MemoryFormat::ChannelsLast, _, &[n, h, w, c]) => (y, n, h * w, c),
        (MemoryFormat::ChannelsFirst, &[n, h, w, c], _) => (x, n, h * w, c),
        (_, found, _) => return Ok(error::shape(op, "x", "an image batch of four dimensions", found)?),
    };
    if x.elem_count() != y.elem_count() || x.dims().first() != y.dims().first() {
        let expected = format!("of the same batch size and number of elements as {:?}", image.dims());
        return Ok(error::shape(op, "y", expected, y.dims())?);
    }
    let (rows, columns) = sides(to, pixels, channels);
    if let Some(done) = cuda::run(op, [("x", Some(x))], [("y", Some(y))], |queue, [x], [y]| {
        transpose_on(queue, op, [x, y], n, rows, columns)
    }) {
        return done;
    }
    tensor::read(op, "x", x, |x| {
        tensor::write(op, "y", y, |y| {
            convert(x, y, n, pixels, channels, to);
            Ok(())
        })
    })
}

/// Rows and columns of an image, seen as a matrix, before it is transposed to `to`.
fn sides(to: MemoryFormat, pixels: usize, channels: usize) -> (usize, usize) {
    match to {
        MemoryFormat::ChannelsLast => (channels, pixels),
        MemoryFormat::ChannelsFirst => (pixels, channels),
    }
}

/// On the GPU: transposes `n` matrices of `rows` by `columns`; the element type may change.
pub(crate) fn transpose_on(
    queue: &dyn Queue,
    op: &'static str,
    [x, y]: [Address; 2],
    n: usize,
    rows: usize,
    columns: usize,
) -> Result<()> {
    // The tile side of `layout.cu` (SQUARE), the threads of a block, the maximum number of blocks in y and z.
    const SQUARE: usize = 32;
    const THREADS: [u32; 3] = [32, 8, 1];
    const MOST: usize = 65_535;
    // With this few rows, a tile would be mostly empty.
    const FEW_ROWS: usize = 4;
    let (real, kernel, few_rows) = match (x.real(op, "x")?, y.real(op, "y")?) {
        (Real::F32, Real::Bf16) => (Real::Bf16, "transpose_from_f32", "transpose_few_rows_from_f32"),
        (Real::Bf16, Real::F32) => (Real::Bf16, "transpose_to_f32", "transpose_few_rows_to_f32"),
        (real, _) => (real, "transpose", "transpose_few_rows"),
    };
    count(op, n * rows * columns)?;
    if rows * columns == 0 {
        return Ok(());
    }
    if rows <= FEW_ROWS {
        return queue.for_each(real, few_rows, (n * columns) as u32, arguments![x, y, n, rows, columns]);
    }
    let squares = (rows.div_ceil(SQUARE) * columns.div_ceil(SQUARE)) as u32;
    for first in (0..n).step_by(MOST) {
        let (from, to) = (x.offset(first * rows * columns), y.offset(first * rows * columns));
        let grid = Grid { blocks: [squares, MOST.min(n - first) as u32, 1], threads: THREADS };
        queue.launch(real, kernel, grid, arguments![from, to, rows, columns])?;
    }
    Ok(())
}

struct Convert {
    to: MemoryFormat,
}

impl CustomOp1 for Convert {
    fn name(&self) -> &'static str {
        "memory_format"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x: &[f32] = tensor::slice(self.name(), "x", storage, layout)?;
        let (n, a, b, c) = layout.shape().dims4()?;
        let (pixels, channels, shape) = match self.to {
            MemoryFormat::ChannelsLast => (b * c, a, (n, b, c, a)),
            MemoryFormat::ChannelsFirst => (a * b, c, (n, c, a, b)),
        };
        let mut y = vec![0.0; x.len()];
        convert(x, &mut y, n, pixels, channels, self.to);
        Ok((CpuStorage::F32(y), shape.into()))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (n, a, b, c) = layout.shape().dims4()?;
        let (rows, columns, dims) = match self.to {
            MemoryFormat::ChannelsLast => (a, b * c, (n, b, c, a)),
            MemoryFormat::ChannelsFirst => (a * b, c, (n, c, a, b)),
        };
        cuda::apply(self.name(), [("x", x, layout)], dims, None, |queue, [x], y| {
            transpose_on(queue, self.name(), [x, y], n, rows, columns)
        })
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let to = match self.to {
            MemoryFormat::ChannelsLast => MemoryFormat::ChannelsFirst,
            MemoryFormat::ChannelsFirst => MemoryFormat::ChannelsLast,
        };
        grad.contiguous()?.apply_op1(Self { to }).map(Some)
    }
}

/// Converts `n` images of `pixels` pixels and `channels` channels to the memory format `to`.
pub(crate) fn convert(x: &[f32], y: &mut [f32], n: usize, pixels: usize, channels: usize, to: MemoryFormat) {
    let size = pixels * channels;
    let y = Shared::new(y);
    parallel::for_each(n, |i| {
        // SAFETY: one part per image.
        let y = unsafe { y.slice(i * size..(i + 1) * size) };
        let x = &x[i * size..(i + 1) * size];
        match to {
            MemoryFormat::ChannelsLast => transpose(x, y, channels, pixels),
            MemoryFormat::ChannelsFirst => transpose(x, y, pixels, channels),
        }
    });
}

/// Writes the transpose of `x`, `rows` by `columns`, into `y`.
pub(crate) fn transpose(x: &[f32], y: &mut [f32], rows: usize, columns: usize) {
    // The cache lines of a block, 16 of x and 16 of y, all fit in the L1 cache.
    const BLOCK: usize = 16;
    for row in (0..rows).step_by(BLOCK) {
        let row_end = (row + BLOCK).min(rows);
        for column in (0..columns).step_by(BLOCK) {
            for c in column..(column + BLOCK).min(columns) {
                for r in row..row_end {
                    y[c * rows + r] = x[r * columns + c];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn conversions_are_inverse_and_differentiable() -> Result<()> {
        let x = Var::from_tensor(&Tensor::arange(0f32, 2. * 19. * 5. * 7., &Device::Cpu)?.reshape((2, 19, 5, 7))?)?;
        let (nhwc, format) = to_nhwc("test", &x)?;
        assert_eq!(format, MemoryFormat::ChannelsFirst);
        let expected = x.permute((0, 2, 3, 1))?.contiguous()?;
        assert_eq!(nhwc.flatten_all()?.to_vec1::<f32>()?, expected.flatten_all()?.to_vec1::<f32>()?);

        let back = from_nhwc(&nhwc, MemoryFormat::ChannelsFirst)?;
        assert_eq!(back.flatten_all()?.to_vec1::<f32>()?, x.flatten_all()?.to_vec1::<f32>()?);
        let grads = (&back * &back)?.sum_all()?.backward()?;
        let grad = grads.get(&x).unwrap().flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(grad, (x.as_tensor() * 2.)?.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }

    #[test]
    fn every_backend_writes_what_candle_permutes() {
        use crate::cases::{assert_same_bits, for_each_backend, tensor, uniform, values, zeros};
        for dims @ [n, c, h, w] in [[2, 19, 5, 7], [3, 1, 40, 33], [1, 70, 1, 1]] {
            let x = uniform("layout", 0, n * c * h * w);
            for_each_backend(|backend| {
                let x = tensor(&x, &dims);
                let (last, first) = (zeros(&[n, h, w, c]), zeros(&[n, c * h * w]));
                channels_last_into(&x, &last).unwrap();
                let expected = x.permute((0, 2, 3, 1)).unwrap();
                assert_same_bits(&format!("{backend}: last"), &values(&last), &values(&expected));
                channels_first_into(&last, &first).unwrap();
                assert_same_bits(&format!("{backend}: first"), &values(&first), &values(&x));
            });
        }
    }

    #[test]
    fn formats_are_told_by_their_strides() -> Result<()> {
        let x = Tensor::zeros((2, 3, 4, 5), candle_core::DType::F32, &Device::Cpu)?;
        assert_eq!(MemoryFormat::of(&x), MemoryFormat::ChannelsFirst);
        let last = channels_last(&x)?;
        assert_eq!(MemoryFormat::of(&last), MemoryFormat::ChannelsLast);
        // A view in neither format is treated as channels first and copied.
        let strided = x.narrow(3, 1, 3)?;
        assert_eq!(MemoryFormat::of(&strided), MemoryFormat::ChannelsFirst);
        assert_eq!(channels_last(&strided)?.dims(), [2, 3, 4, 3]);
        assert!(channels_last(&x.narrow(0, 0, 1)?.squeeze(0)?).unwrap_err().to_string().contains("[n, c, h, w]"));
        Ok(())
    }
}
