use alexnet_kernels::concat;
use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Backward, Forward, Gradients, LayerOps};
use crate::shape::Shape;

/// Concatenates the inputs: channels of feature maps of the same size, or features of vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concat;

impl LayerOps for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn reads_many(&self) -> bool {
        true
    }

    fn shape(&self, inputs: &[Shape]) -> std::result::Result<Shape, String> {
        inputs[1..].iter().try_fold(inputs[0], |all, next| match (all, *next) {
            (Shape::Map([a, h, w]), Shape::Map([b, h2, w2])) if (h, w) == (h2, w2) => {
                Ok(Shape::Map([a.saturating_add(b), h, w]))
            }
            (Shape::Vector(a), Shape::Vector(b)) => Ok(Shape::Vector(a.saturating_add(b))),
            _ => Err(format!("concat reads maps of one size or vectors, not {inputs:?}")),
        })
    }

    fn forward(&self, pass: &Forward<'_>, y: &Tensor) -> Result<()> {
        concat::forward_into(&pass.inputs.iter().collect::<Vec<_>>(), y)
    }

    fn backward(&self, pass: &Backward<'_>, grads: &Gradients<'_>) -> Result<()> {
        let before = &pass.shapes[..pass.input];
        let first = before.iter().map(|shape| shape.dims()[0]).sum();
        grads.write_x(|grad_x| concat::backward_into(pass.grad_y, first, grad_x))
    }

    fn autograd(&self, pass: &Forward<'_>) -> Result<Tensor> {
        Tensor::cat(&pass.inputs, 1)
    }
}
