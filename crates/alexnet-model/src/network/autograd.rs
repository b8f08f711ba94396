//! The other way through a network: Candle's autograd.

use std::sync::atomic::Ordering;

use alexnet_kernels::activation::activation;
use alexnet_kernels::avg_pool2d::avg_pool2d;
use alexnet_kernels::channels_last;
use alexnet_kernels::conv2d::conv2d;
use alexnet_kernels::dropout::dropout;
use alexnet_kernels::linear::linear;
use alexnet_kernels::lrn::lrn;
use alexnet_kernels::lrn_same_map::lrn_same_map;
use alexnet_kernels::max_pool2d::max_pool2d;
use candle_core::{Result, Tensor};
use candle_nn::ModuleT;

use super::Network;
use crate::layer::LayerKind;
use crate::tape::Mode;

impl ModuleT for Network {
    /// The logits of a batch of images `[n, channels, height, width]`, tracked by Candle's autograd: `loss.backward()`
    /// gives the gradients of [`Network::vars`] and, where it is tracked, of `x`. Each call with `train` is a step of its
    /// own for dropout.
    ///
    /// Candle holds all activations until the loss is dropped; [`Network::forward`] and [`Network::backward`] need less.
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.batch_of(x)?;
        let mode = if train {
            Mode::Train { seed: self.module_seed, step: self.module_step.fetch_add(1, Ordering::Relaxed) }
        } else {
            Mode::Test
        };
        let mut values: Vec<Tensor> = Vec::with_capacity(self.spec.layers().len());
        for (index, layer) in self.spec.layers().iter().enumerate() {
            let device = self.device_of(index);
            let input = |i: usize| values[self.spec.inputs(index)[i]].to_device(device);
            // Gradients go to the variables, not to their copies.
            let [weight, bias] =
                self.of_layer[index].map(|index| index.map(|index| self.parameters[index].var.as_tensor()));
            let y = match &layer.kind {
                LayerKind::Input { .. } => channels_last(&x.to_device(device)?)?,
                LayerKind::Conv2d(conv) => {
                    conv2d(&input(0)?, weight.expect("a convolution has a weight"), bias, &conv.params)?
                }
                LayerKind::Linear(_) => linear(&input(0)?, weight.expect("a linear layer has a weight"), bias)?,
                LayerKind::MaxPool2d(params) => max_pool2d(&input(0)?, params)?,
                LayerKind::AvgPool2d(params) => avg_pool2d(&input(0)?, params)?,
                LayerKind::Lrn(params) => lrn(&input(0)?, params)?,
                LayerKind::LrnSameMap(params) => lrn_same_map(&input(0)?, params)?,
                LayerKind::Flatten => input(0)?.flatten_from(1)?,
                LayerKind::Dropout { probability, scaling } => {
                    let params = mode.dropout(*probability, *scaling, index);
                    match mode {
                        // The mask follows memory order, which inside a network is channels last.
                        Mode::Train { .. } => masked(&input(0)?, &params)?,
                        Mode::Test => (input(0)? * f64::from(params.test_factor()))?,
                    }
                }
                LayerKind::Concat => {
                    let inputs = (0..self.spec.inputs(index).len()).map(input).collect::<Result<Vec<_>>>()?;
                    Tensor::cat(&inputs, 1)?
                }
                LayerKind::Add => {
                    let mut sum = input(0)?;
                    for i in 1..self.spec.inputs(index).len() {
                        sum = (sum + input(i)?)?;
                    }
                    sum
                }
            };
            values.push(match layer.activation {
                Some(unit) => activation(&y, unit)?,
                None => y,
            });
        }
        Ok(values.swap_remove(values.len() - 1))
    }
}

fn masked(x: &Tensor, params: &alexnet_kernels::dropout::DropoutParams) -> Result<Tensor> {
    match x.rank() {
        4 => dropout(&x.permute((0, 2, 3, 1))?, params)?.permute((0, 3, 1, 2)),
        _ => dropout(x, params),
    }
}
