//! A network without parameter values: the validated list of layers, their shapes, parameters and costs.

mod parts;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use alexnet_kernels::activation::Activation;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::init::Init;
use crate::input_spec::InputSpec;
use crate::layer::Layer;
use crate::layers::{LayerKind, LayerParameter};
use crate::role::Role;
use crate::shape::{Shape, elements};

pub(crate) use parts::{Parts, few_layers};

/// A network as a validated list of layers.
///
/// Serialized as the list of layers with `arch`, `input_spec` and, if there are any, the further outputs; validated
/// again when deserialized. Untrusted input is safe: more than 10,000 layers, a layer with more than 2³¹ output values
/// per image, or more than 2³⁶ parameters (256 GiB) are rejected before memory is allocated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Specification {
    arch: String,
    layers: Vec<Layer>,
    inputs: Vec<Vec<usize>>,
    shapes: Vec<Shape>,
    parameters: Vec<ParameterSpec>,
    macs: Vec<usize>,
    outputs: Vec<Output>,
    input_spec: InputSpec,
}

/// Name of the mean image in a file, which is not a parameter.
pub(crate) const MEAN_IMAGE: &str = "input.mean";

/// Maximum number of layers; ResNet-152 has about 500.
const MAX_LAYERS: usize = 10_000;
/// Maximum number of output values of one layer for one image.
const MAX_VALUES: usize = 1 << 31;
/// Maximum number of parameters.
const MAX_PARAMETERS: usize = 1 << 36;
/// Maximum number of devices.
const MAX_DEVICES: usize = 256;

/// Totals over the layers so far.
#[derive(Default)]
struct Seen {
    /// Index of each layer by name.
    names: HashMap<String, usize>,
    parameters: usize,
    macs: usize,
}

/// A network output that has a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// Index of its layer.
    pub layer: usize,
    /// Weight of its loss; the main output has weight 1.
    pub loss_weight: f32,
}

/// A parameter without its values: name, shape, role and initialization.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// The layer's name, a dot and the parameter's short name: `{layer}.weight`, `{layer}.bias`.
    pub name: String,
    /// Index of its layer.
    pub layer: usize,
    /// Weight, bias or buffer.
    pub role: Role,
    /// For example `[out_channels, in_channels / groups, kh, kw]`, `[out_features, in_features]`, or one value per
    /// output.
    pub shape: Vec<usize>,
    /// Number of inputs per output.
    pub fan_in: usize,
    /// Initial values.
    pub init: Init,
}

impl ParameterSpec {
    /// Number of values.
    pub fn elements(&self) -> usize {
        elements(&self.shape)
    }
}

impl Specification {
    /// Validates a list of layers and computes its shapes and parameters. The first layer is the input; the result of
    /// the last layer is the result of the network.
    ///
    /// # Errors
    /// [`Error::Layer`] for a duplicate name, an input that is not an earlier layer, incompatible shapes, and values
    /// beyond the limits; [`Error::InputSpec`].
    pub fn new(arch: impl Into<String>, input_spec: InputSpec, layers: Vec<Layer>) -> Result<Self> {
        input_spec.check().map_err(|rule| Error::InputSpec { rule })?;
        if let Some(layer) = layers.get(MAX_LAYERS) {
            let rule = format!("a network has at most {MAX_LAYERS} layers, but this one is beyond the limit");
            return Err(Error::Layer { layer: layer.name.clone(), rule });
        }
        let mut spec = Self {
            arch: arch.into(),
            inputs: Vec::with_capacity(layers.len()),
            shapes: Vec::with_capacity(layers.len()),
            parameters: Vec::new(),
            macs: Vec::with_capacity(layers.len()),
            outputs: Vec::new(),
            layers: Vec::new(),
            input_spec,
        };
        let mut seen = Seen::default();
        for layer in layers {
            spec.push(layer, &mut seen)?;
        }
        match spec.shapes.last() {
            Some(Shape::Vector(_)) => {
                spec.outputs.push(Output { layer: spec.layers.len() - 1, loss_weight: 1.0 });
                Ok(spec)
            }
            last => {
                let found = last.map_or("nothing".into(), |shape| format!("{:?}", shape.dims()));
                let layer = spec.layers.last().map_or_else(String::new, |layer| layer.name.clone());
                Err(Error::Layer {
                    layer,
                    rule: format!("a network ends in a vector, one value per class, not {found}"),
                })
            }
        }
    }

    /// Adds further outputs, each given by the name of a layer and the weight of its loss, such as the auxiliary
    /// classifiers of GoogLeNet. They are used in training only: inference skips layers that only they need.
    ///
    /// # Errors
    /// [`Error::Layer`] for an unknown layer, one that already is an output, a result that is not one value per class,
    /// and a weight that is negative or not finite.
    pub fn with_outputs(mut self, further: &[(&str, f32)]) -> Result<Self> {
        for &(name, loss_weight) in further {
            let wrong = |rule: String| Err(Error::Layer { layer: name.into(), rule });
            let Some(layer) = self.layers.iter().position(|layer| layer.name == name) else {
                return wrong("an output is the result of a layer, but there is no such layer".into());
            };
            let classes = Shape::Vector(self.classes());
            if self.outputs.iter().any(|output| output.layer == layer) {
                return wrong("a layer can be an output only once, but this one is listed twice".into());
            } else if self.shapes[layer] != classes {
                return wrong(format!("an output has one value per class, {classes:?}, not {:?}", self.shapes[layer]));
            } else if !(loss_weight >= 0.0 && loss_weight.is_finite()) {
                return wrong(format!("the weight of a loss must be 0 or more, but is {loss_weight}"));
            }
            self.outputs.push(Output { layer, loss_weight });
        }
        Ok(self)
    }

