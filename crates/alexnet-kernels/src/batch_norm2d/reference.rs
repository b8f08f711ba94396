//! The specification as plain loops over channels-first images, in `f64`.

use super::BatchNorm2dParams;

/// Calls `f(index, channel)` for every value of images of `channels` planes of `pixels`.
fn for_each(len: usize, channels: usize, pixels: usize, mut f: impl FnMut(usize, usize)) {
    (0..len).for_each(|i| f(i, i / pixels % channels));
}

/// Mean, and variance divided by the number of values, of each channel.
pub fn statistics(x: &[f32], channels: usize, pixels: usize) -> [Vec<f64>; 2] {
    let count = (x.len() / channels) as f64;
    let (mut mean, mut variance) = (vec![0f64; channels], vec![0f64; channels]);
    for_each(x.len(), channels, pixels, |i, c| mean[c] += f64::from(x[i]) / count);
    for_each(x.len(), channels, pixels, |i, c| variance[c] += (f64::from(x[i]) - mean[c]).powi(2) / count);
    [mean, variance]
}

/// The new running mean and variance, from the batch's [`statistics`] over `count` values per channel.
pub fn running(old: [&[f32]; 2], [mean, variance]: &[Vec<f64>; 2], count: usize, momentum: f32) -> [Vec<f32>; 2] {
    let momentum = f64::from(momentum);
    let unbiased: Vec<f64> = variance.iter().map(|v| v * count as f64 / (count as f64 - 1.0)).collect();
    let mix = |old: &[f32], new: &[f64]| {
        old.iter().zip(new).map(|(&old, new)| ((1.0 - momentum) * f64::from(old) + momentum * new) as f32).collect()
    };
    [mix(old[0], mean), mix(old[1], &unbiased)]
}

/// y.
pub fn forward(
    x: &[f32],
    pixels: usize,
    [mean, variance]: &[Vec<f64>; 2],
    [weight, bias]: [&[f32]; 2],
    eps: f32,
) -> Vec<f32> {
    let mut y = vec![0f32; x.len()];
    for_each(x.len(), weight.len(), pixels, |i, c| {
        let normalized = (f64::from(x[i]) - mean[c]) / (variance[c] + f64::from(eps)).sqrt();
        y[i] = (normalized * f64::from(weight[c]) + f64::from(bias[c])) as f32;
    });
    y
}

/// The gradients of x, weight and bias.
pub fn backward(
    x: &[f32],
    grad_y: &[f32],
    pixels: usize,
    [mean, variance]: &[Vec<f64>; 2],
    weight: &[f32],
    params: &BatchNorm2dParams,
) -> [Vec<f32>; 3] {
    let (channels, count) = (weight.len(), (x.len() / weight.len()) as f64);
    let std = |c: usize| (variance[c] + f64::from(params.eps)).sqrt();
    let normalized = |i: usize, c: usize| (f64::from(x[i]) - mean[c]) / std(c);
    let (mut grad_weight, mut grad_bias) = (vec![0f64; channels], vec![0f64; channels]);
    for_each(x.len(), channels, pixels, |i, c| {
        grad_weight[c] += f64::from(grad_y[i]) * normalized(i, c);
        grad_bias[c] += f64::from(grad_y[i]);
    });
    let mut grad_x = vec![0f32; x.len()];
    for_each(x.len(), channels, pixels, |i, c| {
        let through_statistics =
            if params.training { (grad_bias[c] + normalized(i, c) * grad_weight[c]) / count } else { 0.0 };
        grad_x[i] = (f64::from(weight[c]) / std(c) * (f64::from(grad_y[i]) - through_statistics)) as f32;
    });
    let narrow = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
    [grad_x, narrow(grad_weight), narrow(grad_bias)]
}
