//! A weight that is packed once for many forward passes.

use std::fmt;
use std::sync::OnceLock;

use candle_core::{Result, Tensor};

use super::{Conv2dParams, Conv2dShape, OP, cpu, cuda, winograd};
use crate::backend::CpuIsa;
use crate::cuda as device;
use crate::layout::{MemoryFormat, channels_last_into};
use crate::scratch::{self, Scratch};
use crate::tensor::{self, read, read_optional, write};

/// A convolution's packed weight for inference: [`forward_into`](super::forward_into) packs the weight in every call, which
/// for a single image takes as long as the convolution itself; this type keeps the packed weight.
///
/// The weight is packed when first needed, with its values at that time: later changes have no effect. The packed weight
/// takes as much memory as the weight; 3×3 and 5×5 kernels over more than a few images take an additional four or two and
/// a half times as much.
pub struct PreparedWeight {
    weight: Tensor,
    params: Conv2dParams,
    isa: CpuIsa,
    direct: OnceLock<Scratch>,
    winograd: OnceLock<Scratch>,
    /// On a GPU, the channels-last weight.
    last: OnceLock<Tensor>,
}

impl PreparedWeight {
    /// From a contiguous `weight`, `[out_channels, in_channels / groups, kh, kw]`, for the
    /// [current instruction set](CpuIsa::current).
    pub fn new(weight: &Tensor, params: &Conv2dParams) -> Self {
        let (weight, isa) = (weight.clone(), CpuIsa::current());
        let (direct, winograd, last) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { weight, params: *params, isa, direct, winograd, last }
    }

    /// As [`forward_into`](super::forward_into), with identical results.
    ///
    /// # Errors
    /// As [`forward_into`](super::forward_into).
    pub fn forward_into(&self, x: &Tensor, bias: Option<&Tensor>, relu: bool, y: &Tensor) -> Result<()> {
        let shape = Conv2dShape::new(x.dims(), self.weight.dims(), &self.params)?;
        shape.check_all(bias, Some(y))?;
        tensor::distinct(OP, &[Some(x), Some(&self.weight), bias], &[Some(y)])?;
        if device::serves(x.device()) {
            let reads = [("x", Some(x)), ("weight", Some(self.channels_last()?)), ("bias", bias)];
            let forward = |queue: &dyn device::Queue, inputs, [y]: [_; 1]| {
                cuda::forward(queue, &shape, inputs, MemoryFormat::ChannelsLast, relu, y)
            };
            if let Some(done) = device::run(OP, reads, [("y", Some(y))], forward) {
                return done;
            }
        }
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

impl PreparedWeight {
    fn channels_last(&self) -> Result<&Tensor> {
        if let Some(last) = self.last.get() {
            return Ok(last);
        }
        let (out, channels, kh, kw) = self.weight.dims4()?;
        let last = Tensor::zeros((out, kh, kw, channels), self.weight.dtype(), self.weight.device())?;
        channels_last_into(&self.weight, &last)?;
        Ok(self.last.get_or_init(|| last))
    }
}

impl fmt::Debug for PreparedWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreparedWeight {:?} for {}", self.weight.dims(), self.isa)
    }
}
