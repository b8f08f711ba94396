//! A weight that is laid out once, for many forward passes.

use std::fmt;
use std::sync::OnceLock;

use candle_core::{Result, Tensor};

use super::{Conv2dParams, Conv2dShape, OP, cpu, winograd};
use crate::backend::CpuIsa;
use crate::scratch::{self, Scratch};
use crate::tensor::{self, read, read_optional, write};

/// A convolution's weight for inference: [`forward_into`](super::forward_into) lays the weight out anew in every call,
/// which for a single image takes as long as the convolution itself; this keeps what it laid out.
///
/// The layout is made when first needed, of the values that the weight has then: changes after that are not seen. It
/// takes as much memory as the weight, and for 3×3 and 5×5 kernels over more than a few images four or two and a half
/// times as much besides. On a GPU nothing is kept: laying out is a small part of the work there.
pub struct PreparedWeight {
    weight: Tensor,
    params: Conv2dParams,
    isa: CpuIsa,
    direct: OnceLock<Scratch>,
    winograd: OnceLock<Scratch>,
}

impl PreparedWeight {
    /// Of a contiguous `weight`, `[out_channels, in_channels / groups, kh, kw]`, for the
    /// [instruction set](CpuIsa::current) in use now.
    pub fn new(weight: &Tensor, params: &Conv2dParams) -> Self {
        let (weight, isa) = (weight.clone(), CpuIsa::current());
        Self { weight, params: *params, isa, direct: OnceLock::new(), winograd: OnceLock::new() }
    }

    /// As [`forward_into`](super::forward_into), with the same results.
    ///
    /// # Errors
    /// As [`forward_into`](super::forward_into).
    pub fn forward_into(&self, x: &Tensor, bias: Option<&Tensor>, relu: bool, y: &Tensor) -> Result<()> {
        if !x.device().is_cpu() {
            return super::forward_into(x, &self.weight, bias, &self.params, relu, y);
        }
        let shape = Conv2dShape::new(x.dims(), self.weight.dims(), &self.params)?;
        shape.check_all(bias, Some(y))?;
        tensor::distinct(OP, &[Some(x), Some(&self.weight), bias], &[Some(y)])?;
        let layout = if winograd::suits(&shape) { &self.winograd } else { &self.direct };
        let packed = match layout.get() {
            Some(packed) => packed,
            None => {
                let packed = read(OP, "weight", &self.weight, |weight| Ok(cpu::pack_weight(self.isa, &shape, weight)))?;
                layout.get_or_init(|| scratch::exact(&packed))
            }
        };
        read(OP, "x", x, |x| {
            read_optional(OP, "bias", bias, |bias| {
                write(OP, "y", y, |y| {
                    cpu::forward(self.isa, &shape, x, packed, bias, relu, y);
                    Ok(())
                })
            })
        })
    }
}

impl fmt::Debug for PreparedWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedWeight {:?} for {}", self.weight.dims(), self.isa)
    }
}
