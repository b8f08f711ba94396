//! Backward: walks the list in reverse.

use alexnet_kernels::conv2d::Conv2dGrads;
use alexnet_kernels::linear::LinearGrads;
use alexnet_kernels::{activation, add, avg_pool2d, channels_last_into, concat, conv2d, dropout, linear};
use alexnet_kernels::{lrn, lrn_same_map, max_pool2d};
use candle_core::{DType, Tensor};

use super::memory::explained;
use super::{Network, Precision};
use crate::error::{Error, Result};
use crate::layer::LayerKind;
use crate::tape::{Mode, Tape};

/// Who is handed each parameter's gradient.
struct Receiver<'a> {
    take: &'a mut dyn FnMut(usize, Gradient<'_>) -> Result<()>,
    /// Whether products will do.
    products: bool,
}

/// A parameter's gradient.
#[derive(Clone, Copy, Debug)]
pub enum Gradient<'a> {
    /// Its values.
    Values(&'a Tensor),
    /// What it is the product of, `grad_yᵀ·x`: the weight of a fully connected layer, which
    /// [`linear::update_weight`] updates without writing the gradient to memory.
    Product {
        /// The layer's input, `[n, in_features]`.
        x: &'a Tensor,
        /// The gradient of its output, `[n, out_features]`.
        grad_y: &'a Tensor,
    },
}

impl<'a> From<&'a Tensor> for Gradient<'a> {
    fn from(values: &'a Tensor) -> Self {
        Self::Values(values)
    }
}

