//! The network with a sixth convolution; two such networks are among the seven behind the paper's 15.3 %.
//!
//! A. Krizhevsky, I. Sutskever, G. Hinton, *ImageNet classification with deep convolutional neural networks*, NIPS
//! 2012, section 6: "1 CNN*" of table 2 has "an extra sixth convolutional layer over the last pooling layer", was
//! trained on the whole ImageNet of fall 2011, and fine-tuned for the contest. As run by its authors:
//! `layers/layers-146-2012-2011.cfg` and `layer-params-146-2012-2011.cfg` in computerhistory/AlexNet-Source-Code. The
//! notes in the latter contain the table's numbers (39.0 / 16.6 %). It is config #145, with 3×3 kernels over both
//! towers between pool5 and fc6.

use alexnet_kernels::activation::Activation::Relu;

use super::alexnet::stages;
use crate::error::Result;
use crate::input_spec::InputSpec;
use crate::layer::Layer;
use crate::layers::Conv2d;
use crate::specification::Specification;

/// Config #146 of 2012, for any number of classes. 61,555,304 parameters for 1000.
///
/// # Errors
/// None for a positive number of classes.
pub fn alexnet_six_conv(classes: usize) -> Result<Specification> {
    let conv6 = Layer::new("conv6", Conv2d::new(256, 3, 0.03, 1.0).padding(1)).with(Relu);
    Specification::new("alexnet-six-conv", InputSpec::ALEXNET_2012, stages(classes, Some(conv6)))
}
