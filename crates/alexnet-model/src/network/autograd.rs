//! The network as a Candle module, with Candle's autograd.

use std::sync::atomic::Ordering;

use alexnet_kernels::activation::activation;
use candle_core::{Result, Tensor};
use candle_nn::ModuleT;

use super::Network;
use super::plan::Plan;
use crate::layers::Forward;
use crate::tape::Mode;

impl ModuleT for Network {
    /// The logits of a batch of images `[n, channels, height, width]`, tracked by Candle's autograd: `loss.backward()`
    /// returns the gradients of [`Network::vars`] and, if `x` is tracked, of `x`. Each call with `train` counts as a
    /// new step for dropout.
    ///
    /// Candle keeps all activations until the loss is dropped; [`Network::forward`] and [`Network::backward`] need less
    /// memory.
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(self.tracked(x, train, &self.main_plan())?.swap_remove(0))
    }
}

impl Network {
    /// Like `forward_t`, but returns all [outputs](crate::Specification::outputs), the main one first. The caller
    /// applies the loss weights.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn forward_outputs_t(&self, x: &Tensor, train: bool) -> Result<Vec<Tensor>> {
        self.tracked(x, train, &self.whole_plan())
    }

    fn tracked(&self, x: &Tensor, train: bool, plan: &Plan) -> Result<Vec<Tensor>> {
        self.batch_of(x)?;
        let mode = if train {
            Mode::train(self.module_seed, self.module_step.fetch_add(1, Ordering::Relaxed))
        } else {
            Mode::Test
        };
        let mut values: Vec<Option<Tensor>> = vec![None; self.spec.layers().len()];
        for (layer, entry) in self.spec.layers().iter().enumerate().filter(|(layer, _)| plan.runs[*layer]) {
            let device = self.device_of(layer);
            let inputs = match self.spec.inputs(layer) {
                [] => vec![x.to_device(device)?],
                inputs => inputs.iter().map(|&input| value(&values, input).to_device(device)).collect::<Result<_>>()?,
            };
            // Use the variables, not their bf16 copies, so that autograd computes their gradients.
            let parameters = &self.parameters[self.of_layer[layer].clone()];
            let parameters = parameters.iter().map(|parameter| parameter.var.as_tensor()).collect();
            let pass = Forward { inputs, parameters, prepared: None, relu: false, saved: &[], mode, layer };
            let y = self.gpu_math.scope(|| entry.kind.ops().autograd(&pass))?;
            values[layer] = Some(match entry.activation {
                Some(kind) => activation(&y, kind)?,
                None => y,
            });
        }
        Ok(plan.outputs.iter().map(|&output| value(&values, output).clone()).collect())
    }
}

fn value(values: &[Option<Tensor>], layer: usize) -> &Tensor {
    values[layer].as_ref().expect("a plan runs all inputs and outputs, in order")
}
