//! The specification, in `f64`.

use super::Activation;

/// The activation of one value.
pub fn forward(x: f32, activation: Activation) -> f32 {
    let x = f64::from(x);
    let y = match activation {
        Activation::Relu if x <= 0.0 => 0.0,
        Activation::Relu => x,
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        // Written so that a large x does not overflow and a very negative x does not round to 0.
        Activation::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Activation::Abs => x.abs(),
        Activation::Square => x * x,
        Activation::Sqrt => x.sqrt(),
        Activation::ScaledTanh { a, b } => f64::from(a) * (f64::from(b) * x).tanh(),
        Activation::BoundedRelu { .. } if x <= 0.0 => 0.0,
        Activation::BoundedRelu { a } if x >= f64::from(a) => f64::from(a),
        Activation::BoundedRelu { .. } => x,
        Activation::Linear { a, b } => f64::from(a) * x + f64::from(b),
    };
    y as f32
}

/// The derivative at input x.
pub fn derivative(x: f32, activation: Activation) -> f32 {
    let x = f64::from(x);
    let d = match activation {
        Activation::Relu => f64::from(u8::from(x > 0.0)),
        Activation::Tanh => 1.0 - x.tanh().powi(2),
        Activation::Sigmoid => 1.0 / (2.0 + x.exp() + (-x).exp()),
        Activation::Softplus => 1.0 / (1.0 + (-x).exp()),
        Activation::Abs if x == 0.0 => 0.0,
        Activation::Abs => x.signum(),
        Activation::Square => 2.0 * x,
        Activation::Sqrt => 0.5 / x.sqrt(),
        Activation::ScaledTanh { a, b } => f64::from(a) * f64::from(b) * (1.0 - (f64::from(b) * x).tanh().powi(2)),
        Activation::BoundedRelu { a } => f64::from(u8::from(x > 0.0 && x < f64::from(a))),
        Activation::Linear { a, .. } => f64::from(a),
    };
    d as f32
}
