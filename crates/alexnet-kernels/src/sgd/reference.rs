//! The specification, one weight in `f64`.

use super::{SgdParams, SgdRule};

/// The weight and the velocity after one update.
pub fn update(weight: f64, velocity: f64, grad: f64, params: &SgdParams) -> (f64, f64) {
    let (rate, momentum) = (f64::from(params.learning_rate), f64::from(params.momentum));
    let decay = f64::from(params.weight_decay);
    match params.rule {
        SgdRule::RateInVelocity => {
            let velocity = momentum * velocity - decay * rate * weight - rate * grad;
            (weight + velocity, velocity)
        }
        SgdRule::RateOutside => {
            let velocity = momentum * velocity + (grad + decay * weight);
            (weight - rate * velocity, velocity)
        }
    }
}
