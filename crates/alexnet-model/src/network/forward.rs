//! Forward: walks the list and keeps what backward needs.

use alexnet_kernels::activation::{self, Activation};
use alexnet_kernels::conv2d::PreparedWeight;
use alexnet_kernels::{
    MemoryFormat, add, avg_pool2d, channels_first_into, channels_last_into, concat, conv2d, dropout, linear,
};
use alexnet_kernels::{lrn, lrn_same_map, max_pool2d};
use candle_core::{DType, Tensor};

use super::Network;
use super::memory::explained;
use crate::error::Result;
use crate::layer::{LayerKind, Shape};
use crate::tape::{Mode, Tape};

impl Network {
    /// The logits, `[n, classes]`, of a batch of images `[n, channels, height, width]`: in any memory format, as `f32` or,
    /// channels last, of the type of its [activations](super::Precision::activations).
    ///
    /// In [`Mode::Train`], `tape` keeps what [`Network::backward`] needs. In [`Mode::Test`] it only lends buffers.
    ///
    /// # Errors
    /// Images of another size; a device that is out of memory.
    pub fn forward(&self, x: &Tensor, mode: Mode, tape: &mut Tape) -> Result<Tensor> {
        self.walk(x, mode, tape, &[], |_, _| Ok(()))
    }

    /// As [`Network::forward`], with the weights that are `prepared`, one place per layer or none at all, and showing each
    /// layer's result as it is computed: `[n, h, w, c]` or `[n, features]`.
    pub(crate) fn walk(
        &self,
        x: &Tensor,
        mode: Mode,
        tape: &mut Tape,
        prepared: &[Option<PreparedWeight>],
        mut show: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let n = self.batch_of(x)?;
        let layers = self.spec.layers().len();
        tape.start(layers, n, mode);
        for layer in 0..layers {
            let (dims, dtype) = (self.spec.shapes()[layer].batch(n), self.activations(layer));
            let y = if layer + 1 == layers {
                // Never a pooled buffer: it is handed out.
                Tensor::zeros(dims, dtype, self.device_of(layer)).map_err(Into::into)
            } else {
                tape.take(&dims, dtype, self.device_of(layer))
            };
            let y = explained(self, y, layer, tape, mode)?;
            let prepared = prepared.get(layer).and_then(Option::as_ref);
            let done = self.compute(layer, x, &y, mode, tape, prepared);
            explained(self, done, layer, tape, mode)?;
            show(layer, &y)?;
            tape.values[layer] = Some(y);
            for &input in self.spec.inputs(layer) {
                let needed_later = self.last_reader[input] > layer || mode != Mode::Test && self.kept[input];
                if !needed_later && let Some(done) = tape.values[input].take() {
                    tape.give(done);
                }
            }
        }
        let logits = tape.values[layers - 1].clone();
        full(&logits.expect("the loop has stored the last layer's result, and no layer reads it"))
    }

