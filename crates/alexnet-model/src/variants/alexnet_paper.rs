//! The text of the paper, taken literally.
//!
//! A. Krizhevsky, I. Sutskever, G. Hinton, *ImageNet classification with deep convolutional neural networks*, NIPS
//! 2012, sections 3 to 5: ReLU after every layer, then normalization with α = 10⁻⁴ multiplying the sum itself, then
//! pooling; all weights from N(0, 0.01²); biases 1 in conv2, conv4, conv5 and the fully connected hidden layers. The
//! text does not explain how 224 becomes 55; the extra zero padding is that of the authors' code. Normalizations stay
//! within a tower, as the towers' GPUs "communicate only in certain layers", and these are not among them.

use alexnet_kernels::Pool2dParams;
use alexnet_kernels::activation::Activation::Relu;
use alexnet_kernels::dropout::DropoutScaling;
use alexnet_kernels::lrn::LrnParams;

use super::alexnet::conv1;
use crate::error::Result;
use crate::input_spec::InputSpec;
use crate::layer::Layer;
use crate::layers::{Conv2d, Dropout, Flatten, Input, Linear, Lrn, MaxPool2d};
use crate::specification::Specification;

/// The paper's network, for any number of classes. 60,965,224 parameters for 1000.
///
/// # Errors
/// None for a positive number of classes.
pub fn alexnet_paper(classes: usize) -> Result<Specification> {
    let lrn = || Lrn(LrnParams::PAPER.with_groups(2));
    let pool = || MaxPool2d(Pool2dParams::new(3, 2));
    let dropout = || Dropout { probability: 0.5, scaling: DropoutScaling::AtTest };
    let layers = vec![
        Layer::new("data", Input { channels: 3, size: [224, 224] }),
        Layer::new("conv1", conv1()).with(Relu),
        Layer::new("lrn1", lrn()),
        Layer::new("pool1", pool()),
        Layer::new("conv2", Conv2d::new(256, 5, 0.01, 1.0).padding(2).groups(2)).with(Relu),
        Layer::new("lrn2", lrn()),
        Layer::new("pool2", pool()),
        Layer::new("conv3", Conv2d::new(384, 3, 0.01, 0.0).padding(1)).with(Relu),
        Layer::new("conv4", Conv2d::new(384, 3, 0.01, 1.0).padding(1).groups(2)).with(Relu),
        Layer::new("conv5", Conv2d::new(256, 3, 0.01, 1.0).padding(1).groups(2)).with(Relu),
        Layer::new("pool5", pool()),
        Layer::new("flatten", Flatten),
        Layer::new("fc6", Linear::new(4096, 0.01, 1.0)).with(Relu),
        Layer::new("dropout6", dropout()),
        Layer::new("fc7", Linear::new(4096, 0.01, 1.0)).with(Relu),
        Layer::new("dropout7", dropout()),
        Layer::new("fc8", Linear::new(classes, 0.01, 0.0)),
    ];
    Specification::new("alexnet-paper", InputSpec::PAPER, layers)
}
