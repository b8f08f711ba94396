//! The specification as plain loops, summed in `f64`.

/// y for x `[n, in]` and weight `[out, in]`; an empty bias means no bias.
pub fn forward(x: &[f32], weight: &[f32], bias: &[f32], in_features: usize) -> Vec<f32> {
    let mut y = Vec::new();
    for x in x.chunks_exact(in_features) {
        for (o, weight) in weight.chunks_exact(in_features).enumerate() {
            let products = x.iter().zip(weight).map(|(&x, &w)| f64::from(x) * f64::from(w));
            y.push((products.sum::<f64>() + bias.get(o).map_or(0.0, |&b| f64::from(b))) as f32);
        }
    }
    y
}

/// The gradients of x, weight and bias.
pub fn backward(x: &[f32], weight: &[f32], grad_y: &[f32], in_features: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let out_features = weight.len() / in_features;
    let (mut grad_x, mut grad_weight) = (vec![0f64; x.len()], vec![0f64; weight.len()]);
    let mut grad_bias = vec![0f64; out_features];
    for (i, &g) in grad_y.iter().enumerate() {
        let (row, o) = (i / out_features, i % out_features);
        grad_bias[o] += f64::from(g);
        for k in 0..in_features {
            grad_x[row * in_features + k] += f64::from(g) * f64::from(weight[o * in_features + k]);
            grad_weight[o * in_features + k] += f64::from(g) * f64::from(x[row * in_features + k]);
        }
    }
    let narrow = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
    (narrow(grad_x), narrow(grad_weight), narrow(grad_bias))
}
