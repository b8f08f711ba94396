//! A network without its numbers: the checked list of layers, their shapes, parameters and costs.

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

/// A network as a list of layers, checked.
///
/// It is (de)serialized as its list, with `arch`, `input_spec` and, where there are any, further outputs, and checked again when
/// it is read. Lists of any origin may be read: one of more than 10,000 layers, of layers that give more than 2³¹ values for an
/// image, or of more than 2³⁶ parameters (256 GiB) is refused before memory is taken.
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

/// The tensor of a file that is the mean image, and no parameter.
pub(crate) const MEAN_IMAGE: &str = "input.mean";

/// Layers of a network; ResNet-152 has about 500.
const MAX_LAYERS: usize = 10_000;
/// Values of one layer for one image.
const MAX_VALUES: usize = 1 << 31;
/// Values of all parameters.
const MAX_PARAMETERS: usize = 1 << 36;
/// Devices that layers may be on.
const MAX_DEVICES: usize = 256;

/// What the layers so far come to.
#[derive(Default)]
struct Seen {
    /// Where each is.
    names: HashMap<String, usize>,
    parameters: usize,
    macs: usize,
}

/// A result of a network that has a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// Index of its layer.
    pub layer: usize,
    /// What its loss counts beside that of the main output, which counts 1.
    pub loss_weight: f32,
}

/// A parameter without its values.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// The layer's name, a dot, and the parameter's own: `{layer}.weight`, `{layer}.bias`.
    pub name: String,
    /// Index of its layer.
    pub layer: usize,
    /// Weight, bias or buffer.
    pub role: Role,
    /// Such as `[out_channels, in_channels / groups, kh, kw]`, `[out_features, in_features]`, or one value per output.
    pub shape: Vec<usize>,
    /// Inputs that one output sees.
    pub fan_in: usize,
    /// Where it starts.
    pub init: Init,
}

impl ParameterSpec {
    /// How many values.
    pub fn elements(&self) -> usize {
        elements(&self.shape)
    }
}

impl Specification {
    /// Checks a list of layers and works out its shapes and parameters. The first layer is the input; the last one's
    /// result is the network's.
    ///
    /// # Errors
    /// [`Error::Layer`] for a name that occurs twice, an input that is not an earlier layer, shapes that do not fit, and numbers
    /// beyond the limits; [`Error::InputSpec`].
    pub fn new(arch: impl Into<String>, input_spec: InputSpec, layers: Vec<Layer>) -> Result<Self> {
        input_spec.check().map_err(|rule| Error::InputSpec { rule })?;
        if let Some(layer) = layers.get(MAX_LAYERS) {
            let rule = format!("a network has at most {MAX_LAYERS} layers, but this is one more");
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

    /// The same with further outputs, each the name of a layer and the weight of its loss, such as the auxiliary classifiers of
    /// GoogLeNet. They are for training: what only they need is left out of inference.
    ///
    /// # Errors
    /// [`Error::Layer`] for a name that no layer has, one that is an output already, a result that is not one value per class,
    /// and a weight that is negative or not a number.
    pub fn with_outputs(mut self, further: &[(&str, f32)]) -> Result<Self> {
        for &(name, loss_weight) in further {
            let wrong = |rule: String| Err(Error::Layer { layer: name.into(), rule });
            let Some(layer) = self.layers.iter().position(|layer| layer.name == name) else {
                return wrong("an output is the result of a layer, but there is no such layer".into());
            };
            let classes = Shape::Vector(self.classes());
            if self.outputs.iter().any(|output| output.layer == layer) {
                return wrong("each layer is one output at the most, but this one is said twice".into());
            } else if self.shapes[layer] != classes {
                return wrong(format!("an output has one value per class, {classes:?}, not {:?}", self.shapes[layer]));
            } else if !(loss_weight >= 0.0 && loss_weight.is_finite()) {
                return wrong(format!("the weight of a loss is 0 or more, but is {loss_weight}"));
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
                "a layer gives at most {MAX_VALUES} values for an image, but this one {shape:?}"
            )));
        }
        for LayerParameter { name, role, shape, fan_in, init } in ops.parameters(&shapes) {
            let name = format!("{}.{name}", layer.name);
            if name == MEAN_IMAGE || name.starts_with("velocity.") {
                return Err(wrong(format!(
                    "{MEAN_IMAGE} and velocity.… are other tensors of a file, but a parameter is {name}"
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
            return Err(wrong("the multiply-adds of a network must be a number of 64 bits".into()));
        };
        seen.macs = all;
        self.macs.push(macs);
        seen.names.insert(layer.name.clone(), index);
        self.inputs.push(inputs);
        self.shapes.push(shape);
        self.layers.push(layer);
        Ok(())
    }

    /// The name of the variant, or of whatever network it is.
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// The layers, each after those it reads.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Indices of the layers that the `layer`-th reads.
    pub fn inputs(&self, layer: usize) -> &[usize] {
        &self.inputs[layer]
    }

    /// What each layer gives for one image.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// All parameters and buffers, in the order of the layers and, within each, that of its kind: the weight before the bias.
    pub fn parameters(&self) -> &[ParameterSpec] {
        &self.parameters
    }

    /// What the network gives: the main output, which is the last layer's result, and further ones that help in training.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// What the network expects of its input.
    pub fn input_spec(&self) -> &InputSpec {
        &self.input_spec
    }

    /// Channels, height and width of an image.
    pub fn input_size(&self) -> [usize; 3] {
        match self.shapes.first() {
            Some(Shape::Map(dims)) => *dims,
            _ => [0; 3],
        }
    }

    /// Values of the result: the classes.
    pub fn classes(&self) -> usize {
        self.shapes.last().map_or(0, |shape| shape.elements())
    }

    /// The number of values that can be trained: weights and biases, without buffers.
    pub fn parameter_count(&self) -> usize {
        (0..self.layers.len()).map(|layer| self.layer_parameter_count(layer)).sum()
    }

    /// As [`Specification::parameter_count`], of one layer.
    pub fn layer_parameter_count(&self, layer: usize) -> usize {
        self.parameters.iter().filter(|p| p.layer == layer && p.role.is_trained()).map(ParameterSpec::elements).sum()
    }

    /// Multiply-adds of one layer for one image, biases not counted.
    pub fn layer_macs(&self, layer: usize) -> usize {
        self.macs[layer]
    }

    /// Multiply-adds for one image.
    pub fn macs(&self) -> usize {
        self.macs.iter().sum()
    }
}
