//! Folds a batch normalization into the convolution before it.

use candle_core::{Result, Tensor};

use super::{BatchNorm2dState, OP};
use crate::error;

/// The weight and bias of one convolution that replaces a convolution with `weight`, `[out_channels, …]`, and `bias`
/// and the batch normalization after it in inference: weight·γ/σ and (bias − mean)·γ/σ + β per output channel, with σ =
/// √(running variance + eps). There must be no operation between the two. Results differ from those of the two
/// operations by rounding.
///
/// # Errors
/// Vectors that are not `[out_channels]`; an eps that is not above 0; an unsupported element type.
pub fn fold_into_convolution(
    weight: &Tensor,
    bias: Option<&Tensor>,
    state: &BatchNorm2dState<'_>,
    eps: f32,
) -> Result<(Tensor, Tensor)> {
    let BatchNorm2dState { weight: gamma, bias: beta, running_mean, running_variance } = *state;
    let Some(&channels) = weight.dims().first() else {
        return Ok(error::shape(OP, "the convolution's weight", "[out_channels, …]", weight.dims())?);
    };
    if !(eps > 0.0 && eps.is_finite()) {
        return Ok(error::parameter(OP, format!("eps > 0 is needed, but eps is {eps}"))?);
    }
    let vectors =
        [("weight", gamma), ("bias", beta), ("running_mean", running_mean), ("running_variance", running_variance)];
    for (name, vector) in vectors.into_iter().chain(bias.map(|bias| ("the convolution's bias", bias))) {
        if vector.dims() != [channels] {
            return Ok(error::shape(OP, name, format!("[{channels}]"), vector.dims())?);
        }
    }
    let scale = (gamma / (running_variance + f64::from(eps))?.sqrt()?)?;
    let mut per_channel = vec![1; weight.rank()];
    per_channel[0] = channels;
    let centered = match bias {
        Some(bias) => (bias - running_mean)?,
        None => running_mean.neg()?,
    };
    Ok((weight.broadcast_mul(&scale.reshape(per_channel)?)?, ((centered * scale)? + beta)?))
}
