//! Folds batch normalizations into the preceding convolutions for inference.

use std::collections::HashMap;

use alexnet_kernels::add;
use alexnet_kernels::batch_norm2d::fold_into_convolution;
use candle_core::{DType, Tensor};

use super::{Network, Parameter};
use crate::error::Result;
use crate::init::Init;
use crate::layer::Layer;
use crate::layers::{LayerKind, batch_norm_state};
use crate::specification::Specification;

impl Network {
    /// A network for inference that shares the tensors of this one. Batch normalizations are folded into the preceding
    /// convolutions, and auxiliary outputs are omitted.
    pub(super) fn folded(&self) -> Result<Network> {
        let convolution_of = self.foldable();
        let spec = self.folded_spec(&convolution_of)?;
        let mut folded = self.folded_parameters(&convolution_of)?;
        let value = |_, parameter: &crate::ParameterSpec, _: &_| {
            let own = || self.parameter(&parameter.name).map(|shared| shared.var.as_tensor().clone());
            let value = folded.remove(&parameter.name).or_else(own);
            Ok(value.expect("folding adds only convolution biases, which are among the folded parameters"))
        };
        let mut network = Self::with(spec, 0, &self.devices, value)?;
        (network.precision, network.gpu_math) = (self.precision, self.gpu_math);
        for parameter in &mut network.parameters {
            let Some(Parameter { var, copy: Some(copy), .. }) = self.parameter(&parameter.spec.name) else { continue };
            parameter.copy = Some(if var.id() == parameter.var.id() {
                copy.clone()
            } else {
                let narrow = Tensor::zeros(parameter.var.shape(), DType::BF16, parameter.var.device())?;
                add::scale_into(parameter.var.as_tensor(), 1.0, &narrow)?;
                narrow
            });
        }
        Ok(network)
    }

    /// Maps each batch normalization that can be folded to its convolution: one on the same device, without activation,
    /// whose result no other layer reads and the network does not return.
    fn foldable(&self) -> HashMap<usize, usize> {
        let layers = self.spec.layers();
        let readers = |layer: usize| (0..layers.len()).filter(move |&r| self.spec.inputs(r).contains(&layer)).count();
        let convolution = |(layer, entry): (usize, &Layer)| match (&entry.kind, self.spec.inputs(layer)) {
            (LayerKind::BatchNorm2d(_), &[input]) => {
                let before = &layers[input];
                let folds = matches!(before.kind, LayerKind::Conv2d(_))
                    && before.activation.is_none()
                    && before.device == entry.device
                    && readers(input) == 1;
                folds.then_some((layer, input))
            }
            _ => None,
        };
        layers.iter().enumerate().filter_map(convolution).collect()
    }

    /// The list of layers without these batch normalizations. Each convolution keeps its name and takes the activation
    /// of the batch normalization.
    fn folded_spec(&self, convolution_of: &HashMap<usize, usize>) -> Result<Specification> {
        let layers = self.spec.layers();
        let name = |layer: &usize| layers[*convolution_of.get(layer).unwrap_or(layer)].name.clone();
        let mut list = Vec::with_capacity(layers.len());
        for (index, entry) in layers.iter().enumerate().filter(|(index, _)| !convolution_of.contains_key(index)) {
            let mut layer = Layer { inputs: self.spec.inputs(index).iter().map(name).collect(), ..entry.clone() };
            if let Some((normalization, _)) = convolution_of.iter().find(|(_, convolution)| **convolution == index)
                && let LayerKind::Conv2d(convolution) = &mut layer.kind
            {
                convolution.bias.get_or_insert(Init::Constant(0.0));
                layer.activation = layers[*normalization].activation;
            }
            list.push(layer);
        }
        Specification::new(self.spec.arch(), self.spec.input_spec().clone(), list)
    }

    /// The folded weights and biases of these convolutions, by name.
    fn folded_parameters(&self, convolution_of: &HashMap<usize, usize>) -> Result<HashMap<String, Tensor>> {
        let mut folded = HashMap::new();
        for (&normalization, &convolution) in convolution_of {
            let LayerKind::BatchNorm2d(kind) = &self.spec.layers()[normalization].kind else { continue };
            let values = |layer: usize| {
                let parameters = self.parameters[self.of_layer[layer].clone()].iter();
                parameters.map(|parameter| parameter.var.as_detached_tensor()).collect::<Vec<_>>()
            };
            let (own, statistics) = (values(convolution), values(normalization));
            let statistics: Vec<&Tensor> = statistics.iter().collect();
            let (weight, bias) = fold_into_convolution(&own[0], own.get(1), &batch_norm_state(&statistics), kind.eps)?;
            let name = &self.spec.layers()[convolution].name;
            folded.insert(format!("{name}.weight"), weight);
            folded.insert(format!("{name}.bias"), bias);
        }
        Ok(folded)
    }
}
