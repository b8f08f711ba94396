//! The specification as plain loops; the channels are the last dimension.

/// max(0, x + bias).
pub fn forward(x: &[f32], bias: &[f32]) -> Vec<f32> {
    x.iter().enumerate().map(|(i, &x)| x + bias[i % bias.len()]).map(|v| if v <= 0.0 { 0.0 } else { v }).collect()
}

/// The gradients of x and of the bias, from the result `y`.
pub fn backward(y: &[f32], grad_y: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let grad_x: Vec<f32> = y.iter().zip(grad_y).map(|(&y, &g)| if y > 0.0 { g } else { 0.0 }).collect();
    let mut grad_bias = vec![0f64; channels];
    grad_x.iter().enumerate().for_each(|(i, &g)| grad_bias[i % channels] += f64::from(g));
    (grad_x, grad_bias.into_iter().map(|g| g as f32).collect())
}
