//! Converts image bytes to the input of a network.

mod cpu;
mod cuda;
#[doc(hidden)]
pub mod reference;
#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor};

use crate::cuda as device;
use crate::error;
use crate::tensor::{self, read, read_optional, write};

const OP: &str = "pixels";

/// Parameters shared by all images of a batch.
#[derive(Clone, Copy, Debug)]
pub struct PixelsParams<'a> {
    /// The input channel of each output channel: 0, 1, 2, or 2, 1, 0 for a network that requires blue first.
    pub channels: [usize; 3],
    /// A mean image to subtract, `[3, height, width]`, `f32`, in the channel order of the output.
    pub mean: Option<&'a Tensor>,
}

/// Number of parameters of one image, a row of a tensor: scale and offset of each output channel, the divisor of the
/// mean image, column and row where the image's crop begins in the mean image, and whether the image and whether the
/// mean image are mirrored, 0 or 1.
pub const NUMBERS: usize = 11;

/// Overwrites `y`, `[n, h, w, 3]`, with `x`, `[n, h, w, 3]`, `u8`, converted by `numbers`, `[n, 11]`, `f32`
/// ([`NUMBERS`]); all are contiguous.
///
/// y\[n, i, j, c\] = x\[n, i, j', channels\[c\]\] · scale\[c\] + offset\[c\] − mean\[c, row + i, column + j''\] /
/// divisor, with j' = j, or w − 1 − j if the image is mirrored, and j'' likewise if the mean image is mirrored.
/// Products, sums and the quotient are rounded one by one, so a GPU gives the same bits as the CPU. On a GPU y may be
/// `bf16`.
///
/// # Errors
/// Shapes that do not match, unsupported element types, a crop outside the mean image. On a GPU, where the caller
/// cannot check the values of tensors, such a crop sets its image to NaN instead.
///
/// ```
/// use alexnet_kernels::pixels::{PixelsParams, normalize_into};
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[[[[10u8, 20, 30], [40, 50, 60]]]], &Device::Cpu)?;
/// // Halved, minus 1, mirrored; blue first.
/// let numbers = Tensor::new(&[[0.5f32, 0.5, 0.5, -1., -1., -1., 1., 0., 0., 1., 0.]], &Device::Cpu)?;
/// let y = Tensor::zeros((1, 1, 2, 3), candle_core::DType::F32, &Device::Cpu)?;
/// normalize_into(&x, &numbers, &PixelsParams { channels: [2, 1, 0], mean: None }, &y)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [29., 24., 19., 14., 9., 4.]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn normalize_into(x: &Tensor, numbers: &Tensor, params: &PixelsParams<'_>, y: &Tensor) -> Result<()> {
    let &[n, h, w, 3] = x.dims() else {
        return Ok(error::shape(OP, "x", "[n, h, w, 3]", x.dims())?);
    };
    tensor::same_shape(OP, x, &[("y", y)])?;
    if numbers.dims() != [n, NUMBERS] {
        return Ok(error::shape(OP, "numbers", format!("[{n}, {NUMBERS}]"), numbers.dims())?);
    }
    if params.channels.iter().any(|&channel| channel > 2) {
        return Ok(error::parameter(OP, format!("channels must be 0, 1 or 2, but are {:?}", params.channels))?);
    }
    let mean_size = match params.mean.map(Tensor::dims) {
        None => [0, 0],
        Some(&[3, height, width]) if height >= h && width >= w => [height, width],
        Some(found) => return Ok(error::shape(OP, "mean", format!("[3, {h} or more, {w} or more]"), found)?),
    };
    let shape = Shape { n, h, w, mean_size, channels: params.channels };
    tensor::distinct(OP, &[Some(x), Some(numbers), params.mean], &[Some(y)])?;
    let reads = [("x", Some(x)), ("numbers", Some(numbers)), ("mean", params.mean)];
    if let Some(done) = device::run(OP, reads, [("y", Some(y))], |queue, [x, numbers, mean], [y]| {
        cuda::normalize(queue, &shape, x, numbers, mean, y)
    }) {
        return done;
    }
    read(OP, "x", x, |x| {
        read(OP, "numbers", numbers, |numbers| {
            shape.check(numbers)?;
            read_optional(OP, "mean", params.mean, |mean| {
                write(OP, "y", y, |y| {
                    cpu::normalize(&shape, x, numbers, mean, y);
                    Ok(())
                })
            })
        })
    })
}

/// Validated sizes.
#[derive(Clone, Copy, Debug)]
struct Shape {
    n: usize,
    h: usize,
    w: usize,
    /// Height and width of the mean image; 0 if there is none.
    mean_size: [usize; 2],
    channels: [usize; 3],
}

impl Shape {
    /// Fails if a crop is not within the mean image.
    fn check(&self, numbers: &[f32]) -> Result<()> {
        let [height, width] = self.mean_size;
        if height == 0 {
            return Ok(());
        }
        for (image, row) in numbers.chunks_exact(NUMBERS).enumerate() {
            // `whole` is at least `part`; NaN and infinity do not fit.
            let fits = |at: f32, part: usize, whole: usize| at >= 0.0 && at <= (whole - part) as f32;
            if !(fits(row[7], self.w, width) && fits(row[8], self.h, height)) {
                let rule = format!(
                    "crops must be within the mean image of {height}×{width}, but image {image} has {}×{} pixels \
                     from ({}, {}) on",
                    self.h, self.w, row[8], row[7]
                );
                return Ok(error::parameter(OP, rule)?);
            }
        }
        Ok(())
    }
}
