//! Caffe's `bvlc_alexnet`.
//!
//! `models/bvlc_alexnet/train_val.prototxt` in BVLC/caffe (E. Shelhamer). Differences from the paper: 227×227 inputs in
//! BGR, one tower whose normalizations span all channels with k = 1, fc6 and fc7 from N(0, 0.005²), biases of 0.1 where
//! the paper has 1, dropout scaled in training mode.

use alexnet_kernels::Pool2dParams;
use alexnet_kernels::activation::Activation::Relu;
use alexnet_kernels::dropout::DropoutScaling;
use alexnet_kernels::lrn::LrnParams;

use crate::error::Result;
use crate::input_spec::InputSpec;
use crate::layer::Layer;
use crate::layers::{Conv2d, Dropout, Flatten, Input, Linear, Lrn, MaxPool2d};
use crate::specification::Specification;

/// Caffe's AlexNet, for any number of classes. 60,965,224 parameters for 1000.
///
/// # Errors
/// None for a positive number of classes.
pub fn alexnet_caffe(classes: usize) -> Result<Specification> {
    let layers = stages(
        |stage| vec![Layer::new(format!("norm{stage}"), lrn()), Layer::new(format!("pool{stage}"), pool())],
        0.1,
        classes,
    );
    Specification::new("alexnet-caffe", InputSpec::CAFFE, layers)
}

pub(super) fn lrn() -> Lrn {
    Lrn(LrnParams::CAFFE)
}

pub(super) fn pool() -> MaxPool2d {
    MaxPool2d(Pool2dParams::new(3, 2).with_ceil())
}

/// The layers of both Caffe networks; they differ in the layers after the ReLU of the first two stages and in one
/// initial bias.
pub(super) fn stages(after_relu: impl Fn(usize) -> Vec<Layer>, bias: f32, classes: usize) -> Vec<Layer> {
    let dropout = || Dropout { probability: 0.5, scaling: DropoutScaling::Inverted };
    let conv = |name, conv| Layer::new(name, conv).with(Relu);
    let linear = |name, linear| Layer::new(name, linear);
    let mut layers = vec![
        Layer::new("data", Input { channels: 3, size: [227, 227] }),
        conv("conv1", Conv2d::new(96, 11, 0.01, 0.0).stride(4)),
    ];
    layers.extend(after_relu(1));
    layers.push(conv("conv2", Conv2d::new(256, 5, 0.01, bias).padding(2).groups(2)));
    layers.extend(after_relu(2));
    layers.extend([
        conv("conv3", Conv2d::new(384, 3, 0.01, 0.0).padding(1)),
        conv("conv4", Conv2d::new(384, 3, 0.01, bias).padding(1).groups(2)),
        conv("conv5", Conv2d::new(256, 3, 0.01, bias).padding(1).groups(2)),
        Layer::new("pool5", pool()),
        Layer::new("flatten", Flatten),
        linear("fc6", Linear::new(4096, 0.005, bias)).with(Relu),
        Layer::new("drop6", dropout()),
        linear("fc7", Linear::new(4096, 0.005, bias)).with(Relu),
        Layer::new("drop7", dropout()),
        linear("fc8", Linear::new(classes, 0.01, 0.0)),
    ]);
    layers
}
