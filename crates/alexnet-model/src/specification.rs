//! A network without its numbers: the checked list of layers, their shapes, parameters and costs.

use alexnet_kernels::lrn::LrnParams;

use crate::error::{Error, Result};
use crate::init::Init;
use crate::input_spec::InputSpec;
use crate::layer::{Layer, LayerKind, Shape};

/// A network as a list of layers, checked.
#[derive(Clone, Debug)]
pub struct Specification {
    arch: String,
    layers: Vec<Layer>,
    inputs: Vec<Vec<usize>>,
    shapes: Vec<Shape>,
    parameters: Vec<ParameterSpec>,
    input_spec: InputSpec,
}

/// What a parameter is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// What inputs are multiplied by.
    Weight,
    /// What is added.
    Bias,
}

/// A parameter without its values.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// `{layer}.weight` or `{layer}.bias`.
    pub name: String,
    /// Index of its layer.
    pub layer: usize,
    /// Weight or bias.
    pub role: Role,
    /// `[out_channels, in_channels / groups, kh, kw]`, `[out_features, in_features]`, or one value per output.
    pub shape: Vec<usize>,
    /// Inputs that one output sees.
    pub fan_in: usize,
    /// Where it starts.
    pub init: Init,
}

impl ParameterSpec {
    /// How many values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Specification {
    /// Checks a list of layers and works out its shapes and parameters. The first layer is the input; the last one's
    /// result is the network's.
    ///
    /// # Errors
    /// [`Error::Layer`] for a name that occurs twice, an input that is not an earlier layer, or shapes that do not fit.
    pub fn new(arch: impl Into<String>, input_spec: InputSpec, layers: Vec<Layer>) -> Result<Self> {
        let mut spec = Self {
            arch: arch.into(),
            inputs: Vec::with_capacity(layers.len()),
            shapes: Vec::with_capacity(layers.len()),
            parameters: Vec::new(),
            layers: Vec::new(),
            input_spec,
        };
        for layer in layers {
            spec.push(layer)?;
        }
        match spec.shapes.last() {
            Some(Shape::Vector(_)) => Ok(spec),
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

    fn push(&mut self, layer: Layer) -> Result<()> {
        let wrong = |rule: String| Error::Layer { layer: layer.name.clone(), rule };
        let index = self.layers.len();
        if self.layers.iter().any(|other| other.name == layer.name) {
            return Err(wrong("another layer has the same name".into()));
        }
        let is_input = matches!(layer.kind, LayerKind::Input { .. });
        if is_input != (index == 0) {
            return Err(wrong("a network has one input, its first layer".into()));
        }
        let find = |name: &String| {
            let found = self.layers.iter().position(|other| other.name == *name);
            found.ok_or_else(|| wrong(format!("its input {name:?} is not an earlier layer")))
        };
        let inputs = match &layer.inputs[..] {
            [] if is_input => Vec::new(),
            [] => vec![index - 1],
            names => names.iter().map(find).collect::<Result<_>>()?,
        };
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.shapes[i]).collect();
        if shapes.len() > 1 && !matches!(layer.kind, LayerKind::Concat | LayerKind::Add) {
            return Err(wrong(format!("{} reads one layer, not {}", layer.kind.name(), shapes.len())));
        }
        let shape = output_shape(&layer.kind, &shapes).map_err(wrong)?;
        self.parameters.extend(parameters_of(&layer, index, &shapes));
        self.inputs.push(inputs);
        self.shapes.push(shape);
        self.layers.push(layer);
        Ok(())
    }

    /// The name of the variant.
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

    /// All parameters, in the order of the layers, the weight before the bias.
    pub fn parameters(&self) -> &[ParameterSpec] {
        &self.parameters
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

    /// The number of trained values, biases included.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(ParameterSpec::elements).sum()
    }

    /// Trained values of one layer.
    pub fn layer_parameter_count(&self, layer: usize) -> usize {
        self.parameters.iter().filter(|p| p.layer == layer).map(ParameterSpec::elements).sum()
    }

    /// Multiply-adds of one layer for one image, biases not counted.
    pub fn layer_macs(&self, layer: usize) -> usize {
        let weight = self.parameters.iter().find(|p| p.layer == layer && p.role == Role::Weight);
        weight.map_or(0, |weight| self.shapes[layer].elements() * weight.fan_in)
    }

    /// Multiply-adds for one image.
    pub fn macs(&self) -> usize {
        (0..self.layers.len()).map(|layer| self.layer_macs(layer)).sum()
    }
}

/// The shape that `kind` gives to its inputs, or the rule they break.
fn output_shape(kind: &LayerKind, inputs: &[Shape]) -> std::result::Result<Shape, String> {
    let map = || match inputs {
        [Shape::Map(dims)] => Ok(*dims),
        _ => Err(format!("{} reads a map of channels, height and width, not {inputs:?}", kind.name())),
    };
    match kind {
        LayerKind::Input { channels, size: [h, w] } => Ok(Shape::Map([*channels, *h, *w])),
        LayerKind::Conv2d(conv) => {
            let ([c, h, w], groups) = (map()?, conv.params.groups);
            if groups == 0 || c % groups != 0 || conv.out_channels % groups != 0 {
                return Err(format!("{groups} groups do not divide {c} and {} channels", conv.out_channels));
            }
            let [oh, ow] = conv.params.output_size([h, w], conv.kernel_size).map_err(|e| e.to_string())?;
            Ok(Shape::Map([conv.out_channels, oh, ow]))
        }
        LayerKind::Linear(linear) => match inputs {
            [Shape::Vector(_)] => Ok(Shape::Vector(linear.out_features)),
            _ => Err(format!("linear reads a vector, not {inputs:?}; flatten it first")),
        },
        LayerKind::MaxPool2d(params) | LayerKind::AvgPool2d(params) => {
            let [c, h, w] = map()?;
            let [oh, ow] = params.output_size(kind.name(), [h, w]).map_err(|e| e.to_string())?;
            Ok(Shape::Map([c, oh, ow]))
        }
        LayerKind::Lrn(LrnParams { groups, .. }) => match map()? {
            [c, ..] if *groups == 0 || c % groups != 0 => Err(format!("{groups} groups do not divide {c} channels")),
            dims => Ok(Shape::Map(dims)),
        },
        LayerKind::LrnSameMap(_) => map().map(Shape::Map),
        LayerKind::Flatten => map().map(|dims| Shape::Vector(dims.iter().product())),
        LayerKind::Dropout { .. } => match inputs {
            [shape] => Ok(*shape),
            _ => Err("dropout reads one layer".into()),
        },
        LayerKind::Concat => inputs[1..].iter().try_fold(inputs[0], |all, next| match (all, *next) {
            (Shape::Map([a, h, w]), Shape::Map([b, h2, w2])) if (h, w) == (h2, w2) => Ok(Shape::Map([a + b, h, w])),
            (Shape::Vector(a), Shape::Vector(b)) => Ok(Shape::Vector(a + b)),
            _ => Err(format!("concat reads maps of one size or vectors, not {inputs:?}")),
        }),
        LayerKind::Add => match inputs.iter().all(|shape| *shape == inputs[0]) {
            true => Ok(inputs[0]),
            false => Err(format!("add reads layers of one shape, not {inputs:?}")),
        },
    }
}

fn parameters_of(layer: &Layer, index: usize, inputs: &[Shape]) -> Vec<ParameterSpec> {
    let (shape, outputs, weight, bias) = match (&layer.kind, inputs) {
        (LayerKind::Conv2d(conv), [Shape::Map([channels, ..])]) => {
            let [kh, kw] = conv.kernel_size;
            let shape = vec![conv.out_channels, channels / conv.params.groups, kh, kw];
            (shape, conv.out_channels, conv.weight, conv.bias)
        }
        (LayerKind::Linear(linear), [Shape::Vector(features)]) => {
            (vec![linear.out_features, *features], linear.out_features, linear.weight, linear.bias)
        }
        _ => return Vec::new(),
    };
    let fan_in = shape[1..].iter().product();
    let parameter = |suffix: &str, role, shape, init| ParameterSpec {
        name: format!("{}.{suffix}", layer.name),
        layer: index,
        role,
        shape,
        fan_in,
        init,
    };
    let mut parameters = vec![parameter("weight", Role::Weight, shape, weight)];
    parameters.extend(bias.map(|init| parameter("bias", Role::Bias, vec![outputs], init)));
    parameters
}
