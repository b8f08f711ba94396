//! A network: its layers, parameter values, forward and backward passes.

mod autograd;
mod backward;
mod fold;
mod forward;
mod inference;
mod memory;
mod plan;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::atomic::AtomicU32;

use alexnet_kernels::{GpuMath, add, takes_bf16};
use candle_core::{DType, Device, Tensor, Var};

use crate::error::{Error, Result};
use crate::precision::Precision;
use crate::specification::{ParameterSpec, Specification};

pub use backward::Gradient;
pub use inference::Inference;

/// A parameter or buffer with its values.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Name, shape and role.
    pub spec: ParameterSpec,
    /// The values. In-place updates take effect in the network.
    pub var: Var,
    /// In mixed precision, the bfloat16 copy used in computations. After changing the values, update the copy as well
    /// ([`alexnet_kernels::sgd::update_with_copy`], [`Network::refresh_copies`]).
    pub copy: Option<Tensor>,
}

/// A network with parameter values.
///
/// There are two ways to run it. [`Network::forward`] and [`Network::backward`] process the layers directly: they keep
/// only tensors that backward needs, reuse buffers from step to step, and pass on each parameter's gradient as soon as
/// it is complete. As a [`candle_nn::ModuleT`], the same network works with Candle's autograd like any other module.
/// Both use the same kernels.
#[derive(Debug)]
pub struct Network {
    spec: Specification,
    parameters: Vec<Parameter>,
    devices: Vec<Device>,
    precision: Precision,
    gpu_math: GpuMath,
    /// The parameter indices of each layer.
    of_layer: Vec<Range<usize>>,
    /// Whether backward needs the layer's result.
    kept: Vec<bool>,
    /// Whether the gradient of the layer's result is needed: the layer or one of its predecessors has trained
    /// parameters.
    has_gradient: Vec<bool>,
    /// Whether each parameter is trained.
    trained: Vec<bool>,
    /// Seed and step counter for training passes as a `ModuleT`, whose interface has no step.
    module_seed: u64,
    module_step: AtomicU32,
}

impl Network {
    /// A network with initial values drawn from `seed`. The layers' device numbers are indices into `devices`; all
    /// published variants use one device.
    ///
    /// # Errors
    /// A layer with a device number beyond `devices`; a GPU that was opened twice; a device that is out of memory.
    pub fn new(spec: Specification, seed: u64, devices: &[Device]) -> Result<Self> {
        let values = |index: usize, parameter: &ParameterSpec, device: &Device| {
            let values = parameter.init.values(parameter.elements(), parameter.fan_in, seed, index as u32);
            Ok(Tensor::from_vec(values, parameter.shape.as_slice(), device)?)
        };
        Self::with(spec, seed, devices, values)
    }

    /// A network whose parameters come from `value(index, parameter, device)`.
    pub(crate) fn with(
        spec: Specification,
        seed: u64,
        devices: &[Device],
        mut value: impl FnMut(usize, &ParameterSpec, &Device) -> Result<Tensor>,
    ) -> Result<Self> {
        if let Some(layer) = spec.layers().iter().find(|layer| layer.device >= devices.len()) {
            let rule = format!("it is on device {}, but {} were given", layer.device, devices.len());
            return Err(Error::Layer { layer: layer.name.clone(), rule });
        }
        let twice = |first: &usize, second: &usize| {
            let (a, b) = (&devices[*first], &devices[*second]);
            a.location() == b.location() && !a.same_device(b)
        };
        let all = 0..devices.len();
        if let Some((first, second)) = all.flat_map(|b| (0..b).map(move |a| (a, b))).find(|(a, b)| twice(a, b)) {
            return Err(Error::SameGpu { first, second });
        }
        let layers = spec.layers().len();
        let mut parameters = Vec::with_capacity(spec.parameters().len());
        for (index, parameter) in spec.parameters().iter().enumerate() {
            let device = &devices[spec.layers()[parameter.layer].device];
            let var = Var::from_tensor(&value(index, parameter, device)?)?;
            parameters.push(Parameter { spec: parameter.clone(), var, copy: None });
        }
        let before = |layer: usize| spec.parameters().partition_point(|parameter| parameter.layer < layer);
        let of_layer = (0..layers).map(|layer| before(layer)..before(layer + 1)).collect();
        let mut network = Self {
            spec,
            parameters,
            devices: devices.to_vec(),
            precision: Precision::F32,
            gpu_math: GpuMath::default(),
            of_layer,
            kept: Vec::new(),
            has_gradient: Vec::new(),
            trained: Vec::new(),
            module_seed: seed,
            module_step: AtomicU32::new(0),
        };
        network.train_only(|_, _| true);
        Ok(network)
    }

