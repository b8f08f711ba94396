//! Caffe's `bvlc_reference_caffenet`.
//!
//! `models/bvlc_reference_caffenet/train_val.prototxt` in BVLC/caffe (J. Donahue): like `bvlc_alexnet`, but the first
//! two stages pool before normalization, and the initial biases are 1.

use super::alexnet_caffe::{lrn, pool, stages};
use crate::error::Result;
use crate::input_spec::InputSpec;
use crate::layer::Layer;
use crate::specification::Specification;

/// CaffeNet, for any number of classes. 60,965,224 parameters for 1000.
///
/// # Errors
/// None for a positive number of classes.
pub fn caffenet(classes: usize) -> Result<Specification> {
    let layers = stages(
        |stage| vec![Layer::new(format!("pool{stage}"), pool()), Layer::new(format!("norm{stage}"), lrn())],
        1.0,
        classes,
    );
    Specification::new("caffenet", InputSpec::CAFFE, layers)
}
