//! The specification, in `f64`.

use super::Activation;

/// The function of one value.
pub fn forward(x: f32, activation: Activation) -> f32 {
    let x = f64::from(x);
    let y = match activation {
        Activation::Relu if x <= 0.0 => 0.0,
        Activation::Relu => x,
        Activation::Tanh => x.tanh(),
        Activation::Logistic => 1.0 / (1.0 + (-x).exp()),
        // Written so that neither a large nor a very negative x overflows or rounds to nothing.
        Activation::SoftRelu => x.max(0.0) + (-x.abs()).exp().ln_1p(),
    };
    y as f32
}

/// The derivative, from the argument.
pub fn derivative(x: f32, activation: Activation) -> f32 {
    let x = f64::from(x);
    let d = match activation {
        Activation::Relu => f64::from(u8::from(x > 0.0)),
        Activation::Tanh => 1.0 - x.tanh().powi(2),
        Activation::Logistic => 1.0 / (2.0 + x.exp() + (-x).exp()),
        Activation::SoftRelu => 1.0 / (1.0 + (-x).exp()),
    };
    d as f32
}