    /// Trains only the parameters for which `trained(index, parameter)` returns true, and freezes the others. By
    /// default, all parameters except buffers are trained. [`Network::backward`] computes gradients of trained
    /// parameters only and stops where no earlier layer is trained, which saves time and memory. The remaining
    /// gradients do not change. As a [`candle_nn::ModuleT`], this has no effect: Candle's optimizer selects the trained
    /// variables.
    ///
    /// Call it between steps, not between forward and backward: the tape of an earlier forward pass may lack tensors
    /// that backward then needs.
    pub fn train_only(&mut self, trained: impl Fn(usize, &ParameterSpec) -> bool) {
        let parameters = self.parameters.iter().enumerate();
        let trained = |(index, parameter): (usize, &Parameter)| {
            parameter.spec.role.is_trained() && trained(index, &parameter.spec)
        };
        self.trained = parameters.map(trained).collect();
        let layers = self.spec.layers();
        self.has_gradient = (0..layers.len()).map(|layer| self.trained_of(layer).next().is_some()).collect();
        self.kept = vec![false; layers.len()];
        for (index, layer) in layers.iter().enumerate() {
            let inputs = self.spec.inputs(index);
            self.has_gradient[index] |= inputs.iter().any(|&input| self.has_gradient[input]);
            if !self.has_gradient[index] {
                continue;
            }
            self.kept[index] |= layer.activation.is_some_and(|activation| !activation.needs_input());
            let reads_again = layer.kind.ops().keeps_inputs();
            inputs.iter().for_each(|&input| self.kept[input] |= reads_again);
        }
    }

    /// Indices of a layer's trained parameters.
    fn trained_of(&self, layer: usize) -> impl Iterator<Item = usize> {
        self.of_layer[layer].clone().filter(|&index| self.trained[index])
    }

    /// The list of layers.
    pub fn spec(&self) -> &Specification {
        &self.spec
    }

    /// All parameters and buffers, in the order of the layers.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameter or buffer with this name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.spec.name == name)
    }

    /// All parameters, without buffers, as Candle variables for Candle's optimizers.
    pub fn vars(&self) -> Vec<Var> {
        let trained = self.parameters.iter().filter(|parameter| parameter.spec.role.is_trained());
        trained.map(|parameter| parameter.var.clone()).collect()
    }

    /// The device for the images.
    pub fn input_device(&self) -> &Device {
        self.device_of(0)
    }

    /// Whether all layers are on devices with full `bf16` support.
    fn takes_bf16(&self) -> bool {
        (0..self.spec.layers().len()).all(|layer| takes_bf16(self.device_of(layer)))
    }

    /// The type of a layer's activations.
    fn activations(&self, layer: usize) -> DType {
        self.precision.activations(self.device_of(layer))
    }

    fn device_of(&self, layer: usize) -> &Device {
        &self.devices[self.spec.layers()[layer].device]
    }

    /// The precision of the network.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Sets the precision. As a [`candle_nn::ModuleT`], the network always computes in `f32`.
    ///
    /// # Errors
    /// A device that is out of memory; [`Precision::Bf16`] if some layers are on the CPU and others are not.
    pub fn set_precision(&mut self, precision: Precision) -> Result<()> {
        let takes_bf16 = self.takes_bf16();
        let other = |layer: &usize| alexnet_kernels::takes_bf16(self.device_of(*layer)) != takes_bf16;
        let mut layers = 0..self.spec.layers().len();
        if let Some(layer) = layers.find(|layer| precision == Precision::Bf16 && other(layer)) {
            let rule =
                "bf16 requires all layers on GPUs or all on the CPU, but this one is on a GPU and others are not";
            return Err(Error::Layer { layer: self.spec.layers()[layer].name.clone(), rule: rule.into() });
        }
        // If a copy cannot be allocated, the network stays unchanged.
        let copy = |(index, parameter): (usize, &Parameter)| {
            let layer = parameter.spec.layer;
            let kind = &self.spec.layers()[layer].kind;
            let narrow = kind.ops().takes_bf16(index - self.of_layer[layer].start, takes_bf16);
            if precision == Precision::F32 || !narrow {
                return Ok(None);
            }
            let copy = Tensor::zeros(parameter.var.shape(), DType::BF16, parameter.var.device())?;
            add::scale_into(parameter.var.as_tensor(), 1.0, &copy)?;
            Ok(Some(copy))
        };
        let copies = self.parameters.iter().enumerate().map(copy).collect::<Result<Vec<_>>>()?;
        self.parameters.iter_mut().zip(copies).for_each(|(parameter, copy)| parameter.copy = copy);
        self.precision = precision;
        Ok(())
    }

    /// The numerical options for matrix products and convolutions on GPUs.
    pub fn gpu_math(&self) -> GpuMath {
        self.gpu_math
    }

    /// Sets the numerical options for matrix products and convolutions on GPUs.
    pub fn set_gpu_math(&mut self, gpu_math: GpuMath) {
        self.gpu_math = gpu_math;
    }

    /// Updates the copies of [`Precision::Bf16`] from the parameter values.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn refresh_copies(&self) -> Result<()> {
        for parameter in &self.parameters {
            if let Some(copy) = &parameter.copy {
                add::scale_into(parameter.var.as_tensor(), 1.0, copy)?;
            }
        }
        Ok(())
    }

    /// The parameter tensors of a layer, as used in computations.
    fn values_of(&self, layer: usize) -> Vec<&Tensor> {
        let parameters = self.parameters[self.of_layer[layer].clone()].iter();
        parameters.map(|parameter| parameter.copy.as_ref().unwrap_or(parameter.var.as_tensor())).collect()
    }

    /// The number of images in `x`; an error if its shape is wrong.
    fn batch_of(&self, x: &Tensor) -> Result<usize> {
        let expected = self.spec.input_size();
        match x.dims() {
            [n, dims @ ..] if dims == expected => Ok(*n),
            found => Err(Error::Input { expected, found: found.to_vec() }),
        }
    }
}
