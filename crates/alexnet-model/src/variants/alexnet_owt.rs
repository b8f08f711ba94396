//! One tower, with normalization.
//!
//! `layers/layers-imagenet-1gpu.cfg` in akrizhevsky/cuda-convnet2, the network of A. Krizhevsky, *One weird trick for
//! parallelizing convolutional neural networks*, 2014: widths 64-192-384-256-256 without groups, the first
//! normalization before the ReLU as in 2012, initial biases of −7 in fc8, dropout scaled in test mode (`dropout2`).

use alexnet_kernels::Pool2dParams;
use alexnet_kernels::activation::Activation::Relu;
use alexnet_kernels::conv2d::Padding;
use alexnet_kernels::dropout::DropoutScaling;
use alexnet_kernels::lrn::LrnParams;

use crate::error::Result;
use crate::input_spec::InputSpec;
use crate::layer::Layer;
use crate::layers::{Conv2d, Dropout, Flatten, Input, Linear, Lrn, MaxPool2d};
use crate::specification::Specification;

/// cuda-convnet2's network for one GPU, for any number of classes. 61,100,840 parameters for 1000.
///
/// # Errors
/// None for a positive number of classes.
pub fn alexnet_owt(classes: usize) -> Result<Specification> {
    let lrn = || Lrn(LrnParams::ALEXNET_2012);
    let pool = || MaxPool2d(Pool2dParams::new(3, 2).with_ceil());
    let dropout = || Dropout { probability: 0.5, scaling: DropoutScaling::AtTest };
    let mut conv1 = Conv2d::new(64, 11, 0.01, 0.0).stride(4);
    conv1.padding = Padding::symmetric(0).with_extra(3);
    let layers = vec![
        Layer::new("data", Input { channels: 3, size: [224, 224] }),
        Layer::new("conv1", conv1),
        Layer::new("rnorm1", lrn()),
        Layer::new("pool1", pool()).with(Relu),
        Layer::new("conv2", Conv2d::new(192, 5, 0.01, 1.0).padding(2)).with(Relu),
        Layer::new("rnorm2", lrn()),
        Layer::new("pool2", pool()),
        Layer::new("conv3", Conv2d::new(384, 3, 0.03, 0.0).padding(1)).with(Relu),
        Layer::new("conv4", Conv2d::new(256, 3, 0.03, 1.0).padding(1)).with(Relu),
        Layer::new("conv5", Conv2d::new(256, 3, 0.03, 1.0).padding(1)),
        Layer::new("pool5", pool()).with(Relu),
        Layer::new("flatten", Flatten),
        Layer::new("fc6", Linear::new(4096, 0.01, 1.0)).with(Relu),
        Layer::new("dropout6", dropout()),
        Layer::new("fc7", Linear::new(4096, 0.01, 1.0)).with(Relu),
        Layer::new("dropout7", dropout()),
        Layer::new("fc8", Linear::new(classes, 0.01, -7.0)),
    ];
    Specification::new("alexnet-owt", InputSpec::ALEXNET_2012, layers)
}
