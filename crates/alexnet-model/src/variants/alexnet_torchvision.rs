//! torchvision's `alexnet`.
//!
//! `torchvision/models/alexnet.py`, after *One weird trick*: one tower without normalization, symmetric padding in
//! conv1, dropout before fc6 and fc7 instead of after them, PyTorch's default initialization. Layers have torchvision's
//! names, so its weights load without conversion and PyTorch loads ours. Its adaptive average pooling to 6×6 is the
//! identity for inputs of 224 pixels and is omitted.

use alexnet_kernels::Pool2dParams;
use alexnet_kernels::activation::Activation::Relu;
use alexnet_kernels::dropout::DropoutScaling;

use crate::error::Result;
use crate::input_spec::InputSpec;
use crate::layer::Layer;
use crate::layers::{Conv2d, Dropout, Flatten, Input, Linear, MaxPool2d};
use crate::specification::Specification;

/// torchvision's AlexNet, for any number of classes. 61,100,840 parameters for 1000.
///
/// # Errors
/// None for a positive number of classes.
pub fn alexnet_torchvision(classes: usize) -> Result<Specification> {
    let pool = || MaxPool2d(Pool2dParams::new(3, 2));
    let dropout = || Dropout { probability: 0.5, scaling: DropoutScaling::Inverted };
    let conv = |name, out, kernel, padding| {
        let conv = Conv2d::new(out, kernel, 0.0, 0.0).padding(padding).pytorch_init();
        Layer::new(name, conv).with(Relu)
    };
    let linear = |name, out| Layer::new(name, Linear::new(out, 0.0, 0.0).pytorch_init());
    let conv1 = Conv2d::new(64, 11, 0.0, 0.0).stride(4).padding(2).pytorch_init();
    let layers = vec![
        Layer::new("data", Input { channels: 3, size: [224, 224] }),
        Layer::new("features.0", conv1).with(Relu),
        Layer::new("features.2", pool()),
        conv("features.3", 192, 5, 2),
        Layer::new("features.5", pool()),
        conv("features.6", 384, 3, 1),
        conv("features.8", 256, 3, 1),
        conv("features.10", 256, 3, 1),
        Layer::new("features.12", pool()),
        Layer::new("flatten", Flatten),
        Layer::new("classifier.0", dropout()),
        linear("classifier.1", 4096).with(Relu),
        Layer::new("classifier.3", dropout()),
        linear("classifier.4", 4096).with(Relu),
        linear("classifier.6", classes),
    ];
    Specification::new("alexnet-torchvision", InputSpec::TORCHVISION, layers)
}