impl Network {
    /// The gradients of all parameters that are [trained](Network::train_only), given that of the logits, `[n, classes]`.
    ///
    /// `on_gradient(index, gradient)` is called once per such parameter, in reverse order of the layers, as soon as its
    /// gradient is complete and nothing later in the pass reads the parameter: it may be updated there and then. The
    /// gradient's buffer is used again after the call. What `tape` kept is released on the way.
    ///
    /// # Errors
    /// [`Error::NothingToBackpropagate`] without a forward pass in training mode on the tape; [`Error::InferenceOnly`] in
    /// `bf16` on the CPU; whatever `on_gradient` returns.
    pub fn backward(
        &self,
        tape: &mut Tape,
        grad_logits: &Tensor,
        mut on_gradient: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let mut take = |index, gradient: Gradient<'_>| match gradient {
            Gradient::Values(values) => on_gradient(index, values),
            Gradient::Product { .. } => unreachable!("only `backward_factored` asks for products"),
        };
        self.walk_back(tape, grad_logits, &mut Receiver { take: &mut take, products: false })
    }

    /// As [`Network::backward`], but where the gradient of a fully connected layer's weight may be had as a
    /// [`Gradient::Product`], which is on the CPU, it is handed out as such, and takes no memory.
    ///
    /// # Errors
    /// As [`Network::backward`].
    pub fn backward_factored(
        &self,
        tape: &mut Tape,
        grad_logits: &Tensor,
        mut on_gradient: impl FnMut(usize, Gradient<'_>) -> Result<()>,
    ) -> Result<()> {
        self.walk_back(tape, grad_logits, &mut Receiver { take: &mut on_gradient, products: true })
    }

    fn walk_back(&self, tape: &mut Tape, grad_logits: &Tensor, receiver: &mut Receiver<'_>) -> Result<()> {
        if self.precision == Precision::Bf16 && !self.takes_bf16() {
            return Err(Error::InferenceOnly);
        }
        let Some(mode @ Mode::Train { .. }) = tape.mode.take() else {
            return Err(Error::NothingToBackpropagate);
        };
        let layers = self.spec.layers().len();
        let mut grads: Vec<Option<Tensor>> = vec![None; layers];
        let first = tape.take(grad_logits.dims(), self.activations(layers - 1), self.device_of(layers - 1))?;
        add::scale_into(&grad_logits.contiguous()?, 1.0, &first)?;
        grads[layers - 1] = Some(first);
        for layer in (0..layers).rev() {
            if let Some(grad_y) = grads[layer].take() {
                // It comes to a layer where nothing is trained only where that is the last.
                if self.has_gradient[layer] {
                    if let (Some(unit), Some(y)) = (self.spec.layers()[layer].activation, &tape.values[layer]) {
                        activation::backward_in_place(y, &grad_y, unit)?;
                    }
                    let done = self.backward_layer(layer, &grad_y, mode, tape, &mut grads, receiver);
                    explained(self, done, layer, tape, mode)?;
                }
                tape.give(grad_y);
            }
            let (value, indices) = (tape.values[layer].take(), tape.indices[layer].take());
            // The last layer's result is the caller's.
            let value = value.filter(|_| layer + 1 < layers);
            value.into_iter().chain(indices).for_each(|done| tape.give(done));
        }
        Ok(())
    }

    fn backward_layer(
        &self,
        layer: usize,
        grad_y: &Tensor,
        mode: Mode,
        tape: &mut Tape,
        grads: &mut [Option<Tensor>],
        receiver: &mut Receiver<'_>,
    ) -> Result<()> {
        let inputs = self.spec.inputs(layer);
        let entry = &self.spec.layers()[layer];
        let kept = |tape: &Tape| {
            let value = tape.values[inputs[0]].as_ref();
            value.expect("forward keeps what this kind of layer reads again").to_device(self.device_of(layer))
        };
        let [weight, bias] = self.trained_of(layer);
        let [weight_values, _] = self.weight_and_bias(layer);
        let buffer = |tape: &mut Tape, parameter: Option<usize>| {
            let shape = parameter.map(|index| &self.parameters[index].spec.shape);
            shape.map(|shape| tape.take(shape, DType::F32, self.device_of(layer))).transpose()
        };
        match &entry.kind {
            LayerKind::Input { .. } => {}
            LayerKind::Conv2d(conv) => {
                let (x, weight_values) = (kept(tape)?, weight_values.expect("a convolution has a weight"));
                let grad_x = self.grad_buffer(layer, inputs[0], tape)?;
                let (grad_weight, grad_bias) = (buffer(tape, weight)?, buffer(tape, bias)?);
                let wanted = Conv2dGrads { x: grad_x.as_ref(), weight: grad_weight.as_ref(), bias: grad_bias.as_ref() };
                conv2d::backward_into(&x, weight_values, grad_y, &conv.params, wanted)?;
                self.hand_out([(weight, grad_weight), (bias, grad_bias)], tape, receiver)?;
                self.accumulate(inputs[0], grad_x, tape, grads)?;
            }
            LayerKind::Linear(_) => {
                let (x, weight_values) = (kept(tape)?, weight_values.expect("a linear layer has a weight"));
                let grad_x = self.grad_buffer(layer, inputs[0], tape)?;
                let products = receiver.products && self.device_of(layer).is_cpu() && self.precision == Precision::F32;
                let product = weight.filter(|_| products);
                let grad_weight = if product.is_some() { None } else { buffer(tape, weight)? };
                let grad_bias = buffer(tape, bias)?;
                let wanted = LinearGrads { x: grad_x.as_ref(), weight: grad_weight.as_ref(), bias: grad_bias.as_ref() };
                linear::backward_into(&x, weight_values, grad_y, wanted)?;
                // Nothing reads the weight any more.
                if let Some(index) = product {
                    (receiver.take)(index, Gradient::Product { x: &x, grad_y })?;
                }
                self.hand_out([(weight, grad_weight), (bias, grad_bias)], tape, receiver)?;
                self.accumulate(inputs[0], grad_x, tape, grads)?;
            }
            LayerKind::Concat => {
                let mut first = 0;
                for &input in inputs {
                    if let Some(grad_x) = self.grad_buffer(layer, input, tape)? {
                        concat::backward_into(grad_y, first, &grad_x)?;
                        self.accumulate(input, Some(grad_x), tape, grads)?;
                    }
                    first += self.spec.shapes()[input].batch(1).last().copied().unwrap_or(0);
                }
            }
            LayerKind::Add => {
                for &input in inputs {
                    if let Some(grad_x) = self.grad_buffer(layer, input, tape)? {
                        add::scale_into(grad_y, 1.0, &grad_x)?;
                        self.accumulate(input, Some(grad_x), tape, grads)?;
                    }
                }
            }
            LayerKind::MaxPool2d(params) => {
                let indices = tape.indices[layer]
                    .clone()
                    .expect("forward in training keeps the positions where a gradient comes by");
                self.send(layer, tape, grads, |grad_x| max_pool2d::backward_into(grad_y, &indices, params, grad_x))?;
            }
            LayerKind::AvgPool2d(params) => {
                self.send(layer, tape, grads, |grad_x| avg_pool2d::backward_into(grad_y, params, grad_x))?;
            }
            LayerKind::Lrn(params) => {
                let x = kept(tape)?;
                self.send(layer, tape, grads, |grad_x| lrn::backward_into(&x, grad_y, params, grad_x))?;
            }
            LayerKind::LrnSameMap(params) => {
                let x = kept(tape)?;
                self.send(layer, tape, grads, |grad_x| lrn_same_map::backward_into(&x, grad_y, params, grad_x))?;
            }
            LayerKind::Dropout { probability, scaling } => {
                let params = mode.dropout(*probability, *scaling, layer);
                self.send(layer, tape, grads, |grad_x| dropout::apply_into(grad_y, &params, grad_x))?;
            }
            LayerKind::Flatten => self.send(layer, tape, grads, |grad_x| channels_last_into(grad_y, grad_x))?,
        }
        Ok(())
    }

    /// Sends the gradient that `write` fills in to the one layer that `layer` reads.
    fn send(
        &self,
        layer: usize,
        tape: &mut Tape,
        grads: &mut [Option<Tensor>],
        write: impl FnOnce(&Tensor) -> candle_core::Result<()>,
    ) -> Result<()> {
        let input = self.spec.inputs(layer)[0];
        let grad_x = self.grad_buffer(layer, input, tape)?;
        grad_x.as_ref().map(write).transpose()?;
        self.accumulate(input, grad_x, tape, grads)
    }

    /// A buffer for the gradient that `layer` sends to `input`; none where nothing there is trained.
    fn grad_buffer(&self, layer: usize, input: usize, tape: &mut Tape) -> Result<Option<Tensor>> {
        if !self.has_gradient[input] {
            return Ok(None);
        }
        let n = tape.batch();
        tape.take(&self.spec.shapes()[input].batch(n), self.activations(layer), self.device_of(layer)).map(Some)
    }

    /// Passes complete gradients on and takes their buffers back.
    fn hand_out(
        &self,
        gradients: [(Option<usize>, Option<Tensor>); 2],
        tape: &mut Tape,
        receiver: &mut Receiver<'_>,
    ) -> Result<()> {
        for (index, gradient) in gradients {
            if let (Some(index), Some(gradient)) = (index, gradient) {
                (receiver.take)(index, (&gradient).into())?;
                tape.give(gradient);
            }
        }
        Ok(())
    }

    /// Adds `grad_x` to what other readers of `input` have sent it.
    fn accumulate(
        &self,
        input: usize,
        grad_x: Option<Tensor>,
        tape: &mut Tape,
        grads: &mut [Option<Tensor>],
    ) -> Result<()> {
        let Some(grad_x) = grad_x else { return Ok(()) };
        // The input may live on another device.
        let grad_x = grad_x.to_device(self.device_of(input))?;
        match &grads[input] {
            None => grads[input] = Some(grad_x),
            Some(sum) => {
                add::accumulate_into(&grad_x, sum)?;
                tape.give(grad_x);
            }
        }
        Ok(())
    }
}