    /// Writes the result of one layer into `y`.
    fn compute(
        &self,
        layer: usize,
        images: &Tensor,
        y: &Tensor,
        mode: Mode,
        tape: &mut Tape,
        prepared: Option<&PreparedWeight>,
    ) -> Result<()> {
        let entry = &self.spec.layers()[layer];
        let device = self.device_of(layer);
        // A tensor on another device is copied over; on the same one this is a clone of the handle.
        let input = |i: usize| {
            let value = tape.values[self.spec.inputs(layer)[i]].as_ref();
            value.expect("every layer is stored until its last reader has run").to_device(device)
        };
        let [weight, bias] = self.weight_and_bias(layer);
        let relu = entry.activation == Some(Activation::Relu);
        let mut activation_is_done = false;
        match &entry.kind {
            LayerKind::Input { .. } => {
                let images = images.to_device(device)?;
                match MemoryFormat::of(&images) {
                    // They may be of the activations' type already.
                    MemoryFormat::ChannelsLast => add::scale_into(&images.permute((0, 2, 3, 1))?, 1.0, y)?,
                    MemoryFormat::ChannelsFirst => {
                        channels_last_into(&images.to_dtype(DType::F32)?.contiguous()?, y)?;
                    }
                }
            }
            LayerKind::Conv2d(conv) => {
                let weight = weight.expect("a convolution has a weight");
                match prepared {
                    Some(prepared) => prepared.forward_into(&input(0)?, bias, relu, y)?,
                    None => conv2d::forward_into(&input(0)?, weight, bias, &conv.params, relu, y)?,
                }
                activation_is_done = relu;
            }
            LayerKind::Linear(_) => {
                let weight = weight.expect("a linear layer has a weight");
                linear::forward_into(&input(0)?, weight, bias, relu, y)?;
                activation_is_done = relu;
            }
            LayerKind::MaxPool2d(params) => {
                let x = input(0)?;
                let indices = match mode {
                    Mode::Train { .. } if self.has_gradient[layer] => {
                        Some(tape.take(y.dims(), max_pool2d::index_dtype(params), device)?)
                    }
                    _ => None,
                };
                max_pool2d::forward_into(&x, params, y, indices.as_ref())?;
                tape.indices[layer] = indices;
            }
            LayerKind::AvgPool2d(params) => avg_pool2d::forward_into(&input(0)?, params, y)?,
            LayerKind::Lrn(params) => lrn::forward_into(&input(0)?, params, y)?,
            LayerKind::LrnSameMap(params) => lrn_same_map::forward_into(&input(0)?, params, y)?,
            LayerKind::Flatten => channels_first_into(&input(0)?, y)?,
            LayerKind::Dropout { probability, scaling } => {
                let params = mode.dropout(*probability, *scaling, layer);
                match mode {
                    Mode::Train { .. } => dropout::apply_into(&input(0)?, &params, y)?,
                    Mode::Test => add::scale_into(&input(0)?, params.test_factor(), y)?,
                }
            }
            LayerKind::Concat => {
                let inputs = (0..self.spec.inputs(layer).len()).map(input).collect::<candle_core::Result<Vec<_>>>()?;
                concat::forward_into(&inputs.iter().collect::<Vec<_>>(), y)?;
            }
            LayerKind::Add => {
                add::scale_into(&input(0)?, 1.0, y)?;
                for i in 1..self.spec.inputs(layer).len() {
                    add::accumulate_into(&input(i)?, y)?;
                }
            }
        }
        match entry.activation {
            Some(unit) if !activation_is_done => Ok(activation::forward_in_place(y, unit)?),
            _ => Ok(()),
        }
    }

    /// The results of the layers with these names in testing: `[n, channels, height, width]` or `[n, features]`.
    ///
    /// # Errors
    /// As [`Network::forward`], or a name that no layer has.
    pub fn features(&self, x: &Tensor, layers: &[&str]) -> Result<Vec<Tensor>> {
        let find = |name: &&str| {
            let found = self.spec.layers().iter().position(|layer| layer.name == **name);
            found.ok_or_else(|| crate::Error::Layer { layer: (*name).into(), rule: "there is no such layer".into() })
        };
        let wanted = layers.iter().map(find).collect::<Result<Vec<_>>>()?;
        let mut results = vec![None; layers.len()];
        self.walk(x, Mode::Test, &mut Tape::new(), &[], |layer, value| {
            for (result, _) in results.iter_mut().zip(&wanted).filter(|(_, wanted)| **wanted == layer) {
                let value = full(value)?;
                let value = match self.spec.shapes()[layer] {
                    Shape::Map(_) => value.permute((0, 3, 1, 2))?,
                    Shape::Vector(_) => value,
                };
                // A copy: the buffer goes back to the tape.
                *result = Some(value.force_contiguous()?);
            }
            Ok(())
        })?;
        Ok(results.into_iter().flatten().collect())
    }
}

/// In `f32`, which is what leaves a network.
fn full(value: &Tensor) -> Result<Tensor> {
    if value.dtype() == DType::F32 {
        return Ok(value.clone());
    }
    let full = Tensor::zeros(value.shape(), DType::F32, value.device())?;
    add::scale_into(value, 1.0, &full)?;
    Ok(full)
}
