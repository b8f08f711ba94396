//! The other way through a network: Candle's autograd.

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
    /// gives the gradients of [`Network::vars`] and, where it is tracked, of `x`. Each call with `train` is a step of its
    /// own for dropout.
    ///
    /// Candle holds all activations until the loss is dropped; [`Network::forward`] and [`Network::backward`] need less.
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(self.tracked(x, train, &self.main_plan())?.swap_remove(0))
    }
}

impl Network {
    /// As `forward_t`, all [outputs](crate::Specification::outputs), the main one first. The weights of their losses are the
    /// caller's to apply.
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
            // Gradients go to the variables, not to their copies.
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
    values[layer].as_ref().expect("a plan runs every layer that another one reads or that is wanted, in order")
}