    fn push(&mut self, layer: Layer, seen: &mut Seen) -> Result<()> {
        let wrong = |rule: String| Error::Layer { layer: layer.name.clone(), rule };
        let index = self.layers.len();
        if seen.names.contains_key(&layer.name) {
            return Err(wrong("another layer has the same name".into()));
        }
        if layer.device >= MAX_DEVICES {
            return Err(wrong(format!("device is at most {}, but is {}", MAX_DEVICES - 1, layer.device)));
        }
        let is_input = matches!(layer.kind, LayerKind::Input(_));
        if is_input != (index == 0) {
            return Err(wrong("a network has one input, its first layer".into()));
        }
        let find = |name: &String| {
            seen.names.get(name).copied().ok_or_else(|| wrong(format!("its input {name:?} is not an earlier layer")))
        };
        let inputs = match &layer.inputs[..] {
            [] if is_input => Vec::new(),
            [] => vec![index - 1],
            names => names.iter().map(find).collect::<Result<_>>()?,
        };
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.shapes[i]).collect();
        let ops = layer.kind.ops();
        if shapes.len() > 1 && !ops.reads_many() {
            return Err(wrong(format!("{} reads one layer, not {}", ops.name(), shapes.len())));
        }
        let shape = ops.shape(&shapes).map_err(wrong)?;
        layer.activation.map_or(Ok(()), Activation::check).map_err(|error| wrong(error.to_string()))?;
        if shape.elements() > MAX_VALUES {
            return Err(wrong(format!(
                "a layer outputs at most {MAX_VALUES} values for an image, but this one outputs {shape:?}"
            )));
        }
        for LayerParameter { name, role, shape, fan_in, init } in ops.parameters(&shapes) {
            let name = format!("{}.{name}", layer.name);
            if name == MEAN_IMAGE || name.starts_with("velocity.") {
                return Err(wrong(format!(
                    "{MEAN_IMAGE} and velocity.… are reserved tensor names, but a parameter is {name}"
                )));
            }
            let parameter = ParameterSpec { name, layer: index, role, shape, fan_in, init };
            seen.parameters = seen.parameters.saturating_add(parameter.elements());
            self.parameters.push(parameter);
        }
        if seen.parameters > MAX_PARAMETERS {
            let found = seen.parameters;
            return Err(wrong(format!(
                "a network has at most {MAX_PARAMETERS} parameters, but up to here it has {found}"
            )));
        }
        let macs = ops.macs(&shapes, shape);
        let Some(all) = seen.macs.checked_add(macs) else {
            return Err(wrong("the number of multiply-adds of a network must fit in 64 bits".into()));
        };
        seen.macs = all;
        self.macs.push(macs);
        seen.names.insert(layer.name.clone(), index);
        self.inputs.push(inputs);
        self.shapes.push(shape);
        self.layers.push(layer);
        Ok(())
    }

    /// The name of the variant or custom network.
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// The layers; each comes after its inputs.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Indices of the input layers of layer `layer`.
    pub fn inputs(&self, layer: usize) -> &[usize] {
        &self.inputs[layer]
    }

    /// Output shape of each layer for one image.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// All parameters and buffers, in the order of the layers; within a layer, in the order of its kind: weight before
    /// bias.
    pub fn parameters(&self) -> &[ParameterSpec] {
        &self.parameters
    }

    /// The outputs: first the main output, the result of the last layer, then auxiliary outputs for training.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The preprocessing the network expects.
    pub fn input_spec(&self) -> &InputSpec {
        &self.input_spec
    }

    /// Channels, height and width of an input image.
    pub fn input_size(&self) -> [usize; 3] {
        match self.shapes.first() {
            Some(Shape::Map(dims)) => *dims,
            _ => [0; 3],
        }
    }

    /// Number of classes: the values of the main output.
    pub fn classes(&self) -> usize {
        self.shapes.last().map_or(0, |shape| shape.elements())
    }

    /// The number of trainable values: weights and biases, without buffers.
    pub fn parameter_count(&self) -> usize {
        (0..self.layers.len()).map(|layer| self.layer_parameter_count(layer)).sum()
    }

    /// Like [`Specification::parameter_count`], for one layer.
    pub fn layer_parameter_count(&self, layer: usize) -> usize {
        self.parameters.iter().filter(|p| p.layer == layer && p.role.is_trained()).map(ParameterSpec::elements).sum()
    }

    /// Multiply-adds of one layer for one image, without biases.
    pub fn layer_macs(&self, layer: usize) -> usize {
        self.macs[layer]
    }

    /// Multiply-adds for one image.
    pub fn macs(&self) -> usize {
        self.macs.iter().sum()
    }
}
