//! The custom operation for Candle's autograd.

use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::{Conv2dGrads, Conv2dParams, Conv2dShape, OP, backward_into, cpu, cuda};
use crate::backend::CpuIsa;
use crate::cuda::{self as device, Address, Stored};
use crate::error;
use crate::layout::MemoryFormat;
use crate::tensor;

/// The custom operation, on contiguous channels-last tensors.
pub(super) struct Op(pub(super) Conv2dParams);

impl Op {
    fn forward(&self, x: (&CpuStorage, &Layout), weight: (&CpuStorage, &Layout), bias: &[f32]) -> Result<Vec<f32>> {
        let shape = Conv2dShape::new(x.1.dims(), weight.1.dims(), &self.0)?;
        let x = tensor::slice(OP, "x", x.0, x.1)?;
        let weight = tensor::slice(OP, "weight", weight.0, weight.1)?;
        let mut y = vec![0.0; shape.n * shape.oh * shape.ow * shape.out_channels];
        let isa = CpuIsa::current();
        cpu::forward(isa, &shape, x, &cpu::pack_weight(isa, &shape, weight), bias, false, &mut y);
        Ok(y)
    }

    fn forward_on_gpu(
        &self,
        x: Stored<'_>,
        weight: Stored<'_>,
        bias: Option<Stored<'_>>,
    ) -> Result<(CudaStorage, Shape)> {
        let shape = Conv2dShape::new(x.2.dims(), weight.2.dims(), &self.0)?;
        let dims = self.output(x.2, weight.2)?;
        let first = MemoryFormat::ChannelsFirst;
        let forward = |queue: &dyn device::Queue, inputs, y| cuda::forward(queue, &shape, inputs, first, false, y);
        match bias {
            Some(bias) if bias.2.dims() != [shape.out_channels] => {
                Ok(error::shape(OP, "bias", format!("[{}]", shape.out_channels), bias.2.dims())?)
            }
            Some(bias) => device::apply(OP, [x, weight, bias], dims, None, forward),
            None => device::apply(OP, [x, weight], dims, None, |queue, [x, weight], y| {
                forward(queue, [x, weight, Address::NONE], y)
            }),
        }
    }

    fn output(&self, x: &Layout, weight: &Layout) -> Result<Shape> {
        let s = Conv2dShape::new(x.dims(), weight.dims(), &self.0)?;
        Ok((s.n, s.oh, s.ow, s.out_channels).into())
    }

    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        grad_y: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let wanted = |t: &Tensor| t.track_op().then(|| t.zeros_like()).transpose();
        let grads = [wanted(x)?, wanted(weight)?, bias.map(wanted).transpose()?.flatten()];
        let [grad_x, grad_weight, grad_bias] = [0, 1, 2].map(|i| grads[i].as_ref());
        let wanted = Conv2dGrads { x: grad_x, weight: grad_weight, bias: grad_bias };
        backward_into(x, weight, &grad_y.contiguous()?, &self.0, wanted)?;
        Ok(grads)
    }
}

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.forward((x, xl), (w, wl), &[])?), self.output(xl, wl)?))
    }

    fn cuda_fwd(&self, x: &CudaStorage, xl: &Layout, w: &CudaStorage, wl: &Layout) -> Result<(CudaStorage, Shape)> {
        self.forward_on_gpu(("x", x, xl), ("weight", w, wl), None)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad_y: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [grad_x, grad_weight, _] = self.backward(x, w, None, grad_y)?;
        Ok((grad_x, grad_weight))
    }
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Conv2dShape::new(xl.dims(), wl.dims(), &self.0)?;
        if bl.dims() != [wl.dims()[0]] {
            return Ok(error::shape(OP, "bias", format!("[{}]", wl.dims()[0]), bl.dims())?);
        }
        let bias = tensor::slice(OP, "bias", b, bl)?;
        Ok((CpuStorage::F32(self.forward((x, xl), (w, wl), bias)?), self.output(xl, wl)?))
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        w: &CudaStorage,
        wl: &Layout,
        b: &CudaStorage,
        bl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.forward_on_gpu(("x", x, xl), ("weight", w, wl), Some(("bias", b, bl)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad_y: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [grad_x, grad_weight, grad_bias] = self.backward(x, w, Some(b), grad_y)?;
        Ok((grad_x, grad_weight, grad_bias))
    }
}
