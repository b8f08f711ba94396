//! The network behind the paper's tables.
//!
//! A. Krizhevsky, I. Sutskever, G. Hinton, *ImageNet classification with deep convolutional neural networks*, NIPS
//! 2012, as run by its authors: `layers/layers-145.cfg` and `layer-params-145.cfg` in
//! computerhistory/AlexNet-Source-Code. The notes in those files contain the numbers of the paper's Table 2 (40.7 /
//! 18.2 %).
//!
//! Differences from the paper's text: the first normalization comes before the ReLU, which follows the pooling; the
//! normalization of the second stage is followed by another one within each channel; the normalizations divide α by 5;
//! conv3 to conv5 are initialized with σ = 0.03. The two towers are groups here, and no normalization spans both.

use alexnet_kernels::Pool2dParams;
use alexnet_kernels::activation::Activation::Relu;
use alexnet_kernels::conv2d::Padding;
use alexnet_kernels::dropout::DropoutScaling;
use alexnet_kernels::lrn::LrnParams;
use alexnet_kernels::lrn_within_channel::LrnWithinChannelParams;

use crate::error::Result;
use crate::input_spec::InputSpec;
use crate::layer::Layer;
use crate::layers::{Conv2d, Dropout, Flatten, Input, Linear, Lrn, LrnWithinChannel, MaxPool2d};
use crate::specification::Specification;

/// Config #145 of 2012, for any number of classes. 60,965,224 parameters for 1000.
///
/// # Errors
/// None for a positive number of classes.
pub fn alexnet(classes: usize) -> Result<Specification> {
    Specification::new("alexnet", InputSpec::ALEXNET_2012, stages(classes, None))
}

/// The layers, optionally with another layer after the last pooling.
pub(super) fn stages(classes: usize, sixth: Option<Layer>) -> Vec<Layer> {
    let lrn = || Lrn(LrnParams::ALEXNET_2012.with_groups(2));
    let pool = || MaxPool2d(Pool2dParams::new(3, 2).with_ceil());
    let dropout = || Dropout { probability: 0.5, scaling: DropoutScaling::AtTest };
    let mut layers = vec![
        Layer::new("data", Input { channels: 3, size: [224, 224] }),
        Layer::new("conv1", conv1()),
        Layer::new("rnorm1", lrn()),
        Layer::new("pool1", pool()).with(Relu),
        Layer::new("conv2", Conv2d::new(256, 5, 0.01, 1.0).padding(2).groups(2)).with(Relu),
        Layer::new("rnorm2", lrn()),
        Layer::new("cnorm2", LrnWithinChannel(LrnWithinChannelParams::ALEXNET_2012)),
        Layer::new("pool2", pool()),
        Layer::new("conv3", Conv2d::new(384, 3, 0.03, 0.0).padding(1)).with(Relu),
        Layer::new("conv4", Conv2d::new(384, 3, 0.03, 1.0).padding(1).groups(2)).with(Relu),
        Layer::new("conv5", Conv2d::new(256, 3, 0.03, 1.0).padding(1).groups(2)),
        Layer::new("pool5", pool()).with(Relu),
    ];
    layers.extend(sixth);
    layers.extend([
        Layer::new("flatten", Flatten),
        Layer::new("fc6", Linear::new(4096, 0.01, 1.0)).with(Relu),
        Layer::new("dropout6", dropout()),
        Layer::new("fc7", Linear::new(4096, 0.01, 1.0)).with(Relu),
        Layer::new("dropout7", dropout()),
        Layer::new("fc8", Linear::new(classes, 0.01, 0.0)),
    ]);
    layers
}

/// 11×11 with stride 4 on 224×224 inputs, zero-padded by 3 pixels at the right and bottom edges.
pub(super) fn conv1() -> Conv2d {
    let mut conv = Conv2d::new(96, 11, 0.01, 0.0).stride(4);
    conv.padding = Padding::symmetric(0).with_extra(3);
    conv
}
