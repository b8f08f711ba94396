//! The entry point for Candle's autograd.

use candle_core::{CpuStorage, CudaStorage, CustomOp3, Layout, Result, Shape, Storage, Tensor};

use super::{BatchNorm2dGrads, BatchNorm2dParams, BatchNorm2dSaved, OP, Rows, backward_into, cpu, cuda, vectors};
use crate::backend::CpuIsa;
use crate::cuda as device;
use crate::error::{self, Error};
use crate::tensor;

/// The custom operation, on contiguous channels-last tensors, with precomputed statistics.
pub(super) struct Op {
    pub(super) params: BatchNorm2dParams,
    pub(super) mean: Tensor,
    pub(super) inverse_std: Tensor,
}

impl Op {
    fn check(&self, x: &Layout, weight: &Layout, bias: &Layout) -> Result<Rows> {
        let rows = Rows::new(x.dims(), &self.params)?;
        for (name, vector) in [("weight", weight), ("bias", bias)] {
            if vector.dims() != [rows.channels] {
                return Ok(error::shape(OP, name, format!("[{}]", rows.channels), vector.dims())?);
            }
        }
        Ok(rows)
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
        self.check(xl, wl, bl)?;
        let (x, weight, bias) =
            (tensor::slice(OP, "x", x, xl)?, tensor::slice(OP, "weight", w, wl)?, tensor::slice(OP, "bias", b, bl)?);
        let mut y = vec![0.0; x.len()];
        vectors([("mean", &self.mean), ("inverse_std", &self.inverse_std)], |[mean, inverse_std]| {
            cpu::normalize(CpuIsa::current(), x, [mean, inverse_std, weight, bias], &mut y);
            Ok(())
        })?;
        Ok((CpuStorage::F32(y), xl.shape().clone()))
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
        let rows = self.check(xl, wl, bl)?;
        let (mean, mean_layout) = self.mean.storage_and_layout();
        let (inverse_std, inverse_layout) = self.inverse_std.storage_and_layout();
        let (Storage::Cuda(mean), Storage::Cuda(inverse_std)) = (&*mean, &*inverse_std) else {
            let found = format!("{:?}", self.mean.device().location());
            return Err(Error::Device { op: OP, name: "mean", found }.into());
        };
        let inputs = [
            ("x", x, xl),
            ("mean", mean, mean_layout),
            ("inverse_std", inverse_std, inverse_layout),
            ("weight", w, wl),
            ("bias", b, bl),
        ];
        device::apply(OP, inputs, xl.shape(), None, |queue, inputs, y| cuda::normalize(queue, rows, inputs, y))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad_y: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let wanted = |t: &Tensor| t.track_op().then(|| t.zeros_like()).transpose();
        let (grad_x, grad_weight, grad_bias) = (wanted(x)?, wanted(weight)?, wanted(bias)?);
        let saved = BatchNorm2dSaved { mean: &self.mean, inverse_std: &self.inverse_std };
        let grads = BatchNorm2dGrads { x: grad_x.as_ref(), weight: grad_weight.as_ref(), bias: grad_bias.as_ref() };
        backward_into(x, weight, &grad_y.contiguous()?, &saved, &self.params, grads)?;
        Ok((grad_x, grad_weight, grad_bias))
    }
}
