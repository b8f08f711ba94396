//! The entry point for Candle's autograd.

use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::{LocalShape, LocallyConnected2dGrads, OP, backward_into, cpu, cuda};
use crate::backend::CpuIsa;
use crate::conv2d::Conv2dParams;
use crate::cuda::{self as device, Address, Stored};
use crate::error;
use crate::tensor;

/// The custom operation, on contiguous channels-last tensors.
pub(super) struct Op(pub(super) Conv2dParams);

impl Op {
    fn shape(&self, x: &Layout, weight: &Layout, bias: Option<&Layout>) -> Result<LocalShape> {
        let shape = LocalShape::new(x.dims(), weight.dims(), &self.0)?;
        match bias {
            Some(bias) if bias.dims() != shape.bias_dims() => {
                Ok(error::shape(OP, "bias", format!("{:?}", shape.bias_dims()), bias.dims())?)
            }
            _ => Ok(shape),
        }
    }

    fn forward(
        &self,
        x: (&CpuStorage, &Layout),
        weight: (&CpuStorage, &Layout),
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = self.shape(x.1, weight.1, bias.map(|bias| bias.1))?;
        let x = tensor::slice(OP, "x", x.0, x.1)?;
        let weight = tensor::slice(OP, "weight", weight.0, weight.1)?;
        let bias = bias.map_or(Ok(&[][..]), |(bias, layout)| tensor::slice(OP, "bias", bias, layout))?;
        let dims = shape.output_dims();
        let mut y = vec![0.0; dims.iter().product()];
        cpu::forward(CpuIsa::current(), &shape, x, weight, bias, false, &mut y);
        Ok((CpuStorage::F32(y), dims.to_vec().into()))
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
        let wanted = LocallyConnected2dGrads { x: grad_x, weight: grad_weight, bias: grad_bias };
        backward_into(x, weight, &grad_y.contiguous()?, &self.0, wanted)?;
        Ok(grads)
    }
}

impl CustomOp2 for Op {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (w, wl), None)
    }

    fn cuda_fwd(&self, x: &CudaStorage, xl: &Layout, w: &CudaStorage, wl: &Layout) -> Result<(CudaStorage, Shape)> {
        let shape = self.shape(xl, wl, None)?;
        let inputs: [Stored<'_>; 2] = [("x", x, xl), ("weight", w, wl)];
        device::apply(OP, inputs, shape.output_dims().to_vec(), None, |queue, [x, weight], y| {
            cuda::forward(queue, &shape, [x, weight, Address::NONE], false, y)
        })
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
        self.forward((x, xl), (w, wl), Some((b, bl)))
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
        let shape = self.shape(xl, wl, Some(bl))?;
        let inputs = [("x", x, xl), ("weight", w, wl), ("bias", b, bl)];
        device::apply(OP, inputs, shape.output_dims().to_vec(), None, |queue, inputs, y| {
            cuda::forward(queue, &shape, inputs, false, y)
        })
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
